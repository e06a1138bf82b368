"""Why is this gradient wrong? Each function here knows the traces of one mistake.

The evidence is an array's analytic gradient A, whole, and its numeric gradient g at some entries. A
mistake leaves its own trace: a sign gives A = -g, a transposition A[j, i] = g[i, j], an index that
is one off A[i + 1] = g[i]. They are tried from the most to the least specific, and the first that
explains every entry is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyarsimple.checks.misbehaviour import float32_cause, is_float32, misshapen
from pyarsimple.checks.report import Cause, some

if TYPE_CHECKING:
    from pyarsimple.checks.gradients import _Loss

Array = npt.NDArray[Any]


@dataclass
class Suspect:
    """A gradient that a known mistake would give; `check_gradients` says so when it meets it.

    Attributes
    ----------
    kind, text, equation : str
        Of the `Cause` that is reported.
    grads : dict of str to ndarray
        The mistaken gradients, of some or all parameters.
    """

    kind: str
    text: str
    equation: str
    grads: Mapping[str, Array]


@dataclass
class Hints:
    """What the caller told of the code under test; everything may be missing."""

    x: Array | None = None
    order: Array | None = None
    upstream: Array | None = None
    n_rows: int | None = None
    terms: Callable[[dict[str, Array]], npt.ArrayLike] | None = None
    suspects: list[Suspect] = field(default_factory=list)
    equations: dict[str, str] = field(default_factory=dict)
    masks: dict[str, Array] = field(default_factory=dict)

    @property
    def rows(self) -> int | None:
        """N, if it is known."""
        known = [len(v) for v in (self.x, self.upstream) if v is not None and v.ndim]
        return self.n_rows if self.n_rows is not None else next(iter(known), None)

    @property
    def dims(self) -> int | None:
        """D, if it is known."""
        known = [
            v.shape[-1] for v in (self.order, self.x, self.upstream) if v is not None and v.ndim
        ]
        return int(known[0]) if known else None


@dataclass
class Evidence:
    """What was measured of one array: A whole, and g at the entries in ``index``."""

    name: str
    A: Array
    index: list[tuple[int, ...]]
    g: Array
    wrong: npt.NDArray[np.bool_]
    allowed: float
    kink: bool = False

    @property
    def a(self) -> Array:
        """The analytic gradient at the entries."""
        return np.array([self.A[k] for k in self.index])

    @property
    def worst(self) -> tuple[int, ...] | None:
        """The entry of the largest difference."""
        return self.index[int(np.argmax(np.abs(self.a - self.g)))] if self.index else None

    @property
    def near(self) -> float:
        """How close two numbers must be to count as the same, when causes are looked for.

        Wider than the check's own tolerance, for a cause need not be exact, but far below the error
        that is to be explained: else everything would explain it.
        """
        error = float(np.abs(self.a - self.g).max(initial=0.0))
        return max(4 * self.allowed, min(1e-4 * float(np.linalg.norm(self.g)), 1e-2 * error))

    def explained_by(self, other: Array) -> bool:
        """Whether the analytic gradient is ``other`` at all entries (and that is not g)."""
        return bool(np.all(np.abs(self.a - other) <= self.near * _magnitude(other, self.g)))


def _magnitude(other: Array, g: Array) -> float:
    """How much larger ``other`` is than g, at least 1: by as much may it be off."""
    norm = float(np.linalg.norm(g))
    return max(1.0, float(np.linalg.norm(other)) / norm) if norm else 1.0


Found = tuple[str, str, str]  # kind, text, equation

#: The equation of the kinds that have none of their own, where the caller gave none either.
GENERAL = {
    "factor-2": "d(a^2) = 2 a da; each term of the loss counts once",
    "factor": "a constant of the loss stands once in its gradient: loss = s L, dW = s dL/dW",
    "one-row": "dW_ij = sum_n d_ni x_nj: the same for every row i and column j",
    "first": "the sum begins with the first variable of the order",
    "last": "the sum ends with the last variable of the order",
    "counted-twice": "the sum runs over all variables, each of them once",
    "unknown": "dW_ij = (loss(W_ij + h) - loss(W_ij - h)) / 2h",
}


def quoted(kind: str, equation: str, names: Iterable[str], given: Mapping[str, str]) -> str:
    """What to compare the code with: a cause's own equation and the caller's, of these arrays."""
    lines = [equation] * bool(equation) + [given[name] for name in names if name in given]
    return "; ".join(lines) or GENERAL[kind]


def explain(
    name: str,
    analytic: npt.ArrayLike,
    right: npt.ArrayLike,
    *,
    tolerance: float = 1e-6,
    x: npt.ArrayLike | None = None,
    order: npt.ArrayLike | None = None,
    upstream: npt.ArrayLike | None = None,
    n_rows: int | None = None,
    suspects: Iterable[Suspect] = (),
    equation: str = "",
) -> Cause | None:
    """Name the likely cause of the difference between a gradient and the right one.

    For who knows the right gradient already, and needs no differences to find it: a grader.

    Parameters
    ----------
    name : str
        Of the array, for the text.
    analytic, right : array_like
        The gradient in question, and the right one.
    tolerance : float
        Of the error relative to the norm of ``right``.
    x, order, upstream, n_rows, suspects
        As in `check_gradients`.
    equation : str
        Of this gradient, quoted in the answer.

    Returns
    -------
    Cause or None
        None if the two agree.
    """
    A, g = np.asarray(analytic, dtype=np.float64), np.asarray(right, dtype=np.float64)
    wrong_form = misshapen(name, g, {name: A})
    if is_float32(analytic) and not wrong_form:
        return float32_cause(f"the gradient of {name} is", name)
    if wrong_form:
        return replace(wrong_form[0], equation=equation or wrong_form[0].equation)
    allowed = tolerance * max(float(np.linalg.norm(A)), float(np.linalg.norm(g)))
    index = list(np.ndindex(A.shape))
    e = Evidence(name, A, index, g.ravel(), np.abs(A - g).ravel() > allowed, allowed)
    if not e.wrong.any():
        return None
    hints = Hints(
        x=None if x is None else np.asarray(x),
        order=None if order is None else np.asarray(order),
        upstream=None if upstream is None else np.asarray(upstream),
        n_rows=n_rows,
        suspects=list(suspects),
        equations={name: equation} if equation else {},
    )
    return diagnose([e], {name: e}, None, hints)[0]


# What the numbers say. Each detector returns (kind, text, equation) or None.


def diagnose(
    wrong: list[Evidence], everything: Mapping[str, Evidence], loss: _Loss | None, hints: Hints
) -> list[Cause]:
    """The likeliest cause for each array that is wrong, those that agree taken together."""
    found: dict[Found, list[Evidence]] = {}
    clip = _clipped_together(wrong, everything)
    first = [clip or _first_cause(e, everything, loss, hints) for e in wrong]
    first = _withdrawn(first, wrong, everything, hints)
    for e, cause in zip(wrong, _joined(first, wrong, hints), strict=True):
        found.setdefault(cause, []).append(e)
    causes = []
    for (kind, text, equation), arrays in found.items():
        names = ", ".join(e.name for e in arrays)
        line = quoted(kind, equation, (e.name for e in arrays), hints.equations)
        causes.append(Cause(kind, f"{names}: {text}", arrays[0].name, arrays[0].worst, line))
    return causes


def _first_cause(
    e: Evidence, everything: Mapping[str, Evidence], loss: _Loss | None, hints: Hints
) -> Found:
    for detector in (
        _suspect, _zero, _uniform, _ratio, _clipped, _transposed, _shifted, _mask, _few_steps
    ):  # fmt: skip
        if found := detector(e, hints):
            return found
    return (
        _terms(e, loss, hints) or _lines(e, hints) or _slope(e, hints)
        or _unknown(e, everything, hints)
    )  # fmt: skip


def _suspect(e: Evidence, hints: Hints) -> Found | None:
    for s in hints.suspects:
        if e.name in s.grads and e.explained_by(np.array([s.grads[e.name][k] for k in e.index])):
            return s.kind, s.text, s.equation
    return None


def _zero(e: Evidence, hints: Hints) -> Found | None:
    if e.A.any():
        return None
    what = "bias" if e.A.ndim <= 1 else "array"
    equation = "db = d_a.sum(axis=0)" if e.A.ndim <= 1 else "dW += x.T @ d_a"
    text = f"all zero: the gradient of this {what} was forgotten"
    if e.A.ndim > 1:
        text += " (or it is shared, and only a step is kept at which it meets zeros: = for +=)"
    return "forgotten", text, equation


def _constant_ratio(e: Evidence) -> float | None:
    """R, if the analytic gradient is r times the numeric one."""
    square = float(e.g @ e.g)
    r = float(e.a @ e.g) / square if square else 0.0
    return r if r and e.explained_by(r * e.g) else None


def _is(r: float, wanted: float | None) -> bool:
    return wanted is not None and abs(r - wanted) <= 1e-5 * abs(wanted)


def _ratio(e: Evidence, hints: Hints) -> Found | None:
    r = _constant_ratio(e)
    if r is None:
        return None
    N, D, size = hints.rows, hints.dims, abs(r)
    sign = "the sign is wrong, and " if r < 0 else ""
    much = f"{sign}it is {r:.6g} times the right one everywhere"
    nll = "d_logits = (p - x) / N for the loss -mean(log p)"
    if _is(r, -1):
        return "sign", "the sign is wrong: it is minus the right one everywhere", nll
    if N != 1 and _is(size, N):
        return "factor-N", f"{much}, the number of rows: the loss is a mean, this a sum", nll
    if N != 1 and _is(size * (N or 0), 1):
        return "factor-N", f"{much}, 1 / the number of rows: divided by N once too often", nll
    if _is(size, 2) or _is(size, 0.5):
        return "factor-2", f"{much}: a square's 2, or something counted twice", ""
    if D != 1 and (_is(size, D) or _is(size * (D or 0), 1)):
        text = f"{much}, the number of variables: a mean over variables where a sum is meant?"
        return "factor-D", text, "loss = -log_p.sum(axis=1).mean()"
    if e.A.size == 1:
        return None  # one number is always some factor times another
    whole = max(size, 1 / size)
    if N is None and whole > 2.5 and _is(whole, round(whole)):
        return "factor-N", f"{much}: is {round(whole)} the number of rows (a mean or a sum)?", nll
    if r > 0 and size < 1 and _round(float(np.linalg.norm(e.A))):
        norm = float(np.linalg.norm(e.A))
        text = f"{much}, and its norm is {norm:.6g}: clipped to that norm"
        return "clipped", text, "clip in the optimiser, not in the gradient"
    if abs(r - 1) < 1e-3:
        return None  # nobody forgets a factor of 1.0001: rounding, or a small error somewhere
    return "factor", f"{much}: a constant factor too many or too few", ""


def _round(value: float) -> bool:
    """Whether a positive number has one significant digit, as thresholds have."""
    return value > 0 and _is(value, float(f"{value:.0e}")) and abs(
        value / float(f"{value:.0e}") - 1
    ) < 1e-9  # fmt: skip


def _clipped_together(wrong: list[Evidence], everything: Mapping[str, Evidence]) -> Found | None:
    """All arrays scaled alike so that the norm of all of them together is a round number."""
    total = float(np.sqrt(sum(np.sum(e.A**2) for e in everything.values())))
    ratios = [_constant_ratio(e) for e in wrong]
    zero = all(not e.A.any() and not e.g.any() for e in everything.values() if e not in wrong)
    if not zero or not _round(total) or any(r is None or not 0 < r < 1 for r in ratios):
        return None
    if not all(_is(r or 0, ratios[0]) for r in ratios):
        return None
    text = (
        f"all arrays are {ratios[0]:.6g} times the right ones, their norm together is {total:.6g}"
    )
    return "clipped", f"{text}: clipped to that norm", "clip in the optimiser, not in the gradient"


def _clipped(e: Evidence, hints: Hints) -> Found | None:
    top = float(np.abs(e.A).max())
    at_top = np.abs(e.a) >= top * (1 - 1e-12)
    beyond = (np.abs(e.g) > top) & (np.sign(e.g) == np.sign(e.a))
    if not np.array_equal(at_top & beyond, e.wrong) or (e.wrong.sum() < 2 and not _round(top)):
        return None
    text = f"no entry is larger than {top:.6g}, where the right ones go to {np.abs(e.g).max():.3g}"
    return "clipped", f"{text}: each entry is clipped", "clip in the optimiser, not in the gradient"


def _uniform(e: Evidence, hints: Hints) -> Found | None:
    """The same number everywhere: a bias counts ones if the upstream gradient is ignored."""
    if e.A.ndim > 1 or not e.A.any():
        return None
    value = float(e.A.flat[0])
    if np.ptp(e.A) > 1e-12 * abs(value) or (e.A.size > 1 and np.ptp(e.g) <= e.near):
        return None
    if e.A.size > 1 and len(e.index) == e.A.size:
        for what, r in (("sum", e.g.sum()), ("mean", e.g.mean())):
            if abs(value - r) <= e.near:
                text = f"all entries are {value:.6g}, the {what} of the right ones: the {what} "
                return "summed", text + "goes over one axis too many", "db = d_outputs.sum(axis=0)"
    counts = abs(value) >= 1 and value == round(value) and np.all(e.g != np.round(e.g))
    if not counts and (e.A.size == 1 or _is_output_bias(e, hints) is False):
        return None
    text = f"all entries are {value:.6g}: upstream is ignored, as if it were all ones"
    if e.A.size == 1:
        text = f"it is {value:.6g}, a whole number: upstream is ignored, as if it were all ones"
    return "upstream", text, "db = d_outputs.sum(axis=0)"


def _few_steps(e: Evidence, hints: Hints) -> Found | None:
    """A weight that many steps share gets a sum of products; its rank tells if one is there."""
    if e.A.ndim != 2 or min(e.A.shape) < 2 or len(e.index) < e.A.size or not e.A.any():
        return None
    right = np.empty(e.A.shape)
    for k, g in zip(e.index, e.g, strict=True):
        right[k] = g
    mine, wanted = _rank(e.A, 1e-9), _rank(right, 1e-5)
    most = 1 if hints.rows is None else hints.rows
    text = f"its rank is {mine}, that of the right one {wanted}: "
    if mine == 1 < min(most, wanted):
        text += "the product of sums stands where a sum of products is meant, or not all rows count"
        return "product-of-sums", text, "dW = x.T @ d_a, not outer(x.sum(axis=0), d_a.sum(axis=0))"
    if not mine <= most < wanted:
        return None
    rows = "a single row" if most == 1 else f"{most} rows"
    text += f"no more than {rows} at one step can give; of the sum over the steps only one is kept"
    return "last-step", text, "dW += ..., not dW = ..."


def _rank(A: Array, tolerance: float) -> int:
    sizes = np.linalg.svd(A, compute_uv=False)
    return int((sizes > tolerance * sizes[0]).sum()) if sizes[0] else 0


def _transposed(e: Evidence, hints: Hints) -> Found | None:
    if e.A.ndim != 2 or e.A.shape[0] != e.A.shape[1] or not e.wrong.any():
        return None
    turned = np.array([e.A[k[::-1]] for k in e.index])
    if np.abs(turned - e.g).max() > e.near:
        return None
    return "transposed", "it is the transpose of the right one", "x @ W gives dW = x.T @ d_a"


def _shifted(e: Evidence, hints: Hints) -> Found | None:
    """Whether A[i + s] is g[i] along some axis, wherever A is not zero."""
    for axis, size in enumerate(e.A.shape):
        for s in (1, -1):
            pairs = []
            for k, g in zip(e.index, e.g, strict=True):
                if 0 <= k[axis] + s < size:
                    moved = (*k[:axis], k[axis] + s, *k[axis + 1 :])
                    pairs.append((e.A[moved], g))
            kept = np.array([p for p in pairs if p[0] != 0 and p[1] != 0]).reshape(-1, 2)
            if len(kept) < 3 or np.ptp(kept[:, 1]) == 0:
                continue
            if np.abs(kept[:, 0] - kept[:, 1]).max() <= e.near:
                line = (
                    ("entry", "row", "column")[axis + (e.A.ndim > 1)] if e.A.ndim < 3 else "slice"
                )
                text = f"shifted by one: each {line} holds the gradient of its {_side(s)} neighbour"
                return "shifted", text, "i and i + 1: the row of x_i belongs to x_i"
    return None


def _side(s: int) -> str:
    return "preceding" if s > 0 else "following"


def _mask(e: Evidence, hints: Hints) -> Found | None:
    if np.any(e.g[e.wrong]) or not e.wrong.any() or e.wrong.all():
        return None
    text = (
        f"{int(e.wrong.sum())} entries on which the loss does not depend have a gradient, all "
        "others are right: a mask is missing in the backward pass"
    )
    return "mask", text, "dW = where(M, x.T @ d_a, 0)"


def _terms(e: Evidence, loss: _Loss | None, hints: Hints) -> Found | None:
    """Which of the terms of the loss the gradient is the gradient of."""
    if hints.terms is None or loss is None:
        return None
    order = np.argsort(~e.wrong, kind="stable")[:80]
    index, a, g = [e.index[k] for k in order], e.a[order], e.g[order]
    T = np.array([_slopes_of_terms(e, k, loss, hints) for k in index])  # (entries, D)
    near = max(e.near, 1e-6 * float(np.abs(T).max(initial=0.0)))
    if np.abs(T.sum(axis=1) - g).max() > near:
        return None  # terms that do not sum to the loss explain nothing
    for i in _by_position(T.shape[1], hints):
        if not np.abs(T[:, i]).max() > near:
            continue
        if np.abs(a - T[:, i]).max() <= near:
            return "last-step", _only(f"that of variable {i}", hints, i), "dW += ..., not dW = ..."
        if np.abs(a - g + T[:, i]).max() <= near:
            text = f"the contribution of variable {i}{_place(i, hints)} is left out"
            return _first_or_last(i, T.shape[1], hints), text, "the sum runs over all variables"
        if np.abs(a - g - T[:, i]).max() <= near:
            return "counted-twice", f"the contribution of variable {i} is counted twice", ""
    return _one_term_a_row(index, a, T, near)


def _one_term_a_row(index: list[tuple[int, ...]], a: Array, T: Array, near: float) -> Found | None:
    """Each row of a shared weight holding the contribution of one variable, where many belong."""
    rows: dict[int, list[int]] = {}
    for n, k in enumerate(index):
        rows.setdefault(k[0], []).append(n)
    for members in rows.values():
        off = np.abs(a[members][:, np.newaxis] - T[members]).max(axis=0)
        if off.min() > near and np.abs(a[members]).max() > near:
            return None
    return (
        "last-step",
        _only("one variable (another for each row)", Hints(), 0),
        "d_a += ..., not d_a =",
    )


def _only(which: str, hints: Hints, i: int) -> str:
    return f"of the sum over variables only one step is there, {which}: = where += is meant"


def _slopes_of_terms(e: Evidence, index: tuple[int, ...], loss: _Loss, hints: Hints) -> Array:
    """The derivative of every term with respect to one entry, (D,)."""
    assert hints.terms is not None
    h = 1e-5 * loss.sizes[e.name]
    ends = []
    for t in (h, -h):
        moved = {k: p.copy() for k, p in loss.params.items()}
        moved[e.name][index] += t
        ends.append(np.asarray(hints.terms(moved), dtype=np.float64).ravel())
    return np.asarray((ends[0] - ends[1]) / (2 * h))


def _by_position(D: int, hints: Hints) -> list[int]:
    order = hints.order if hints.order is not None and len(hints.order) == D else np.arange(D)
    return [int(i) for i in order]


def _place(i: int, hints: Hints) -> str:
    """Where in the order variable i is, if that is the first or the last place."""
    D = hints.dims
    kind = _first_or_last(i, D, hints) if D is not None else "one-row"
    return {"first": ", the first of the order,", "last": ", the last of the order,"}.get(kind, "")


def _first_or_last(i: int, D: int, hints: Hints) -> str:
    """``"first"``, ``"last"`` or ``"one-row"``."""
    order = _by_position(D, hints)
    return "first" if i == order[0] else "last" if i == order[-1] else "one-row"


def _lines(e: Evidence, hints: Hints) -> Found | None:
    """One row, column or entry wrong, or the first and the last, and all others right."""
    if e.A.ndim == 2 and e.wrong.sum() == 1:
        entry = e.index[int(np.argmax(e.wrong))]
        others = [k for k, wrong in zip(e.index, e.wrong, strict=True) if not wrong]
        if all(any(other[axis] == entry[axis] for other in others) for axis in (0, 1)):
            text = f"only the entry {list(entry)} is wrong; others of its row and column are right"
            return "one-row", text, ""
    for axis, size in enumerate(e.A.shape):
        lines = np.array([k[axis] for k in e.index])
        bad = sorted({int(i) for i in lines[e.wrong]})
        good = set(lines.tolist()) - set(bad)
        if not bad or len(bad) > 2 or len(good) < max(1, len(bad)) or size < 3:
            continue
        D = size if size == hints.dims else None
        kinds = [_first_or_last(i, size, hints if D else Hints()) for i in bad]
        if len(bad) == 2 and sorted(kinds) != ["first", "last"]:
            continue
        line = ("row", "column")[axis] if e.A.ndim == 2 else "entry"
        known = {"first": ", the first,", "last": ", the last,", "one-row": ""}
        names = " and ".join(f"{line} {i}{known[k]}" for i, k in zip(bad, kinds, strict=True))
        text = f"only {names} is wrong{_line_ratio(e, lines == bad[0])}; all others are right"
        ends = "the first variable has nothing before it, the last nothing after"
        return kinds[0], text, "" if kinds[0] == "one-row" else ends
    return None


def _line_ratio(e: Evidence, of: Array) -> str:
    """What stands in the wrong line."""
    if not np.any(e.a[of]):
        return " (all zero)"
    part = Evidence(e.name, e.A, [k for k, n in zip(e.index, of, strict=True) if n], e.g[of],
                    e.wrong[of], e.allowed)  # fmt: skip
    r = _constant_ratio(part)
    return (
        ""
        if r is None or len(part.index) < 2 or abs(r - 1) < 1e-3
        else f" ({r:.4g} times the right one)"
    )


#: Kinds that are guessed from the size of ratios that vary, and no more than likely.
GUESSED = frozenset({"slope", "slope-twice"})


def _is_guess(found: Found, hints: Hints) -> bool:
    """Whether a cause is no more than likely; a suspect that was met is certain."""
    return found[0] in GUESSED and found not in [
        (s.kind, s.text, s.equation) for s in hints.suspects
    ]


def _slope(e: Evidence, hints: Hints) -> Found | None:
    """A missing derivative of the hidden units leaves signs as they are, and makes sizes larger."""
    ratio = _ratios(e)
    if len(ratio) < 3 or np.ptp(ratio) < 1e-3 * np.abs(ratio).max() or _is_output_bias(e, hints):
        return None
    middle = float(np.median(ratio))
    most = np.quantile(ratio, [0.1, 0.9])
    if middle > 3.3 and most[0] > 1:
        text = f"about {middle:.2g} times too large, by factors that vary: the derivative of a "
        return "slope", text + "sigmoid (at most 1/4) is missing?", "d_a = d_h * h * (1 - h)"
    if ratio.min() <= 0:
        return None  # sums whose terms nearly cancel can change sign, but only by large factors
    if middle > 1.05 and most[0] > 0.99:
        text = (
            f"about {middle:.2g} times too large, by factors that vary: the derivative of a hidden "
        )
        return "slope", text + "unit (at most 1) is missing?", "tanh: d_a = d_h * (1 - h * h)"
    if middle < 0.3 and most[1] < 1:
        text = f"about {1 / middle:.2g} times too small, by factors that vary: a derivative of a "
        equation = "d_a = d_h * h * (1 - h), once; d_logits = p - x"
        return "slope-twice", text + "sigmoid too many?", equation
    return None


def _ratios(e: Evidence) -> Array:
    """Analytic over numeric gradient, where the latter is not small."""
    large = np.abs(e.g) > 0.05 * np.abs(e.g).max(initial=0.0)
    return np.asarray(e.a[large] / e.g[large])


def _is_output_bias(e: Evidence, hints: Hints) -> bool | None:
    """Whether the right gradient is the sum of the upstream over rows; None if that is not known.

    No derivative of a hidden unit is in such a gradient.
    """
    u = hints.upstream
    if u is None or u.ndim != 2:
        return None
    if e.A.shape != (u.shape[1],):
        return False
    return bool(np.abs(u.sum(axis=0)[[k[0] for k in e.index]] - e.g).max(initial=0) <= e.near)


def _withdrawn(
    first: list[Found], wrong: list[Evidence], everything: Mapping[str, Evidence], hints: Hints
) -> list[Found]:
    """Take guesses back that do not explain the whole: then what is wrong is something else.

    A derivative that is missing shows in a weight, not in a bias alone, and leaves no array wrong
    in another way.
    """
    guessed = [e for e, found in zip(wrong, first, strict=True) if _is_guess(found, hints)]
    strange = any(found[0] == "unknown" for found in first)
    vectors = len(everything) > 1 and all(e.A.ndim < 2 for e in guessed)
    if not strange and not vectors:
        return first
    return [
        _unknown(e, everything, hints) if _is_guess(found, hints) else found
        for e, found in zip(wrong, first, strict=True)
    ]


def _joined(first: list[Found], wrong: list[Evidence], hints: Hints) -> list[Found]:
    """Let arrays whose own numbers say nothing join those whose numbers do.

    A single number has no pattern, but may have the factor of the others; and what is wrong with
    the upstream gradient, or with the loop over the steps, is wrong for all arrays behind it.
    """
    pairs = list(zip(wrong, first, strict=True))
    factors = [f for _, f in pairs if f[0].startswith("factor")]
    behind = [(e.name, f) for e, f in pairs if f[0] in ("upstream", "last-step")]
    ignored = any(f[0] == "upstream" for _, f in behind)
    vague = [f[0] == "unknown" or (ignored and _is_guess(f, hints)) for f in first]
    return [
        (_joins(e, factors, behind) if is_vague else None) or f
        for (e, f), is_vague in zip(pairs, vague, strict=True)
    ]


def _joins(e: Evidence, factors: list[Found], behind: list[tuple[str, Found]]) -> Found | None:
    if e.A.size == 1 and e.g.any():
        ratio = f"{float(e.a[0] / e.g[0]):.6g} times"
        alike = [f for f in factors if ratio in f[1]]
        if alike:
            return alike[0]
    if not behind:
        return None
    name, (kind, _, equation) = min(behind, key=lambda pair: pair[1][0] != "upstream")
    return kind, f"probably wrong for the same reason as {name}: mend that first", equation


def _unknown(e: Evidence, everything: Mapping[str, Evidence], hints: Hints) -> Found:
    right = [k for k, other in everything.items() if not other.wrong.any()]
    text = "wrong in no pattern that is known here"
    ratio = _ratios(e)
    if len(ratio) > 1:
        text += f": the ratios vary between {ratio.min():.3g} and {ratio.max():.3g}"
    if right:
        text += f"; {some(right)}: right, and so is what these share with the wrong ones"
    if hints.upstream is None:
        text += "; check_backward can tell more, of a backward pass that can be called by itself"
    return "unknown", text, ""


def masked(grads: Mapping[str, Array], hints: Hints) -> list[Cause]:
    """Entries that the caller declared to be without effect, and that have a gradient."""
    found = []
    for name, free in hints.masks.items():
        if name in grads and grads[name].shape == free.shape:
            bad = np.argwhere((grads[name] != 0) & ~free)
            if len(bad):
                index = tuple(int(i) for i in bad[0])
                text = f"{name}: {len(bad)} masked entries have a gradient that is not 0"
                found.append(Cause("mask", text, name, index, "dW = where(M, x.T @ d_a, 0)"))
    return found
