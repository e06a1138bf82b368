"""What the tables share: a conditional is looked up under what came before.

    logit of p(x_i = 1 | x_<i) = T[entry],     entry a whole number made of x_<i

A chain, a tree and the full table differ only in how they make the number. Looking up has an exact
reverse, adding up: the gradient of an entry is the sum over all places where it was read.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_weight
from pyarsimple.autoregressive import (
    Array,
    AutoregressiveModel,
    Params,
    State,
    row_blocks,
)
from pyarsimple.conditionals import log_sigmoid, sigmoid

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

#: A table may have this many entries at most: 128 MB of float64.
MAX_ENTRIES = 2**24


def check_pseudocount(pseudocount: Any) -> float:
    """Return ``pseudocount`` as a float above 0."""
    try:
        good = not isinstance(pseudocount, bool) and 0 < pseudocount < np.inf
    except TypeError:
        good = False
    if not good:
        raise ValueError(f"pseudocount must be above 0, and finite, got {pseudocount!r}")
    return float(pseudocount)


def row_weights(weight: npt.ArrayLike | None, n: int) -> Array:
    """How often each of n rows counts, (N,) in float64: once, if nothing else is said."""
    return np.ones(n) if weight is None else check_weight(weight, n)


def sum_blocks(x: Array, weight: Array) -> Array:
    """The weighted sum of the rows, (D,) in float64, a block of them at a time."""
    total = np.zeros(x.shape[1])
    for rows in row_blocks(len(x), 2 * 8 * x.shape[1]):
        total += weight[rows] @ x[rows].astype(np.float64)
    return total


def by_pattern(observed: BoolArray) -> Iterator[tuple[BoolArray, Array]]:
    """Each pattern in the rows of a mask (N, D), and the rows that have it."""
    patterns, of = np.unique(observed, axis=0, return_inverse=True)
    for k, pattern in enumerate(patterns):
        yield pattern, np.flatnonzero(of.ravel() == k)


def look_up(T: Array, entries: IntArray) -> Array:
    """The logits T[entry] of all conditionals."""
    logits: Array = T.ravel()[entries]  # (N, D)
    return logits


def look_up_backward(d_logits: Array, T: Array, entries: IntArray) -> Array:
    """Gradient dT from d_logits (N, D): what was read from an entry is added to it."""
    dT = np.bincount(entries.ravel(), weights=d_logits.ravel(), minlength=T.size)
    return dT.reshape(T.shape).astype(T.dtype)


class TableState(State):
    """Carries what the next entry is made of; the models say what that is."""

    def __init__(self, n: int, T: Array, order: Array) -> None:
        super().__init__(order, n, T.dtype)
        self.T = T.ravel()

    def _outputs(self, i: int) -> Array:
        logits: Array = self.T[self._entries(i)]
        return logits[:, np.newaxis]

    @abstractmethod
    def _entries(self, i: int) -> IntArray:
        """Where the logit of variable i stands in T, for each row; (N,)."""

    def _evidence(self, i: int, messages: Array) -> Array:
        """How much more likely what was observed later makes a 1 than a 0, (N,), in nats."""
        raise NotImplementedError


def log_bits(T: Array) -> Array:
    """log p of a 0 and of a 1, (2, ...), in float64, from logits."""
    z = T.astype(np.float64)
    return np.array([log_sigmoid(-z), log_sigmoid(z)])


def draw_between(
    state: TableState, known: Array, observed: BoolArray, messages: Array, rng: np.random.Generator
) -> Array:
    """Complete rows (N, D) along the order, in view of what was observed later."""
    x = known.copy()
    for i in state.order:
        hidden = ~observed[:, i]
        if hidden.any():
            logit = state.outputs() + state._evidence(i, messages)
            x[hidden, i] = (rng.random(len(x)) < sigmoid(logit))[hidden]
        state.advance(x[:, i])
    return x


class TableModel(AutoregressiveModel):
    """A model whose logits are the entries of one table, ``params["T"]``."""

    @abstractmethod
    def _entries(self, bits: BoolArray) -> IntArray:
        """Where each logit of bits (N, D) stands in the table, counted along its rows; (N, D)."""

    def _initial_params(self, rng: np.random.Generator) -> Params:
        T = rng.normal(0, 0.1, self.param_shapes(**self.config())["T"])
        if "T" in self.masks():
            T[~self.masks()["T"]] = 0
        return {"T": T.astype(self.dtype)}

    def _forward(self, x: Array, draw: Any = None) -> tuple[Array, Any]:
        entries = self._entries(x != 0)
        return look_up(self.params["T"], entries), entries

    def _backward(self, d_outputs: Array, cache: Any) -> Params:
        return {"T": look_up_backward(d_outputs, self.params["T"], cache)}

    def _bytes_per_row(self) -> int:
        return super()._bytes_per_row() + 3 * 8 * self.n_dims
