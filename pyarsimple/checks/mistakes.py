"""Gradients as known mistakes would give them, so that a mistake can be recognised exactly.

These are FVSBN, NADE and MADE once more, short and slow, each with a switch for what students (and
we) got wrong. The letters are those of the models' own files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple import orders
from pyarsimple.activations import activate, activate_slope
from pyarsimple.checks.causes import Suspect
from pyarsimple.conditionals import sigmoid

Array = npt.NDArray[Any]
Params = Mapping[str, Array]

#: kind, text, equation of each mistake in the backward pass, by the name of its switch.
MISTAKES = {
    "slope": (
        "slope",
        "exactly what a missing derivative of the hidden units gives",
        "d_a = d_h * g'(a); for the sigmoid d_h * h * (1 - h)",
    ),
    "overwrite": (
        "last-step",
        "of the sum over later variables only one step is kept: = where += is meant",
        "d_a += d_h * g'(a_i), for every variable i",
    ),
    "own": (
        "shifted",
        "shifted by one variable: x_i must not get the gradient of its own conditional",
        "dW_i = x_i d_a before d_a takes up variable i",
    ),
    "late": (
        "shifted",
        "shifted by one variable: h of the next variable is used, after x_i was added",
        "dV_i = d_i h_i with h_i = g(a_i), before a_{i+1} = a_i + x_i W_i",
    ),
    "x-shift": (
        "shifted",
        "shifted by one variable: the x of the variable before is used",
        "dW_i = x_i d_a",
    ),
    "unmasked": (
        "mask",
        "the backward pass goes through weights that are masked in the forward pass",
        "d_h = d_logits @ (V * M_V)",
    ),
}

#: The same for mistakes in what comes from above: the gradient with respect to the logits.
UPSTREAM = {
    "output-slope": (
        "output-slope",
        "the derivative p (1 - p) of the output's sigmoid is there once too often (or the loss is "
        "a squared error's)",
        "d_logits = (p - x) / N",
    ),
    "no-sigmoid": (
        "output-sigmoid",
        "the sigmoid of the output is forgotten: logits are taken for probabilities",
        "d_logits = (sigmoid(logits) - x) / N",
    ),
    "ones": ("upstream", "upstream ignored, as if it were all ones", "d_a from d_outputs"),
    "nll": ("upstream", "upstream ignored: it is (p - x) / N always", "d_a from d_outputs"),
}

SWITCHES = {
    "fvsbn": ("x-shift",),
    "nade": ("slope", "overwrite", "own", "late", "x-shift"),
    "made": ("slope", "unmasked", "x-shift"),
}


def known_mistakes(
    family: str,
    params: Params,
    x: npt.ArrayLike,
    *,
    order: npt.ArrayLike | None = None,
    hidden: str | None = None,
    masks: Mapping[str, Array] | None = None,
    upstream: npt.ArrayLike | None = None,
) -> list[Suspect]:
    """Gradients of well-known mistakes, for the ``suspects`` of `check_gradients`.

    Parameters
    ----------
    family : {"fvsbn", "nade", "made"}
        Whose equations the code under test follows.
    params : dict of str to ndarray
        The point of the check, named and shaped as in our model.
    x : array_like of bits, shape (N, D)
    order : array_like of int, shape (D,), optional
    hidden : {"sigmoid", "relu", "tanh"}, optional
        Our model's default unless given.
    masks : dict of str to ndarray of bool, optional
        As ``MADE.masks()`` returns them: needed for MADE.
    upstream : array_like, shape (N, D), optional
        The gradient with respect to the logits; that of the mean negative log-likelihood unless
        given.

    Returns
    -------
    list of Suspect
    """
    if family not in SWITCHES:
        raise ValueError(f"family must be one of {', '.join(SWITCHES)}, got {family!r}")
    x = np.asarray(x, dtype=np.float64)
    backward = _Family(family, params, x, order, hidden, masks)
    z = backward.logits
    nll = (sigmoid(z) - x) / len(x)
    d = nll if upstream is None else np.asarray(upstream, np.float64)
    found = [Suspect(*MISTAKES[s], backward(d, s)) for s in SWITCHES[family]]
    if upstream is None:
        wrong = {"output-slope": d * sigmoid(z) * sigmoid(-z), "no-sigmoid": (z - x) / len(x)}
    else:
        wrong = {"ones": np.ones_like(d), "nll": nll}
    return found + [Suspect(*UPSTREAM[s], backward(d, "")) for s, d in wrong.items()]


class _Family:
    """The forward pass of a model once; its backward pass with a switch."""

    def __init__(
        self, family: str, params: Params, x: Array, order: npt.ArrayLike | None,
        hidden: str | None, masks: Mapping[str, Array] | None,
    ) -> None:  # fmt: skip
        D = x.shape[1]
        self.params, self.x = dict(params), x
        self.order = orders.check_order(order, D)
        self.hidden = hidden or ("relu" if family == "made" else "sigmoid")
        self.masks = dict(masks or {})
        if family == "fvsbn":
            self.masks.setdefault("W", orders.precedes(self.order))
        self.backward = getattr(self, f"_{family}_backward")
        self.logits: Array = getattr(self, f"_{family}_forward")()
        before = self.order[np.maximum(orders.inverse(self.order) - 1, 0)]
        self.x_before = x[:, before]

    def __call__(self, d: Array, switch: str) -> dict[str, Array]:
        grads = self.backward(d, self.x_before if switch == "x-shift" else self.x, switch)
        return {
            k: np.where(self.masks[k], g, 0) if k in self.masks else g for k, g in grads.items()
        }

    def _masked(self, name: str) -> Array:
        p = self.params[name]
        return np.where(self.masks[name], p, 0) if name in self.masks else p

    def _fvsbn_forward(self) -> Array:
        return np.asarray(self.x @ self._masked("W").T + self.params["b"])

    def _fvsbn_backward(self, d: Array, x: Array, switch: str) -> dict[str, Array]:
        return {"W": d.T @ x, "b": d.sum(axis=0)}

    def _nade_forward(self) -> Array:
        p = self.params
        steps = [self.x[:, [i]] * p["W"][i] for i in self.order]  # D of (N, H)
        first = np.tile(p["c"], (len(self.x), 1))
        self.h = [activate(a, self.hidden) for a in np.cumsum([first, *steps], axis=0)]  # D + 1
        logits = np.empty(self.x.shape)
        for k, i in enumerate(self.order):
            logits[:, i] = self.h[k] @ p["V"][i] + p["b"][i]
        return logits

    def _nade_backward(self, d: Array, x: Array, switch: str) -> dict[str, Array]:
        p = self.params
        dW, dV, d_a = np.zeros_like(p["W"]), np.zeros_like(p["V"]), np.zeros_like(self.h[0])
        for k in reversed(range(len(self.order))):
            i, h = self.order[k], self.h[k]
            here = np.multiply.outer(d[:, i], p["V"][i])  # (N, H)
            if switch != "slope":
                here *= activate_slope(h, self.hidden)
            dV[i] = d[:, i] @ (self.h[k + 1] if switch == "late" else h)
            dW[i] = x[:, i] @ (d_a + here if switch == "own" else d_a)
            d_a = here if switch == "overwrite" else d_a + here
        return {"W": dW, "c": d_a.sum(axis=0), "V": dV, "b": d.sum(axis=0)}

    def _made_forward(self) -> Array:
        self.n_layers = sum(name.startswith("W") for name in self.params)
        self.layers = [self.x]
        for k in range(1, self.n_layers + 1):
            a = self.layers[-1] @ self._masked(f"W{k}") + self.params[f"c{k}"]
            self.layers.append(activate(a, self.hidden))
        logits = self.layers[-1] @ self._masked("V").T + self.params["b"]
        return np.asarray(logits + self.x @ self._masked("A").T if "A" in self.params else logits)

    def _made_backward(self, d: Array, x: Array, switch: str) -> dict[str, Array]:
        weight = self.params.__getitem__ if switch == "unmasked" else self._masked
        layers = [x, *self.layers[1:]]
        grads = {"V": d.T @ layers[-1], "b": d.sum(axis=0), "A": d.T @ x}
        d_h = d @ weight("V")
        for k in range(self.n_layers, 0, -1):
            d_a = d_h if switch == "slope" else d_h * activate_slope(layers[k], self.hidden)
            grads |= {f"W{k}": layers[k - 1].T @ d_a, f"c{k}": d_a.sum(axis=0)}
            d_h = d_a @ weight(f"W{k}").T
        return {name: grads[name] for name in self.params}
