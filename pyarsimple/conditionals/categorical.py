"""Categorical: one of K classes a variable, from K logits; each variable may have its own K.

    p(x_i = k | x_<i) = softmax(logits_i)_k = exp(logits_ik) / sum_m exp(logits_im)
    log p(x_i | x_<i) = logits_i[x_i] - log sum_m exp(logits_im)

A number that is added to all logits of a variable changes nothing. With the largest one subtracted
no exp() overflows, so both lines are exact for logits of any size. The gradient of -log p with
respect to logits_ik is p_k - [x_i = k]: as for bits, with the one-hot x for x.

A model reads a class as K features, the one-hot x: the number of a class is a name, not a size, and
class 2 is not twice class 1.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_size
from pyarsimple.conditionals.base import Array, Conditional, Scale, per_entry
from pyarsimple.conditionals.functions import exp_from_top, softmax
from pyarsimple.orders import Columns

#: float32 holds whole numbers exactly up to here.
MAX_CLASSES = 2**24


def categorical_log_p(logits: Array, x: Array) -> Array:
    """log p(x_i | x_<i), (N, D), from logits (N, D, K) and classes x (N, D)."""
    top, _, total = exp_from_top(logits)
    n, i = np.ogrid[: len(x), : x.shape[1]]
    log_p: Array = (logits[n, i, x] - top[:, :, 0]) - np.log(total[:, :, 0])
    return log_p


def categorical_d_logits(logits: Array, x: Array, scale: Scale) -> Array:
    """The gradient of -(scale * log_p).sum(): scale * (p - one_hot), (N, D, K).

    ``scale`` is a number, or one for each entry, (N, D, 1).
    """
    d_logits = softmax(logits)
    n, i = np.ogrid[: len(x), : x.shape[1]]
    d_logits[n, i, x] -= 1
    d_logits *= scale
    return d_logits


def one_hot(labels: npt.ArrayLike, n_classes: int, *, dtype: Any = "float64") -> Array:
    """A column for each class, 1 where it is the label and 0 elsewhere.

    Parameters
    ----------
    labels : array_like of int, shape (...)
        Whole numbers 0 to n_classes - 1.
    n_classes : int
        K.

    Returns
    -------
    ndarray of ``dtype``, shape (..., K)

    Raises
    ------
    TypeError, ValueError
        If labels are no such numbers.
    """
    K = check_size(n_classes, "n_classes")
    wanted = f"labels must be classes, whole numbers 0 to {K - 1}"
    if isinstance(labels, np.ma.MaskedArray):
        raise TypeError(f"{wanted}, got a masked array: what is masked has no class")
    labels = np.asarray(labels)
    if labels.dtype.kind not in "biuf":
        raise TypeError(
            f"{wanted}, got dtype {labels.dtype}; numpy.unique(labels, return_inverse=True) numbers"
            " any labels"
        )
    good = are_classes(labels, np.array(K))
    if not good.all():
        raise ValueError(f"{wanted}, got {labels[~good][0]}; labels count from 0")
    result: Array = np.equal.outer(labels, np.arange(K)).astype(dtype)
    return result


def are_classes(x: Array, sizes: Array) -> npt.NDArray[np.bool_]:
    """Which entries of x (N, D) are whole numbers from 0 and below ``sizes`` (D,)."""
    good: npt.NDArray[np.bool_] = (x >= 0) & (x < sizes)
    return good & (x == np.floor(x)) if x.dtype.kind == "f" else good


class Group(NamedTuple):
    """Variables of the same K, which can be computed together."""

    variables: Any  # which they are, (D_K,)
    columns: Any  # theirs among the outputs, (D_K K,)
    shape: tuple[int, ...]  # D_K and K


class Categorical(Conditional):
    """One of K classes a variable, by the softmax of K logits.

    Parameters
    ----------
    n_classes : int, or sequence of int of shape (D,)
        K, for all variables or for each. Classes are whole numbers 0 to K - 1.
    """

    name = "categorical"

    def __init__(self, n_classes: int | Iterable[int]) -> None:
        self.n_classes: int | tuple[int, ...]
        if isinstance(n_classes, Iterable) and not isinstance(n_classes, str):
            self.n_classes = tuple(check_size(K, "n_classes") for K in n_classes)
            if not self.n_classes:
                raise ValueError("n_classes must have a number for each variable, got none")
            largest = max(self.n_classes)
        else:
            self.n_classes = largest = check_size(n_classes, "n_classes")
        if largest > MAX_CLASSES:
            raise ValueError(f"n_classes must be at most {MAX_CLASSES}, got {largest}")
        self._largest = largest
        self._groups = self._make_groups()

    def config(self) -> dict[str, Any]:
        """The name and n_classes, a number or a list."""
        K = self.n_classes
        return {"name": self.name, "n_classes": K if isinstance(K, int) else list(K)}

    def __repr__(self) -> str:
        K = self.n_classes
        return f"Categorical({K if isinstance(K, int) else list(K)})"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned one that holds every class."""
        return np.min_scalar_type(self._largest - 1)

    def sizes(self, n_dims: int) -> npt.NDArray[np.intp]:
        """K of each variable, (D,)."""
        K = self.n_classes
        if not isinstance(K, int) and len(K) != n_dims:
            raise ValueError(
                f"n_classes must be one number, or one for each of the {n_dims} variables, got "
                f"{len(K)} numbers"
            )
        return np.full(n_dims, K, np.intp)

    def values(self, n_dims: int) -> list[Array]:
        """0 to K - 1."""
        return [np.arange(K, dtype=self.dtype) for K in self.sizes(n_dims)]

    def columns(self, n_dims: int) -> Columns:
        """K features and K outputs each."""
        offsets = np.concatenate([[0], np.cumsum(self.sizes(n_dims))]).astype(np.intp)
        return Columns(offsets, offsets)

    def of(self, i: int) -> Categorical:
        """That of variable i, with its own K."""
        K = self.n_classes
        return self if isinstance(K, int) else Categorical(K[operator.index(i)])

    def _wanted(self) -> str:
        K = self.n_classes
        which = f"numbers 0 to {K - 1}" if isinstance(K, int) else "numbers from 0"
        return f"classes (whole {which})"

    def _allowed(self, x: Array) -> npt.NDArray[np.bool_]:
        return are_classes(x, self.sizes(x.shape[1]))

    def _remedy(self, i: int) -> str:
        K = self.n_classes if isinstance(self.n_classes, int) else self.n_classes[i]
        return (
            f"that variable has n_classes = {K}, numbered 0 to {K - 1}: count from 0, or make "
            "n_classes larger, and select the observed rows where values are missing"
        )

    def _column_of(self, x: Array) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Row and column, among features or outputs, of the class that each x is: (N, D) both."""
        starts = self.columns(x.shape[1]).outputs[:-1]
        columns = starts + x.astype(np.intp)
        return np.broadcast_to(np.arange(len(x))[:, np.newaxis], x.shape), columns

    def features(self, x: Array) -> Array:
        """The one-hot x: (N, F), in the dtype of x."""
        result: Array = np.zeros((len(x), self.columns(x.shape[1]).n_inputs), x.dtype)
        result[self._column_of(x)] = 1
        return result

    def _make_groups(self) -> list[Group]:
        """One for each K that there is."""
        sizes = np.atleast_1d(self.n_classes)
        starts = np.cumsum(sizes) - sizes
        groups = []
        for K in np.unique(sizes):
            variables = np.flatnonzero(sizes == K)
            columns = starts[variables, np.newaxis] + np.arange(K)  # (D_K, K)
            groups.append(Group(variables, columns.ravel(), columns.shape))
        return groups

    def _by_size(self, n_dims: int) -> list[Group]:
        """The variables that are computed together; if all are, by views instead of copies."""
        self.sizes(n_dims)  # refuses another number of variables
        if len(self._groups) > 1:
            return self._groups
        return [Group(slice(None), slice(None), (n_dims, self._largest))]

    def log_p(self, outputs: Array, x: Array) -> Array:
        """log p(x_i | x_<i), (N, D), in nats."""
        result, x = np.empty(x.shape, outputs.dtype), x.astype(np.intp)
        for variables, columns, shape in self._by_size(x.shape[1]):
            logits = outputs[:, columns].reshape(-1, *shape)
            result[:, variables] = categorical_log_p(logits, x[:, variables])
        return result

    def d_outputs(self, outputs: Array, x: Array, scale: Scale) -> Array:
        """The gradient of ``-(scale * log_p(outputs, x)).sum()``: scale * (p - one-hot x)."""
        scale, x = per_entry(scale, x, outputs.dtype)[:, :, np.newaxis], x.astype(np.intp)
        result = np.empty_like(outputs)
        for variables, columns, shape in self._by_size(x.shape[1]):
            flat = outputs[:, columns]
            logits = flat.reshape(-1, *shape)
            d_logits = categorical_d_logits(logits, x[:, variables], scale[:, variables])
            result[:, columns] = d_logits.reshape(flat.shape)
        return result

    def decode(self, outputs: Array) -> dict[str, Array]:
        """``p`` (N, D, K): p[n, i, k] is p(x_i = k | x_<i); 0 where k is beyond a variable's K."""
        K = self.n_classes
        n_dims = outputs.shape[1] // K if isinstance(K, int) else len(K)
        p = np.zeros((len(outputs), n_dims, self._largest), outputs.dtype)
        for variables, columns, shape in self._by_size(n_dims):
            p[:, variables, : shape[1]] = softmax(outputs[:, columns].reshape(-1, *shape))
        return {"p": p}

    def sample(self, outputs: Array, uniforms: Array) -> Array:
        """The first class whose cumulated probability exceeds the uniform number."""
        p = self.decode(outputs.astype(np.float64))["p"]
        ends = p.cumsum(axis=2)  # p(x_i <= k), (N, D, K)
        # Rounding may keep the last end from being 1. Relative to it, no uniform number is beyond
        # it, and none falls to a class whose p is 0.
        passed = ends <= uniforms[:, :, np.newaxis] * ends[:, :, -1:]
        x: Array = passed.sum(axis=2).astype(self.dtype)
        return x

    def independent_outputs(self, x: Array) -> npt.NDArray[np.float64]:
        """The log of the frequencies, each count raised by one."""
        sizes = self.sizes(x.shape[1])
        counts = np.bincount(self._column_of(x)[1].ravel(), minlength=sizes.sum()) + 1
        frequencies: npt.NDArray[np.float64] = np.log(counts / np.repeat(len(x) + sizes, sizes))
        return frequencies
