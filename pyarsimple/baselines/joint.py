"""The full table: one probability for each of the 2^D rows there are, 2^D - 1 free parameters.

Any distribution over D bits is such a table, so it is the referee for small D, and the reason why
there are other models: it cannot be stored for D = 30, nor filled from data long before that.

As a product of conditionals it is a binary tree of prefixes. In position j there are 2^j prefixes,
and each has a logit of its own; they stand one position after the other:

    p(x_i = 1 | x_<i) = sigmoid(T[2^j - 1 + c]),     i in position j,
    c = the j bits before it as a binary number, the first one its highest digit

    symbol   shape        what
    x        (N, D)       data, 0 or 1
    T        (2^D - 1,)   logits
    c        (N, D)       the prefix of each bit

Cost: O(D) for a probability or a sample; O(2^D) for the gradient and to fit.
"""

from __future__ import annotations

import copy
import math
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_size
from pyarsimple.autoregressive import Array, row_blocks
from pyarsimple.baselines.tables import (
    MAX_ENTRIES,
    BoolArray,
    IntArray,
    TableModel,
    TableState,
    by_pattern,
    check_pseudocount,
    log_bits,
    row_weights,
)
from pyarsimple.orders import inverse, observed_first

#: The largest D of which the table has at most MAX_ENTRIES entries.
MAX_DIMS = MAX_ENTRIES.bit_length() - 1


def prefixes(bits: BoolArray, order: Array) -> IntArray:
    """The entry of each bit's prefix in the table, (N, D)."""
    entries = np.empty(bits.shape, np.int64)
    entry = np.zeros(len(bits), np.int64)  # the empty prefix
    for i in order:
        entries[:, i] = entry
        entry = 2 * entry + 1 + bits[:, i]  # its children, as in a heap
    return entries


class JointState(TableState):
    """Carries the entry of the prefix."""

    def __init__(self, n: int, T: Array, order: Array) -> None:
        super().__init__(n, T, order)
        self.entry = np.zeros(n, np.int64)

    def _entries(self, i: int) -> IntArray:
        return self.entry

    def _advance(self, i: int, x_i: Array) -> None:
        self.entry = 2 * self.entry + 1 + (x_i[:, 0] != 0)


class JointTable(TableModel):
    """A probability for every row of bits. See the module's docstring for the equations.

    Parameters
    ----------
    n_dims : int
        D, the number of variables, at most 24.
    order, dtype, rng
        As in `AutoregressiveModel`.

    Attributes
    ----------
    params : dict
        ``T`` (2^D - 1,), the logits by prefix.

    Raises
    ------
    ValueError
        If n_dims is above 24; the message says how many parameters the table would need.
    """

    name = "joint-table"

    def __init__(
        self,
        n_dims: int,
        *,
        order: npt.ArrayLike | None = None,
        dtype: Any = "float64",
        rng: Any = None,
    ) -> None:
        self.param_shapes(n_dims=check_size(n_dims, "n_dims"))
        super().__init__(n_dims, order=order, dtype=dtype, rng=rng)

    @staticmethod
    def param_shapes(*, n_dims: int, **config: Any) -> dict[str, tuple[int, ...]]:
        """T, if it is not too large."""
        if n_dims > MAX_DIMS:
            exact = f" = {2**n_dims - 1:,}" if n_dims <= 64 else ""
            digits = math.floor(n_dims * math.log10(2)) + 1
            about = "" if exact else f", a number of {digits} digits,"
            raise ValueError(
                f"n_dims must be at most {MAX_DIMS} for a JointTable, got {n_dims}: the table "
                f"would need 2^{n_dims} - 1{exact}{about} parameters; a ChowLiuTree needs "
                f"{2 * n_dims - 1:,}"
            )
        return {"T": (2**n_dims - 1,)}

    def fit(
        self,
        x: npt.ArrayLike,
        *,
        pseudocount: float = 1.0,
        weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Set the probability of each row to its share in the data, in closed form.

            p(x) = (count(x) + pseudocount) / (N + 2^D pseudocount)

        Parameters
        ----------
        x : array_like of bits, shape (N, D)
        pseudocount : float
            Added to the count of each of the 2^D rows. Where these are many more than N, as they
            soon are, nearly all of the probability goes to rows that were never seen: then choose
            it by validation, far below 1.
        weight : array_like, shape (N,), optional
            How often each row counts: one of weight 2 is as good as the row twice.
        """
        x = self.conditional.check(x, self.n_dims)
        pseudocount = check_pseudocount(pseudocount)
        self._check_params()
        T, w, n_rows = self.params["T"], row_weights(weight, len(x)), 2**self.n_dims
        counts = np.full(n_rows, pseudocount)
        for rows in row_blocks(len(x), self._bytes_per_row()):
            bits = x[rows] != 0
            last = self.order[-1]
            leaves = 2 * self._entries(bits)[:, last] + 1 + bits[:, last]
            counts += np.bincount(leaves - (n_rows - 1), w[rows], minlength=n_rows)
        while len(counts) > 1:  # from the last position to the first
            zeros, ones = counts.reshape(-1, 2).T  # after each prefix
            T[len(ones) - 1 : 2 * len(ones) - 1] = np.log(ones) - np.log(zeros)
            counts = zeros + ones
        return self

    def _in_order(self, order: Array) -> JointTable:
        """The same distribution as a product in another order, in float64."""
        D, log_p = self.n_dims, np.zeros(1)
        for j in range(D):  # from the probabilities of prefixes to those of rows
            both = log_p + log_bits(self.params["T"][2**j - 1 : 2 ** (j + 1) - 1])
            log_p = both.T.ravel()
        log_p = log_p.reshape([2] * D).transpose(inverse(self.order)[order]).ravel()
        T = np.empty(len(log_p) - 1)
        while len(log_p) > 1:  # and back, each prefix the sum over what follows it
            zeros, ones = log_p.reshape(-1, 2).T
            T[len(ones) - 1 : 2 * len(ones) - 1] = ones - zeros
            log_p = np.logaddexp(zeros, ones)
        other = copy.copy(self)
        other.order, other.dtype, other.params = order, T.dtype, {"T": T}
        return other

    def _closed_form(
        self, known: Array, observed: BoolArray, rng: np.random.Generator | None
    ) -> tuple[Array, Array]:
        """In an order that begins with what was observed: a table for each pattern."""
        x, log_p = known.copy(), np.empty(len(known))
        for pattern, rows in by_pattern(observed):
            table = self._in_order(observed_first(pattern))
            log_p[rows] = table.log_conditionals(known[rows])[:, pattern].sum(axis=1)
            if rng is not None:
                uniforms = rng.random((len(rows), self.n_dims))
                x[rows] = table._fill_in(known[rows], int(pattern.sum()), uniforms, None)
        return log_p, x

    def _entries(self, bits: BoolArray) -> IntArray:
        return prefixes(bits, self.order)

    def _start(self, n: int, context: Array | None) -> JointState:
        return JointState(n, self.params["T"], self.order)
