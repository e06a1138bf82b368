"""Independent bits: p(x) = prod_i p(x_i), one parameter a variable."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pyarsimple.autoregressive import Array, AutoregressiveModel, Params, State
from pyarsimple.baselines.tables import check_pseudocount, row_weights, sum_blocks


class IndependentState(State):
    """Nothing needs to be carried: no variable depends on another."""

    def __init__(self, n: int, b: Array, order: Array) -> None:
        super().__init__(order, n, b.dtype)
        self.b = b

    def _outputs(self, i: int) -> Array:
        return np.full((self._n, 1), self.b[i])

    def _advance(self, i: int, x_i: Array) -> None:
        pass


class IndependentBernoulli(AutoregressiveModel):
    """Independent bits: p(x) = prod_i p(x_i), with D parameters.

    Parameters
    ----------
    n_dims : int
        D, the number of variables.
    order, dtype, rng
        As in `AutoregressiveModel`; no result depends on the order.

    Attributes
    ----------
    params : dict
        ``b`` (D,), the logits.
    """

    name = "independent"

    def __init__(
        self,
        n_dims: int,
        *,
        order: npt.ArrayLike | None = None,
        dtype: Any = "float64",
        rng: Any = None,
    ) -> None:
        super().__init__(n_dims, order=order, dtype=dtype, rng=rng)

    @staticmethod
    def param_shapes(*, n_dims: int, **config: Any) -> dict[str, tuple[int, ...]]:
        """Only b."""
        return {"b": (n_dims,)}

    def _initial_params(self, rng: np.random.Generator) -> Params:
        return {"b": np.zeros(self.n_dims, self.dtype)}

    def fit(
        self,
        x: npt.ArrayLike,
        *,
        pseudocount: float = 1.0,
        weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Set p(x_i = 1) to (ones + pseudocount) / (N + 2 pseudocount), in closed form.

        Parameters
        ----------
        x : array_like of bits, shape (N, D)
        pseudocount : float
            Added to the count of either value, so that neither is held to be impossible.
        weight : array_like, shape (N,), optional
            How often each row counts: one of weight 2 is as good as the row twice.
        """
        x = self.conditional.check(x, self.n_dims)
        pseudocount = check_pseudocount(pseudocount)
        self._check_params()
        w = row_weights(weight, len(x))
        ones = sum_blocks(x, w)
        zeros = np.maximum(w.sum() - ones, 0)  # not below by rounding
        self.params["b"][:] = np.log(ones + pseudocount) - np.log(zeros + pseudocount)
        return self

    def dependencies(self) -> npt.NDArray[np.bool_]:
        """None."""
        return np.zeros((self.n_dims, self.n_dims), np.bool_)

    def _forward(self, x: Array, draw: Any = None) -> tuple[Array, Any]:
        return np.tile(self.params["b"], (len(x), 1)), None

    def _backward(self, d_outputs: Array, cache: Any) -> Params:
        return {"b": d_outputs.sum(axis=0)}

    def _start(self, n: int, context: Array | None) -> IndependentState:
        return IndependentState(n, self.params["b"], self.order)
