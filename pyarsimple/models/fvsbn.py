"""The fully visible sigmoid belief network: each bit is a logistic regression on those before it.

    p(x_i = 1 | x_<i) = sigmoid(b_i + sum_{j<i} W_ij x_j)

The D regressions share nothing, so the negative log-likelihood is convex in (W, b). Written as one
matrix product, the condition j < i is a mask: the strict lower triangle of W, where the order is
the natural one.

    symbol   shape    what
    x        (N, D)   data, 0 or 1
    W        (D, D)   W[i, j] from x_j to variable i; used where j comes before i, ignored elsewhere
    b        (D,)     biases
    logits   (N, D)   of p(x_i = 1 | x_<i)

Cost: O(D^2) for a probability, its gradient, or a sample.

References: Neal (1992), "Connectionist learning of belief networks"; Frey, Hinton and Dayan (1995),
"Does the wake-sleep algorithm produce good density estimators?"; the name is that of Gan et al.
(2015), "Learning deep sigmoid belief networks with data augmentation".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple.autoregressive import (
    Array,
    AutoregressiveModel,
    Params,
    State,
    columns_of,
    fill_in,
)
from pyarsimple.conditionals import Bernoulli, Categorical, Conditional
from pyarsimple.orders import Columns, one_each, precedes
from pyarsimple.twins import twin

# The parallel view. With `columns` x holds the features of other variables than bits and of a
# context, and W leads from each of them (F) to each output (P).


@twin
def fvsbn_logits(
    x: Array, W: Array, b: Array, order: Array, columns: Columns | None = None
) -> Array:
    """Logits of all conditionals at once."""
    W = np.where(precedes(order, columns), W, 0)
    return x @ W.T + b  # (N, D)


@twin
def fvsbn_backward(
    d_logits: Array, x: Array, order: Array, columns: Columns | None = None
) -> tuple[Array, Array]:
    """Gradients dW, db from d_logits (N, D)."""
    dW = np.where(precedes(order, columns), d_logits.T @ x, 0)  # (D, D)
    db = d_logits.sum(axis=0)  # (D,)
    return dW, db


# The sequential view.


class FVSBNState(State):
    """Carries all logits; when a variable becomes known, its column of W is added to them."""

    def __init__(
        self, n: int, W: Array, b: Array, order: Array, columns: Columns | None = None,
        conditional: Conditional | None = None, context: Array | None = None,
    ) -> None:  # fmt: skip
        super().__init__(order, n, b.dtype, conditional)
        self.W = np.where(precedes(order, columns), W, 0)
        self.columns = columns or one_each(len(order))
        self.logits = np.tile(b, (n, 1))  # (N, P): complete for the next variable
        if context is not None:
            self.logits += context @ self.W[:, self.columns.context].T

    def _outputs(self, i: int) -> Array:
        return self.logits[:, self.columns.of(i)[1]].copy()

    def _advance(self, i: int, x_i: Array) -> None:
        self.logits += x_i @ self.W[:, self.columns.of(i)[0]].T  # 0 but for later variables


@twin
def fvsbn_sample(
    x: Array, n_known: int, uniforms: Array, W: Array, b: Array, order: Array
) -> Array:
    """Return x with the variables from position n_known on drawn: 1 where uniform < p."""
    return fill_in(FVSBNState(len(x), W, b, order), x, n_known, uniforms, Bernoulli())


class FVSBN(AutoregressiveModel):
    """Fully visible sigmoid belief network. See the module's docstring for the equations.

    Parameters
    ----------
    n_dims : int
        D, the number of variables.
    conditional, context, order, dtype, rng
        As in `AutoregressiveModel`.

    Attributes
    ----------
    params : dict
        ``W`` (D, D), ``W[i, j]`` from x_j to variable i, and ``b`` (D,); for other variables than
        bits a row for each output and a column for each feature, those of a context last.
    """

    name = "fvsbn"

    def __init__(
        self,
        n_dims: int,
        *,
        conditional: Conditional | None = None,
        context: int | Categorical = 0,
        order: npt.ArrayLike | None = None,
        dtype: Any = "float64",
        rng: Any = None,
    ) -> None:
        super().__init__(
            n_dims, order=order, dtype=dtype, rng=rng, conditional=conditional, context=context
        )

    @staticmethod
    def param_shapes(**config: Any) -> dict[str, tuple[int, ...]]:
        """W and b."""
        columns = columns_of(**config)
        return {"W": (columns.n_outputs, columns.n_inputs), "b": (columns.n_outputs,)}

    def config(self) -> dict[str, Any]:
        """The settings from which the model can be made again, as the constructor takes them."""
        return super().config() | self._config_of_columns()

    def _initial_params(self, rng: np.random.Generator) -> Params:
        shape = self.n_outputs, self.n_inputs
        W = rng.normal(0, 0.1 / np.sqrt(self.n_inputs), shape)
        W = np.where(precedes(self.order, self.columns), W, 0)
        return {"W": W.astype(self.dtype), "b": np.zeros(self.n_outputs, self.dtype)}

    def masks(self) -> dict[str, npt.NDArray[np.bool_]]:
        """W is free where the column's variable comes before the row's."""
        return {"W": precedes(self.order, self.columns)}

    def _forward(self, x: Array, draw: Any = None) -> tuple[Array, Any]:
        p = self.params
        return fvsbn_logits(x, p["W"], p["b"], self.order, self.columns), x

    def _backward(self, d_outputs: Array, cache: Any) -> Params:
        dW, db = fvsbn_backward(d_outputs, cache, self.order, self.columns)
        return {"W": dW, "b": db}

    def _start(self, n: int, context: Array | None) -> FVSBNState:
        p = self.params
        return FVSBNState(n, p["W"], p["b"], self.order, self.columns, self.conditional, context)

    def _fill_in_bits(self, x: Array, n_known: int, uniforms: Array) -> Array:
        return fvsbn_sample(x, n_known, uniforms, self.params["W"], self.params["b"], self.order)
