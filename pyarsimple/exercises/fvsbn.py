"""The FVSBN: forward by masking, and its backward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyarsimple.checks import mistakes
from pyarsimple.exercises.answers import Answer, Array, Case, Function, Rng
from pyarsimple.exercises.cases import bits, numbers, sizes
from pyarsimple.exercises.grader import Exercise, read_template
from pyarsimple.exercises.stages import dependences, stages_of
from pyarsimple.exercises.suspects import backward_suspects
from pyarsimple.models.fvsbn import fvsbn_backward, fvsbn_logits
from pyarsimple.orders import inverse, precedes

_LETTERS = """\
    letter   shape    what
    x        (N, D)   data, 0.0 or 1.0
    W        (D, D)   W[i, j] from x_j to variable i; every entry has a value,
                      but only those with j before i may count
    b        (D,)     biases
    order    (D,)     order[k] is the variable in position k
"""

FORWARD = f'''\
"""Exercise fvsbn-forward: all logistic regressions of an FVSBN at once.

    p(x_i = 1 | x_<i) = sigmoid(b_i + sum of W[i, j] x_j over the j before i)

Each bit is a logistic regression on the bits before it. All of them are one
matrix product, if the entries of W that may not count are masked. Which
those are depends on the order; precedes(order) knows: it is a boolean
(D, D), true at [i, j] where j comes before i. W itself must stay whole: a
mask that is written into the weights cannot be undone.

{_LETTERS}
    pyarsimple exercises grade fvsbn_forward.py
    pyarsimple exercises hint fvsbn-forward
"""

import numpy as np

from pyarsimple.orders import precedes

EXERCISE = "fvsbn-forward"

# The definition: scalar loops, slow and right.


def slow_fvsbn_logits(x, W, b, order):
    N, D = x.shape
    logits = np.zeros((N, D))
    for n in range(N):
        for position, i in enumerate(order):
            logits[n, i] = b[i]
            for j in order[:position]:
                logits[n, i] += W[i, j] * x[n, j]
    return logits


# Your turn.


def fvsbn_logits(x, W, b, order):
    """Logits of p(x_i = 1 | x_<i), (N, D): column i belongs to variable i.

    About 2 lines, without a loop. Error to expect: 1e-15.
    """
    raise NotImplementedError("fill me in: fvsbn_logits, about 2 lines")
'''

BACKWARD = f'''\
"""Exercise fvsbn-backward: the gradients of an FVSBN's parameters.

    logits[n, i] = b_i + sum of W[i, j] x[n, j] over the j before i

Let S be any number that is computed from the logits, such as a loss. You
are given d_logits, the derivatives of S by each logit; wanted are those by
each parameter. (They are all one needs of S: that is what makes it possible
to write a backward pass one layer at a time.) Parameters that are masked
change nothing, so their gradient is 0, exactly.

{_LETTERS}    d_logits (N, D)   derivative of S by the logits

    pyarsimple exercises grade fvsbn_backward.py
    pyarsimple exercises hint fvsbn-backward
