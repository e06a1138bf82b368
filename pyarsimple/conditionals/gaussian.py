"""Gaussian: a real number a variable, from two outputs, its mean and what sets its scale.

    log p(x_i | x_<i) = -z^2 / 2 - log(scale) - log(2 pi) / 2,        z = (x_i - mean) / scale
    scale = min_scale + softplus(raw) = min_scale + log(1 + exp(raw))

It is the log of a density, and may be above 0.

*Why softplus.* The usual scale = exp(raw) turns a step of 10 in an output into a factor of 22026 in
the scale, and an output of 1000 into infinity. softplus is exp() where raw is small, so that the
scale can shrink by orders of magnitude and stays positive, and raw itself where raw is large. In
the logarithm the scale then never moves faster than raw does:

    t = d log(scale) / d raw = sigmoid(raw) / scale  <=  sigmoid(raw) / softplus(raw)  <=  1

*Why a floor.* Real data are rounded. Where one value occurs many times, a Gaussian there whose
scale goes to 0 has a density, and so a likelihood, without bound: training finds it, and what looks
like a splendid model has learnt to which digit somebody rounded. ``min_scale`` is the smallest
scale there can be, so that a variable scores at most -log(min_scale sqrt(2 pi)), 3.7 nats at 0.01.
The step to which the data were rounded, or a third of it (a uniform number has a standard deviation
of 0.29 steps), is an honest choice. It is no clipping: the density is that of the scale that there
is, and the gradient is that density's.

The gradient is exact and, with z and t, short (docs/derivations/gaussian.md):

    d(-log p)/d mean = -z / scale        d(-log p)/d raw = (1 - z^2) t
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_number
from pyarsimple.conditionals.base import Array, Conditional, Scale, per_entry, rows_needed
from pyarsimple.conditionals.functions import inverse_softplus, sigmoid, softplus
from pyarsimple.orders import Columns

#: A hundredth: of a standard deviation, if the data are standardised.
MIN_SCALE = 0.01
#: Any lower, and squares of 1 / scale leave float32.
LOWEST_MIN_SCALE = 1e-12

HALF_LOG_2_PI = 0.5 * float(np.log(2 * np.pi))


def standard_normal(uniforms: Array) -> npt.NDArray[np.float64]:
    """Standard normal numbers by the inverse of the distribution function.

    Uniform numbers are multiples of 2^-53 below 1. The one that has no inverse, 0, stands for those
    below 2^-53 and is taken to be 2^-54: no number is beyond -8.3 or 8.2.
    """
    from scipy.special import ndtri  # slow to import, and only needed here

    z: npt.NDArray[np.float64] = ndtri(np.clip(uniforms, 2.0**-54, 1 - 2.0**-53))
    return z


class Real(Conditional):
    """What conditionals of real numbers share: the data they take, and the scale.

    Parameters
    ----------
    min_scale : float, at least 1e-12
        The smallest scale there can be, in units of the data. The default, 0.01, is meant for data
        that are standardised (see `Standardized`), of which it is a hundredth of a standard
        deviation.
    """

    dtype = np.dtype(np.float64)

    def __init__(self, *, min_scale: float = MIN_SCALE) -> None:
        self.min_scale = check_number(min_scale, "min_scale", low=LOWEST_MIN_SCALE)

    def config(self) -> dict[str, Any]:
        """The name and the settings."""
        return super().config() | {"min_scale": self.min_scale}

    def values(self, n_dims: int) -> None:
        """None: there is no list of the real numbers."""

    def of(self, i: int) -> Self:
        """The same for every variable."""
        return self

    def _wanted(self) -> str:
        return "finite real numbers"

    def _allowed(self, x: Array) -> npt.NDArray[np.bool_]:
        return np.isfinite(x)

    def _remedy(self, i: int) -> str:
        return (
            "select the rows without missing values, x[np.isfinite(x).all(axis=1)], or say with "
            "observed= which variables are known"
        )

    def scale(self, raw: Array) -> Array:
        """Positive numbers, from any."""
        return self.min_scale + softplus(raw)

    def d_log_scale(self, raw: Array, scale: Array) -> Array:
        """The derivative of log(scale) with respect to raw: t, in (0, 1]."""
        return sigmoid(raw) / scale

    def raw(self, scale: Array) -> Array:
        """The outputs that make these scales.

        One at the floor or below is raised to 1.1 of it: at the floor itself raw is minus infinity,
        and near it the scale cannot be moved by training.
        """
        return inverse_softplus(np.maximum(scale - self.min_scale, 0.1 * self.min_scale))


class Gaussian(Real):
    """A Gaussian a variable. Outputs: mean, raw; scale = min_scale + softplus(raw).

    Parameters
    ----------
    min_scale : float, at least 1e-12
        The smallest standard deviation there can be, in units of the data: a density on rounded
        data has no bound without it. Near the step to which the data were rounded is a good choice.
        The default, 0.01, is meant for data that are standardised (see `Standardized`).
    """

    name = "gaussian"

    def __repr__(self) -> str:
        return f"Gaussian(min_scale={self.min_scale!r})"

    def columns(self, n_dims: int) -> Columns:
        """One feature, the number itself, and two outputs each."""
        i = np.arange(n_dims + 1, dtype=np.intp)
        return Columns(i, 2 * i)

    def log_p(self, outputs: Array, x: Array) -> Array:
        """Log densities log p(x_i | x_<i), (N, D), in nats."""
        mean, scale = outputs[:, 0::2], self.scale(outputs[:, 1::2])
        with np.errstate(over="ignore"):  # what is too far for a float has log p = -inf
            square = ((x - mean) / scale) ** 2
        result: Array = -0.5 * square - np.log(scale) - HALF_LOG_2_PI
        return result

    def d_outputs(self, outputs: Array, x: Array, scale: Scale) -> Array:
        """The gradient of ``-(scale * log_p(outputs, x)).sum()``, (N, 2 D)."""
        factor = per_entry(scale, x, outputs.dtype)
        mean, raw = outputs[:, 0::2], outputs[:, 1::2]
        s = self.scale(raw)
        z = (x - mean) / s
        result = np.empty_like(outputs)
        result[:, 0::2] = factor * (-z / s)
        result[:, 1::2] = factor * ((1 - z**2) * self.d_log_scale(raw, s))
        return result

    def decode(self, outputs: Array) -> dict[str, Array]:
        """``mean`` and ``scale``, the standard deviation; (N, D) each."""
        return {"mean": outputs[:, 0::2].copy(), "scale": self.scale(outputs[:, 1::2])}

    def sample(self, outputs: Array, uniforms: Array) -> Array:
        """mean + scale z, with the z that a standard normal number falls below as often as this."""
        of = self.decode(outputs.astype(np.float64))
        x: Array = of["mean"] + of["scale"] * standard_normal(uniforms)
        return x

    def independent_outputs(self, x: Array) -> npt.NDArray[np.float64]:
        """Mean and standard deviation of each column, at least 1.1 of the floor."""
        x = rows_needed(x)
        return np.stack([x.mean(axis=0), self.raw(x.std(axis=0))], axis=1).ravel()
