"""The pictures of the reports. Imported only when one is asked for, and matplotlib with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyarsimple.checks.report import KINK, SKIPPED, WRONG, ItemReport
from pyarsimple.plots import COLOURS, INK, PALE, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pyarsimple.checks.causality import AutoregressiveReport
    from pyarsimple.checks.gradients import GradientReport
    from pyarsimple.checks.sampler import SamplerReport

GOOD, BAD, DOUBTFUL = COLOURS[0], COLOURS[1], COLOURS[4]


def gradients(report: GradientReport) -> Figure:
    """One line of points an array: the error of each entry tested, relative to the array's norm."""
    n = max(1, len(report.evidence))
    figure = new_figure(7.2, 0.6 + 0.55 * n)
    ax = figure.subplots()
    for k, (name, e) in enumerate(report.evidence.items()):
        scale = max(float(np.linalg.norm(e.A)), float(np.linalg.norm(e.g))) or 1.0
        error = np.maximum(np.abs(e.a - e.g) / scale, 1e-17)
        verdict = report.arrays[name].verdict
        spread = k + np.linspace(-0.3, 0.3, len(error)) if len(error) > 1 else np.array([float(k)])
        colours = np.where(e.wrong, DOUBTFUL if verdict == KINK else BAD, GOOD)
        ax.scatter(error, spread[: len(error)], s=9, c=list(colours), linewidths=0)
    ax.axvline(report.tolerance, color=PALE, linewidth=1.2, linestyle=":")
    ax.set_xscale("log")
    ax.set_xlim(1e-17, 10)
    ax.set_ylim(n - 0.5, -0.5)
    ax.set_yticks(range(len(report.evidence)), list(report.evidence))
    ax.set_xlabel("|analytic - numeric| / norm, each entry; dotted: tolerance", color=INK)
    _tidy(ax, report)
    return figure


def dependences(report: AutoregressiveReport) -> Figure:
    """The matrix, rows and columns in the order: what is allowed lies below the diagonal."""
    from matplotlib.colors import ListedColormap
    from matplotlib.lines import Line2D

    D = len(report.order)
    matrix = report.matrix[np.ix_(report.order, report.order)]
    wanted = report.wanted[np.ix_(report.order, report.order)]
    codes = np.where(matrix, np.where(wanted, 1, 2), np.where(wanted, 3, 0))
    figure = new_figure(5.0, 4.8)
    ax = figure.subplots()
    shades = ["#F2F2F2", GOOD, BAD, DOUBTFUL]
    ax.imshow(codes, cmap=ListedColormap(shades), vmin=-0.5, vmax=3.5, interpolation="nearest")
    step = max(1, D // 16)
    ticks = list(range(0, D, step))
    ax.set_xticks(ticks, [str(report.order[k]) for k in ticks])
    ax.set_yticks(ticks, [str(report.order[k]) for k in ticks])
    ax.set_xlabel("on variable j", color=INK)
    ax.set_ylabel("conditional of variable i depends", color=INK)
    names = ["depends, as it may", "leak", "cut path"]
    figure.legend(
        handles=[Line2D([], [], color=c, marker="s", linestyle="", label=t)
                 for c, t in zip(shades[1:], names, strict=True)],
        loc="outside lower center", ncols=3, fontsize=8, frameon=False,
    )  # fmt: skip
    _tidy(ax, report)
    return figure


def items(report: ItemReport) -> Figure:
    """One bar an item: how large its error is."""
    shown = [item for item in report.items if item.verdict != SKIPPED]
    figure = new_figure(7.2, 0.8 + 0.3 * max(1, len(shown)))
    ax = figure.subplots()
    for k, item in enumerate(shown):
        bad = item.verdict == WRONG
        error = item.error if item.error is not None and np.isfinite(item.error) else float(bad)
        ax.barh(k, max(float(error), 1e-17), color=BAD if bad else GOOD, left=1e-17, height=0.6)
    ax.set_xscale("log")
    ax.set_xlim(1e-17, 100)
    ax.set_ylim(max(1, len(shown)) - 0.5, -0.5)
    ax.set_yticks(range(len(shown)), [item.name for item in shown])
    ax.set_xlabel("error", color=INK)
    _tidy(ax, report)
    return figure


def _tidy(ax: Axes, report: Any) -> None:
    colour = GOOD if report.passed else BAD
    verdict = "passed" if report.passed else "FAILED"
    ax.set_title(f"{report.check}: {verdict}", color=colour, fontsize=10)
    ax.tick_params(colors=INK, labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)


def counts(report: SamplerReport) -> Figure:
    """Standardised differences of counts: a sampler that is right leaves a standard normal."""
    figure = new_figure(6.4, 3.6)
    ax = figure.subplots()
    for fit in report.fits.values():
        possible = fit.expected > 0
        expected, observed = fit.expected[possible], fit.observed[possible]
        z = (observed - expected) / np.sqrt(expected)
        bad = fit.p_value < report.alpha / len(report.fits)
        ax.scatter(expected, z, s=10, color=BAD if bad else GOOD, linewidths=0)
    for level in (-2.58, 2.58):
        ax.axhline(level, color=PALE, linewidth=1.2, linestyle=":")
    ax.set_xscale("log")
    ax.set_xlabel("expected count of a cell", color=INK)
    ax.set_ylabel("(count - expected) / sqrt(expected)", color=INK)
    _tidy(ax, report)
    return figure
