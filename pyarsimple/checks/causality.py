"""Which conditional depends on which variable? Found out by changing the variables.

A model is autoregressive in an order if the conditional of x_i does not change when x_i and
everything after it do. That alone is not enough: a model that ignores its inputs passes. So what is
compared is a set, the whole matrix of who depends on whom, with the set that the order allows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from pyarsimple import orders
from pyarsimple._validation import check_size
from pyarsimple.checks.models import has_outputs, outputs_of, values_of
from pyarsimple.checks.points import Points, Values, as_points
from pyarsimple.checks.report import Cause, Report, some

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
Conditionals = Callable[[Array], npt.ArrayLike]


@dataclass
class Leak:
    """Two inputs that differ only where x_i's conditional must not look, and its two answers.

    Attributes
    ----------
    i : int
        The variable whose conditional changes.
    j : tuple of int
        The variables that differ; more than one where only together they show.
    x, x_changed : ndarray, shape (D,)
        The inputs.
    before, after : ndarray or float
        What the conditional of x_i says of them.
    """

    i: int
    j: tuple[int, ...]
    x: Array
    x_changed: Array
    before: Any
    after: Any

    @property
    def size(self) -> float:
        """The largest change, relative to the larger of the two numbers and 1."""
        before, after = np.asarray(self.before), np.asarray(self.after)
        scale = np.maximum(1, np.maximum(np.abs(before), np.abs(after)))
        return float(np.nan_to_num(np.abs(after - before) / scale, nan=np.inf).max())

    def __str__(self) -> str:
        where = " and ".join(f"x[{j}]" for j in self.j)
        values = ", ".join(f"{_value(self.x[j])} -> {_value(self.x_changed[j])}" for j in self.j)
        return (
            f"conditional {self.i} depends on {where}: {values} changes it "
            f"{_value(self.before)} -> {_value(self.after)}"
            + (f" (by {self.size:.1e})" if self.size < 1e-5 else "")
        )


def _value(v: Any) -> str:
    array = np.asarray(v, dtype=np.float64)
    return f"{array:.6g}" if array.ndim == 0 else f"[{', '.join(f'{u:.4g}' for u in array.flat)}]"


@dataclass(repr=False)
class AutoregressiveReport(Report):
    """The outcome of `check_autoregressive`: true if dependences and order agree.

    Attributes
    ----------
    matrix : ndarray of bool, shape (D, D)
        ``matrix[i, j]`` is true where the conditional of x_i was seen to depend on x_j.
    wanted : ndarray of bool, shape (D, D)
        The same as it should be.
    order : ndarray of int, shape (D,)
        The order that was asked for.
    leaks : list of Leak
        One for each pair (i, j) that must not be; each proves itself.
    cuts : list of (int, int)
        Pairs (i, j) that should be, and at no point had an effect.
    found_order : ndarray of int, optional
        An order in which there is no leak, or far fewer, where there are some in the order asked
        for.
    n_points : int
        At how many base points each pair was tried.
    """

    check: ClassVar[str] = "autoregressive"
    matrix: BoolArray
    wanted: BoolArray
    order: Array
    leaks: list[Leak]
    cuts: list[tuple[int, int]]
    found_order: Array | None
    n_points: int
    cuts_allowed: bool = False

    @property
    def passed(self) -> bool:
        """Whether there is no leak and, unless they are allowed, no cut path."""
        return not self.causes and not self.leaks and (self.cuts_allowed or not self.cuts)

    def summary(self) -> str:
        """How many dependences there are, and how many should be."""
        seen, wanted = int((self.matrix & self.wanted).sum()), int(self.wanted.sum())
        found = f"{seen} of {wanted} dependences"
        return f"{found}, {len(self.leaks)} leaks, {len(self.cuts)} cut paths"

    def table(self) -> str:
        """The matrix in letters, rows and columns in the order; if it is large, the leaks only."""
        D = len(self.order)
        lines = []
        if D <= 32:
            lines.append("row: conditional of; column: depends on; both in the given order")
            width = len(str(D - 1)) + 1
            lines.append(
                " " * width + "".join(f"{j:>{width}}" if D <= 16 else "" for j in self.order)
            )
            gap = " " * (width - 1) if D <= 16 else " "
            for i in self.order:
                marks = [self._mark(i, j) for j in self.order]
                lines.append(f"{i:>{width}}" + gap + gap.join(marks))
            lines.append("x depends, . does not; ! leak, o cut path")
        lines += [f"leak: {leak}"[:200] for leak in self.leaks[:3]]
        return "\n".join(piece for line in lines for piece in _folded(line))

    def _mark(self, i: int, j: int) -> str:
        if self.matrix[i, j]:
            return "x" if self.wanted[i, j] else "!"
        return "o" if self.wanted[i, j] else "."

    def plot(self) -> Figure:
        """The matrix: dependences, leaks and cut paths in three colours."""
        from pyarsimple.checks import pictures

        return pictures.dependences(self)

    def _details(self) -> dict[str, Any]:
        return {
            "matrix": self.matrix.astype(int), "wanted": self.wanted.astype(int),
            "order": self.order, "found_order": self.found_order, "n_points": self.n_points,
            "leaks": [vars(leak) for leak in self.leaks], "cuts": self.cuts,
        }  # fmt: skip


def _folded(line: str) -> list[str]:
    if len(line) <= 80:
        return [line]
    import textwrap

    return textwrap.wrap(line, 80, subsequent_indent="  ")


class _Watcher:
    """The function under test, called with copies, its answers compared row by row."""

    def __init__(self, function: Conditionals, D: int, tolerance: float) -> None:
        self.function, self.D, self.tolerance = function, D, tolerance

    def __call__(self, x: Array) -> Array:
        given = x.copy()
        outputs = np.array(self.function(given))
        if outputs.ndim < 2 or outputs.shape[:2] != x.shape:
            raise ValueError(
                f"conditionals(x) must have shape (N, D) = {x.shape}, or (N, D, ...) for several "
                f"numbers a conditional, got {outputs.shape}"
            )
        if not np.array_equal(given, x):
            raise ValueError("conditionals(x) changed the x that it was given: work on a copy")
        return outputs.reshape(*x.shape, -1)

    def differ(self, one: Array, two: Array) -> BoolArray:
        """Where two answers differ, (N, D); not-a-number is never equal to a number."""
        unequal = ~((one == two) | (np.isnan(one) & np.isnan(two)))
        if self.tolerance:
            scale = np.maximum(1, np.maximum(np.abs(one), np.abs(two)))
            unequal &= ~(np.abs(one - two) <= self.tolerance * scale)
        return np.asarray(unequal.any(axis=-1))


def check_autoregressive(
    conditionals: Conditionals | Any,
    D: int | None = None,
    order: npt.ArrayLike | None = None,
    values: Values = None,
    *,
    dependencies: npt.ArrayLike | None = None,
    allow_cuts: bool = False,
    own: bool = False,
    n_points: int = 64,
    tolerance: float = 0.0,
    rng: Any = 0,
) -> AutoregressiveReport:
    """Find out which conditional depends on which variable, and compare with what the order allows.

    Parameters
    ----------
    conditionals : callable or model
        ``conditionals(x) -> (N, D)`` or ``(N, D, K)``: for each row of x what is said of each
        variable given those before it: probabilities, logits, parameters of a mixture. Logits show
        more than probabilities, which saturate. Of a model its outputs are used, or if it has none
        its log_conditionals.
    D : int
        The number of variables; of a model its own.
    order : array_like of int, shape (D,), optional
        ``order[k]`` is the variable in position k; None is the natural order, or the model's.
    values : "bits", int, "reals", list of these, or callable
        What the variables are: 0/1, one of K classes, real numbers, a list with a K or "reals" for
        each, or whatever ``values(rng, shape)`` draws. Of a model its own.
    dependencies : array_like of bool, shape (D, D), optional
        What should depend on what, if not everything on all before it.
    allow_cuts : bool
        Whether dependences may be missing, as in a Markov chain.
    own : bool
        Whether the answer for x_i may depend on x_i itself, as log p(x_i | x_<i) does.
    n_points : int
        How many base points are tried.
    tolerance : float
        Relative change that does not count. 0 asks for equality in every bit, as our models give
        it; 1e-12 suits code whose rounding depends on what else is in the batch.
    rng : None, int, SeedSequence, BitGenerator or Generator
        As in SPEC 7; the default makes every call try the same points.

    Returns
    -------
    AutoregressiveReport
        True if there is no leak and no cut path.
    """
    if hasattr(conditionals, "n_dims"):
        model = conditionals
        D = model.n_dims if D is None else D
        order = getattr(model, "order", None) if order is None else order
        values = values_of(model) if values is None else values
        if hasattr(model, "log_conditionals") and not has_outputs(model):
            own, conditionals = True, model.log_conditionals
        else:
            conditionals = outputs_of(model)
        if dependencies is None and hasattr(model, "dependencies"):
            dependencies = model.dependencies()
    if D is None:
        raise TypeError("D is missing: the number of variables")
    D = check_size(D, "D")
    given = orders.check_order(order, D)
    allowed = orders.precedes(given) | (np.eye(D, dtype=bool) if own else False)
    wanted = allowed if dependencies is None else _square(dependencies, D)
    points = as_points(values, D)
    constant = np.flatnonzero(points.counts == 1).tolist()
    wanted = wanted & (points.counts != 1)
    random = np.random.default_rng(rng)
    watch = _Watcher(conditionals, D, tolerance)
    x = points.draw(random, check_size(n_points, "n_points"))
    base = watch(x)
    if trouble := _unsteady(watch, x, base):
        empty = np.zeros((D, D), bool)
        return AutoregressiveReport(empty, wanted, given, [], [], None, len(x), causes=[trouble])
    other = points.change(random, x)
    matrix = dependences(watch, x, other, watch.differ)
    leaks = _prove(watch, x, other, base, matrix & ~allowed)
    columns = _columns(matrix, allowed, wanted, given, own, allow_cuts) if leaks else None
    leaks += _all_later(watch, points, x, base, allowed, given, {(k.i, k.j) for k in leaks}, random)
    if own:
        np.fill_diagonal(matrix, False)
        wanted = wanted & ~np.eye(D, dtype=bool)
    cuts = [(int(i), int(j)) for i, j in np.argwhere(wanted & ~matrix)]
    found = _better_order(matrix, leaks, given, near=columns is None)
    report = AutoregressiveReport(
        matrix, wanted, given, leaks, cuts, found, len(x), allow_cuts
    )  # fmt: skip
    _explain(report, base, columns)
    if constant:
        report.warnings.append(
            f"x of {some(constant)} has one value only: what depends on it cannot be seen"
        )
    return report


def _columns(
    matrix: BoolArray, allowed: BoolArray, wanted: BoolArray, order: Array, own: bool,
    allow_cuts: bool,
) -> Cause | None:  # fmt: skip
    """Whether all would be well, were the columns of the answer put into another order."""
    back = orders.inverse(order)
    known = (
        (back, "column k holds the conditional of the variable in position k, order[k]; it must "
         "hold that of x_k", "return out[:, inverse(order)]: from positions to variables"),
        (order, "the conditional of x_i stands in column order[i]", "return out[:, order]"),
    )  # fmt: skip
    for rows, text, equation in known:
        right = matrix[rows]
        missing = wanted & ~right & ~(np.eye(len(order), dtype=bool) & own)
        if not (right & ~allowed).any() and (allow_cuts or not missing.any()):
            text = f"the columns are in the wrong order, nothing else is wrong: {text}"
            return Cause("columns", text, "conditionals", None, equation)
    return None


def _square(dependencies: npt.ArrayLike, D: int) -> BoolArray:
    matrix = np.asarray(dependencies)
    if matrix.shape != (D, D) or matrix.dtype != np.bool_:
        raise ValueError(
            f"dependencies must be boolean of shape ({D}, {D}), true at [i, j] where x_j reaches "
            f"the conditional of x_i; got dtype {matrix.dtype} and shape {matrix.shape}"
        )
    return matrix


def _unsteady(watch: _Watcher, x: Array, base: Array) -> Cause | None:
    """What makes comparing answers meaningless: chance, or rows that look at each other."""
    if watch.differ(base, watch(x)).any():
        text = (
            "two calls with the same x gave different answers: fix what is random (dropout?), or "
        )
        text += "give a tolerance, if it is the rounding of threads"
        equation = "conditionals(x) = conditionals(x), in every bit"
        return Cause("random", text, "conditionals", None, equation)
    half = max(1, len(x) // 2)
    few = _Watcher(watch.function, watch.D, max(watch.tolerance, 1e-6))
    if len(x) > 1 and few.differ(base[:half], few(x[:half])).any():
        text = (
            "the conditionals of a row change when other rows are left out: batch normalisation, "
        )
        text += "or an average over the wrong axis?"
        equation = "conditionals(x)[n] = conditionals(x[n : n + 1])[0]"
        return Cause("rows", text, "conditionals", None, equation)
    return None


def dependences(
    conditionals: Callable[[Array], Array],
    x: Array,
    other: Array,
    differ: Callable[[Array, Array], Array] = np.not_equal,
) -> BoolArray:
    """Which conditional depends on which variable: all are changed, one at a time, in many rows.

    Parameters
    ----------
    conditionals : callable
        ``conditionals(x) -> (N, D)``, or whatever ``differ`` takes.
    x, other : ndarray, shape (N, D)
        Rows to begin with, and for each entry another value.
    differ : callable
        ``differ(before, after) -> (N, D)``: where two answers differ; in any bit, unless given.

    Returns
    -------
    ndarray of bool, shape (D, D)
        True at [i, j] where conditional i changed, in any of the rows, with x_j alone.
    """
    D = x.shape[1]
    matrix = np.empty((D, D), bool)
    before = conditionals(x)
    for j in range(D):
        changed = x.copy()
        changed[:, j] = other[:, j]
        matrix[:, j] = differ(before, conditionals(changed)).any(axis=0)
    return matrix


def _prove(watch: _Watcher, x: Array, other: Array, base: Array, leaking: BoolArray) -> list[Leak]:
    """For each pair (i, j) that leaks the two inputs that show it."""
    leaks = []
    for j in np.flatnonzero(leaking.any(axis=0)).tolist():
        changed = x.copy()
        changed[:, j] = other[:, j]
        after = watch(changed)
        differ = watch.differ(base, after)
        for i in np.flatnonzero(leaking[:, j]).tolist():
            leaks.append(_leak(i, (j,), differ, x, changed, base, after))
    return leaks


def _leak(
    i: int, j: tuple[int, ...], differ: BoolArray, x: Array, changed: Array, base: Array,
    after: Array,
) -> Leak:  # fmt: skip
    """The pair of inputs that shows it most clearly."""
    change = np.where(
        differ[:, i], np.nan_to_num(np.abs(base - after)[:, i].max(axis=-1), nan=1e300), -1
    )
    n = int(np.argmax(change))
    return Leak(i, j, x[n].copy(), changed[n].copy(), base[n, i].squeeze(), after[n, i].squeeze())


def _all_later(
    watch: _Watcher, points: Points, x: Array, base: Array, allowed: BoolArray,
    order: Array, known: set[tuple[int, tuple[int, ...]]], rng: np.random.Generator,
) -> list[Leak]:  # fmt: skip
    """Change everything from each position on: some leaks show only when several change."""
    leaks = []
    leaking = {i for i, _ in known}
    for i in order.tolist():
        forbidden = np.flatnonzero(~allowed[i])
        if not len(forbidden) or i in leaking:
            continue
        changed = x.copy()
        changed[:, forbidden] = points.change(rng, x)[:, forbidden]
        if points.finite:  # half of them, so that pairs change against each other
            keep = rng.random(x.shape) < 0.3
            changed = np.where(keep, x, changed)
        differ = watch.differ(base, watch(changed))
        if differ[:, i].any():
            n = int(np.flatnonzero(differ[:, i])[0])
            leaks.append(_smallest(watch, i, x[n], changed[n]))
    return leaks


def _smallest(watch: _Watcher, i: int, x: Array, changed: Array) -> Leak:
    """Put variables back one by one as long as the leak still shows."""
    changed = changed.copy()
    for j in np.flatnonzero(changed != x):
        less = changed.copy()
        less[j] = x[j]
        if _pair_differs(watch, i, x, less)[0]:
            changed = less
    _, before, after = _pair_differs(watch, i, x, changed)
    where = tuple(int(k) for k in np.flatnonzero(changed != x))
    return Leak(i, where, x.copy(), changed, before.squeeze(), after.squeeze())


def _pair_differs(watch: _Watcher, i: int, x: Array, y: Array) -> tuple[bool, Array, Array]:
    one, two = watch(x[np.newaxis]), watch(y[np.newaxis])
    return bool(watch.differ(one, two)[0, i]), one[0, i], two[0, i]


def _ahead(matrix: BoolArray, order: Array) -> BoolArray:
    """The dependences that look ahead in an order."""
    return matrix & ~orders.precedes(order)


def _better_order(
    matrix: BoolArray, leaks: list[Leak], order: Array, near: bool
) -> npt.NDArray[np.intp] | None:
    """An order in which every dependence looks back; or if ``near`` will do, most more of them."""
    if not leaks or any(len(leak.j) > 1 for leak in leaks):
        return None
    found = _sorted(matrix)
    if found is not None or not near:
        return found
    others = [*_known_orders(order).values(), _sorted(matrix & ~np.eye(len(order), dtype=bool))]
    counts = [(int(_ahead(matrix, o).sum()), k) for k, o in enumerate(others) if o is not None]
    fewest, best = min(counts)
    now = int(_ahead(matrix, order).sum())
    return others[best] if now - fewest >= 2 and 2 * fewest <= now else None


def _known_orders(order: Array) -> dict[str, npt.NDArray[np.intp]]:
    """Orders that are often taken for the one that is meant."""
    natural = np.arange(len(order))
    return {
        "the inverse of the order": orders.inverse(order),
        "the reverse of the order": order[::-1],
        "the natural order": natural,
        "the reverse of the natural order": natural[::-1],
    }


def _sorted(matrix: BoolArray) -> npt.NDArray[np.intp] | None:
    """An order in which every dependence looks back, if there is one (a topological sort)."""
    left, found = list(range(len(matrix))), []
    while left:
        free = [i for i in left if not matrix[i, left].any()]
        if not free:
            return None
        found.append(free[0])
        left.remove(free[0])
    return np.array(found, dtype=np.intp)


def _explain(report: AutoregressiveReport, base: Array, columns: Cause | None) -> None:
    """Name what the pattern of leaks and cut paths looks like."""
    matrix, wanted, order = report.matrix, report.wanted, report.order
    bad = np.flatnonzero(~np.isfinite(base).all(axis=(0, 2))).tolist()
    if bad:
        text = f"the conditionals of {some(bad)} are not finite numbers (NaN or infinity): "
        text += "log of 0, 0/0 or an overflow? What they depend on cannot be seen"
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(base).all(axis=2))[0])
        equation = "log(sigmoid(a)) = -logaddexp(0, -a)"
        report.causes.append(Cause("not-finite", text, "conditionals", where, equation))
    if columns and report.found_order is None:
        report.causes.append(columns)
    elif report.leaks:
        report.causes += _why_leak(report)
    blind = all(i in bad for i, _ in report.cuts)
    explained = blind or bool(columns) or report.found_order is not None
    if report.cuts and not report.cuts_allowed and not explained:
        report.causes.append(_why_cut(matrix, wanted, order, report))
    if len(order) == 1:
        report.warnings.append("with one variable there is nothing to depend on")


def _why_leak(report: AutoregressiveReport) -> list[Cause]:
    """What the leaks look like: a wrong order and what is wrong beside it, or something else."""
    if all(leak.size < 1e-9 for leak in report.leaks):
        largest = max(leak.size for leak in report.leaks)
        text = f"no leak changes anything by more than {largest:.1e} of its size: probably rounding"
        text += "; pass tolerance=1e-9, if it is"
        equation = "p(x_i | x_<i): computed from x_<i alone, nothing added and taken away"
        leak = report.leaks[0]
        return [Cause("rounding", text, "conditionals", (leak.i, leak.j[0]), equation)]
    pairs = [(leak.i, *leak.j) for leak in report.leaks]
    if report.found_order is None:
        return [_of_pairs(pairs, report.matrix)]
    left = [(int(i), int(j)) for i, j in np.argwhere(_ahead(report.matrix, report.found_order))]
    cause = Cause(
        "wrong-order", _which_order(report, len(left)), "order", None,
        "order[k] is the variable in position k; inverse(order)[i] the position of variable i",
    )  # fmt: skip
    return [cause, _of_pairs(left, report.matrix)] if left else [cause]


def _of_pairs(pairs: Sequence[tuple[int, ...]], matrix: BoolArray) -> Cause:
    """What (i, j) that must not be look like: x_j reaches the conditional of x_i."""
    index, D = pairs[0][:2], len(matrix)
    own = [pair for pair in pairs if pair == (pair[0], pair[0])]
    if len(own) == len(pairs):
        text = (
            f"{len(own)} of {D} conditionals see their own variable, none a later one: off by one"
        )
        return Cause("sees-itself", text, "conditionals", index, "j < i, strictly; not j <= i")
    if matrix.all():
        text = "everything depends on everything: there is no mask"
        return Cause("no-mask", text, "conditionals", index, "W * M, with M_ij = (j before i)")
    text = f"looks ahead: x_j reaches the conditional of x_i for (i, j) = {some(pairs)}"
    return Cause(
        "leak", text, "conditionals", index, "p(x_i | x_<i): nothing of x_i, nothing later"
    )


def _which_order(report: AutoregressiveReport, n_left: int) -> str:
    """The order that was found, and what it is of the order asked for."""
    found, order = report.found_order, report.order
    assert found is not None
    fits = [
        name for name, o in _known_orders(order).items()
        if _ahead(report.matrix, o).sum() == n_left
    ]  # fmt: skip
    shown = some(found.tolist(), 12)
    text = f"no leak in the order [{shown}]"
    if n_left:
        text = f"{len(report.leaks)} leaks, and only {n_left} in the order [{shown}]"
    text += ", but it is not the order asked for"
    return f"wrong order: {text}" + (f"; it is {fits[0]}" if fits else "")


def _why_cut(
    matrix: BoolArray, wanted: BoolArray, order: Array, report: AutoregressiveReport
) -> Cause:
    index = report.cuts[0]
    if not matrix.any():
        text = "nothing depends on anything: the inputs are ignored (all masks zero?)"
        equation = "every x_j with j before i reaches p(x_i | x_<i)"
        return Cause("ignores-inputs", text, "conditionals", index, equation)
    along = order[1:], order[:-1]
    if not matrix[along].any() and matrix.any() and len(report.cuts) == len(order) - 1:
        text = "no conditional sees the variable just before its own: a state or mask one step late"
        return Cause("one-step-late", text, "conditionals", index, "j < i, not j < i - 1")
    cut_i = sorted({i for i, _ in report.cuts})
    cut_j = sorted({j for _, j in report.cuts})
    text = f"{len(report.cuts)} paths are cut: at none of {report.n_points} points did the "
    text += f"conditionals of {some(cut_i)} change with x of {some(cut_j)}"
    return Cause(
        "cut", text, "conditionals", index, "every x_j with j before i reaches p(x_i | x_<i)"
    )
