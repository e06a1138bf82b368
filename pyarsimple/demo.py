"""The demo: a baseline and three models on real handwritten digits, from data to pictures.

Then the likeliest of them completes digits and finds anomalies, and a NADE for each digit tells
them apart (`pyarsimple.demo_uses`). All that is written goes into one folder: a table of
likelihoods and the rest of the figures as JSON, six pictures, the models.
"""

from __future__ import annotations

import contextlib
import os
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyarsimple import datasets, demo_uses, evaluation, optimizers, plots, reports, twins
from pyarsimple.autoregressive import Array, AutoregressiveModel
from pyarsimple.models import MODELS
from pyarsimple.training import History, fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Recipe:
    """How a model of the demo is made and trained.

    Attributes
    ----------
    title : str
        Its name in tables and pictures.
    model : str
        Its name in the registry, and of its file.
    settings : dict
        For the constructor.
    training : dict or None
        For `fit`; None where the model has a closed form.
    """

    title: str
    model: str
    settings: Mapping[str, Any]
    training: Mapping[str, Any] | None


#: The settings were chosen on the validation split alone. There are only 1197 digits, so
#: what matters is not to learn them by heart: dropout, small weights, and stopping early.
RECIPES = (
    Recipe("independent bits", "independent", {}, None),
    Recipe(
        "FVSBN",
        "fvsbn",
        {},
        {"optimizer": optimizers.LBFGS(n_iterations=10), "l2": 1e-3, "max_epochs": 10},
    ),
    Recipe(
        "NADE",
        "nade",
        {"n_hidden": 200, "hidden": "relu", "dropout": 0.3, "dtype": "float32"},
        {"optimizer": optimizers.Adam(0.02), "l2": 1e-3, "average": 0.99, "max_epochs": 60},
    ),
    Recipe(
        "MADE",
        "made",
        {"hidden_sizes": (1000,), "direct": True, "dropout": 0.5, "dtype": "float32"},
        {
            "optimizer": optimizers.Adam(0.01),
            "batch_size": 50,
            "l2": 2e-3,
            "average": 0.99,
            "max_epochs": 100,
        },
    ),
)

COLUMNS = (
    ("model", ""), ("parameters", ",d"), ("seconds", ".1f"), ("train", ".2f"), ("valid", ".2f"),
    ("test", ".2f"), ("s.e.", ".2f"), ("bits/dim", ".3f"),
)  # fmt: skip
LEGEND = """\
train, valid, test: mean negative log-likelihood in nats, lower is better; s.e.:
standard error of the test mean; bits/dim: of test (a fair coin a pixel has 1)"""
SPLITS = ("train", "valid", "test")
N_SAMPLES = 60
N_MAPS = 4
CLASSIFIER = "a NADE a digit"  # the title of its bar
QUICK_EPOCHS = 2


@dataclass
class Trained:
    """A model of the demo after training, and what that took."""

    recipe: Recipe
    model: AutoregressiveModel
    history: History | None
    seconds: float
    scores: dict[str, evaluation.Score]


@contextlib.contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Matrices this small gain nothing from more, and lose tenfold where other work is running."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
    else:
        with threadpool_limits(1, user_api="blas"):
            yield


def _closed_form(model: Any, x: Any, title: str, progress: bool) -> None:
    """Fit what needs no epochs; the bar shows its one step."""
    if not progress:
        model.fit(x)
        return
    from tqdm import tqdm

    with tqdm(total=1, desc=title, unit="step", dynamic_ncols=True) as bar:
        model.fit(x)
        bar.update()


def _bar_title(title: str) -> str:
    return f"{title:<{max(len(r.title) for r in RECIPES)}}"


