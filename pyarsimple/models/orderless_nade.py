"""Orderless NADE: a deep network for every order of the variables, all of them trained at once.

The network reads which variables are known, and their values, and says something of all the others:

    a_1 = c_1 + sum_{j known} (x_j W_1[j] + U[j]),   h_1 = g(a_1),   h_k = g(c_k + h_{k-1} W_k)
    p(x_i = 1 | known) = sigmoid(b_i + V_i . h_last)               of any i that is not known

U is what the network reads of the mask: without it, a variable that is 0 and one that is not known
would look alike. With an order, the known variables are those before i, and the product of these
conditionals is a density; each of the D! orders has its own, and they share all parameters.

Training draws, for each row, d - 1 known variables at random, d uniform in 1..D. Every other one is
then as likely as the next to come d-th, and each is scored at once:

    loss = D / (D - d + 1) * sum_{i not known} -log p(x_i | known)

whose mean over d and over the known variables is the mean of -log p(x) over all orders. So a step
of training is a dense network's, while an exact probability takes D passes, one a variable.

Few unknown variables make a noisy loss: with n = D - d + 1 of them the gradient is D times the mean
of n terms, its square about as 1/n. ``split="balanced"`` draws n with a probability q(n) that falls
as 1/sqrt(n), and divides the loss by D q(n): the same mean, with less noise.

    symbol   shape           what
    x        (N, D)          data, 0 or 1
    known    (N, D)          the mask m: 1 where a variable is known, else 0
    W_1      (D, H_1)        from the values to the first hidden layer; W_k (H_{k-1}, H_k)
    U        (D, H_1)        from the mask to the first hidden layer
    c_k      (H_k,)          biases of hidden layer k
    V        (D, H_last)     V[i] from the last hidden layer to variable i
    b        (D,)            biases of the variables
    logits   (N, D)          of p(x_i = 1 | what is known)

Cost: O(D H + H^2) for a step of training. For log p(x) in an order, or a sample: from one variable
to the next, a_1 changes by x_i W_1[i] + U[i] only and is carried on as NADE's is, and one output is
needed, but the layers above the first are computed anew: O(D H) with one hidden layer, and D H^2
more for each further one (a product (N, H) x (H, H) at each variable).

Unlike the papers, which draw one d for a batch, each row has its own known variables; they draw the
same distribution.

References: Uria, Murray and Larochelle (2014), "A deep and tractable density estimator",
arXiv:1310.1757; Uria et al. (2016), "Neural autoregressive distribution estimation",
arXiv:1605.02226, section 4.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pyarsimple import orders
from pyarsimple._validation import check_size, check_weight
from pyarsimple.activations import activate, activate_slope
from pyarsimple.autoregressive import (
    Array,
    AutoregressiveModel,
    Params,
    State,
    columns_of,
    row_blocks,
)
from pyarsimple.conditionals import Categorical, Conditional
from pyarsimple.orders import Columns, one_each
from pyarsimple.twins import twin

HIDDEN = ("relu", "tanh", "sigmoid")

#: Rows that are walked through together: so many that their hidden units stay in a cache, in bytes.
CACHE = 2 * 2**20


# Above the first activation: the same whatever is known.


@twin
def hidden_layers(a: Array, W: list[Array], c: list[Array], hidden: str) -> list[Array]:
    """h_1, h_2, ..., from the activation a (N, H_1) of the first hidden layer."""
    layers = [activate(a, hidden)]
    for W_k, c_k in zip(W[1:], c[1:], strict=True):
        a = layers[-1] @ W_k
        a += c_k
        layers.append(activate(a, hidden))
    return layers


def hidden_layers_backward(
    d_h: Array, layers: list[Array], W: list[Array], hidden: str, dW: list[Array], dc: list[Array]
) -> Array:
    """d_a (N, H_1) from d_h (N, H_last); adds to the gradients of the layers above the first."""
    for k in reversed(range(1, len(W))):
        d_a = d_h * activate_slope(layers[k], hidden)
        dc[k] += d_a.sum(axis=0)
        dW[k] += layers[k - 1].T @ d_a
        d_h = d_a @ W[k].T
    return d_h * activate_slope(layers[0], hidden)


# One pass: what the network says of all variables, whichever are known. x has zeros where they are
# not.


@twin
def dense_forward(
    x: Array, known: Array, W: list[Array], U: Array, c: list[Array], V: Array, b: Array,
    hidden: str,
) -> tuple[Array, list[Array]]:  # fmt: skip
    """Logits (N, D) given what is known, and the hidden layers that led to them."""
    a = x @ W[0]  # (N, H_1)
    a += known @ U
    a += c[0]
    layers = hidden_layers(a, W, c, hidden)
    logits = layers[-1] @ V.T
    logits += b
    return logits, layers


@twin
def dense_backward(
    d_logits: Array, x: Array, known: Array, layers: list[Array], W: list[Array], V: Array,
    hidden: str,
) -> tuple[list[Array], Array, list[Array], Array, Array]:  # fmt: skip
    """Gradients dW (a list), dU, dc (a list), dV, db."""
    dW, dc = [np.zeros_like(W_k) for W_k in W], [np.zeros_like(W_k[0]) for W_k in W]
    db = d_logits.sum(axis=0)
    dV = d_logits.T @ layers[-1]
    d_a = hidden_layers_backward(d_logits @ V, layers, W, hidden, dW, dc)  # (N, H_1)
    dc[0] += d_a.sum(axis=0)
    dW[0] += x.T @ d_a
    return dW, known.T @ d_a, dc, dV, db


# The walk along an order: each variable is said something of, and then becomes known.


def orderless_logits(
    x: Array, W: list[Array], U: Array, c: list[Array], V: Array, b: Array, order: Array,
    hidden: str, columns: Columns | None = None,
) -> Array:  # fmt: skip
    """Logits of all conditionals in an order, by D passes that share the first activation."""
    columns = columns or one_each(len(order))
    logits = np.empty((len(x), len(b)), x.dtype)  # (N, D)
    for rows in row_blocks(len(x), sum(W_k.itemsize * W_k.shape[1] for W_k in W), CACHE):
        a = first_activation(x[rows], W, c, columns)
        for i in order:
            f, z = columns.of(i)
            logits[rows, z] = hidden_layers(a, W, c, hidden)[-1] @ V[z].T + b[z]
            a += x[rows, f] @ W[0][f] + U[i]
    return logits


def first_activation(x: Array, W: list[Array], c: list[Array], columns: Columns) -> Array:
    """a_1 (N, H_1) while no variable is known: the context, if there is one, always is."""
    a = np.tile(c[0], (len(x), 1))
    if columns.n_context:
        a += x[:, columns.context] @ W[0][columns.context]
    return a


def orderless_backward(
    d_logits: Array, x: Array, W: list[Array], U: Array, c: list[Array], V: Array, order: Array,
    hidden: str, columns: Columns | None = None,
) -> tuple[list[Array], Array, list[Array], Array, Array]:  # fmt: skip
    """Gradients dW (a list), dU, dc (a list), dV, db, by one walk there and one back."""
    columns = columns or one_each(len(order))
    dW, dc = [np.zeros_like(W_k) for W_k in W], [np.zeros_like(c_k) for c_k in c]
    dU, dV = np.zeros_like(U), np.zeros_like(V)
    for rows in row_blocks(len(x), (len(order) + 1) * U[:1].nbytes):  # keeps a of every step
        x_rows, activations = x[rows], []
        a = first_activation(x_rows, W, c, columns)
        for i in order:
            f, _ = columns.of(i)
            activations.append(a.copy())
            a += x_rows[:, f] @ W[0][f] + U[i]

        d_a = np.zeros_like(a)  # (N, H_1)
        for i, a in zip(order[::-1], activations[::-1], strict=True):
            f, z = columns.of(i)
            dW[0][f] += x_rows[:, f].T @ d_a
            dU[i] += d_a.sum(axis=0)
            layers = hidden_layers(a, W, c, hidden)
            dV[z] += d_logits[rows, z].T @ layers[-1]
            d_h = d_logits[rows, z] @ V[z]
            d_a += hidden_layers_backward(d_h, layers, W, hidden, dW, dc)
        dc[0] += d_a.sum(axis=0)
        if columns.n_context:
            dW[0][columns.context] += x_rows[:, columns.context].T @ d_a
    return dW, dU, dc, dV, d_logits.sum(axis=0)


# The sequential view.


class OrderlessState(State):
    """Carries the first activation; a known variable adds its rows of W_1 and U."""

    def __init__(
        self, x: Array, W: list[Array], U: Array, c: list[Array], V: Array, b: Array,
        order: Array, hidden: str, columns: Columns | None, conditional: Conditional,
    ) -> None:  # fmt: skip
        super().__init__(order, len(x), b.dtype, conditional)
        self.W, self.U, self.c, self.V, self.b, self.hidden = W, U, c, V, b, hidden
        self.columns = columns or one_each(len(order))
        self.a = first_activation(x, W, c, self.columns)  # (N, H_1)

    def _outputs(self, i: int) -> Array:
        _, z = self.columns.of(i)
        h = hidden_layers(self.a, self.W, self.c, self.hidden)[-1]
        logits: Array = h @ self.V[z].T + self.b[z]
        return logits

    def _advance(self, i: int, x_i: Array) -> None:
        f, _ = self.columns.of(i)
        self.a += x_i @ self.W[0][f] + self.U[i]


# Training.


#: b, where a variable is unknown with a probability that is a uniform number to the power 1 / b.
SPLITS = {"uniform": 1.0, "balanced": 0.5}


def draw_known(
    n: int, n_dims: int, rng: np.random.Generator, split: str = "uniform"
) -> npt.NDArray[np.bool_]:
    """Which variables are known, for each of n rows, (n, D): any set of them but all.

    One variable, drawn uniformly, is not known; each of the others is with a probability p that is
    drawn for the row. If p is uniform, so is the number of known variables in 0..D-1; and all sets
    of that many are alike whatever p is. The rows have their p spread evenly over its distribution,
    for a loss that varies less: that of each row by itself is as it should be.
    """
    u = rng.permutation((rng.random() + np.arange(n)) / max(n, 1))
    unknown = u ** (1 / SPLITS[split])
    known: npt.NDArray[np.bool_] = rng.random((n, n_dims)) >= unknown[:, np.newaxis]
    known[np.arange(n), rng.integers(n_dims, size=n)] = False
    return known


def loss_factors(n_dims: int, split: str = "uniform") -> Array:
    """The factor of the loss by how many variables are unknown: entry n of (D + 1,), first unused.

    1 / (n q(n)), where q(n) is the probability of n: for the uniform split D / n. As p is a power
    of a uniform number, q is a beta-binomial distribution: q(n + 1) / q(n) = (n - 1 + b) / n.
    """
    n = np.arange(1, n_dims)
    q = np.cumprod(np.append(1.0, (n - 1 + SPLITS[split]) / n))
    factors = np.zeros(n_dims + 1)
    factors[1:] = 1 / (np.arange(1, n_dims + 1) * (q / q.sum()))
    return factors


class OrderlessNADE(AutoregressiveModel):
    """Multi-layer NADE that is trained for all orders. See the module's docstring.

    It has an order of its own, in which it is scored and sampled, and any other for the asking:
    `with_order`, or ``log_prob(x, order=...)``. So it completes any pattern of missing values
    exactly: in an order in which what was observed comes first.

    Parameters
    ----------
    n_dims : int
        D, the number of variables.
    hidden_sizes : sequence of int
        How many units each hidden layer has; at least one layer.
    hidden : {"relu", "tanh", "sigmoid"}
        What g is.
    split : {"uniform", "balanced"}
        How the number of known variables is drawn in training: as in the papers, or more often
        where the gradient varies most, which learns faster. What is estimated is the same.
    conditional, context, order, dtype, rng
        As in `AutoregressiveModel`.

    Attributes
    ----------
    params : dict
        ``W1`` (D, H_1), ``U`` (D, H_1), ``c1`` (H_1,), ``W2`` (H_1, H_2), ``c2``, ..., ``V``
        (D, H_last), ``b`` (D,). For other variables than bits ``W1`` has a row for each feature,
        those of a context last, and ``V`` and ``b`` have one for each output.
    """

    name = "orderless-nade"

    def __init__(
        self,
        n_dims: int,
        hidden_sizes: Sequence[int] = (500, 500),
        *,
        hidden: str = "relu",
        split: str = "uniform",
        conditional: Conditional | None = None,
        context: int | Categorical = 0,
        order: npt.ArrayLike | None = None,
        dtype: Any = "float64",
        rng: Any = None,
    ) -> None:
        if isinstance(hidden_sizes, (str, bytes)) or not isinstance(hidden_sizes, Sequence):
            raise TypeError(
                f"hidden_sizes must be a sequence such as (500, 500), got {hidden_sizes!r}"
            )
        if len(hidden_sizes) == 0:
            raise ValueError("hidden_sizes must have one entry at least: a hidden layer is needed")
        self.hidden_sizes = tuple(check_size(H, "hidden_sizes") for H in hidden_sizes)
        if hidden not in HIDDEN:
            raise ValueError(f"hidden must be one of {', '.join(HIDDEN)}, got {hidden!r}")
        self.hidden = hidden
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        self.split = split
        super().__init__(
            n_dims, order=order, dtype=dtype, rng=rng, conditional=conditional, context=context
        )

    @staticmethod
    def param_shapes(
        *, n_dims: int, hidden_sizes: Sequence[int], **config: Any
    ) -> dict[str, tuple[int, ...]]:
        """W1, U, c1, W2, c2, ..., V and b."""
        columns = columns_of(n_dims=n_dims, **config)
        widths = [columns.n_inputs, *hidden_sizes]
        shapes: dict[str, tuple[int, ...]] = {}
        for k in range(1, len(widths)):
            shapes[f"W{k}"] = (widths[k - 1], widths[k])
            if k == 1:
                shapes["U"] = (n_dims, widths[1])
            shapes[f"c{k}"] = (widths[k],)
        return shapes | {"V": (columns.n_outputs, widths[-1]), "b": (columns.n_outputs,)}

    def config(self) -> dict[str, Any]:
        """The settings from which the model can be made again, as the constructor takes them."""
        mine = {
            "hidden_sizes": list(self.hidden_sizes), "hidden": self.hidden, "split": self.split,
        }  # fmt: skip
        return super().config() | mine | self._config_of_columns()

    def _initial_params(self, rng: np.random.Generator) -> Params:
        params = {}
        gain = 2 if self.hidden == "relu" else 1
        for name, shape in self.param_shapes(**self.config()).items():
            fan_in = shape[0] if name.startswith("W") else shape[-1]
            if name in ("W1", "U"):  # they lead to the same units
                fan_in = self.n_inputs + self.n_dims
            # Small, for learning is fast and steady then: U adds up over all that is known, and V
            # would give opinions before there are any.
            scale = np.sqrt(gain / fan_in) * {"U": 0.3, "V": 0.1}.get(name, 1.0)
            params[name] = rng.normal(0, scale, shape) if len(shape) > 1 else np.zeros(shape)
        return {k: p.astype(self.dtype) for k, p in params.items()}

    def with_order(self, order: npt.ArrayLike | None) -> Self:
        """The same model in another order: it shares the parameters, which stay live in both."""
        other = copy.copy(self)
        other.order = orders.check_order(order, self.n_dims)
        other.order.flags.writeable = False
        return other

    def _bytes_per_row(self) -> int:
        return super()._bytes_per_row() + 3 * 8 * sum(self.hidden_sizes)

    def _weights(self) -> tuple[list[Array], Array, list[Array], Array, Array]:
        """W, U, c, V, b: the live parameters, a list entry a layer."""
        p, n = self.params, range(1, len(self.hidden_sizes) + 1)
        return [p[f"W{k}"] for k in n], p["U"], [p[f"c{k}"] for k in n], p["V"], p["b"]

    def _gather(self, dW: list[Array], dU: Array, dc: list[Array], dV: Array, db: Array) -> Params:
        grads = {f"W{k}": dW_k for k, dW_k in enumerate(dW, 1)}
        grads |= {f"c{k}": dc_k for k, dc_k in enumerate(dc, 1)}
        grads |= {"U": dU, "V": dV, "b": db}
        return {name: grads[name] for name in self.params}

    def _forward(self, x: Array, draw: Any = None) -> tuple[Array, Any]:
        weights = self._weights()
        return orderless_logits(x, *weights, self.order, self.hidden, self.columns), x

    def _backward(self, d_outputs: Array, cache: Any) -> Params:
        W, U, c, V, _ = self._weights()
        return self._gather(
            *orderless_backward(d_outputs, cache, W, U, c, V, self.order, self.hidden, self.columns)
        )

    def _hidden(self, x: Array) -> Array:
        everything = np.ones((len(x), self.n_dims), x.dtype)
        return dense_forward(x, everything, *self._weights(), self.hidden)[1][-1]

    def _start(self, n: int, context: Array | None) -> OrderlessState:
        x = np.zeros((n, self.n_inputs), self.dtype)
        if context is not None and self.columns is not None:
            x[:, self.columns.context] = context
        return OrderlessState(
            x, *self._weights(), self.order, self.hidden, self.columns, self.conditional
        )

    # All orders at once.

    def _draw(self, n: int, rng: np.random.Generator) -> Any:
        return None if self.n_dims == 1 else draw_known(n, self.n_dims, rng, self.split)

    def _given(
        self, x: Array, known: Array, context: Array | None
    ) -> tuple[Array, Array, Array, Array]:
        """x and features with zeros where they are not known, the mask, and each entry's factor."""
        x, features = self._features(x, context)
        mask = known.astype(self.dtype)  # (N, D)
        if self.columns is None:
            features = features * mask
        else:
            variables = np.repeat(np.arange(self.n_dims), np.diff(self.columns.features))
            features = features.copy()
            features[:, : len(variables)] *= mask[:, variables]
        left = self.n_dims - known.sum(axis=1)  # D - d + 1
        factor = loss_factors(self.n_dims, self.split)[left]
        factor = (factor[:, np.newaxis] * ~known).astype(self.dtype)
        return x, features, mask, factor

    def _loss_and_grads(
        self, x: Array, draw: Any, context: npt.ArrayLike | None, weight: npt.ArrayLike | None
    ) -> tuple[float, Params]:
        if draw is None:
            return super()._loss_and_grads(x, None, context, weight)
        self._check_params()
        x, features, mask, factor = self._given(x, draw, self._check_context(context, len(x)))
        W, U, c, V, b = self._weights()
        outputs, layers = dense_forward(features, mask, W, U, c, V, b, self.hidden)
        share = np.ones(len(x)) if weight is None else check_weight(weight, len(x))
        factor *= (share / share.sum()).astype(self.dtype)[:, np.newaxis]
        loss = -(factor * self.conditional.log_p(outputs, x)).sum(dtype=np.float64)
        d_outputs = self.conditional.d_outputs(outputs, x, factor)
        grads = dense_backward(d_outputs, features, mask, layers, W, V, self.hidden)
        return float(loss), self._gather(*grads)

    def nll_over_orders(
        self, x: npt.ArrayLike, context: npt.ArrayLike | None = None, *, rng: Any = None
    ) -> npt.NDArray[np.float64]:
        """An estimate of each row's -log p(x), in nats, averaged over all orders, by one pass.

        It is unbiased, and noisy: a row's error may be as large as the figure itself, the mean of
        10000 rows is good to some tenths of a nat.

        Parameters
        ----------
        x : array_like of bits, shape (N, D)
        context : array_like, optional
            As in `forward`.
        rng : None, int, SeedSequence, BitGenerator or Generator
            For what is known of each row, as in SPEC 7.

        Returns
        -------
        ndarray of float64, shape (N,)
        """
        self._check_params()
        data: Array = self.conditional.check(x, self.n_dims)
        n = len(data)
        y = self._check_context(context, n)
        known = draw_known(n, self.n_dims, np.random.default_rng(rng), self.split)
        result = np.empty(n)
        for rows in row_blocks(n, self._bytes_per_row(), 16 * CACHE):
            y_rows = y if y is None or len(y) == 1 else y[rows]
            x_rows, features, mask, factor = self._given(data[rows], known[rows], y_rows)
            outputs, _ = dense_forward(features, mask, *self._weights(), self.hidden)
            log_p = self.conditional.log_p(outputs, x_rows)
            result[rows] = -(factor * log_p).sum(axis=1, dtype=np.float64)
        return result

    def validation_nll(
        self, x: npt.ArrayLike, context: npt.ArrayLike | None = None
    ) -> npt.NDArray[np.float64]:
        """What training compares epochs by: `nll_over_orders` with the same draw each time."""
        return self.nll_over_orders(x, context, rng=0)

    def log_prob(
        self,
        x: npt.ArrayLike,
        context: npt.ArrayLike | None = None,
        *,
        order: npt.ArrayLike | None = None,
        observed: npt.ArrayLike | None = None,
        rng: Any = None,
    ) -> npt.NDArray[np.float64]:
        """log p(x) of each row, in nats, exact, in an order; that of the model if it is None.

        Parameters
        ----------
        x, context, observed, rng
            As in `AutoregressiveModel.log_prob`. Of some variables it is exact whatever they are:
            the model is asked in an order in which they come first.
        order : array_like of int, shape (D,), optional
            ``order[k]`` is the variable in position k.
        """
        model = self if order is None else self.with_order(order)
        return AutoregressiveModel.log_prob(model, x, context, observed=observed, rng=rng)
