"""The chain rule, by enumeration."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pyarsimple.density import all_rows, log_conditionals
from pyarsimple.exercises.answers import Array, Case, Function, Rng
from pyarsimple.exercises.grader import Exercise, read_template
from pyarsimple.exercises.stages import stages_of

TEMPLATE = '''\
"""Exercise chain-rule: every density is a product of conditionals.

    p(x) = p(x_0) p(x_1 | x_0) p(x_2 | x_0, x_1) ...

For a few bits a density is a table, and this can be seen with bare hands: a
conditional is a quotient of two sums over the table. Whatever the table,
the product of the conditionals is the entry again. Autoregressive models
begin here: they only replace the quotient by something that needs no table.

    letter   shape          what
    sizes    (D,)           how many values each variable has: for bits 2, 2...
    table    (2, ..., 2)    table[x_0, x_1, ...] = p(x): D axes, sums to one
    x        (N, D)         bits, as whole numbers

    pyarsimple exercises grade chain_rule.py
    pyarsimple exercises hint chain-rule
"""

import math
from itertools import product

import numpy as np

EXERCISE = "chain-rule"

# The definition: sums over everything that begins alike. Slow and right.


def slow_all_rows(sizes):
    rows, row = [], [0 for _ in sizes]
    for _ in range(math.prod(sizes)):
        rows.append(list(row))
        for i in reversed(range(len(sizes))):  # add 1, and carry
            row[i] = (row[i] + 1) % sizes[i]
            if row[i]:
                break
    return np.array(rows)


def probability_of_beginning(table, beginning):
    total = 0.0
    for x in product([0, 1], repeat=table.ndim):
        if x[: len(beginning)] == beginning:
            total += float(table[x])
    return total


def slow_log_conditionals(table, x):
    log_p = np.zeros(x.shape)
    for n, row in enumerate(x.tolist()):
        for i in range(len(row)):
            with_x_i = probability_of_beginning(table, tuple(row[: i + 1]))
            without = probability_of_beginning(table, tuple(row[:i]))
            log_p[n, i] = math.log(with_x_i / without)
    return log_p


# Your turn.


def all_rows(sizes):
    """Every row of which the i-th entry is one of 0, ..., sizes[i] - 1,
    in the order of counting, for bits 0 0 0, 0 0 1, 0 1 0, ...: the last
    entry changes fastest. The shape is (product of the sizes, D).

    About 1 line. Whole numbers; no error at all.
    """
    raise NotImplementedError("fill me in: all_rows, about 1 line")


def log_conditionals(table, x):
    """log p(x_i | x_0, ..., x_(i-1)) of each bit of each row, (N, D).

    About 8 lines. Error to expect: 1e-15. Summed over a row this is
    log p(x), the log of the table's entry: see for yourself.
    """
    raise NotImplementedError("fill me in: log_conditionals, about 8 lines")
'''

HINTS = (
    "itertools.product(range(2), range(3)) counts in the right order. And p(x_i | x_<i) is "
    "p(x_0..x_i) / p(x_0..x_(i-1)).",
    "p of a beginning is a sum over all axes that are not fixed yet: table[x_0] is the part of the "
    "table that begins with x_0, an array with an axis less, and its sum is p(x_0).",
    "For each row: start with part = table; for each i: before = part.sum(); "
    "part = part[x[n, i]]; log_p[n, i] = np.log(part.sum() / before).",
)

_names = read_template(TEMPLATE)


def _row_cases(rng: Rng) -> Iterator[Case]:
    for sizes in ([2], [2, 2], [2, 3], [3, 1, 2], [2] * 5):
        yield (sizes,)


def _table_cases(rng: Rng) -> Iterator[Case]:
    for D in (1, 2, 2, 3, 4):
        table = rng.integers(1, 9, size=(2,) * D).astype(float)
        table /= table.sum()
        x = np.array([[1] * D]) if D < 3 else rng.integers(2, size=(4, D))
        yield table, x


def _conditionals(table: Array, x: Array, *, marginal: bool = False, joint: bool = False) -> Array:
    D = table.ndim
    log_p = np.empty(x.shape)
    for i in range(D):
        rest = tuple(range(i + 1, D))
        p = table.sum(axis=rest)  # p(x_0..x_i)
        if marginal:
            p = table.sum(axis=tuple(k for k in range(D) if k != i))
            log_p[:, i] = np.log(p[x[:, i]])
            continue
        q = np.ones_like(p) if joint else p.sum(axis=-1, keepdims=True) + 0 * p
        which = tuple(x[:, k] for k in range(i + 1))
        log_p[:, i] = np.log(p[which] / q[which])
    return log_p


def _given_all_others(table: Array, x: Array) -> Array:
    log_p = np.empty(x.shape)
    for i in range(table.ndim):
        p = table / table.sum(axis=i, keepdims=True)
        log_p[:, i] = np.log(p[tuple(x.T)])
    return log_p


def _from_the_right(table: Array, x: Array) -> Array:
    return _conditionals(table.transpose(), x[:, ::-1])[:, ::-1]


ALL_ROWS = Function(
    "all_rows",
    ("rows",),
    _names["slow_all_rows"],
    _row_cases,
    {
        "the first entry changes fastest: each row is written from right to left":
            lambda sizes: all_rows(sizes[::-1])[:, ::-1],
        "counts downwards, or 0 and 1 are exchanged": lambda sizes: all_rows(sizes)[::-1],
        "every entry takes the values of the first: entry i has sizes[i] of them":
            lambda sizes: all_rows([sizes[0]] * len(sizes)),
    },
    fast=all_rows,
)  # fmt: skip

LOG_P = Function(
    "log_conditionals",
    ("log_p",),
    _names["slow_log_conditionals"],
    _table_cases,
    {
        "this is p(x_i), a marginal: the bits before x_i are not taken into account":
            lambda table, x: _conditionals(table, x, marginal=True),
        "not divided by p(x_<i): this is the log of p(x_0, ..., x_i), a joint probability":
            lambda table, x: _conditionals(table, x, joint=True),
        "conditioned on all other bits, later ones too: bits after x_i must be summed out":
            _given_all_others,
        "the chain runs from the last bit to the first": _from_the_right,
        "the log is missing: these are probabilities":
            lambda table, x: np.exp(_conditionals(table, x)),
        "the sign is turned: these are -log p": lambda table, x: -_conditionals(table, x),
        "x_i is ignored: this is the probability of a 1":
            lambda table, x: _of_ones(table, x),
        "a mean stands where the bits that follow are to be summed out":
            lambda table, x: _conditionals(table, x) - np.log(2) * np.arange(table.ndim)[::-1],
        "this is p(x_<i), what p(x_0, ..., x_i) is to be divided by":
            lambda table, x: _conditionals(table, x, joint=True) - _conditionals(table, x),
    },
    fast=log_conditionals,
)  # fmt: skip


def _of_ones(table: Array, x: Array) -> Array:
    log_p = np.empty(x.shape)
    for i in range(table.ndim):
        y = x.copy()
        y[:, i] = 1
        log_p[:, i] = _conditionals(table, y)[:, i]
    return log_p


EXERCISE = Exercise(
    name="chain-rule",
    title="the chain rule by enumeration",
    teaches="p(x) is a product of conditionals",
    minutes=20,
    template=TEMPLATE,
    hints=HINTS,
    stages=(*stages_of(ALL_ROWS, 2, "all_rows"), *stages_of(LOG_P, 6, "log_conditionals")),
    solution=(all_rows, log_conditionals),
    imports="import numpy as np",
)
