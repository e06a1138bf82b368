"""Inputs to test with: what values a variable takes, how to draw them and how to change them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

#: What ``values=`` may be: "bits", a number of classes or one number a variable, "reals", or a
#: function ``draw(rng, shape)`` of a generator and a shape.
Values = Any


class Discrete:
    """Variables of finitely many values: variable j takes 0, 1, ..., counts[j] - 1."""

    def __init__(self, counts: Array, dtype: Any) -> None:
        self.counts = counts  # (D,)
        self.values: Values = "bits" if dtype == np.float64 else counts
        self.dtype = dtype

    @property
    def n_configurations(self) -> int:
        """How many rows there are at all."""
        return math.prod(self.counts.tolist())

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """n rows, uniformly; the first two are all lowest and all highest."""
        x = rng.integers(self.counts, size=(n, len(self.counts)))
        x[:1], x[1:2] = 0, self.counts - 1
        return x.astype(self.dtype)

    def change(self, rng: np.random.Generator, x: Array) -> Array:
        """Another value for every entry of x (n, D)."""
        step = rng.integers(1, np.maximum(self.counts, 2), size=x.shape)
        return ((x + step) % self.counts).astype(self.dtype)

    def enumerate(self) -> Array:
        """All rows, in lexicographic order."""
        grid = np.indices(tuple(self.counts)).reshape(len(self.counts), -1).T
        return np.ascontiguousarray(grid, dtype=self.dtype)

    def index(self, x: Array) -> Array:
        """The place of each row of x in `enumerate`."""
        columns = tuple(np.asarray(x).astype(np.intp).T)
        place: Array = np.ravel_multi_index(columns, tuple(self.counts))
        return place

    def contains(self, x: Array) -> bool:
        """Whether every entry of x is one of the values."""
        x = np.asarray(x)
        return bool(np.all((x >= 0) & (x < self.counts) & (x == np.floor(x))))


class Continuous:
    """Variables that are real numbers, drawn by a function of the caller's or from normals."""

    def __init__(self, draw: Callable[[np.random.Generator, tuple[int, int]], Array], D: int):
        self._draw, self._D = draw, D
        self.values: Values = draw

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Return n rows."""
        return np.asarray(self._draw(rng, (n, self._D)), dtype=np.float64)

    def change(self, rng: np.random.Generator, x: Array) -> Array:
        """Another value for every entry of x (n, D), independent of the one that it has."""
        new = self.draw(rng, len(x))
        return np.where(new == x, x + 1, new)


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Standard normal numbers, in every fourth row ten times as large: far out things differ."""
    scale = np.where(np.arange(shape[0]) % 4 == 3, 10.0, 1.0)
    return rng.normal(size=shape) * scale[:, np.newaxis]


def as_values(values: Values, n_dims: int) -> Discrete | Continuous:
    """Read the argument ``values`` of a check."""
    if callable(values):
        return Continuous(values, n_dims)
    if isinstance(values, str) and values == "reals":
        return Continuous(_normal, n_dims)
    if values is None or (isinstance(values, str) and values == "bits"):
        return Discrete(np.full(n_dims, 2), np.float64)
    try:
        counts = np.array([operator.index(k) for k in np.atleast_1d(values)])
    except TypeError:
        counts = np.zeros(0, np.intp)
    if len(counts) == 1:
        counts = np.repeat(counts, n_dims)
    if counts.shape != (n_dims,) or (counts < 1).any():
        raise ValueError(
            "values must be 'bits', a number of classes K (or one for each of the "
            f"{n_dims} variables), 'reals', or a function draw(rng, shape); got {values!r}"
        )
    return Discrete(counts, np.intp)
