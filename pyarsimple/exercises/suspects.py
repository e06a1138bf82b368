"""Suspects: what mistakes would make of the arguments of a call and of the right results.

An exercise lists its own; those of everybody stand here. Each comes with the sentence that is told
if the answer did the same in every case.
"""

from __future__ import annotations

import copy
import functools
import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyarsimple.checks.mistakes import MISTAKES
from pyarsimple.exercises.answers import Array, Case, Function, Outcome, by_name, parts_of

Results = Mapping[str, Array | None]
#: A mistake: from a case and its right results to the wrong ones; None where it makes none.
Suspect = Callable[[Outcome], Results | None]


def of_case(function: Function, make: Callable[..., Any]) -> Suspect:
    """A suspect of the exercise: a function of the same arguments that goes wrong."""
    return lambda outcome: by_name(function.returns, make(*copy.deepcopy(outcome.case)))


def backward_suspects(
    family: str, backward: Callable[..., Any], *, without: Sequence[str] = ()
) -> dict[str, Callable[..., Any]]:
    """The mistakes that the checks know in a backward pass, as suspects of an exercise.

    ``without`` are the names of those that are none there, or the same as another.
    """
    parameters = inspect.signature(backward).parameters.values()
    n_given = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
    return {
        str(mistake): lambda *case, name=name: backward(*case[:n_given], mistake=name)
        for name, mistake in MISTAKES[family].items()
        if name not in without
    }


# The suspects of everybody.


def everybodys(
    function: Function, name: str, wrong: Sequence[Outcome], *, arguments: bool
) -> Iterator[tuple[str, Suspect]]:
    """Mistakes that can be made in any exercise, and what is said of them.

    ``wrong`` are the cases in which the result ``name`` is wrong; with ``arguments`` calls of the
    definition with other arguments are among the suspects.
    """
    yield from _of_results(function, name, wrong)
    if arguments:
        yield from _of_arguments(function, name, wrong)


@dataclass
class Facts:
    """What is known of a case: which arguments it has, and how many rows and variables."""

    function: Function
    outcome: Outcome

    @functools.cached_property
    def arguments(self) -> dict[str, Any]:
        """By name."""
        return dict(zip(self.function.arguments, self.outcome.case, strict=True))

    @property
    def order(self) -> Array:
        """order[k] is the variable in position k; empty if the case has no order."""
        order = self.arguments.get("order", getattr(self.arguments.get("state"), "order", None))
        return order if isinstance(order, np.ndarray) else np.zeros(0, np.intp)

    @property
    def n_rows(self) -> float:
        """N: of the data, whatever it is called; NaN if the case has none."""
        names = ("x", "d_logits", "logits")
        rows = [len(self.arguments[k]) for k in names if np.ndim(self.arguments.get(k, 0))]
        return rows[0] if rows else np.nan


def _of_results(
    function: Function, name: str, wrong: Sequence[Outcome]
) -> Iterator[tuple[str, Suspect]]:
    """What one gets by doing something to the right results."""

    def each(change: Callable[[Array, Facts], Array | None]) -> Suspect:
        def suspect(outcome: Outcome) -> Results:
            facts = Facts(function, outcome)
            return {
                key: None if (a := outcome.wanted[key]) is None else change(a, facts)
                for key in parts_of(outcome.wanted, name)
            }

        return suspect

    for told, change in _CHANGES.items():
        yield told.replace("NAME", name), each(change)
    for axis, line in enumerate(_lines(name, wrong)):
        for told, along in _CHANGES_ALONG.items():
            text = told.replace("NAME", name).replace("LINES", _plural(line))
            yield text.replace("LINE", line), each(functools.partial(_along, along, axis))
    returns = function.returns
    for other in returns:
        if other != name:
            pair = " and ".join(r for r in returns if r in (name, other))
            yield (
                f"{pair} are exchanged: return ({', '.join(returns)}), in this order",
                functools.partial(_exchanged, name, other),
            )


def _exchanged(name: str, other: str, outcome: Outcome) -> Results:
    return {name: outcome.wanted.get(other)}


