"""A mixture over orders that is a likelihood."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyarsimple.conditionals import bernoulli_log_p
from pyarsimple.conditionals.functions import exp_from_top, log_sum_exp
from pyarsimple.density import all_rows
from pyarsimple.exercises.answers import Answer, Array, Case, Function, Rng, Wrong
from pyarsimple.exercises.cases import numbers
from pyarsimple.exercises.grader import Exercise, Stage, read_template
from pyarsimple.exercises.stages import extremes, known_cause, stages_of
from pyarsimple.mixtures import mixture_over_orders
from pyarsimple.models.fvsbn import fvsbn_logits

TEMPLATE = '''\
"""Exercise order-mixture: several orders, one likelihood.

A model that was trained for many orders gives another log p(x) under each.
Together they are better than alone, if they are put together as a mixture:

    p(x) = 1/M * (p_1(x) + ... + p_M(x))

That is a density: its probabilities sum to one. The mean of the log p, or
of the logits, is not: such numbers do not sum to one, and must not be
called a likelihood, however good they look. And p_m(x) itself is too small
for a floating point number as soon as there are a thousand variables, so
the mean of the probabilities has to be taken without leaving the logs.

    letter   shape    what
    log_p    (M, N)   log p(x) of N rows under each of M orders

    pyarsimple exercises grade order_mixture.py
    pyarsimple exercises hint order-mixture
