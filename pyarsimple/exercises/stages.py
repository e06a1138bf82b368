"""The stages that most exercises share: shapes, values, silence at extremes, dependences, cost."""

from __future__ import annotations

import copy
import functools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

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
    parts_of,
    quiet,
    show,
    show_case,
    watched,
)
from pyarsimple.exercises.cases import cycle, large
from pyarsimple.exercises.counting import count
from pyarsimple.exercises.grader import Stage
from pyarsimple.exercises.traces import DIGITS, cause_of, unstable_cause


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
        forms = [
            f"{name} {a.shape}" if a.ndim else f"{name}, a number"
            for name, a in last.items() if a is not None
        ]  # fmt: skip
        return ", ".join(forms)

    return Stage("shapes", points, judge, group=group, gate=True)


def values(
    function: Function, points: float, name: str, *, stage: str = "values", group: str = ""
) -> Stage:
    """One result of the function agrees with the definition on every case."""

    def judge(answer: Answer) -> str:
        outcomes, bad = answer.outcomes(function), _bad(answer, function, name)
        if not bad:
            return f"{len(outcomes)} cases agree with the definition"
        raise Wrong(
            f"{len(bad)} of {len(outcomes)} cases differ from the definition",
            _example(function, bad[0], name),
            known_cause(answer, function, name),
        )

    return Stage(stage, points, judge, group=group)


def _digits(value: Any) -> str:
    """A number with all its digits, or what is no number."""
    return str(value) if isinstance(value, np.bool_) else f"{value:.16g}"


def known_cause(answer: Answer, function: Function, name: str = "", *, otherwise: str = "") -> str:
    """Why a result is wrong, for its own stage and for those that suffer from it.

    ``otherwise`` is what to say if its values are right; if they are wrong and the cause is not
    known, there is nothing to be said.
    """
    for returned in [name] if name else function.returns:
        key = (function, returned)
        if key not in answer.notes and _bad(answer, function, returned):
            answer.notes[key] = cause_of(function, answer.outcomes(function), returned, answer)
        if key in answer.notes:
            return str(answer.notes[key])
    return otherwise


def _bad(answer: Answer, function: Function, name: str) -> list[Outcome]:
    """The cases in which a result is wrong."""
    outcomes = answer.outcomes(function)
    return [o for o in outcomes if o.error is None and _excess(function, o, name) > 1]


def _excess(function: Function, outcome: Outcome, name: str) -> float:
    """The largest error of a result, in units of the tolerance."""
    worst = 0.0
    for key in parts_of(outcome.wanted, name):
        got, wanted = outcome.got[key], outcome.wanted[key]
        if got is not None and wanted is not None:
            worst = max(worst, float(function.excess(got, wanted).max(initial=0)))
    return worst


def _example(function: Function, outcome: Outcome, name: str) -> list[str]:
    lines = show_case(function.arguments, outcome.case)
    for key in parts_of(outcome.wanted, name):
        got, wanted = outcome.got[key], outcome.wanted[key]
        if got is None or wanted is None or function.excess(got, wanted).max(initial=0) <= 1:
            continue
        yours, true = show(f"your {key}", got), show(f"true {key}", wanted)
        lines += yours + true
        if len(yours) > 2 or np.allclose(got, wanted, rtol=1e-3, atol=0):
            worst = np.unravel_index(np.argmax(function.excess(got, wanted)), got.shape)
            place = ", ".join(map(str, worst))
            mine, right = (_digits(a[worst]) for a in (got, wanted))
            lines.append(f"at [{place}]: yours {mine}, true {right}")
    return lines


# Further promises.


def extremes(function: Function, cases: Iterable[Case], points: float, group: str = "") -> Stage:
    """At extreme arguments the function stays exact, and silent."""
    cases = list(cases)

    @functools.cache
    def right() -> list[dict[str, Array | None]]:
        return [by_name(function.returns, function.definition(*copy.deepcopy(c))) for c in cases]

    def judge(answer: Answer) -> str:
        outcomes: list[Outcome] = []
        loud: list[Wrong] = []
        for case, wanted in zip(cases, right(), strict=True):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                result = _call_loudly(answer, function, case)
            outcomes.append(Outcome(case, wanted, check_form(function, result, wanted)))
            example = show_case(function.arguments, case)
            loud += [Wrong(f"warns: {w.message}", example, _WHY_LOUD) for w in caught[:1]]
        inexact = [found for o in outcomes for found in _inexact(function, o)]
        if inexact:
            _, key, worst = max(inexact, key=lambda found: found[0])
            raise Wrong(
                "not exact here",
                [
                    *show_case(function.arguments, worst.case),
                    *show(f"your {key}", worst.got[key]),
                    *show(f"true {key}", worst.wanted[key]),
                ],
                _why_inexact(answer, function, outcomes, worst, key),
            )
        if loud:
            raise loud[0]
        return "exact and silent for large arguments too"

    return Stage("extremes", points, judge, group=group)


