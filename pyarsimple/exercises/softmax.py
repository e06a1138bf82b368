"""Conditionals of one of K classes: log-softmax and its gradient."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pyarsimple.conditionals import categorical_d_logits, categorical_log_p, softmax
from pyarsimple.conditionals.functions import exp_from_top
from pyarsimple.exercises.answers import Array, Case, Function, Rng
from pyarsimple.exercises.grader import Exercise, read_template
from pyarsimple.exercises.stages import extremes, stages_of

TEMPLATE = '''\
"""Exercise softmax-conditionals: variables of K classes instead of bits.

    p(x_i = k | x_<i) = exp(logits_ik) / sum over m of exp(logits_im)

Only the last step of a model changes when its variables have K values: K
logits a variable, a softmax over them. A number that is added to all K
logits changes nothing, and that is how overflow is avoided: subtract the
largest. The gradient looks as it did for bits.

    letter   shape      what
    logits   (N, D, K)  any real numbers
    x        (N, D)     classes, whole numbers 0 to K-1
    scale    ()         a factor, such as 1 / N for a mean over rows

    pyarsimple exercises grade softmax_conditionals.py
    pyarsimple exercises hint softmax-conditionals
"""

from decimal import Decimal, localcontext

import numpy as np

EXERCISE = "softmax-conditionals"

# The definition, with 100 digits. Slow and right.


def exact_log_p(logits, k):
    return (logits[k].exp() / sum(z.exp() for z in logits)).ln()


def slow_categorical_log_p(logits, x):
    log_p = np.zeros(x.shape)
    with localcontext() as digits:
        digits.prec = 100
        for n, i in np.ndindex(x.shape):
            z = [Decimal(float(v)) for v in logits[n, i]]
            log_p[n, i] = exact_log_p(z, x[n, i])
    return log_p


def slow_categorical_d_logits(logits, x, scale):
    """The derivative of -scale * sum(log p): a difference of a tiny step."""
    d_logits = np.zeros(logits.shape)
    with localcontext() as digits:
        digits.prec, step = 100, Decimal("1e-20")
        for n, i, k in np.ndindex(logits.shape):
            log_p = []
            for sign in (1, -1):
                z = [Decimal(float(v)) for v in logits[n, i]]
                z[k] += sign * step
                log_p.append(exact_log_p(z, x[n, i]))
            slope = (log_p[0] - log_p[1]) / (2 * step)
            d_logits[n, i, k] = -scale * float(slope)
    return d_logits


# Your turn.


def categorical_log_p(logits, x):
    """log p(x_i | x_<i) of every variable, (N, D).

    About 5 lines. Error to expect: 1e-15, for logits up to 1000 too.
    """
    raise NotImplementedError("fill me in: categorical_log_p, about 5 lines")


def categorical_d_logits(logits, x, scale):
    """The gradient of -scale * log_p.sum() by the logits, (N, D, K).

    About 4 lines. Error to expect: 1e-15.
    """
    raise NotImplementedError("fill me in: categorical_d_logits (4 lines)")
'''

HINTS = (
    "log p = logit of the class - log(sum of exp(logits)). With top, the largest logit, the second "
    "term is top + log(sum of exp(logits - top)): nothing in it overflows, and the sum is >= 1.",
    "To pick one of K: np.take_along_axis(log_p, x[:, :, np.newaxis], axis=2)[:, :, 0]. For the "
    "gradient: the logit of the class enters once by itself, and every logit through the sum.",
    "The gradient is scale * (p - one_hot): p = softmax(logits), and "
    "one_hot = np.arange(K) == x[:, :, np.newaxis].",
)

_names = read_template(TEMPLATE)


def _log_p_cases(rng: Rng) -> Iterator[Case]:
    for N, D, K in ((1, 1, 2), (1, 1, 3), (1, 2, 3), (2, 1, 2), (3, 2, 4)):
        plain = N * D < 3
        logits = rng.choice([-1.0, -0.5, 0.5, 1.0, 2.0], (N, D, K)) + 0.25 * np.arange(K)
        if not plain:
            logits = rng.normal(0, 2, (N, D, K))
        yield logits, (np.arange(N * D).reshape(N, D) + 1) % K


def _gradient_cases(rng: Rng) -> Iterator[Case]:
    for k, (logits, x) in enumerate(_log_p_cases(rng)):
        yield logits, x, 1.0 if k < 2 else 0.25


def _shifted(logits: Array) -> Array:
    shifted: Array = logits - logits.max(axis=2, keepdims=True)
    return shifted


def _softmax(logits: Array, axis: int = 2) -> Array:
    e = np.exp(logits - logits.max(axis=axis, keepdims=True))
    p: Array = e / e.sum(axis=axis, keepdims=True)
    return p


def _pick(values: Array, x: Array) -> Array:
    picked: Array = np.take_along_axis(values, x[:, :, np.newaxis], axis=2).squeeze(axis=2)
    return picked


def _one_hot(logits: Array, x: Array) -> Array:
    is_it: Array = np.arange(logits.shape[2]) == x[:, :, np.newaxis]
    return is_it


def _from(top: Array, logits: Array) -> Array:
    """log p of every class, with exp() of what the logits are above ``top``."""
    log_p: Array = logits - top - np.log(np.exp(logits - top).sum(axis=2, keepdims=True))
    return log_p


ONE_TOP = "one maximum is taken for all variables: each needs its own, max(axis=2, keepdims=True)"

LOG_P = Function(
    "categorical_log_p",
    ("log_p",),
    _names["slow_categorical_log_p"],
    _log_p_cases,
    {
        "the sign is turned: this is -log p": lambda z, x: -categorical_log_p(z, x),
        "the log is missing: these are probabilities": lambda z, x: _pick(_softmax(z), x),
        "not normalised: the log of the sum of exp(logits) must be subtracted": _pick,
        "the largest logit is subtracted, and the log of the sum is not":
            lambda z, x: _pick(z - z.max(axis=2, keepdims=True), x),
        "the log of the sum is missing: what is subtracted is the sum of exp() itself":
            lambda z, x: _pick(z - np.exp(z).sum(axis=2, keepdims=True), x),
        "the log of the sum is missing, after the largest logit was subtracted":
            lambda z, x: _pick(_shifted(z) - np.exp(_shifted(z)).sum(axis=2, keepdims=True), x),
        "the mean of exp() stands where their sum is meant: the K probabilities sum to K":
            lambda z, x: categorical_log_p(z, x) + np.log(z.shape[2]),
        "normalised over the variables, axis 1: the sum runs over the K classes, the last axis":
            lambda z, x: _pick(np.log(_softmax(z, axis=1)), x),
        "the largest logit is that of axis 1: it is wanted of the K classes, axis=2":
            lambda z, x: _pick(_from(z.max(axis=1, keepdims=True), z), x),
        "the largest logit is that of axis 0: it is wanted of the K classes, axis=2":
            lambda z, x: _pick(_from(z.max(axis=0, keepdims=True), z), x),
        "normalised over the rows, axis 0: the sum runs over the K classes, the last axis":
            lambda z, x: _pick(np.log(_softmax(z, axis=0)), x),
        "normalised over everything at once: each variable has a softmax of its own":
            lambda z, x: _pick(z - np.log(np.exp(z).sum()), x),
        "the class is not x: the likeliest one was taken":
            lambda z, x: np.log(_softmax(z)).max(axis=2),
        "the class is not x: class 0 was taken": lambda z, x: np.log(_softmax(z))[:, :, 0],
        "the top was subtracted and not added again in the log of the sum, or added twice":
            lambda z, x: categorical_log_p(z, x) + z.max(axis=2),
        "K separate bits: each logit went through a sigmoid, but the K must share one softmax":
            lambda z, x: _pick(-np.logaddexp(0, -z), x),
        "the class is x - 1: classes are counted from 0, and x is the index itself":
            lambda z, x: _pick(np.log(_softmax(z)), x - 1),
    },
    {ONE_TOP: lambda z, x: _pick(_from(z.max(), z), x)},
    rtol=1e-12, atol=1e-13, fast=categorical_log_p,
)  # fmt: skip

D_LOGITS = Function(
    "categorical_d_logits",
    ("d_logits",),
    _names["slow_categorical_d_logits"],
    _gradient_cases,
    {
        "the sign is turned: the loss is MINUS log p, the gradient p - one_hot":
            lambda z, x, scale: scale * (_one_hot(z, x) - _softmax(z)),
        "only the logit of the class itself was derived: the others change the sum too":
            lambda z, x, scale: scale * (_softmax(z) - 1) * _one_hot(z, x),
        "the 1 of the class is added: it must be subtracted":
            lambda z, x, scale: scale * (_softmax(z) + _one_hot(z, x)),
        "log p stands where p is meant: p is exp(log p)":
            lambda z, x, scale: scale * (np.log(_softmax(z)) - _one_hot(z, x)),
        "the mean of exp() stands where their sum is meant: the K probabilities sum to K":
            lambda z, x, scale: scale * (_softmax(z) * z.shape[2] - _one_hot(z, x)),
        "the 1 of the class is missing: this is p alone": lambda z, x, scale: scale * _softmax(z),
        "the softmax is missing: it is p - one_hot, not logits - one_hot":
            lambda z, x, scale: scale * (z - _one_hot(z, x)),
        "a factor p (1 - p) too many: by the LOGITS it cancels against the 1/p of the log":
            lambda z, x, scale: scale * (_softmax(z) - _one_hot(z, x)) * _softmax(z)
            * (1 - _softmax(z)),
        "normalised over the variables, axis 1: the sum runs over the K classes, the last axis":
            lambda z, x, scale: scale * (_softmax(z, axis=1) - _one_hot(z, x)),
        "divided by N as well: scale already holds the 1/N of a mean":
            lambda z, x, scale: scale * (_softmax(z) - _one_hot(z, x)) / len(x),
        "the largest logit is that of axis 1: it is wanted of the K classes, axis=2":
            lambda z, x, scale: scale
            * (np.exp(_from(z.max(axis=1, keepdims=True), z)) - _one_hot(z, x)),
        "the largest logit is that of axis 0: it is wanted of the K classes, axis=2":
            lambda z, x, scale: scale
            * (np.exp(_from(z.max(axis=0, keepdims=True), z)) - _one_hot(z, x)),
        "K separate sigmoids: the K logits must share one softmax":
            lambda z, x, scale: scale * (1 / (1 + np.exp(-z)) - _one_hot(z, x)),
        "the 1 stands at class x - 1: classes are counted from 0":
            lambda z, x, scale: scale * (_softmax(z) - _one_hot(z, (x - 1) % z.shape[2])),
        "the 1 stands at class x - 1, and nowhere for x = 0: classes are counted from 0":
            lambda z, x, scale: scale * (_softmax(z) - _one_hot(z, x - 1)),
        "divided by K, the number of classes: nothing is averaged over them":
            lambda z, x, scale: scale * (_softmax(z) - _one_hot(z, x)) / z.shape[2],
    },
    {
        ONE_TOP: lambda z, x, scale: scale
        * (np.exp(_from(z.max(), z)) - _one_hot(z, x)),
    },
    rtol=1e-12, atol=1e-13, fast=categorical_d_logits,
)  # fmt: skip

_EXTREME = [
    (np.array([[z]]), np.array([[k]]))
    for z in ([1000.0, 1001.0], [-1000.0, 1000.0], [-1000.0, -1001.0])
    for k in (0, 1)
] + [(np.array([[[1000.0, 1001.0], [-1000.0, -1001.0]]]), np.array([[0, 1]]))]

EXERCISE = Exercise(
    name="softmax-conditionals",
    title="variables of K classes: log-softmax and its gradient",
    teaches="log-sum-exp; p - one_hot",
    minutes=30,
    template=TEMPLATE,
    hints=HINTS,
    stages=(
        *stages_of(LOG_P, 3, "log_p"),
        extremes(LOG_P, _EXTREME, 1, "log_p"),
        *stages_of(D_LOGITS, 3, "d_logits"),
        extremes(D_LOGITS, [(*case, 1.0) for case in _EXTREME], 1, "d_logits"),
    ),
    solution=(exp_from_top, softmax, categorical_log_p, categorical_d_logits),
    imports="import numpy as np\n\nfrom pyarsimple.conditionals.functions import reduce_last",
)
