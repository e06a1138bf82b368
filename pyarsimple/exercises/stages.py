"""The stages that most exercises share: shapes, values, silence at extremes, dependences, cost."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from pyarsimple.exercises.answers import (
    Answer,
    Array,
    Case,
    Costly,
    Function,
    Outcome,
    Wrong,
    by_name,
    check_form,
    quiet,
    show,
    show_case,
    watched,
)
from pyarsimple.exercises.cases import cycle
from pyarsimple.exercises.counting import count
from pyarsimple.exercises.grader import Stage


def stages_of(
    function: Function, points: float | Sequence[float], group: str = ""
) -> tuple[Stage, ...]:
    """A stage for the shapes (1 point), and one for each result of the function."""
    weights = [points] if isinstance(points, (int, float)) else list(points)
    many = len(function.returns) > 1
    return (
        shapes(function, group=group),
        *(
            values(function, weight, name, stage=name if many else "values", group=group)
            for name, weight in zip(function.returns, weights, strict=True)
        ),
    )


def shapes(function: Function, points: float = 1, group: str = "") -> Stage:
    """The function runs on every case, and what it returns has the right form."""

    def judge(answer: Answer) -> str:
        outcomes = answer.outcomes(function)
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        last = outcomes[-1].wanted
        forms = [f"{name} {a.shape}" for name, a in last.items() if a is not None]
        return ", ".join(forms)

    return Stage("shapes", points, judge, group=group, gate=True)


def values(
    function: Function, points: float, name: str, *, stage: str = "values", group: str = ""
) -> Stage:
    """One result of the function agrees with the definition on every case."""

    def judge(answer: Answer) -> str:
        outcomes = answer.outcomes(function)
        bad = [outcome for outcome in outcomes if _excess(function, outcome, name) > 1]
        if not bad:
            return f"{len(outcomes)} cases agree with the definition"
        raise Wrong(
            f"{len(bad)} of {len(outcomes)} cases differ from the definition",
            _example(function, bad[0], name),
            cause_of(function, outcomes, name),
        )

    return Stage(stage, points, judge, group=group)


def _parts(arrays: Iterable[str], name: str) -> list[str]:
    return [key for key in arrays if key == name or key.startswith(f"{name}[")]


def _excess(function: Function, outcome: Outcome, name: str) -> float:
    """The largest error of a result, in units of the tolerance."""
    worst = 0.0
    for key in _parts(outcome.wanted, name):
        got, wanted = outcome.got[key], outcome.wanted[key]
        if got is not None and wanted is not None:
            worst = max(worst, float(function.excess(got, wanted).max(initial=0)))
    return worst


def _example(function: Function, outcome: Outcome, name: str) -> list[str]:
    lines = show_case(function.arguments, outcome.case)
    for key in _parts(outcome.wanted, name):
        got, wanted = outcome.got[key], outcome.wanted[key]
        if got is None or wanted is None or function.excess(got, wanted).max(initial=0) <= 1:
            continue
        yours, true = show(f"your {key}", got), show(f"true {key}", wanted)
        lines += yours + true
        if len(yours) > 2 or np.allclose(got, wanted, rtol=1e-3, atol=0):
            worst = np.unravel_index(np.argmax(function.excess(got, wanted)), got.shape)
            place = ", ".join(map(str, worst))
            lines.append(f"at [{place}]: yours {got[worst]:.16g}, true {wanted[worst]:.16g}")
    return lines


# The likely cause.


def cause_of(function: Function, outcomes: Sequence[Outcome], name: str) -> str:
    """The sentence of the suspect that did the same in every case, or what can be seen."""
    for cause, suspect in function.suspects.items():
        if _has_done(function, outcomes, name, suspect):
            return cause
    for outcome in reversed(outcomes):  # the largest case has the clearest traces
        for key in _parts(outcome.wanted, name):
            got, wanted = outcome.got[key], outcome.wanted[key]
            if got is None or wanted is None:
                continue
            if function.excess(got, wanted).max(initial=0) > 1:
                return what_is_seen(function, outcome, key, got, wanted)
    return ""


def _has_done(
    function: Function, outcomes: Sequence[Outcome], name: str, suspect: Callable[..., Any]
) -> bool:
    for outcome in outcomes:
        with quiet():
            made = by_name(function.returns, suspect(*copy.deepcopy(outcome.case)))
        for key in _parts(outcome.wanted, name):
            a, b, wanted = outcome.got[key], made.get(key), outcome.wanted[key]
            if wanted is None:
                continue
            if a is None or b is None or not _alike(function, a, b, wanted):
                return False
    return True


def _alike(function: Function, a: Array, b: Array, wanted: Array) -> bool:
    """Whether a is b, as far as that can be told where wanted was asked for."""
    if a.shape != b.shape:
        return False
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.nanmax(np.abs(a - wanted), initial=0)
        near = (a == b) | (np.abs(a - b) <= 1e-3 * error) | (np.isnan(a) & np.isnan(b))
    return bool(near.all()) or function.close(a, b)


def what_is_seen(function: Function, outcome: Outcome, name: str, got: Array, wanted: Array) -> str:
    """What can be said of a wrong array without knowing how it was made."""
    got = np.asarray(got)
    if not np.isfinite(got.astype(np.float64)).all():
        return f"{name} has entries that are infinite or not a number: an overflow, or 0/0"
    if got.dtype.kind in "iu" and wanted.dtype.kind == "f":
        return f"{name} holds whole numbers: it was made with an integer dtype, which cuts decimals"
    # Its texts assume a gradient, and no cause is better than a false one.
    if not any(sign in function.name for sign in ("backward", "gradient", "d_logits")):
        return ""
    if np.allclose(got, wanted, rtol=1e-3, atol=0):  # no factor, no missing term
        return ""
    from pyarsimple.checks.causes import Evidence, Hints, diagnose  # takes a while

    case = dict(zip(function.arguments, outcome.case, strict=True))
    A = np.atleast_1d(got.astype(np.float64))
    g = np.atleast_1d(wanted.astype(np.float64))
    index = list(np.ndindex(A.shape))
    error = np.abs(A - g).ravel() > 1e-6 * np.linalg.norm(g)
    evidence = Evidence(name, A, index, g.ravel(), error, 1e-9 * float(np.linalg.norm(g)))
    x = case.get("x") if isinstance(case.get("x"), np.ndarray) else None
    hints = Hints(x=x, order=case.get("order"), upstream=case.get("d_logits"))
    found = diagnose([evidence], {name: evidence}, cast(Any, None), hints)[0]
    known = not found.text.endswith("known here") and found.kind != "unknown"
    return f"{found.text}{f' ({found.equation})' if found.equation else ''}" if known else ""


# Further promises.


def extremes(function: Function, cases: Iterable[Case], points: float, group: str = "") -> Stage:
    """At extreme arguments the function stays exact, and silent."""
    cases = list(cases)

    def judge(answer: Answer) -> str:
        inexact: list[tuple[float, Wrong]] = []
        loud: list[Wrong] = []
        for case in cases:
            example = show_case(function.arguments, case)
            wanted = by_name(function.returns, function.definition(*copy.deepcopy(case)))
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                result = _call_loudly(answer, function, case)
            inexact += _inexact(check_form(function, result, wanted), wanted, function, example)
            loud += [Wrong(f"warns: {w.message}", example, _WHY_LOUD) for w in caught[:1]]
        if inexact:
            raise max(inexact, key=lambda pair: pair[0])[1]
        if loud:
            raise loud[0]
        return "exact and silent for large arguments too"

    return Stage("extremes", points, judge, group=group)


_WHY_LOUD = (
    "exp() of a large number is computed, even if np.where drops it afterwards: take exp() of "
    "numbers that are never positive only"
)


def _inexact(
    got: Mapping[str, Array | None],
    wanted: Mapping[str, Array | None],
    function: Function,
    example: Sequence[str],
) -> list[tuple[float, Wrong]]:
    """What is wrong, and how badly."""
    found = []
    for key, array in wanted.items():
        value = got[key]
        if array is None or value is None or function.excess(value, array).max(initial=0) <= 1:
            continue
        lines = [*example, *show(f"your {key}", value), *show(f"true {key}", array)]
        error = float(np.abs(value - array).max())
        badness = math.inf if math.isnan(error) else error
        found.append((badness, Wrong("not exact here", lines, _why_extreme(value, array))))
    return found


def _call_loudly(answer: Answer, function: Function, case: Case) -> Any:
    with watched(answer.path):
        return answer.names[function.name](*copy.deepcopy(case))


def _why_extreme(got: Array, wanted: Array) -> str:
    if np.isnan(got).any():
        return "inf/inf or inf - inf: exp() of a large number overflows"
    if np.isinf(got).any():
        return "log(0), or exp() of a large number: rewrite with exp(-abs(z)) and log1p"
    if np.any((got == 0) & (wanted != 0)):
        return (
            "1 + exp(-z), or p, is rounded to exactly 1, and its log is 0: use log1p, or softplus"
        )
    return "a probability is clipped, or digits are lost in 1 + exp(-z): use log1p, do not clip"


def dependences(
    outputs: Callable[[Answer, int, Array], Callable[[Array], Array]], points: float
) -> Stage:
    """Every variable depends on those before it in the order, on all of them, and on no other."""

    def judge(answer: Answer) -> str:
        from pyarsimple.checks import check_autoregressive  # takes a while

        for D, order in ((2, np.arange(2)), (3, cycle(3)), (5, cycle(5))):
            report = check_autoregressive(
                outputs(answer, D, order), D, order, n_points=24, tolerance=1e-12
            )
            if report:
                continue
            cause = report.causes[0].text if report.causes else ""
            if report.leaks:
                leak = report.leaks[0]
                example = [*show("order", order), *show("x", leak.x), *show("y", leak.x_changed)]
                said = f"conditional {leak.i}: {leak.before:.6g} for x, {leak.after:.6g} for y"
                raise Wrong(
                    f"conditional {leak.i} sees x[{leak.j[0]}], which it must not",
                    [*example, said], cause,
                )  # fmt: skip
            i, j = report.cuts[0] if report.cuts else (0, 0)
            raise Wrong(f"conditional {i} does not see x[{j}]", show("order", order), cause)
        return "each variable sees all before it, and nothing else"

    return Stage("dependences", points, judge)


def cost(
    function: str,
    make_case: Callable[[int], Case],
    points: float,
    *,
    growth: int = 1,
    cause: str,
    sizes: tuple[int, int, int] = (16, 32, 64),
    letter: str = "D",
) -> Stage:
    """The work grows no faster than ``letter ** growth``; more is right, and told so."""

    def judge(answer: Answer) -> str:
        work = []
        for size in sizes:
            with watched(answer.path), quiet():
                work.append(count(answer.names[function], make_case(size), answer.path))
        power = math.log2(work[2] / work[1]) / math.log2(sizes[2] / sizes[1])
        told = f"operations grow like {letter}^{power:.1f}"
        if power > growth + 0.45:
            pairs = zip(sizes, work, strict=True)
            lines = [f"{letter} = {size:3d}: {n:9,d} operations" for size, n in pairs]
            raise Costly(f"{told}: right, but {letter}^{growth} is enough", lines, cause)
        return f"{told}, as they should"

    return Stage("cost", points, judge, last=True)
