"""A numeric gradient, and the choice of its step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from pyarsimple.checks.differences import EPS, best_step, numeric_gradient
from pyarsimple.exercises.answers import Answer, Array, Case, Function, Rng, Wrong
from pyarsimple.exercises.grader import Exercise, Stage, read_template
from pyarsimple.exercises.stages import known_cause, stages_of

TEMPLATE = '''\
"""Exercise numeric-gradient: a referee for gradients, and its best step.

    df/dx_k is about (f(x + h e_k) - f(x - h e_k)) / (2 h)

The difference is central: its error falls with h^2, that of a one-sided one
only with h. But it does not fall for ever. f is known to 16 digits, and the
smaller h is, the more of them cancel in the difference: that error grows
with 1/h. Drawn over h the two make a V, and the best step stands at its
foot. When you are done the grader draws the V of your own function.

The grader can draw it, for it knows the true gradient. Whoever checks a
gradient does not: all there is to be seen is one slope for each of several
steps, from the largest to the smallest. So a slope is taken to be wrong by

    uncertainty_k = |slope_k - slope_(k-1)| / 4 + noise / step_k

and the step is trusted for which that is least. Where steps are too large
the slopes still change from one to the next: the first term. Where they are
too small the slopes are mere rounding, and two of them may agree by chance:
the second term grows there, whatever the slopes are.

    letter    shape    what
    f                  a function: takes an array like x, returns a float
    x         any      where the gradient is wanted; must stay as it is
    step      ()       h
    slopes    (M,)     one derivative of f, by each of the steps
    steps     (M,)     the largest first; M is 2 or more
    noise     ()       how far a value of f may be wrong by rounding

    pyarsimple exercises grade numeric_gradient.py
    pyarsimple exercises hint numeric-gradient
