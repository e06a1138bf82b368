"""The gradients of a NADE's parameters, by one walk back."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from pyarsimple.activations import activate, activate_slope
from pyarsimple.checks import mistakes
from pyarsimple.conditionals import sigmoid
from pyarsimple.exercises.answers import Array, Case, Function, Rng
from pyarsimple.exercises.cases import bits, numbers, sizes
from pyarsimple.exercises.grader import Exercise, read_template
from pyarsimple.exercises.stages import cost, stages_of
from pyarsimple.exercises.suspects import backward_suspects
from pyarsimple.models.nade import nade_backward

TEMPLATE = '''\
"""Exercise nade-backward: the gradients of a NADE's parameters, in O(D H).

    a = c at first; then for each variable i along the order:
    h = sigmoid(a),   logits[:, i] = V[i] . h + b[i],   a = a + x_i W[i]

S is any number that is computed from the logits; given are d_logits, its
derivatives by each logit, wanted those by each parameter. Walk back along
the order. What reaches a at one step comes from two sides: from the logit
of that step, through h, and from the step after it, through the sum. So
d_a is carried along as a was, and grows.

    letter   shape    what
    d_logits (N, D)   derivative of S by the logits
    x        (N, D)   data, 0.0 or 1.0
    W, V     (D, H)   weights into and out of the hidden units
    c        (H,)     biases of the hidden units
    order    (D,)     order[k] is the variable in position k
    hidden            always "sigmoid" here (the library also has "relu")
    keep              always None here (the library's dropout)

    pyarsimple exercises grade nade_backward.py
    pyarsimple exercises hint nade-backward
"""

import math

import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "nade-backward"

# The definition: how much S changes when one number does, by differences.


def S(d_logits, x, W, c, V, b, order):
    total = 0.0
    for n in range(len(x)):
        a = [float(a_k) for a_k in c]
        for i in order:
            h = [1 / (1 + math.exp(-a_k)) for a_k in a]
            logit = b[i] + sum(v * h_k for v, h_k in zip(V[i], h))
            total += d_logits[n, i] * logit
            a = [a_k + x[n, i] * w for a_k, w in zip(a, W[i])]
    return total


def slow_nade_backward(d_logits, x, W, c, V, order, hidden, keep):
    parameters = [W.copy(), c.copy(), V.copy(), np.zeros(len(W))]
    gradients = []
    for p in parameters:
        gradient = np.zeros(p.shape)
        for index in np.ndindex(p.shape):
            value, change = p[index], []
            for step in (1e-5, -1e-5):
                p[index] = value + step
                change.append(S(d_logits, x, *parameters, order))
            p[index] = value
            gradient[index] = (change[0] - change[1]) / 2e-5
        gradients.append(gradient)
    return tuple(gradients)


# Your turn.


def nade_backward(d_logits, x, W, c, V, order, hidden, keep):
    """Gradients (dW, dc, dV, db) of S: shapes (D, H), (H,), (D, H), (D,).

    About 16 lines: a walk along the order that keeps every h, and a walk
    back. Error to expect: 1e-9, the differences' own; allowed are 1e-6.
    """
    raise NotImplementedError("fill me in: nade_backward, about 16 lines")
'''

HINTS = (
    "Walk forward first, and keep h (N, H) of each step in a list. Begin with what is local: db "
    "and dV need only d_logits and h.",
    "Walking back, d_a (N, H) is the derivative by the activation AFTER the current variable i was "
    "added. So W[i] gets x[:, i] @ d_a first; only then does d_a receive what comes from the logit "
    "of i, which is d_logits[:, i] times V[i] times the slope of the sigmoid, h * (1 - h).",
    "for i, h in zip(order[::-1], states[::-1]): dW[i] = x[:, i] @ d_a; "
    "dV[i] = d_logits[:, i] @ h; d_a += np.multiply.outer(d_logits[:, i], V[i]) * h * (1 - h). "
    "After the loop: dc = d_a.sum(axis=0); db = d_logits.sum(axis=0).",
)

_names = read_template(TEMPLATE)


def _cases(rng: Rng) -> Iterator[Case]:
    for size, order in sizes():
        N, D, H, plain = size
        W, V = numbers(rng, D, H, plain=plain), numbers(rng, D, H, plain=plain)
        c, d_logits = numbers(rng, H, plain=plain), numbers(rng, N, D, plain=plain)
        yield d_logits, bits(rng, size), W, c, V, order, "sigmoid", None


def _natural_back(
    d_logits: Array, x: Array, W: Array, c: Array, V: Array, order: Array, hidden: str, keep: None,
    *, kept: str = "by position",
) -> tuple[Array, ...]:  # fmt: skip
    """The walk goes along the order, and back from D-1 to 0."""
    before = [c + x[:, order[:k]] @ W[order[:k]] for k in range(len(order))]
    dW, dV, d_a = np.zeros_like(W), np.zeros_like(V), np.zeros((len(x), len(c)))
    for k in reversed(range(len(order))):
        h = sigmoid(before[k if kept == "by position" else list(order).index(k)])
        dW[k], dV[k] = x[:, k] @ d_a, d_logits[:, k] @ h
        d_a += np.multiply.outer(d_logits[:, k], V[k]) * h * (1 - h)
    return dW, d_a.sum(axis=0), dV, d_logits.sum(axis=0)


GRADIENTS = Function(
    "nade_backward",
    ("dW", "dc", "dV", "db"),
    _names["slow_nade_backward"],
    _cases,
    backward_suspects(
        "nade", mistakes.nade_backward, without=("slope-of-sigmoid", "slope-of-rectifier")
    )
    | {
        "the walk back takes the variables as D-1, ..., 1, 0: it goes back along the order, and "
        "in position k stands variable order[k]": _natural_back,
        "the walk back takes the variables as D-1, ..., 1, 0: it goes back along the order":
            functools.partial(_natural_back, kept="by variable"),
    },
    by_norm=True, rtol=1e-6, atol=1e-9, fast=nade_backward,
)  # fmt: skip


EXERCISE = Exercise(
    name="nade-backward",
    title="the gradients of a NADE's parameters, in O(D H)",
    teaches="backpropagation through that sum",
    minutes=45,
    template=TEMPLATE,
    hints=HINTS,
    stages=(
        *stages_of(GRADIENTS, (3, 2, 2, 1)),
        cost(
            GRADIENTS, 1,
            cause="something is summed from nothing for each variable; d_a of one step is that of "
            "the step after it plus one term",
        ),
    ),
    solution=(activate, activate_slope, nade_backward),
    imports="import numpy as np\n\nfrom pyarsimple.autoregressive import row_blocks\n"
    "from pyarsimple.conditionals import sigmoid\nfrom pyarsimple.orders import walk",
)  # fmt: skip
