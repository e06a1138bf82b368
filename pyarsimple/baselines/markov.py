"""The Markov chain of order k: each bit depends on the k bits before it, by a table of its own.

    p(x_i = 1 | x_<i) = sigmoid(T[i, h]),     h = x_{i-1} + 2 x_{i-2} + ... + 2^{k-1} x_{i-k}

where i - 1 is the position before, in the model's order; bits from before the first one count as 0.
For k = 1 that is the lecture's chain, with 2D - 1 parameters: one for the first bit, two for each
other. k = 0 makes independent bits, and k = D - 1 any distribution at all.

    symbol   shape      what
    x        (N, D)     data, 0 or 1
    T        (D, 2^k)   logits, one row a variable; the first k positions have fewer histories than
                        2^k, and the rest of their rows is never read
    h        (N, D)     the history of each bit as a whole number, the latest bit its lowest digit

Cost: O(D k) for a probability or its gradient, O(D) for a sample.
"""

from __future__ import annotations

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
    check_pseudocount,
    draw_between,
    log_bits,
    row_weights,
)
from pyarsimple.orders import inverse


def histories(bits: BoolArray, order: Array, k: int) -> IntArray:
    """The k bits before each, as a whole number whose lowest digit is the latest bit; (N, D)."""
    before = bits[:, order].astype(np.int64)
    h = np.zeros_like(before)  # by position
    for lag in range(1, k + 1):
        h[:, lag:] += before[:, :-lag] << (lag - 1)
    by_variable: IntArray = h[:, inverse(order)]
    return by_variable


def messages_back(known: Array, observed: BoolArray, T: Array, order: Array) -> Array:
    """What was observed from each position on, given the history there: log p, (D+1, N, 2^k).

    From the last position to the first; a missing bit is summed out, which takes two terms.
    """
    D, width = T.shape
    log_p, after = log_bits(T), np.arange(2 * width) % width  # of h and a 0, or a 1: 2h, 2h + 1
    messages = np.zeros((D + 1, len(known), width))
    for j in range(D - 1, -1, -1):
        i = order[j]
        both = log_p[:, i] + messages[j + 1][:, after].reshape(-1, width, 2).swapaxes(1, 2)
        value = known[:, i].astype(np.intp)
        seen = both[np.arange(len(known)), value]
        messages[j] = np.where(observed[:, [i]], seen, np.logaddexp(both[:, 0], both[:, 1]))
    return messages


class MarkovState(TableState):
    """Carries the last k bits as a whole number."""

    def __init__(self, n: int, T: Array, order: Array) -> None:
        super().__init__(n, T, order)
        self.width = T.shape[1]
        self.h = np.zeros(n, np.int64)

    def _entries(self, i: int) -> IntArray:
        entries: IntArray = i * self.width + self.h
        return entries

    def _evidence(self, i: int, messages: Array) -> Array:
        rows, after = np.arange(self._n), 2 * self.h % self.width
        log_p = messages[self.position + 1]
        evidence: Array = log_p[rows, (after + 1) % self.width] - log_p[rows, after]
        return evidence

    def _advance(self, i: int, x_i: Array) -> None:
        self.h = (2 * self.h + (x_i[:, 0] != 0)) % self.width  # the oldest of the bits drops out


