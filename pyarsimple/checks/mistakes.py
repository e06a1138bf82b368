"""Gradients as known mistakes would give them, so that a mistake can be recognised exactly.

These are the backward passes of FVSBN, NADE and MADE once more, short and slow, each with a switch
for what students (and we) got wrong. The checks and the exercises both accuse by this catalogue.
The letters are those of the models' own files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyarsimple import orders
from pyarsimple.activations import activate, activate_slope
from pyarsimple.checks.causes import Suspect
from pyarsimple.conditionals import sigmoid

Array = npt.NDArray[Any]
Params = Mapping[str, Array]


class Mistake(NamedTuple):
    """What a mistake is called, what a person is told, and the line to compare the code with."""

    kind: str
    text: str
    equation: str

    def __str__(self) -> str:
        return f"{self.text} ({self.equation})" if self.equation else self.text


#: Mistakes in the derivative of the hidden units, by the name of their switch.
SLOPES = {
    "no-slope": Mistake(
        "slope",
        "the derivative of the hidden units is missing",
        "d_a = d_h * g'(a); for the sigmoid h * (1 - h), for tanh 1 - h * h",
    ),
    "slope-of-tanh": Mistake(
        "slope",
        "the slope is 1 - h * h, that of tanh, where that of these hidden units is meant",
        "the sigmoid's slope is h * (1 - h), a rectifier's is h > 0",
    ),
    "slope-of-sigmoid": Mistake(
        "slope",
        "the slope is h * (1 - h), that of the sigmoid, where that of these hidden units is meant",
        "the slope of tanh is 1 - h * h, a rectifier's is h > 0",
    ),
    "slope-of-rectifier": Mistake(
        "slope",
        "the slope is h > 0, that of a rectifier, where that of these hidden units is meant",
        "the sigmoid's slope is h * (1 - h), that of tanh 1 - h * h",
    ),
    "slope-of-h": Mistake(
        "slope-twice",
        "the activation is applied to h again before its slope is taken: h is g(a) already",
        "the sigmoid's slope is h * (1 - h), that of tanh 1 - h * h",
    ),
    "slope-twice": Mistake(
        "slope-twice", "the slope of the hidden units is there twice", "d_a = d_h * g'(a)"
    ),
    "half-a-slope": Mistake(
        "slope",
        "the slope is 1 - h, which is only half of it",
        "the sigmoid's slope is h * (1 - h), that of tanh 1 - h * h",
    ),
    "other-half": Mistake(
        "slope",
        "h stands where the slope of the hidden units is meant",
        "the sigmoid's slope is h * (1 - h), that of tanh 1 - h * h",
    ),
    "slope-plus": Mistake(
        "slope",
        "the slope is 1 + h * h, a sign is turned",
        "the slope of tanh is 1 - h * h, the sigmoid's h * (1 - h)",
    ),
}

#: The same for the rest of each backward pass.
PRODUCT = Mistake(
    "product-of-sums",
    "the product of two sums over the rows stands where the sum of the products is meant",
    "dW = x.T @ d_a, of two sums outer(x.sum(axis=0), d_a.sum(axis=0))",
)

MISTAKES = {
    "fvsbn": {
        "product-of-sums": PRODUCT,
        "x-shift": Mistake(
            "shifted",
            "shifted by one variable: the x of the variable before is used",
            "dW_ij = sum_n d_logits_ni x_nj",
        ),
        "no-x": Mistake(
            "data", "x has no part in dW: where x_j is 0, W_ij is not used",
            "dW_ij = sum_n d_logits_ni x_nj",
        ),
        "x-in-db": Mistake(
            "data", "x has no part in db, and is there: each b_i is added as it is",
            "db_i = sum_n d_logits_ni",
        ),
    },
    "nade": SLOPES | {
        "product-of-sums": PRODUCT,
        "overwrite": Mistake(
            "last-step",
            "of the sum over later variables only one step is kept: = stands where += is meant",
            "d_a += d_h * g'(a_i), for every variable i",
        ),
        "own": Mistake(
            "shifted",
            "shifted by one variable: x_i must not get the gradient of its own conditional, so "
            "dW[i] comes first",
            "dW_i = x_i d_a before d_a takes up variable i",
        ),
        "late": Mistake(
            "shifted",
            "shifted by one variable: the hidden states are one step late, for x_i is in h when "
            "the conditional of i is taken",
            "dV_i = d_i h_i with h_i = g(a_i), before a_{i+1} = a_i + x_i W_i",
        ),
        "x-shift": Mistake(
            "shifted",
            "shifted by one variable: the x of the variable before is used",
            "dW_i = x_i d_a",
        ),
        "no-x": Mistake(
            "data", "x has no part in dW: where x_i is 0, W_i is not used", "dW_i = x_i d_a"
        ),
        "early-c": Mistake(
            "first",
            "dc is taken one step early: the first variable of the order is missing from it",
            "dc = d_a.sum(axis=0), when d_a has taken up every variable",
        ),
        "onwards": Mistake(
            "reversed",
            "the walk goes the wrong way: d_a is collected from the last variable to the first",
            "for i in reversed(order): d_a += d_h * g'(a_i)",
        ),
        "states-onwards": Mistake(
            "reversed",
            "the walk goes back and its hidden states go forth: each variable gets another's h",
            "zip(order[::-1], states[::-1])",
        ),
        "unsquashed": Mistake(
            "activation",
            "a stands where h belongs: the activation of the hidden units is missing",
            "h_i = g(a_i)",
        ),
    },
    "made": SLOPES | {
        "product-of-sums": PRODUCT,
        "no-slope-below": Mistake(
            "slope",
            "the slope is there in the last layer, and missing in those before it",
            "d_a = d_h * g'(a) in every layer",
        ),
        "skips-slope": Mistake(
            "slope",
            "d_h goes back without the slope of the layer that it came through",
            "d_h of the layer below = d_a @ W_k.T",
        ),
        "slope-not-in-c": Mistake(
            "slope", "dc is summed from d_h, without the slope", "dc = d_a.sum(axis=0)"
        ),
        "x-shift": Mistake(
            "shifted",
            "shifted by one variable: the x of the variable before is used",
            "dW_1 = x.T @ d_a",
        ),
    },
}  # fmt: skip

UNMASKED = Mistake(
    "mask",
    "the backward pass goes through weights that are masked in the forward pass",
    "d_h = d_logits @ (V * M_V)",
)

#: The same for mistakes in what comes from above: the gradient with respect to the logits.
UPSTREAM = {
    "output-slope": Mistake(
        "output-slope",
        "the derivative p (1 - p) of the output's sigmoid is there once too often (or the loss is "
        "a squared error's)",
        "d_logits = (p - x) / N",
    ),
    "no-sigmoid": Mistake(
        "output-sigmoid",
        "the sigmoid of the output is forgotten: logits are taken for probabilities",
        "d_logits = (sigmoid(logits) - x) / N",
    ),
    "ones": Mistake("upstream", "upstream ignored, as if it were all ones", "d_a from d_outputs"),
    "nll": Mistake("upstream", "upstream ignored: it is (p - x) / N always", "d_a from d_outputs"),
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
    if family not in MISTAKES:
        raise ValueError(f"family must be one of {', '.join(MISTAKES)}, got {family!r}")
    x = np.asarray(x, dtype=np.float64)
    hidden = hidden or ("relu" if family == "made" else "sigmoid")
    code = _Family(family, params, x, orders.check_order(order, x.shape[1]), hidden, masks or {})
    z = code.logits
    nll = (sigmoid(z) - x) / len(x)
    d = nll if upstream is None else np.asarray(upstream, np.float64)
    found = [Suspect(*m, code.grads(d, name)) for name, m in MISTAKES[family].items()]
    if family == "made":
        found.append(Suspect(*UNMASKED, code.grads(d, "unmasked")))
    if upstream is None:
        wrong = {"output-slope": d * sigmoid(z) * sigmoid(-z), "no-sigmoid": (z - x) / len(x)}
    else:
        wrong = {"ones": np.ones_like(d), "nll": nll}
    return found + [Suspect(*UPSTREAM[name], code.grads(d, "")) for name, d in wrong.items()]


class _Family:
    """The forward pass of a model once; its backward pass with a mistake, by name."""

    def __init__(
        self, family: str, params: Params, x: Array, order: Array, hidden: str,
        masks: Mapping[str, Array],
    ) -> None:  # fmt: skip
        self.params, self.x, self.order, self.hidden = dict(params), x, order, hidden
        self.masks = dict(masks)
        if family == "fvsbn":
            self.masks.setdefault("W", orders.precedes(order))
        self.grads = getattr(self, f"_{family}_grads")
        self.logits: Array = getattr(self, f"_{family}_logits")()

    def _masked(self, name: str) -> Array | None:
        p = self.params.get(name)
        return np.where(self.masks[name], p, 0) if name in self.masks and p is not None else p

    def _fvsbn_logits(self) -> Array:
        p = self.params
        return np.asarray(self.x @ np.where(self.masks["W"], p["W"], 0).T + p["b"])

    def _fvsbn_grads(self, d: Array, mistake: str) -> dict[str, Array]:
        dW, db = fvsbn_backward(d, self.x, self.order, mistake=mistake)
        return {"W": dW, "b": db}

    def _nade_logits(self) -> Array:
        p, logits = self.params, np.empty(self.x.shape)
        h = activate(_nade_sums(self.x, p["W"], p["c"], self.order), self.hidden)
        for k, i in enumerate(self.order):
            logits[:, i] = h[k] @ p["V"][i] + p["b"][i]
        return logits

    def _nade_grads(self, d: Array, mistake: str) -> dict[str, Array]:
        p = self.params
        grads = nade_backward(
            d, self.x, p["W"], p["c"], p["V"], self.order, self.hidden, mistake=mistake
        )
        return dict(zip(("W", "c", "V", "b"), grads, strict=True))

    def _weights(self, get: Any) -> tuple[list[Array], Array, Array | None]:
        W = [get(f"W{k}") for k in range(1, 1 + sum(name[0] == "W" for name in self.params))]
        return W, get("V"), get("A")

    def _made_logits(self) -> Array:
        W, V, A = self._weights(self._masked)
        self.layers = [self.x]
        for k in range(len(W)):
            a = self.layers[-1] @ W[k] + self.params[f"c{k + 1}"]
            self.layers.append(activate(a, self.hidden))
        logits = self.layers[-1] @ V.T + self.params["b"]
        return np.asarray(logits if A is None else logits + self.x @ A.T)

    def _made_grads(self, d: Array, mistake: str) -> dict[str, Array]:
        W, V, A = self._weights(self.params.get if mistake == "unmasked" else self._masked)
        dW, dc, dV, db, dA = made_backward(
            d, self.layers, W, V, A, self.hidden, order=self.order, mistake=mistake
        )
        grads = {"V": dV, "b": db} | ({} if dA is None else {"A": dA})
        for k in range(len(W)):
            grads |= {f"W{k + 1}": dW[k], f"c{k + 1}": dc[k]}
        masked = {k: np.where(self.masks[k], g, 0) for k, g in grads.items() if k in self.masks}
        return grads | masked


# The backward passes. Without a mistake they are right.


def _before(x: Array, order: Array) -> Array:
    """In each column the x of the variable before, in the order."""
    before: Array = x[:, order[np.maximum(orders.inverse(order) - 1, 0)]]
    return before


def _outer(a: Array, b: Array, mistake: str) -> Array:
    """The sum over the rows of a_n b_n^T, for a (N, m) and b (N, k) or (N,)."""
    if mistake == "product-of-sums":
        return np.asarray(np.multiply.outer(a.sum(axis=0), b.sum(axis=0)))
    return np.asarray(a.T @ b)


def _nade_sums(x: Array, W: Array, c: Array, order: Array) -> Array:
    """The activation before each variable of the order, and after the last, (D + 1, N, H)."""
    steps = [x[:, [i]] * W[i] for i in order]
    return np.cumsum([np.tile(c, (len(x), 1)), *steps], axis=0)


def _slope(h: Array, hidden: str, mistake: str) -> Array:
    """g'(a) from h = g(a), with the mistakes of `SLOPES`."""
    slopes: dict[str, Callable[[], Array]] = {
        "no-slope": lambda: np.ones_like(h),
        "slope-of-tanh": lambda: 1 - h * h,
        "slope-of-sigmoid": lambda: h * (1 - h),
        "slope-of-rectifier": lambda: (h > 0).astype(h.dtype),
        "slope-of-h": lambda: activate_slope(activate(h, hidden), hidden),
        "slope-twice": lambda: activate_slope(h, hidden) ** 2,
        "half-a-slope": lambda: 1 - h,
        "other-half": lambda: h,
        "slope-plus": lambda: 1 + h * h,
    }
    return slopes.get(mistake, lambda: activate_slope(h, hidden))()


