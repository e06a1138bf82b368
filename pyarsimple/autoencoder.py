"""The autoencoder that MADE masks: the same network with every weight free, and no density at all.

    h_1 = g(c_1 + x W_1),    h_2 = g(c_2 + h_1 W_2),    ...
    r_i = sigmoid(b_i + V_i . h_last)                  what it makes of x_i, having seen x_i

It is trained to give back what it was given: to lower the same sum of logistic losses as MADE,

    reconstruction loss = -sum_i [x_i log r_i + (1 - x_i) log(1 - r_i)]

which in MADE is -log p(x), for there r_i has seen what comes before x_i only, and the chain rule
makes a probability of the product. Here the product of the r_i is none. A network with units enough
copies each bit, and then exp(-loss) is 1 for every x: over all of {0,1}^D it sums to 2^D, not to 1.
So it has no ``log_prob`` and no samples, and is in no list of densities here.

    symbol   shape          what
    x        (N, D)         data, 0 or 1
    W_1      (D, H_1)       from the variables to the first hidden layer; W_k (H_{k-1}, H_k)
    c_k      (H_k,)         biases of hidden layer k
    V        (D, H_last)    from the last hidden layer to the variables
    b        (D,)           biases of the variables
    r        (N, D)         the reconstruction, numbers in (0, 1)

The forward and backward passes are `made_forward` and `made_backward`, to the letter: what masks do
to MADE happens before them, and here nothing does.

Reference: Germain et al. (2015), "MADE: Masked autoencoder for distribution estimation",
arXiv:1502.03509, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_dtype, check_size
from pyarsimple.autoregressive import Array, Params
from pyarsimple.conditionals import Bernoulli
from pyarsimple.models.made import HIDDEN, made_backward, made_forward
from pyarsimple.optimizers import LBFGS, Optimizer, make_optimizer


class Autoencoder:
    """An autoencoder of bits. See the module's docstring for the equations.

    Parameters
    ----------
    n_dims : int
        D, the number of variables.
    hidden_sizes : sequence of int
        How many units each hidden layer has, one layer at least.
    hidden : {"relu", "tanh", "sigmoid"}
        What g is.
    dtype : {"float64", "float32"}
    rng : None, int, SeedSequence, BitGenerator or Generator
        For the initial parameters, as in SPEC 7.

    Attributes
    ----------
    params : dict
        ``W1``, ``c1``, ``W2``, ``c2``, ..., ``V`` (D, H_last), ``b`` (D,), as in MADE.
    """

    def __init__(
        self,
        n_dims: int,
        hidden_sizes: Sequence[int] = (500,),
        *,
        hidden: str = "relu",
        dtype: Any = "float64",
        rng: Any = None,
    ) -> None:
        self.n_dims = check_size(n_dims, "n_dims")
        if isinstance(hidden_sizes, (str, bytes)) or not isinstance(hidden_sizes, Sequence):
            raise TypeError(f"hidden_sizes must be a sequence such as (500,), got {hidden_sizes!r}")
        self.hidden_sizes = tuple(check_size(H, "hidden_sizes") for H in hidden_sizes)
        if not self.hidden_sizes:
            raise ValueError("hidden_sizes must have a layer at least, such as (500,), got ()")
        if hidden not in HIDDEN:
            raise ValueError(f"hidden must be one of {', '.join(HIDDEN)}, got {hidden!r}")
        self.hidden = hidden
        self.dtype = check_dtype(dtype)
        self.params = self._initial_params(np.random.default_rng(rng))

    def _initial_params(self, rng: np.random.Generator) -> Params:
        params: Params = {}
        widths = [self.n_dims, *self.hidden_sizes]
        gain = 2 if self.hidden == "relu" else 1
        for k, (n_inputs, n_units) in enumerate(pairwise(widths), 1):
            params[f"W{k}"] = rng.normal(0, np.sqrt(gain / n_inputs), (n_inputs, n_units))
            params[f"c{k}"] = np.zeros(n_units)
        H = widths[-1]
        params["V"] = rng.normal(0, np.sqrt(gain / H), (self.n_dims, H))
        params["b"] = np.zeros(self.n_dims)
        return {name: p.astype(self.dtype) for name, p in params.items()}

    def __repr__(self) -> str:
        return f"Autoencoder({self.n_dims}, {self.hidden_sizes}, hidden={self.hidden!r})"

    def _layers(self) -> tuple[list[Array], list[Array]]:
        """W and c, a list entry a layer."""
        p, n = self.params, range(1, len(self.hidden_sizes) + 1)
        return [p[f"W{k}"] for k in n], [p[f"c{k}"] for k in n]

    def _check(self, x: npt.ArrayLike) -> Array:
        return np.ascontiguousarray(Bernoulli().check(x, self.n_dims), dtype=self.dtype)

    def forward(self, x: npt.ArrayLike) -> tuple[Array, Any]:
        """Logits of the reconstruction, (N, D), and a cache for `backward`; x (N, D) are bits."""
        W, c = self._layers()
        logits, layers = made_forward(
            self._check(x), W, c, self.params["V"], self.params["b"], None, self.hidden, None
        )
        return logits, layers

    def backward(self, d_logits: npt.ArrayLike, cache: Any) -> Params:
        """Gradients, keyed and shaped as ``params``, from those of the logits (N, D)."""
        W, _ = self._layers()
        d_logits = np.ascontiguousarray(d_logits, dtype=self.dtype)
        dW, dc, dV, db, _ = made_backward(
            d_logits, cache, W, self.params["V"], None, self.hidden, None
        )
        grads = {f"W{k}": d for k, d in enumerate(dW, 1)}
        grads |= {f"c{k}": d for k, d in enumerate(dc, 1)} | {"V": dV, "b": db}
        return {name: grads[name] for name in self.params}

    def reconstruct(self, x: npt.ArrayLike) -> Array:
        """What the network makes of each bit when it sees all of them: r (N, D), in (0, 1)."""
        return Bernoulli().decode(self.forward(x)[0])

    def reconstruction_loss(self, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """-sum_i log of what r gives to x_i, of each row, (N,), in nats: no -log p(x)."""
        x = self._check(x)
        log_r = Bernoulli().log_p(self.forward(x)[0], x)
        loss: npt.NDArray[np.float64] = -log_r.sum(axis=1, dtype=np.float64)
        return loss

    def loss_and_grads(self, x: npt.ArrayLike) -> tuple[float, Params]:
        """Mean reconstruction loss of the rows, in nats, and its exact gradient."""
        x = self._check(x)
        if not len(x):
            raise ValueError("x has no rows: the mean loss of no rows is not defined")
        logits, cache = self.forward(x)
        loss = -Bernoulli().log_p(logits, x).sum(axis=1, dtype=np.float64).mean()
        d_logits = Bernoulli().d_outputs(logits, x, 1 / len(x))
        return float(loss), self.backward(d_logits, cache)

    def fit(
        self,
        x: npt.ArrayLike,
        *,
        optimizer: str | Optimizer = "adam",
        batch_size: int = 100,
        max_epochs: int = 100,
        rng: Any = None,
    ) -> list[float]:
        """Train the network to reconstruct the rows of x (N, D).

        Returns
        -------
        list of float
            The mean reconstruction loss over the batches of each epoch, in nats.
        """
        x = self._check(x)
        if not len(x):
            raise ValueError("x has no rows to learn from")
        batch_size = check_size(batch_size, "batch_size")
        steps = make_optimizer(optimizer)
        if isinstance(steps, LBFGS):
            raise ValueError("optimizer must be one that takes batches, such as 'adam'")
        rng = np.random.default_rng(rng)
        losses = []
        for _ in range(check_size(max_epochs, "max_epochs", minimum=0)):
            rows, total = rng.permutation(len(x)), 0.0
            for start in range(0, len(x), batch_size):
                batch = x[rows[start : start + batch_size]]
                loss, grads = self.loss_and_grads(batch)
                steps.update(self.params, grads)
                total += loss * len(batch)
            losses.append(total / len(x))
        return losses
