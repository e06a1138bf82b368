"""Whether a gradient is the gradient of a loss; and if it is not: where, and why.

The referee is the difference quotient (see `differences`). Random directions come first: one that
moves every entry of an array tests all of them at once. Then single entries: all of a small array;
of a large one its corners, its borders, where most mistakes live, and a sample of each part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from pyarsimple.checks import blindness, causes, misbehaviour
from pyarsimple.checks.causes import Evidence, Suspect
from pyarsimple.checks.differences import (
    best_slope,
    central,
    has_kink,
    measure_noise,
    numeric_gradient,
)
from pyarsimple.checks.report import KINK, OK, WRONG, Cause, Report, number
from pyarsimple.reports import fit_name, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = npt.NDArray[Any]
Params = Mapping[str, Array]
LossAndGrads = Callable[[dict[str, Array]], tuple[float, Params]]

#: Room for rounding in units of the measured noise of a difference quotient.
NOISE_FACTOR = 8.0
COMPLEX_STEP = 1e-30


@dataclass
class ArrayResult:
    """What was found for one array.

    Attributes
    ----------
    name, shape
        Of the array.
    index : tuple of int, optional
        Of its worst entry; None where only a direction was wrong.
    analytic, numeric : float
        The two gradients there.
    relative_error : float
        Their largest difference, directions included, relative to the norm of the array's gradient.
    verdict : {"ok", "WRONG", "kink"}
    n_checked : int
        How many single entries were tested.
    step : float
        Of the differences.
    resolution : float
        The relative error below which rounding hides everything.
    """

    name: str
    shape: tuple[int, ...]
    index: tuple[int, ...] | None
    analytic: float
    numeric: float
    relative_error: float
    verdict: str
    n_checked: int
    step: float
    resolution: float

    def row(self) -> list[str]:
        """The cells of its line in the table."""
        index = str(self.index)
        if self.index is None:
            index = "direction" if self.n_checked else "-"
        return [
            fit_name(self.name, 10), fit_name(str(self.shape), 12), fit_name(index, 12),
            f"{self.analytic:.3e}", f"{self.numeric:.3e}", f"{self.relative_error:.1e}",
            self.verdict,
        ]  # fmt: skip


@dataclass(repr=False)
class GradientReport(Report):
    """The outcome of `check_gradients`: true if no array is wrong.

    Attributes
    ----------
    arrays : dict of str to ArrayResult
    tolerance : float
    causes, warnings
        As in `Report`.
    """

    check: ClassVar[str] = "gradients"
    arrays: dict[str, ArrayResult]
    tolerance: float
    evidence: dict[str, Evidence] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no array is wrong, and every array has a gradient."""
        return not self.causes and all(a.verdict != WRONG for a in self.arrays.values())

    def summary(self) -> str:
        """Which arrays are wrong."""
        wrong = [name for name, a in self.arrays.items() if a.verdict == WRONG]
        worst = max((a.relative_error for a in self.arrays.values()), default=0.0)
        found = f"{len(self.arrays)} arrays, tolerance {self.tolerance:.0e}"
        if wrong:
            return f"{found}, wrong: {', '.join(wrong)}"
        return f"{found}, worst relative error {worst:.1e}"

    def table(self) -> str:
        """One line for each array."""
        titles = ("array", "shape", "worst index", "analytic", "numeric", "rel. error", "verdict")
        rows = [a.row() for a in self.arrays.values()]
        return table([(title, "") for title in titles], rows) if rows else ""

    def plot(self) -> Figure:
        """One line of points for each array: the error of every entry tested; dotted: tolerance."""
        from pyarsimple.checks import pictures

        return pictures.gradients(self)

    def _details(self) -> dict[str, Any]:
        arrays = {name: vars(a) for name, a in self.arrays.items()}
        return {"tolerance": self.tolerance, "arrays": arrays}


def generic_params(params: Params, *, rng: Any = 0) -> dict[str, Array]:
    """Random parameters of the same shapes, nowhere zero, for a check at a generic point.

    Parameters
    ----------
    params : dict of str to array
    rng : None, int, SeedSequence, BitGenerator or Generator
        As in SPEC 7; the default gives the same numbers at each call.

    Returns
    -------
    dict of str to ndarray of float64
        Of either sign, between 0.1 and 0.9 in size (0.4 in vectors), and smaller in wide matrices,
        so that no unit saturates.
    """
    rng = np.random.default_rng(rng)
    result = {}
    for name, p in params.items():
        shape = np.shape(p)
        fan = max(1.0, np.sqrt(shape[-1] / 4)) if len(shape) > 1 else 1.0
        size = rng.uniform(0.1, 0.9 if len(shape) > 1 else 0.4, shape) / fan
        result[name] = rng.choice([-1.0, 1.0], shape) * size
    return result


