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


def log_sigmoid(z: Array) -> Array:
    """log(1 / (1 + exp(-z))), without overflow and exact in both tails."""
    return -softplus(-z)


def inverse_softplus(y: Array) -> Array:
    """The z of softplus(z) = y > 0: log(exp(y) - 1), without overflow."""
    result: Array = y + np.log(-np.expm1(-y))
    return result


def exp_from_top(z: Array) -> tuple[Array, Array, Array]:
    """What every softmax and log-sum-exp over the last axis is made of.

    exp(z) is computed with the largest z, ``top``, subtracted: none of them exceeds 1 and one of
    them is 1, so that their ``total`` is a number from 1 to K.

        softmax(z) = e / total           log sum exp(z) = top + log(total)

    Parameters
    ----------
    z : ndarray, shape (..., K)

    Returns
    -------
    top : ndarray, shape (..., 1)
    e : ndarray, shape (..., K)
        exp(z - top).
    total : ndarray, shape (..., 1)
        The sum of e.
    """
    top = shift = reduce_last(np.maximum, z)
    if (nothing := np.isneginf(top)).any():  # where all are -inf they are alike
        z, shift = np.where(nothing, 0, z), np.where(nothing, 0, top)
    e = z - shift
    np.exp(e, out=e)
    return top, e, reduce_last(np.add, e)


def reduce_last(ufunc: np.ufunc, z: Array) -> Array:
    """ufunc.reduce(z, axis=-1, keepdims=True), (..., 1), for a last axis that is short.

    There NumPy's own is slow. It is done by whole arrays, one k after the other, or by reduceat.
    """
    K = z.shape[-1]
    if K > 8:
        result: Array = ufunc.reduceat(z.reshape(-1), np.arange(0, z.size, K))
        return result.reshape(*z.shape[:-1], 1)
    result = z[..., :1].copy()
    for k in range(1, K):
        ufunc(result, z[..., k : k + 1], out=result)
    return result


def softmax(z: Array) -> Array:
    """exp(z) / sum exp(z) over the last axis, (..., K)."""
    _, p, total = exp_from_top(z)
    p /= total
    return p


def log_softmax(z: Array) -> Array:
    """The log of the softmax over the last axis, (..., K): exact where the softmax itself is 0."""
    top, _, total = exp_from_top(z)
    return (z - top) - np.log(total)


def log_sum_exp(z: Array) -> Array:
    """log sum exp(z) over the last axis, (...)."""
    top, _, total = exp_from_top(z)
    result: Array = (top + np.log(total))[..., 0]
    return result
