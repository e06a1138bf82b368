"""Conditionals: what turns a model's outputs into probabilities, and nothing else does.

A model speaks *outputs*, real numbers for each variable; a conditional makes log p(x_i | x_<i) of
them, the gradient of that, and a sample. For bits the outputs are logits, one a variable:

    p(x_i = 1 | x_<i) = sigmoid(logit_i) = 1 / (1 + exp(-logit_i))
    log p(x_i | x_<i) = -softplus(-s logit_i),     s = +1 if x_i = 1, -1 if x_i = 0

The second line is computed as it stands: neither p nor log(p) is ever formed and clipped, so it is
exact for logits of any size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple.twins import twin

Array = npt.NDArray[Any]


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), to a relative error of a few ulp on both sides, without overflow."""
    e = np.exp(-np.abs(z))  # in (0, 1]: cannot overflow
    p: Array = np.where(z >= 0, 1, e) / (1 + e)
    return p


def softplus(z: Array) -> Array:
    """log(1 + exp(z)), without overflow and exact in both tails."""
    result: Array = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    return result


@twin
def bernoulli_log_p(logits: Array, x: Array) -> Array:
    """log p(x_i | x_<i) of every bit: (N, D) from logits (N, D) and bits x (N, D)."""
    return -softplus((1 - 2 * x) * logits)


@twin
def bernoulli_d_logits(logits: Array, x: Array, scale: float) -> Array:
    """The gradient of -scale * sum(log p) with respect to the logits: scale * (p - x), (N, D)."""
    result: Array = (sigmoid(logits) - x) * scale
    return result


class Bernoulli:
    """One bit a variable, from one logit: p(x_i = 1 | x_<i) = sigmoid(logit_i)."""

    def __repr__(self) -> str:
        return "Bernoulli()"

    def check(
        self,
        x: npt.ArrayLike,
        n_dims: int,
        name: str = "x",
        *,
        rows: Sequence[int] | Array | None = None,
    ) -> Array:
        """Return bits as an array (N, n_dims), or say what is wrong with them.

        The array is the caller's own where that is possible; it is never written to. Errors give
        row numbers as in ``rows``, if x is made of those rows of a larger array.

        Raises
        ------
        TypeError
            If x is not numeric or boolean.
        ValueError
            If x does not have two axes and ``n_dims`` columns, or is not all 0 and 1.
        """
        wanted = f"{name} must be an array of bits (0 or 1) of shape (N, {n_dims})"
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError(f"{wanted}, got a masked array: what is masked has no probability")
        try:
            x = np.asarray(x)
        except ValueError as error:  # a list of rows of unequal length
            raise ValueError(f"{wanted}, got rows that form no array: {error}") from None
        if x.size == 0 and x.dtype == np.float64:
            x = x.astype(np.uint8)  # an empty list has no type of its own
        if x.dtype.kind not in "biuf":
            raise TypeError(f"{wanted}, got dtype {x.dtype}; convert it with x.astype('uint8')")
        if x.ndim != 2:
            hint = "; for one example pass x[np.newaxis]" if x.shape == (n_dims,) else ""
            raise ValueError(f"{wanted}, got shape {x.shape}{hint}")
        if x.shape[1] != n_dims:
            raise ValueError(f"{wanted}, got {x.shape[1]} columns")
        if x.dtype != np.bool_:
            good = x <= 1 if x.dtype.kind == "u" else (x == 0) | (x == 1)
            if not good.all():
                row, column = np.argwhere(~good)[0]
                number = row if rows is None else rows[row]
                raise ValueError(
                    f"{wanted}, got {x[row, column]} in row {number}, column {column}; "
                    "binarize real data first, for example x > 0.5, and select the observed rows "
                    "where values are missing"
                )
        return x

    def log_p(self, outputs: Array, x: Array) -> Array:
        """log p(x_i | x_<i), (N, D), in nats."""
        return bernoulli_log_p(outputs, x)

    def d_outputs(self, outputs: Array, x: Array, scale: float) -> Array:
        """The gradient of ``-scale * log_p(outputs, x).sum()`` with respect to outputs."""
        return bernoulli_d_logits(outputs, x, scale)

    def decode(self, outputs: Array) -> Array:
        """p(x_i = 1 | x_<i), (N, D)."""
        return sigmoid(outputs)

    def sample(self, outputs: Array, uniforms: Array) -> Array:
        """A bit from each output, 1 where the uniform number in [0, 1) is below p."""
        return uniforms < sigmoid(outputs.astype(np.float64))
