"""The check of a backward pass on its own: with an upstream gradient that nobody could guess."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pyarsimple.checks.causes import GUESSED, Evidence, Found, quoted
from pyarsimple.checks.gradients import GradientReport, check_gradients, check_params
from pyarsimple.checks.misbehaviour import DECISIVE
from pyarsimple.checks.report import Cause

Array = npt.NDArray[Any]
Params = Mapping[str, Array]
Forward = Callable[[dict[str, Array]], tuple[Array, Any]]
Backward = Callable[[Array, Any], Params]


class BackwardReport(GradientReport):
    """The outcome of `check_backward`: a `GradientReport` of another name."""

    check: ClassVar[str] = "backward"


def check_backward(
    forward: Forward | Any,
    backward: Backward | None = None,
    params: Params | None = None,
    *,
    x: npt.ArrayLike | None = None,
    upstream: npt.ArrayLike | None = None,
    rng: Any = 0,
    **options: Any,
) -> BackwardReport:
    """Compare a backward pass with differences of its forward pass.

    The loss is ``sum(upstream * outputs)`` with random upstream gradients: a layer becomes a scalar
    function, in which each output counts with a weight of its own. The backward pass must also be
    linear in the upstream gradient, which is tested directly. Of a weight that is used several
    times it can tell that one use alone counts, if it is a matrix, or there are several outputs.

    Parameters
    ----------
    forward : callable or model
        ``forward(params) -> (outputs, cache)``; or a model with ``params``, ``forward(x)`` and
        ``backward(d_outputs, cache)``, for which ``x`` must be given.
    backward : callable
        ``backward(d_outputs, cache) -> grads``, with the keys and shapes of ``params``.
    params : dict of str to ndarray of float64
        The point at which to check.
    x : array_like, shape (N, D), optional
        The data, as in `check_gradients`; needed for a model.
    upstream : array_like, shape of the outputs, optional
        The weights; standard normal numbers unless given.
    rng : None, int, SeedSequence, BitGenerator or Generator
        As in SPEC 7.
    **options
        As `check_gradients` takes them: ``tolerance``, ``masks``, ``order``, ``suspects``, ...

    Returns
    -------
    BackwardReport
    """
    if hasattr(forward, "backward"):
        from pyarsimple.checks.models import backward_problem

        problem = backward_problem(forward, params, x, upstream, rng)
        return check_backward(**{**problem, **options}, rng=rng)
    if backward is None:
        raise TypeError("backward is missing: give a function backward(d_outputs, cache) -> grads")
    params = check_params(params)
    outputs = _outputs(forward, params)
    random = np.random.default_rng(rng)
    u = random.normal(size=outputs.shape) if upstream is None else np.asarray(upstream, np.float64)
    if u.shape != outputs.shape:
        raise ValueError(f"upstream must have the outputs' shape {outputs.shape}, got {u.shape}")

    def loss_and_grads(moved: dict[str, Array]) -> tuple[Any, Params]:
        outputs, cache = forward(moved)
        loss = np.sum(u * outputs)
        return loss, {} if np.iscomplexobj(loss) else backward(u.copy(), cache)

    def terms(moved: dict[str, Array]) -> Array:
        weighted = u * _outputs(forward, moved)
        others = tuple(k for k in range(weighted.ndim) if k != 1)
        return np.asarray(weighted.sum(axis=others) if weighted.ndim > 1 else weighted)

    hints = {"x": x, "upstream": u, "terms": terms} | options
    report = BackwardReport(**vars(check_gradients(loss_and_grads, params, rng=random, **hints)))
    blocked = any(kind in DECISIVE for kind in report.kinds)
    found = [] if blocked else _linearity(forward, backward, params, u)
    if any(cause.kind == "upstream" for cause in found):
        report.causes = found
    elif found:
        report.causes = found + [cause for cause in report.causes if cause.kind != "unknown"]
    elif u.size and not blocked:
        code = _ByOutput(forward, backward, params, u, terms, hints.get("order"))
        certain = [s.text for s in options.get("suspects", ())]
        report.causes = code.better(report, certain, options.get("equations") or {})
    return report


#: Kinds that the outputs one at a time may tell more of.
VAGUE = ("unknown", "product-of-sums", *GUESSED)


class _ByOutput:
    """The gradient through each column of the outputs alone, and where it begins to be wrong.

    Columns are steps or variables: a weight that is shared by them gets a part from each. Code
    that keeps one part of the sum is right for the first output, which has no other.
    """

    def __init__(
        self, forward: Forward, backward: Backward, params: Params, u: Array,
        terms: Callable[[dict[str, Array]], Array], order: Any,
    ) -> None:  # fmt: skip
        self.params, self.u, self.terms = params, u, terms
        self.forward, self.backward = forward, backward
        n = u.shape[1] if u.ndim > 1 else 1
        known = order is not None and len(order) == n  # one output a variable
        self.columns = [int(i) for i in (order if known else range(n))]

    def better(
        self, report: GradientReport, certain: Iterable[str], equations: Mapping[str, str]
    ) -> list[Cause]:
        """The causes of a report, those that are vague replaced where the outputs tell more."""
        causes: list[Cause] = []
        seen: dict[Found, Cause] = {}  # arrays that are wrong in the same way, taken together
        for cause in report.causes:
            vague = cause.kind in VAGUE and not cause.text.endswith(tuple(certain))
            found = self._found(report.evidence[cause.array], cause.kind) if vague else None
            if found is None:
                causes.append(cause)
            elif found in seen:
                before = seen[found]
                text = before.text.replace(":", f", {cause.array}:", 1)
                causes[causes.index(before)] = seen[found] = replace(before, text=text)
            else:
                kind, text, equation = found
                line = quoted(kind, equation, [cause.array], equations)
                seen[found] = replace(
                    cause, kind=kind, text=f"{cause.array}: {text}", equation=line
                )
                causes.append(seen[found])
        return _joined(causes, [cause for kind, cause in seen.items() if kind[0] == "last-step"])

    def _found(self, e: Evidence, kind: str) -> Found | None:
        """What the outputs tell of an array that is wrong."""
        found = self._one_use(e)
        if found or kind == "product-of-sums" or len(self.columns) == 1:
            return found
        worst = np.argsort(-np.abs(e.a - e.g))[:40]
        index = [e.index[k] for k in worst]
        right = np.array([self._slopes(e.name, k, self.terms) for k in index])[:, self.columns]
        given = np.array([self._through(e.name, i, index) for i in self.columns]).T
        near = 1e-5 * np.abs(right).max()
        depends = np.abs(right).max(axis=0) > near
        zero = np.abs(given).max(axis=0) <= near
        bad = (np.abs(given - right) > near).any(axis=0)
        places = np.flatnonzero(bad)
        first = int(np.argmax(depends))
        return (
            self._own_output(e, index, right, given, near)
            or self._said(bad, zero, depends, first, places)
            or self._slope(e.name, index[:12], right)
        )

    def _own_output(
        self, e: Evidence, index: list[tuple[int, ...]], right: Array, given: Array, near: float
    ) -> Found | None:
        """Whether all that is wrong is what W[i] gets through output i, on which it has no effect.

        A weight of x_i reaches the variables after i, so it must be taken before i is added.
        """
        wrong = np.abs(given - right) > near
        for axis, size in enumerate(e.A.shape):
            lines = np.array([k[axis] for k in index])
            own = lines[:, np.newaxis] == self.columns  # (entries, columns)
            several = len(set(lines[wrong.any(axis=1)].tolist())) > 1
            if size != len(self.columns) or not several:
                continue
            if not (wrong & ~own).any() and not (np.abs(right) > near)[own].any():
                text = (
                    "shifted by one variable: all that is wrong is what variable i gets through "
                    "output i, which its weight does not reach"
                )
                return "shifted", text, f"d{e.name}_i = x_i d_a before d_a takes up variable i"
        return None

    def _one_use(self, e: Evidence) -> Found | None:
        """A weight that is used several times gets one product of vectors from each use.

        Through one output of one row these are the only terms: if the right gradient has a rank
        above 1, and the code's is one product that can be taken out of it, only one use counts.
        """
        if e.A.ndim != 2 or min(e.A.shape) < 2 or len(e.index) < e.A.size:
            return None
        N = len(self.u) if self.u.ndim else 1
        size = self.u.size // N
        rows = np.unique(np.linspace(0, N - 1, 4).astype(int))
        outputs = (rows[:, np.newaxis] * size + np.arange(size)).ravel()
        jacobian = np.array(
            [
                self._slopes(e.name, k, lambda p: _outputs(self.forward, p).ravel()[outputs])
                for k in np.ndindex(e.A.shape)
            ]
        )
        right = jacobian.T.reshape(-1, *e.A.shape)
        second = np.linalg.svd(right, compute_uv=False)[:, 1]
        clear = [k for k in np.argsort(-second)[:4] if second[k] > 1e-3 * np.abs(right[k]).max()]
        given = [(self._alone(e.name, int(outputs[k])), right[k]) for k in clear]
        found = [_one_term(A, G) for A, G in given if A.any()]  # what is kept may meet zeros
        if not found or None in found:
            return None
        text = "through one output of one row it is one product of two vectors, where several are "
        text += "summed: of all uses of this weight only one counts, = where += is meant"
        if not all(found):
            text += " (or the product of sums stands where the sum of products is meant)"
        return "last-step", text, "dW += ..., not dW = ..., for each use of W"

    def _alone(self, name: str, output: int) -> Array:
        """The code's gradient through a single number of the outputs."""
        u = np.zeros_like(self.u)
        u.flat[output] = 1
        _, cache = self.forward({k: p.copy() for k, p in self.params.items()})
        return np.asarray(self.backward(u, cache)[name], np.float64)

    def _said(
        self, bad: Array, zero: Array, depends: Array, first: int, places: Array
    ) -> Found | None:
        n, plus = len(bad), "dW += ..., not dW = ..."
        name = f"output {self.columns[first]}"
        if len(places) == 1 < depends.sum():
            kind = {0: "first", n - 1: "last"}.get(int(places[0]), "one-row")
            i = self.columns[int(places[0])]
            return kind, f"only what comes through output {i} is wrong", ""
        if depends.sum() > 2 and not bad[first] and bad[depends].sum() == depends.sum() - 1:
            text = (
                f"right for {name} alone, and wrong for every later one: of a sum over the steps "
                "only one is kept, = where += is meant"
            )
            return "last-step", text, plus
        if depends.sum() > 2 and zero[:-1].all() and not zero[-1] and depends[:-1].any():
            text = f"only output {self.columns[-1]} gives it a gradient: the others are left out"
            return "last-step", text, plus
        return None

    def _slope(self, name: str, index: list[tuple[int, ...]], right: Array) -> Found | None:
        """What is wrong with the derivative of a hidden unit, seen through one number of outputs.

        Through a single output of a single row every entry is a product: no sum can hide the size
        of a factor that is missing, or change its sign.
        """
        depends = np.abs(right).max(axis=0)
        for column in (int(np.argmax(depends > 1e-5 * depends.max())), int(np.argmax(depends))):
            i = self.columns[column]
            rows = np.argsort(-np.abs(self.u[:, i]).reshape(len(self.u), -1).max(axis=1))[:3]
            found = [self._factors(name, index, (int(n), i)) for n in rows]
            factors = np.concatenate(found)
            alike = [np.ptp(f) < 1e-4 * np.abs(f).max(initial=0.0) for f in found if len(f)]
            if min(map(len, found)) < 3 or np.ptp(factors) < 1e-3 * np.abs(factors).max():
                continue
            if kind := _by_factors(factors, all(alike)):
                text, equation = SEEN_ALONE[kind]
                return kind.split("/")[0], f"through one output alone it is {text}", equation
        return None

    def _factors(self, name: str, index: list[tuple[int, ...]], output: tuple[int, int]) -> Array:
        """The code's gradients of one output over the right ones, where these are not small."""
        u = np.zeros_like(self.u)
        u[output] = 1
        where = int(np.flatnonzero(u)[0])

        def of_output(moved: dict[str, Array]) -> Array:
            return np.asarray((u * _outputs(self.forward, moved)).sum())

        right = np.array([self._slopes(name, k, of_output) for k in index])
        A = self._alone(name, where)
        large = np.abs(right) > 0.05 * np.abs(right).max(initial=0.0)
        return np.asarray(np.array([A[k] for k in index])[large] / right[large])

    def _slopes(
        self, name: str, index: tuple[int, ...], terms: Callable[[dict[str, Array]], Array]
    ) -> Array:
        """The derivative of each term with respect to one entry."""
        h = 1e-5 * max(1e-3, float(np.sqrt(np.mean(self.params[name] ** 2))))
        ends = []
        for t in (h, -h):
            moved = {k: p.copy() for k, p in self.params.items()}
            moved[name][index] += t
            ends.append(terms(moved))
        return np.asarray((ends[0] - ends[1]) / (2 * h))

    def _through(self, name: str, i: int, index: list[tuple[int, ...]]) -> list[float]:
        """The code's own gradient of these entries, if only column i of the outputs counts."""
        u = np.zeros_like(self.u)
        u[:, i] = self.u[:, i]
        _, cache = self.forward({k: p.copy() for k, p in self.params.items()})
        A = np.asarray(self.backward(u, cache)[name], np.float64)
        return [float(A[k]) for k in index]


