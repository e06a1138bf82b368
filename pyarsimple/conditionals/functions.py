"""The few functions that conditionals are made of, exact for arguments of any size.

exp() overflows at 710 (in float32 at 89), and 1 + exp(-40) is 1. So exp() is only ever taken of
numbers that are not positive, and the 1 is kept out of the sum by log1p.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

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


def inverse_softplus(y: Array) -> Array:
    """The z of softplus(z) = y > 0: log(exp(y) - 1), without overflow."""
    result: Array = y + np.log(-np.expm1(-y))
    return result


def exp_by_groups(z: Array, sizes: npt.NDArray[np.intp]) -> tuple[Array, Array, Array]:
    """What every log-sum-exp and softmax is made of, for groups of neighbouring columns.

    For each group exp(z) is computed with the largest z of the group, ``top``, subtracted: none of
    them exceeds 1 and one of them is 1, so that their ``total`` is a number from 1 to the size.

        log sum exp(z) = top + log(total)           softmax(z) = e / total

    Parameters
    ----------
    z : ndarray, shape (N, sum of sizes)
    sizes : ndarray of int, shape (G,)
        How many columns each group has, at least 1.

    Returns
    -------
    top : ndarray, shape (N, G)
    e : ndarray, shape (N, sum of sizes)
        exp(z - top).
    total : ndarray, shape (N, G)
        The sum of e over each group.
    """
    starts = np.cumsum(sizes) - sizes
    top = np.maximum.reduceat(z, starts, axis=1)
    shift = top
    if (nothing := np.isneginf(top)).any():  # groups of which all are -inf: they are alike
        z = np.where(np.repeat(nothing, sizes, axis=1), 0, z)
        shift = np.where(nothing, 0, top)
    e = np.exp(z - np.repeat(shift, sizes, axis=1))
    total = np.add.reduceat(e, starts, axis=1)
    return top, e, total
