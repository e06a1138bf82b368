"""The mixture of Bernoullis: K kinds of rows, and within a kind the bits are independent.

    p(x) = sum_k pi_k prod_i mu_ki^x_i (1 - mu_ki)^(1 - x_i),     mu = sigmoid(M)

It is no table of conditionals, but they follow exactly. What came before says of which kind the row
is, and that says what comes next:

    a_1 = log pi,   a_{i+1} = a_i + log p(x_i | k)         joint log p(k, x_<i), a number a kind
    p(x_i = 1 | x_<i) = sum_k softmax(a_i)_k mu_ki         the posterior of the kinds at work

A row's a is carried from one variable to the next, so the views cost the same. The logit is that of
a ratio of two sums, and is computed without forming either:

    logit_i = log sum_k exp(v_ik + M_ki),     v_i = log_softmax(a_i + log(1 - mu_i))

where v is the log of the posterior had x_i been 0.

    symbol   shape      what
    x        (N, D)     data, 0 or 1
    w        (K-1,)     log pi_k - log pi_0 of the kinds k = 1, ..., K-1; that of kind 0 is 0
    M        (K, D)     logits of mu_ki, the share of ones of bit i in kind k
    a        (N, D, K)  joint log p(k, x_<i), up to the constant log pi_0, before each variable
    r        (N, K)     p(k | x): the responsibilities of expectation maximisation

Cost: O(D K) for a probability, its gradient, or a sample.

References: Dempster, Laird and Rubin (1977), "Maximum likelihood from incomplete data via the EM
algorithm"; Bishop (2006), "Pattern recognition and machine learning", section 9.3.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pyarsimple import orders
from pyarsimple._validation import check_number, check_size
from pyarsimple.autoregressive import Array, AutoregressiveModel, Params, State, row_blocks
from pyarsimple.baselines.tables import BoolArray, check_pseudocount, row_weights
from pyarsimple.conditionals import log_sigmoid, log_sum_exp, sigmoid, softmax, softplus

#: Rows are taken so many at a time that their (N, D, K) arrays stay in the processor's cache.
CACHE = 4 * 2**20


def log_weights(w: Array) -> Array:
    """log pi_k - log pi_0 of all kinds, (K,)."""
    return np.append(np.zeros(1, w.dtype), w)


# The parallel view. It walks in the natural order: BernoulliMixture permutes the columns.


def prefix_log_p(x: Array, w: Array, M: Array) -> Array:
    """The joint log p(k, x_<i) of each kind and every prefix, but for a constant; (N, D, K)."""
    a = np.empty((len(x), *M.T.shape), M.dtype)
    a[:, 0] = log_weights(w)
    log_1, log_0 = log_sigmoid(M.T), log_sigmoid(-M.T)  # (D, K)
    a[:, 1:] = np.where(x[:, :-1, np.newaxis] != 0, log_1[:-1], log_0[:-1])
    return np.cumsum(a, axis=1, out=a)


def predict(a: Array, m: Array, scratch: Array | None = None) -> Array:
    """The logit of a bit from the joint a (..., K) before it, and its logits m (..., K) in each.

    One exp() a kind: exp(v + m) is exp(v) exp(m - top), with a top that leaves no overflow. Where
    all products underflow, and so digits are lost, they are summed by their logs.
    """
    v = np.subtract(a, softplus(m), out=scratch)  # log p(k, x_<i, x_i = 0)
    v -= v.max(axis=-1, keepdims=True)
    top = m.max(axis=-1)
    if_0 = np.exp(v, out=v)
    sum_0 = if_0.sum(axis=-1)
    sum_1 = np.einsum("...k,...k->...", if_0, np.exp(m - top[..., np.newaxis]))
    limits = np.finfo(m.dtype)
    lost = sum_1 < limits.tiny / limits.eps**2
    logit: Array = top + np.log(np.where(lost, 1, sum_1)) - np.log(sum_0)
    if lost.any():
        a, m = a[lost], np.broadcast_to(m, a.shape)[lost]
        logit[lost] = log_sum_exp(a + log_sigmoid(m)) - log_sum_exp(a + log_sigmoid(-m))
    return logit


def mixture_logits(x: Array, w: Array, M: Array) -> Array:
    """Logits of all conditionals, (N, D)."""
    logits = np.empty(x.shape, M.dtype)
    for rows in row_blocks(len(x), 5 * M.nbytes, CACHE):
        logits[rows] = predict(prefix_log_p(x[rows], w, M), M.T)
    return logits


def mixture_backward(d_logits: Array, x: Array, w: Array, M: Array) -> tuple[Array, Array]:
    """Gradients dw, dM from d_logits (N, D)."""
    dw, dM = np.zeros_like(w), np.zeros_like(M)
    for rows in row_blocks(len(x), 8 * M.nbytes, CACHE):
        a, d = prefix_log_p(x[rows], w, M), d_logits[rows, :, np.newaxis]
        # The posteriors of k if x_i is 0 and if it is 1.
        if_0, if_1 = softmax(a + log_sigmoid(-M.T)), softmax(a + log_sigmoid(M.T))
        d_a = d * (if_1 - if_0)  # of the logit's own prefix
        dM += (d * (if_1 * sigmoid(-M.T) + if_0 * sigmoid(M.T))).sum(axis=0).T
        d_a = np.cumsum(d_a[:, ::-1], axis=1)[:, ::-1]  # and of all prefixes that go through it
        dw += d_a[:, 0, 1:].sum(axis=0)
        slope = x[rows, :-1, np.newaxis] - sigmoid(M.T[:-1])  # of log p(x_i | k)
        dM[:, :-1] += (d_a[:, 1:] * slope).sum(axis=0).T
    return dw, dM


# The sequential view.


class MixtureState(State):
    """Carries the joint log p(k, x_<i) of each kind."""

    def __init__(self, n: int, w: Array, M: Array, order: Array) -> None:
        super().__init__(order, n, M.dtype)
        self.M = M
        self.log_p = np.array([log_sigmoid(-M), log_sigmoid(M)])  # of a 0 and of a 1, (2, K, D)
        self.a = np.tile(log_weights(w), (n, 1))  # (N, K)
        self.scratch = np.empty_like(self.a)

    def _outputs(self, i: int) -> Array:
        return predict(self.a, self.M[:, i], self.scratch)[:, np.newaxis]

    def _advance(self, i: int, x_i: Array) -> None:
        bits = (x_i[:, 0] != 0).astype(np.intp)
        self.a += np.take(self.log_p[:, :, i], bits, axis=0, out=self.scratch, mode="clip")


# Expectation maximisation, in float64.

Found = tuple[float, Array, Array]  # objective, w, M


def expectations(x: Array, weight: Array, w: Array, M: Array) -> tuple[float, Array, Array]:
    """The log-likelihood of all rows, and the expected rows (K,) and ones (K, D) of each kind."""
    log_pi = log_weights(w) - log_sum_exp(log_weights(w))
    total, n, ones = 0.0, np.zeros(len(M)), np.zeros_like(M)
    for rows in row_blocks(len(x), 8 * (M.shape[1] + 4 * len(M))):
        bits = x[rows].astype(np.float64)
        joint = bits @ M.T + (log_pi - softplus(M).sum(axis=1))  # log p(k, x), (N, K)
        log_p = log_sum_exp(joint)
        r = np.exp(joint - log_p[:, np.newaxis]) * weight[rows, np.newaxis]
        total += float(weight[rows] @ log_p)
        n += r.sum(axis=0)
        ones += r.T @ bits
    return total, n, ones


def log_prior(w: Array, M: Array, pseudocount: float) -> float:
    """What the pseudocounts add to the log-likelihood: that of imaginary bits and rows."""
    log_pi = log_weights(w) - log_sum_exp(log_weights(w))
    bits = softplus(M).sum() + softplus(-M).sum()
    return float(pseudocount * (log_pi.sum() - bits))


def maximise(n: Array, ones: Array, pseudocount: float) -> tuple[Array, Array]:
    """The w and M of the shares, pseudocounts added."""
    zeros = np.maximum(n[:, np.newaxis] - ones, 0)  # not below by rounding
    log_n = np.log(n + pseudocount)
    return log_n[1:] - log_n[0], np.log(ones + pseudocount) - np.log(zeros + pseudocount)


def em(x: Array, weight: Array, w: Array, M: Array, pseudocount: float) -> Iterator[Found]:
    """Expectation maximisation: yield objective, w and M, first as given, then after each step.

    The objective is the log-likelihood of all rows plus `log_prior`. No step lowers it.
    """
    while True:
        log_p, n, ones = expectations(x, weight, w, M)
        yield log_p + log_prior(w, M, pseudocount), w, M
        w, M = maximise(n, ones, pseudocount)


def start_from_rows(x: Array, n_components: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Where EM may start, w and M: each kind halfway between a random row and the mean of all."""
    share = (x.sum(axis=0, dtype=np.float64) + 1) / (len(x) + 2)
    mu = (x[rng.integers(len(x), size=n_components)] + share) / 2  # in (0, 1)
    return np.zeros(n_components - 1), np.log(mu) - np.log1p(-mu)


