"""The loss of bits and its gradient, from logits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pyarsimple.conditionals import (
    bernoulli_d_logits,
    bernoulli_log_p,
    sigmoid,
    softplus,
)
from pyarsimple.exercises.answers import Case, Function, Rng
from pyarsimple.exercises.grader import Exercise, read_template
from pyarsimple.exercises.stages import extremes, stages_of

TEMPLATE = '''\
"""Exercise bernoulli-loss: log p of bits from logits, and its gradient.

    p(x_i = 1 | x_<i) = sigmoid(logit_i) = 1 / (1 + exp(-logit_i))
    log p(x_i | x_<i) = log of that if x_i = 1, log of 1 minus that if x_i = 0

A model gives logits, the loss takes logits: neither p nor log(p) is formed
on the way, so that log p = -1000 stays -1000 and is not log(0), and nobody
has to clip. The gradient of the loss with respect to the logits is the
shortest formula of this library; derive it before you look at the hints.

    letter   shape    what
    logits   (N, D)   any real numbers
    x        (N, D)   bits, 0.0 or 1.0
    scale    ()       a factor, such as 1 / N for a mean over rows

    pyarsimple exercises grade bernoulli_loss.py
    pyarsimple exercises hint bernoulli-loss
"""

from decimal import Decimal, localcontext

import numpy as np

from pyarsimple.conditionals import sigmoid, softplus

EXERCISE = "bernoulli-loss"

# The definition, with as many digits as it takes. Slow and right.


def exact_log_p(logit, bit):
    p = 1 / (1 + (-logit).exp())
    return (p if bit == 1 else 1 - p).ln()


def slow_bernoulli_log_p(logits, x):
    log_p = np.zeros(logits.shape)
    for n, i in np.ndindex(logits.shape):
        z = Decimal(float(logits[n, i]))
        with localcontext() as digits:
            digits.prec = 100 + int(abs(z)) // 2
            log_p[n, i] = exact_log_p(z, x[n, i])
    return log_p


def slow_bernoulli_d_logits(logits, x, scale):
    """The derivative of -scale * sum(log p): a difference of a tiny step."""
    d_logits = np.zeros(logits.shape)
    for n, i in np.ndindex(logits.shape):
        z, step = Decimal(float(logits[n, i])), Decimal("1e-30")
        with localcontext() as digits:
            digits.prec = 100 + int(abs(z)) // 2
            up, down = (exact_log_p(v, x[n, i]) for v in (z + step, z - step))
            d_logits[n, i] = -scale * float((up - down) / (2 * step))
    return d_logits


# Your turn. sigmoid and softplus, log(1 + exp(z)), are imported: both are
# exact for every z, and silent.


def bernoulli_log_p(logits, x):
    """log p(x_i | x_<i) of every bit, (N, D).

    About 1 line. Error to expect: 1e-15, relative, for logits up to 1000.
    """
    raise NotImplementedError("fill me in: bernoulli_log_p, about 1 line")


def bernoulli_d_logits(logits, x, scale):
    """The gradient of -scale * log_p.sum() with respect to logits, (N, D).

    About 1 line. Error to expect: 1e-15, relative.
    """
    raise NotImplementedError("fill me in: bernoulli_d_logits, about 1 line")
'''

HINTS = (
    "log sigmoid(z) = -softplus(-z), and 1 - sigmoid(z) = sigmoid(-z). What is log p for x = 1, "
    "and what for x = 0?",
    "Both cases differ in the sign of the logit only: -softplus(s * logits) with s = -1 where "
    "x = 1 and s = +1 where x = 0. Write s with x. And the derivative of softplus is sigmoid.",
    "log p = -softplus((1 - 2 * x) * logits). Its derivative is x - sigmoid(logits): check it for "
    "x = 0 and for x = 1. The loss has a minus and a scale in front.",
)

_names = read_template(TEMPLATE)


def _log_p_cases(rng: Rng) -> Iterator[Case]:
    for logit, bit in ((0.5, 1.0), (0.5, 0.0), (-2.0, 1.0)):
        yield np.array([[logit]]), np.array([[bit]])
    yield np.array([[1.0, 2.0]]), np.array([[1.0, 0.0]])
    x = rng.integers(2, size=(4, 3)).astype(float)
    yield rng.uniform(0.5, 4, (4, 3)) * rng.choice([-1, 1], (4, 3)), x


def _gradient_cases(rng: Rng) -> Iterator[Case]:
    for k, (logits, x) in enumerate(_log_p_cases(rng)):
        yield logits, x, 1.0 if k < 2 else 0.25


LOG_P = Function(
    "bernoulli_log_p",
    ("log_p",),
    _names["slow_bernoulli_log_p"],
    _log_p_cases,
    {
        "the sign is turned: this is -log p, but log p was asked for":
            lambda z, x: softplus((1 - 2 * x) * z),
        "0 and 1 are exchanged: this is log p(1 - x)": lambda z, x: -softplus((2 * x - 1) * z),
        "the term of x = 0 is missing: log(1 - p) counts where x is 0":
            lambda z, x: -x * softplus(-z),
        "the term of x = 1 is missing: log(p) counts where x is 1":
            lambda z, x: -(1 - x) * softplus(z),
        "softplus(z) is missing: x z alone is no log p yet": lambda z, x: x * z,
        "the sign of the logit is 1 - x, which is 1 or 0: 1 - 2 * x is +1 or -1":
            lambda z, x: -softplus((1 - x) * z),
        "the bit is ignored: this is log p(x_i = 1) for every x": lambda z, x: -softplus(-z),
        "these are probabilities: the log is missing": lambda z, x: sigmoid((2 * x - 1) * z),
        "sigmoid is applied twice: softplus takes the logits themselves":
            lambda z, x: -softplus((1 - 2 * x) * sigmoid(z)),
    },
    {
        "x z and softplus(z) are nearly equal for large z, and cancel: -softplus((1 - 2 x) z) "
        "subtracts nothing": lambda z, x: x * z - softplus(z),
        "(x - 1) z and softplus(-z) are nearly equal for z far below 0, and cancel: "
        "-softplus((1 - 2 x) z) subtracts nothing": lambda z, x: (x - 1) * z - softplus(-z),
    },
    rtol=1e-12, atol=0, fast=bernoulli_log_p,
)  # fmt: skip

D_LOGITS = Function(
    "bernoulli_d_logits",
    ("d_logits",),
    _names["slow_bernoulli_d_logits"],
    _gradient_cases,
    {
        "the sign is turned: the loss is MINUS log p, so the gradient is p - x, not x - p":
            lambda z, x, scale: (x - sigmoid(z)) * scale,
        "divided by N as well: scale already holds the 1/N of a mean":
            lambda z, x, scale: (sigmoid(z) - x) * scale / len(x),
        "a factor p (1 - p) too many, the derivative of a sigmoid: with respect to the LOGITS it "
        "cancels against the 1/p of the log":
            lambda z, x, scale: (sigmoid(z) - x) * sigmoid(z) * sigmoid(-z) * scale,
        "this is the gradient with respect to p, (p - x) / (p (1 - p)); the logits are one step "
        "further down": lambda z, x, scale: (sigmoid(z) - x) / (sigmoid(z) * sigmoid(-z)) * scale,
        "the sigmoid is missing: it is p - x, not logit - x": lambda z, x, scale: (z - x) * scale,
        "softplus stands where its derivative, the sigmoid, is meant":
            lambda z, x, scale: (softplus(z) - x) * scale,
        "x is ignored: this is the gradient for x = 0 everywhere":
            lambda z, x, scale: sigmoid(z) * scale,
    },
    rtol=1e-12, atol=1e-15, fast=bernoulli_d_logits,
)  # fmt: skip

#: Arguments at which a formula that is not stable shows it.
EXTREME = [
    (np.array([[z]]), np.array([[bit]]))
    for z in (-40.0, 40.0, 1000.0, -1000.0)
    for bit in (0.0, 1.0)
]

EXERCISE = Exercise(
    name="bernoulli-loss",
    title="log p of bits from logits, and its gradient",
    teaches="why losses take logits; p - x",
    minutes=20,
    template=TEMPLATE,
    hints=HINTS,
    stages=(
        *stages_of(LOG_P, 2, "log_p"),
        extremes(LOG_P, EXTREME, 2, "log_p"),
        *stages_of(D_LOGITS, 3, "d_logits"),
        extremes(D_LOGITS, [(*case, 1.0) for case in EXTREME], 1, "d_logits"),
    ),
    solution=(bernoulli_log_p, bernoulli_d_logits),
    imports="import numpy as np\n\nfrom pyarsimple.conditionals import sigmoid, softplus",
)
