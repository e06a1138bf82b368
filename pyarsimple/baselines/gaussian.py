"""The multivariate Gaussian: real numbers, each depending linearly on those before it.

    p(x_i | x_<i) = N(x_i; mean_i, scale_i),     mean_i = b_i + sum_{j<i} W_ij x_j

Every Gaussian is such a product, in any order, and every such product is a Gaussian: its covariance
is L L^T, where row i of L says how x_i arises from the noise of the variables up to i,

    x - mu = L e,  e ~ N(0, 1)   =>   e = L^-1 (x - mu)   =>   scale_i = L_ii,  W = 1 - diag(L) L^-1

so that the Cholesky factor of the covariance, its rows and columns in the model's order, holds all
conditionals. It is the sigmoid belief network (`fvsbn`) with a Gaussian in place of the sigmoid.

    symbol   shape    what
    x        (N, D)   data
    W        (D, D)   W[i, j] from x_j to the mean of variable i; used where j comes before i
    b        (D,)     biases of the means
    s        (D,)     scale_i = min_scale + softplus(s_i), as `conditionals.Gaussian` has it
    L        (D, D)   the Cholesky factor; mu (D,) the means of the variables

Cost: O(D^2) for a density, its gradient, or a sample; O(N D^2 + D^3) to fit.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pyarsimple.autoregressive import Array, AutoregressiveModel, Params, State, row_blocks
from pyarsimple.baselines.tables import (
    BoolArray,
    by_pattern,
    check_pseudocount,
    row_weights,
    sum_blocks,
)
from pyarsimple.conditionals import Gaussian, softplus
from pyarsimple.conditionals.gaussian import HALF_LOG_2_PI
from pyarsimple.orders import observed_first, precedes

# The parallel view.


def gaussian_outputs(x: Array, W: Array, b: Array, s: Array, order: Array) -> Array:
    """Mean and raw scale of all conditionals at once, variable after variable."""
    outputs = np.empty((len(x), 2 * len(b)), b.dtype)
    outputs[:, 0::2] = x @ np.where(precedes(order), W, 0).T + b
    outputs[:, 1::2] = s
    return outputs  # (N, 2 D)


def gaussian_backward(d_outputs: Array, x: Array, order: Array) -> tuple[Array, Array, Array]:
    """Gradients dW, db, ds from d_outputs (N, 2 D)."""
    d_mean, d_raw = d_outputs[:, 0::2], d_outputs[:, 1::2]
    dW = np.where(precedes(order), d_mean.T @ x, 0)  # (D, D)
    return dW, d_mean.sum(axis=0), d_raw.sum(axis=0)


# The sequential view.


class GaussianState(State):
    """Carries all means; when a variable becomes known, its column of W is added to them."""

    def __init__(
        self, n: int, W: Array, b: Array, s: Array, order: Array, conditional: Gaussian
    ) -> None:
        super().__init__(order, n, b.dtype, conditional)
        self.W, self.s = np.where(precedes(order), W, 0), s
        self.means = np.tile(b, (n, 1))  # (N, D): complete for the next variable

    def _outputs(self, i: int) -> Array:
        return np.stack([self.means[:, i], np.full(self._n, self.s[i])], axis=1)

    def _advance(self, i: int, x_i: Array) -> None:
        self.means += x_i @ self.W[:, [i]].T  # 0 but for later variables


# From data.


def moments(x: Array, weight: Array) -> tuple[Array, Array]:
    """Means (D,) and covariances (D, D) of the rows, in float64, by two passes."""
    mu = sum_blocks(x, weight) / weight.sum()
    scatter = np.zeros((x.shape[1], x.shape[1]))
    for rows in row_blocks(len(x), 2 * 8 * x.shape[1]):
        centred = x[rows] - mu
        scatter += centred.T @ (weight[rows, np.newaxis] * centred)
    return mu, scatter / weight.sum()


class MultivariateGaussian(AutoregressiveModel):
    """Gaussian with any covariance. See the module's docstring for the equations.

    Parameters
    ----------
    n_dims : int
        D, the number of variables.
    min_scale : float, at least 1e-12
        The smallest standard deviation that a variable can have given those before it.
    order, dtype, rng
        As in `AutoregressiveModel`; the density does not depend on the order.

    Attributes
    ----------
    params : dict
        ``W`` (D, D), ``b`` (D,) and ``s`` (D,).
    """

    name = "gaussian"

    def __init__(
        self,
        n_dims: int,
        *,
        min_scale: float = 1e-12,
        order: npt.ArrayLike | None = None,
        dtype: Any = "float64",
        rng: Any = None,
    ) -> None:
        conditional = Gaussian(min_scale=min_scale)
        super().__init__(n_dims, order=order, dtype=dtype, rng=rng, conditional=conditional)
        self.conditional: Gaussian

    @staticmethod
    def param_shapes(*, n_dims: int, **config: Any) -> dict[str, tuple[int, ...]]:
        """W, b and s."""
        return {"W": (n_dims, n_dims), "b": (n_dims,), "s": (n_dims,)}

    def config(self) -> dict[str, Any]:
        """The settings from which the model can be made again, as the constructor takes them."""
        return super().config() | {"min_scale": self.conditional.min_scale}

    def _initial_params(self, rng: np.random.Generator) -> Params:
        D = self.n_dims
        W = np.where(precedes(self.order), rng.normal(0, 0.1 / np.sqrt(D), (D, D)), 0)
        s = np.full(D, np.log(np.e - 1))  # softplus(s) = 1
        return {k: p.astype(self.dtype) for k, p in {"W": W, "b": np.zeros(D), "s": s}.items()}

    def masks(self) -> dict[str, npt.NDArray[np.bool_]]:
        """W is free where the column's variable comes before the row's."""
        return {"W": precedes(self.order)}

    def fit(
        self,
        x: npt.ArrayLike,
        *,
        pseudocount: float = 1.0,
        weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Set mean and covariance to those of the data, in closed form.

            covariance = (N covariance of x + pseudocount * its diagonal) / (N + pseudocount)

        Parameters
        ----------
        x : array_like of real numbers, shape (N, D), N >= 2
        pseudocount : float
            As many imaginary rows, of independent variables with the means and variances of x, are
            added: the variances stay, correlations shrink by N / (N + pseudocount), and there is a
            density even where N <= D or one column is made of others.
        weight : array_like, shape (N,), optional
            How often each row counts: one of weight 2 is as good as the row twice.

        Raises
        ------
        ValueError
            If a column of x is constant, as it is in a single row.
        """
        x = self._check_rows(x)
        pseudocount = check_pseudocount(pseudocount)
        self._check_params()
        w = row_weights(weight, len(x))
        count = x[w > 0]
        if len(count) == 1:
            raise ValueError("x must have two rows at least, got one sample, which has no variance")
        varies = (count != count[0]).any(axis=0)
        if not varies.all():
            raise ValueError(
                f"x must vary in every column, but in its {len(count)} rows column "
                f"{np.argmin(varies)} is constant, where a Gaussian has no density: leave that "
                "column out"
            )
        mu, covariance = moments(x, w)
        variance = covariance.diagonal().copy()
        covariance *= w.sum() / (w.sum() + pseudocount)
        np.fill_diagonal(covariance, variance)
        self._set(mu, covariance)
        return self

    def _set(self, mu: Array, covariance: Array) -> None:
        """Write the parameters of a Gaussian, (D,) and (D, D)."""
        from scipy.linalg import LinAlgError, cholesky, solve_triangular  # slow to import

        here = np.ix_(self.order, self.order)
        try:
            L = cholesky(covariance[here], lower=True)
        except LinAlgError as error:
            raise ValueError(
                f"the covariance of x is singular to rounding ({error}): standardise the columns, "
                "or take a larger pseudocount"
            ) from None
        scale, W = np.empty_like(mu), np.empty_like(covariance)
        scale[self.order] = L.diagonal()
        inverse = solve_triangular(L, np.eye(len(L)), lower=True)
        W[here] = np.tril(-L.diagonal()[:, np.newaxis] * inverse, -1)
        self.params["W"][...], self.params["b"][...] = W, mu - W @ mu
        self.params["s"][...] = self.conditional.raw(scale)

    def _closed_form(
        self, known: Array, observed: BoolArray, rng: np.random.Generator | None
    ) -> tuple[Array, Array]:
        """By the Cholesky factor of an order that begins with what was observed.

        Its rows are those of L; the triangle is restored by rotations of the noise, which keep the
        digits that forming the covariance would lose.
        """
        from scipy.linalg import qr, solve_triangular  # slow to import

        mu, L = self._moments()
        x, log_p = known.astype(np.float64), np.empty(len(known))
        for pattern, rows in by_pattern(observed):
            order, n_known = observed_first(pattern), int(pattern.sum())
            (R,) = qr(L[order].T, mode="r", check_finite=False)
            e = np.zeros((self.n_dims, len(rows)))
            first, rest = order[:n_known], order[n_known:]
            if n_known:
                e[:n_known] = solve_triangular(
                    R[:n_known, :n_known], (x[np.ix_(rows, first)] - mu[first]).T, trans="T",
                    check_finite=False,
                )  # fmt: skip
            scale = np.abs(R.diagonal()[:n_known])
            log_p[rows] = -(np.square(e[:n_known]) / 2).sum(axis=0) - (
                np.log(scale).sum() + n_known * HALF_LOG_2_PI
            )
            if rng is not None and len(rest):
                e[n_known:] = rng.standard_normal((len(rest), len(rows)))
                x[np.ix_(rows, rest)] = mu[rest] + (R[:, n_known:].T @ e).T
        return log_p, x

    def _moments(self) -> tuple[Array, Array]:
        """Means (D,), and L (D, D) whose rows and columns are in the data's order; in float64."""
        from scipy.linalg import solve_triangular  # slow to import

        W, b, s = (self.params[name].astype(np.float64) for name in ("W", "b", "s"))
        here = np.ix_(self.order, self.order)
        A = np.eye(self.n_dims) - np.where(precedes(self.order), W, 0)
        inverse = np.empty_like(A)
        inverse[here] = solve_triangular(
            A[here], np.eye(len(A)), lower=True, unit_diagonal=True, check_finite=False
        )  # fmt: skip
        return inverse @ b, inverse * (self.conditional.min_scale + softplus(s))

    def _forward(self, x: Array, draw: Any = None) -> tuple[Array, Any]:
        p = self.params
        return gaussian_outputs(x, p["W"], p["b"], p["s"], self.order), x

    def _backward(self, d_outputs: Array, cache: Any) -> Params:
        dW, db, ds = gaussian_backward(d_outputs, cache, self.order)
        return {"W": dW, "b": db, "s": ds}

    def _start(self, n: int, context: Array | None) -> GaussianState:
        p = self.params
        return GaussianState(n, p["W"], p["b"], p["s"], self.order, self.conditional)
