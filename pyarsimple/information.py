"""Mutual information: how much each variable tells of each other, estimated from data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_weight

Array = npt.NDArray[Any]

#: Of the variance of a real variable, what others leave unexplained at least.
SMALLEST = 1e-12


def mutual_information(
    x: npt.ArrayLike,
    *,
    discrete: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
) -> Array:
    """How much each variable tells of each other, in nats: (D, D), from the rows of x.

        classes a, b    sum_ab p(a, b) log(p(a, b) / (p(a) p(b))),    p the shares of the rows
        reals           -log(1 - r^2) / 2,    r their correlation: exact for jointly Gaussian ones
        a class, a real the same, with r^2 the share of the variance that lies between the classes

    Parameters
    ----------
    x : array_like, shape (N, D), N >= 1
        Numbers, all finite. Read a block of rows at a time.
    discrete : bool, or array_like of bool, shape (D,), optional
        Which variables are classes (bits too). None: all, unless x is of a floating-point type and
        has other numbers than 0 and 1, when none is.
    weight : array_like, shape (N,), optional
        How often each row counts: one of weight 2 is as good as the row twice.

    Returns
    -------
    ndarray of float64, shape (D, D)
        Symmetric; 0 on the diagonal, where it would be the entropy. Of a real variable that others
        determine it is cut at 14 nats.

    Notes
    -----
    The first is too large by about (K_a - 1) (K_b - 1) / 2N for independent classes: chance looks
    like a relation in few rows.

    References
    ----------
    Cover and Thomas (2006), "Elements of Information Theory", chapters 2 and 8.
    """
    rows, is_class = _check_data(x, discrete)
    w = None
    if weight is not None:
        w = check_weight(weight, len(rows))
        rows, w = rows[w > 0], w[w > 0]
    D = rows.shape[1]
    values = [np.unique(rows[:, i]) for i in range(D)]
    varies = np.array([len(v) > 1 for v in values])
    classes, reals = np.flatnonzero(varies & is_class), np.flatnonzero(varies & ~is_class)
    among = np.concatenate([classes, reals])
    information = np.zeros((D, D))
    if among.size:
        sums, begins = _pair_sums(rows, [(i, values[i]) for i in classes.tolist()], reals, w)
        N = len(rows) if w is None else w.sum()
        information[np.ix_(among, among)] = _information(sums, begins, len(reals), N)
        np.fill_diagonal(information, 0)
    return information


def _check_data(x: Any, discrete: npt.ArrayLike | None) -> tuple[Array, Array]:
    """Rows (N, D) of numbers, and which of the variables are classes."""
    x = np.asanyarray(x)
    if x.ndim != 2 or x.dtype.kind not in "biuf" or x.size == 0:
        raise ValueError(
            "x must be an array of numbers of shape (N, D), with at least one row, got dtype "
            f"{x.dtype} and shape {x.shape}"
        )
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise ValueError("x must be finite: NaN and infinity tell nothing of other variables")
    if discrete is None:
        discrete = x.dtype.kind != "f" or bool(((x == 0) | (x == 1)).all())
    chosen = np.asarray(discrete)
    if chosen.dtype != np.bool_ or chosen.shape not in {(), x.shape[1:]}:
        raise ValueError(
            f"discrete must be True, False or a boolean mask of shape ({x.shape[1]},), got "
            f"{discrete!r:.100}"
        )
    return x, np.broadcast_to(chosen, x.shape[1:])


def _pair_sums(
    x: Array, classes: list[tuple[int, Array]], reals: Array, weight: Array | None
) -> tuple[Array, Array]:
    """Sums over the rows of the products of every two columns, and where each variable begins.

    There is a column for each value of the variables that are classes, 1 in the rows that have it,
    so that the sums are counts; and for each real variable its distance to the mean.
    """
    # Of a variable's K indicators the first is 1 less the others: only those are multiplied.
    others = [(i, value) for i, values in classes for value in values[1:]]
    source = np.array([i for i, _ in others], np.intp)
    level = np.array([value for _, value in others])
    mean = np.array([np.average(x[:, i].astype(np.float64), weights=weight) for i in reals])
    width = 1 + len(others) + len(reals)
    sums = np.zeros((width, width))
    step = max(1, 2**24 // width)
    for start in range(0, len(x), step):
        block = x[start : start + step]
        one = np.ones((len(block), 1))
        z = np.concatenate([one, block[:, source] == level, block[:, reals] - mean], axis=1)
        sums += z.T @ (z if weight is None else z * weight[start : start + step, np.newaxis])
    sizes = [len(values) for _, values in classes]
    begins = np.cumsum([0, *sizes])[:-1].astype(np.intp)
    expand = np.zeros((sum(sizes) + len(reals), width))
    first = np.isin(np.arange(len(expand)), begins)
    expand[~first, 1:] = np.eye(width - 1)
    expand[first, 0] = 1
    expand[np.repeat(begins, [n - 1 for n in sizes]), np.arange(1, len(others) + 1)] = -1
    return expand @ sums @ expand.T, begins


def _information(sums: Array, begins: Array, n_reals: int, N: float) -> Array:
    """Mutual informations, those of the classes' variables first, from what `_pair_sums` gives."""
    from scipy.special import entr  # -p log p, and 0 where p is 0

    n = len(begins)  # variables that are classes
    n_values = len(sums) - n_reals
    result = np.zeros((n + n_reals, n + n_reals))
    spread = np.maximum(np.diagonal(sums)[n_values:], np.finfo(np.float64).tiny)
    r2 = sums[n_values:, n_values:] ** 2 / np.outer(spread, spread)
    if n:
        joint = entr(sums[:n_values, :n_values] / N)
        joint = np.add.reduceat(np.add.reduceat(joint, begins, axis=0), begins, axis=1)
        alone = np.diagonal(joint)
        result[:n, :n] = np.maximum(alone[:, np.newaxis] + alone - joint, 0)
        between = sums[:n_values, n_values:] ** 2 / np.diagonal(sums)[:n_values, np.newaxis]
        between = np.add.reduceat(between, begins, axis=0) / spread
        result[:n, n:] = -np.log(np.maximum(1 - between, SMALLEST)) / 2
        result[n:, :n] = result[:n, n:].T
    result[n:, n:] = -np.log(np.maximum(1 - r2, SMALLEST)) / 2
    return (result + result.T) / 2  # rounding does not know that it is symmetric
