"""Inputs to test with: what values a variable takes, how to draw them and how to change them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple.density import all_rows

Array = npt.NDArray[Any]
Draw = Callable[[np.random.Generator, tuple[int, int]], Array]

#: What ``values=`` may be: "bits", a number of classes, "reals", a list with a number of classes or
#: "reals" for each variable, or a function ``draw(rng, shape)`` of a generator and a shape.
Values = Any


class Points:
    """Rows of D variables: variable j takes 0, 1, ..., counts[j] - 1, or is real where that is 0.

    Parameters
    ----------
    counts : ndarray of int, shape (D,)
    dtype : dtype
        Of the rows.
    draw : callable, optional
        Draws the real ones; they are normal unless given, about ``centre`` with ``spread``.
    centre, spread : float or ndarray of shape (D,)
        Where the real ones are to be looked for, in units of the data.
    """

    def __init__(
        self, counts: Array, dtype: Any = np.float64, *, draw: Draw | None = None,
        centre: Any = 0.0, spread: Any = 1.0,
    ) -> None:  # fmt: skip
        self.counts, self.dtype, self._draw = counts, np.dtype(dtype), draw
        self.real = counts == 0  # (D,)
        self.centre = np.broadcast_to(np.asarray(centre, np.float64), counts.shape)
        self.spread = np.broadcast_to(np.asarray(spread, np.float64), counts.shape)

    @property
    def finite(self) -> bool:
        """Whether no variable is real."""
        return not self.real.any()

    @property
    def n_configurations(self) -> int | None:
        """How many rows there are at all; None if any variable is real."""
        return math.prod(self.counts.tolist()) if self.finite else None

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """n rows: classes uniformly, of which the first two rows are all lowest and all highest."""
        if self.real.all():
            return self._reals(rng, n).astype(self.dtype)
        x = rng.integers(np.maximum(self.counts, 1), size=(n, len(self.counts)))
        x[:1], x[1:2] = 0, self.counts - 1
        return self._with_reals(rng, x)

    def change(self, rng: np.random.Generator, x: Array) -> Array:
        """Another value for every entry of x (n, D); a real one is drawn anew."""
        if self.real.all():
            new = self._reals(rng, len(x))
            return np.where(new == x, x + 1, new)
        step = rng.integers(1, np.maximum(self.counts, 2), size=x.shape)
        return self._with_reals(rng, (x + step) % np.maximum(self.counts, 1))

    def _with_reals(self, rng: np.random.Generator, x: Array) -> Array:
        """x with real numbers in the columns that are real."""
        if self.finite:
            return x.astype(self.dtype)
        return np.where(self.real, self._reals(rng, len(x)), x).astype(self.dtype)

    def _reals(self, rng: np.random.Generator, n: int) -> Array:
        """Real numbers (n, D); unless drawn by the caller every fourth row is ten times as wide."""
        shape = (n, len(self.counts))
        if self._draw is not None:
            return np.asarray(self._draw(rng, shape), dtype=np.float64)
        wide = np.where(np.arange(n) % 4 == 3, 10.0, 1.0)[:, np.newaxis]
        return self.centre + self.spread * (rng.normal(size=shape) * wide)

    def enumerate(self) -> Array:
        """All rows, in lexicographic order."""
        return np.ascontiguousarray(all_rows(self.counts.tolist()), dtype=self.dtype)

    def contains(self, x: Array) -> bool:
        """Whether every entry of x is one of the values."""
        x = np.asarray(x)
        return bool(np.all(self.real | ((x >= 0) & (x < self.counts) & (x == np.floor(x)))))


def as_points(values: Values, n_dims: int) -> Points:
    """Read the argument ``values`` of a check."""
    reals = np.zeros(n_dims, np.intp)
    if isinstance(values, Points):
        return values
    if callable(values):
        return Points(reals, draw=values)
    if isinstance(values, str) and values == "reals":
        return Points(reals)
    if values is None or (isinstance(values, str) and values == "bits"):
        return Points(np.full(n_dims, 2))
    each = values if isinstance(values, Iterable) and not isinstance(values, str) else [values]
    try:
        counts = np.array([_count(value) for value in each], np.intp)
    except TypeError:
        counts = np.array([-1])
    if len(counts) == 1:
        counts = np.repeat(counts, n_dims)
    if counts.shape != (n_dims,) or (counts < 0).any():
        raise ValueError(
            "values must be 'bits', a number of classes K, 'reals', a list of these for each of "
            f"the {n_dims} variables, or a function draw(rng, shape); got {values!r}"
        )
    return Points(counts, np.intp if counts.all() else np.float64)


def _count(value: Any) -> int:
    """The number of classes of one variable; 0 if it is real, -1 if it cannot be."""
    if isinstance(value, str):
        return {"bits": 2, "reals": 0}.get(value, -1)
    number = operator.index(value)
    return number if number > 0 else -1