def train(
    recipe: Recipe,
    data: datasets.Splits,
    rng: np.random.SeedSequence,
    *,
    quick: bool,
    progress: bool,
) -> Trained:
    """Make the model of a recipe, train it and score it on every split."""
    for_model, for_fit = rng.spawn(2)
    title = _bar_title(recipe.title)
    model = MODELS[recipe.model](data.n_dims, rng=for_model, **recipe.settings)
    history = None
    started = time.perf_counter()
    with _one_blas_thread():
        if recipe.training is None:
            _closed_form(model, data.train, title, progress)
        else:
            settings = {**recipe.training, "rng": for_fit, "progress": progress and title}
            if quick:
                settings["max_epochs"] = QUICK_EPOCHS
            history = fit(model, data.train, data.valid, **settings)
    seconds = time.perf_counter() - started
    if history is not None and history.stopped == "interrupted":
        raise KeyboardInterrupt
    scores = {name: evaluation.evaluate(model, x) for name, x in data.items()}
    return Trained(recipe, model, history, seconds, scores)


def table(trained: list[Trained]) -> str:
    """The likelihoods of all models, in nats, within 80 columns."""
    rows = []
    for t in trained:
        nll = [t.scores[name].nll for name in SPLITS]
        test = t.scores["test"]
        rows.append([t.recipe.title, t.model.n_params, t.seconds, *nll,
                     test.standard_error, test.bits_per_dim])  # fmt: skip
    return reports.table(COLUMNS, rows)


def use(
    trained: list[Trained],
    data: datasets.Splits,
    rng: np.random.SeedSequence,
    *,
    quick: bool,
    progress: bool,
) -> list[demo_uses.Use]:
    """What densities are for: completing, finding anomalies, classifying.

    The first two are done by the model that is likeliest on the validation split.
    """
    best = min(trained, key=lambda t: t.scores["valid"].nll).model
    labelled = {name: (x, y) for name, x, y in data.labelled()}
    (x, _), shape = labelled["test"], data.image_shape or (1, data.n_dims)
    streams = rng.spawn(3)
    with _one_blas_thread():
        classified = demo_uses.classify(
            labelled, shape, streams[2], progress=progress and _bar_title(CLASSIFIER),
            max_epochs=QUICK_EPOCHS if quick else demo_uses.CLASSIFIER_EPOCHS,
        )  # fmt: skip
        return [
            demo_uses.complete(best, x, shape, streams[0]),
            demo_uses.find_anomalies(best, x, shape, streams[1]),
            classified,
        ]


def results(
    trained: list[Trained], uses: list[demo_uses.Use], data: datasets.Splits, seed: int
) -> dict[str, Any]:
    """All that the text says and more, for JSON."""
    splits = dict(data.items())
    comparison = evaluation.compare({t.recipe.model: t.model for t in trained}, splits["test"])
    return {
        "data": data.name,
        "n_dims": data.n_dims,
        "rows": {name: len(x) for name, x in splits.items()},
        "seed": seed,
        "backend": twins.active_backend(),
        "units": "nll, standard_error, mean: nats per example",
        "models": {t.recipe.model: _result(t) for t in trained},
        "test_differences": comparison.to_dict()["differences"],
        "uses": {u.file.removesuffix(".png"): u.found for u in uses},
    }


