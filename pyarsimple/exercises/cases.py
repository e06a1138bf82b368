"""Data to grade on, from the smallest to the largest, so that the first failure is a small one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from pyarsimple.exercises.answers import Array, Rng


class Size(NamedTuple):
    """N rows, D variables, H hidden units; ``plain`` asks for numbers that a person can check."""

    N: int
    D: int
    H: int
    plain: bool


#: The first ones have the natural order; see `order_of`.
SIZES = (
    Size(1, 1, 1, True),
    Size(1, 2, 1, True),
    Size(1, 2, 2, True),
    Size(2, 2, 1, True),
    Size(1, 3, 1, True),
    Size(2, 3, 2, True),
    Size(1, 3, 1, True),
    Size(4, 3, 2, False),
    Size(6, 5, 4, False),
)
N_NATURAL = 6


def sizes() -> Iterator[tuple[Size, Array]]:
    """Sizes, each with an order of the variables."""
    for k, size in enumerate(SIZES):
        yield size, np.arange(size.D) if k < N_NATURAL else cycle(size.D)


def large(D: int) -> dict[str, Any]:
    """Arguments of the functions of a NADE, by name, to count operations with."""
    rng = np.random.default_rng(0)
    W, V = rng.normal(size=(2, D, 16))
    return {
        "d_logits": rng.normal(size=(2, D)), "x": rng.integers(2, size=(2, D)).astype(float),
        "n_known": 0, "uniforms": rng.random((2, D)), "W": W, "c": np.ones(16), "V": V,
        "b": np.ones(D), "order": np.arange(D), "hidden": "sigmoid", "keep": None,
    }  # fmt: skip


def cycle(D: int) -> Array:
    """An order that is not its own inverse (from D = 3 on): 1, 2, ..., D-1, 0."""
    return np.roll(np.arange(D), -1)


def numbers(rng: Rng, *shape: int, plain: bool) -> Array:
    """Numbers, none of them zero: multiples of a half if they are to be plain."""
    if plain:
        return rng.choice([-1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0], shape)
    drawn: Array = rng.uniform(0.2, 2, shape) * rng.choice([-1, 1], shape)
    return drawn


def bits(rng: Rng, size: Size) -> Array:
    """Bits (N, D): a single row is all ones, of more rows each column takes both values."""
    if size.N == 1:
        return np.ones((1, size.D))
    x = rng.integers(2, size=(size.N, size.D)).astype(float)
    x[0] = rng.permutation((np.arange(size.D) + 1) % 2)  # not all the same from D = 2 on
    x[1] = 1 - x[0]
    return x