#: What is said, and what was done to the right result; ``NAME`` is that of the result.
_CHANGES: dict[str, Callable[[Array, Facts], Array | None]] = {
    "NAME is all zero: nothing was written to it, or what was is lost": lambda a, f: 0 * a,
    "the sign of NAME is turned": lambda a, f: -a,
    "NAME is transposed": lambda a, f: a.T if a.ndim > 1 else None,
    "NAME is the exp of what is asked for: a log is missing": lambda a, f: np.exp(a),
    "NAME is the log of what is asked for": lambda a, f: np.log(a),
    "NAME went through a sigmoid, which was not asked for": lambda a, f: 1 / (1 + np.exp(-a)),
    "NAME is 1 minus what is asked for: 0 and 1 are exchanged": lambda a, f: 1.0 - a,
    "the sign of NAME is lost: there is an abs() too many": lambda a, f: np.abs(a),
    "NAME is squared": lambda a, f: a**2,
    "NAME has base 2: a logarithm is meant to base e, np.log": lambda a, f: a / np.log(2),
    "NAME is N times what is asked for, N the number of rows: a sum stands where a mean is meant, "
    "or a factor 1/N is lost": lambda a, f: a * f.n_rows,
    "NAME is divided by N, the number of rows: a mean is taken where the sum is meant":
        lambda a, f: a / f.n_rows,
    "NAME is 2 times what is asked for": lambda a, f: 2.0 * a,
    "NAME is half of what is asked for": lambda a, f: a / 2,
    "the first entry of NAME stands for all of them": lambda a, f: np.full_like(a, a.flat[0]),
    "NAME has -1 and 1 where 0 and 1 are meant": lambda a, f: 2.0 * a - 1,
    "NAME is 1 too large": lambda a, f: a + 1.0,
    "NAME is 1 too small": lambda a, f: a - 1.0,
}  # fmt: skip


def _emptied(a: Array, which: Any) -> Array:
    """A copy in which some entries along the first axis are 0."""
    a = a.copy()
    a[which] = 0
    return a


#: The same along an axis, which is the first one here; ``LINE`` is a row, column or entry.
_CHANGES_ALONG: dict[str, Callable[[Array, Array], Array]] = {
    "LINE k of NAME holds what belongs to the variable in position k, and must hold what belongs "
    "to variable k: write to LINE order[k]": lambda a, order: a[order],
    "the LINES of NAME are permuted by order twice: what stands at positions goes to variables by "
    "result[:, order] = NAME, not by result = NAME[:, order]": lambda a, order: a[order][order],
    "the LINES of NAME are permuted by the inverse of order: order[k] is the variable in position "
    "k, not the position of variable k": lambda a, order: a[np.argsort(order)],
    "each LINE of NAME is that of index 0: one is computed and stands for all":
        lambda a, order: np.repeat(a[:1], len(a), axis=0),
    "each LINE of NAME is the last one: one is computed and stands for all":
        lambda a, order: np.repeat(a[-1:], len(a), axis=0),
    "only the LINE of index 0 of NAME is written, the others are 0: does the loop end after its "
    "first round?": lambda a, order: _emptied(a, slice(1, None)),
    "only the last LINE of NAME is written, the others are 0: the loop starts anew each time":
        lambda a, order: _emptied(a, slice(-1)),
    "the LINE of index 0 of NAME is 0: the loop leaves it out": lambda a, order: _emptied(a, 0),
    "the last LINE of NAME is 0: the loop leaves it out": lambda a, order: _emptied(a, -1),
    "the LINE of the first of the order is 0 in NAME: the loop leaves it out":
        lambda a, order: _emptied(a, order[0]),
    "the LINE of the last of the order is 0 in NAME: the loop leaves it out":
        lambda a, order: _emptied(a, order[-1]),
    "the LINES of NAME are in reverse": lambda a, order: a[::-1],
    "the LINES of NAME are shifted by one: each holds the one before it":
        lambda a, order: np.roll(a, 1, axis=0),
    "the LINES of NAME are shifted by one: each holds the one after it":
        lambda a, order: np.roll(a, -1, axis=0),
    "the LINES of NAME are shifted by one, and the first is 0":
        lambda a, order: _emptied(np.roll(a, 1, axis=0), 0),
    "the LINES of NAME are shifted by one, and the last is 0":
        lambda a, order: _emptied(np.roll(a, -1, axis=0), -1),
    "the LINES of NAME are summed up, each with all before it":
        lambda a, order: np.cumsum(a, axis=0),
    "the LINES of NAME are averaged": lambda a, order: np.repeat(
        a.mean(axis=0, keepdims=True), len(a), axis=0
    ),
}  # fmt: skip


def _along(change: Any, axis: int, a: Array, facts: Facts) -> Array | None:
    if axis >= a.ndim:
        return None
    order = facts.order if len(facts.order) == a.shape[axis] else np.zeros(0, np.intp)
    changed: Array = np.moveaxis(change(np.moveaxis(a, axis, 0), order), 0, axis)
    return changed


def _lines(name: str, wrong: Sequence[Outcome]) -> tuple[str, ...]:
    """What the parts of the result along each of its axes are called."""
    arrays = [o.wanted[key] for o in wrong for key in parts_of(o.wanted, name)]
    ndim = max((a.ndim for a in arrays if a is not None), default=0)
    return ("entry",) if ndim == 1 else ("row", "column", "part along the last axis")[:ndim]


