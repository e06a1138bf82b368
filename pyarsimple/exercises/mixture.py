"""The gradient of a mixture of Gaussians."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyarsimple.exercises.answers import Array, Case, Function, Rng
from pyarsimple.exercises.grader import Exercise, read_template
from pyarsimple.exercises.solutions import mixture_gradient
from pyarsimple.exercises.stages import extremes, shapes, values

TEMPLATE = '''\
"""Exercise mixture-gradient: a conditional for real numbers.

    p(x_n) = sum over k of w_nk N(x_n; mean_nk, s_nk)
    w_nk   = exp(log_w_nk) / sum over m of exp(log_w_nm)
    s_nk   = exp(log_s_nk)

A network gives log_w, mean and log_s, three numbers for each of K bells.
Weights go through a softmax, so that they sum to one, and widths through
exp(), so that they are positive. The way to the gradient is the share that
bell k has in p(x_n): r_nk = w_nk N(x_n; mean_nk, s_nk) / p(x_n). All three
gradients are short once they are written with r and z = (x - mean) / s.

    letter               shape    what
    log_w, mean, log_s   (N, K)   what the network says of each row
    x                    (N,)     real numbers

    pyarsimple exercises grade mixture_gradient.py
    pyarsimple exercises hint mixture-gradient
"""

from decimal import Decimal, localcontext

import numpy as np

EXERCISE = "mixture-gradient"

# The definition, with 80 digits: differences of -sum(log p). Slow and right.

PI = Decimal("3.14159265358979323846264338327950288419716939937510")


def exact_log_p(log_w, mean, log_s, x):
    """log p(x) of one x, from K numbers each."""
    total = sum(w.exp() for w in log_w)
    p = Decimal(0)
    for w, m, s in zip(log_w, mean, log_s):
        z = (x - m) / s.exp()
        p += w.exp() / total * (-z * z / 2).exp() / s.exp() / (2 * PI).sqrt()
    return p.ln()


def slow_mixture_gradient(log_w, mean, log_s, x):
    gradients = [np.zeros(mean.shape) for _ in range(3)]
    with localcontext() as digits:
        digits.prec, step = 80, Decimal("1e-20")
        for which, n, k in np.ndindex(3, *mean.shape):
            rows = log_w[n], mean[n], log_s[n]
            p = [list(map(Decimal, row.tolist())) for row in rows]
            value, log_p = p[which][k], []
            for sign in (1, -1):
                p[which][k] = value + sign * step
                log_p.append(exact_log_p(*p, Decimal(float(x[n]))))
            slope = (log_p[0] - log_p[1]) / (2 * step)
            gradients[which][n, k] = -float(slope)
    return tuple(gradients)


# Your turn.


def mixture_gradient(log_w, mean, log_s, x):
    """The gradient of -sum(log p(x_n)): (d_log_w, d_mean, d_log_s), each of
    shape (N, K).

    About 6 lines. Error to expect: 1e-14; far from all bells too, where
    every density is 0 in floating point: work with logs until r.
    np.logaddexp.reduce(a, axis=1) is the log of the sum of exp(a), (N,).
    """
    raise NotImplementedError("fill me in: mixture_gradient, about 6 lines")
'''

HINTS = (
    "Write log_joint[n, k] = log_w - log_s - z**2 / 2, with z = (x[:, np.newaxis] - mean) / "
    "exp(log_s): the log of bell k's part in p, up to a constant. Then r is its softmax over k.",
    "The derivative of log p by anything is the sum over k of r_nk times that of bell k's own log. "
    "By mean_nk that is z / s; by log_s_nk it is z**2 - 1 (the width stands in z and in front).",
    "d_log_w = w - r, with w the softmax of log_w; d_mean = -r * z / s; d_log_s = r * (1 - z**2).",
)

_names = read_template(TEMPLATE)


def _cases(rng: Rng) -> Iterator[Case]:
    for N, K in ((1, 1), (1, 2), (2, 2), (1, 3), (4, 3)):
        if N * K < 4:
            log_w, mean, log_s = (rng.choice([-1.0, -0.5, 0.5, 1.0], (N, K)) for _ in range(3))
            yield log_w + 0.25 * np.arange(K), mean, log_s, rng.choice([-2.0, 1.5, 2.0], N)
        else:
            log_w, mean, log_s = 0.8 * rng.normal(size=(3, N, K))
            yield log_w, mean, log_s, rng.normal(0, 2, N)


def _wrong(log_w: Array, mean: Array, log_s: Array, x: Array, **how: Any) -> tuple[Any, ...]:
    """The gradient with the mistakes named in ``how``."""
    s = np.exp(2 * log_s) if how.get("variance") else np.exp(log_s)
    z = (x[:, np.newaxis] - mean) / s
    square = {"half": z**2, "linear": z / 2}.get(how.get("square", ""), z**2 / 2)
    log_joint = log_w - square - how.get("front", 1) * log_s
    over = {"axis": how.get("axis", 1), "keepdims": True}
    r = np.exp(log_joint - np.logaddexp.reduce(log_joint, **over))
    w = np.exp(log_w - np.logaddexp.reduce(log_w, **over))
    if how.get("r") == "w":
        r = w
    if how.get("r") == "one":
        r = np.ones_like(w)
    if how.get("r") == "bells":
        log_bells = -log_s - z**2 / 2
        r = np.exp(log_bells - np.logaddexp.reduce(log_bells, axis=1)[:, np.newaxis])
    d_log_w = {
        "none": -r, "by_w": -r / w, "raw": np.exp(log_w) - r, "r": r,
    }.get(how.get("w", ""), w - r)  # fmt: skip
    d_mean = -r * z / {"none": 1, "times": 1 / s, "square": s * s}.get(how.get("s", ""), s)
    d_log_s = r * (1 - z**2)
    if how.get("width") == "by_s":
        d_log_s = d_log_s / s
    if how.get("width") == "no_one":
        d_log_s = -r * z**2
    return d_log_w, d_mean, d_log_s


def _suspect(only: int | None = None, **how: Any) -> Any:
    def suspect(*case: Any) -> tuple[Any, ...]:
        grads = _wrong(*case, **how)
        return tuple(g if only in (None, k) else None for k, g in enumerate(grads))

    return suspect


GRADIENT = Function(
    "mixture_gradient",
    ("d_log_w", "d_mean", "d_log_s"),
    _names["slow_mixture_gradient"],
    _cases,
    {
        "the shares r are just the weights w: they must say how well each bell explains x":
            _suspect(r="w"),
        "the shares r are missing: each bell counts as if it were alone": _suspect(r="one"),
        "the weights are missing from the shares r: r_nk is w_nk N(...) / p, with w_nk":
            _suspect(r="bells"),
        "the widths are missing from the shares r: N(x; mean, s) has 1/s in front":
            _suspect(front=0),
        "the widths have the wrong sign in the shares r: N(x; mean, s) has 1/s in front, so that "
        "log_s is subtracted": _suspect(front=-1),
        "the 1/2 of z**2 / 2 is missing in the shares r": _suspect(square="half"),
        "z is not squared in the shares r: the bell is exp(-z**2 / 2)": _suspect(square="linear"),
        "normalised over the rows, axis 0: the shares, and the weights, of K bells sum to one":
            _suspect(axis=0),
        "s is taken as exp(2 log_s): log_s is the log of the width, not of its half":
            _suspect(variance=True),
        "the softmax of the weights is not derived: its sum adds w, so that d_log_w = w - r":
            _suspect(only=0, w="none"),
        "the share is derived, and the minus in front of log p is missing; so is w":
            _suspect(only=0, w="r"),
        "this is the derivative by w itself, not by log_w": _suspect(only=0, w="by_w"),
        "the weights are not normalised: w is the softmax of log_w, not its exp()":
            _suspect(only=0, w="raw"),
        "1/s is missing: z = (x - mean) / s changes with mean by -1/s": _suspect(only=1, s="none"),
        "multiplied by s, where z = (x - mean) / s changes with mean by -1/s":
            _suspect(only=1, s="times"),
        "1/s is there twice: z = (x - mean) / s has one already": _suspect(only=1, s="square"),
        "this is the derivative by s, not by log_s: multiply it by s":
            _suspect(only=2, width="by_s"),
        "the width in front of the bell is forgotten: 1/s adds the 1 in 1 - z**2":
            _suspect(only=2, width="no_one"),
    },
    rtol=1e-10, atol=1e-13, fast=mixture_gradient,
)  # fmt: skip

_EXTREME = [
    (np.array([[0.0, 1.0]]), np.array([[0.0, 3.0]]), np.array([[0.0, 0.0]]), np.array([x]))
    for x in (60.0, -100.0)
]

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
    solution=(mixture_gradient,),
    imports="import numpy as np",
)