def _joined(causes: list[Cause], kept: list[Cause]) -> list[Cause]:
    """Let what is unknown join a weight of which one step was kept: it is behind the same loop."""
    if not kept:
        return causes
    text = f"probably wrong for the same reason as {kept[0].array}: mend that first"
    return [
        replace(c, kind="last-step", text=f"{c.array}: {text}", equation=kept[0].equation)
        if c.kind == "unknown" else c
        for c in causes
    ]  # fmt: skip


def _one_term(A: Array, G: Array) -> bool | None:
    """Whether A is a product of two vectors that, taken out of G, makes its rank less by one.

    False if G has the full rank, so that there may be more terms than can be told; None if no.
    """
    u, s, vt = np.linalg.svd(A)
    if s[1] > 1e-9 * s[0]:
        return None
    U, sizes, Vt = np.linalg.svd(G, full_matrices=False)
    r = int((sizes > 1e-6 * sizes[0]).sum())
    left, right = U[:, :r].T @ u[:, 0], Vt[:r] @ vt[0]
    inside = min(float(np.linalg.norm(left)), float(np.linalg.norm(right))) > 1 - 1e-4
    if r > 1 and inside and abs(s[0] * float(left @ (right / sizes[:r])) - 1) < 1e-2:
        return True
    return False if r == len(sizes) > 2 else None