def _plural(line: str) -> str:
    return {"entry": "entries", "part along the last axis": "parts"}.get(line, line + "s")


# The definition with other arguments.


def _of_arguments(
    function: Function, result: str, wrong: Sequence[Outcome]
) -> Iterator[tuple[str, Suspect]]:
    """What one gets from right code with wrong arguments."""
    first = wrong[0].case

    def instead(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Suspect:
        def suspect(outcome: Outcome) -> Results | None:
            arguments = copy.deepcopy(Facts(function, outcome).arguments)
            changed = change(arguments)
            if any(v is None for v in changed.values()):
                return None
            return by_name(function.returns, function.quick(*(arguments | changed).values()))

        return suspect

    for name, value in zip(function.arguments, first, strict=True):
        for told, fits, change in _OTHERWISE:
            if fits(name, value):
                yield (
                    told.replace("NAME", name),
                    instead(lambda v, n=name, c=change: {n: c(v[n], v)}),  # type: ignore[misc]
                )
    yield from _tables_of_position(function, result, wrong)
    for told, rows in _ROWS:
        yield told, instead(functools.partial(_of_rows, rows))
    for one, other in _alike_arguments(function, [o.case for o in wrong]):
        for kept, lost in ((one, other), (other, one)):
            yield (
                f"{kept} stands where {lost} is meant",
                instead(lambda v, a=kept, b=lost: {b: v[a]}),  # type: ignore[misc]
            )
        swap = instead(lambda v, a=one, b=other: {a: v[b], b: v[a]})  # type: ignore[misc]
        yield f"{one} and {other} are exchanged", swap


def _is_real(name: str, v: Any) -> bool:
    return isinstance(v, np.ndarray) and v.dtype.kind == "f" and not _is_bits(name, v)


def _is_bits(name: str, v: Any) -> bool:
    return isinstance(v, np.ndarray) and name == "x" and bool(np.isin(v, (0.0, 1.0)).all())


def _is_square(name: str, v: Any) -> bool:
    return _is_real(name, v) and v.ndim == 2 and v.shape[0] == v.shape[1]


def _is_order(name: str, v: Any) -> bool:
    return name == "order"


def _is_bias(name: str, v: Any) -> bool:
    return _is_real(name, v) and v.ndim == 1


def _is_table(name: str, v: Any) -> bool:
    return isinstance(v, np.ndarray) and v.ndim >= 1 and v.dtype.kind == "f"


def _is_factor(name: str, v: Any) -> bool:
    return isinstance(v, float)


def _is_count(name: str, v: Any) -> bool:
    return isinstance(v, int) and name == "n_known"


def _is_upstream(name: str, v: Any) -> bool:
    return name == "d_logits"


def _of_position(v: Array, given: Mapping[str, Any]) -> Array | None:
    """By position: what is taken in step k is entry k, where entry order[k] is meant."""
    order = given.get("order", getattr(given.get("state"), "order", None))
    if order is None or v.shape[0] != len(order):
        return None
    taken = np.empty_like(v)
    taken[order] = v
    return taken


def _columns_of_position(v: Array, given: Mapping[str, Any]) -> Array | None:
    moved = _of_position(v.T, given) if v.ndim == 2 else None
    return None if moved is None else moved.T


def _tables_of_position(
    function: Function, name: str, wrong: Sequence[Outcome]
) -> Iterator[tuple[str, Suspect]]:
    """Two or more tables of the variables by position, the result perhaps among them."""
    facts = [Facts(function, outcome) for outcome in wrong]
    tables = {table: [f.arguments[table] for f in facts] for table in function.arguments}
    if name not in tables:
        tables[name] = [f.outcome.wanted.get(name) for f in facts]
    axes = {}
    for table, arrays in tables.items():
        for axis in (1, 0):  # rows, if both would do
            if all(
                _is_table(table, a) and a.shape[axis : axis + 1] == f.order.shape != (0,)
                for a, f in zip(arrays, facts, strict=True)
            ):
                axes[table] = axis
    for n in range(2, len(axes) + 1):
        for chosen in itertools.combinations(axes, n):
            listed = f"{', '.join(chosen[:-1])} and {chosen[-1]}"
            entries = (f"{table}[{':, ' * axes[table]}order[k]]" for table in chosen)
            yield (
                f"{listed} are taken by position: in position k stands variable order[k], so they "
                f"are {', '.join(entries)}",
                functools.partial(_all_of_position, function, {k: axes[k] for k in chosen}),
            )


def _all_of_position(function: Function, axes: Mapping[str, int], outcome: Outcome) -> Results:
    """What comes of taking, and writing, entry k in step k along these axes of the tables."""
    facts = Facts(function, outcome)
    given = copy.deepcopy(facts.arguments)
    taken = {k: np.take(given[k], np.argsort(facts.order), axes[k]) for k in axes if k in given}
    results = by_name(function.returns, function.quick(*(given | taken).values()))
    return results | {
        k: np.take(a, facts.order, axes[k])
        for k, a in results.items() if k in axes and k not in given and a is not None
    }  # fmt: skip


def _of_rows(rows: slice, given: Mapping[str, Any]) -> dict[str, Any]:
    """Some rows of the data only, where the result is a sum over all of them."""
    chosen = {k: given[k][rows] for k in ("x", "d_logits") if np.ndim(given.get(k, 0)) == 2}
    if "layers" in given:
        chosen["layers"] = [layer[rows] for layer in given["layers"]]
    return chosen


#: What is said, and which rows were used.
_ROWS = [
    ("only row 0 counts: a loop over the rows ends after its first round, or a sum over them is "
     "missing", slice(1)),
    ("only the last row counts: = stands where += is meant in a loop over the rows",
     slice(-1, None)),
    ("the last row is left out", slice(-1)),
    ("row 0 is left out", slice(1, None)),
]  # fmt: skip


#: What is said, of which arguments, and what was used instead of them.
_OTHERWISE: list[tuple[str, Callable[[str, Any], bool], Callable[[Any, Any], Any]]] = [
    ("the inverse of order is used: order[k] is the variable in position k, not the position of "
     "variable k", _is_order, lambda v, given: np.argsort(v)),
    ("order is ignored: the variables are taken as 0, 1, 2, ...", _is_order,
     lambda v, given: np.arange(len(v))),
    ("order is walked from its end", _is_order, lambda v, given: v[::-1].copy()),
    ("0 and 1 are exchanged: 1 - x stands where x is meant", _is_bits, lambda v, given: 1 - v),
    ("x is forgotten: every x_i counts as if it were 1", _is_bits,
     lambda v, given: np.ones_like(v)),
    ("-1 and 1 stand where 0 and 1 are meant: x is used as 2 x - 1", _is_bits,
     lambda v, given: 2 * v - 1),
    ("the sign of NAME is turned", _is_real, lambda v, given: -v),
    ("NAME is forgotten", _is_real, lambda v, given: 0 * v),
    ("NAME is ignored, as if it were all ones", _is_real, lambda v, given: np.ones_like(v)),
    ("NAME is added twice", _is_bias, lambda v, given: 2 * v),
    ("NAME is transposed", _is_square, lambda v, given: v.T.copy()),
    ("1 - NAME stands where NAME is meant", _is_real, lambda v, given: 1 - v),
    ("NAME is taken by position: in position k stands variable order[k], so it is NAME[order[k]], "
     "not NAME[k]", _is_table, _of_position),
    ("NAME is taken by position: in position k stands variable order[k], so it is column order[k] "
     "of NAME, not column k", _is_table, _columns_of_position),
    ("row 0 of NAME is used for every row", _is_table,
     lambda v, given: np.repeat(v[:1], len(v), axis=0) if v.ndim > 1 else None),
    ("NAME is forgotten", _is_factor, lambda v, given: 1.0),
    ("divided by NAME, where it is a factor", _is_factor, lambda v, given: 1 / v),
    ("NAME / 2 stands where NAME is meant", _is_factor, lambda v, given: v / 2),
    ("2 * NAME stands where NAME is meant", _is_factor, lambda v, given: 2 * v),
    ("NAME is taken for one more than it is", _is_count, lambda v, given: v + 1),
    ("NAME is taken for one less than it is", _is_count, lambda v, given: max(0, v - 1)),
    ("NAME is ignored, as if it were 0", _is_count, lambda v, given: 0),
    ("x is subtracted from NAME: NAME is all that is needed of S, as it is", _is_upstream,
     lambda v, given: v - given["x"]),
]  # fmt: skip


def _alike_arguments(function: Function, cases: Sequence[Case]) -> Iterator[tuple[str, str]]:
    """Pairs of arguments that have the same shape in every case: easily exchanged."""
    shapes = [tuple(np.shape(v) if isinstance(v, np.ndarray) else () for v in c) for c in cases]
    names = function.arguments
    for a in range(len(names)):
        for b in range(a + 1, len(names)):
            if all(s[a] == s[b] != () for s in shapes) and "order" not in (names[a], names[b]):
                yield names[a], names[b]