_WHY_LOUD = (
    "exp() of a large number is computed, even if np.where drops it afterwards: take exp() of "
    "numbers that are never positive only"
)


def _inexact(function: Function, outcome: Outcome) -> Iterator[tuple[float, str, Outcome]]:
    """What is wrong, and how badly."""
    for key, wanted in outcome.wanted.items():
        got = outcome.got[key]
        if got is None or wanted is None or function.excess(got, wanted).max(initial=0) <= 1:
            continue
        error = float(np.abs(got - wanted).max())
        yield math.inf if math.isnan(error) else error, key, outcome


def _why_inexact(
    answer: Answer, function: Function, outcomes: Sequence[Outcome], worst: Outcome, key: str
) -> str:
    """The formula that does the same in every case; or what is wrong everywhere; or a guess."""
    got, wanted = np.asarray(worst.got[key]), np.asarray(worst.wanted[key])
    guess = _why_extreme(got, wanted)
    if formula := unstable_cause(function, outcomes, key):
        return formula
    if not np.isfinite(got).all():  # an overflow: what is wrong elsewhere is something else
        return guess
    name = key if key in function.returns else ""
    known = known_cause(answer, function, name, otherwise=guess)
    return guess if known.startswith(DIGITS) else known


def _call_loudly(answer: Answer, function: Function, case: Case) -> Any:
    with watched(answer.path), answer.replaced(function.ours):
        return answer.names[function.name](*copy.deepcopy(case))


def _why_extreme(got: Array, wanted: Array) -> str:
    if np.isnan(got).any():
        return (
            "inf/inf, inf - inf or 0/0: exp() overflows, or underflows to 0; of a sum of exp(), "
            "subtract the largest first"
        )
    if np.isinf(got).any():
        return (
            "log(0), or exp() of a large number: take log1p(exp(-abs(z))); of a sum of exp(), "
            "subtract the largest first"
        )
    if np.any((got == 0) & (wanted != 0)):
        return (
            "1 + exp(-z), or p, is rounded to exactly 1, or nearly equal numbers cancel: use "
            "log1p, or softplus"
        )
    return "a probability is clipped, or digits are lost in 1 + exp(-z): use log1p, do not clip"


def dependences(
    function: Function, outputs: Callable[[Answer, int, Array], Callable[[Array], Array]],
    points: float,
) -> Stage:  # fmt: skip
    """Every variable depends on those before it in the order, on all of them, and on no other."""

    def judge(answer: Answer) -> str:
        from pyarsimple.checks import check_autoregressive  # takes a while

        for D, order in ((2, np.arange(2)), (3, cycle(3)), (5, cycle(5))):
            report = check_autoregressive(
                outputs(answer, D, order), D, order, n_points=24, tolerance=1e-12
            )
            if report:
                continue
            seen = report.causes[0] if report.causes else None
            text = seen.text if seen else ""
            cause = known_cause(answer, function, otherwise=text)
            if not cause and seen and seen.kind != "columns":  # that says that all else is right
                cause = text
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


def cost(function: Function, points: float, *, cause: str) -> Stage:
    """The work of a NADE's function grows like D; more is right, and told so."""
    sizes = (16, 32, 64)

    def judge(answer: Answer) -> str:
        work = []
        for D in sizes:
            case = tuple(large(D)[name] for name in function.arguments)
            with watched(answer.path), quiet():
                work.append(count(answer.names[function.name], case, answer.path))
        power = math.log2(work[2] / work[1])
        told = f"operations grow like D^{power:.1f}"
        if power > 1.45:
            pairs = zip(sizes, work, strict=True)
            lines = [f"D = {D:3d}: {n:9,d} operations" for D, n in pairs]
            raise Costly(f"{told}: right, but D^1 is enough", lines, cause)
        return f"{told}, as they should"

    return Stage("cost", points, judge, last=True)
