"""Pictures of models, samples and learning curves, and of what models are used for.

Every function returns a matplotlib ``Figure`` that belongs to nobody but the caller: no window is
opened, no global setting is changed, no display is needed. Save it with ``figure.savefig(path)``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]

#: Height, text and colour of a curve's name.
Label = tuple[float, str, str]

#: One for each model, apart for every kind of colour vision (Okabe and Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK = "#222222"
PALE = "#8A8A8A"
DPI = 160
LINE = 13.0  # points from label to label


class Curves(Protocol):
    """What a `History` has, as far as its picture is concerned."""

    train_nll: list[float]
    valid_nll: list[float]
    best_epoch: int


class Density(Protocol):
    """What a model has, as far as a map of its conditionals is concerned."""

    def conditionals(self, x: npt.ArrayLike) -> Array:
        """p(x_i = 1 | x_<i) of each entry, (N, D)."""

    def log_prob(self, x: npt.ArrayLike) -> Array:
        """log p(x) of each row, (N,)."""


class Classifier(Protocol):
    """What a classifier has, as far as a picture of its posteriors is concerned."""

    classes_: Any

    def predict_proba(self, X: npt.ArrayLike, observed: npt.ArrayLike | None = None) -> Array:
        """p(y | x) of the features that are observed, (N, K)."""


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches that no pyplot knows of."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            f'pictures need matplotlib ({error}); install it with: pip install "pyarsimple[demo]"'
        ) from error
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def check_images(x: npt.ArrayLike, image_shape: Sequence[int], name: str) -> Array:
    """Return rows of pixels as images (N, height, width), or say why they cannot be."""
    height, width = image_shape
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] != height * width:
        raise ValueError(
            f"{name} must have shape (N, {height * width}) to be drawn as {height}x{width} images, "
            f"got {x.shape}; pass the image_shape whose product is the number of columns"
        )
    return x.reshape(-1, height, width)


def tile(images: Array, columns: int) -> Array:
    """Images (N, height, width), put side by side in a grid; NaN where there is none."""
    n, height, width = images.shape
    rows = max(1, math.ceil(n / columns))
    gap = 1 + max(height, width) // 16
    canvas = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap), np.nan)
    for k, image in enumerate(images):
        top, left = gap + (k // columns) * (height + gap), gap + (k % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = image
    return canvas


def _show(ax: Axes, image: Array, colours: str) -> Any:
    """Draw an image of numbers in [0, 1]; what is NaN shows the background."""
    ax.set_axis_off()
    return ax.imshow(image, cmap=colours, vmin=0, vmax=1, interpolation="nearest")


def samples(
    images: Mapping[str, npt.ArrayLike],
    image_shape: Sequence[int],
    *,
    rows: int = 10,
    columns: int = 6,
) -> Figure:
    """Grids of images, one panel for each title: what models drew, beside what is real.

    Parameters
    ----------
    images : mapping of str to array_like, shape (N, D)
        Numbers in [0, 1], the first ``rows * columns`` images of each of which are drawn.
    image_shape : (height, width)
        Their product is D.
    rows, columns : int
        Of the grid of each panel.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if not images:
        raise ValueError("images must hold at least one title with its images, got none")
    drawn = {t: check_images(x, image_shape, f"images[{t!r}]") for t, x in images.items()}
    canvases = {t: tile(x[: rows * columns], columns) for t, x in drawn.items()}
    height = max(len(canvas) for canvas in canvases.values())
    width = next(iter(canvases.values())).shape[1]
    titled = any(canvases)
    gap, title_height = 0.08, 0.42  # inches
    # A pixel of an image takes two of the picture at least, or four where there is space.
    panel = max(1.92, (4 if len(canvases) == 1 else 2) * width / DPI)
    figure = new_figure(
        (panel + gap) * len(canvases), panel * height / width + gap + title_height * titled
    )
    axes = figure.subplots(1, len(canvases), squeeze=False)[0]
    for ax, (title, canvas) in zip(axes, canvases.items(), strict=True):
        shown = _show(ax, canvas, "gray_r")
        shown.set_cmap(shown.cmap.with_extremes(bad="#D9DEE4"))
        ax.set_anchor("N")
        if title:
            ax.set_title(title, fontsize=10, color=INK, linespacing=1.3)
    return figure


