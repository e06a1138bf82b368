"""NADE, the neural autoregressive distribution estimator: a network a variable, weights all shared.

    h_i = g(c + sum_{j<i} x_j W_j)                         one hidden layer for each variable i
    p(x_i = 1 | x_<i) = sigmoid(b_i + V_i . h_i)

The rows W_j are tied: the same whichever i they are used for. So the activations of two neighbours
differ by one row, and all of them cost no more than the last one:

    a_1 = c,    a_{i+1} = a_i + x_i W_i,    h_i = g(a_i)   (1 is the first variable of the order)

    symbol   shape    what
    x        (N, D)   data, 0 or 1
    W        (D, H)   W[j] from x_j to the hidden units
    c        (H,)     biases of the hidden units
    V        (D, H)   V[i] from the hidden units to variable i
    b        (D,)     biases of the variables
    a        (N, H)   the shared activation, carried from one variable to the next
    h        (N, H)   g(a), of one variable; g is the sigmoid or the rectifier
    logits   (N, D)   of p(x_i = 1 | x_<i)

Cost: O(D H) for a probability, its gradient, or a sample.

Unlike the paper, W is (D, H), one row a variable, as V is; and the backward pass goes through
hidden states that it has kept, rather than subtracting x_i W_i from the activation again, so that
rounding cannot move a unit across the kink of the rectifier. The last variable's row of W is never
used.

References: Larochelle and Murray (2011), "The neural autoregressive distribution estimator",
algorithm 1; Uria et al. (2016), "Neural autoregressive distribution estimation", arXiv:1605.02226,
algorithm 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_number, check_size
from pyarsimple.activations import activate, activate_slope
from pyarsimple.autoregressive import (
    Array,
    AutoregressiveModel,
    Params,
    State,
    columns_of,
    draw_dropout,
    fill_in,
    row_blocks,
)
from pyarsimple.conditionals import Bernoulli, Categorical, Conditional
from pyarsimple.orders import Columns, one_each, walk
from pyarsimple.twins import twin

HIDDEN = ("sigmoid", "relu")


# The parallel view. `keep` (N, H), if given, multiplies the hidden units: dropout.
# At each step of the walk, f are the features of the variable, and z its outputs: for bits both
# are its one column.


@twin
def nade_logits(
    x: Array, W: Array, c: Array, V: Array, b: Array, order: Array, hidden: str,
    keep: Array | None, columns: Columns | None = None,
) -> Array:  # fmt: skip
    """Logits of all conditionals, by one walk along the order."""
    logits = np.empty((len(x), len(b)), x.dtype)  # (N, D)
    a = np.tile(c, (len(x), 1))  # (N, H)
    for f, z in walk(order, columns):
        h = activate(a, hidden)
        if keep is not None:
            h *= keep
        logits[:, z] = h @ V[z].T + b[z]
        a += x[:, f] @ W[f]
    return logits


@twin
def nade_backward(
    d_logits: Array, x: Array, W: Array, c: Array, V: Array, order: Array, hidden: str,
    keep: Array | None, columns: Columns | None = None,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """Gradients dW, dc, dV, db from d_logits (N, D), by one walk there and one back."""
    dW, dc, dV = np.zeros_like(W), np.zeros_like(c), np.zeros_like(V)
    steps = walk(order, columns)
    for rows in row_blocks(len(x), W.nbytes):  # of which the hidden states fit into memory
        a = np.tile(c, (rows.stop - rows.start, 1))  # (N, H)
        states = []
        for f, _ in steps:
            states.append(activate(a, hidden))
            a += x[rows, f] @ W[f]

        d_a = np.zeros_like(a)  # (N, H)
        for (f, z), h in zip(steps[::-1], states[::-1], strict=True):
            dW[f] += x[rows, f].T @ d_a
            d_h = d_logits[rows, z] @ V[z]
            if keep is not None:
                d_h *= keep[rows]
                dV[z] += d_logits[rows, z].T @ (h * keep[rows])
            else:
                dV[z] += d_logits[rows, z].T @ h
            d_a += d_h * activate_slope(h, hidden)
        dc += d_a.sum(axis=0)
    db = d_logits.sum(axis=0)
    return dW, dc, dV, db


# The sequential view.


class NADEState(State):
    """Carries the shared activation; a known variable adds its row of W."""

    def __init__(
        self, n: int, W: Array, c: Array, V: Array, b: Array, order: Array, hidden: str,
        columns: Columns | None = None, conditional: Conditional | None = None,
        context: Array | None = None,
    ) -> None:  # fmt: skip
        super().__init__(order, n, b.dtype, conditional)
        self.W, self.V, self.b, self.hidden = W, V, b, hidden
        self.columns = columns or one_each(len(order))
        self.a = np.tile(c, (n, 1))  # (N, H)
        if context is not None:
            self.a += context @ W[self.columns.context]

    def _outputs(self, i: int) -> Array:
        _, z = self.columns.of(i)
        logits: Array = activate(self.a, self.hidden) @ self.V[z].T + self.b[z]
        return logits

    def _advance(self, i: int, x_i: Array) -> None:
        f, _ = self.columns.of(i)
        self.a += x_i @ self.W[f]


@twin
def nade_sample(
    x: Array, n_known: int, uniforms: Array, W: Array, c: Array, V: Array, b: Array, order: Array,
    hidden: str,
) -> Array:  # fmt: skip
    """Return x with the variables from position n_known on drawn: 1 where uniform < p."""
    state = NADEState(len(x), W, c, V, b, order, hidden)
    return fill_in(state, x, n_known, uniforms, Bernoulli())


class NADE(AutoregressiveModel):
    """Neural autoregressive distribution estimator. See the module's docstring for the equations.

    Parameters
    ----------
    n_dims : int
        D, the number of variables.
    n_hidden : int
        H, the number of hidden units.
    hidden : {"sigmoid", "relu"}
        What g is.
    dropout : float
        The chance of each hidden unit to be dropped, for a whole row, in the training loss.
    conditional, context, order, dtype, rng
        As in `AutoregressiveModel`. With `GaussianMixture` this is the RNADE of Uria, Murray and
        Larochelle (2013), arXiv:1306.0186, section 3, with a scale that the conditional defines.

    Attributes
    ----------
    params : dict
        ``W`` (D, H), ``c`` (H,), ``V`` (D, H), ``b`` (D,); for other variables than bits ``W`` has
        a row for each feature, those of a context last, and ``V`` and ``b`` one for each output.
    """

    name = "nade"

    def __init__(
        self,
        n_dims: int,
        n_hidden: int = 500,
        *,
        hidden: str = "sigmoid",
        dropout: float = 0.0,
        conditional: Conditional | None = None,
        context: int | Categorical = 0,
        order: npt.ArrayLike | None = None,
        dtype: Any = "float64",
        rng: Any = None,
    ) -> None:
        self.n_hidden = check_size(n_hidden, "n_hidden")
        if hidden not in HIDDEN:
            raise ValueError(f"hidden must be one of {', '.join(HIDDEN)}, got {hidden!r}")
        self.hidden = hidden
        self.dropout = check_number(dropout, "dropout", high=1)
        super().__init__(
            n_dims, order=order, dtype=dtype, rng=rng, conditional=conditional, context=context
        )

    @staticmethod
    def param_shapes(*, n_hidden: int, **config: Any) -> dict[str, tuple[int, ...]]:
        """W, c, V and b."""
        columns, H = columns_of(**config), n_hidden
        F, P = columns.n_inputs, columns.n_outputs
        return {"W": (F, H), "c": (H,), "V": (P, H), "b": (P,)}

    def config(self) -> dict[str, Any]:
        """The settings from which the model can be made again, as the constructor takes them."""
        mine = {"n_hidden": self.n_hidden, "hidden": self.hidden, "dropout": self.dropout}
        return super().config() | mine | self._config_of_columns()

    def _initial_params(self, rng: np.random.Generator) -> Params:
        F, H, P = self.n_inputs, self.n_hidden, self.n_outputs
        W = rng.normal(0, 1 / np.sqrt(F), (F, H))
        V = rng.normal(0, 1 / np.sqrt(H), (P, H))
        params = {"W": W, "c": np.zeros(H), "V": V, "b": np.zeros(P)}
        return {k: p.astype(self.dtype) for k, p in params.items()}

    def _bytes_per_row(self) -> int:
        return super()._bytes_per_row() + 4 * 8 * self.n_hidden

    def _draw(self, n: int, rng: np.random.Generator) -> Any:
        if self.dropout == 0:
            return None
        return draw_dropout(rng, (n, self.n_hidden), self.dropout, self.dtype)

    def _forward(self, x: Array, draw: Any = None) -> tuple[Array, Any]:
        p = self.params
        logits = nade_logits(
            x, p["W"], p["c"], p["V"], p["b"], self.order, self.hidden, draw, self.columns
        )
        return logits, (x, draw)

    def _backward(self, d_outputs: Array, cache: Any) -> Params:
        (x, draw), p = cache, self.params
        grads = nade_backward(
            d_outputs, x, p["W"], p["c"], p["V"], self.order, self.hidden, draw, self.columns
        )
        return dict(zip(("W", "c", "V", "b"), grads, strict=True))

    def _hidden(self, x: Array) -> Array:
        # Training leaves the last variable's row of W as it was drawn: it adds a random direction.
        return activate(self.params["c"] + x @ self.params["W"], self.hidden)

    def _start(self, n: int, context: Array | None) -> NADEState:
        p = self.params
        return NADEState(
            n, p["W"], p["c"], p["V"], p["b"], self.order, self.hidden, self.columns,
            self.conditional, context,
        )  # fmt: skip

    def _fill_in_bits(self, x: Array, n_known: int, uniforms: Array) -> Array:
        p = self.params
        return nade_sample(
            x, n_known, uniforms, p["W"], p["c"], p["V"], p["b"], self.order, self.hidden
        )