"""

import numpy as np

from pyarsimple.orders import precedes

EXERCISE = "fvsbn-backward"

# The definition: how much S changes when one parameter does. The logits are
# linear in W and b, so that differences of step 1 from W = 0, b = 0 are exact.


def S(d_logits, x, W, b, order):
    total = 0.0
    for n in range(len(x)):
        for position, i in enumerate(order):
            logit = b[i] + sum(W[i, j] * x[n, j] for j in order[:position])
            total += d_logits[n, i] * logit
    return total


def slow_fvsbn_backward(d_logits, x, order):
    D = x.shape[1]
    dW, db = np.zeros((D, D)), np.zeros(D)
    for i in range(D):
        for j in range(D):
            W = np.zeros((D, D))
            W[i, j] = 1
            dW[i, j] = S(d_logits, x, W, np.zeros(D), order)
        b = np.zeros(D)
        b[i] = 1
        db[i] = S(d_logits, x, np.zeros((D, D)), b, order)
    return dW, db


# Your turn.


def fvsbn_backward(d_logits, x, order):
    """Gradients (dW, db) of S, of shapes (D, D) and (D,).

    About 3 lines, without a loop. Error to expect: 1e-15.
    """
    raise NotImplementedError("fill me in: fvsbn_backward, about 3 lines")
'''

FORWARD_HINTS = (
    "np.where(condition, W, 0) is W where the condition holds and 0 elsewhere, as a new array.",
    "Of the sum over j in W[i, j] x[n, j], n and i remain: a product of two matrices. Which of "
    "them has to be transposed, so that its inner axis is j?",
    "W = np.where(precedes(order), W, 0); then x @ W.T + b.",
)

BACKWARD_HINTS = (
    "b_i is added to logits[n, i] for every row n: its derivative collects d_logits[n, i] over n.",
    "The derivative of S by W[i, j] is the sum over n of d_logits[n, i] x[n, j], where j is before "
    "i. A sum over the rows of a product of two columns: again a matrix product.",
    "dW = np.where(precedes(order), d_logits.T @ x, 0); db = d_logits.sum(axis=0).",
)

_forward, _backward = read_template(FORWARD), read_template(BACKWARD)


def _forward_cases(rng: Rng) -> Iterator[Case]:
    for size, order in sizes():
        D, plain = size.D, size.plain
        yield bits(rng, size), numbers(rng, D, D, plain=plain), numbers(rng, D, plain=plain), order


def _backward_cases(rng: Rng) -> Iterator[Case]:
    for size, order in sizes():
        yield numbers(rng, size.N, size.D, plain=size.plain), bits(rng, size), order


def _eye(order: Array) -> Array:
    return np.eye(len(order), dtype=bool)


#: Masks that one might use instead of precedes(order), and what that does.
_MASKS: dict[str, Any] = {
    "the diagonal is not masked: variable i sees itself (np.tril without k=-1, or <= for <)":
        lambda order: precedes(order) | _eye(order),
    "there is no mask: every variable sees all of x": lambda order: np.ones_like(_eye(order)),
    "only the diagonal is masked: every variable sees all others": lambda order: ~_eye(order),
    "the mask is upside down: variables see those after them":
        lambda order: precedes(order).T,
    "only the rows of the mask are permuted by order, and not its columns":
        lambda order: _lower(order)[order],
    "only the columns of the mask are permuted by order, and not its rows":
        lambda order: _lower(order)[:, order],
    "variable k gets the mask that belongs to the variable in position k, order[k]":
        lambda order: _lower(order)[:, inverse(order)],
    "x_j counts as if j were its position: the mask compares positions on both sides":
        lambda order: _lower(order)[inverse(order)],
    "only the variable just before is seen": lambda order: _just_before(order),
}  # fmt: skip


def _lower(order: Array) -> Array:
    return np.tri(len(order), k=-1, dtype=bool)


def _just_before(order: Array) -> Array:
    mask = np.zeros((len(order), len(order)), bool)
    mask[order[1:], order[:-1]] = True
    return mask


def _masked_logits(mask: Any) -> Any:
    return lambda x, W, b, order: x @ np.where(mask(order), W, 0).T + b


LOGITS = Function(
    "fvsbn_logits",
    ("logits",),
    _forward["slow_fvsbn_logits"],
    _forward_cases,
    {cause: _masked_logits(mask) for cause, mask in _MASKS.items()}
    | {
        "W is transposed: W[i, j] leads from x_j to variable i, so the product is x @ W.T":
            lambda x, W, b, order: x @ np.where(precedes(order), W, 0) + b,
        "W is transposed before it is masked: W[i, j] leads from x_j to variable i":
            lambda x, W, b, order: x @ np.where(precedes(order), W.T, 0).T + b,
        "the mask is -inf where it should be 0: that is for a softmax's logits, not for weights":
            lambda x, W, b, order: x @ np.where(precedes(order), W, -np.inf).T + b,
    },
    fast=fvsbn_logits,
)  # fmt: skip


def _masked_backward(mask: Any) -> Any:
    def suspect(d_logits: Array, x: Array, order: Array) -> tuple[Array, Array]:
        return np.where(mask(order), d_logits.T @ x, 0), d_logits.sum(axis=0)

    return suspect


GRADIENTS = Function(
    "fvsbn_backward",
    ("dW", "db"),
    _backward["slow_fvsbn_backward"],
    _backward_cases,
    {cause: _masked_backward(mask) for cause, mask in _MASKS.items()}
    | {
        "the factors are exchanged: x.T @ d_logits has the variable that is seen in its rows":
            lambda d_logits, x, order: (
                np.where(precedes(order), x.T @ d_logits, 0), None
            ),
    }
    | backward_suspects("fvsbn", mistakes.fvsbn_backward),
    by_norm=True, rtol=1e-9, fast=fvsbn_backward,
)  # fmt: skip


def _outputs(answer: Answer, D: int, order: Array) -> Any:
    rng = answer.rng()
    W, b = numbers(rng, D, D, plain=False), numbers(rng, D, plain=False)
    return lambda x: answer.call("fvsbn_logits", x, W, b, order)


FORWARD_EXERCISE = Exercise(
    name="fvsbn-forward",
    title="all logistic regressions of an FVSBN at once, by masking",
    teaches="masks and orders",
    minutes=15,
    template=FORWARD,
    hints=FORWARD_HINTS,
    stages=(*stages_of(LOGITS, 6), dependences(LOGITS, _outputs, 3)),
    solution=(fvsbn_logits,),
    imports="import numpy as np\n\nfrom pyarsimple.orders import precedes",
)

BACKWARD_EXERCISE = Exercise(
    name="fvsbn-backward",
    title="the gradients of an FVSBN's parameters",
    teaches="a backward pass from an upstream",
    minutes=20,
    template=BACKWARD,
    hints=BACKWARD_HINTS,
    stages=stages_of(GRADIENTS, (6, 3)),
    solution=(fvsbn_backward,),
    imports="import numpy as np\n\nfrom pyarsimple.orders import precedes",
)