def _tidy(ax: Axes) -> None:
    """A frame on two sides, and a quiet grid behind the curves."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#E6E6E6", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(colors=INK, labelsize=9)


def _draw_curves(ax: Axes, name: str, history: Curves, colour: str) -> list[Label]:
    """One model's curves: training dashed, validation solid, its best epoch marked; its label."""
    epochs = np.arange(1, len(history.train_nll) + 1)
    ax.plot(epochs, history.train_nll, color=colour, linewidth=1.2, linestyle=(0, (4, 2)))
    best = history.best_epoch
    if not history.valid_nll:
        return [(history.train_nll[-1], name, colour)] if len(epochs) else []
    ax.plot(epochs, history.valid_nll, color=colour, linewidth=1.8)
    if not 1 <= best <= len(history.valid_nll):
        return []
    value = history.valid_nll[best - 1]
    ax.plot(best, value, "o", markersize=7, markerfacecolor="white", markeredgecolor=colour,
            markeredgewidth=1.8, zorder=5)  # fmt: skip
    return [(history.valid_nll[-1], _scored(name, value), colour)]


def _scored(name: str, nats: float) -> str:
    return f"{name}  {nats:.2f}".strip() if abs(nats) < 1e5 else f"{name}  {nats:.1e}".strip()


def _write_labels(ax: Axes, labels: Sequence[Label], points: float) -> None:
    """Name the curves in the right margin of axes so many points high: no legend to search."""
    low, high = ax.get_ylim()
    heights = [(y - low) / (high - low) if math.isfinite(y) else 1.0 for y, _, _ in labels]
    placed = spread([min(max(h, 0.0), 1.0) for h in heights], LINE / points)
    for y, (_, text, colour) in zip(placed, labels, strict=True):
        ax.annotate(text, (1, y), xycoords="axes fraction", xytext=(9, 0), color=colour,
                    textcoords="offset points", fontsize=9, fontweight="bold", va="center",
                    annotation_clip=False)  # fmt: skip


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Heights in [0, 1], moved as little as it takes to be ``gap`` apart; above 1 if need be."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    # Less the gaps below it, a height may not be lower than the one before: equal means of those
    # that are (isotonic regression) move them the least.
    blocks: list[list[float]] = []
    for k, i in enumerate(order):
        blocks.append([heights[i] - k * gap])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    means = [float(np.mean(block)) for block in blocks for _ in block]
    top = max(0.0, 1 - (len(heights) - 1) * gap)
    placed = [0.0] * len(heights)
    for k, (i, mean) in enumerate(zip(order, means, strict=True)):
        placed[i] = min(max(mean, 0.0), top) + k * gap
    return placed