def climb(steps: Iterator[Found], max_steps: int, tolerance: float) -> Found:
    """Take steps of EM until one gains less than the tolerance; what the last one found."""
    found = next(steps)
    for _ in range(max_steps):
        before, found = found, next(steps)
        if found[0] - before[0] < tolerance:
            break
    return found


class BernoulliMixture(AutoregressiveModel):
    """Mixture of independent bits. See the module's docstring for the equations.

    Parameters
    ----------
    n_dims : int
        D, the number of variables.
    n_components : int
        K, the number of kinds.
    order, dtype, rng
        As in `AutoregressiveModel`; the joint probabilities do not depend on the order.

    Attributes
    ----------
    params : dict
        ``w`` (K-1,) and ``M`` (K, D).
    """

    name = "bernoulli-mixture"

    def __init__(
        self,
        n_dims: int,
        n_components: int = 10,
        *,
        order: npt.ArrayLike | None = None,
        dtype: Any = "float64",
        rng: Any = None,
    ) -> None:
        self.n_components = check_size(n_components, "n_components")
        super().__init__(n_dims, order=order, dtype=dtype, rng=rng)

    @staticmethod
    def param_shapes(
        *, n_dims: int, n_components: int, **config: Any
    ) -> dict[str, tuple[int, ...]]:  # fmt: skip
        """w and M."""
        return {"w": (n_components - 1,), "M": (n_components, n_dims)}

    def config(self) -> dict[str, Any]:
        """The settings from which the model can be made again, as the constructor takes them."""
        return super().config() | {"n_components": self.n_components}

    def _initial_params(self, rng: np.random.Generator) -> Params:
        K = self.n_components
        M = rng.normal(0, 0.1, (K, self.n_dims))  # so that EM can tell the kinds apart
        return {"w": np.zeros(K - 1, self.dtype), "M": M.astype(self.dtype)}

    def _bytes_per_row(self) -> int:
        return super()._bytes_per_row() + 3 * 8 * self.n_components

    def dependencies(self) -> npt.NDArray[np.bool_]:
        """All that the order allows; none if there is one kind only."""
        return orders.precedes(self.order) & (self.n_components > 1)

    def fit(
        self,
        x: npt.ArrayLike,
        *,
        pseudocount: float = 1.0,
        weight: npt.ArrayLike | None = None,
        restarts: int = 0,
        max_iterations: int = 500,
        tolerance: float = 1e-5,
        rng: Any = None,
    ) -> Self:
        """Raise the likelihood of x by EM, from the present parameters, to a local maximum.

        Parameters
        ----------
        x : array_like of bits, shape (N, D), N >= 1
        pseudocount : float
            Added to the expected rows of each kind, and to either value of each bit in it.
        weight : array_like, shape (N,), optional
            How often each row counts: one of weight 2 is as good as the row twice.
        restarts : int
            EM starts so many times more, each kind halfway from the mean to a row drawn from x; and
            that is kept which gives x the highest likelihood.
        max_iterations : int
            Steps of EM in each start, if it does not end before.
        tolerance : float
            A start ends after a step that gained less than this, in nats a row.
        rng : None, int, SeedSequence, BitGenerator or Generator
            For the restarts, as in SPEC 7.
        """
        x = self._check_rows(x)
        pseudocount = check_pseudocount(pseudocount)
        restarts = check_size(restarts, "restarts", minimum=0)
        max_iterations = check_size(max_iterations, "max_iterations")
        tolerance = check_number(tolerance, "tolerance")
        self._check_params()
        rng = np.random.default_rng(rng)
        weight = row_weights(weight, len(x))
        x, weight = x[weight > 0], weight[weight > 0]
        gain = tolerance * float(weight.sum())
        w, M = (self.params[name].astype(np.float64) for name in ("w", "M"))
        tops = []
        for n_starts in range(restarts + 1):
            if n_starts:
                w, M = start_from_rows(x, self.n_components, rng)
            value, w, M = climb(em(x, weight, w, M, pseudocount), max_iterations, gain)
            tops.append((value - log_prior(w, M, pseudocount), w, M))
        _, self.params["w"][...], self.params["M"][...] = max(tops, key=lambda top: top[0])
        return self

    def _closed_form(
        self, known: Array, observed: BoolArray, rng: np.random.Generator | None
    ) -> tuple[Array, Array]:
        """Of each kind the product over what was observed; the rest by a kind drawn from them."""
        w, M = (self.params[name].astype(np.float64) for name in ("w", "M"))
        ones, zeros = known * observed, (1 - known) * observed
        joint = log_weights(w) - log_sum_exp(log_weights(w))
        joint = joint + ones @ log_sigmoid(M).T + zeros @ log_sigmoid(-M).T  # log p(k, x_o), (N, K)
        x = known.copy()
        if rng is not None:
            bounds = np.cumsum(softmax(joint), axis=1)[:, :-1]
            kinds = (rng.random((len(x), 1)) >= bounds).sum(axis=1)
            drawn = rng.random(x.shape) < sigmoid(M[kinds])
            x[~observed] = drawn[~observed]
        return log_sum_exp(joint), x

    def _forward(self, x: Array, draw: Any = None) -> tuple[Array, Any]:
        p, back = self.params, orders.inverse(self.order)
        logits = mixture_logits(x[:, self.order], p["w"], p["M"][:, self.order])
        return logits[:, back], x

    def _backward(self, d_outputs: Array, cache: Any) -> Params:
        p, back = self.params, orders.inverse(self.order)
        dw, dM = mixture_backward(
            d_outputs[:, self.order], cache[:, self.order], p["w"], p["M"][:, self.order]
        )
        return {"w": dw, "M": dM[:, back]}

    def _start(self, n: int, context: Array | None) -> MixtureState:
        return MixtureState(n, self.params["w"], self.params["M"], self.order)
