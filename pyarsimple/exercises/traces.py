"""The likely cause of wrong values: the mistake that would have given exactly these.

A *suspect* makes results as a mistake would, from the arguments of a call and the right results.
The exercise's own suspects are tried first, then those of everybody: the right results turned,
permuted, scaled, half filled in; the definition with an argument negated, transposed, exchanged.
One that agrees with the answer in every case, where the definition does not, is named. Where none
agrees, nothing is said: no cause is better than a false one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pyarsimple.checks import explain
from pyarsimple.exercises.answers import (
    Answer,
    Array,
    Case,
    Function,
    NotDone,
    Outcome,
    Wrong,
    by_name,
    parts_of,
    quiet,
)
from pyarsimple.exercises.suspects import Facts, Results, Suspect, everybodys, of_case

#: Fewer wrong numbers than this could agree with a suspect by chance.
FEW = 4


def cause_of(
    function: Function, outcomes: Sequence[Outcome], name: str, answer: Answer | None = None
) -> str:
    """Say what went wrong with a result of the function, or nothing."""
    trial = _Trial(function, outcomes, name)
    if not trial.wrong:
        return ""
    own = [(cause, of_case(function, make)) for cause, make in function.suspects.items()]
    shared = list(everybodys(function, name, trial.wrong, arguments=trial.n_wrong >= FEW))
    return (
        trial.first(own)
        or _what_is_seen(name, trial.wrong)
        or _random(function, trial, answer)
        or trial.first(shared)
        or trial.first(own + shared, everywhere=False)
        or _ignored(function, trial, answer)
        or _from_checks(function, trial)
    )


def unstable_cause(function: Function, outcomes: Sequence[Outcome], name: str) -> str:
    """Which formula goes wrong at extreme arguments as the result does, if it is known.

    Infinite or no number is the same here: it depends on how the formula is written.
    """

    def blurred(results: Results) -> dict[str, Array | None]:
        return {
            key: None if a is None else np.where(np.isfinite(a), a, np.nan)
            for key, a in results.items()
        }

    def suspect(make: Callable[..., Any]) -> Suspect:
        return lambda outcome: blurred(of_case(function, make)(outcome) or {})

    seen = [replace(outcome, got=blurred(outcome.got)) for outcome in outcomes]
    own = [(cause, suspect(make)) for cause, make in function.unstable.items()]
    return _Trial(function, seen, name).first(own)


class _Trial:
    """The wrong results of one name, and whether a suspect explains them."""

    def __init__(self, function: Function, outcomes: Sequence[Outcome], name: str) -> None:
        self.function, self.name = function, name
        judged = [o for o in outcomes if o.error is None]
        self.wrong = [o for o in judged if self.differs(o, o.got)][::-1]  # the largest first:
        self.right = [o for o in judged if not self.differs(o, o.got)]  # it has most to agree with
        self.largest_is_wrong = bool(self.wrong) and self.wrong[0] is judged[-1]
        self.n_wrong = sum(
            int((function.excess(got, wanted) > 1).sum())
            for o in self.wrong for got, wanted in self.pairs(o, o.got)
        )  # fmt: skip

    def pairs(self, outcome: Outcome, made: Results) -> Iterator[tuple[Array, Array]]:
        """Made and wanted arrays of this result."""
        for key in parts_of(outcome.wanted, self.name):
            array, wanted = made.get(key), outcome.wanted[key]
            if array is not None and wanted is not None and np.shape(array) == wanted.shape:
                yield np.asarray(array), wanted

    def differs(self, outcome: Outcome, made: Results) -> bool:
        """Whether these are not the right results."""
        return any(
            self.function.excess(array, wanted).max(initial=0) > 1
            for array, wanted in self.pairs(outcome, made)
        )

    def first(self, suspects: Iterable[tuple[str, Suspect]], *, everywhere: bool = True) -> str:
        """What is told of the first suspect that agrees; nothing if none does."""
        agreeing = (told for told, s in suspects if self.agrees(s, everywhere=everywhere))
        return next(agreeing, "")

    def agrees(self, suspect: Suspect, *, everywhere: bool = True) -> bool:
        """Whether the suspect gives what the answer gave.

        In every case; or, if not ``everywhere``, in every case that is wrong, if the largest is
        among these, and at least half of those in which the suspect goes wrong: then the mistake
        was made, but not in some special case that has code of its own.
        """
        if not all(self._same(o, _run(suspect, o)) for o in self.wrong):
            return False
        if everywhere:
            return all(self._same(o, _run(suspect, o) or o.wanted) for o in self.right)
        missed = sum(self.differs(o, _run(suspect, o) or {}) for o in self.right)
        return self.largest_is_wrong and len(self.wrong) > 1 and missed <= len(self.wrong)

    def _same(self, outcome: Outcome, made: Results | None) -> bool:
        if made is None:
            return False
        for key in parts_of(outcome.wanted, self.name):
            got, wanted, array = outcome.got[key], outcome.wanted[key], made.get(key)
            if wanted is None:
                continue
            if got is None or array is None or not self._alike(got, np.asarray(array), wanted):
                return False
        return True

    def _alike(self, got: Array, made: Array, wanted: Array) -> bool:
        """Whether got is made, as far as that can be told where wanted was asked for."""
        if got.shape != made.shape:
            return False
        a, b = got.astype(np.float64), made.astype(np.float64)
        with np.errstate(invalid="ignore"):
            off = np.abs(a - wanted)
            error = off.max(initial=0, where=np.isfinite(off))
            near = (a == b) | (np.abs(a - b) <= 1e-3 * error) | (np.isnan(a) & np.isnan(b))
        return bool(near.all()) or self.function.close(a, b)


def _run(suspect: Suspect, outcome: Outcome) -> Results | None:
    """What the suspect makes of a case; a mistake that cannot be made there makes nothing."""
    try:
        with quiet():
            return suspect(outcome)
    except Exception:  # noqa: BLE001 - arguments that were turned about may not go together
        return None


# What can be seen without a suspect.


def _what_is_seen(name: str, wrong: Sequence[Outcome]) -> str:
    """Numbers that are no numbers, whole ones, or ones of few digits."""
    arrays = [
        (np.asarray(o.got[key]), w) for o in wrong for key in parts_of(o.wanted, name)
        if (w := o.wanted[key]) is not None and o.got[key] is not None
    ]  # fmt: skip
    if any(not np.isfinite(a.astype(np.float64)).all() and np.isfinite(w).all() for a, w in arrays):
        return f"{name} has entries that are infinite or not a number: an overflow, or 0/0"
    if any(w.dtype.kind != "f" for _, w in arrays):
        return ""
    if any(a.dtype.kind in "iu" for a, _ in arrays):
        return f"{name} holds whole numbers: it was made with an integer dtype, which cuts decimals"
    off = max(
        float(np.abs(a - w).max(initial=0) / np.abs(w).max(initial=1e-300)) for a, w in arrays
    )
    if off < 1e-5:
        return f"{DIGITS} {-np.log10(off):.0f} digits and no further: digits are lost to " + LOST
    return ""


#: How the vaguest of all causes begins, and what it may be.
DIGITS = "right to about"
LOST = (
    "float32, to a difference of nearly equal numbers, to a small constant that was added, or the "
    "derivative is a numeric one"
)


def _again(function: Function, answer: Answer, case: Case) -> Results | None:
    """One more call of the answer; nothing if it fails."""
    try:
        result = answer.result_of(function, case)
        return by_name(function.returns, result)
    except (Wrong, NotDone, ValueError, TypeError):
        return None


def _random(function: Function, trial: _Trial, answer: Answer | None) -> str:
    """Whether the answer gives another result for the same arguments."""
    told = (
        "two calls with the same arguments gave different results: something in it is random, or "
        "is kept from call to call"
    )
    if "uniforms" in function.arguments:
        told += "; all randomness comes from uniforms here"
    if answer is None:
        return ""
    for outcome in trial.wrong[:3]:
        again = _again(function, answer, outcome.case) or {}
        for key in parts_of(outcome.wanted, trial.name):
            then, now = outcome.got[key], again.get(key)
            if now is None or then is None or np.shape(now) != then.shape:
                continue
            if not function.close(np.asarray(now), then) and not np.isnan(then).any():
                return told
    return ""


def _ignored(function: Function, trial: _Trial, answer: Answer | None) -> str:
    """Arguments on which the right result depends, and that of the answer does not."""
    if answer is None or trial.n_wrong < FEW:
        return ""
    found = []
    for k, name in enumerate(function.arguments):
        cases = [(o, _with_another(o.case, k, name)) for o in trial.wrong[:3]]
        if any(case is None for _, case in cases):
            continue
        right = [
            (o, by_name(function.returns, function.quick(*copy.deepcopy(c)))) for o, c in cases if c
        ]
        if not all(trial.differs(o, made) for o, made in right):
            continue
        if not any(_moved(trial, o, _again(function, answer, c)) for o, c in cases if c):
            found.append(name)
    if not found:
        return ""
    names = found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
    have = "has" if len(found) == 1 else "have"
    return f"{names} {have} no influence on {trial.name}: ignored, or overwritten"


def _moved(trial: _Trial, outcome: Outcome, after: Results | None) -> bool:
    """Whether the answer's result is another one now; a call that failed counts as moved."""
    if after is None:
        return True
    for key in parts_of(outcome.wanted, trial.name):
        a, b = outcome.got[key], after.get(key)
        if a is not None and (b is None or not np.array_equal(a, b, equal_nan=True)):
            return True
    return False


