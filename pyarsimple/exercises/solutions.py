"""The solutions that stand nowhere else: where the library does the same, it does it otherwise.

- `log_conditionals` reads a table of p. The library's full table, `JointTable`, holds the logits of
  conditionals: it looks them up, and has no table of p to divide sums of.
- `numeric_gradient` takes one step for all entries, and `best_step` knows the true gradient. The
  gradient check must do without: it finds a step for each array from the noise of the loss, and
  most of the time looks along directions. The pages of derivations use the first.
- `chi_square` is Pearson's statistic of all rows of bits, by which the grader judges draws. The
  check of samplers pools cells that expect few counts, and so has other degrees of freedom.
- `find_leaks` names pairs. The check of autoregressive models has to prove each with two inputs,
  takes variables of every kind, and tells rounding from leaks.

A test holds each of them against what the library has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple.density import all_rows
from pyarsimple.orders import precedes

Array = npt.NDArray[Any]


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
    x = all_rows([2] * D) if D <= 10 else rng.integers(2, size=(1000, D))
    x = x.astype(float)
    before = conditionals(x)
    for j in range(D):
        changed = x.copy()
        changed[:, j] = 1 - x[:, j]
        moved = (conditionals(changed) != before).any(axis=0)
        leaks |= {(int(i), j) for i in np.flatnonzero(moved) if not allowed[i, j]}
    return leaks
