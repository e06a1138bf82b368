"""Orders of the variables: which comes first in the chain rule.

An order is a permutation of 0..D-1: ``order[k]`` is the variable in position k. Its inverse answers
the other question: ``inverse(order)[i]`` is the position of variable i. (The two agree for the
natural order and for any swap, so a mix-up shows only in orders such as a 3-cycle.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.intp]


def natural(n_dims: int) -> IntArray:
    """0, 1, ..., n_dims - 1."""
    return np.arange(n_dims, dtype=np.intp)


def reverse(n_dims: int) -> IntArray:
    """n_dims - 1, ..., 1, 0."""
    return natural(n_dims)[::-1].copy()


def random(n_dims: int, *, rng: Any = None) -> IntArray:
    """An order drawn uniformly from all n_dims! of them; ``rng`` as in SPEC 7."""
    return np.random.default_rng(rng).permutation(n_dims).astype(np.intp)


def observed_first(observed: npt.ArrayLike) -> IntArray:
    """The observed variables first, then the others, each group in its natural order.

    A model with this order completes rows in which just these variables were observed, exactly.

    Parameters
    ----------
    observed : array_like of bool, shape (D,)
    """
    observed = np.asarray(observed)
    if observed.dtype != np.bool_ or observed.ndim != 1:
        raise TypeError(
            f"observed must be a boolean mask of shape (D,), got dtype {observed.dtype} and shape "
            f"{observed.shape}"
        )
    return np.argsort(~observed, kind="stable").astype(np.intp)


def inverse(order: npt.ArrayLike) -> IntArray:
    """The position of each variable: ``inverse(order)[order[k]] == k``."""
    return np.argsort(np.asarray(order)).astype(np.intp)


def precedes(order: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which variable may depend on which: (D, D), true at [i, j] where x_j comes before x_i."""
    position = inverse(order)
    return position[np.newaxis, :] < position[:, np.newaxis]


def check_order(order: npt.ArrayLike | None, n_dims: int) -> IntArray:
    """Return ``order`` as an array of its own; None is the natural order.

    Raises
    ------
    ValueError
        If it is not a permutation of 0..n_dims-1.
    """
    if order is None:
        return natural(n_dims)
    try:
        array = np.asarray(order)
    except ValueError as error:  # lists of unequal length
        raise ValueError(
            f"order must be None or a permutation of 0..{n_dims - 1}: {error}"
        ) from None
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"order must be None or a permutation of 0..{n_dims - 1}, got an array of dtype "
            f"{array.dtype} and shape {array.shape}"
        )
    if len(array) != n_dims or not np.array_equal(np.sort(array), np.arange(n_dims)):
        raise ValueError(
            f"order must hold each of 0..{n_dims - 1} once (order[k] is the variable in position "
            f"k), got {array.tolist() if len(array) <= 20 else f'{len(array)} entries'}"
        )
    return array.astype(np.intp)
