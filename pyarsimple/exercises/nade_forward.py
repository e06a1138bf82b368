"""All conditionals of a NADE by one walk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyarsimple.activations import activate
from pyarsimple.conditionals import sigmoid
from pyarsimple.exercises.answers import Array, Case, Function, Rng
from pyarsimple.exercises.cases import bits, numbers, sizes
from pyarsimple.exercises.grader import Exercise, read_template
from pyarsimple.exercises.stages import cost, dependences, stages_of
from pyarsimple.models.nade import nade_logits

TEMPLATE = '''\
"""Exercise nade-forward: all conditionals of a NADE by one walk, in O(D H).

    h_i = sigmoid(c + sum of x_j W_j over the j before i)
    p(x_i = 1 | x_<i) = sigmoid(b_i + V_i . h_i)

Every variable has a hidden layer of its own, but all share the rows of W.
So the sums of two neighbours in the order differ by a single row: whoever
starts each sum anew pays O(D^2 H), whoever carries the sum along pays
O(D H). The paper's idea is this one sum.

    letter   shape    what
    x        (N, D)   data, 0.0 or 1.0
    W        (D, H)   W[j] from x_j to the hidden units
    c        (H,)     biases of the hidden units
    V        (D, H)   V[i] from the hidden units to variable i
    b        (D,)     biases of the variables
    order    (D,)     order[k] is the variable in position k
    hidden            always "sigmoid" here (the library also has "relu")
    keep              always None here (the library's dropout)

    pyarsimple exercises grade nade_forward.py
    pyarsimple exercises hint nade-forward
"""

import math

import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "nade-forward"

# The definition: scalar loops, slow and right.


def slow_nade_logits(x, W, c, V, b, order, hidden, keep):
    N, D, H = len(x), len(b), len(c)
    logits = np.zeros((N, D))
    for n in range(N):
        for position, i in enumerate(order):
            logits[n, i] = b[i]
            for k in range(H):
                a = c[k]
                for j in order[:position]:
                    a += x[n, j] * W[j, k]
                logits[n, i] += V[i, k] / (1 + math.exp(-a))
    return logits


# Your turn.


def nade_logits(x, W, c, V, b, order, hidden, keep):
    """Logits of p(x_i = 1 | x_<i), (N, D): column i belongs to variable i.

    About 6 lines: a loop over the order that carries one array a (N, H).
    Error to expect: 1e-15. The arguments must not be written to.
    """
    raise NotImplementedError("fill me in: nade_logits, about 6 lines")
'''

HINTS = (
    "Before the first variable of the order is known, a is c in every row: an array of shape "
    "(N, H). What has to be added to it when x_i becomes known?",
    "In the loop over i in order, three things in this order: h from a; column i of the logits "
    "from h, V[i] and b[i]; then a changes by x[:, i] times W[i].",
    "a = np.tile(c, (len(x), 1)); in the loop: h = sigmoid(a); "
    "logits[:, i] = h @ V[i] + b[i]; a += np.multiply.outer(x[:, i], W[i]).",
)

_names = read_template(TEMPLATE)


def _cases(rng: Rng) -> Iterator[Case]:
    for size, order in sizes():
        _, D, H, plain = size
        W, V = numbers(rng, D, H, plain=plain), numbers(rng, D, H, plain=plain)
        c, b = numbers(rng, H, plain=plain), numbers(rng, D, plain=plain)
        yield bits(rng, size), W, c, V, b, order, "sigmoid", None


def _wrong(
    x: Array, W: Array, c: Array, V: Array, b: Array, order: Array, *, late: int = 0, **how: Any
) -> Array:
    """NADE with a mistake: ``late=1`` sees itself, ``late=-1`` misses the one just before it."""
    logits = np.empty_like(x)
    for k, i in enumerate(order):
        seen = order[: max(0, k + late)]
        if how.get("one"):
            seen = seen[-1:]
        a = how.get("in_bias", 1) * c + x[:, seen] @ W[seen]
        h = np.maximum(a, 0) if how.get("relu") else sigmoid(a)
        h = a if how.get("linear") else h
        logits[:, i] = h @ V[i] + how.get("out_bias", 1) * b[i]
    return sigmoid(logits) if how.get("p") else logits


def _suspect(**how: Any) -> Any:
    def suspect(
        x: Array, W: Array, c: Array, V: Array, b: Array, order: Array, hidden: str, keep: None
    ) -> Array:
        D = len(b)
        if how.get("natural"):
            order = np.arange(D)
        if how.get("inverse"):
            order = np.argsort(order)
        logits = _wrong(x, W, c, V, b, order, **how)
        return logits[:, order] if how.get("positions") else logits

    return suspect


LOGITS = Function(
    "nade_logits",
    ("logits",),
    _names["slow_nade_logits"],
    _cases,
    {
        "x_i is added to the activation before its own logit is computed, so that variable i sees "
        "itself: first the logit, then the update": _suspect(late=1),
        "the activation is one step late: the variable just before i is not in it yet":
            _suspect(late=-1),
        "only the variable just before i is seen: the activation must carry all earlier ones":
            _suspect(one=True),
        "every variable sees all of x, itself and later ones too: the sum must stop before i":
            lambda x, W, c, V, b, order, hidden, keep: sigmoid(c + x @ W) @ V.T + b,
        "the bias c of the hidden units is forgotten": _suspect(in_bias=0),
        "the bias b is forgotten": _suspect(out_bias=0),
        "the sigmoid of the hidden units is missing: h must be sigmoid(a)": _suspect(linear=True),
        "the hidden units are rectifiers here: hidden is 'sigmoid'": _suspect(relu=True),
        "these are probabilities: the sigmoid is applied to the logits as well, where the logits "
        "themselves are wanted": _suspect(p=True),
        "order is ignored: the walk goes 0, 1, 2, ...": _suspect(natural=True),
        "the inverse of order is used: order[k] is the variable in position k, not the position "
        "of variable k": _suspect(inverse=True),
        "columns are in the walk's order: write to column i = order[k], not to column k":
            _suspect(positions=True),
    },
)  # fmt: skip


def _outputs(answer: Any, D: int, order: Array) -> Any:
    rng = answer.rng()
    W, V = numbers(rng, D, 3, plain=False), numbers(rng, D, 3, plain=False)
    c, b = numbers(rng, 3, plain=False), numbers(rng, D, plain=False)
    return lambda x: answer.call("nade_logits", x, W, c, V, b, order, "sigmoid", None)


def _large(D: int) -> Case:
    rng = np.random.default_rng(0)
    W, V = rng.normal(size=(2, D, 16))
    x = rng.integers(2, size=(2, D)).astype(float)
    return x, W, np.ones(16), V, np.ones(D), np.arange(D), "sigmoid", None


EXERCISE = Exercise(
    name="nade-forward",
    title="all conditionals of a NADE by one walk, in O(D H)",
    teaches="a sum that is carried along",
    minutes=25,
    template=TEMPLATE,
    hints=HINTS,
    stages=(
        *stages_of(LOGITS, 5),
        dependences(_outputs, 2),
        cost(
            "nade_logits", _large, 2,
            cause="each hidden layer is summed from nothing; the sum of the next variable is that "
            "of this one plus one row of W",
        ),
    ),
    solution=(activate, nade_logits),
    imports="import numpy as np\n\nfrom pyarsimple.conditionals import sigmoid",
)  # fmt: skip