#: What an array is through one output alone, by kind, and the equation to look at.
SEEN_ALONE = {
    "output-slope": (
        "right but for a factor, another for each output: the upstream gradient is multiplied by "
        "what does not belong there",
        "d_logits = (p - x) / N: no p (1 - p)",
    ),
    "slope/sigmoid": (
        "at least 4 times too large everywhere: the derivative of a sigmoid is missing",
        "d_a = d_h * h * (1 - h)",
    ),
    "slope": (
        "too large everywhere, by factors that vary: the derivative of a hidden unit is missing, "
        "or that of another function",
        "sigmoid: d_a = d_h * h * (1 - h); tanh: d_h * (1 - h * h)",
    ),
    "slope-twice": (
        "too small everywhere, by factors that vary: the derivative of a hidden unit is there "
        "twice, or that of another function",
        "d_a = d_h * h * (1 - h), once",
    ),
}


def _by_factors(factors: Array, alike: bool) -> str | None:
    """What factors mean that vary; ``alike``: they are the same for all entries of an output."""
    if alike:
        return "output-slope"
    if factors.min() > 0.999:
        return "slope/sigmoid" if factors.min() > 3.99 else "slope"
    return "slope-twice" if factors.min() > 0 and factors.max() < 1.001 else None


def _outputs(forward: Forward, params: Params) -> Array:
    """The outputs of the forward pass for copies of the parameters."""
    answer = forward({name: p.copy() for name, p in params.items()})
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise TypeError(
            f"forward(params) must return (outputs, cache), got {type(answer).__name__}; cache may "
            "be None"
        )
    return np.asarray(answer[0])


def _linearity(forward: Forward, backward: Backward, params: Params, u: Array) -> list[Cause]:
    """Twice the upstream gradient must give twice the gradients, minus it minus them."""

    def grads(d_outputs: Array) -> dict[str, Array]:
        _, cache = forward({name: p.copy() for name, p in params.items()})
        return {k: np.array(g, dtype=np.float64) for k, g in backward(d_outputs, cache).items()}

    once, thrice = grads(u.copy()), grads(-3 * u)
    for name in (k for k in once if k in params and once[k].any()):
        if np.array_equal(once[name], thrice[name]):
            text = (
                f"the gradient of {name} is the same for any upstream gradient: upstream is ignored"
            )
            return [
                Cause("upstream", text, name, equation="d_a = d_outputs @ V, db = d_outputs.sum(0)")
            ]
        if not np.allclose(thrice[name], -3 * once[name], rtol=1e-6, atol=1e-9):
            text = (
                f"the gradient of {name} is not proportional to the upstream gradient: something "
                "in the backward pass clips, normalises or adds to it"
            )
            return [Cause("not-linear", text, name, equation="backward(3 u) = 3 backward(u)")]
    return []
