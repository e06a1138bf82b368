"""The gradient of a mixture of Gaussians."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyarsimple.conditionals.mixture import log_joint, mixture_gradient
from pyarsimple.exercises.answers import Array, Case, Function, Rng
from pyarsimple.exercises.grader import Exercise, read_template
from pyarsimple.exercises.stages import extremes, shapes, values

TEMPLATE = '''\
"""Exercise mixture-gradient: a conditional for real numbers.

    p(x_n) = sum over k of w_nk N(x_n; mean_nk, scale_nk)
    w_nk   = exp(logits_nk) / sum over m of exp(logits_nm)

A network gives three numbers for each of K bells: a logit, a mean and a
scale. Logits go through a softmax, so that the weights sum to one. Scales
are positive, so it is their logs that can move freely, and by which the
gradient is wanted: whatever function made the scale positive, the rest is
its own derivative. The way there is the share that bell k has in p(x_n):
r_nk = w_nk N(x_n; mean_nk, scale_nk) / p(x_n). All three gradients are
short once they are written with r and z = (x - mean) / scale.

    letter         shape    what
    logits, mean   (N, K)   what the network says of each row
    scale          (N, K)   numbers above 0
    x              (N,)     real numbers

    pyarsimple exercises grade mixture_gradient.py
    pyarsimple exercises hint mixture-gradient
