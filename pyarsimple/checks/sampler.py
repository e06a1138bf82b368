"""Whether samples come from the density that the model claims."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from pyarsimple import orders
from pyarsimple._validation import check_size
from pyarsimple.checks.densities import all_log_probs
from pyarsimple.checks.points import Values
from pyarsimple.checks.report import OK, WRONG, Cause, Item, ItemReport
from pyarsimple.checks.subject import Subject, as_subject, call
from pyarsimple.density import count_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]
Function = Callable[..., Any]

#: So many configurations are counted one by one.
MOST_COUNTED = 2**12

#: Cells of a chi-square test are pooled until each is expected to hold so many.
FEWEST = 5.0

#: An explanation of a misfit counts if under it the samples have at least this p-value.
LIKELY = 1e-3


@dataclass
class Fit:
    """A chi-square test: counts against expected counts.

    Attributes
    ----------
    statistic, p_value : float
    dof : int
        Degrees of freedom.
    observed, expected : ndarray
        Counts of the cells after pooling.
    """

    statistic: float
    p_value: float
    dof: int
    observed: Array
    expected: Array


def pearson(observed: Array, expected: Array) -> float:
    """Pearson's statistic: the sum over all cells of (observed - expected)^2 / expected."""
    return float(((observed - expected) ** 2 / expected).sum())


