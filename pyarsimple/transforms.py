"""Standardised data, and what that does to a density.

Real data come in units: a wine has 0.998 g of mass a millilitre and 34 mg of sulphur dioxide a
litre. A network learns best from numbers of size 1, so each column is moved and stretched:

    z_i = (x_i - mean_i) / std_i

A density is probability per length, and the lengths have changed. The probability of a piece dx of
x is that of the piece dz = dx / std of z, so that, in any number of dimensions (the map stretches
each axis by itself; its determinant is the product of the 1 / std_i),

    log p_x(x) = log p_z(z) + log |dz/dx| = log p_z(z) - sum_i log std_i

One model, two numbers of nats: where one is given, it must be said in which units. They differ by a
constant, so that comparisons of models do not depend on it, but a table does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_table

Array = npt.NDArray[Any]


class Standardize:
    """z = (x - mean) / std for each column, with what is needed to go back.

    Made by `fit` from training data, or from numbers. It is not changed once it is made.

    Parameters
    ----------
    mean, std : array_like, shape (D,)
        Finite; std above 0. Columns with mean 0 and std 1 are left as they are.
    """

    def __init__(self, mean: npt.ArrayLike, std: npt.ArrayLike) -> None:
        try:
            self.mean, self.std = np.array(mean, np.float64), np.array(std, np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"mean and std must be arrays of numbers: {error}") from None
        if self.mean.ndim != 1 or not self.mean.size or self.mean.shape != self.std.shape:
            raise ValueError(
                "mean and std must hold one number for each column, shape (D,), got shapes "
                f"{self.mean.shape} and {self.std.shape}"
            )
        if not (np.isfinite(self.mean) & np.isfinite(self.std) & (self.std > 0)).all():
            raise ValueError(
                f"mean must be finite and std above 0, got mean {self.mean} and std {self.std}"
            )
        self._freeze()

    @classmethod
    def fit(cls, x: npt.ArrayLike, columns: Iterable[int] | None = None) -> Self:
        """Learn mean and standard deviation of each column.

        Use the training data: what validation and test data have for a mean is not to be known.
        A column of one value has no scale; its std is set to 1, so that it is moved to 0 and keeps
        its unit.

        Parameters
        ----------
        x : array_like of real numbers, shape (N, D), N >= 1
        columns : sequence of int, optional
            Which columns to standardise; the others are left as they are. None: all.

        Raises
        ------
        TypeError, ValueError
            If x is not such an array, or has no rows.
        """
        x = _check(x, None, "x").astype(np.float64)
        D = x.shape[1]
        if not len(x):
            raise ValueError("x has no rows: a mean and a width cannot be learnt from none")
        chosen = np.zeros(D, np.bool_)
        try:
            chosen[slice(None) if columns is None else list(columns)] = True
        except (IndexError, TypeError) as error:
            raise ValueError(
                f"columns must be None or numbers of columns, 0 to {D - 1}, got {columns!r:.200} "
                f"({error})"
            ) from None
        constant = x.min(axis=0) == x.max(axis=0)
        mean = np.where(constant, x[0], x.mean(axis=0))
        std = np.where(constant, 1.0, x.std(axis=0))
        return cls(np.where(chosen, mean, 0.0), np.where(chosen, std, 1.0))

    @property
    def n_dims(self) -> int:
        """D, how many columns there are."""
        return len(self.mean)

    @property
    def log_det(self) -> float:
        """log |dz/dx| = -sum(log(std)) in nats: log p_x(x) = log p_z(z) + log_det."""
        return -float(np.log(self.std).sum())

    def transform(self, x: npt.ArrayLike) -> Array:
        """z (N, D) of x (N, D): float32 of float32, else float64."""
        return self.z_of(_check(x, self.n_dims, "x"))

    def inverse_transform(self, z: npt.ArrayLike) -> Array:
        """x (N, D) of z (N, D): float32 of float32, else float64."""
        return self.x_of(_check(z, self.n_dims, "z"))

    def z_of(self, x: Array) -> Array:
        """`transform` without its checks."""
        x = _real(x)
        z: Array = (x - self.mean.astype(x.dtype)) / self.std.astype(x.dtype)
        return z

    def x_of(self, z: Array) -> Array:
        """`inverse_transform` without its checks."""
        z = _real(z)
        x: Array = z * self.std.astype(z.dtype) + self.mean.astype(z.dtype)
        return x

    def of(self, i: int) -> Standardize:
        """That of column i alone."""
        return Standardize(self.mean[[i]], self.std[[i]])

    def _freeze(self) -> None:
        self.mean.flags.writeable = self.std.flags.writeable = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._freeze()  # pickle and copy forget that

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Standardize)
            and np.array_equal(self.mean, other.mean)
            and np.array_equal(self.std, other.std)
        )

    def __hash__(self) -> int:
        return hash((self.mean.tobytes(), self.std.tobytes()))

    def __repr__(self) -> str:
        if self.n_dims > 20:
            return f"<Standardize of {self.n_dims} columns>"
        return f"Standardize({self.mean.tolist()}, {self.std.tolist()})"


def _check(x: npt.ArrayLike, n_dims: int | None, name: str) -> Array:
    """x as a table of finite numbers; NaN has no place in a mean."""
    wanted = f"{name} must be an array of finite real numbers of shape (N, {n_dims or 'D'})"
    x = check_table(x, n_dims, wanted, np.dtype(np.float64))
    good = np.isfinite(x)
    if not good.all():
        row, column = np.argwhere(~good)[0]
        raise ValueError(
            f"{wanted}, got {x[row, column]} in row {row}, column {column}; select the rows "
            f"without missing values, {name}[np.isfinite({name}).all(axis=1)]"
        )
    return x


def _real(x: Array) -> Array:
    return x if x.dtype == np.float32 else x.astype(np.float64)
