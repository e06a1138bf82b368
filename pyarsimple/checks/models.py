"""What the checks read from a model, so that ``check_...(model)`` needs no further arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple.checks.mistakes import MISTAKES, known_mistakes
from pyarsimple.checks.points import Points, Values
from pyarsimple.conditionals import Bernoulli, Conditional, Standardized
from pyarsimple.orders import Columns

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
    known = dict(EQUATIONS.get(name, {})) if isinstance(name, str) and has_bits(model) else {}
    if known and name == "made":
        for k in range(1, 1 + sum(p.startswith("W") for p in model.params)):
            known[f"W{k}"] = f"dW{k} = ({'x' if k == 1 else f'h{k - 1}'}.T @ d_a{k}) * M{k}"
            known[f"c{k}"] = f"dc{k} = d_a{k}.sum(axis=0)"
    return known


def _conditional(model: Any) -> Conditional | None:
    """The conditional of one of our models, which says what its variables and outputs are."""
    found = getattr(model, "conditional", None)
    return found if isinstance(found, Conditional) else None


def has_bits(model: Any) -> bool:
    """Whether the variables are bits, with one logit each."""
    c = _conditional(model)
    return c is None or isinstance(c, Bernoulli)


def values_of(model: Any) -> Values:
    """What the variables of a model are, as `check_autoregressive` takes it."""
    c = _conditional(model)
    if c is None or hasattr(model, "values"):
        return getattr(model, "values", "bits")
    if isinstance(c, Bernoulli):
        return "bits"
    each = [c.of(i).values(1) for i in range(model.n_dims)]
    counts = np.array([0 if of is None else len(of[0]) for of in each])
    units: dict[str, Any] = {}
    if isinstance(c, Standardized):
        units = {"centre": c.transform.mean, "spread": c.transform.std}
    return Points(counts, np.intp if counts.all() else np.float64, **units)


def _columns(model: Any) -> Columns | None:
    """Which outputs belong to which variable; None if there is one for each."""
    c = _conditional(model)
    return None if c is None or isinstance(c, Bernoulli) else c.columns(model.n_dims)


def has_outputs(model: Any) -> bool:
    """Whether a model says something of a variable that is not about the value it has."""
    return hasattr(model, "forward") or hasattr(model, "conditionals")


def outputs_of(model: Any) -> Callable[[Array], Array]:
    """What a model says of each variable, (N, D) or (N, D, K): its outputs, else probabilities.

    Of our models with several outputs a variable, K is the largest number; the others get zeros.
    """
    columns = _columns(model)
    if columns is not None:
        sizes = np.diff(columns.outputs)
        used = np.arange(sizes.max()) < sizes[:, np.newaxis]  # (D, K)

        def by_variable(x: Array) -> Array:
            outputs = np.asarray(model.forward(x)[0])
            padded = np.zeros((len(outputs), *used.shape), outputs.dtype)
            padded[:, used] = outputs
            return padded

        return by_variable
    if hasattr(model, "forward"):
        return lambda x: model.forward(x)[0]
    if hasattr(model, "conditionals"):
        function: Callable[[Array], Array] = model.conditionals
        return function
    raise TypeError(
        f"{type(model).__name__} has none of forward(x), conditionals(x) and log_conditionals(x): "
        "pass a function conditionals(x) -> (N, D)"
    )


def check_live(model: Any) -> None:
    """Refuse a model whose own arrays cannot hold the parameters of a check."""
    for name, p in model.params.items():
        if np.asarray(p).dtype != np.float64:
            raise TypeError(
                f"model.params[{name!r}] must be float64, got {np.asarray(p).dtype}: differences "
                "lose half of the digits, and float32 has seven; make the model in float64 for "
                "the check (of ours: dtype='float64')"
            )


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


class _AtContext:
    """A model p(x | context) as the density p(x) that it is at one context."""

    def __init__(self, model: Any, context: Any) -> None:
        self._model, self._context = model, context

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._model, name)
        if callable(found) and "context" in inspect.signature(found).parameters:
            return functools.partial(found, context=self._context)
        return found


def at_context(model: Any, context: npt.ArrayLike) -> Any:
    """Let a model p(x | context) be checked: as the density of x that it is at one context.

    Parameters
    ----------
    model : model
        One of ours that was made with ``context=``.
    context : array_like
        As the model takes it for all rows: numbers of shape (C,), or a class.

    Returns
    -------
    model
        The same, for any of the checks: ``check_model(at_context(model, [0.5, 2]))``.
    """
    return _AtContext(model, context)


def masks(model: Any) -> dict[str, Array]:
    """Where the model's parameters have an effect."""
    found = dict(model.masks()) if hasattr(model, "masks") else {}
    if getattr(model, "name", None) == "nade":
        used, columns = np.ones(model.params["W"].shape, dtype=bool), _columns(model)
        last = int(model.order[-1])  # nothing comes after it
        used[last if columns is None else columns.of(last)[0]] = False
        found["W"] = used
    return found


def _common(
    model: Any, params: Params | None, x: npt.ArrayLike | None, upstream: npt.ArrayLike | None
) -> dict[str, Any]:
    """Arguments of a gradient check that can be read from any model."""
    if x is None:
        raise TypeError("x is missing: to check a model, give rows of data as x=, shape (N, D)")
    check_live(model)
    point = {k: np.array(p) for k, p in (model.params if params is None else params).items()}
    order, c = getattr(model, "order", None), _conditional(model)
    read = np.asarray(x) if c is None else c.features(np.asarray(x, np.float64))
    common: dict[str, Any] = {"params": point, "x": read, "order": order}
    common |= {"masks": masks(model), "equations": equations(model)}
    if _is_ours(model, np.asarray(x)):
        common["suspects"] = known_mistakes(
            model.name, point, x, order=order, hidden=getattr(model, "hidden", None),
            masks=masks(model) if model.name == "made" else None, upstream=upstream,
        )  # fmt: skip
    return common


def _is_ours(model: Any, x: Array) -> bool:
    """Whether the model has the parameters, and so the equations, of one of ours, over bits."""
    if not has_bits(model):
        return False
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
    columns = _columns(model)
    if columns is not None:
        weights, starts = np.asarray(upstream), columns.outputs[:-1]

        def terms(moved: dict[str, Array]) -> Array:
            of_each = (weights * forward(moved)[0]).sum(axis=0)
            return np.asarray(np.add.reduceat(of_each, starts))

        common["terms"] = terms
    return common | {"forward": forward, "backward": backward, "upstream": upstream}