def _with_another(case: Case, k: int, name: str) -> Case | None:
    """The case with another value of argument k; None where none is known to be allowed."""
    value = case[k]
    if name == "order":
        new: Any = np.roll(value, 1)
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
        unit = (value >= 0).all() and (value <= 1).all()
        new = 1 - value if unit else 1.5 * value + 0.25
    elif isinstance(value, float):
        new = 1.5 * value
    else:
        return None
    return (*case[:k], new, *case[k + 1 :])


def _from_checks(function: Function, trial: _Trial) -> str:
    """What the checks of gradients recognise: clipping, a missing mask, one line that is wrong."""
    # Their texts assume a gradient, and no cause is better than a false one.
    if not any(sign in function.name for sign in ("backward", "gradient", "d_logits")):
        return ""
    told = []
    for outcome in trial.wrong[:2]:
        facts = Facts(function, outcome)
        x = facts.arguments.get("x")
        for got, wanted in trial.pairs(outcome, outcome.got):
            cause = explain(
                trial.name, np.atleast_1d(got.astype(np.float64)), np.atleast_1d(wanted),
                x=x if isinstance(x, np.ndarray) and x.ndim == 2 else None,
                order=facts.order if len(facts.order) else None,
                upstream=facts.arguments.get("d_logits"), tolerance=function.rtol,
            )  # fmt: skip
            told.append(cause)
    if not told or told[0] is None or {getattr(c, "kind", "") for c in told} - _SURE:
        return ""
    return told[0].text if len({c.kind for c in told if c is not None}) == 1 else ""


#: Kinds of cause that are read off the numbers, not guessed from ratios.
_SURE = frozenset({"clipped", "mask", "first", "last", "one-row", "upstream", "factor"})
