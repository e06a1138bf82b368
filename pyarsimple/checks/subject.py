"""What the checks of densities are about: a model, or functions that together could be one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple import orders
from pyarsimple._validation import check_size
from pyarsimple.checks.models import has_bits, has_outputs, outputs_of, values_of
from pyarsimple.checks.points import Points, as_points

Array = npt.NDArray[Any]
Function = Callable[..., Any]


@dataclass
class Subject:
    """Functions of one density over D variables; those that are not there are None.

    log_prob(x) -> (N,); log_conditionals(x) -> (N, D), log p(x_i | x_<i); outputs(x) -> (N, D, ..),
    what is said of x_i given x_<i; sample(n, rng) -> (n, D); loss(x) -> float; start(n) -> state,
    the sequential view.
    """

    D: int
    order: Array
    points: Points
    log_prob: Function | None = None
    log_conditionals: Function | None = None
    outputs: Function | None = None
    sample: Function | None = None
    loss: Function | None = None
    start: Function | None = None
    conditionals: Function | None = None
    params: dict[str, Array] | None = None
    #: Whether log_conditionals was made of conditionals.
    derived: bool = False

    @property
    def configurations(self) -> int | None:
        """How many rows there are, for variables of finitely many values."""
        return self.points.n_configurations

    def draw(self, rng: Any, n: int) -> Array:
        """Rows to test with."""
        return self.points.draw(np.random.default_rng(rng), n)

    def need(self, check: str, *names: str) -> None:
        """Say which function is missing, if none of ``names`` is there."""
        if all(getattr(self, name) is None for name in names):
            raise TypeError(
                f"{check} needs a model or at least one of the functions {', '.join(names)}"
            )


def as_subject(model: Any, D: int | None, order: Any, values: Any, **functions: Any) -> Subject:
    """Read the functions from a model, where they are not given by themselves.

    The log_conditionals of bits are made of their conditionals, where only these are there.
    """
    D = getattr(model, "n_dims", None) if D is None else D
    if D is None:
        raise TypeError("D is missing: the number of variables")
    D = check_size(D, "D")
    order = getattr(model, "order", None) if order is None else order
    values = values_of(model) if values is None else values
    subject = Subject(D, orders.check_order(order, D), as_points(values, D))
    names = {field.name for field in fields(Subject)} - {"D", "order", "points", "derived"}
    for name in names:
        found = functions.get(name)
        setattr(subject, name, _from_model(model, name) if found is None else found)
    bits = bool((subject.points.counts == 2).all())
    if subject.log_conditionals is None and subject.conditionals is not None and bits:
        subject.log_conditionals, subject.derived = _of_bits(subject.conditionals), True
    return subject


def _of_bits(conditionals: Function) -> Function:
    """log p(x_i | x_<i) of bits, from p(x_i = 1 | x_<i)."""

    def log_conditionals(x: Array) -> Array:
        p = call(conditionals, x, x.shape, "conditionals")
        if not ((p >= 0) & (p <= 1) | np.isnan(p)).all():
            raise ValueError(
                "conditionals(x) must be probabilities p(x_i = 1 | x_<i), between 0 and 1, got "
                f"numbers from {p.min():.6g} to {p.max():.6g}: logits? give them as forward(x)"
            )
        with np.errstate(divide="ignore"):  # log 0 = -inf: what is impossible
            return np.asarray(np.log(np.where(x == 1, p, 1 - p)))

    return log_conditionals


def _from_model(model: Any, name: str) -> Any:
    if model is None:
        return None
    if name == "sample":
        return None if not hasattr(model, "sample") else lambda n, rng: model.sample(n, rng=rng)
    if name == "outputs":
        return outputs_of(model) if has_outputs(model) else None
    if name == "conditionals" and not has_bits(model):
        return None
    if name == "loss":
        if hasattr(model, "nll_and_grads"):
            return lambda x: model.nll_and_grads(x)[0]
        return None
    return getattr(model, name, None)


def call(function: Function, x: Array, shape: tuple[int, ...], name: str) -> Array:
    """function(x) for a copy of x, as numbers of the shape that is wanted."""
    answer = np.asarray(function(x.copy()))
    if answer.shape != shape:
        raise ValueError(f"{name}(x) must have shape {shape} for x of shape {x.shape}, got "
                         f"{answer.shape}")  # fmt: skip
    return answer.astype(np.float64)
