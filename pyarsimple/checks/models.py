"""What the checks read from a model, so that ``check_...(model)`` needs no further arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple.checks.mistakes import MISTAKES, known_mistakes

Array = npt.NDArray[Any]
Params = Mapping[str, Array]

_BOTH = "d_logits = (p - x) / N"
EQUATIONS = {
    "fvsbn": {"W": "dW_ij = sum_n d_logits_ni x_nj, j before i", "b": "db_i = sum_n d_logits_ni"},
    "nade": {
        "W": "dW_j = sum_n x_nj d_a, d_a summed over all i after j",
        "c": "dc = sum_n d_a, d_a summed over all i",
        "V": "dV_i = sum_n d_logits_ni h_i",
        "b": "db_i = sum_n d_logits_ni",
    },
    "made": {
        "V": "dV = (d_logits.T @ h_last) * M_V",
        "b": "db_i = sum_n d_logits_ni",
        "A": "dA = (d_logits.T @ x) * M_A",
    },
}


def equations(model: Any) -> dict[str, str]:
    """The equation of the gradient of each array of one of our models; empty for any other."""
    name = getattr(model, "name", None)
    known = dict(EQUATIONS.get(name, {})) if isinstance(name, str) else {}
    if name == "made":
        for k in range(1, 1 + sum(p.startswith("W") for p in model.params)):
            known[f"W{k}"] = f"dW{k} = ({'x' if k == 1 else f'h{k - 1}'}.T @ d_a{k}) * M{k}"
            known[f"c{k}"] = f"dc{k} = d_a{k}.sum(axis=0)"
    return known


@contextmanager
def parameters(model: Any, params: Params) -> Iterator[None]:
    """Let a model have other parameters for the body of a ``with`` statement.

    Parameters
    ----------
    model : model
        Anything with ``params``, a dict of live arrays, which are written to, and restored.
    params : dict of str to ndarray
        Of some or all arrays.
    """
    before = {name: p.copy() for name, p in model.params.items()}
    try:
        for name, p in params.items():
            model.params[name][...] = p
        yield
    finally:
        for name, p in before.items():
            model.params[name][...] = p


def masks(model: Any) -> dict[str, Array]:
    """Where the model's parameters have an effect."""
    found = dict(model.masks()) if hasattr(model, "masks") else {}
    if getattr(model, "name", None) == "nade":
        used = np.ones(model.params["W"].shape, dtype=bool)
        used[model.order[-1]] = False  # nothing comes after the last variable
        found["W"] = used
    return found


def _common(
    model: Any, params: Params | None, x: npt.ArrayLike | None, upstream: npt.ArrayLike | None
) -> dict[str, Any]:
    """Arguments of a gradient check that can be read from any model."""
    if x is None:
        raise TypeError("x is missing: to check a model, give rows of data as x=, shape (N, D)")
    point = {k: np.array(p) for k, p in (model.params if params is None else params).items()}
    order = getattr(model, "order", None)
    common: dict[str, Any] = {"params": point, "x": np.asarray(x), "order": order}
    common |= {"masks": masks(model), "equations": equations(model)}
    if _is_ours(model, np.asarray(x)):
        common["suspects"] = known_mistakes(
            model.name, point, x, order=order, hidden=getattr(model, "hidden", None),
            masks=masks(model) if model.name == "made" else None, upstream=upstream,
        )  # fmt: skip
    return common


def _is_ours(model: Any, x: Array) -> bool:
    """Whether the model has the parameters, and so the equations, of one of ours, over bits."""
    name = getattr(model, "name", None)
    shapes = getattr(model, "param_shapes", None)
    if not isinstance(name, str) or name not in MISTAKES or shapes is None or x.ndim != 2:
        return False
    wanted = {k: p.shape for k, p in model.params.items()}
    return bool(shapes(**model.config()) == wanted and np.isin(x, (0, 1)).all())


def gradient_problem(model: Any, params: Params | None, x: npt.ArrayLike | None) -> dict[str, Any]:
    """Arguments of `check_gradients` for a model with ``params`` and ``nll_and_grads``."""
    common = _common(model, params, x, None)

    def loss_and_grads(moved: dict[str, Array]) -> tuple[float, Params]:
        with parameters(model, moved):
            loss, grads = model.nll_and_grads(x)
            return loss, {k: np.array(g) for k, g in grads.items()}

    def terms(moved: dict[str, Array]) -> Array:
        with parameters(model, moved):
            log_p: Array = np.asarray(model.log_conditionals(x), np.float64)
            return np.asarray(-log_p.mean(axis=0))

    if hasattr(model, "log_conditionals"):
        common["terms"] = terms
    return common | {"loss_and_grads": loss_and_grads}


def backward_problem(
    model: Any, params: Params | None, x: npt.ArrayLike | None, upstream: npt.ArrayLike | None,
    rng: Any,
) -> dict[str, Any]:  # fmt: skip
    """Arguments of `check_backward` for a model with ``params``, ``forward`` and ``backward``."""
    if x is None:
        raise TypeError("x is missing: to check a model, give rows of data as x=, shape (N, D)")
    if upstream is None:
        shape = np.shape(model.forward(x)[0])
        upstream = np.random.default_rng(rng).normal(size=shape)
    at: dict[str, Params] = {}

    def forward(moved: dict[str, Array]) -> tuple[Array, Any]:
        at["params"] = moved
        with parameters(model, moved):
            outputs, cache = model.forward(x)
            return np.array(outputs), cache

    def backward(d_outputs: Array, cache: Any) -> Params:
        with parameters(model, at["params"]):  # a backward pass reads the weights again
            grads: Callable[..., Params] = model.backward
            return {k: np.array(g) for k, g in grads(d_outputs, cache).items()}

    common = _common(model, params, x, upstream)
    return common | {"forward": forward, "backward": backward, "upstream": upstream}
