"""The gradients of a MADE's parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pyarsimple.activations import activate_slope
from pyarsimple.exercises.answers import Array, Case, Function, Rng
from pyarsimple.exercises.cases import SIZES, numbers
from pyarsimple.exercises.grader import Exercise, Stage, read_template
from pyarsimple.exercises.stages import shapes, values
from pyarsimple.models.made import made_backward, made_forward

TEMPLATE = '''\
"""Exercise made-backward: the gradients of a MADE's parameters.

    h_1 = g(c_1 + x W_1),   h_2 = g(c_2 + h_1 W_2),   ...
    logits = b + h_last V^T  [+ x A^T, the direct links]

S is any number that is computed from the logits; given are d_logits, its
derivatives by each logit, and the layers that the forward pass has kept;
wanted are those by each parameter. The weights come masked already (zeros
where a mask is), and the gradients need not be masked: that is done by
whoever called you. So this is the backward pass of any network.

    letter   shape             what
    d_logits (N, D)            derivative of S by the logits
    layers   a list            x (N, D), h_1 (N, H_1), h_2 (N, H_2), ...
    W        a list            W_1 (D, H_1), W_2 (H_1, H_2), ...; may be empty
    V        (D, H_last)       from the last layer to the variables
    A        (D, D) or None    A[i, j] from x_j to variable i, if it is there
    hidden                     always "tanh" here
    keeps                      always None here (the library's dropout)

    pyarsimple exercises grade made_backward.py
    pyarsimple exercises hint made-backward
"""

import numpy as np

from pyarsimple.activations import activate_slope

EXERCISE = "made-backward"

# The definition: how much S changes when one number does, by differences.


def S(d_logits, x, W, c, V, b, A):
    h = x
    for W_k, c_k in zip(W, c):
        h = np.tanh(c_k + h @ W_k)
    logits = b + h @ V.T
    if A is not None:
        logits = logits + x @ A.T
    return float((d_logits * logits).sum())


def slow_made_backward(d_logits, layers, W, V, A, hidden, keeps):
    x = layers[0]
    c = []  # the biases can be read from the layers: tanh has an inverse
    for k in range(len(W)):
        c.append(np.arctanh(layers[k + 1][0]) - layers[k][0] @ W[k])
    b = np.zeros(len(V))

    def gradient(p):
        if p is None:
            return None
        result = np.zeros(p.shape)
        for index in np.ndindex(p.shape):
            value, change = p[index], []
            for step in (1e-5, -1e-5):
                p[index] = value + step
                change.append(S(d_logits, x, W, c, V, b, A))
            p[index] = value
            result[index] = (change[0] - change[1]) / 2e-5
        return result

    W, V = [W_k.copy() for W_k in W], V.copy()
    A = None if A is None else A.copy()
    dW, dc = [gradient(W_k) for W_k in W], [gradient(c_k) for c_k in c]
    return dW, dc, gradient(V), gradient(b), gradient(A)


# Your turn. activate_slope(h, hidden) is g'(a), from h = g(a): 1 - h * h.


def made_backward(d_logits, layers, W, V, A, hidden, keeps):
    """Gradients (dW, dc, dV, db, dA) of S. dW and dc are lists, the first
    layer first; dA is None where A is.

    About 11 lines: a loop over the layers, backwards. Error to expect: 1e-9,
    the differences' own; allowed are 1e-6.
    """
    raise NotImplementedError("fill me in: made_backward, about 11 lines")
'''

HINTS = (
    "Begin at the logits: b, V and A enter them directly, as in the FVSBN. d_h, the derivative by "
    "the last layer, is d_logits @ V.",
    "One layer, h = g(a) with a = below @ W[k] + c[k]: d_a = d_h * activate_slope(h, hidden); from "
    "d_a follow dW[k] (shape of W[k]), dc[k], and d_h of the layer below.",
    "for k in reversed(range(len(W))): d_a = d_h * activate_slope(layers[k + 1], hidden); "
    "dW.append(layers[k].T @ d_a); dc.append(d_a.sum(axis=0)); d_h = d_a @ W[k].T. At the end "
    "reverse both lists: [::-1].",
)

_names = read_template(TEMPLATE)


def _drawer(rng: Rng, plain: bool) -> Callable[..., Array]:
    return lambda *shape: 0.7 * numbers(rng, *shape, plain=plain)


def _cases(rng: Rng) -> Iterator[Case]:
    for N, D, H, plain in SIZES[:3] + SIZES[-3:]:
        draw = _drawer(rng, plain)
        for depth, direct in ((0, False), (1, False), (1, True), (2, False), (3, True)):
            widths = [D, *(H + k for k in range(depth))]
            W = [draw(widths[k], widths[k + 1]) for k in range(depth)]
            c = [draw(width) for width in widths[1:]]
            V, b = draw(D, widths[-1]), draw(D)
            A = draw(D, D) if direct else None
            x = rng.integers(2, size=(N, D)).astype(float)
            x[0] = 1
            layers = made_forward(x, W, c, V, b, A, "tanh", None)[1]
            yield draw(N, D), layers, W, V, A, "tanh", None


def _wrong(
    d_logits: Array, layers: list[Array], W: list[Array], V: Array, A: Array | None, hidden: str,
    keeps: None, **how: Any,
) -> Any:  # fmt: skip
    """The backward of MADE with the mistakes named in ``how``."""
    d_h = d_logits @ V
    dW, dc = [], []
    for k in reversed(range(len(W))):
        h = layers[k + 1]
        slopes = {"none": np.ones_like(h), "sigmoid": h * (1 - h), "of_a": 1 - np.tanh(h) ** 2}
        slope = slopes.get(how.get("slope", ""), 1 - h * h)
        if how.get("slope") == "below" and layers[k].shape == h.shape:
            slope = 1 - layers[k] ** 2
        if how.get("slope") == "first" and k < len(W) - 1:
            slope = np.ones_like(h)
        d_a = d_h * slope
        below = layers[0] if how.get("inputs") and layers[0].shape == layers[k].shape else layers[k]
        dW.append(below.T @ d_a)
        dc.append((d_h if how.get("dc") else d_a).sum(axis=0))
        d_h = (d_h if how.get("skip") else d_a) @ W[k].T
    dA = None if A is None else d_logits.T @ layers[0]
    lists = (dW, dc) if how.get("reversed") else (dW[::-1], dc[::-1])
    return *lists, d_logits.T @ layers[-1], d_logits.sum(axis=0), dA


def _suspect(**how: Any) -> Any:
    return lambda *args: _wrong(*args, **how)


GRADIENTS = Function(
    "made_backward",
    ("dW", "dc", "dV", "db", "dA"),
    _names["slow_made_backward"],
    _cases,
    {
        "the derivative of the hidden units is missing: d_a = d_h * activate_slope(h, hidden)":
            _suspect(slope="none"),
        "this is the slope of the sigmoid, h * (1 - h); that of tanh is 1 - h * h":
            _suspect(slope="sigmoid"),
        "tanh is applied to h again: h is tanh(a) already": _suspect(slope="of_a"),
        "the slope is there in the last layer, and missing in those before it":
            _suspect(slope="first"),
        "d_h goes back without the slope: what reaches the layer below is d_a @ W[k].T":
            _suspect(skip=True),
        "dc is summed from d_h: it is the sum of d_a, with the slope": _suspect(dc=True),
        "the lists are in the order of the walk back: the first layer must come first":
            _suspect(reversed=True),
    },
    by_norm=True, rtol=1e-6, atol=1e-9,
)  # fmt: skip


def _deep(depth: range) -> Function:
    """The same function, on the networks of these depths only: the steps of the ladder."""
    suspects = {k: v for k, v in GRADIENTS.suspects.items() if max(depth) > 1 or "list" not in k}

    def cases(rng: Rng) -> Iterator[Case]:
        return (case for case in _cases(rng) if len(case[2]) in depth)

    return Function(
        "made_backward", GRADIENTS.returns, GRADIENTS.definition, cases, suspects,
        GRADIENTS.rtol, GRADIENTS.atol, by_norm=True, label=f"made_backward {depth}",
    )  # fmt: skip


_NONE, _ONE, _MORE = _deep(range(1)), _deep(range(1, 2)), _deep(range(2, 9))


def _steps() -> tuple[Stage, ...]:
    """The output first, then one hidden layer, then several: each with what the grader kept."""
    none, one, more = "output layer", "one hidden layer", "two and more"
    return (
        shapes(_NONE, 1, none),
        values(_NONE, 1, "dV", stage="dV", group=none),
        values(_NONE, 1, "db", stage="db", group=none),
        shapes(_ONE, 0.5, one),
        values(_ONE, 1.5, "dW", stage="dW", group=one),
        values(_ONE, 1, "dc", stage="dc", group=one),
        values(_ONE, 1, "dA", stage="dA", group=one),
        shapes(_MORE, 0.5, more),
        values(_MORE, 1.5, "dW", stage="dW", group=more),
        values(_MORE, 1, "dc", stage="dc", group=more),
    )


EXERCISE = Exercise(
    name="made-backward",
    title="the gradients of a MADE's parameters",
    teaches="backpropagation, layer by layer",
    minutes=40,
    template=TEMPLATE,
    hints=HINTS,
    stages=_steps(),
    solution=(activate_slope, made_backward),
    imports="import numpy as np",
)
