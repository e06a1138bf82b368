"""The solutions that stand nowhere else in the library."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple.orders import precedes

Array = npt.NDArray[Any]


def all_bits(D: int) -> Array:
    """All of {0, 1}^D, (2^D, D), counting upwards: the last bit changes fastest."""
    return np.array(list(product([0, 1], repeat=D)))


def log_conditionals(table: Array, x: Array) -> Array:
    """log p(x_i | x_<i) of each bit, (N, D), from the table of p, (2, 2, ..., 2)."""
    N, D = x.shape
    log_p = np.empty((N, D))
    for n in range(N):
        p = table
        for i in range(D):
            before = p.sum()  # p(x_<i)
            p = p[x[n, i]]
            log_p[n, i] = np.log(p.sum() / before)
    return log_p


def numeric_gradient(f: Callable[[Array], float], x: Array, step: float) -> Array:
    """Central differences of f at x, the shape of x."""
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (f(up) - f(down)) / (2 * step)
    return gradient


def best_step(f: Callable[[Array], float], x: Array, gradient: Array, steps: Array) -> float:
    """The step whose differences come closest to the true gradient, in the norm."""
    errors = [np.linalg.norm(numeric_gradient(f, x, step) - gradient) for step in steps]
    return float(steps[np.argmin(errors)])


def chi_square(x: Array, p: Array) -> float:
    """Pearson's statistic of samples x (n, D) against the probabilities p of all 2^D rows."""
    n, D = x.shape
    index = x.astype(int) @ (2 ** np.arange(D)[::-1])  # rows count upwards: the last bit is 1
    counts = np.bincount(index, minlength=2**D)
    return float(((counts - n * p) ** 2 / (n * p)).sum())


def find_leaks(
    conditionals: Callable[[Array], Array], D: int, order: Array, rng: np.random.Generator
) -> set[tuple[int, int]]:
    """All (i, j) such that conditional i changes with x_j although x_j is not before x_i."""
    allowed = precedes(order)
    leaks = set()
    x = all_bits(D) if D <= 10 else rng.integers(2, size=(1000, D))
    x = x.astype(float)
    before = conditionals(x)
    for j in range(D):
        changed = x.copy()
        changed[:, j] = 1 - x[:, j]
        moved = (conditionals(changed) != before).any(axis=0)
        leaks |= {(int(i), j) for i in np.flatnonzero(moved) if not allowed[i, j]}
    return leaks
