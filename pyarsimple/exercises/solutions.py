"""The solutions that stand nowhere else: where the library does the same, it does it otherwise.

- `numeric_gradient` takes one step for all entries, and `best_step` knows the true gradient. The
  gradient check must do without: it finds a step for each array from the noise of the loss, and
  most of the time looks along directions. The pages of derivations use the first.

A test holds each of them against what the library has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


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
