"""What every density here has in common, whether it is one product of conditionals or not.

A `Density` gives probabilities, draws samples, and is saved. An autoregressive model is one, and so
is a mixture of several, which has no order and no conditionals of its own. Whatever needs no more
than this (scores, comparisons, files, the commands that use them) takes any density.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from pyarsimple import storage

if TYPE_CHECKING:
    from pyarsimple.conditionals import Categorical, Conditional

Array = npt.NDArray[Any]
Params = dict[str, Array]


def all_rows(sizes: Sequence[int]) -> Array:
    """Every row of D variables, of which the i-th takes 0, ..., sizes[i] - 1: (product, D).

    In the order of counting: the last variable changes fastest.
    """
    return np.indices(tuple(sizes)).reshape(len(sizes), -1).T


def log_conditionals(table: Array, x: Array) -> npt.NDArray[np.float64]:
    """log p(x_i | x_<i) of each entry of x, by the chain rule, from a table of all probabilities.

    Parameters
    ----------
    table : ndarray, with an axis for each of the D variables
        ``table[x_0, x_1, ...] = p(x)``.
    x : ndarray of int, shape (N, D)

    Returns
    -------
    ndarray of float64, shape (N, D)
        In nats; NaN after what is impossible.
    """
    log_p = np.empty(x.shape)
    for i in range(table.ndim):
        p = table.sum(axis=tuple(range(i + 1, table.ndim)))  # p(x_0, ..., x_i)
        p = p / p.sum(axis=-1, keepdims=True)  # p(x_i | x_<i)
        log_p[:, i] = np.log(p[tuple(x[:, : i + 1].T)])
    return log_p


def count_rows(x: Array, sizes: Sequence[int]) -> Array:
    """How often each of `all_rows(sizes)` occurs among the rows of x (N, D): (product,)."""
    index = np.ravel_multi_index(tuple(x.astype(np.intp).T), tuple(sizes))
    return np.bincount(index, minlength=math.prod(sizes))


class Density(ABC):
    """A distribution over D variables: probabilities, or densities, of rows (N, D), and samples.

    Attributes
    ----------
    n_dims : int
        D, the number of variables.
    conditional : from `pyarsimple.conditionals`
        What kind of variables these are: it checks rows and knows the type of samples.
    context : int or Categorical
        Of p(x | y), how many features y has, or of which classes it is one; 0 if there is none.
    params : dict of str to ndarray
        The live parameters of its own; those of its `parts` are theirs.
    """

    #: The name in files and on the command line; set by each class.
    name: ClassVar[str]

    n_dims: int
    conditional: Conditional
    context: int | Categorical
    params: Params

    @abstractmethod
    def log_prob(
        self, x: npt.ArrayLike, context: npt.ArrayLike | None = None
    ) -> npt.NDArray[np.float64]:
        """log p(x) of each row, in nats; (N,)."""

    @abstractmethod
    def sample(
        self,
        n: int = 1,
        *,
        given: npt.ArrayLike | None = None,
        observed: npt.ArrayLike | None = None,
        context: npt.ArrayLike | None = None,
        rng: Any = None,
    ) -> Array:
        """Draw n rows, or complete those of ``given`` where ``observed`` is false; (n, D)."""

    @property
    @abstractmethod
    def n_params(self) -> int:
        """How many parameters there are, without those that are masked."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The settings from which it can be made again, as JSON can hold them."""

    def parts(self) -> list[Density]:
        """The densities that this one is made of; none, for most."""
        return []

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to ``path``, an ``.npz`` that `pyarsimple.load` reads.

        A file that is there already is replaced only when the new one is complete.
        """
        storage.save_model(self, path)