class MarkovChain(TableModel):
    """Markov chain over the variables in their order. See the module's docstring for the equations.

    Parameters
    ----------
    n_dims : int
        D, the number of variables.
    k : int
        How many bits before it a bit depends on, at least 0. More than D - 1 are as D - 1.
    order, dtype, rng
        As in `AutoregressiveModel`.

    Attributes
    ----------
    params : dict
        ``T`` (D, 2^k), the logits.

    Raises
    ------
    ValueError
        If the table would have more than 2^24 entries.
    """

    name = "markov-chain"

    def __init__(
        self,
        n_dims: int,
        k: int = 1,
        *,
        order: npt.ArrayLike | None = None,
        dtype: Any = "float64",
        rng: Any = None,
    ) -> None:
        self.k = check_size(k, "k", minimum=0)
        self._reach = min(self.k, check_size(n_dims, "n_dims") - 1)
        self.param_shapes(n_dims=n_dims, k=self.k)
        super().__init__(n_dims, order=order, dtype=dtype, rng=rng)

    @staticmethod
    def param_shapes(*, n_dims: int, k: int, **config: Any) -> dict[str, tuple[int, ...]]:
        """T, if it is not too large."""
        reach = min(k, n_dims - 1)
        if reach >= 64 or n_dims * 2**reach > MAX_ENTRIES:
            raise ValueError(
                f"k must be small enough for a table of {MAX_ENTRIES:,} entries, got k={k}: "
                f"{n_dims} variables, each with 2^{reach} histories; a neural conditional such as "
                "NADE's looks as far back with far fewer parameters"
            )
        return {"T": (n_dims, 2**reach)}

    def config(self) -> dict[str, Any]:
        """The settings from which the model can be made again, as the constructor takes them."""
        return super().config() | {"k": self.k}

    def masks(self) -> dict[str, npt.NDArray[np.bool_]]:
        """T is free where its history exists: 2^j of them in position j, up to 2^k."""
        position = np.minimum(inverse(self.order), self._reach)
        return {"T": np.arange(2**self._reach) < 2 ** position[:, np.newaxis]}

    def dependencies(self) -> npt.NDArray[np.bool_]:
        """Each variable depends on the k before it."""
        position = inverse(self.order)
        distance = position[:, np.newaxis] - position
        return (distance > 0) & (distance <= self._reach)

    def fit(
        self,
        x: npt.ArrayLike,
        *,
        pseudocount: float = 1.0,
        weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Set each conditional to its share in the data, in closed form.

            p(x_i = 1 | h) = (count(x_i = 1, h) + pseudocount) / (count(h) + 2 pseudocount)

        Parameters
        ----------
        x : array_like of bits, shape (N, D)
        pseudocount : float
            Added to the count of either value after each history: a history that never occurs
            leaves the bit a fair coin.
        weight : array_like, shape (N,), optional
            How often each row counts: one of weight 2 is as good as the row twice.
        """
        x = self.conditional.check(x, self.n_dims)
        pseudocount = check_pseudocount(pseudocount)
        self._check_params()
        T, w = self.params["T"], row_weights(weight, len(x))
        counts = np.zeros((2, T.size))  # of zeros and ones
        for rows in row_blocks(len(x), self._bytes_per_row()):
            bits = x[rows] != 0
            entries = self._entries(bits)
            often = np.broadcast_to(w[rows, np.newaxis], bits.shape)
            for value in (0, 1):
                here = bits == value
                counts[value] += np.bincount(entries[here], often[here], minlength=T.size)
        zeros, ones = np.log(counts + pseudocount)
        T[...] = (ones - zeros).reshape(T.shape)  # 0 where nothing is ever read
        return self

    def _closed_form(
        self, known: Array, observed: BoolArray, rng: np.random.Generator | None
    ) -> tuple[Array, Array]:
        """By messages from the last position to the first."""
        T, x, log_p = self.params["T"], known.copy(), np.empty(len(known))
        for rows in row_blocks(len(known), 4 * 8 * (self.n_dims + 1) * T.shape[1]):
            messages = messages_back(known[rows], observed[rows], T, self.order)
            log_p[rows] = messages[0, :, 0]
            if rng is not None:
                state = self._start(rows.stop - rows.start, None)
                x[rows] = draw_between(state, known[rows], observed[rows], messages, rng)
        return log_p, x

    def _entries(self, bits: BoolArray) -> IntArray:
        entries = histories(bits, self.order, self._reach)
        entries += np.arange(self.n_dims) * 2**self._reach  # where each row of T begins
        return entries

    def _start(self, n: int, context: Array | None) -> MarkovState:
        return MarkovState(n, self.params["T"], self.order)
