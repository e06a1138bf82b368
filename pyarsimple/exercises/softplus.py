"""Stable softplus and log-sigmoid."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pyarsimple.conditionals import log_sigmoid, softplus
from pyarsimple.exercises.answers import Array, Case, Function, Rng
from pyarsimple.exercises.grader import Exercise, read_template
from pyarsimple.exercises.stages import extremes, stages_of

TEMPLATE = '''\
"""Exercise softplus: log(1 + exp(z)) for every z, large ones too.

    softplus(z)    = log(1 + exp(z))
    log_sigmoid(z) = log(1 / (1 + exp(-z)))

Every loss for bits is made of these two. As they are written above they
fail: exp(1000) overflows, and 1 + exp(-40) is exactly 1 in floating point,
so that its log is 0 instead of 4e-18. Yet both can be had to the last digit
for every z, without a warning. Divide exp(z) out where z is large: what is
left is an exp() of a number that is never positive.

    pyarsimple exercises grade softplus.py
    pyarsimple exercises hint softplus
"""

from decimal import Decimal, localcontext

import numpy as np

EXERCISE = "softplus"

# The definition: the formulas as they stand, with 400 digits. Slow and right.


def slow_softplus(z):
    with localcontext() as digits:
        digits.prec = 400
        z_exact = [Decimal(float(v)) for v in z.flat]
        flat = [float((1 + v.exp()).ln()) for v in z_exact]
    return np.array(flat).reshape(z.shape)


def slow_log_sigmoid(z):
    with localcontext() as digits:
        digits.prec = 400
        z_exact = [Decimal(float(v)) for v in z.flat]
        flat = [float((1 / (1 + (-v).exp())).ln()) for v in z_exact]
    return np.array(flat).reshape(z.shape)


# Your turn.


def softplus(z):
    """log(1 + exp(z)) of every entry.

    z: an array of floats of any shape. Returns an array of the same shape.

    About 1 line, of NumPy. Error to expect: 1e-15, relative to each entry.
    """
    raise NotImplementedError("fill me in: softplus, about 1 line")


def log_sigmoid(z):
    """log(1 / (1 + exp(-z))) of every entry.

    z: an array of floats of any shape. Returns an array of the same shape.

    About 1 line: softplus does the work. Error to expect: 1e-15, relative.
    """
    raise NotImplementedError("fill me in: log_sigmoid, about 1 line")
'''

HINTS = (
    "For z > 0: log(1 + exp(z)) = z + log(1 + exp(-z)). Which exp() is safe for negative z?",
    "Both cases in one: max(z, 0) + log(1 + exp(-abs(z))). And np.log1p(e) is log(1 + e) "
    "without the rounding of 1 + e.",
    "softplus is np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))). For log_sigmoid, multiply "
    "the fraction out: log(1/(1 + exp(-z))) = -log(1 + exp(-z)).",
)

_names = read_template(TEMPLATE)


def _cases(rng: Rng) -> Iterator[Case]:
    yield (np.array([0.5]),)
    yield (np.array([-0.5]),)
    yield (np.array([-2.0, 2.0]),)
    yield (np.array([21.0]),)
    yield (np.array([-21.0]),)
    yield (rng.normal(0, 3, (2, 3)),)
    yield (np.linspace(-25, 25, 11) + rng.normal(0, 0.1, 11),)


def _stable(z: Array) -> Array:
    return np.asarray(np.log1p(np.exp(-np.abs(z))))


SOFTPLUS = Function(
    "softplus",
    ("softplus",),
    _names["slow_softplus"],
    _cases,
    {
        "the sign of z is turned: this is log(1 + exp(-z))": lambda z: np.logaddexp(0, -z),
        "max(z, 0) is missing: this is right for negative z only": _stable,
        "the log term is missing: this is max(z, 0), the rectifier": lambda z: np.maximum(z, 0),
        "abs(z) is added where max(z, 0) is needed, or exp(-z) stands where exp(-abs(z)) is meant: "
        "for negative z this is log(1 + exp(-z))": lambda z: np.abs(z) + _stable(z),
        "z stands where max(z, 0) is needed: for negative z it is 0": lambda z: z + _stable(z),
        "exp(abs(z)) stands where exp(-abs(z)) is meant":
            lambda z: np.maximum(z, 0) + np.log1p(np.exp(np.abs(z))),
        "the 1 of 1 + exp() is missing: log(exp(z)) is z again":
            lambda z: np.maximum(z, 0) - np.abs(z),
        "the 1 is there twice: log1p(e) is log(1 + e) already": lambda z: np.log(2 + np.exp(z)),
        "the 1 is there twice, after max(z, 0): log1p(e) is log(1 + e) already":
            lambda z: np.maximum(z, 0) + np.log(2 + np.exp(-np.abs(z))),
        "1 + exp() is rounded before the log is taken: use log1p, which takes exp() alone":
            lambda z: np.log(1 + np.exp(z)),
        "for large z the term exp(-z) is dropped: it still counts at z = 20 and more":
            lambda z: np.where(z > 20, z, np.logaddexp(0, z)),
    },
    rtol=1e-13,
    atol=0,
    fast=softplus,
)  # fmt: skip

LOG_SIGMOID = Function(
    "log_sigmoid",
    ("log_sigmoid",),
    _names["slow_log_sigmoid"],
    _cases,
    {
        "the minus in front is missing: a log-probability is never positive":
            lambda z: np.logaddexp(0, -z),
        "z should be -z inside softplus: this is log(1 - sigmoid(z))":
            lambda z: -np.logaddexp(0, z),
        "z is added to what is right without it: -softplus(-z)":
            lambda z: z - np.logaddexp(0, -z),
        "z and softplus(z) are nearly equal for large z, and cancel: -softplus(-z) "
        "subtracts nothing": lambda z: z - softplus(z),
        "log is missing: this is the sigmoid itself": lambda z: 1 / (1 + np.exp(-z)),
        "1 + exp() is rounded before the log is taken: call your softplus, or use log1p":
            lambda z: -np.log(1 + np.exp(-z)),
        "this is softplus(z): both signs are missing, outside and inside": softplus,
    },
    rtol=1e-13,
    atol=0,
    ours={"softplus": softplus},
    fast=log_sigmoid,
)  # fmt: skip

_EXTREME = [(np.array([z]),) for z in (-37.0, -40.0, 40.0, -745.0, 1000.0, -1000.0)]

EXERCISE = Exercise(
    name="softplus",
    title="softplus and log-sigmoid, stable for every z",
    teaches="exp() and log() without overflow",
    minutes=15,
    template=TEMPLATE,
    hints=HINTS,
    stages=(
        *stages_of(SOFTPLUS, 2, "softplus"),
        extremes(SOFTPLUS, _EXTREME, 2, "softplus"),
        *stages_of(LOG_SIGMOID, 2, "log_sigmoid"),
        extremes(LOG_SIGMOID, _EXTREME, 2, "log_sigmoid"),
    ),
    solution=(softplus, log_sigmoid),
)
