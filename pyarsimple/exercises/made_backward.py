"""The gradients of a MADE's parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pyarsimple.activations import activate_slope
from pyarsimple.checks import mistakes
from pyarsimple.exercises.answers import Array, Case, Function, Rng
from pyarsimple.exercises.cases import SIZES, numbers
from pyarsimple.exercises.grader import Exercise, Stage, read_template
from pyarsimple.exercises.stages import shapes, values
from pyarsimple.exercises.suspects import backward_suspects
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


GRADIENTS = Function(
    "made_backward",
    ("dW", "dc", "dV", "db", "dA"),
    _names["slow_made_backward"],
    _cases,
    backward_suspects("made", mistakes.made_backward, without=("slope-of-tanh", "x-shift")),
    by_norm=True, rtol=1e-6, atol=1e-9, fast=made_backward,
)  # fmt: skip


def _deep(depth: range) -> Function:
    """The same function, on the networks of these depths only: the steps of the ladder."""

    def cases(rng: Rng) -> Iterator[Case]:
        return (case for case in _cases(rng) if len(case[2]) in depth)

    return Function(
        "made_backward", GRADIENTS.returns, GRADIENTS.definition, cases, GRADIENTS.suspects,
        rtol=GRADIENTS.rtol, atol=GRADIENTS.atol, by_norm=True, label=f"made_backward {depth}",
        fast=made_backward,
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
