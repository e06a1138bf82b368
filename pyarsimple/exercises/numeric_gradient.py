"""A numeric gradient, and the choice of its step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from pyarsimple.exercises.answers import Answer, Array, Case, Function, Rng, Wrong
from pyarsimple.exercises.grader import Exercise, Stage, read_template
from pyarsimple.exercises.solutions import best_step, numeric_gradient
from pyarsimple.exercises.stages import known_cause, stages_of

TEMPLATE = '''\
"""Exercise numeric-gradient: a referee for gradients, and its best step.

    df/dx_k is about (f(x + h e_k) - f(x - h e_k)) / (2 h)

The difference is central: its error falls with h^2, that of a one-sided one
only with h. But it does not fall for ever. f is known to 16 digits, and the
smaller h is, the more of them cancel in the difference: that error grows
with 1/h. Drawn over h the two make a V, and the best step stands at its
foot. When you are done the grader draws the V of your own function.

    letter    shape    what
    f                  a function: takes an array like x, returns a float
    x         any      where the gradient is wanted; must stay as it is
    step      ()       h
    gradient  as x     the true gradient, to measure errors by
    steps     (M,)     the steps to choose from

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


def slow_best_step(f, x, gradient, steps):
    best, least = None, math.inf
    for step in steps:
        numeric = slow_numeric_gradient(f, x, step)
        pairs = zip(numeric.flat, gradient.flat)
        error = math.sqrt(sum((a - b) ** 2 for a, b in pairs))
        if error < least:
            best, least = step, error
    return best


# Your turn, in your own way: write it without looking at the lines above.


def numeric_gradient(f, x, step):
    """Central differences of f at x, in the shape of x.

    About 6 lines. Error to expect: 1e-9, rounding. f is called with arrays
    that are yours: x itself must not be moved, not even for a while, for
    whoever gave it may be looking at it.
    """
    raise NotImplementedError("fill me in: numeric_gradient, about 6 lines")


def best_step(f, x, gradient, steps):
    """The step whose numeric gradient is closest to ``gradient``.

    About 2 lines. Closest in the norm, the root of the sum of squares (not
    by the largest entry, which may choose another step). One of the steps
    is returned as it is: no error at all. x must not be moved here either.
    """
    raise NotImplementedError("fill me in: best_step, about 2 lines")
'''

HINTS = (
    "np.ndindex(x.shape) gives the index of every entry, whatever the number of axes. Change one "
    "entry at a time, in a copy.",
    "up, down = x.copy(), x.copy(); up[index] += step; down[index] -= step. The two are 2 * step "
    "apart.",
    "gradient[index] = (f(up) - f(down)) / (2 * step). For the step: the argmin of "
    "np.linalg.norm(numeric_gradient(f, x, step) - gradient) over steps.",
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


def _step_cases(rng: Rng) -> Iterator[Case]:
    mixed = [1e-8, 1e-2, 1e-14, 1e-6, 1e-4, 1e-12, 1e-10]
    for D, steps in ((1, [1e-1, 1e-5]), (2, [1e-9, 1e-1, 1e-5]), (3, mixed)):
        x = rng.uniform(0.5, 1.5, D)
        yield _summed(np.exp), x, np.exp(x), np.array(steps)
    # Of these the norm, the largest entry and the sum of absolute values choose different steps:
    # the error of entry k is a_k h^2 + b_k h^4.
    steps = [2.0, 0.5, 1.0, 1.5]
    yield _quintic([4, -4, 3.5], [-4, 4, -2.5]), np.zeros(3), np.ones(3), np.array(steps)
    yield _quintic([4, 3, 3], [-4, -1.5, -3]), np.zeros(3), np.ones(3), np.array(steps)


def _quintic(a: list[float], b: list[float]) -> Callable[[Array], float]:
    def quintic(x: Array) -> float:
        return float((x + np.array(a) * x**3 + np.array(b) * x**5).sum())

    quintic.__doc__ = f"x -> sum(x + a x^3 + b x^5), a = {a}, b = {b}"
    return quintic


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


def _chosen(pick: Callable[[Array, Array], Any], size: Callable[[Array], Any] | None = None) -> Any:
    def suspect(f: Any, x: Array, gradient: Array, steps: Array) -> float:
        off = [numeric_gradient(f, x, h) - gradient for h in steps]
        return float(pick(steps, np.array([(size or np.linalg.norm)(e) for e in off])))

    return suspect


def _closest_by(size: Callable[[Array], Any]) -> Any:
    return _chosen(lambda steps, errors: steps[np.argmin(errors)], size)


STEP = Function(
    "best_step",
    ("step",),
    _names["slow_best_step"],
    _step_cases,
    {
        "the smallest step is taken: below the foot of the V rounding takes over":
            _chosen(lambda steps, errors: steps.min()),
        "the largest step is taken": _chosen(lambda steps, errors: steps.max()),
        "this is the step of the LARGEST error": _chosen(lambda s, errors: s[np.argmax(errors)]),
        "this is the least error, not the step that has it":
            _chosen(lambda steps, errors: errors.min()),
        "this is the index of the step, not the step": _chosen(lambda s, errors: np.argmin(errors)),
        "the first step is taken: nothing is compared": _chosen(lambda steps, errors: steps[0]),
        "the last step is taken: the best one so far is not remembered":
            _chosen(lambda steps, errors: steps[-1]),
        "closest by the largest entry: the norm, the root of the sum of squares, was asked for":
            _closest_by(lambda e: np.abs(e).max()),
        "closest by the sum of absolute values: the norm, the root of the sum of squares, was "
        "asked for": _closest_by(lambda e: np.abs(e).sum()),
        "the errors are summed with their signs: they cancel, and the least sum is very negative":
            _closest_by(np.sum),
        "the errors are summed with their signs, which cancel: the norm was asked for":
            _closest_by(lambda e: abs(e.sum())),
    },
    rtol=1e-12, atol=0, ours={"numeric_gradient": numeric_gradient},
    read_only=("x", "gradient", "steps"), fast=best_step,
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
        *stages_of(STEP, 3, "step"),
    ),
    solution=(numeric_gradient, best_step),
    imports="from collections.abc import Callable\n\nimport numpy as np",
)
