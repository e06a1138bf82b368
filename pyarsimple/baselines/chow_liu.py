"""The Chow-Liu tree: each bit depends on one other, and the best such tree is found exactly.

    p(x) = p(x_root) prod_i p(x_i | x_parent(i)),  p(x_i = 1 | x_parent) = sigmoid(T[i, x_parent])

Fitted to data, the mean log-likelihood of a tree is

    sum_i -H(x_i)  +  sum over edges (i, j) of I(x_i; x_j)

with entropies H and mutual informations I of the (smoothed) counts: the first sum is the same for
all trees, and the second is the weight of the tree. So the best of all D^(D-2) trees is the maximum
spanning tree of the mutual informations, and no search is needed. Any of its nodes may be the root:
the probabilities are the same.

    symbol   shape    what
    x        (N, D)   data, 0 or 1
    parents  (D,)     the parent of each variable, -1 for a root; it comes before the variable
    T        (D, 2)   logits of each variable, by its parent's value; a root has T[i, 0] alone
    counts   (2, 2, D, D)   counts[a, b, i, j]: the rows in which x_i = a and x_j = b

Cost: O(D) for a probability, its gradient, or a sample; O(N D^2 + D^2 log D) to fit.

Reference: Chow and Liu (1968), "Approximating discrete probability distributions with dependence
trees".
"""

from __future__ import annotations

import heapq
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_size
from pyarsimple.autoregressive import Array, row_blocks
from pyarsimple.baselines.tables import (
    BoolArray,
    IntArray,
    TableModel,
    TableState,
    check_pseudocount,
    draw_between,
    log_bits,
    row_weights,
)
from pyarsimple.orders import check_order, inverse, natural, precedes

# From counts to a tree.


def pair_counts(x: Array, weight: Array) -> Array:
    """How often x_i = a and x_j = b, for every pair: (2, 2, D, D)."""
    D = x.shape[1]
    both, ones = np.zeros((D, D)), np.zeros(D)
    for rows in row_blocks(len(x), 2 * 8 * D):
        block, w = x[rows].astype(np.float64), weight[rows, np.newaxis]
        both += block.T @ (w * block)  # without weights whole numbers: exact
        ones += (w * block).sum(axis=0)
    only_i = ones[:, np.newaxis] - both
    neither = weight.sum() - both - only_i - only_i.T
    counts: Array = np.array([[neither, only_i.T], [only_i, both]])
    return counts.clip(0)  # not below by rounding


def mutual_information(counts: Array) -> Array:
    """I(x_i; x_j) in nats, (D, D), from counts (2, 2, D, D) none of which is 0."""
    p = counts / counts.sum(axis=(0, 1))
    independent = p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True)
    information: Array = (p * np.log(p / independent)).sum(axis=(0, 1))
    return information


def spanning_tree(weights: Array) -> IntArray:
    """The D - 1 edges (i, j) of the tree over all variables whose weights have the largest sum."""
    i, j = np.triu_indices(len(weights), 1)
    # A spanning tree depends on the order of the weights alone; ranks are never 0, which SciPy
    # would take for a missing edge, and ties go to the first pair everywhere.
    best_first = np.argsort(-weights[i, j], kind="stable")
    rank = np.empty(len(i))
    rank[best_first] = np.arange(1, len(i) + 1)
    from scipy.sparse import csr_array  # slow to import, and only needed here
    from scipy.sparse.csgraph import minimum_spanning_tree

    tree = minimum_spanning_tree(csr_array((rank, (i, j)), shape=weights.shape)).tocoo()
    return np.stack([tree.row, tree.col], axis=1).astype(np.int64)


def direct(edges: IntArray, order: Array, roots: Array) -> tuple[IntArray, IntArray]:
    """Point edges (i, j) away from the roots: the parents (D,), and an order that has them first.

    Of the variables whose parent is there already, the next one is that which comes first in
    ``order``. What no root leads to is not in the order that is returned.
    """
    neighbours: list[list[int]] = [[] for _ in order]
    for i, j in edges.tolist():
        neighbours[i].append(j)
        neighbours[j].append(i)
    position = inverse(order)
    parents = np.full(len(order), -1)
    found: list[int] = []
    waiting = [(int(position[i]), i, -1) for i in roots.tolist()]
    heapq.heapify(waiting)
    while waiting:
        _, i, parents[i] = heapq.heappop(waiting)
        found.append(i)
        for j in neighbours[i]:
            if j != parents[i]:
                heapq.heappush(waiting, (int(position[j]), j, i))
    return parents, np.array(found, np.intp)