def _limits(
    histories: Mapping[str, Curves], references: Mapping[str, float]
) -> tuple[float, float]:
    """Bounds of the y axis: all that is learnt late, and of the steep start only some."""
    curves = [np.asarray(c, float) for h in histories.values() for c in (h.train_nll, h.valid_nll)]
    curves = [c[np.isfinite(c)] for c in curves]
    curves = [c for c in curves if len(c)]
    levels = list(references.values())
    low = min([c.min() for c in curves] + levels, default=0.0)
    # The worst of the second half of any curve, the start of all of them cut off above it.
    late = max([c[len(c) // 2 :].max() for c in curves] + levels, default=1.0)
    high = max([c.max() for c in curves] + levels, default=1.0)
    top = min(high, late + 0.5 * (late - low)) if len(levels) == 0 else min(high, late)
    margin = 0.06 * (top - low) or 0.5
    return float(low - margin), float(top + margin)


def learning_curves(
    histories: Mapping[str, Curves],
    *,
    references: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Negative log-likelihood by epoch: training dashed, validation solid, the best epoch marked.

    Parameters
    ----------
    histories : mapping of str to History
        What `fit` returned for each model.
    references : mapping of str to float, optional
        Levels to compare with, in nats, drawn as horizontal lines: a baseline's validation score.
    ax : matplotlib.axes.Axes, optional
        Where to draw; without it a figure is made.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if ax is None:
        ax = new_figure(7.2, 4.2).subplots()
    references = references or {}
    labels: list[Label] = []
    for k, (name, history) in enumerate(histories.items()):
        labels += _draw_curves(ax, name, history, COLOURS[k % len(COLOURS)])
    last = max([len(h.train_nll) for h in histories.values()], default=1)
    for name, level in references.items():
        ax.axhline(level, color=PALE, linewidth=1.2, linestyle=":")
        labels.append((level, _scored(name, level), PALE))
    ax.set_ylim(*_limits(histories, references))
    ax.set_xlim(0, max(last, 2) * 1.01)
    ax.set_xlabel("epoch", fontsize=10, color=INK)
    ax.set_ylabel("negative log-likelihood (nats per example)", fontsize=10, color=INK)
    _tidy(ax)
    _key(ax, any(h.valid_nll for h in histories.values()), 0.92 if references else 1.0)
    figure = ax.get_figure(root=True)
    assert figure is not None
    _write_labels(ax, labels, ax.get_window_extent().height * 72 / figure.dpi)
    return figure


def _key(ax: Axes, validated: bool, top: float) -> None:
    """What dashes, lines and circles mean, in grey: colours belong to the models."""
    from matplotlib.lines import Line2D

    circle: dict[str, Any] = {
        "linestyle": "",
        "marker": "o",
        "markerfacecolor": "white",
        "markeredgewidth": 1.8,
    }
    entries = [Line2D([], [], color=INK, label="training", linewidth=1.2, linestyle=(0, (4, 2)))]
    if validated:
        entries.append(Line2D([], [], color=INK, label="validation", linewidth=1.8))
        entries.append(Line2D([], [], color=INK, label="best epoch, kept", **circle))
    ax.legend(handles=entries, frameon=False, fontsize=9, labelcolor=INK, loc="upper right",
              bbox_to_anchor=(1.0, top))  # fmt: skip


def conditional_maps(
    models: Mapping[str, Density], x: npt.ArrayLike, image_shape: Sequence[int]
) -> Figure:
    """Maps of p(x_i = 1 | x_<i): at each pixel, what a model expected before it saw the pixel.

    A row for each example: the example itself, then one map for each model, with the whole image's
    log-probability below it. Lines surround the pixels that are on.

    Parameters
    ----------
    models : mapping of str to model
        Anything with ``conditionals`` and ``log_prob``.
    x : array_like of bits, shape (N, D)
        A few examples.
    image_shape : (height, width)
        Their product is D.

    Returns
    -------
    matplotlib.figure.Figure
    """
    images = check_images(x, image_shape, "x")
    if not len(images) or not models:
        raise ValueError(f"nothing to draw: got {len(images)} examples and {len(models)} models")
    x = images.reshape(len(images), -1)
    maps = {name: check_images(m.conditionals(x), image_shape, name) for name, m in models.items()}
    scores = {name: m.log_prob(x) for name, m in models.items()}
    height, width = image_shape
    n_columns = 1 + len(models)
    figure = new_figure(1.45 * n_columns + 0.8, (1.45 * height / width + 0.2) * len(images) + 0.4)
    axes = figure.subplots(len(images), n_columns, squeeze=False)
    for row, image in enumerate(images):
        _show(axes[row, 0], image, "gray_r")
        _frame(axes[row, 0])
        for ax, name in zip(axes[row, 1:], models, strict=True):
            drawn = _show(ax, maps[name][row], "cividis")
            _outline(ax, image)
            ax.text(0.5, -0.03, f"log p = {scores[name][row]:.1f} nats", transform=ax.transAxes,
                    ha="center", va="top", fontsize=8, color=INK)  # fmt: skip
    for ax, title in zip(axes[0], ["data", *models], strict=True):
        ax.set_title(title, fontsize=10, color=INK)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.6, aspect=30, pad=0.02)
    bar.set_label(r"$p(x_i = 1 \mid x_{<i})$", fontsize=10, color=INK)
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.outline.set_visible(False)
    return figure


def _frame(ax: Axes) -> None:
    """A thin border, which shows where the paper ends and a white image begins."""
    ax.set_axis_on()
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(edgecolor="#C8CDD3", linewidth=0.8)


def _outline(ax: Axes, image: Array) -> None:
    """Draw the border between the pixels that are on and the others, white on black."""
    on = np.pad(np.asarray(image) > 0.5, 1)
    vertical = np.argwhere(on[:, 1:] != on[:, :-1]) - 0.5  # between columns j and j + 1
    horizontal = np.argwhere(on[1:] != on[:-1]) - 0.5
    for colour, width in (("black", 2.4), ("white", 1.1)):
        line: dict[str, Any] = {"color": colour, "linewidth": width, "capstyle": "projecting"}
        ax.vlines(vertical[:, 1], vertical[:, 0] - 1, vertical[:, 0], **line)
        ax.hlines(horizontal[:, 0], horizontal[:, 1] - 1, horizontal[:, 1], **line)


def completions(
    x: npt.ArrayLike,
    observed: npt.ArrayLike,
    completed: npt.ArrayLike,
    image_shape: Sequence[int],
) -> Figure:
    """Images with missing parts: the data, what was seen of them, and completions, in rows.

    What was seen is black, what was drawn is blue.

    Parameters
    ----------
    x : array_like, shape (N, D)
        Numbers in [0, 1]; NaN where there are no data.
    observed : array_like of bool, shape (D,) or (N, D)
        Which pixels were seen.
    completed : array_like, shape (n_samples, N, D)
        As the ``samples`` of ``model.impute``.
    image_shape : (height, width)
        Their product is D.

    Returns
    -------
    matplotlib.figure.Figure
    """
    data = check_images(x, image_shape, "x")
    seen = np.broadcast_to(
        np.asarray(observed, bool), (len(data), data[0].size if len(data) else 0)
    )
    drawn = np.asarray(completed)
    if not len(data) or drawn.ndim != 3 or drawn.shape[1:] != seen.shape or not len(drawn):
        raise ValueError(
            "completed must have shape (n_samples, N, D) with at least one sample and one row, as "
            f"x (N, D) = {np.shape(x)} has, got {drawn.shape}"
        )
    n = len(drawn)
    drawn = drawn.transpose(1, 0, 2).reshape(-1, *image_shape)  # row by row
    masks = seen.reshape(data.shape)
    partial = np.where(masks, data, np.nan)
    panels = {
        "data": _coloured(data, np.ones_like(masks), 1),
        "seen": _coloured(partial, masks, 1),
        "completions": _coloured(drawn, np.repeat(masks, n, axis=0), n),
    }
    widths = [canvas.shape[1] for canvas in panels.values()]
    pixel = max(3, 70 // image_shape[1]) / DPI  # inches
    height = panels["data"].shape[0] * pixel + 0.35
    figure = new_figure(max(3.2, sum(widths) * pixel + 0.3), height)
    axes = figure.subplots(1, 3, width_ratios=widths)
    for ax, (title, canvas) in zip(axes, panels.items(), strict=True):
        ax.set_axis_off()
        ax.imshow(canvas, interpolation="nearest")
        ax.set_title(title, fontsize=10, color=INK)
    return figure


#: Red, green and blue, in [0, 1], of what was seen, what was drawn, a hole, and the background.
_SEEN, _DRAWN = np.array([0.07, 0.07, 0.07]), np.array([0.0, 0.447, 0.698])
_HOLE, _BACKGROUND = np.array([0.80, 0.89, 0.96]), np.array([0.85, 0.87, 0.895])


def _coloured(images: Array, seen: Array, columns: int) -> Array:
    """A grid (height, width, 3) of images, in colours by where each number comes from."""
    shade = np.clip(images, 0, 1)[..., np.newaxis]
    ink = np.where(seen[..., np.newaxis], _SEEN, _DRAWN)
    pixels = np.where(np.isnan(shade), _HOLE, 1 - shade * (1 - ink))
    canvas = np.stack([tile(pixels[..., k], columns) for k in range(3)], axis=-1)
    result: Array = np.where(np.isnan(canvas), _BACKGROUND, canvas)
    return result


#: Of rows that cause an alarm, and of what a classifier gets wrong.
_ALARM, _ORDINARY = COLOURS[1], COLOURS[0]
_MAX_POINTS = 2000  # of one strip; more of them are one blot
_MANY = 0.3  # share of a class taken for another one that has the darkest colour


def anomalies(
    log_p: Mapping[str, npt.ArrayLike],
    thresholds: tuple[float, float],
    *,
    images: Mapping[str, npt.ArrayLike] | None = None,
    image_shape: Sequence[int] | None = None,
    n_images: int = 6,
) -> Figure:
    """Log-probabilities of several sets of rows, against the thresholds of an alarm.

    A strip of points for each set, a point for each row; rows beyond a threshold are red, and their
    share is written above. Of a large set 2000 points are drawn, at even ranks. Images, if there
    are any, stand at the left: from the least likely one of the set, at even ranks, to the most
    likely one.

    Parameters
    ----------
    log_p : mapping of str to array_like, shape (N,)
        For each set, in nats.
    thresholds : (low, high)
        As ``detector.thresholds``; what is infinite is not drawn.
    images : mapping of str to array_like, shape (N, D), optional
        The rows of each set, numbers in [0, 1].
    image_shape : (height, width), optional
        Their product is D; needed for images.
    n_images : int
        How many of each set.

    Returns
    -------
    matplotlib.figure.Figure
    """
    sets = {name: np.asarray(values, np.float64) for name, values in log_p.items()}
    for name, values in sets.items():
        if values.ndim != 1 or np.isnan(values).any():
            raise ValueError(
                f"log_p[{name!r}] must be one number a row, (N,), and none of them NaN, got shape "
                f"{values.shape}"
            )
    if not sets:
        raise ValueError("log_p must hold at least one set of rows, got none")
    strips: list[Axes]
    if images is None:
        figure = new_figure(7.2, 0.62 * len(sets) + 0.7)
        strips = list(figure.subplots(len(sets), 1, sharex=True, squeeze=False)[:, 0])
    else:
        if image_shape is None:
            raise ValueError("image_shape must be given to draw images, got None")
        canvases = [_ranked(images[t], v, image_shape, n_images, t) for t, v in sets.items()]
        height, width = max(c.shape[0] for c in canvases), canvases[0].shape[1]
        left = 0.58 * width / height  # inches
        figure = new_figure(5.6 + left, 0.62 * len(sets) + 0.7)
        ratios = [left, 5.4]
        axes = figure.subplots(len(sets), 2, sharex="col", squeeze=False, width_ratios=ratios)
        axes[0, 0].set_title("from the least to the most likely", fontsize=8, color=INK)
        for ax, canvas in zip(axes[:, 0], canvases, strict=True):
            shown = _show(ax, canvas, "gray_r")
            shown.set_cmap(shown.cmap.with_extremes(bad="#D9DEE4"))
            ax.set_anchor("S")
        strips = list(axes[:, 1])
    for ax, (name, values) in zip(strips, sets.items(), strict=True):
        _strip(ax, name, values, thresholds)
        if ax is not strips[-1]:
            ax.tick_params(bottom=False)
            ax.spines["bottom"].set_visible(False)
    last = strips[-1]
    last.set_xlabel("log p(x) in nats", fontsize=10, color=INK)
    last.tick_params(colors=INK, labelsize=9)
    finite = [t for t in thresholds if math.isfinite(t)]
    for t, side in zip(thresholds, ("right", "left"), strict=True):
        if t in finite:
            strips[0].annotate(
                f"alarm {'<' if side == 'right' else '>'} {t:.1f}", (t, 1),
                xycoords=("data", "axes fraction"), xytext=(-3 if side == "right" else 3, 2),
                textcoords="offset points", ha=side, va="bottom", fontsize=8, color=_ALARM,
            )  # fmt: skip
    return figure


def _ranked(x: npt.ArrayLike, scores: Array, shape: Sequence[int], n: int, name: str) -> Array:
    """A row of n images at even ranks of their scores, the lowest one first."""
    drawn = check_images(x, shape, f"images[{name!r}]")
    if len(drawn) != len(scores):
        raise ValueError(
            f"images[{name!r}] must have a row for each of the {len(scores)} of log_p, got "
            f"{len(drawn)}"
        )
    ranks = np.linspace(0, len(scores) - 1, min(n, len(scores))).round().astype(int)
    return tile(drawn[np.argsort(scores, kind="stable")[ranks]], n)


def _strip(ax: Axes, name: str, values: Array, thresholds: tuple[float, float]) -> None:
    """One set's points, spread upwards so that few of them hide each other."""
    low, high = thresholds
    for t in thresholds:
        if math.isfinite(t):
            ax.axvline(t, color=_ALARM, linewidth=1.0, linestyle=(0, (4, 2)))
    share = f"{100 * np.mean((values < low) | (values > high)):.3g}% alarms" if len(values) else ""
    shown = np.sort(values[np.isfinite(values)])
    if len(shown) > _MAX_POINTS:
        shown = shown[np.linspace(0, len(shown) - 1, _MAX_POINTS).round().astype(int)]
    heights = np.arange(len(shown)) * 0.6180339887 % 1  # neighbours are far apart
    alarm = (shown < low) | (shown > high)
    for which, colour in ((~alarm, _ORDINARY), (alarm, _ALARM)):
        ax.plot(shown[which], heights[which], "o", markersize=2.2, color=colour, alpha=0.6,
                markeredgewidth=0)  # fmt: skip
    ax.set(ylim=(-0.25, 1.25), yticks=[])
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.text(1.01, 0.5, f"{name}\n{share}", transform=ax.transAxes, fontsize=9, color=INK,
            va="center", linespacing=1.3)  # fmt: skip


def confusion(counts: Mapping[str, npt.ArrayLike], classes: Sequence[Any]) -> Figure:
    """Who is taken for whom: a panel for each set of rows, with counts in its cells.

    What is right is blue, what is wrong is orange: the darker, the larger its share of the class.

    Parameters
    ----------
    counts : mapping of str to array_like of int, shape (K, K)
        For each set, how many rows of class i (down) are taken for class j (across).
    classes : sequence
        Their K names.

    Returns
    -------
    matplotlib.figure.Figure
    """
    K = len(classes)
    panels = {name: np.asarray(matrix) for name, matrix in counts.items()}
    for name, matrix in panels.items():
        if matrix.shape != (K, K):
            raise ValueError(
                f"counts[{name!r}] must have shape {(K, K)} for {K} classes, got {matrix.shape}"
            )
    if not panels or not K:
        raise ValueError(f"nothing to draw: got {len(panels)} sets and {K} classes")
    side = min(max(2.6, 0.36 * K), 12.0)  # inches
    figure = new_figure((side + 0.5) * len(panels) + 0.2, side + 1.2)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    names = [str(c) for c in classes]
    crowded = K > 30  # cells too small for numbers
    rotation = 90 if max(map(len, names)) > 3 else 0
    for ax, (name, matrix) in zip(axes, panels.items(), strict=True):
        n = matrix.sum(axis=1, keepdims=True)
        shares = matrix / np.maximum(n, 1)
        right = np.eye(K, dtype=np.bool_)
        for which, colours, top in ((right, "Blues", 1.0), (~right, "Oranges", _MANY)):
            cells = np.where(which & (matrix > 0), shares / top, np.nan)
            ax.imshow(cells, cmap=colours, vmin=0, vmax=1, interpolation="nearest")
        for i, j in () if crowded else np.argwhere(matrix):
            dark = shares[i, j] / (1.0 if i == j else _MANY) > 0.6
            ax.text(j, i, f"{matrix[i, j]:,}", ha="center", va="center", fontsize=8,
                    color="white" if dark else INK)  # fmt: skip
        every = range(0, K, 1 + (K - 1) // 30)
        ax.set_xticks(every, [names[k] for k in every], rotation=rotation)
        ax.set_yticks(every, [names[k] for k in every])
        ax.tick_params(colors=INK, labelsize=9, length=0)
        ax.set_xlabel("taken for", fontsize=10, color=INK)
        total = int(matrix.sum())
        title = f"{name}\n{matrix.trace() / max(total, 1):.1%} of {total:,} right".strip()
        ax.set_title(title, fontsize=10, color=INK, linespacing=1.3)
        for spine in ax.spines.values():
            spine.set(edgecolor="#C8CDD3", linewidth=0.8)
    axes[0].set_ylabel("class", fontsize=10, color=INK)
    return figure


def posteriors(
    classifier: Classifier,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    observed: Mapping[str, npt.ArrayLike],
    image_shape: Sequence[int],
) -> Figure:
    """What a classifier takes images for of which only parts were seen: p(y | x_seen).

    A row for each image, a column for each mask, with a bar for each class: blue is the image's
    own, red a likelier other one. Pixels that were not seen are pale blue.

    Parameters
    ----------
    classifier : classifier
        Anything with ``classes_`` and ``predict_proba(x, observed=)``.
    x : array_like, shape (N, D)
        A few images, numbers in [0, 1].
    y : array_like, shape (N,)
        Their classes.
    observed : mapping of str to array_like of bool, shape (D,)
        Which pixels are seen, by the title of the column.
    image_shape : (height, width)
        Their product is D.

    Returns
    -------
    matplotlib.figure.Figure
    """
    images, labels = check_images(x, image_shape, "x"), np.asarray(y)
    if labels.shape != (len(images),):
        raise ValueError(
            f"y must be a label for each of the {len(images)} rows of x, got shape {labels.shape}"
        )
    if not len(images) or not observed:
        raise ValueError(f"nothing to draw: got {len(images)} images and {len(observed)} masks")
    rows, names = images.reshape(len(images), -1), [str(c) for c in classifier.classes_]
    own = labels[:, np.newaxis] == np.asarray(classifier.classes_)  # (N, K)
    height, width = image_shape
    panel, bars = 0.8 * width / height, max(1.1, 0.13 * len(names))  # inches
    figure = new_figure((panel + bars + 0.15) * len(observed) + 0.2, 0.92 * len(images) + 0.7)
    axes = figure.subplots(
        len(images), 2 * len(observed), squeeze=False, width_ratios=[panel, bars] * len(observed)
    )
    for m, (title, mask) in enumerate(observed.items()):
        seen = np.asarray(mask, np.bool_)
        p = classifier.predict_proba(rows, observed=seen)
        seen = np.broadcast_to(seen.reshape(image_shape), images.shape)
        partial = np.where(seen, images, np.nan)
        axes[0, 2 * m].set_title(title, fontsize=10, color=INK, loc="left")
        for k in range(len(images)):
            ax, chart = axes[k, 2 * m], axes[k, 2 * m + 1]
            ax.set_axis_off()
            ax.imshow(_coloured(partial[[k]], seen[[k]], 1), interpolation="nearest")
            wrong = (p[k] == p[k].max()) & ~own[k]
            colours = np.where(own[k], _ORDINARY, np.where(wrong, _ALARM, "#B9BFC6"))
            chart.bar(np.arange(len(names)), p[k], color=colours, width=0.8)
            chart.set(ylim=(0, 1), yticks=[])
            ticks = range(len(names)) if len(names) <= 12 else ()
            chart.set_xticks(ticks, [names[c] for c in ticks])
            chart.tick_params(colors=INK, labelsize=7, length=0, pad=1)
            chart.spines[["top", "right", "left"]].set_visible(False)
            chart.spines["bottom"].set_color("#C8CDD3")
    told = "bars: p(class | pixels seen); blue: the image's own class, red: a likelier one"
    figure.supxlabel(told, fontsize=9, color=INK)
    return figure


def dependency_matrix(dependencies: npt.ArrayLike, *, title: str = "") -> Figure:
    """Which variable depends on which: filled at row i, column j where x_j reaches x_i.

    Parameters
    ----------
    dependencies : array_like of bool, shape (D, D)
        As ``model.dependencies()`` returns them.
    title : str
        Written above.

    Returns
    -------
    matplotlib.figure.Figure
    """
    matrix = np.asarray(dependencies)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"dependencies must be a square matrix (D, D), got shape {matrix.shape}")
    figure = new_figure(4.2, 4.2)
    ax = figure.subplots()
    ax.imshow(matrix, cmap="gray_r", vmin=0, vmax=1.5, interpolation="nearest")
    ax.set_xlabel("on variable j", fontsize=10, color=INK)
    ax.set_ylabel("variable i depends", fontsize=10, color=INK)
    ax.tick_params(colors=INK, labelsize=9)
    ax.set_title(title, fontsize=10, color=INK)
    return figure
