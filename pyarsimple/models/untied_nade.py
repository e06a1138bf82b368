"""Untied NADE: a small network for each variable, none of them shared. The step before NADE.

    h_i = g(c_i + sum_{j<i} x_j W_ij)                      a hidden layer for each variable i
    p(x_i = 1 | x_<i) = sigmoid(b_i + V_i . h_i)

FVSBN gives each variable a logistic regression on those before it; this gives it a network with a
hidden layer, and can so express more. But network i has a matrix of its own, with a row for each
variable before i: O(D^2 H) parameters, each of them learnt from one conditional only. NADE ties
them: W_ij = W_j and c_i = c, whatever i is. Then neighbours share their activation but for one row,
and parameters and cost fall by a factor of about D / 4:

    model    parameters                    D = 784, H = 500    a probability, gradient or sample
    FVSBN    D (D - 1) / 2 + D                    307 720      O(D^2)
    untied   H D (D - 1) / 2 + 2 D H + D      154 252 784      O(D^2 H)
    NADE     2 D H + H + D                        785 284      O(D H)

    symbol   shape       what
    x        (N, D)      data, 0 or 1
    W        (D, D, H)   W[i, j] from x_j to the hidden units of variable i, where j comes before i
    c        (D, H)      c[i], biases of the hidden units of variable i
    V        (D, H)      V[i] from the hidden units of variable i to its logit
    b        (D,)        biases of the variables
    h        (N, H)      hidden units of one variable
    logits   (N, D)      of p(x_i = 1 | x_<i)

It is here to be read and compared with, and is slow on purpose.

Reference: Larochelle and Murray (2011), "The neural autoregressive distribution estimator", which
ties the weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_size
from pyarsimple.activations import activate, activate_slope
from pyarsimple.autoregressive import Array, AutoregressiveModel, Params, State, columns_of
from pyarsimple.conditionals import Categorical, Conditional
from pyarsimple.orders import Columns, positions, walk

HIDDEN = ("sigmoid", "relu")


# The parallel view: each variable by itself.


def networks(
    order: Array, columns: Columns | None
) -> list[tuple[int, npt.NDArray[np.intp], slice]]:
    """Of each variable, in the order: itself, the features that its network reads, its outputs."""
    inputs, _ = positions(order, columns)
    outputs = [z for _, z in walk(order, columns)][-len(order) :]  # a context has none
    return [(i, np.flatnonzero(inputs < k), outputs[k]) for k, i in enumerate(order.tolist())]


def untied_logits(
    x: Array, W: Array, c: Array, V: Array, b: Array, order: Array, hidden: str,
    columns: Columns | None = None,
) -> Array:  # fmt: skip
    """Logits of all conditionals, (N, D)."""
    logits = np.empty((len(x), len(b)), x.dtype)
    for i, earlier, z in networks(order, columns):
        h = activate(x[:, earlier] @ W[i, earlier] + c[i], hidden)  # (N, H)
        logits[:, z] = h @ V[z].T + b[z]
    return logits


def untied_backward(
    d_logits: Array, x: Array, W: Array, c: Array, V: Array, order: Array, hidden: str,
    columns: Columns | None = None,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """Gradients dW, dc, dV, db from d_logits (N, D): nothing passes from network to network."""
    dW, dc, dV = np.zeros_like(W), np.zeros_like(c), np.zeros_like(V)
    for i, earlier, z in networks(order, columns):
        h = activate(x[:, earlier] @ W[i, earlier] + c[i], hidden)
        dV[z] = d_logits[:, z].T @ h
        d_a = d_logits[:, z] @ V[z] * activate_slope(h, hidden)  # (N, H)
        dc[i] = d_a.sum(axis=0)
        dW[i, earlier] = x[:, earlier].T @ d_a
    return dW, dc, dV, d_logits.sum(axis=0)


# The sequential view.


class UntiedState(State):
    """Carries the features of the known variables: there is no sum that networks could share."""

    def __init__(
        self, x: Array, W: Array, c: Array, V: Array, b: Array, order: Array, hidden: str,
        columns: Columns | None, conditional: Conditional,
    ) -> None:  # fmt: skip
        super().__init__(order, len(x), b.dtype, conditional)
        self.x, self.W, self.c, self.V, self.b, self.hidden = x, W, c, V, b, hidden
        self.networks = networks(order, columns)
        self.features = [f for f, _ in walk(order, columns)][-len(order) :]

    def _outputs(self, i: int) -> Array:
        _, earlier, z = self.networks[self.position]
        h = activate(self.x[:, earlier] @ self.W[i, earlier] + self.c[i], self.hidden)
        logits: Array = h @ self.V[z].T + self.b[z]
        return logits

    def _advance(self, i: int, x_i: Array) -> None:
        self.x[:, self.features[self.position]] = x_i


class UntiedNADE(AutoregressiveModel):
    """A network of its own for each variable: NADE before its weights are tied.

    Parameters
    ----------
    n_dims : int
        D, the number of variables.
    n_hidden : int
        H, the number of hidden units of each variable.
    hidden : {"sigmoid", "relu"}
        What g is.
    conditional, context, order, dtype, rng
        As in `AutoregressiveModel`.

    Attributes
    ----------
    params : dict
        ``W`` (D, D, H), ``c`` (D, H), ``V`` (D, H), ``b`` (D,). Entries of ``W`` for variables that
        do not come before are masked: they change nothing and have gradient 0. For other variables
        than bits ``W`` is (variables, features, H), the features of a context last, and ``V`` and
        ``b`` have one row for each output.
    """

    name = "untied-nade"

    def __init__(
        self,
        n_dims: int,
        n_hidden: int = 20,
        *,
        hidden: str = "sigmoid",
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
        super().__init__(
            n_dims, order=order, dtype=dtype, rng=rng, conditional=conditional, context=context
        )

    @staticmethod
    def param_shapes(*, n_dims: int, n_hidden: int, **config: Any) -> dict[str, tuple[int, ...]]:
        """W, c, V and b."""
        columns, H = columns_of(n_dims=n_dims, **config), n_hidden
        F, P = columns.n_inputs, columns.n_outputs
        return {"W": (n_dims, F, H), "c": (n_dims, H), "V": (P, H), "b": (P,)}

    def config(self) -> dict[str, Any]:
        """The settings from which the model can be made again, as the constructor takes them."""
        mine = {"n_hidden": self.n_hidden, "hidden": self.hidden}
        return super().config() | mine | self._config_of_columns()

    def _initial_params(self, rng: np.random.Generator) -> Params:
        D, F, H, P = self.n_dims, self.n_inputs, self.n_hidden, self.n_outputs
        W = np.where(self.masks()["W"], rng.normal(0, 1 / np.sqrt(F), (D, F, H)), 0)
        V = rng.normal(0, 1 / np.sqrt(H), (P, H))
        params = {"W": W, "c": np.zeros((D, H)), "V": V, "b": np.zeros(P)}
        return {k: p.astype(self.dtype) for k, p in params.items()}

    def masks(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Where W is free: W[i, j] where j comes before i."""
        inputs, _ = positions(self.order, self.columns)
        position, _ = positions(self.order)
        free = inputs[np.newaxis, :] < position[:, np.newaxis]  # (D, F)
        shape = (*free.shape, self.n_hidden)
        return {"W": np.broadcast_to(free[:, :, np.newaxis], shape).copy()}

    def _bytes_per_row(self) -> int:
        return super()._bytes_per_row() + 3 * 8 * self.n_hidden

    def _forward(self, x: Array, draw: Any = None) -> tuple[Array, Any]:
        p = self.params
        logits = untied_logits(
            x, p["W"], p["c"], p["V"], p["b"], self.order, self.hidden, self.columns
        )
        return logits, x

    def _backward(self, d_outputs: Array, cache: Any) -> Params:
        p = self.params
        grads = untied_backward(
            d_outputs, cache, p["W"], p["c"], p["V"], self.order, self.hidden, self.columns
        )
        return dict(zip(("W", "c", "V", "b"), grads, strict=True))

    def _start(self, n: int, context: Array | None) -> UntiedState:
        p, x = self.params, np.zeros((n, self.n_inputs), self.dtype)
        if context is not None:
            x[:, self.n_inputs - context.shape[1] :] = context
        return UntiedState(
            x, p["W"], p["c"], p["V"], p["b"], self.order, self.hidden, self.columns,
            self.conditional,
        )  # fmt: skip