def chi_square(observed: Array, expected: Array) -> Fit:
    """Pearson's test, cells of small expectation pooled; what is impossible must not occur."""
    if np.any(observed[expected == 0]):
        return Fit(np.inf, 0.0, 1, observed, expected)
    ascending = np.argsort(expected, kind="stable")
    observed, expected = observed[ascending], expected[ascending]
    total = np.cumsum(expected)
    small = int(np.searchsorted(expected, FEWEST))  # cells that are too small by themselves
    group = np.minimum(
        (total / FEWEST).astype(int), int(total[small - 1] // FEWEST) if small else 0
    )
    group[small:] = (group[small - 1] if small else -1) + 1 + np.arange(len(group) - small)
    group = np.unique(group, return_inverse=True)[1]
    o, e = np.bincount(group, observed), np.bincount(group, expected)
    if len(e) > 1 and e[0] < FEWEST:
        o, e = np.r_[o[0] + o[1], o[2:]], np.r_[e[0] + e[1], e[2:]]
    statistic, dof = pearson(o, e), len(e) - 1
    from scipy import stats  # slow to import

    p_value = float(stats.chi2.sf(statistic, dof)) if dof else 1.0
    return Fit(statistic, p_value, dof, o, e)


def detectable(dof: int, alpha: float, power: float) -> float:
    """The noncentrality that a chi-square test of so many degrees of freedom notices so often."""
    if dof == 0:
        return np.inf
    from scipy import optimize, stats

    critical = stats.chi2.isf(alpha, dof)

    def short(noncentrality: float) -> float:
        return float(stats.ncx2.sf(critical, dof, noncentrality)) - power

    return float(optimize.brentq(short, 1e-9, 10 * critical + 1e3))


@dataclass(repr=False)
class SamplerReport(ItemReport):
    """The outcome of `check_sampler`: true if the samples fit the probabilities.

    Attributes
    ----------
    items : list of Item
    n : int
        How many samples were drawn.
    alpha : float
        How often a sampler that is right is rejected.
    distance : float
        The smallest distance that is noticed 99 times in 100: the root of the mean squared relative
        error of the cells' probabilities.
    fits : dict of str to Fit
        The chi-square tests.
    """

    check: ClassVar[str] = "sampler"
    n: int
    alpha: float
    distance: float
    fits: dict[str, Fit]

    def summary(self) -> str:
        """The p-value and the power."""
        worst = min((fit.p_value for fit in self.fits.values()), default=float("nan"))
        return (
            f"{self.n} samples, smallest p-value {worst:.2g} (rejected below {self.alpha:.0e} in "
            f"all); power: probabilities off by {100 * self.distance:.2g}% (root mean square) "
            "would be noticed 99 times in 100"
        )

    def plot(self) -> Figure:
        """Counts against expected counts, with the band in which 99 of 100 should lie."""
        from pyarsimple.checks import pictures

        return pictures.counts(self)

    def _details(self) -> dict[str, Any]:
        fits = {k: vars(f) for k, f in self.fits.items()}
        return super()._details() | {"n": self.n, "alpha": self.alpha, "distance": self.distance,
                                     "fits": fits}  # fmt: skip


def check_sampler(
    model: Any = None,
    D: int | None = None,
    *,
    sample: Function | None = None,
    log_prob: Function | None = None,
    log_conditionals: Function | None = None,
    order: npt.ArrayLike | None = None,
    values: Values = None,
    n: int = 20_000,
    alpha: float = 1e-6,
    max_configurations: int = MOST_COUNTED,
    rng: Any = 0,
) -> SamplerReport:
    """Compare samples with the probabilities that the same model claims, by chi-square tests.

    Where there are few configurations each one is counted. Where there are many (or real numbers)
    each sample is ranked within its own conditional, p(x_i <= value | x_<i): if the sampler is
    right these ranks are uniform for every variable, and independent of the variable before it.

    Parameters
    ----------
    model : model, optional
        Anything with ``n_dims``, ``sample(n, rng=...)`` and one of ``log_prob``,
        ``log_conditionals`` or, where all variables are bits, ``conditionals``.
    D, order, values
        As in `check_autoregressive`.
    sample : callable, optional
        ``sample(n, rng) -> (n, D)``, rng a ``numpy.random.Generator``.
    log_prob, log_conditionals : callable, optional
        As in `check_normalized`; the second is needed where there are many configurations.
    n : int
        How many samples. Of these at most 2000 are used where a variable is real, for each rank is
        an integral; the report's ``n`` says how many were.
    alpha : float
        How often a sampler that is right may be rejected.
    max_configurations : int
        How many may be counted one by one.
    rng : None, int, SeedSequence, BitGenerator or Generator
        As in SPEC 7; the default draws the same samples at each call.

    Returns
    -------
    SamplerReport
        Its summary states the power: how small an error would have been noticed.
    """
    s = as_subject(
        model, D, order, values, sample=sample, log_prob=log_prob, log_conditionals=log_conditionals
    )
    s.need("check_sampler", "sample")
    s.need("check_sampler", "log_prob", "log_conditionals")
    n = check_size(n, "n")
    random = np.random.default_rng(rng)
    report = SamplerReport([], n, alpha, np.inf, {})
    x = _draw(s, report, n, random)
    if x is None:
        return report
    few = (s.configurations or np.inf) <= max_configurations
    if few:
        _count(s, report, x)
    elif s.log_conditionals is not None:
        _rank(s, report, x, random)
    else:
        raise TypeError(
            "check_sampler needs log_conditionals(x) -> (N, D), for there are too many "
            "configurations to count each"
        )
    if report.fits:
        worst = max(report.fits.values(), key=lambda f: f.dof)
        level = alpha / len(report.fits)
        report.distance = float(np.sqrt(detectable(worst.dof, level, 0.99) / report.n))
    return report


def _draw(s: Subject, report: SamplerReport, n: int, rng: np.random.Generator) -> Array | None:
    """The samples, if they have the right form and are not always the same."""
    assert s.sample is not None
    x = np.asarray(s.sample(n, rng))
    if x.shape != (n, s.D):
        raise ValueError(f"sample(n, rng) must return shape (n, D) = ({n}, {s.D}), got {x.shape}")
    form = s.points.contains(x)
    report.items.append(Item("values are possible ones", None, None, None, OK if form else WRONG))
    if not form:
        text = f"samples between {x.min():g} and {x.max():g} are not all possible values"
        equation = "x_i is one of 0, ..., K - 1; a bit 0 or 1"
        report.causes.append(Cause("values", text, "sample", None, equation))
        return None
    again = np.asarray(s.sample(n, rng))
    fresh = n * s.D < 32 or not np.array_equal(x, again) or not len(np.unique(x[:, 0])) > 1
    report.items.append(Item("a second call draws anew", None, None, None, OK if fresh else WRONG))
    if not fresh:
        text = "two calls gave the same samples: the seed is set within the sampler"
        report.causes.append(
            Cause("seed", text, "sample", None, "rng = np.random.default_rng(rng), once")
        )
    return x.astype(s.points.dtype)


def _count(s: Subject, report: SamplerReport, x: Array) -> None:
    """Count every configuration."""
    p = np.exp(all_log_probs(s))
    p = p / p.sum()
    fit = _fit_of(s, x, p)
    name = f"counts of {len(p)} configurations"
    wrong = fit.p_value < report.alpha
    report.fits[name] = fit
    item = Item(
        name, f"chi2 {fit.statistic:.1f}", f"{fit.dof} dof", fit.p_value, WRONG if wrong else OK
    )
    report.items.append(Item(item.name, item.value, item.wanted, None, item.verdict))
    if wrong:
        report.causes.append(_why(s, x, p, fit))


def _fit_of(s: Subject, x: Array, p: Array) -> Fit:
    return chi_square(count_rows(x, s.points.counts.tolist()), len(x) * p)


def _why(s: Subject, x: Array, p: Array, fit: Fit) -> Cause:
    """Samples that fit once they are put right tell what went wrong."""
    if found := _permuted(s, x, p):
        return found
    mirrored = (s.points.counts - 1 - x).astype(x.dtype)
    if _fit_of(s, mirrored, p).p_value > LIKELY:
        text = "the samples are mirrored: u > p where u < p is meant"
        return Cause("mirrored", text, "sample", None, "x_i = (u < p_i)")
    rows, n = s.points.enumerate().astype(int), len(x)
    alone, own = _independent(s, x.astype(int), np.full(n, 1 / n)), _independent(s, rows, p)
    if _fit_of(s, x, alone).p_value > LIKELY > chi_square(n * p, n * own).p_value:
        text = "the variables of the samples are independent: what was drawn before is ignored"
        return Cause("independent", text, "sample", None, "x_i ~ p(x_i | x_<i), the x_<i as drawn")
    with np.errstate(divide="ignore"):
        k = int(np.argmax((fit.observed - fit.expected) ** 2 / fit.expected))
    text = f"the samples do not fit: a cell that should come {fit.expected[k]:.1f} times came "
    text += f"{fit.observed[k]:.0f} times"
    return Cause("sampler", text, "sample", None, "x_i ~ p(x_i | x_<i), one after the other")


def _independent(s: Subject, x: Array, weight: Array) -> Array:
    """p of all configurations, if the variables were independent, each distributed as in x."""
    rows = s.points.enumerate().astype(int)
    of_each = [np.bincount(x[:, i], weight, minlength=K) for i, K in enumerate(s.points.counts)]
    return np.asarray(np.prod([of_each[i][rows[:, i]] for i in range(s.D)], axis=0))


def _permuted(s: Subject, x: Array, p: Array) -> Cause | None:
    """Whether the samples are right but for the order of their columns."""
    natural = np.arange(s.D)
    known = [
        (s.order, "in order where its inverse was meant, or the reverse of that"),
        (orders.inverse(s.order), "in order where its inverse was meant, or the reverse of that"),
        (natural[::-1], "from the last to the first"),
        (np.roll(natural, 1), "one place too far to the left"),
        (np.roll(natural, -1), "one place too far to the right"),
    ]
    for columns, text in known:
        possible = np.array_equal(s.points.counts[columns], s.points.counts)
        if not possible or np.array_equal(columns, natural):
            continue
        if _fit_of(s, x[:, columns], p).p_value > LIKELY:
            text = f"the columns are written {text}: taken as {columns.tolist()} the samples fit"
            return Cause("order", text, "sample", None, "x[:, order[k]] is drawn in step k")
    return None


def _rank(s: Subject, report: SamplerReport, x: Array, rng: np.random.Generator) -> None:
    """Ranks within the conditionals: uniform, for each variable and beside the one before it."""
    if not s.points.finite:
        x = x[: max(200, min(len(x), 2000))]
    ranks = _ranks(s, x, rng)  # (n, D), uniform in [0, 1)
    bins = 10
    cells = np.minimum((ranks * bins).astype(int), bins - 1)
    alpha = report.alpha / (2 * s.D)
    report.n = len(x)
    for kind in ("rank", "rank with the one before"):
        worst, where = None, 0
        for k, i in enumerate(s.order):
            if kind == "rank":
                fit = _uniform(cells[:, [i]], bins)
            elif k:
                before = s.order[k - 1]
                fit = _uniform(cells[:, [i, before]], bins)
            else:
                continue
            report.fits[f"{kind} of variable {i}"] = fit
            if worst is None or fit.p_value < worst.p_value:
                worst, where = fit, int(i)
        if worst is None:
            continue
        wrong = worst.p_value < alpha
        name = f"{kind}, variable {where}"
        report.items.append(
            Item(
                name,
                f"chi2 {worst.statistic:.1f}",
                f"{worst.dof} dof",
                None,
                WRONG if wrong else OK,
            )
        )
        if wrong and not report.causes:
            text = f"the samples of variable {where} do not follow p(x_{where} | x_<{where})"
            equation = "x_i ~ p(x_i | x_<i), in the order, with the x_<i that were drawn"
            report.causes.append(Cause("sampler", text, "sample", (where,), equation))


def _uniform(cells: Array, bins: int) -> Fit:
    """Whether all rows of cells, each one of so many bins, are equally frequent."""
    counts = count_rows(cells, [bins] * cells.shape[1])
    return chi_square(counts, np.full(len(counts), len(cells) / len(counts)))


def _ranks(s: Subject, x: Array, rng: np.random.Generator) -> Array:
    """P(X_i < x_i | x_<i), and of what is at x_i itself a random share."""
    assert s.log_conditionals is not None
    ranks = np.empty(x.shape)
    p = np.exp(call(s.log_conditionals, x, x.shape, "log_conditionals"))
    share = rng.random(x.shape) * p
    for i, K in enumerate(s.points.counts):
        if s.points.real[i]:
            ranks[:, i] = _rank_on_grid(s, x, i)
            continue
        below = np.zeros(len(x))
        if K == 2:  # what is not at 1 is at 0: no further call is needed
            below = np.where(x[:, i] == 1, 1 - p[:, i], 0)
        for v in range(K - 1 if K > 2 else 0):
            below += np.where(v < x[:, i], np.exp(_log_p(s, x, i, v)), 0)
        ranks[:, i] = below + share[:, i]
    return np.clip(ranks, 0, 1)


def _log_p(s: Subject, x: Array, i: int, value: Any) -> Array:
    """log p(x_i = value | x_<i) in every row."""
    assert s.log_conditionals is not None
    changed = x.copy()
    changed[:, i] = value
    return call(s.log_conditionals, changed, x.shape, "log_conditionals")[:, i]


def _rank_on_grid(s: Subject, x: Array, i: int) -> Array:
    """The integral of the density up to x_i by trapezoids, those about the samples the finest."""
    low, high = x[:, i].min(), x[:, i].max()
    margin = 0.5 * (high - low) + s.points.spread[i]
    inner = np.quantile(x[:, i], np.linspace(0, 1, 201))
    grid = np.unique(np.r_[np.linspace(low - margin, high + margin, 401), inner])
    density = np.stack([np.exp(_log_p(s, x, i, t)) for t in grid], axis=1)  # (n, grid)
    mass = np.cumsum((density[:, 1:] + density[:, :-1]) / 2 * np.diff(grid), axis=1)
    mass = np.concatenate([np.zeros((len(x), 1)), mass], axis=1)
    return np.array([np.interp(v, grid, m) for v, m in zip(x[:, i], mass, strict=True)])