def _result(t: Trained) -> dict[str, Any]:
    recipe, history = t.recipe, t.history
    return {
        "title": recipe.title,
        "file": f"{recipe.model}.npz",
        "n_params": t.model.n_params,
        "seconds": t.seconds,
        **{name: asdict(score) for name, score in t.scores.items()},
        "settings": _plain(recipe.settings),
        "training": recipe.training and _plain(recipe.training),
        "history": history and history.to_dict(),
    }


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON holds them; an optimizer by its repr."""
    plain = (int, float, str, tuple)
    return {k: v if isinstance(v, plain) else repr(v) for k, v in settings.items()}


def draw_samples(
    trained: list[Trained], real: Array, shape: Sequence[int], rng: np.random.SeedSequence
) -> Figure:
    """Real digits beside as many from each model, none of them selected."""
    images = {"real digits\n(of the test split)": real[:N_SAMPLES]}
    for t, stream in zip(trained, rng.spawn(len(trained)), strict=True):
        title = f"{t.recipe.title}\n{t.scores['test'].nll:.2f} nats on test"
        images[title] = t.model.sample(N_SAMPLES, rng=stream)
    return plots.samples(images, shape)


def draw_learning_curves(trained: list[Trained]) -> Figure:
    """The curves of the models that were trained, and the level of those in closed form."""
    return plots.learning_curves(
        {t.recipe.title: t.history for t in trained if t.history is not None},
        references={t.recipe.title: t.scores["valid"].nll for t in trained if t.history is None},
    )


def draw_conditionals(trained: list[Trained], real: Array, shape: Sequence[int]) -> Figure:
    """What each model expected of each pixel of a few digits of the test split."""
    return plots.conditional_maps({t.recipe.title: t.model for t in trained}, real[:N_MAPS], shape)


def run(
    out: str | os.PathLike[str], *, seed: int = 0, quick: bool = False, progress: bool = True
) -> dict[str, Any]:
    """Train, use, print what came of it; write pictures, JSON and models to the folder ``out``.

    Parameters
    ----------
    out : path
        A folder, made if need be; files of the same names in it are replaced.
    seed : int
        All that is random follows from it.
    quick : bool
        Two epochs a model: shows that everything works, not what the models can do.
    progress : bool
        Whether to show a bar for each model.

    Returns
    -------
    dict
        What ``results.json`` holds.
    """
    out = reports.make_folder(out)
    plots.new_figure(1, 1)  # says at once, not after a minute, that Matplotlib is missing
    data = datasets.digits()
    rows = ", ".join(f"{len(x)} {name}" for name, x in data.items())
    print(f"8x8 handwritten digits, each pixel on or off: {rows}\n", flush=True)
    *for_models, for_samples, for_uses = np.random.SeedSequence(seed).spawn(len(RECIPES) + 2)
    how = {"quick": quick, "progress": progress}
    trained = [
        train(recipe, data, stream, **how)
        for recipe, stream in zip(RECIPES, for_models, strict=True)
    ]
    uses = use(trained, data, for_uses, **how)
    print(f"\n{table(trained)}\n{LEGEND}\n", flush=True)
    print("\n\n".join(textwrap.fill(u.told, reports.WIDTH) for u in uses) + "\n", flush=True)
    found = results(trained, uses, data, seed)
    _write(out, trained, uses, data, found, for_samples)
    return found


def _write(
    out: Path,
    trained: list[Trained],
    uses: list[demo_uses.Use],
    data: datasets.Splits,
    found: dict[str, Any],
    rng: np.random.SeedSequence,
) -> None:
    """Write everything, and say what each file is."""
    real, shape = dict(data.items())["test"], data.image_shape or (1, data.n_dims)
    pictures = {
        "samples.png": (
            "digits that each model drew, beside real ones",
            draw_samples(trained, real, shape, rng),
        ),
        "learning_curves.png": (
            "likelihood by epoch, on train and valid",
            draw_learning_curves(trained),
        ),
        "conditionals.png": (
            "p(x_i = 1 | x_<i) of every pixel of a few digits",
            draw_conditionals(trained, real, shape),
        ),
        **{u.file: (u.what, u.figure) for u in uses},
    }
    print(f"Wrote to {os.fspath(out)}:")
    for name, (what, figure) in pictures.items():
        reports.write_figure(out / name, figure)
        print(f"  {name:<20} {what}")
    reports.write_text(out / "results.json", reports.to_json(found))
    print(f"  {'results.json':<20} the table, differences, settings and curves")
    for t in trained:
        name = f"{t.recipe.model}.npz"
        t.model.save(out / name)
        print(f"  {name:<20} the model, {t.recipe.title}")