class _Loss:
    """The caller's function: counted, guarded, and given copies only."""

    def __init__(self, function: LossAndGrads, params: Params, complex_step: bool) -> None:
        self.function, self.complex_step = function, complex_step
        self.n_calls = 0
        self.params = {name: p.copy() for name, p in params.items()}
        self.sizes = {name: _size(p) for name, p in params.items()}

    def call(self, params: dict[str, Array]) -> tuple[Any, Params]:
        """The function's own answer, checked for its form; ``params`` are its own from now on."""
        self.n_calls += 1
        answer = self.function(params)
        if not isinstance(answer, tuple) or len(answer) != 2 or not hasattr(answer[1], "keys"):
            raise TypeError(
                "loss_and_grads(params) must return (loss, grads), a number and a dict with the "
                f"keys of params, got {type(answer).__name__}"
            )
        loss = np.asarray(answer[0])
        if loss.ndim != 0 or loss.dtype.kind not in "iufc":
            raise TypeError(
                "loss_and_grads(params) must return one number as the loss, got "
                f"dtype {loss.dtype} and shape {loss.shape}; sum or average it"
            )
        return loss[()], answer[1]

    def at(self, params: Params) -> float:
        """The loss of copies of ``params``."""
        return self.moved(params, {})

    def moved(self, params: Params, replaced: Params) -> float:
        """The loss of copies of ``params``, but for some arrays that are new already."""
        given = {k: replaced[k] if k in replaced else p.copy() for k, p in params.items()}
        return float(np.real(self.call(given)[0]))

    def along(self, params: Params, name: str, direction: Array) -> Callable[[float], float]:
        """phi(t): the loss with one array moved by t along a direction."""
        return lambda t: self.moved(params, {name: params[name] + t * direction})

    def complex_slope(self, params: Params, name: str, direction: Array) -> float:
        """phi'(0) to machine precision: the imaginary part of phi(ih) / h."""
        moved = {k: p.astype(np.complex128) for k, p in params.items()}
        moved[name] += 1j * COMPLEX_STEP * direction
        loss = self.call(moved)[0]
        if not np.iscomplexobj(loss):
            raise TypeError(
                "complex_step=True needs a loss that stays complex when the parameters are: "
                f"got {type(loss).__name__}; float(), abs(), .real, np.maximum and np.where on "
                "comparisons lose the imaginary part (use complex_step=False for such functions)"
            )
        return float(np.imag(loss)) / COMPLEX_STEP


def _size(p: Array) -> float:
    """The typical size of an array's entries; 1 where all are zero."""
    rms = float(np.sqrt(np.mean(p**2))) if p.size else 0.0
    return min(max(rms, 1e-3), 1e3) if rms > 0 else 1.0


def unit(shape: tuple[int, ...], index: tuple[int, ...]) -> Array:
    """Zeros with a one at ``index``."""
    e = np.zeros(shape)
    e[index] = 1.0
    return e


