"""Checks of arguments: each returns what it was given, or names what is wrong with it."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import numpy.typing as npt


def check_size(value: Any, name: str, *, minimum: int = 1) -> int:
    """Return ``value`` as an int of at least ``minimum``."""
    try:
        size = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if size < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {size}")
    return size


def check_number(
    value: Any, name: str, *, low: float = 0.0, high: float = math.inf, open_low: bool = False
) -> float:
    """Return ``value`` as a float in [low, high), or in (low, high) if ``open_low``."""
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not (low < value if open_low else low <= value) or not value < high:
        wanted = f"above {low:g}" if open_low else f"at least {low:g}"
        wanted += "" if high == math.inf else f" and below {high:g}"
        raise ValueError(f"{name} must be a number {wanted}, got {value!r}")
    return float(value)


def check_dtype(dtype: Any) -> np.dtype[Any]:
    """Return ``dtype`` as one of the two that the models compute in."""
    result: np.dtype[Any] | None
    try:
        result = np.dtype(dtype)
    except TypeError:
        result = None
    if result is None or dtype is None:
        raise TypeError(f"dtype must be float64 or float32, got {dtype!r}")
    if result not in (np.float64, np.float32):
        raise ValueError(f"dtype must be float64 or float32, got {result}")
    return result


def check_table(x: Any, n_dims: int | None, wanted: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return ``x`` as an array of numbers or booleans of shape (N, n_dims), or (N, any).

    Errors begin with ``wanted``, which names the argument and says what it must be. ``dtype`` is
    what is proposed to convert to, and that of an empty list, which has no type of its own.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{wanted}, got a masked array: what is masked has no probability")
    try:
        table: npt.NDArray[Any] = np.asarray(x)
    except ValueError as error:  # a list of rows of unequal length
        raise ValueError(f"{wanted}, got rows that form no array: {error}") from None
    if table.size == 0 and table.dtype == np.float64:
        table = table.astype(dtype)
    if table.dtype.kind not in "biuf":
        raise TypeError(f"{wanted}, got dtype {table.dtype}; convert it with x.astype('{dtype}')")
    if table.ndim != 2:
        hint = "; for one example pass x[np.newaxis]" if table.shape == (n_dims,) else ""
        raise ValueError(f"{wanted}, got shape {table.shape}{hint}")
    if n_dims is not None and table.shape[1] != n_dims:
        raise ValueError(f"{wanted}, got {table.shape[1]} columns")
    return table


def check_weight(weight: npt.ArrayLike, n: int, name: str = "weight") -> npt.NDArray[np.float64]:
    """Weights of n rows, in float64."""
    w = np.asarray(weight)
    if w.dtype.kind not in "biuf" or w.shape != (n,):
        raise ValueError(f"{name} must be numbers of shape ({n},), got {w.dtype} {w.shape}")
    w = w.astype(np.float64)
    if not np.isfinite(w).all() or (w < 0).any() or not w.sum() > 0:
        raise ValueError(f"{name} must be finite, at least 0, and not all zero")
    return w