def check_parents(parents: npt.ArrayLike, n_dims: int) -> tuple[IntArray, IntArray]:
    """Return ``parents`` as an array of its own, and the first order that has them first.

    Raises
    ------
    ValueError
        If they are not n_dims whole numbers from -1 to n_dims - 1, or go round in a circle.
    """
    wanted = f"parents must be {n_dims} whole numbers from -1 (a root) to {n_dims - 1}"
    try:
        array = np.asarray(parents)
    except ValueError as error:  # lists of unequal length
        raise ValueError(f"{wanted}: {error}") from None
    if array.shape != (n_dims,) or array.dtype.kind not in "iu":
        raise ValueError(f"{wanted}, got an array of dtype {array.dtype}, shape {array.shape}")
    outside = (array < -1) | (array >= n_dims)
    if outside.any():
        raise ValueError(f"{wanted}, got {array[outside][0]}")
    array = array.astype(np.int64)
    children = np.flatnonzero(array >= 0)
    edges = np.stack([children, array[children]], axis=1)
    _, order = direct(edges, natural(n_dims), np.flatnonzero(array < 0))
    if len(order) < n_dims:
        lost = sorted({*range(n_dims)} - {*order.tolist()})
        raise ValueError(f"parents must lead to a root, but from variable {lost[0]} they never do")
    return array, order


# The two views.


def entries(bits: BoolArray, parents: IntArray) -> IntArray:
    """Where each logit stands in T: row i, column x_parent, or 0 for a root; (N, D)."""
    return 2 * np.arange(len(parents)) + (bits[:, parents] & (parents >= 0))


def messages_up(
    known: Array, observed: BoolArray, T: Array, order: Array, parents: IntArray
) -> tuple[Array, Array]:
    """What was observed in the branch below each variable, given its value: log p, (D, N, 2).

    Also log p of all that was observed, (N,). From the leaves to the roots: each variable sums over
    its own value, unless that was observed, and tells its parent.
    """
    n, log_T = len(known), log_bits(T)  # (2, D, 2): of a value, given the parent's
    messages, log_p = np.zeros((len(order), n, 2)), np.zeros(n)
    for i in order[::-1]:
        both = log_T[:, i] + messages[i][:, :, np.newaxis]  # (N, 2, 2)
        seen = both[np.arange(n), known[:, i].astype(np.intp)]
        told = np.where(observed[:, [i]], seen, np.logaddexp(both[:, 0], both[:, 1]))
        if parents[i] < 0:
            log_p += told[:, 0]
        else:
            messages[parents[i]] += told
    return messages, log_p


class TreeState(TableState):
    """Carries the known bits."""

    def __init__(self, n: int, T: Array, order: Array, parents: IntArray) -> None:
        super().__init__(n, T, order)
        self.parents = parents
        self.bits = np.zeros((n, len(order)), np.int64)

    def _entries(self, i: int) -> IntArray:
        parent = self.parents[i]
        return 2 * i + (self.bits[:, parent] if parent >= 0 else np.zeros(self._n, np.int64))

    def _evidence(self, i: int, messages: Array) -> Array:
        evidence: Array = messages[i, :, 1] - messages[i, :, 0]
        return evidence

    def _advance(self, i: int, x_i: Array) -> None:
        self.bits[:, i] = x_i[:, 0] != 0


