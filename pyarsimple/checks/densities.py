"""Is it a density, and is it one density? Sums, samples, and views that must agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from pyarsimple import density
from pyarsimple.checks.causality import check_autoregressive
from pyarsimple.checks.points import Values
from pyarsimple.checks.report import OK, SKIPPED, WRONG, Cause, Item, ItemReport
from pyarsimple.checks.subject import Subject, as_subject, call

if TYPE_CHECKING:
    pass

Array = npt.NDArray[Any]
Function = Callable[..., Any]

#: So many configurations are enumerated.
MOST_SUMMED = 2**14

#: Rows that are scored in one call, when all of them are enumerated.
BATCH = 4096


def judged(name: str, value: float, wanted: float, tolerance: float) -> Item:
    """One line: a number beside the one that is wanted."""
    error = abs(value - wanted)
    return Item(name, value, wanted, error, OK if error <= tolerance else WRONG)


def skipped(name: str, why: str) -> Item:
    """One line that says what was not tested."""
    return Item(name, why, None, None, SKIPPED)


class NormalizedReport(ItemReport):
    """The outcome of `check_normalized`: true if what was tested sums to one."""

    check: ClassVar[str] = "normalized"


def check_normalized(
    model: Any = None,
    D: int | None = None,
    *,
    log_prob: Function | None = None,
    log_conditionals: Function | None = None,
    outputs: Function | None = None,
    order: npt.ArrayLike | None = None,
    values: Values = None,
    max_configurations: int = MOST_SUMMED,
    n_contexts: int = 16,
    tolerance: float = 1e-9,
    rng: Any = 0,
) -> NormalizedReport:
    """Check that probabilities sum (densities integrate) to one.

    Up to ``max_configurations`` rows are enumerated, which is a proof. Where there are more, three
    things that together imply it are tested at random contexts: each conditional sums or
    integrates to one, their product is the probability, and no conditional looks ahead.

    Parameters
    ----------
    model : model, optional
        Anything with ``n_dims`` and one of ``log_prob``, ``log_conditionals`` or, where all
        variables are bits, ``conditionals``.
    D, order, values
        As in `check_autoregressive`; of a model its own (``values`` is "bits" unless it says).
    log_prob : callable, optional
        ``log_prob(x) -> (N,)``, in nats.
    log_conditionals : callable, optional
        ``log_conditionals(x) -> (N, D)``: log p(x_i | x_<i).
    outputs : callable, optional
        What is said of x_i given x_<i, as `check_autoregressive` takes it.
    max_configurations : int
        How many rows may be enumerated.
    n_contexts : int
        Random contexts for each conditional.
    tolerance : float
        Of sums; integrals have 1e-6 at least.
    rng : None, int, SeedSequence, BitGenerator or Generator
        As in SPEC 7.

    Returns
    -------
    NormalizedReport
    """
    s = as_subject(
        model, D, order, values, log_prob=log_prob, log_conditionals=log_conditionals,
        outputs=outputs,
    )  # fmt: skip
    s.need("check_normalized", "log_prob", "log_conditionals")
    random = np.random.default_rng(rng)
    report = NormalizedReport([])
    few = (s.configurations or np.inf) <= max_configurations
    if not few and s.log_conditionals is None and s.outputs is None:
        raise TypeError(
            "check_normalized needs log_conditionals(x) -> (N, D), for there are too many "
            "configurations to sum the probabilities of all"
        )
    if few:
        _enumerate(s, report, tolerance)
    if s.log_conditionals is not None:
        _each_conditional(s, report, n_contexts, tolerance, random)
    if s.log_conditionals is not None and s.log_prob is not None:
        _product(s, report, s.draw(random, 4 * n_contexts))
    if not few:
        _looks_ahead(s, report, random)
        if s.log_conditionals is None:
            report.warnings.append(
                "too many configurations to sum, and no log_conditionals: nothing was summed"
            )
    return report


def _enumerate(s: Subject, report: NormalizedReport, tolerance: float) -> None:
    """Sum the probabilities of all rows."""
    log_p = all_log_probs(s)
    total = float(np.exp(log_p).sum())
    report.items.append(judged(f"sum over all {len(log_p)} rows", total, 1.0, tolerance))
    if report.items[-1].verdict == OK:
        return
    readings = {
        "bits": (np.exp2(log_p).sum(), "log_prob is in bits (log2) where nats are meant"),
        "sign": (np.exp(-log_p).sum(), "log_prob has the wrong sign: it is -log p(x)"),
        "probability": (log_p.sum(), "log_prob is p(x) itself, not its logarithm"),
        "mean": (np.exp(s.D * log_p).sum(), "log_prob is the mean over the variables, not the sum"),
    }
    for kind, (value, text) in readings.items():
        if abs(value - 1) <= 1e-6:
            report.causes.append(
                Cause(kind, text, "log_prob", None, "log p(x) = sum_i log p(x_i | x_<i)")
            )
            return
    text = f"the probabilities of all rows sum to {total:.6g}"
    text += ": averaged logits or logarithms where probabilities are meant, or a conditional that "
    text += "looks ahead?"
    report.causes.append(Cause("not-normalized", text, "log_prob", None, "sum_x p(x) = 1"))


def all_log_probs(s: Subject) -> Array:
    """log p of all rows, in lexicographic order."""
    x = s.points.enumerate()
    blocks = [x[k : k + BATCH] for k in range(0, len(x), BATCH)]
    if s.log_prob is not None:
        parts = [call(s.log_prob, block, (len(block),), "log_prob") for block in blocks]
    else:
        assert s.log_conditionals is not None
        parts = [
            call(s.log_conditionals, b, b.shape, "log_conditionals").sum(axis=1) for b in blocks
        ]
    return np.concatenate(parts)


def _each_conditional(
    s: Subject, report: NormalizedReport, n: int, tolerance: float, rng: np.random.Generator
) -> None:
    """Sum (integrate) each conditional over the values of its variable, the others as they are."""
    assert s.log_conditionals is not None
    contexts = s.draw(rng, n)
    sums = np.empty((n, s.D))
    for i in range(s.D):
        density = _density_of(s, contexts, i)
        if s.points.real[i]:
            sums[:, i] = _integral(density, contexts[:, i], s.points.centre[i], s.points.spread[i])
        else:
            sums[:, i] = sum(density(float(v)) for v in range(int(s.points.counts[i])))
    tolerances = np.where(s.points.real, max(tolerance, 1e-6), tolerance)
    error = np.nan_to_num(np.abs(sums - 1), nan=np.inf) / tolerances
    row, worst = (int(k) for k in np.unravel_index(int(np.argmax(error)), sums.shape))
    item = judged(
        f"each conditional, worst: variable {worst}",
        float(sums[row, worst]),
        1.0,
        float(tolerances[worst]),
    )
    report.items.append(item)
    if item.verdict == WRONG:
        bad = np.flatnonzero((error > 1).any(axis=0)).tolist()
        text = f"the conditionals of {len(bad)} of {s.D} variables do not sum to one: "
        text += f"that of variable {worst} sums to {sums[row, worst]:.6g}"
        equation = "sum over v of p(x_i = v | x_<i) = 1"
        report.causes.append(Cause("conditional", text, "log_conditionals", (row, worst), equation))


def _density_of(s: Subject, contexts: Array, i: int) -> Callable[[float], Array]:
    """v -> p(x_i = v | the context) for every context, (n,)."""

    def density(v: float) -> Array:
        x = contexts.copy()
        x[:, i] = v
        assert s.log_conditionals is not None
        return np.exp(call(s.log_conditionals, x, x.shape, "log_conditionals")[:, i])

    return density


def _integral(
    density: Callable[[float], Array], around: Array, centre: float, spread: float
) -> Array:
    """The same as `integrate_line`, in units of the data."""
    of_standard = integrate_line(lambda u: density(centre + spread * u), (around - centre) / spread)
    return spread * of_standard


def integrate_line(density: Callable[[float], Array], around: Array) -> Array:
    """The integral over the real line of densities that are evaluated together, (n,)."""
    # Breakpoints close together near 0 and the contexts' own values, so that no peak is missed.
    points = np.concatenate(
        [np.sinh(np.linspace(-5, 5, 81)), np.linspace(-1, 1, 21) + around.mean()]
    )
    from scipy import integrate  # slow to import

    value, _ = integrate.quad_vec(
        density, -np.inf, np.inf, epsabs=1e-9, epsrel=1e-9, norm="max", points=np.unique(points),
        limit=20_000,
    )  # fmt: skip
    return np.asarray(value)


def _product(s: Subject, report: NormalizedReport, x: Array) -> None:
    """The conditionals must multiply to the probability."""
    assert s.log_prob is not None
    assert s.log_conditionals is not None
    log_p = call(s.log_prob, x, (len(x),), "log_prob")
    product = call(s.log_conditionals, x, x.shape, "log_conditionals").sum(axis=1)
    k = int(np.argmax(np.nan_to_num(np.abs(log_p - product), nan=np.inf)))
    close = 1e-9 * max(1.0, float(np.abs(log_p).max()))
    item = judged("log_prob = sum of log_conditionals", float(log_p[k]), float(product[k]), close)
    report.items.append(item)
    if item.verdict == WRONG:
        text = f"log_prob is {log_p[k]:.6g} where the conditionals sum to {product[k]:.6g}"
        report.causes.append(
            Cause("product", text, "log_prob", (k,), "log p(x) = sum_i log p(x_i | x_<i)")
        )


def _looks_ahead(s: Subject, report: NormalizedReport, rng: np.random.Generator) -> None:
    """Without enumeration, causality is what makes the product of conditionals sum to one."""
    function, own = (s.outputs, False) if s.outputs is not None else (s.log_conditionals, True)
    name = "no conditional looks ahead"
    if function is None:
        report.items.append(skipped(name, "no outputs"))
        return
    found = check_autoregressive(
        function, s.D, s.order, s.points, own=own, allow_cuts=True, tolerance=1e-9, rng=rng,
        n_points=32,
    )  # fmt: skip
    report.items.append(Item(name, f"{len(found.leaks)} leaks", 0, None, OK if found else WRONG))
    report.causes += found.causes


class ConsistencyReport(ItemReport):
    """The outcome of `check_consistent`: true if all views that are there agree."""

    check: ClassVar[str] = "consistent"


def check_consistent(
    model: Any = None,
    D: int | None = None,
    *,
    x: npt.ArrayLike | None = None,
    log_prob: Function | None = None,
    log_conditionals: Function | None = None,
    outputs: Function | None = None,
    conditionals: Function | None = None,
    loss: Function | None = None,
    start: Function | None = None,
    sample: Function | None = None,
    params: dict[str, Array] | None = None,
    order: npt.ArrayLike | None = None,
    values: Values = None,
    tolerance: float = 1e-9,
    rng: Any = 0,
) -> ConsistencyReport:
    """Check that the views of one density agree, and that looking at it does not change it.

    Parallel equals sequential, the loss is -mean(log_prob), a row does not depend on the rows
    beside it, the conditionals add up and, where there are few rows in all, are quotients of their
    probabilities' sums, a second call answers as the first, and parameters and x are
    bit-identical afterwards. What the model does not have is listed as skipped.

    Parameters
    ----------
    model : model, optional
        Anything with ``n_dims`` and some of the functions below.
    D, order, values
        As in `check_autoregressive`.
    x : array_like, shape (N, D), optional
        Rows to test with; drawn at random unless given.
    log_prob, log_conditionals, outputs, sample : callable, optional
        As in `check_normalized` and `check_sampler`.
    conditionals : callable, optional
        ``conditionals(x) -> (N, D)``: p(x_i = 1 | x_<i); for bits only.
    loss : callable, optional
        ``loss(x) -> float``, said to be -mean(log_prob(x)).
    start : callable, optional
        The sequential view: ``start(n)`` gives a state with ``outputs()`` and ``advance(x_i)``.
    params : dict of str to ndarray, optional
        The live parameters, which nothing of this may change.
    tolerance : float
        Relative, and absolute below 1.
    rng : None, int, SeedSequence, BitGenerator or Generator
        As in SPEC 7.

    Returns
    -------
    ConsistencyReport
    """
    s = as_subject(
        model, D, order, values, log_prob=log_prob, log_conditionals=log_conditionals, loss=loss,
        outputs=outputs, conditionals=conditionals, start=start, sample=sample, params=params,
    )  # fmt: skip
    names = ("log_prob", "log_conditionals", "outputs", "conditionals", "loss", "start", "sample")
    s.need("check_consistent", *names)
    rows = s.draw(rng, 24) if x is None else np.array(x)
    before = None if s.params is None else {k: np.array(p) for k, p in s.params.items()}
    report = ConsistencyReport([])
    for name, test in _TESTS.items():
        test(s, rows, report, name, tolerance)
    _untouched(s, before, report)
    return report


def _compare(
    report: ConsistencyReport, name: str, one: Array, two: Array, tolerance: float, cause: Cause
) -> None:
    """One line for two answers that must agree: where they are furthest apart."""
    one, two = np.asarray(one, dtype=np.float64), np.asarray(two, dtype=np.float64)
    scale = np.maximum(1, np.maximum(np.abs(one), np.abs(two)))
    with np.errstate(invalid="ignore"):
        error = np.where(one == two, 0, np.abs(one - two) / scale)
    error = np.nan_to_num(error, nan=np.inf)
    k = np.unravel_index(int(np.argmax(error)), error.shape) if error.ndim else ()
    item = Item(name, float(one[k]), float(two[k]), float(error[k]), OK)
    report.items.append(item)
    if not item.error or item.error <= tolerance:
        return
    item.verdict = WRONG
    index = tuple(int(i) for i in k) or None
    report.causes.append(Cause(cause.kind, cause.text, cause.array, index, cause.equation))


def _parallel_is_sequential(
    s: Subject, x: Array, report: ConsistencyReport, name: str, tolerance: float
) -> None:
    if s.start is None or s.outputs is None:
        report.items.append(skipped(name, "no sequential view"))
        return
    parallel = np.asarray(s.outputs(x.copy()), dtype=np.float64)
    state, stepped = s.start(len(x)), np.zeros_like(parallel)
    for i in s.order:
        said = np.asarray(state.outputs())
        if stepped.ndim == 3:  # variables may have different numbers of outputs
            stepped[:, i, : said.size // len(x)] = said.reshape(len(x), -1)
        else:
            stepped[:, i] = said
        state.advance(x[:, i].copy())
    text = (
        "the sequential view says something else than the parallel one: a state one step late, or "
    )
    text += "the order where its inverse is meant?"
    equation = "in step k: outputs() is of x_i, i = order[k]; then advance(x_i)"
    cause = Cause("sequential", text, "state.outputs()", None, equation)
    _compare(report, name, stepped, parallel, tolerance, cause)


def _loss_is_mean(
    s: Subject, x: Array, report: ConsistencyReport, name: str, tolerance: float
) -> None:
    if s.loss is None or s.log_prob is None:
        report.items.append(skipped(name, "no loss"))
        return
    log_p = call(s.log_prob, x, (len(x),), "log_prob")
    loss, wanted = float(s.loss(x.copy())), -float(log_p.mean())
    ratio = loss / wanted if wanted else 0.0
    known = {
        "the sum over rows": float(len(x)),
        "a mean over variables too": 1 / s.D,
        "its negative": -1.0,
        "in bits": 1 / np.log(2),
    }
    fits = [what for what, r in known.items() if r != 1 and abs(ratio - r) < 1e-6 * abs(r)]
    text = "the loss is not -mean(log_prob)" + (f": it is {fits[0]}" if fits else "")
    cause = Cause("loss", text, "loss", None, "loss = -log_prob(x).mean()")
    _compare(report, name, np.array(loss), np.array(wanted), tolerance, cause)


def _either(s: Subject) -> str:
    """Which of the two is missing."""
    return "log_prob" if s.log_prob is None else "log_conditionals"


def _adds_up(s: Subject, x: Array, report: ConsistencyReport, name: str, tolerance: float) -> None:
    if s.log_prob is None or s.log_conditionals is None:
        report.items.append(skipped(name, f"no {_either(s)}"))
        return
    total = call(s.log_conditionals, x, x.shape, "log_conditionals").sum(axis=1)
    log_p = call(s.log_prob, x, (len(x),), "log_prob")
    text = "log_prob is not the sum of log_conditionals"
    cause = Cause("product", text, "log_prob", None, "log p(x) = sum_i log p(x_i | x_<i)")
    _compare(report, name, log_p, total, tolerance, cause)


def _quotients(
    s: Subject, x: Array, report: ConsistencyReport, name: str, tolerance: float
) -> None:
    """Conditionals that multiply to p(x) may still be those of another order, or of no one."""
    if s.log_prob is None or s.log_conditionals is None:
        report.items.append(skipped(name, f"no {_either(s)}"))
        return
    if (s.configurations or np.inf) > MOST_SUMMED:
        report.items.append(skipped(name, "too many rows to sum"))
        return
    said = np.exp(call(s.log_conditionals, x, x.shape, "log_conditionals"))
    table = np.exp(all_log_probs(s)).reshape(s.points.counts).transpose(s.order)
    wanted = np.empty_like(said)
    with np.errstate(divide="ignore", invalid="ignore"):
        in_order = density.log_conditionals(table, x[:, s.order].astype(np.intp))
    wanted[:, s.order] = np.exp(in_order)
    wanted = np.where(np.isnan(wanted), said, wanted)  # after what is impossible all is right
    text = "log_conditionals are not the conditionals of p in this order, though they may multiply "
    cause = Cause(
        "quotients", text + "to it: sums over the rows that begin alike give others",
        "log_conditionals", None, "p(x_i | x_<i) = p(x_0, ..., x_i) / p(x_<i)",
    )  # fmt: skip
    _compare(report, name, said, wanted, tolerance, cause)


def _bits_agree(
    s: Subject, x: Array, report: ConsistencyReport, name: str, tolerance: float
) -> None:
    if s.conditionals is None or not (s.points.counts == 2).all():
        report.items.append(skipped(name, "no conditionals of bits"))
        return
    if s.log_conditionals is None or s.derived:
        report.items.append(skipped(name, "no log_conditionals"))
        return
    p = call(s.conditionals, x, x.shape, "conditionals")
    log_p = call(s.log_conditionals, x, x.shape, "log_conditionals")
    text = (
        "conditionals(x) and log_conditionals(x) are of different distributions: a sigmoid twice?"
    )
    cause = Cause("conditionals", text, "conditionals", None, "p if x_i = 1, 1 - p if x_i = 0")
    _compare(report, name, np.exp(log_p), np.where(x == 1, p, 1 - p), tolerance, cause)


def _rows_alone(
    s: Subject, x: Array, report: ConsistencyReport, name: str, tolerance: float
) -> None:
    function = s.log_prob or s.log_conditionals or s.outputs
    if function is None:
        report.items.append(skipped(name, "no log_prob"))
        return
    together = np.asarray(function(x.copy()), dtype=np.float64)
    alone = np.concatenate([np.asarray(function(x[n : n + 1].copy())) for n in range(len(x))])
    text = "a row is scored differently when it is alone: batch normalisation, or a wrong axis?"
    cause = Cause("rows", text, "log_prob", None, "log_prob(x)[n] = log_prob(x[n : n + 1])[0]")
    _compare(report, name, together, alone, tolerance, cause)


def _same_again(
    s: Subject, x: Array, report: ConsistencyReport, name: str, tolerance: float
) -> None:
    function = s.log_prob or s.log_conditionals or s.outputs
    if function is None:
        report.items.append(skipped(name, "no log_prob"))
        return
    given = x.copy()
    first = np.array(function(given), dtype=np.float64)
    if not np.array_equal(given, x):
        text = "scoring changed the x that it was given"
        report.causes.append(Cause("x-modified", text, "x", None, "x = x - m, not x -= m"))
        report.items.append(Item("x left alone", None, None, None, WRONG))
    text = (
        "the same rows are scored differently by a second call: dropout, or a state that is kept?"
    )
    cause = Cause("random", text, "log_prob", None, "log_prob(x) = log_prob(x), in every call")
    _compare(report, name, np.asarray(function(x.copy())), first, tolerance, cause)


_TESTS: dict[str, Callable[[Subject, Array, ConsistencyReport, str, float], None]] = {
    "parallel = sequential": _parallel_is_sequential,
    "loss = -mean(log_prob)": _loss_is_mean,
    "log_prob = sum of log_conditionals": _adds_up,
    "log_conditionals = quotients of sums of p": _quotients,
    "conditionals = exp(log_conditionals)": _bits_agree,
    "each row alone = in a batch": _rows_alone,
    "second call = first": _same_again,
}


def _untouched(s: Subject, before: dict[str, Array] | None, report: ConsistencyReport) -> None:
    """Everything above, and a sample, must have left the parameters as they were, in every bit."""
    name = "parameters left alone"
    if before is None or s.params is None:
        report.items.append(skipped(name, "no params"))
        return
    if s.sample is not None:
        s.sample(3, np.random.default_rng(0))
    changed = [k for k, p in before.items() if not np.array_equal(p, s.params[k], equal_nan=True)]
    report.items.append(Item(name, ", ".join(changed), None, None, WRONG if changed else OK))
    if changed:
        text = f"scoring or sampling changed {', '.join(changed)}: a mask written into the weights?"
        report.causes.append(Cause("params-modified", text, changed[0], None, "W * M, not W *= M"))
