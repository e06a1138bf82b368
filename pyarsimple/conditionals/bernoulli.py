"""Bernoulli: one bit a variable, from one logit.

    p(x_i = 1 | x_<i) = sigmoid(logit_i) = 1 / (1 + exp(-logit_i))
    log p(x_i | x_<i) = -softplus(-s logit_i),     s = +1 if x_i = 1, -1 if x_i = 0

The second line is computed as it stands: neither p nor log(p) is ever formed and clipped, so it is
exact for logits of any size. The gradient of -log p with respect to the logit is p - x.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pyarsimple.conditionals.base import Array, Conditional, Scale, per_entry
from pyarsimple.conditionals.functions import sigmoid, softplus
from pyarsimple.orders import Columns, one_each
from pyarsimple.twins import twin


@twin
def bernoulli_log_p(logits: Array, x: Array) -> Array:
    """log p(x_i | x_<i) of every bit: (N, D) from logits (N, D) and bits x (N, D)."""
    return -softplus((1 - 2 * x) * logits)


@twin
def bernoulli_d_logits(logits: Array, x: Array, scale: float) -> Array:
    """The gradient of -scale * sum(log p) with respect to the logits: scale * (p - x), (N, D)."""
    result: Array = (sigmoid(logits) - x) * scale
    return result


class Bernoulli(Conditional):
    """One bit a variable, from one logit: p(x_i = 1 | x_<i) = sigmoid(logit_i)."""

    name = "bernoulli"
    dtype = np.dtype(np.uint8)

    def values(self, n_dims: int) -> list[Array]:
        """0 and 1."""
        return [np.arange(2, dtype=self.dtype)] * n_dims

    def columns(self, n_dims: int) -> Columns:
        """One feature and one output each."""
        return one_each(n_dims)

    def of(self, i: int) -> Bernoulli:
        """The same for every variable."""
        return self

    def _wanted(self) -> str:
        return "bits (0 or 1)"

    def _allowed(self, x: Array) -> npt.NDArray[np.bool_]:
        if x.dtype == np.bool_:
            return np.broadcast_to(np.True_, x.shape)
        good: npt.NDArray[np.bool_] = x <= 1 if x.dtype.kind == "u" else (x == 0) | (x == 1)
        return good

    def _remedy(self, i: int) -> str:
        return (
            "binarize real data first, for example x > 0.5, and select the observed rows where "
            "values are missing"
        )

    def log_p(self, outputs: Array, x: Array) -> Array:
        """log p(x_i | x_<i), (N, D), in nats."""
        return bernoulli_log_p(outputs, x)

    def d_outputs(self, outputs: Array, x: Array, scale: Scale) -> Array:
        """The gradient of ``-(scale * log_p(outputs, x)).sum()``: scale * (p - x), (N, D)."""
        if np.ndim(scale) == 0:
            return bernoulli_d_logits(outputs, x, float(scale))
        return bernoulli_d_logits(outputs, x, 1.0) * per_entry(scale, x, outputs.dtype)

    def decode(self, outputs: Array) -> Array:
        """p(x_i = 1 | x_<i), (N, D)."""
        return sigmoid(outputs)

    def sample(self, outputs: Array, uniforms: Array) -> Array:
        """A bit from each output, 1 where the uniform number in [0, 1) is below p."""
        return (uniforms < sigmoid(outputs.astype(np.float64))).astype(self.dtype)

    def independent_outputs(self, x: Array) -> npt.NDArray[np.float64]:
        """The log of the odds, each count raised by one."""
        ones = x.sum(axis=0, dtype=np.float64)
        logits: npt.NDArray[np.float64] = np.log(ones + 1) - np.log(len(x) - ones + 1)
        return logits