class ChowLiuTree(TableModel):
    """The best tree of pairwise dependences. See the module's docstring for the equations.

    Parameters
    ----------
    n_dims : int
        D, the number of variables.
    parents : array_like of int, shape (D,), optional
        The parent of each variable, -1 for a root. None is a chain along the order, until `fit`
        finds the tree.
    order : array_like of int, shape (D,), optional
        Has every variable after its parent; None is the first such order. `fit` replaces it by the
        order, as near to it as can be, in which the tree that it found can be walked.
    dtype, rng
        As in `AutoregressiveModel`.

    Attributes
    ----------
    params : dict
        ``T`` (D, 2), the logits.
    parents : ndarray of int, shape (D,)
        Read-only.
    """

    name = "chow-liu"

    def __init__(
        self,
        n_dims: int,
        parents: npt.ArrayLike | None = None,
        *,
        order: npt.ArrayLike | None = None,
        dtype: Any = "float64",
        rng: Any = None,
    ) -> None:
        n_dims = check_size(n_dims, "n_dims")
        if parents is None:
            order = check_order(order, n_dims)
            parents = np.full(n_dims, -1)
            parents[order[1:]] = order[:-1]
        self.parents, first_order = check_parents(parents, n_dims)
        self.parents.flags.writeable = False
        order = check_order(first_order if order is None else order, n_dims)
        late = np.flatnonzero((self.parents >= 0) & ~precedes(order)[range(n_dims), self.parents])
        if late.size:
            raise ValueError(
                f"order must have every variable after its parent, but {self.parents[late[0]]}, "
                f"the parent of {late[0]}, comes later; without order= one is chosen that fits"
            )
        super().__init__(n_dims, order=order, dtype=dtype, rng=rng)

    @staticmethod
    def param_shapes(*, n_dims: int, **config: Any) -> dict[str, tuple[int, ...]]:
        """Only T."""
        return {"T": (n_dims, 2)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.parents.flags.writeable = False

    def config(self) -> dict[str, Any]:
        """The settings from which the model can be made again, as the constructor takes them."""
        return super().config() | {"parents": self.parents.tolist()}

    def masks(self) -> dict[str, npt.NDArray[np.bool_]]:
        """T is free but for the second column of a root, which has no parent to be 1."""
        free = np.ones((self.n_dims, 2), np.bool_)
        free[self.parents < 0, 1] = False
        return {"T": free}

    def dependencies(self) -> npt.NDArray[np.bool_]:
        """Each variable depends on its parent."""
        table: BoolArray = self.parents[:, np.newaxis] == np.arange(self.n_dims)
        return table

    def fit(
        self,
        x: npt.ArrayLike,
        *,
        pseudocount: float = 1.0,
        weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Find the best tree and its conditionals, in closed form.

            p(x_i = a, x_j = b) = (count(x_i = a, x_j = b) + pseudocount) / (N + 4 pseudocount)

        for every pair, and from these the mutual informations, the tree, and the conditionals along
        it. ``parents``, ``order`` and the values of ``params`` are replaced; the first variable of
        the order stays the first.

        Parameters
        ----------
        x : array_like of bits, shape (N, D)
        pseudocount : float
            Added to the count of each of the four cells of a pair.
        weight : array_like, shape (N,), optional
            How often each row counts: one of weight 2 is as good as the row twice.
        """
        x = self.conditional.check(x, self.n_dims)
        counts = pair_counts(x, row_weights(weight, len(x))) + check_pseudocount(pseudocount)
        self._check_params()
        edges = spanning_tree(mutual_information(counts))
        self.parents, self.order = direct(edges, self.order, self.order[:1])
        self.parents.flags.writeable = self.order.flags.writeable = False
        log_counts = np.log(counts)
        child = np.flatnonzero(self.parents >= 0)
        zeros, ones = log_counts[:, :, child, self.parents[child]]  # (2, D - 1) each
        T = self.params["T"]
        T[child] = (ones - zeros).T
        # Summed over any other variable: the share of a root does not depend on which one.
        root = self.order[0]
        zeros, ones = counts.sum(axis=1)[:, root, root]
        T[root] = [np.log(ones) - np.log(zeros), 0]
        return self

    def _closed_form(
        self, known: Array, observed: BoolArray, rng: np.random.Generator | None
    ) -> tuple[Array, Array]:
        """By messages from the leaves to the roots."""
        T, x, log_p = self.params["T"], known.copy(), np.empty(len(known))
        for rows in row_blocks(len(known), 4 * 8 * T.size):
            messages, log_p[rows] = messages_up(
                known[rows], observed[rows], T, self.order, self.parents
            )
            if rng is not None:
                state = self._start(rows.stop - rows.start, None)
                x[rows] = draw_between(state, known[rows], observed[rows], messages, rng)
        return log_p, x

    def _entries(self, bits: BoolArray) -> IntArray:
        return entries(bits, self.parents)

    def _start(self, n: int, context: Array | None) -> TreeState:
        return TreeState(n, self.params["T"], self.order, self.parents)