"""

from decimal import Decimal, localcontext

import numpy as np

EXERCISE = "order-mixture"

# The definition, with 50 digits. Slow and right.


def slow_mixture_over_orders(log_p):
    M, N = log_p.shape
    result = np.zeros(N)
    with localcontext() as digits:
        digits.prec = 50
        for n in range(N):
            p = sum(Decimal(float(v)).exp() for v in log_p[:, n]) / M
            result[n] = float(p.ln())
    return result


# Your turn.


def mixture_over_orders(log_p):
    """log p(x) of the mixture, (N,), from log_p (M, N).

    About 2 lines. Error to expect: 1e-15, for log p of -5000 too.
    """
    raise NotImplementedError("fill me in: mixture_over_orders, about 2 lines")
'''

HINTS = (
    "exp(-5000) is 0. But exp(log_p - top), where top is the largest of the M, is 1 for at least "
    "one of them.",
    "log of the sum of exp(log_p) = top + log of the sum of exp(log_p - top). And the mean is the "
    "sum divided by M.",
    "top = log_p.max(axis=0); return top + np.log(np.exp(log_p - top).mean(axis=0)).",
)

_names = read_template(TEMPLATE)


def _cases(rng: Rng) -> Iterator[Case]:
    yield (np.array([[-1.0]]),)
    yield (np.array([[-1.0], [-2.0]]),)
    yield (np.array([[-1.0, -3.0], [-2.0, -0.5]]),)
    yield (np.array([[-1.0, -2.0, -0.5]]),)
    yield (-rng.uniform(1, 30, (4, 5)),)


def _from(top: Array, log_p: Array) -> Array:
    """The mixture, with exp() of what log_p is above ``top``."""
    return np.asarray(top + np.log(np.exp(log_p - top).mean(axis=0)))


def _shares(log_p: Array) -> Array:
    shares: Array = np.exp(log_p - np.logaddexp.reduce(log_p, axis=0))
    return shares


MIXTURE = Function(
    "mixture_over_orders",
    ("log_p",),
    _names["slow_mixture_over_orders"],
    _cases,
    {
        "the logs are averaged: this is the log of a geometric mean, which is too small and does "
        "not sum to one": lambda log_p: log_p.mean(axis=0),
        "the sum is not divided by M: these probabilities sum to M":
            lambda log_p: np.logaddexp.reduce(log_p, axis=0),
        "the best order is taken for each row: these probabilities sum to more than one":
            lambda log_p: log_p.max(axis=0),
        "the log is missing at the end: this is p(x)": lambda log_p: np.exp(log_p).mean(axis=0),
        "the logs are averaged, with softmax(log_p) as weights: p is averaged, with 1/M each":
            lambda log_p: (_shares(log_p) * log_p).sum(axis=0),
        "p is averaged with softmax(log_p) as weights: each order has the same, 1/M":
            lambda log_p: np.log((_shares(log_p) * np.exp(log_p)).sum(axis=0)),
        "only the first order is taken": lambda log_p: log_p[0],
        "only the last order is taken": lambda log_p: log_p[-1],
        "the worst order is taken for each row": lambda log_p: log_p.min(axis=0),
        "the mean is taken over everything, rows too: each row has a p(x) of its own":
            lambda log_p: np.full(log_p.shape[1], mixture_over_orders(log_p.reshape(-1, 1))[0]),
        "the log of the sum is divided by M: the sum itself is, so that log(M) is subtracted":
            lambda log_p: np.logaddexp.reduce(log_p, axis=0) / len(log_p),
        "log(sum of exp(log_p - top)) is divided by M: the sum itself is, so that log(M) is "
        "subtracted": lambda log_p: log_p.max(axis=0) + (
            np.logaddexp.reduce(log_p, axis=0) - log_p.max(axis=0)
        ) / len(log_p),
        "log2() stands where log() is meant": lambda log_p: log_p.max(axis=0) + (
            mixture_over_orders(log_p) - log_p.max(axis=0)
        ) / np.log(2),
        "the logs are added: this is the product of the M probabilities":
            lambda log_p: log_p.sum(axis=0),
        "divided by N, the number of rows, instead of M, the number of orders":
            lambda log_p: np.logaddexp.reduce(log_p, axis=0) - np.log(log_p.shape[1]),
        "the largest log p was subtracted and not added again":
            lambda log_p: mixture_over_orders(log_p) - log_p.max(axis=0),
    },
    {
        "one maximum is taken for all rows: each row needs its own, max(axis=0)":
            lambda log_p: _from(log_p.max(), log_p),
        "the first order's log_p is subtracted, which need not be the largest: max(axis=0)":
            lambda log_p: _from(log_p[0], log_p),
        "the smallest log_p is subtracted: it must be the largest, max(axis=0)":
            lambda log_p: _from(log_p.min(axis=0), log_p),
        "the mean of log_p is subtracted: it must be the largest, max(axis=0)":
            lambda log_p: _from(log_p.mean(axis=0), log_p),
    },
    rtol=1e-12, atol=1e-13, fast=mixture_over_orders,
)  # fmt: skip

_EXTREME = [
    (np.array(log_p),)
    for log_p in (
        [[-5000.0], [-5001.0]],
        [[-800.0, -1.0], [-2000.0, -3000.0]],
        [[-3000.0], [-800.0]],
    )
]


def _models(rng: Rng, D: int) -> Array:
    """log p of every row of bits under three orders of FVSBNs, (3, 2^D)."""
    x = all_rows([2] * D).astype(float)
    log_p = []
    for _ in range(3):
        W, b = numbers(rng, D, D, plain=False), numbers(rng, D, plain=False)
        log_p.append(bernoulli_log_p(fvsbn_logits(x, W, b, rng.permutation(D)), x).sum(axis=1))
    return np.array(log_p)


def _sums_to_one(answer: Answer) -> str:
    log_p = _models(answer.rng(), 4)
    mixed: Any = answer.call("mixture_over_orders", log_p)
    total = float(np.exp(mixed).sum())
    if abs(total - 1) > 1e-9:
        raise Wrong(
            f"p sums to {total:.4f} over all of {{0,1}}^4",
            cause=known_cause(
                answer, MIXTURE,
                otherwise="this is no likelihood: only a mean of probabilities sums to one",
            ),
        )  # fmt: skip
    return "p sums to 1 over all of {0,1}^4, for three FVSBNs"


EXERCISE = Exercise(
    name="order-mixture",
    title="a mixture over orders that is a likelihood",
    teaches="averages of p, not of log p",
    minutes=15,
    template=TEMPLATE,
    hints=HINTS,
    stages=(
        *stages_of(MIXTURE, 5),
        extremes(MIXTURE, _EXTREME, 2),
        Stage("sums to one", 2, _sums_to_one),
    ),
    solution=(exp_from_top, log_sum_exp, mixture_over_orders),
    imports="import numpy as np\n\nfrom pyarsimple.conditionals.functions import reduce_last",
)
