"""MADE, the masked autoencoder: one network for all conditionals, made causal by masks.

    h_1 = g(c_1 + x (W_1 * M_1)),    h_2 = g(c_2 + h_1 (W_2 * M_2)),    ...
    logits = b + h_last (V * M_V)^T  [+ x (A * M_A)^T, the direct links]

Every hidden unit has a degree m: it may see the first m variables of the order, and no others. A
weight is free where that holds, and masked (as if it were 0) elsewhere:

    from variable j to a unit of degree m       if position(j) < m      (positions from 0)
    from a unit of degree m to one of degree m' if m <= m'
    from a unit of degree m to variable i       if m <= position(i)
    from variable j to variable i, directly     if position(j) < position(i)

Along any path the positions never fall back, so no output depends on its own variable or a later
one.

    symbol   shape          what
    x        (N, D)         data, 0 or 1
    W_1      (D, H_1)       from the variables to the first hidden layer; W_k (H_{k-1}, H_k)
    c_k      (H_k,)         biases of hidden layer k
    V        (D, H_last)    V[i] from the last hidden layer to variable i
    b        (D,)           biases of the variables
    A        (D, D)         A[i, j] from x_j to variable i, if there are direct links
    m        (H_k,)         the degrees of layer k, in 1..D-1 (all 0 where D = 1)
    logits   (N, D)         of p(x_i = 1 | x_<i)

Without hidden layers V is (D, D), from the variables themselves, and masked as A is.

Cost: that of the plain autoencoder for a probability or its gradient, and the same for a sample: a
unit of degree m is computed once, as soon as its m variables are known. (The paper's sampler runs
the whole network D times.)

Unlike the paper, W and c lead into a hidden layer and V and b out of the last, as in the other
models (the paper swaps b and c); and random degrees are drawn so that no layer lacks a degree where
it has the units for all of them: independent draws would cut paths that the order allows.

Reference: Germain et al. (2015), "MADE: Masked autoencoder for distribution estimation",
arXiv:1502.03509, equations 8 to 14.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
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
    check_context,
    columns_of,
    draw_dropout,
    fill_in,
)
from pyarsimple.conditionals import Bernoulli, Categorical, Conditional
from pyarsimple.orders import Columns, one_each, positions, precedes
from pyarsimple.twins import twin

HIDDEN = ("relu", "tanh", "sigmoid")


# The degrees and the masks that follow from them.


def spread_degrees(n_units: int, n_dims: int, lowest: int = 1) -> Array:
    """Degrees from 1 to D-1, ascending, each for as many units as the others, or one more.

    With a context the lowest degree is 0: units that see the context only, for the first variable.
    """
    if n_dims == 1:
        return np.zeros(n_units, np.intp)
    return lowest + np.arange(n_units, dtype=np.intp) * (n_dims - lowest) // n_units


def random_degrees(n_units: int, n_dims: int, rng: np.random.Generator, lowest: int = 1) -> Array:
    """Degrees from 1 to D-1 at random, each of them present if there are units enough."""
    if n_dims == 1:
        return np.zeros(n_units, np.intp)
    n_degrees = n_dims - lowest
    rounds = [rng.permutation(n_degrees)]
    if n_units > n_degrees:
        rounds.append(rng.integers(n_degrees, size=n_units - n_degrees))
    return np.sort(lowest + np.concatenate(rounds)[:n_units]).astype(np.intp)


def make_masks(
    order: Array, degrees: Sequence[Array], columns: Columns | None = None
) -> list[npt.NDArray[np.bool_]]:
    """Masks of W_1, W_2, ..., V: true where a weight is free."""
    if not degrees:
        return [precedes(order, columns)]
    inputs, outputs = positions(order, columns)  # (D,) each
    first = inputs[:, np.newaxis] < degrees[0]  # (D, H_1)
    between = [m[:, np.newaxis] <= n for m, n in pairwise(degrees)]
    last = degrees[-1] <= outputs[:, np.newaxis]  # (D, H_last)
    return [first, *between, last]


# The parallel view. Weights come masked: W_k is np.where(M_k, W_k, 0), and so are V and A.
# `keeps`, if given, holds for each hidden layer what multiplies its units (N, H_k): dropout.


def made_forward(
    x: Array, W: list[Array], c: list[Array], V: Array, b: Array, A: Array | None, hidden: str,
    keeps: list[Array] | None,
) -> tuple[Array, list[Array]]:  # fmt: skip
    """Logits of all conditionals, and the layers that led to them: x, h_1, h_2, ..."""
    layers = [x]
    for k in range(len(W)):
        h = activate(layers[-1] @ W[k] + c[k], hidden)  # (N, H_k)
        if keeps is not None:
            h *= keeps[k]
        layers.append(h)
    logits = layers[-1] @ V.T + b  # (N, D)
    if A is not None:
        logits += x @ A.T
    return logits, layers


def made_backward(
    d_logits: Array, layers: list[Array], W: list[Array], V: Array, A: Array | None, hidden: str,
    keeps: list[Array] | None,
) -> tuple[list[Array], list[Array], Array, Array, Array | None]:  # fmt: skip
    """Gradients dW, dc (lists), dV, db, dA from d_logits (N, D); not masked yet."""
    dA = None if A is None else d_logits.T @ layers[0]  # (D, D)
    db = d_logits.sum(axis=0)
    dV = d_logits.T @ layers[-1]  # (D, H_last)
    d_h = d_logits @ V  # (N, H_last)
    dW, dc = [], []
    for k in reversed(range(len(W))):
        h = layers[k + 1]
        if keeps is None:
            d_a = d_h * activate_slope(h, hidden)
        else:  # h is g(a) * keep; a unit that was dropped has keep = 0 and passes nothing back
            g = np.divide(h, keeps[k], out=np.zeros_like(h), where=keeps[k] != 0)
            d_a = d_h * keeps[k] * activate_slope(g, hidden)
        dc.append(d_a.sum(axis=0))
        dW.append(layers[k].T @ d_a)
        d_h = d_a @ W[k].T
    return dW[::-1], dc[::-1], dV, db, dA


# The same for weights that are not masked yet: their compiled twins multiply only what is free.


def mask_weights(
    W: Sequence[Array], V: Array, A: Array | None, order: Array, degrees: Sequence[Array],
    columns: Columns | None = None,
) -> tuple[list[Array], Array, Array | None]:  # fmt: skip
    """W, V and A with zeros where they are masked, whatever stands there."""
    masks = make_masks(order, degrees, columns)
    *W, V = [np.where(mask, p, 0) for mask, p in zip(masks, [*W, V], strict=True)]
    return W, V, None if A is None else np.where(precedes(order, columns), A, 0)


@twin
def made_layers(
    x: Array, W: list[Array], c: list[Array], V: Array, b: Array, A: Array | None, order: Array,
    degrees: list[Array], hidden: str, keeps: list[Array] | None, columns: Columns | None = None,
) -> tuple[Array, list[Array]]:  # fmt: skip
    """`made_forward` through the masks."""
    W, V, A = mask_weights(W, V, A, order, degrees, columns)
    return made_forward(x, W, c, V, b, A, hidden, keeps)


@twin
def made_gradients(
    d_logits: Array, layers: list[Array], W: list[Array], V: Array, A: Array | None, order: Array,
    degrees: list[Array], hidden: str, keeps: list[Array] | None, columns: Columns | None = None,
) -> tuple[list[Array], list[Array], Array, Array, Array | None]:  # fmt: skip
    """`made_backward` through the masks: gradients that are 0 where a mask is."""
    W, V, A = mask_weights(W, V, A, order, degrees, columns)
    dW, dc, dV, db, dA = made_backward(d_logits, layers, W, V, A, hidden, keeps)
    dW, dV, dA = mask_weights(dW, dV, dA, order, degrees, columns)
    return dW, dc, dV, db, dA


# The sequential view.


class MADEState(State):
    """Carries every unit's sum over what it sees; each unit passes its value on once.

    When the variable in position m-1 becomes known, the units of degree m have seen all that they
    may see: their values are final, and are added to the sums of later layers and of the logits.
    """

    def __init__(
        self, n: int, W: list[Array], c: list[Array], V: Array, b: Array, A: Array | None,
        order: Array, degrees: list[Array], hidden: str, columns: Columns | None = None,
        conditional: Conditional | None = None, context: Array | None = None,
    ) -> None:  # fmt: skip
        super().__init__(order, n, b.dtype, conditional)
        self.columns = columns or one_each(len(order))
        self.degrees, self.hidden = degrees, hidden
        self.inputs, self.outputs_at = positions(order, columns)
        self.W, self.V, self.A = mask_weights(W, V, A, order, degrees, columns)
        self.a = [np.tile(c_k, (n, 1)) for c_k in c]  # of each layer (N, H_k)
        self.logits = np.tile(b, (n, 1))  # (N, P): complete for the next variable
        if context is not None:
            self._take_in(self.columns.context, context)
        self._pass_on(0)  # units of degree 0 see no variable and are final at once

    def _outputs(self, i: int) -> Array:
        return self.logits[:, self.columns.of(i)[1]].copy()

    def _advance(self, i: int, x_i: Array) -> None:
        self._take_in(self.columns.of(i)[0], x_i)
        self._pass_on(self.position + 1)  # as many variables are known now

    def _take_in(self, f: slice, x_f: Array) -> None:
        """Add what the features f (N, F_i) give to all that sees them; masks are in the weights."""
        if self.A is not None:
            self.logits += x_f @ self.A[:, f].T
        if self.W:
            self.a[0] += x_f @ self.W[0][f]
        else:
            self.logits += x_f @ self.V[:, f].T

    def _pass_on(self, m: int) -> None:
        """Add the final units of degree m, layer by layer, to whatever sees them."""
        for k, degrees in enumerate(self.degrees):
            new = np.flatnonzero(degrees == m)
            h = activate(self.a[k][:, new], self.hidden)  # (N, how many are new)
            if k + 1 < len(self.degrees):
                sees = np.flatnonzero(self.degrees[k + 1] >= m)
                self.a[k + 1][:, sees] += h @ self.W[k + 1][np.ix_(new, sees)]
            else:
                later = np.flatnonzero(self.outputs_at >= m)
                self.logits[:, later] += h @ self.V[np.ix_(later, new)].T


@twin
def made_sample(
    x: Array, n_known: int, uniforms: Array, W: list[Array], c: list[Array], V: Array, b: Array,
    A: Array | None, order: Array, degrees: list[Array], hidden: str,
) -> Array:  # fmt: skip
    """Return x with the variables from position n_known on drawn: 1 where uniform < p."""
    state = MADEState(len(x), W, c, V, b, A, order, degrees, hidden)
    return fill_in(state, x, n_known, uniforms, Bernoulli())


class MADE(AutoregressiveModel):
    """Masked autoencoder for distribution estimation. See the module's docstring for the equations.

    Parameters
    ----------
    n_dims : int
        D, the number of variables.
    hidden_sizes : sequence of int
        How many units each hidden layer has; none at all gives the FVSBN's conditionals.
    hidden : {"relu", "tanh", "sigmoid"}
        What g is.
    degrees : {"spread", "random"} or list of array_like of int
        Of the hidden units: spread evenly over 1..D-1, drawn at random (by ``rng``), or given,
        one array a layer.
    direct : bool
        Whether there are direct links from inputs to outputs, ``A``.
    dropout : float
        The chance of each hidden unit to be dropped in the training loss.
    conditional, context, order, dtype, rng
        As in `AutoregressiveModel`.

    Attributes
    ----------
    params : dict
        ``W1`` (D, H_1), ``c1`` (H_1,), ``W2``, ``c2``, ..., ``V`` (D, H_last), ``b`` (D,), and
        ``A`` (D, D) if there are direct links. Masked entries change nothing and have gradient 0.
        For other variables than bits ``W1`` has a row for each feature, those of a context last,
        ``V`` and ``b`` one for each output, and ``A`` is (outputs, features).
    degrees : list of ndarray of int
    """

    name = "made"

    def __init__(
        self,
        n_dims: int,
        hidden_sizes: Sequence[int] = (500,),
        *,
        hidden: str = "relu",
        degrees: str | Sequence[npt.ArrayLike] = "spread",
        direct: bool = False,
        dropout: float = 0.0,
        conditional: Conditional | None = None,
        context: int | Categorical = 0,
        order: npt.ArrayLike | None = None,
        dtype: Any = "float64",
        rng: Any = None,
    ) -> None:
        if isinstance(hidden_sizes, (str, bytes)) or not isinstance(hidden_sizes, Sequence):
            raise TypeError(
                f"hidden_sizes must be a sequence such as (500,) or (), got {hidden_sizes!r}"
            )
        self.hidden_sizes = tuple(check_size(H, "hidden_sizes") for H in hidden_sizes)
        if hidden not in HIDDEN:
            raise ValueError(f"hidden must be one of {', '.join(HIDDEN)}, got {hidden!r}")
        self.hidden = hidden
        self.direct = bool(direct)
        self.dropout = check_number(dropout, "dropout", high=1)
        rng = np.random.default_rng(rng)
        lowest = 0 if check_context(context) else 1
        self.degrees = self._make_degrees(degrees, check_size(n_dims, "n_dims"), lowest, rng)
        super().__init__(
            n_dims, order=order, dtype=dtype, rng=rng, conditional=conditional, context=context
        )

    def _make_degrees(
        self,
        degrees: str | Sequence[npt.ArrayLike],
        D: int,
        lowest: int,
        rng: np.random.Generator,
    ) -> list[Array]:
        if isinstance(degrees, str):
            if degrees == "spread":
                return [spread_degrees(H, D, lowest) for H in self.hidden_sizes]
            if degrees == "random":
                return [random_degrees(H, D, rng, lowest) for H in self.hidden_sizes]
            raise ValueError(f"degrees must be 'spread', 'random' or arrays, got {degrees!r}")
        try:
            given = [np.array(m) for m in degrees]
        except TypeError:  # not a sequence
            raise TypeError(
                f"degrees must be 'spread', 'random' or arrays, got {degrees!r}"
            ) from None
        shapes = [(H,) for H in self.hidden_sizes]
        if [m.shape for m in given] != shapes or any(m.dtype.kind not in "iu" for m in given):
            raise ValueError(
                f"degrees must be one array of whole numbers for each hidden layer, of shapes "
                f"{shapes}, got shapes {[m.shape for m in given]}"
            )
        if any(m.min() < 0 or m.max() > D - 1 for m in given):
            raise ValueError(
                f"degrees must lie in 0..{D - 1}: a unit of degree {D} would feed no output"
            )
        return [m.astype(np.intp) for m in given]

    @staticmethod
    def param_shapes(
        *, hidden_sizes: Sequence[int], direct: bool, **config: Any
    ) -> dict[str, tuple[int, ...]]:
        """W1, c1, ..., V, b and A."""
        columns = columns_of(**config)
        F, P = columns.n_inputs, columns.n_outputs
        widths = [F, *hidden_sizes]
        shapes: dict[str, tuple[int, ...]] = {}
        for k in range(1, len(widths)):
            shapes[f"W{k}"] = (widths[k - 1], widths[k])
            shapes[f"c{k}"] = (widths[k],)
        shapes |= {"V": (P, widths[-1]), "b": (P,)}
        return shapes | {"A": (P, F)} if direct else shapes

    def config(self) -> dict[str, Any]:
        """The settings from which the model can be made again, as the constructor takes them."""
        return (
            super().config()
            | self._config_of_columns()
            | {
                "hidden_sizes": list(self.hidden_sizes),
                "hidden": self.hidden,
                "degrees": [m.tolist() for m in self.degrees],
                "direct": self.direct,
                "dropout": self.dropout,
            }
        )

    def _initial_params(self, rng: np.random.Generator) -> Params:
        params = {}
        masks = self.masks()
        for name, shape in self.param_shapes(**self.config()).items():
            if name in masks:
                n_inputs = shape[0] if name.startswith("W") else shape[1]
                scale = np.sqrt((2 if self.hidden == "relu" else 1) / n_inputs)
                scale *= 0.1 if name == "A" else 1.0
                params[name] = np.where(masks[name], rng.normal(0, scale, shape), 0)
            else:
                params[name] = np.zeros(shape)
        return {k: p.astype(self.dtype) for k, p in params.items()}

    def masks(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Where W1, W2, ..., V and A are free."""
        names = [f"W{k + 1}" for k in range(len(self.hidden_sizes))]
        made = make_masks(self.order, self.degrees, self.columns)
        masks = dict(zip([*names, "V"], made, strict=True))
        return masks | {"A": precedes(self.order, self.columns)} if self.direct else masks

    def dependencies(self) -> npt.NDArray[np.bool_]:
        """Which variable depends on which: the product of the masks of all layers."""
        masks = [m.astype(np.float64) for m in make_masks(self.order, self.degrees)]
        reach = masks[-1]  # (D, H_last): from each unit to each variable
        for M in masks[-2::-1]:
            reach = (reach @ M.T > 0).astype(np.float64)
        return (reach > 0) | (precedes(self.order) if self.direct else False)

    def _bytes_per_row(self) -> int:
        return super()._bytes_per_row() + 3 * 8 * sum(self.hidden_sizes)

    def _draw(self, n: int, rng: np.random.Generator) -> Any:
        if self.dropout == 0 or not self.hidden_sizes:
            return None
        return [draw_dropout(rng, (n, H), self.dropout, self.dtype) for H in self.hidden_sizes]

    def _weights(self) -> tuple[list[Array], list[Array], Array, Array, Array | None]:
        """W, c, V, b, A: the live parameters, a list entry a layer."""
        p, n = self.params, range(1, len(self.hidden_sizes) + 1)
        return [p[f"W{k}"] for k in n], [p[f"c{k}"] for k in n], p["V"], p["b"], p.get("A")

    def _forward(self, x: Array, draw: Any = None) -> tuple[Array, Any]:
        logits, layers = made_layers(
            x, *self._weights(), self.order, self.degrees, self.hidden, draw, self.columns
        )
        return logits, (layers, draw)

    def _backward(self, d_outputs: Array, cache: Any) -> Params:
        layers, draw = cache
        W, _, V, _, A = self._weights()
        dW, dc, dV, db, dA = made_gradients(
            d_outputs, layers, W, V, A, self.order, self.degrees, self.hidden, draw, self.columns
        )
        grads = {f"W{k}": dW_k for k, dW_k in enumerate(dW, 1)}
        grads |= {f"c{k}": dc_k for k, dc_k in enumerate(dc, 1)}
        grads |= {"V": dV, "b": db} | ({} if dA is None else {"A": dA})
        return {name: grads[name] for name in self.params}

    def _hidden(self, x: Array) -> Array:
        if not self.hidden_sizes:
            return super()._hidden(x)  # refuses
        layers: list[Array] = MADE._forward(self, x)[1][0]
        return layers[-1]

    def _start(self, n: int, context: Array | None) -> MADEState:
        return MADEState(
            n, *self._weights(), self.order, self.degrees, self.hidden, self.columns,
            self.conditional, context,
        )  # fmt: skip

    def _fill_in_bits(self, x: Array, n_known: int, uniforms: Array) -> Array:
        return made_sample(
            x, n_known, uniforms, *self._weights(), self.order, self.degrees, self.hidden
        )
