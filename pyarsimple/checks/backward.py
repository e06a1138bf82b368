"""The check of a backward pass on its own: with an upstream gradient that nobody could guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pyarsimple.checks.gradients import GradientReport, check_gradients, check_params
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
    linear in the upstream gradient, which is tested directly.

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
    found = _linearity(forward, backward, params, u)
    if any(cause.kind == "upstream" for cause in found):
        report.causes = found
    elif found:
        report.causes = found + [cause for cause in report.causes if cause.kind != "unknown"]
    elif "unknown" in report.kinds and u.ndim > 1 and u.shape[1] > 1:
        code = _ByOutput(forward, backward, params, u, terms, hints.get("order"))
        report.causes = [code.cause(c, report) if c.kind == "unknown" else c for c in report.causes]
    return report


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
        known = order is not None and len(order) == u.shape[1]  # one output a variable
        self.columns = [int(i) for i in (order if known else range(u.shape[1]))]

    def cause(self, unknown: Cause, report: GradientReport) -> Cause:
        """A better one, if the columns tell it; else the one that was given."""
        e = report.evidence[unknown.array]
        worst = np.argsort(-np.abs(e.a - e.g))[:40]
        index = [e.index[k] for k in worst]
        right = np.array([self._slopes(e.name, k) for k in index])[:, self.columns]
        given = np.array([self._through(e.name, i, index) for i in self.columns]).T
        near = 1e-5 * np.abs(right).max()
        depends = np.abs(right).max(axis=0) > near
        zero = np.abs(given).max(axis=0) <= near
        bad = (np.abs(given - right) > near).any(axis=0)
        places = np.flatnonzero(bad)
        first = int(np.argmax(depends))
        what = self._said(bad, zero, depends, first, places)
        if what is None:
            return unknown
        kind, text, equation = what
        return Cause(kind, f"{e.name}: {text}", e.name, e.worst, equation)

    def _said(
        self, bad: Array, zero: Array, depends: Array, first: int, places: Array
    ) -> tuple[str, str, str] | None:
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

    def _slopes(self, name: str, index: tuple[int, ...]) -> Array:
        """The derivative of each column's part of the loss with respect to one entry, (D,)."""
        h = 1e-5 * max(1e-3, float(np.sqrt(np.mean(self.params[name] ** 2))))
        ends = []
        for t in (h, -h):
            moved = {k: p.copy() for k, p in self.params.items()}
            moved[name][index] += t
            ends.append(self.terms(moved))
        return np.asarray((ends[0] - ends[1]) / (2 * h))

    def _through(self, name: str, i: int, index: list[tuple[int, ...]]) -> list[float]:
        """The code's own gradient of these entries, if only column i of the outputs counts."""
        u = np.zeros_like(self.u)
        u[:, i] = self.u[:, i]
        _, cache = self.forward({k: p.copy() for k, p in self.params.items()})
        A = np.asarray(self.backward(u, cache)[name], np.float64)
        return [float(A[k]) for k in index]


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