def fvsbn_backward(
    d_logits: Array, x: Array, order: Array, *, mistake: str = ""
) -> tuple[Array, Array]:
    """Gradients dW, db of an FVSBN."""
    x_W = {"x-shift": _before(x, order), "no-x": np.ones_like(x)}.get(mistake, x)
    dW = np.where(orders.precedes(order), _outer(d_logits, x_W, mistake), 0)
    db = (d_logits * x).sum(axis=0) if mistake == "x-in-db" else d_logits.sum(axis=0)
    return dW, db


def nade_backward(
    d_logits: Array, x: Array, W: Array, c: Array, V: Array, order: Array, hidden: str, *,
    mistake: str = "",
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """Gradients dW, dc, dV, db of a NADE."""
    a = _nade_sums(x, W, c, order)
    h = a if mistake == "unsquashed" else activate(a, hidden)  # (D + 1, N, H)
    h = h[1:] if mistake == "late" else h[:-1]
    x_W = {"x-shift": _before(x, order), "no-x": np.ones_like(x)}.get(mistake, x)
    dW, dV = np.zeros_like(W), np.zeros_like(V)
    d_a = before = np.zeros_like(a[0])
    steps = range(len(order)) if mistake == "onwards" else reversed(range(len(order)))
    for k in steps:
        i, h_i = order[k], h[len(order) - 1 - k if mistake == "states-onwards" else k]
        here = np.multiply.outer(d_logits[:, i], V[i]) * _slope(h_i, hidden, mistake)
        dV[i] = _outer(d_logits[:, i], h_i, mistake)
        dW[i] = _outer(x_W[:, i], d_a + here if mistake == "own" else d_a, mistake)
        before, d_a = d_a, here if mistake == "overwrite" else d_a + here
    dc = (before if mistake == "early-c" else d_a).sum(axis=0)
    return dW, dc, dV, d_logits.sum(axis=0)


def made_backward(
    d_logits: Array, layers: Sequence[Array], W: Sequence[Array], V: Array, A: Array | None,
    hidden: str, *, order: Array | None = None, mistake: str = "",
) -> tuple[list[Array], list[Array], Array, Array, Array | None]:  # fmt: skip
    """Gradients dW and dc (lists), dV, db, dA of a MADE, of all weights, masked or not."""
    if mistake == "x-shift" and order is not None:
        layers = [_before(layers[0], order), *layers[1:]]
    d_h = d_logits @ V
    dW: list[Array] = []
    dc: list[Array] = []
    for k in reversed(range(len(W))):
        lost = mistake == "no-slope-below" and k < len(W) - 1
        d_a = d_h if lost else d_h * _slope(layers[k + 1], hidden, mistake)
        dW.insert(0, _outer(layers[k], d_a, mistake))
        dc.insert(0, (d_h if mistake == "slope-not-in-c" else d_a).sum(axis=0))
        d_h = (d_h if mistake == "skips-slope" else d_a) @ W[k].T
    dA = None if A is None else _outer(d_logits, layers[0], mistake)
    return dW, dc, _outer(d_logits, layers[-1], mistake), d_logits.sum(axis=0), dA