def entries_to_check(
    shape: tuple[int, ...], most: int, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Every entry of a small array; of a large one its corners, borders, and some of each part."""
    n = int(np.prod(shape))
    if n <= most:
        return list(np.ndindex(shape))
    edges = np.linspace(0, n, 1 + most // 2).astype(int).tolist()
    chosen = {int(rng.integers(a, b)) for a, b in pairwise(edges) if b > a}
    per_border = max(1, most // (4 * max(1, len(shape))))
    for axis, size in enumerate(shape):
        for end in (0, size - 1):
            picks = [rng.integers(0, s, per_border) for s in shape]
            picks[axis] = np.full(per_border, end)
            chosen.update(np.ravel_multi_index(tuple(picks), shape).tolist())
    corners = np.ix_(*[[0, s - 1] for s in shape])
    chosen.update(np.arange(n).reshape(shape)[corners].ravel().tolist())
    return [tuple(int(i) for i in np.unravel_index(k, shape)) for k in sorted(chosen)]


class _Checker:
    """Compares analytic and numeric gradients of one function, array by array."""

    def __init__(
        self, loss: _Loss, tolerance: float, n_directions: int, max_entries: int,
        max_follow_up: int, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.loss, self.tolerance = loss, tolerance
        self.n_directions, self.max_entries, self.rng = n_directions, max_entries, rng
        self.max_follow_up = max_follow_up
        #: Arrays for which there was no time to look everywhere.
        self.cut_short: list[str] = []

    def array(self, params: Params, name: str, A: Array) -> tuple[ArrayResult, Evidence]:
        """One array at one point; A is its analytic gradient there."""
        numeric = _Numeric(self, params, name, A)
        directions = numeric.directions()
        index = entries_to_check(A.shape, self.max_entries, self.rng)
        g, uncertainty = numeric.entries(index)
        if A.size > self.max_entries and any(d.excess > 0 for d in directions):
            more, found = self._follow_up(numeric, index)
            index = index + more
            g, uncertainty = np.append(g, found[0]), np.append(uncertainty, found[1])
        return numeric.result(directions, index, g, uncertainty)

    def _follow_up(
        self, numeric: _Numeric, known: list[tuple[int, ...]]
    ) -> tuple[list[tuple[int, ...]], tuple[Array, Array]]:
        """More entries of a large array that is wrong, as many as there are calls for."""
        last = self.loss.n_calls + self.max_follow_up
        looked_at: list[tuple[int, ...]] = []
        found: list[tuple[Array, Array]] = []
        for k in self._around(numeric, known):
            if self.loss.n_calls >= last:
                self.cut_short.append(numeric.name)
                break
            looked_at.append(k)
            found.append(numeric.entries([k]))
        both: Array = np.array(found).reshape(-1, 2)
        return looked_at, (both[:, 0], both[:, 1])

    def _around(self, numeric: _Numeric, known: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """A grid of entries about the one that is wrong and at the ends, the nearest first."""
        worst = numeric.locate()
        lines = []
        for size, k in zip(numeric.A.shape, worst, strict=True):
            wanted = {*range(2), *range(size - 2, size), *range(k - 1, k + 2)}
            lines.append(sorted((i for i in wanted if 0 <= i < size), key=lambda i: abs(i - k)))
        grid = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, len(lines))
        seen = set(known)
        entries = [e for e in map(tuple, grid.tolist()) if e not in seen]
        return sorted(entries, key=lambda e: sum(i != k for i, k in zip(e, worst, strict=True)))


@dataclass
class _Direction:
    """A random direction: both derivatives, and by how much they differ beyond what may be."""

    vector: Array
    analytic: float
    numeric: float
    excess: float
    uncertainty: float
    kink: bool


class _Numeric:
    """Numeric derivatives with respect to one array, at one point."""

    def __init__(self, checker: _Checker, params: Params, name: str, A: Array) -> None:
        self.loss, self.tolerance = checker.loss, checker.tolerance
        self.rng, self.n_directions = checker.rng, checker.n_directions
        self.params, self.name, self.A = params, name, A
        self.size = self.loss.sizes[name]
        self.scale = float(np.linalg.norm(A))
        probe = self.loss.along(params, name, self.rng.choice([-1.0, 1.0], A.shape))
        self.noise = measure_noise(probe, self.size)
        self.step = self._choose_step()

    def _choose_step(self) -> float:
        """The step for single entries: that which suits the largest of them best."""
        if self.A.size == 0:
            return self.size
        largest = int(np.argmax(np.abs(self.A)))
        picks = {largest, int(self.rng.integers(self.A.size)), int(self.rng.integers(self.A.size))}
        slopes = []
        for k in sorted(picks):
            index = tuple(int(i) for i in np.unravel_index(k, self.A.shape))
            slope = best_slope(self._phi(index), self.noise, self.size)
            self.scale = max(self.scale, abs(slope.value))
            slopes.append(slope)
        return min(slope.step for slope in slopes)

    def _phi(self, index: tuple[int, ...]) -> Callable[[float], float]:
        """phi(t): the loss with one entry moved by t."""
        return self.loss.along(self.params, self.name, unit(self.A.shape, index))

    def _of_array(self, p: Array) -> float:
        """The loss with another array in place of this one."""
        return self.loss.moved(self.params, {self.name: p})

    def allowed(self, uncertainty: Any) -> Any:
        """How far the two gradients may be apart."""
        return self.tolerance * self.scale + NOISE_FACTOR * uncertainty

    def directions(self) -> list[_Direction]:
        """Directions of +1 and -1, in which every entry of the array takes part."""
        found = []
        for _ in range(self.n_directions if self.A.size else 0):
            v = self.rng.choice([-1.0, 1.0], self.A.shape)
            found.append(self.direction(v))
        return found

    def direction(self, v: Array) -> _Direction:
        """Both derivatives along v."""
        analytic = float(np.sum(self.A * v))
        phi = self.loss.along(self.params, self.name, v)
        if self.loss.complex_step:
            value, uncertainty = self.loss.complex_slope(self.params, self.name, v), 0.0
        else:
            slope = best_slope(phi, self.noise, self.size)
            value, uncertainty = slope.value, slope.uncertainty
        excess = abs(analytic - value) - self.allowed(uncertainty) - 1e-13 * np.abs(self.A).sum()
        kink = excess > 0 and has_kink(phi, self.noise, self.size)
        return _Direction(v, analytic, value, float(excess), uncertainty, kink)

    def entries(self, index: Sequence[tuple[int, ...]]) -> tuple[Array, Array]:
        """Numeric derivatives with respect to single entries, and their uncertainties.

        Each at the array's step, confirmed at a second one; where that fails, at a step of its own.
        """
        if self.loss.complex_step:
            units = (unit(self.A.shape, k) for k in index)
            exact = [self.loss.complex_slope(self.params, self.name, e) for e in units]
            return np.array(exact), np.zeros(len(index))
        p, rounding = self.params[self.name], self.noise / self.step
        first = numeric_gradient(self._of_array, p, self.step, index)
        second = numeric_gradient(self._of_array, p, self.step / 4, index)
        analytic = np.array([self.A[k] for k in index], dtype=np.float64)
        with np.errstate(invalid="ignore"):  # inf - inf: neither confirmed nor settled
            allowed = self.allowed(4 * rounding)
            confirmed = np.abs(first - second) <= allowed
            settled = np.abs(second - analytic) <= allowed  # a kink between the steps
            nearer = np.abs(second - analytic) < np.abs(first - analytic)
        unmoved = (first == 0) & (second == 0) & (analytic != 0)
        slopes = np.where(nearer, second, first)
        uncertainty = np.where(nearer, 4 * rounding, rounding)
        for k in np.flatnonzero(~(confirmed | settled) | unmoved).tolist():
            slope = best_slope(self._phi(index[k]), self.noise, self.size)
            slopes[k], uncertainty[k] = slope.value, slope.uncertainty
        return slopes, uncertainty

    def locate(self) -> tuple[int, ...]:
        """The entry that is most wrong, by halving: the half that is wrong by more, and so on."""
        flat = np.arange(self.A.size)
        while len(flat) > 1:
            halves = np.array_split(flat, 2)
            flat = max(halves, key=self._block_error)
        return tuple(int(i) for i in np.unravel_index(flat[0], self.A.shape))

    def _block_error(self, flat: Array) -> float:
        """How wrong these entries are together, roughly: it only chooses where to look."""
        v = np.zeros(self.A.shape)
        v.flat[flat] = self.rng.choice([-1.0, 1.0], len(flat))
        phi = self.loss.along(self.params, self.name, v)
        # The more entries move, the smaller a step keeps the loss about as straight.
        slope = central(phi, self.step / np.sqrt(len(flat)))
        return abs(slope - float(np.sum(self.A * v)))

    def result(
        self, directions: list[_Direction], index: list[tuple[int, ...]], g: Array,
        uncertainty: Array,
    ) -> tuple[ArrayResult, Evidence]:  # fmt: skip
        """The verdict."""
        a = np.array([self.A[k] for k in index], dtype=np.float64)
        self.scale = max(self.scale, float(np.linalg.norm(g)))
        error = np.abs(a - g)
        allowed = self.allowed(uncertainty)
        wrong = ~(error <= allowed)
        bad = [d for d in directions if d.excess > 0]
        k, analytic, numeric = None, 0.0, 0.0
        if bad and not wrong.any():  # no single entry that was tested, but all of them together
            worst = max(bad, key=lambda d: d.excess)
            analytic, numeric = worst.analytic, worst.numeric
        elif index:
            entry = int(np.argmax(error - allowed))
            k, analytic, numeric = index[entry], float(a[entry]), float(g[entry])
        difference = abs(analytic - numeric)
        result = ArrayResult(
            self.name, self.A.shape, k, analytic, numeric,
            difference / self.scale if difference else 0.0,
            WRONG if wrong.any() or bad else OK, len(index), self.step,
            NOISE_FACTOR * float(uncertainty.max(initial=0.0)) / self.scale if self.scale else 0.0,
        )  # fmt: skip
        evidence = Evidence(self.name, self.A, index, g, wrong, float(np.max(allowed, initial=0)))
        evidence.kink = any(d.kink for d in bad) or self._kink_at(index, wrong, error)
        return result, evidence

    def _kink_at(self, index: list[tuple[int, ...]], wrong: Array, error: Array) -> bool:
        """Whether one of the worst entries sits at a kink."""
        worst = [k for k in np.argsort(-error)[:5] if wrong[k]]
        return any(has_kink(self._phi(index[k]), self.noise, self.size) for k in worst)


def check_gradients(
    loss_and_grads: LossAndGrads | Any,
    params: Params | None = None,
    *,
    tolerance: float = 1e-6,
    complex_step: bool = False,
    n_directions: int = 3,
    max_entries: int = 200,
    max_follow_up: int = 400,
    masks: Mapping[str, npt.ArrayLike] | None = None,
    x: npt.ArrayLike | None = None,
    order: npt.ArrayLike | None = None,
    upstream: npt.ArrayLike | None = None,
    n_rows: int | None = None,
    terms: Callable[[dict[str, Array]], npt.ArrayLike] | None = None,
    suspects: Iterable[Suspect] = (),
    equations: Mapping[str, str] | None = None,
    rng: Any = 0,
) -> GradientReport:
    """Compare a gradient with differences of its loss, and name what is wrong with it.

    Parameters
    ----------
    loss_and_grads : callable or model
        ``loss_and_grads(params) -> (loss, grads)``: a number, and a dict with the keys and shapes
        of ``params``. It gets copies. A model with ``params`` and ``nll_and_grads(x)`` will do as
        well: then ``x`` must be given, and everything below that can be read from a model is.
    params : dict of str to ndarray of float64
        The point at which to check; of a model, its own parameters unless given. See
        `generic_params` for a point where nothing hides.
    tolerance : float
        Of the error relative to the norm of each array's gradient.
    complex_step : bool
        Differentiate by the complex step: exact, but the loss must be an analytic function in
        complex arithmetic (no ``abs``, ``maximum`` or comparisons), and returned as complex.
    n_directions : int
        Random directions for each array.
    max_entries : int
        Arrays of at most so many entries are checked entry by entry; larger ones at about as many.
    max_follow_up : int
        So many more calls of the function may be spent on finding out where and why a large array
        is wrong; the report says where that cut the search short.
    masks : dict of str to array_like of bool, optional
        True where an entry is free; elsewhere the gradient must be exactly zero.
    x : array_like, shape (N, D), optional
        The data: lets the check see columns that are never active.
    order : array_like of int, shape (D,), optional
        Of the variables, to name the first and the last.
    upstream : array_like, shape (N, D), optional
        The gradient with respect to the outputs that the loss hands to the code under test.
    n_rows : int, optional
        N, to recognise a factor N; from ``x`` or ``upstream`` if they are given.
    terms : callable, optional
        ``terms(params) -> (D,)``, one number for each variable (or step), whose sum is the loss:
        tells which of them the gradient has forgotten, or counts twice.
    suspects : iterable of Suspect, optional
        Gradients that known mistakes would give (see `known_mistakes`), recognised when met.
    equations : dict of str to str, optional
        For each array, the equation of its gradient, quoted if it is wrong.
    rng : None, int, SeedSequence, BitGenerator or Generator
        For directions and entries, as in SPEC 7; the default makes every call test the same ones.

    Returns
    -------
    GradientReport
        Print it; it is true if the gradient is right.

    Raises
    ------
    TypeError
        If a parameter is not float64, or the function does not return what it should.
    """
    if hasattr(loss_and_grads, "nll_and_grads"):
        from pyarsimple.checks.models import gradient_problem

        problem = gradient_problem(loss_and_grads, params, x)
        return check_gradients(
            **problem, tolerance=tolerance, complex_step=complex_step, n_directions=n_directions,
            max_entries=max_entries, max_follow_up=max_follow_up, rng=rng,
        )  # fmt: skip
    hints = causes.Hints(
        x=None if x is None else np.asarray(x),
        order=None if order is None else np.asarray(order),
        upstream=None if upstream is None else np.asarray(upstream),
        n_rows=n_rows,
        terms=terms,
        suspects=list(suspects),
        equations=dict(equations or {}),
        masks={k: np.asarray(m, dtype=bool) for k, m in (masks or {}).items()},
    )
    loss = _Loss(loss_and_grads, check_params(params), complex_step)
    checker = _Checker(
        loss, tolerance, n_directions, max_entries, max_follow_up, np.random.default_rng(rng)
    )
    return _check(checker, hints)


def check_params(params: Params | None) -> dict[str, Array]:
    """Parameters as a dict of float64 arrays, or an error that explains itself."""
    if params is None or not hasattr(params, "items") or not len(params):
        got = type(params).__name__
        if hasattr(params, "items"):
            got = "an empty one"
        elif isinstance(params, (list, tuple)):
            got += f" of {len(params)}; name them: dict(zip(names, params))"
        raise TypeError(
            "params must be a dict of names to float64 arrays, the point at which to check, got "
            f"{got}"
        )
    result = {}
    for name, value in params.items():
        p = np.asarray(value)
        if p.dtype != np.float64:
            raise TypeError(
                f"params[{name!r}] must be float64, got {p.dtype}: a difference quotient loses "
                "half of the digits, and float32 has seven; convert all parameters (and the "
                "data) with .astype('float64') for the check"
            )
        if not np.isfinite(p).all():
            raise ValueError(f"params[{name!r}] holds NaN or infinity: check at finite parameters")
        result[name] = p
    return result


def _check(checker: _Checker, hints: causes.Hints) -> GradientReport:
    """The check itself, once its arguments are in order."""
    loss = checker.loss
    given = {name: p.copy() for name, p in loss.params.items()}
    value, answered = loss.call(given)
    report = GradientReport({}, checker.tolerance)
    grads = {
        k: np.array(g, dtype=np.float64 if np.isrealobj(g) else None) for k, g in answered.items()
    }
    found = misbehaviour.of_function(loss, value, answered, grads, given)
    report.causes += [_in_words_of(hints.equations, cause) for cause in found]
    report.warnings += misbehaviour.extra(loss.params, grads)
    report.warnings += blindness.of_inputs(loss.params, hints)
    if not np.isfinite(value):
        return report
    usable = misbehaviour.usable(loss.params, grads)
    for name in usable:
        result, evidence = checker.array(loss.params, name, grads[name])
        report.arrays[name], report.evidence[name] = result, evidence
    _excuse_kinks(checker, report)
    for name in dict.fromkeys(checker.cut_short):
        report.warnings.append(
            f"{name}: the search for what is wrong was cut short after {checker.max_follow_up} "
            "calls of the loss; a larger max_follow_up looks at more of it"
        )
    wrong = [report.evidence[k] for k, a in report.arrays.items() if a.verdict == WRONG]
    if wrong and not any(c.kind in misbehaviour.DECISIVE for c in report.causes):
        report.causes += causes.diagnose(wrong, report.evidence, loss, hints)
    report.causes += causes.masked(grads, hints)
    report.warnings += blindness.of_results(
        report.arrays, report.evidence, hints, checker.tolerance
    )
    return report


def _in_words_of(equations: Mapping[str, str], cause: Cause) -> Cause:
    """The caller's equation in place of ours, where a gradient is missing or of the wrong form."""
    if cause.kind in misbehaviour.DECISIVE or cause.array not in equations:
        return cause
    return replace(cause, equation=equations[cause.array])


def _excuse_kinks(checker: _Checker, report: GradientReport) -> None:
    """Check what fails at a kink again a little off it: a kink vanishes there, a bug does not."""
    failing = [
        k for k, a in report.arrays.items() if a.verdict == WRONG and report.evidence[k].kink
    ]
    if not failing:
        return
    loss = checker.loss
    moved = {
        k: p + 1e-2 * loss.sizes[k] * checker.rng.choice([-1.0, 1.0], p.shape)
        * checker.rng.uniform(0.3, 1.0, p.shape)
        for k, p in loss.params.items()
    }  # fmt: skip
    grads = loss.call({k: p.copy() for k, p in moved.items()})[1]
    grads = {k: np.array(g, dtype=np.float64) for k, g in grads.items()}
    for name in failing:
        result, evidence = checker.array(moved, name, grads[name])
        if result.verdict == OK:
            report.arrays[name].verdict = KINK
            report.warnings.append(
                f"{name}: the loss has a kink here (a rectifier at 0, an absolute value or a "
                "maximum), where no gradient exists; a little off it the two agree, to "
                f"{number(result.relative_error)}. Check at a generic point: see generic_params."
            )
        else:
            report.arrays[name], report.evidence[name] = result, evidence