"""

from decimal import Decimal, localcontext

import numpy as np

EXERCISE = "mixture-gradient"

# The definition, with 80 digits: differences of -sum(log p). Slow and right.

PI = Decimal("3.14159265358979323846264338327950288419716939937510")


def exact_log_p(logits, mean, scale, x):
    """log p(x) of one x, from K numbers each."""
    total = sum(a.exp() for a in logits)
    p = Decimal(0)
    for a, m, s in zip(logits, mean, scale):
        z = (x - m) / s
        p += a.exp() / total * (-z * z / 2).exp() / s / (2 * PI).sqrt()
    return p.ln()


def slow_mixture_gradient(logits, mean, scale, x):
    gradients = [np.zeros(mean.shape) for _ in range(3)]
    with localcontext() as digits:
        digits.prec, step = 80, Decimal("1e-20")
        for which, n, k in np.ndindex(3, *mean.shape):
            rows = logits[n], mean[n], scale[n]
            p = [list(map(Decimal, row.tolist())) for row in rows]
            value, log_p = p[which][k], []
            for h in (step, -step):  # added to the log of a scale
                p[which][k] = value * h.exp() if which == 2 else value + h
                log_p.append(exact_log_p(*p, Decimal(float(x[n]))))
            slope = (log_p[0] - log_p[1]) / (2 * step)
            gradients[which][n, k] = -float(slope)
    return tuple(gradients)


# Your turn.


def mixture_gradient(logits, mean, scale, x):
    """The gradient of -sum(log p(x_n)) by logits, mean and log(scale):
    (d_logits, d_mean, d_log_scale), each of shape (N, K).

    About 6 lines. Error to expect: 1e-14; far from all bells too, where
    every density is 0 in floating point: work with logs until r.
    np.logaddexp.reduce(a, axis=1) is the log of the sum of exp(a), (N,).
    """
    raise NotImplementedError("fill me in: mixture_gradient, about 6 lines")
'''

HINTS = (
    "Write log_joint[n, k] = logits - log(scale) - z**2 / 2, with z = (x[:, np.newaxis] - mean) / "
    "scale: the log of bell k's part in p, up to a constant. Then r is its softmax over k.",
    "The derivative of log p by anything is the sum over k of r_nk times that of bell k's own log. "
    "By mean_nk that is z / scale; by log(scale_nk) it is z**2 - 1 (the scale stands in z and in "
    "front).",
    "d_logits = w - r, with w the softmax of the logits; d_mean = -r * z / scale; "
    "d_log_scale = r * (1 - z**2).",
)

_names = read_template(TEMPLATE)


def _cases(rng: Rng) -> Iterator[Case]:
    for N, K in ((1, 1), (1, 2), (2, 2), (1, 3), (4, 3)):
        if N * K < 4:
            logits, mean = (rng.choice([-1.0, -0.5, 0.5, 1.0], (N, K)) for _ in range(2))
            scale = rng.choice([0.5, 0.75, 1.5, 2.0], (N, K))
            yield logits + 0.25 * np.arange(K), mean, scale, rng.choice([-2.0, 1.5, 2.0], N)
        else:
            logits, mean, log_scale = 0.8 * rng.normal(size=(3, N, K))
            yield logits, mean, np.exp(log_scale), rng.normal(0, 2, N)


def _wrong(logits: Array, mean: Array, scale: Array, x: Array, **how: Any) -> tuple[Any, ...]:
    """The gradient with the mistakes named in ``how``."""
    s = {"variance": np.sqrt(scale), "log": np.exp(scale)}.get(how.get("taken", ""), scale)
    z = (x[:, np.newaxis] - mean) / s
    square = {"half": z**2, "linear": z / 2}.get(how.get("square", ""), z**2 / 2)
    log_joint = logits - square - how.get("front", 1) * np.log(s)
    over = {"axis": how.get("axis", 1), "keepdims": True}
    r = np.exp(log_joint - np.logaddexp.reduce(log_joint, **over))
    w = np.exp(logits - np.logaddexp.reduce(logits, **over))
    if how.get("r") == "w":
        r = w
    if how.get("r") == "one":
        r = np.ones_like(w)
    if how.get("r") == "bells":
        log_bells = -np.log(s) - z**2 / 2
        r = np.exp(log_bells - np.logaddexp.reduce(log_bells, axis=1)[:, np.newaxis])
    d_logits = {
        "none": -r, "by_w": -r / w, "raw": np.exp(logits) - r, "r": r,
    }.get(how.get("w", ""), w - r)  # fmt: skip
    d_mean = -r * z / {"none": 1, "times": 1 / s, "square": s * s}.get(how.get("s", ""), s)
    d_log_scale = r * (1 - z**2)
    if how.get("width") == "by_s":
        d_log_scale = d_log_scale / s
    if how.get("width") == "no_one":
        d_log_scale = -r * z**2
    return d_logits, d_mean, d_log_scale


def _suspect(only: int | None = None, **how: Any) -> Any:
    def suspect(*case: Any) -> tuple[Any, ...]:
        grads = _wrong(*case, **how)
        return tuple(g if only in (None, k) else None for k, g in enumerate(grads))

    return suspect


def _one_top(logits: Array, mean: Array, scale: Array, x: Array) -> tuple[Array, ...]:
    """The gradient, with exp() of what is below the largest of all rows."""
    z = (x[:, np.newaxis] - mean) / scale
    log_joint = logits - np.log(scale) - z**2 / 2
    e = np.exp(log_joint - log_joint.max())
    r = e / e.sum(axis=1, keepdims=True)
    w = np.exp(logits - np.logaddexp.reduce(logits, axis=1)[:, np.newaxis])
    return w - r, -r * z / scale, r * (1 - z**2)


GRADIENT = Function(
    "mixture_gradient",
    ("d_logits", "d_mean", "d_log_scale"),
    _names["slow_mixture_gradient"],
    _cases,
    {
        "the shares r are just the weights w: they must say how well each bell explains x":
            _suspect(r="w"),
        "the shares r are missing: each bell counts as if it were alone": _suspect(r="one"),
        "the weights are missing from the shares r: r_nk is w_nk N(...) / p, with w_nk":
            _suspect(r="bells"),
        "the scales are missing from the shares r: N(x; mean, scale) has 1/scale in front":
            _suspect(front=0),
        "the scales have the wrong sign in the shares r: N(x; mean, scale) has 1/scale in front, "
        "so that log(scale) is subtracted": _suspect(front=-1),
        "the 1/2 of z**2 / 2 is missing in the shares r": _suspect(square="half"),
        "z is not squared in the shares r: the bell is exp(-z**2 / 2)": _suspect(square="linear"),
        "normalised over the rows, axis 0: the shares, and the weights, of K bells sum to one":
            _suspect(axis=0),
        "scale is taken for the variance: z = (x - mean) / scale has no root":
            _suspect(taken="variance"),
        "scale is taken for its own log: z = (x - mean) / scale has no exp()":
            _suspect(taken="log"),
        "the softmax of the weights is not derived: its sum adds w, so that d_logits = w - r":
            _suspect(only=0, w="none"),
        "the share is derived, and the minus in front of log p is missing; so is w":
            _suspect(only=0, w="r"),
        "this is the derivative by w itself, not by the logits": _suspect(only=0, w="by_w"),
        "the weights are not normalised: w is the softmax of the logits, not their exp()":
            _suspect(only=0, w="raw"),
        "1/scale is missing: z = (x - mean) / scale changes with mean by -1/scale":
            _suspect(only=1, s="none"),
        "multiplied by scale, where z = (x - mean) / scale changes with mean by -1/scale":
            _suspect(only=1, s="times"),
        "1/scale is there twice: z = (x - mean) / scale has one already":
            _suspect(only=1, s="square"),
        "this is the derivative by scale, not by log(scale): multiply it by scale":
            _suspect(only=2, width="by_s"),
        "the scale in front of the bell is forgotten: 1/scale adds the 1 in 1 - z**2":
            _suspect(only=2, width="no_one"),
    },
    {
        "one maximum is taken for all rows: each row needs its own, max(axis=1, keepdims=True)":
            _one_top,
    },
    rtol=1e-10, atol=1e-13, fast=mixture_gradient,
)  # fmt: skip

_EXTREME = [
    (np.array([[0.0, 1.0]]), np.array([[0.0, 3.0]]), np.array([[1.0, 1.0]]), np.array([x]))
    for x in (60.0, -100.0)
] + [(np.zeros((2, 2)), np.zeros((2, 2)), np.ones((2, 2)), np.array([1.0, -100.0]))]

EXERCISE = Exercise(
    name="mixture-gradient",
    title="the gradient of a mixture of Gaussians",
    teaches="the shares of a mixture",
    minutes=40,
    template=TEMPLATE,
    hints=HINTS,
    stages=(
        shapes(GRADIENT, 1),
        *(values(GRADIENT, 2.5, name, stage=name) for name in GRADIENT.returns),
        extremes(GRADIENT, _EXTREME, 1.5),
    ),
    solution=(log_joint, mixture_gradient),
    imports="import numpy as np\n\nfrom pyarsimple.conditionals import log_softmax, softmax\n"
    "from pyarsimple.conditionals.gaussian import HALF_LOG_2_PI",
)
