"""Any conditional of real numbers, for data in units of their own.

The change of variables z = (x - mean) / std (`pyarsimple.transforms`) is a part of the conditional:
a model with it reads z, its outputs speak of z, and all that a person sees is in the units of the
data: x itself, samples, means and scales, and nats:

    log p(x_i | x_<i) = log p_z(z_i | z_<i) - log std_i

As the mean and std are settings of the conditional, they are saved with a model, and every use of
the model, training included, takes the data as they are.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_table
from pyarsimple.conditionals.base import Array, Conditional, Scale, from_config
from pyarsimple.orders import Columns
from pyarsimple.transforms import Standardize


class Standardized(Conditional):
    """A conditional of z = (x - mean) / std, as one of x.

        conditional = Standardized.fit(GaussianMixture(10), x_train)
        model = NADE(11, 50, conditional=conditional)           # takes x; log p(x) is that of x
        model.log_prob(x) - conditional.transform.log_det       # log p_z(z): in standardised units

    Parameters
    ----------
    conditional : Conditional
        Of z. Options in units, such as ``min_scale``, are in those of z.
    transform : Standardize
        Of the D columns of x. Columns of bits and classes must be left as they are (mean 0, std 1).
    """

    name = "standardized"

    def __init__(self, conditional: Conditional, transform: Standardize) -> None:
        if not isinstance(conditional, Conditional) or isinstance(conditional, Standardized):
            raise TypeError(f"conditional must be one such as Gaussian(), got {conditional!r:.200}")
        if not isinstance(transform, Standardize):
            raise TypeError(
                "transform must be a Standardize, such as Standardize.fit(x_train), got "
                f"{transform!r:.200}"
            )
        conditional.columns(transform.n_dims)  # refuses another number of variables
        self.conditional, self.transform = conditional, transform
        self._log_std = np.log(transform.std)
        moved = (transform.mean != 0) | (transform.std != 1)
        if (wrong := moved & ~are_real(conditional, transform.n_dims)).any():
            i = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"column {i} is not real ({conditional.of(i)!r}) and cannot be standardised: leave "
                "it out of Standardize.fit(x, columns=...), or use Standardized.fit, which does"
            )

    @classmethod
    def fit(cls, conditional: Conditional, x: npt.ArrayLike) -> Self:
        """Standardise those columns of x (N, D) that are real."""
        wanted = f"x must be an array of {conditional._wanted()} of shape (N, D)"
        x = check_table(x, None, wanted, conditional.dtype)
        conditional.check(x, x.shape[1])
        real = are_real(conditional, x.shape[1])
        return cls(conditional, Standardize.fit(x, columns=np.flatnonzero(real)))

    def config(self) -> dict[str, Any]:
        """The name, the conditional's own config, and lists of the means and stds."""
        t = self.transform
        settings = {"mean": t.mean.tolist(), "std": t.std.tolist()}
        return {"name": self.name, "conditional": self.conditional.config()} | settings

    @classmethod
    def _from_settings(cls, settings: dict[str, Any]) -> Standardized:
        others = settings.keys() - {"conditional", "mean", "std"}
        if others:
            raise TypeError(f"unknown settings: {', '.join(map(str, others))}")
        transform = Standardize(settings["mean"], settings["std"])
        return cls(from_config(settings["conditional"]), transform)

    def __repr__(self) -> str:
        return f"Standardized({self.conditional!r}, {self.transform!r})"

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the conditional of z."""
        return self.conditional.dtype

    def values(self, n_dims: int) -> list[Array] | None:
        """Those of z: what has values that can be listed is not standardised."""
        self.columns(n_dims)
        return self.conditional.values(n_dims)

    def columns(self, n_dims: int) -> Columns:
        """Those of the conditional of z."""
        if n_dims != self.transform.n_dims:
            raise ValueError(
                f"transform must be one of the {n_dims} variables, got one of "
                f"{self.transform.n_dims}"
            )
        return self.conditional.columns(n_dims)

    def of(self, i: int) -> Standardized:
        """That of variable i, with its own mean and std."""
        return Standardized(self.conditional.of(i), self.transform.of(i))

    def _wanted(self) -> str:
        return self.conditional._wanted()

    def _allowed(self, x: Array) -> npt.NDArray[np.bool_]:
        return self.conditional._allowed(x)

    def _remedy(self, i: int) -> str:
        return self.conditional._remedy(i)

    def dtype_of_data(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """float64: in float32 what is left of x - mean may be rounding only. z has the dtype."""
        return np.dtype(np.float64)

    def features(self, x: Array) -> Array:
        """Those of z."""
        return self.conditional.features(self.transform.z_of(x))

    def log_p(self, outputs: Array, x: Array) -> Array:
        """log p(x_i | x_<i), (N, D), in nats per unit of x."""
        z = self.transform.z_of(x).astype(outputs.dtype, copy=False)
        log_p = self.conditional.log_p(outputs, z)
        log_p -= self._log_std.astype(log_p.dtype)
        return log_p

    def d_outputs(self, outputs: Array, x: Array, scale: Scale) -> Array:
        """That of the conditional of z: log std does not depend on outputs."""
        z = self.transform.z_of(x).astype(outputs.dtype, copy=False)
        return self.conditional.d_outputs(outputs, z, scale)

    def decode(self, outputs: Array) -> Any:
        """As the conditional of z does it; means and scales in the units of x."""
        decoded = self.conditional.decode(outputs)
        if isinstance(decoded, list):  # of Mixed, an entry for each variable
            return [_in_units(d, self.transform.of(i)) for i, d in enumerate(decoded)]
        return _in_units(decoded, self.transform)

    def sample(self, outputs: Array, uniforms: Array) -> Array:
        """A value from each distribution, in the units of x."""
        z = self.conditional.sample(outputs, uniforms)
        return self.transform.x_of(z).astype(self.dtype, copy=False)

    def independent_outputs(self, x: Array) -> npt.NDArray[np.float64]:
        """Those that fit z best."""
        return self.conditional.independent_outputs(self.transform.z_of(x))


def are_real(conditional: Conditional, n_dims: int) -> npt.NDArray[np.bool_]:
    """Which variables have no list of values: (D,)."""
    return np.array([conditional.of(i).values(1) is None for i in range(n_dims)])


def _in_units(decoded: Any, transform: Standardize) -> Any:
    """Means and scales, (N, D) or (N, D, K), in the units of x."""
    if not isinstance(decoded, dict):
        return decoded
    result = dict(decoded)
    for key, a in decoded.items():
        axes = (..., *[np.newaxis] * (a.ndim - 2))
        mean, std = (b.astype(a.dtype)[axes] for b in (transform.mean, transform.std))
        if key in ("mean", "means"):
            result[key] = a * std + mean
        elif key in ("scale", "scales"):
            result[key] = a * std
    return result
