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
    logits, g = np.empty_like(x), how.get("g", sigmoid)
    h = np.tile(c, (len(x), 1))
    for k, i in enumerate(order):
        seen = order[: max(0, k + late)]
        if how.get("one"):
            seen = seen[-1:]
        if how.get("own"):
            seen = order[k : k + 1]
        a = c + x[:, seen] @ W[seen]
        if how.get("no_c") and k > 0:
            a -= c
        a += how.get("c_again", 0) * k * c - how.get("c_late", 0) * c
        if how.get("of_h"):
            a = h + x[:, order[k - 1 : k]] @ W[order[k - 1 : k]]
        h = g(a)
        logits[:, i] = h @ V[order[k - how.get("V_late", 0)]] + b[order[k - how.get("b_late", 0)]]
    return logits


def _suspect(**how: Any) -> Any:
    def suspect(
        x: Array, W: Array, c: Array, V: Array, b: Array, order: Array, hidden: str, keep: None
    ) -> Array:
        return _wrong(x, W, c, V, b, order, **how)

    return suspect


#: Mistakes in the sum or in what is made of it: sampling shares them.
OF_THE_SUM = {
    "the activation is one step late: the variable just before i is not in it yet":
        _suspect(late=-1),
    "only the variable just before i is seen: the activation must carry all earlier ones":
        _suspect(one=True),
    "= stands where += is meant: only the variable just before i is in the activation, c and all "
    "others are lost": _suspect(one=True, no_c=True),
    "c is lost after the first variable: the activation is c plus all rows of W that are known":
        _suspect(no_c=True),
    "c is added in every step: the sum begins with c, and has it once": _suspect(c_again=1),
    "c is added in every step, from nothing: a begins with c, and has it once":
        _suspect(c_again=1, c_late=1),
    "V of the variable before i is taken: the logit of i needs V[i]": _suspect(V_late=1),
    "V and b of the variable before i are taken: the logit of i needs V[i] and b[i]":
        _suspect(V_late=1, b_late=1),
    "h is carried where the activation a is meant: h = sigmoid(a) must not replace a":
        _suspect(of_h=True),
    "the sigmoid of the hidden units is missing: h must be sigmoid(a)": _suspect(g=lambda a: a),
    "the hidden units are rectifiers here: hidden is 'sigmoid'":
        _suspect(g=lambda a: np.maximum(a, 0)),
    "the hidden units are tanh here: hidden is 'sigmoid'": _suspect(g=np.tanh),
}  # fmt: skip


LOGITS = Function(
    "nade_logits",
    ("logits",),
    _names["slow_nade_logits"],
    _cases,
    {
        "x_i is added to the activation before its own logit is computed, so that variable i sees "
        "itself: first the logit, then the update": _suspect(late=1),
        "only x_i itself is in the activation of variable i: it must hold the variables before i, "
        "and not x_i": _suspect(own=True),
        "every variable sees all of x, itself and later ones too: the sum must stop before i":
            lambda x, W, c, V, b, order, hidden, keep: sigmoid(c + x @ W) @ V.T + b,
    } | OF_THE_SUM,
    fast=nade_logits,
)  # fmt: skip


def _outputs(answer: Any, D: int, order: Array) -> Any:
    rng = answer.rng()
    W, V = numbers(rng, D, 3, plain=False), numbers(rng, D, 3, plain=False)
    c, b = numbers(rng, 3, plain=False), numbers(rng, D, plain=False)
    return lambda x: answer.call("nade_logits", x, W, c, V, b, order, "sigmoid", None)


EXERCISE = Exercise(
    name="nade-forward",
    title="all conditionals of a NADE by one walk, in O(D H)",
    teaches="a sum that is carried along",
    minutes=25,
    template=TEMPLATE,
    hints=HINTS,
    stages=(
        *stages_of(LOGITS, 5),
        dependences(LOGITS, _outputs, 2),
        cost(
            LOGITS, 2,
            cause="each hidden layer is summed from nothing; the sum of the next variable is that "
            "of this one plus one row of W",
        ),
    ),
    solution=(activate, nade_logits),
    imports="import numpy as np\n\nfrom pyarsimple.conditionals import sigmoid\n"
    "from pyarsimple.orders import walk",
)  # fmt: skip