"""

import math

import numpy as np

EXERCISE = "numeric-gradient"

# The definition: one entry after the other, as it stands above.


def slow_numeric_gradient(f, x, step):
    differences = []
    for k in range(x.size):
        up, down = x.copy(), x.copy()
        up.flat[k] = up.flat[k] + step
        down.flat[k] = down.flat[k] - step
        differences.append((f(up) - f(down)) / (2 * step))
    return np.array(differences).reshape(x.shape)


def slow_best_step(slopes, steps, noise):
    best, least = 0, math.inf
    for k in range(1, len(steps)):
        change = abs(slopes[k] - slopes[k - 1])
        uncertainty = change / 4 + noise / steps[k]
        if uncertainty < least:  # NaN is never less
            best, least = k, uncertainty
    return best, least


# Your turn, in your own way: write it without looking at the lines above.


def numeric_gradient(f, x, step):
    """Central differences of f at x, in the shape of x.

    About 6 lines. Error to expect: 1e-9, rounding. f is called with arrays
    that are yours: x itself must not be moved, not even for a while, for
    whoever gave it may be looking at it.
    """
    raise NotImplementedError("fill me in: numeric_gradient, about 6 lines")


def best_step(slopes, steps, noise):
    """Return (k, uncertainty): the step to trust, steps[k], and how far.

    About 4 lines. k has the least uncertainty of 1, 2, ..., M - 1; step 0
    has none before it. A slope may be NaN, where a large step has left the
    domain of f: such an uncertainty never wins. Error to expect: none in k,
    1e-15 in the uncertainty.
    """
    raise NotImplementedError("fill me in: best_step, about 4 lines")
'''

HINTS = (
    "np.ndindex(x.shape) gives the index of every entry, whatever the number of axes. Change one "
    "entry at a time, in a copy. For the step: np.diff(slopes) is slopes[1:] - slopes[:-1], and "
    "one shorter than slopes.",
    "up, down = x.copy(), x.copy(); up[index] += step; down[index] -= step. The two are 2 * step "
    "apart. For the step: entry 0 of np.abs(np.diff(slopes)) / 4 belongs to steps[1]. np.argmin "
    "takes NaN for the least; np.nanargmin passes over it.",
    "gradient[index] = (f(up) - f(down)) / (2 * step). For the step: uncertainty = np.append("
    "np.inf, np.abs(np.diff(slopes)) / 4 + noise / steps[1:]); k = np.nanargmin(uncertainty).",
)

_names = read_template(TEMPLATE)


def _cubic(x: Array) -> float:
    """x -> sum(x**3) + 2 * x.flat[0]"""  # noqa: D400
    return float((x**3).sum() + 2 * x.flat[0])


def _wavy(x: Array) -> float:
    """x -> sum(sin(k x_k) exp(x_k / k)) + prod(x), k from 1"""  # noqa: D400
    k = np.arange(1, x.size + 1).reshape(x.shape)
    return float((np.sin(k * x) * np.exp(x / k)).sum() + np.prod(x))


def _gradient_cases(rng: Rng) -> Iterator[Case]:
    yield _cubic, np.array([2.0]), 0.5
    yield _cubic, np.array([1.0, -2.0]), 0.5
    yield _wavy, rng.uniform(0.5, 1.5, 3), 1e-2
    yield _wavy, rng.uniform(0.5, 1.5, (2, 3)), 1e-3


#: Slopes, steps and noise for which most suspects choose another k than is right, and each in its
#: own way. A quarter more or less changes no k.
_LADDERS = (
    ([3.0, 1.0], [10.0, 1.0], 0.5),
    ([24.0, 4.0, 4.0, 16.0], [1000.0, 100.0, 10.0, 1.0], 0.02),
    ([3.0, 1.0, 2.0, 14.0, 14.0], [1000.0, 100.0, 10.0, 1.0, 0.1], 20.0),
    ([5.0, 1.0, 21.0, 21.0, 17.0], [100.0, 10.0, 1.0, 0.1, 0.01], 0.5),
    ([18.0, 20.0, 19.0, 7.0, 5.0], [10000.0, 1000.0, 100.0, 10.0, 1.0], 0.2),
    ([5.0, 17.0, 17.0, 29.0, 30.0], [10.0, 1.0, 0.1, 0.01, 0.001], 10.0),
    ([21.0, 25.0, 5.0, 4.0, 24.0], [1000.0, 100.0, 10.0, 1.0, 0.1], 0.01),
)


def _step_cases(rng: Rng) -> Iterator[Case]:
    for ladder, sizes, noise in _LADDERS:
        a, b = 2.0 ** rng.integers(-1, 3, 2)  # other units: plain numbers stay plain
        yield a * np.array(ladder), b * np.array(sizes), float(a * b * noise)
    for f, x, largest in ((np.log, rng.uniform(0.04, 0.08), 1.0), (np.exp, rng.uniform(), 0.1)):
        steps = largest * 10.0 ** -np.arange(9)
        with np.errstate(invalid="ignore"):  # the largest steps leave the domain of log
            slopes = (f(x + steps) - f(x - steps)) / (2 * steps)
        yield slopes, steps, float(EPS * abs(f(x)))


def _summed(f: Callable[[Array], Array]) -> Callable[[Array], float]:
    def summed(x: Array) -> float:
        """x -> sum(exp(x))"""  # noqa: D400
        return float(f(x).sum())

    return summed


def _differences(
    f: Any, x: Array, step: float, *, up: float = 1, down: float = 1, width: float = 2,
    stay: str = "", every: bool = False,
) -> Array:  # fmt: skip
    gradient = np.empty_like(x)
    a = b = x
    for index in np.ndindex(x.shape):  # a point that stays where it is keeps all earlier moves
        a = a.copy() if "a" in stay else x.copy()
        b = b.copy() if "b" in stay else x.copy()
        if every:
            a, b = x + step, x - step
        else:
            a[index] += up * step
            b[index] -= down * step
        gradient[index] = (f(a) - f(b)) / (width * step)
    return gradient


def _one_array(f: Any, x: Array, step: float, back: float = 0) -> Array:
    """Each entry is moved up by h, then down by 2 h, and up again by the wrong number of h."""
    gradient, x = np.empty_like(x), x.copy()
    for index in np.ndindex(x.shape):
        x[index] += step
        high = f(x)
        x[index] -= 2 * step
        gradient[index] = (high - f(x)) / (2 * step)
        x[index] += back * step
    return gradient


def _one_sided(f: Any, x: Array, step: float) -> Array:
    """Each entry is moved up by h, and left there."""
    gradient, x = np.empty_like(x), x.copy()
    for index in np.ndindex(x.shape):
        low = f(x)
        x[index] += step
        gradient[index] = (f(x) - low) / step
    return gradient


def _relative(f: Any, x: Array, step: float) -> Array:
    moves = np.eye(x.size).reshape(x.size, *x.shape)
    differences = [f(x * (1 + step * m)) - f(x * (1 - step * m)) for m in moves]
    return np.reshape(differences, x.shape) / (2 * step)


def _suspect(**how: Any) -> Any:
    return lambda f, x, step: _differences(f, x, step, **how)


GRADIENT = Function(
    "numeric_gradient",
    ("gradient",),
    _names["slow_numeric_gradient"],
    _gradient_cases,
    {
        "this is a one-sided difference, (f(x + h) - f(x)) / h: its error falls with h, not with "
        "h^2": _suspect(down=0, width=1),
        "this is a one-sided difference, (f(x) - f(x - h)) / h: its error falls with h, not with "
        "h^2": _suspect(up=0, width=1),
        "divided by h, but the two points are 2 h apart: twice too large": _suspect(width=1),
        "divided by 2 h, but the two points are only h apart: half of it": _suspect(down=0),
        "the points are x + h/2 and x - h/2, and divided by 2 h: half of it":
            _suspect(up=0.5, down=0.5),
        "all entries are moved at once: that is a directional derivative, not a gradient":
            _suspect(every=True),
        "an entry that was moved up is not put back before the next one is moved":
            _suspect(stay="a"),
        "an entry that was moved down is not put back before the next one is moved":
            _suspect(stay="b"),
        "an entry that was moved is put back neither up nor down before the next one is moved":
            _suspect(stay="ab"),
        "an entry that was moved is not put back to x, but left at x - h":
            lambda f, x, step: _one_array(f, x, step),
        "an entry that was moved is not put back to x, but left at x + h":
            lambda f, x, step: _one_array(f, x, step, back=2),
        "this is a one-sided difference, and an entry that was moved is not put back":
            lambda f, x, step: _one_sided(f, x, step),
        "the sign is turned: f(x + h) comes first": _suspect(width=-2),
        "one point is half a step away, and the other a whole one": _suspect(up=0.5),
        "x is multiplied by 1 + h and 1 - h where h is added and subtracted":
            lambda f, x, step: _relative(f, x, step),
        "/ 2 * step divides by 2 and MULTIPLIES by step: write / (2 * step)":
            lambda f, x, step: _differences(f, x, step) * step * step,
        "the division by the distance of the two points is missing":
            lambda f, x, step: _differences(f, x, step) * 2 * step,
    },
    rtol=1e-7,
    read_only=("x",),
    fast=numeric_gradient,
)  # fmt: skip


def _change(slopes: Array) -> Array:
    """|slope_k - slope_(k-1)|; NaN for the first."""
    return np.abs(np.diff(slopes, prepend=np.nan))


def _right(slopes: Array, steps: Array, noise: float) -> Array:
    return _change(slopes) / 4 + noise / steps


def _chosen(measure: Any = _right, pick: Callable[[Array], Any] = np.nanargmin) -> Any:
    """`best_step` by another measure of uncertainty, or another choice by it."""

    def suspect(slopes: Array, steps: Array, noise: float) -> tuple[int, float]:
        uncertainty = measure(slopes, steps, noise)
        k = int(pick(uncertainty))
        return k, float(uncertainty[k])

    return suspect


def _returned(what: Callable[[int, float, Array, Array], tuple[float, float]]) -> Any:
    """The right choice, and something else returned."""
    return lambda slopes, steps, noise: what(*best_step(slopes, steps, noise), slopes, steps)


STEP = Function(
    "best_step",
    ("k", "uncertainty"),
    _names["slow_best_step"],
    _step_cases,
    {
        "the smallest step is taken: below the foot of the V rounding takes over":
            _chosen(pick=lambda u: len(u) - 1),
        "the largest step is taken: with noise / step alone nothing speaks against it, so compare "
        "each slope with the one before":
            _chosen(lambda slopes, steps, noise: noise / steps),
        "the slopes are not compared: noise / step alone is least at the first of k = 1, 2, ...":
            _chosen(lambda slopes, steps, noise: np.append(np.nan, noise / steps[1:])),
        "noise / step is forgotten: two slopes that are nothing but rounding may agree by chance":
            _chosen(lambda slopes, steps, noise: _change(slopes) / 4),
        "this is the step of the LARGEST uncertainty": _chosen(pick=np.nanargmax),
        "noise is multiplied by the step: rounding is divided by it, and grows as steps fall":
            _chosen(lambda slopes, steps, noise: _change(slopes) / 4 + noise * steps),
        "each slope is compared with the NEXT one, or noise divided by the step before: to slope k "
        "belong slope k - 1 and step k":
            _chosen(lambda slopes, steps, noise:
                    np.append(_change(slopes)[1:], np.nan) / 4 + noise / steps),
        "slopes are compared with their signs: the least difference is then a large negative one":
            _chosen(lambda slopes, steps, noise:
                    np.diff(slopes, prepend=np.nan) / 4 + noise / steps),
        "slopes are compared relative to their size: the uncertainty is in the slope's own unit":
            _chosen(lambda slopes, steps, noise:
                    _change(slopes) / np.abs(slopes) / 4 + noise / steps),
        "the difference of the slopes is not divided by 4":
            _chosen(lambda slopes, steps, noise: _change(slopes) + noise / steps),
        "noise / step is divided by 4 as well: only the difference of the slopes is":
            _chosen(lambda slopes, steps, noise: (_change(slopes) + noise / steps) / 4),
        "noise is divided by 2 * step: two values of f are wrong, each by noise":
            _chosen(lambda slopes, steps, noise: _change(slopes) / 4 + noise / (2 * steps)),
        "a slope that is NaN wins: np.argmin takes NaN for the least, np.nanargmin does not":
            _chosen(lambda slopes, steps, noise:
                    np.append(np.inf, _right(slopes, steps, noise)[1:]), np.argmin),
        "k is one too small: entry 0 of the differences belongs to steps[1]":
            _returned(lambda k, uncertainty, slopes, steps: (k - 1, uncertainty)),
        "this is the step: its index k is asked for":
            _returned(lambda k, uncertainty, slopes, steps: (steps[k], uncertainty)),
        "this is the slope at the best step: its uncertainty is asked for":
            _returned(lambda k, uncertainty, slopes, steps: (k, slopes[k])),
        "k and uncertainty are exchanged: return (k, uncertainty), in this order":
            _returned(lambda k, uncertainty, slopes, steps: (uncertainty, k)),
        "this is the step: its uncertainty is asked for":
            _returned(lambda k, uncertainty, slopes, steps: (k, steps[k])),
    },
    rtol=1e-12, atol=0, read_only=("slopes", "steps"), fast=best_step,
)  # fmt: skip


def _picture(answer: Answer) -> str:
    """The V of the student's own function; an error that does not fall with h^2 has no V."""
    x = np.array([0.7, 1.3])
    errors = {}
    for power in range(-1, -15, -1):
        numeric = answer.result_of(GRADIENT, (_summed(np.exp), x, 10.0**power))
        errors[power] = float(np.linalg.norm(numeric - np.exp(x)))
    fall = errors[-1] / errors[-2]
    if not 80 < fall < 125:
        raise Wrong(
            f"from h = 0.1 to 0.01 the error falls {fall:.3g} times, not 100 times",
            cause=known_cause(
                answer, GRADIENT, otherwise="the error of a central difference falls with h^2"
            ),
        )
    best = min(errors, key=lambda power: errors[power])
    return "\n".join([f"best at h = 1e{best}, error {errors[best]:.0e}", *_draw(errors)])


def _draw(errors: Mapping[int, float]) -> list[str]:
    """The errors over the steps, both in decades."""
    heights = {power: round(math.log10(max(e, 1e-16)) / 2) * 2 for power, e in errors.items()}
    lines = []
    for height in range(max(heights.values()), min(heights.values()) - 1, -2):
        marks = "".join(f"{'*' if heights[power] == height else '':>4}" for power in errors)
        lines.append(f"error 1e{height:+03d} |{marks}".rstrip())
    return [*lines, "       h = 1e" + "".join(f"{power:>4}" for power in errors)]


EXERCISE = Exercise(
    name="numeric-gradient",
    title="a numeric gradient, and the choice of its step",
    teaches="the two errors of a difference",
    minutes=25,
    template=TEMPLATE,
    hints=HINTS,
    stages=(
        *stages_of(GRADIENT, 4, "gradient"),
        Stage("the V", 1, _picture, group="gradient"),
        *stages_of(STEP, (2, 1), "step"),
    ),
    solution=(numeric_gradient, best_step),
    imports="from collections.abc import Callable, Sequence\n\nimport numpy as np",
)
