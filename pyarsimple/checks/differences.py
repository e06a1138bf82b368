"""Derivatives by differences: the step, the noise, and the kinks.

phi(t) is the loss with the parameters moved by t along some direction. Its slope at 0 is

    (phi(h) - phi(-h)) / 2h = phi'(0) + h^2 phi'''(0) / 6 + noise / h

so a large step suffers from curvature and a small one from rounding: plotted against h the error is
a V. Its bottom is found by trying: where two neighbouring steps agree best. Two steps also tell a
kink from a wrong gradient: at a kink the slopes to the left and to the right stay apart for any h.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Phi = Callable[[float], float]

#: Steps that are tried, in units of the parameters' own size.
LADDER = 10.0 ** -np.arange(1.0, 10.0)
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Slope:
    """An estimate of phi'(0), how far it can be trusted, and the step that gave it."""

    value: float
    uncertainty: float
    step: float


def numeric_gradient(
    f: Callable[[Array], float], x: Array, step: float,
    entries: Sequence[tuple[int, ...]] | None = None,
) -> Array:  # fmt: skip
    """Central differences of f at x, in the shape of x; of some entries only, one after the other.

    f is called with new arrays, two for each entry; x is not moved.
    """
    chosen = list(np.ndindex(x.shape)) if entries is None else entries
    slopes = np.empty(len(chosen))
    for k, index in enumerate(chosen):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        slopes[k] = (f(up) - f(down)) / (2 * step)
    return slopes.reshape(x.shape) if entries is None else slopes


def central(phi: Phi, h: float) -> float:
    """The slope between -h and h."""
    return (phi(h) - phi(-h)) / (2 * h)


def measure_noise(phi: Phi, size: float) -> float:
    """The rounding error of phi, from how rough it is over steps far too small for curvature.

    Third differences of what is smooth vanish there, and those of noise do not (the method of
    More and Wild's ECnoise). At least half a unit in the last place.
    """
    values = np.array([phi(k * 1e-11 * size) for k in range(-4, 5)])
    third = np.diff(values, 3)
    sigma = float(np.sqrt(np.mean(third**2) / 20))  # 20 = binomial(6, 3)
    return max(sigma, EPS * float(np.max(np.abs(values))) / 2, 1e-300)


def best_step(slopes: Array, steps: Array, noise: float) -> tuple[int, float]:
    """Which step to trust, k, and how far: slopes (M,) by steps (M,), the largest first.

    By how much the slope changed from the step before, and by rounding. NaN never wins; the first
    step has none before it, and wins only where no other uncertainty is finite.
    """
    with np.errstate(invalid="ignore"):  # inf - inf
        change = np.abs(np.diff(slopes))
    uncertainty = np.append(np.inf, change / 4 + noise / steps[1:])
    k = int(np.nanargmin(uncertainty))
    return k, float(uncertainty[k])


def best_slope(phi: Phi, noise: float, size: float) -> Slope:
    """The slope of phi at 0 from the step at which neighbouring steps agree best."""
    steps = LADDER * size
    slopes = np.array([central(phi, h) for h in steps])
    if not slopes.any():  # phi did not change at all, not even over the largest step
        return Slope(0.0, noise / steps[0], float(steps[0]))
    k, uncertainty = best_step(slopes, steps, noise)
    return Slope(float(slopes[k]), uncertainty, float(steps[k]))


def has_kink(phi: Phi, noise: float, size: float) -> bool:
    """Whether the slopes left and right of 0 stay apart however small the step."""
    middle = phi(0.0)
    for h in (1e-4 * size, 1e-6 * size):
        right, left = (phi(h) - middle) / h, (middle - phi(-h)) / h
        if abs(right - left) <= 1e-3 * max(abs(right), abs(left)) + 20 * noise / h:
            return False
    return True
