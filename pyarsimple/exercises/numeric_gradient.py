"""A numeric gradient, and the choice of its step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from pyarsimple.exercises.answers import Answer, Array, Case, Function, Rng, Wrong
from pyarsimple.exercises.grader import Exercise, Stage, read_template
from pyarsimple.exercises.solutions import best_step, numeric_gradient
from pyarsimple.exercises.stages import stages_of

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
    that are yours: do not move x itself, whoever gave it may still need it.
    """
    raise NotImplementedError("fill me in: numeric_gradient, about 6 lines")


def best_step(f, x, gradient, steps):
    """The step whose numeric gradient is closest to ``gradient``.

    About 2 lines. Closest in the norm: the root of the sum of squares. One
    of the steps is returned as it is: no error at all.
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


def _summed(f: Callable[[Array], Array]) -> Callable[[Array], float]:
    def summed(x: Array) -> float:
        """x -> sum(exp(x))"""  # noqa: D400
        return float(f(x).sum())

    return summed


def _differences(
    f: Any, x: Array, step: float, *, up: float = 1, down: float = 1, width: float = 2,
    stay: bool = False, every: bool = False,
) -> Array:  # fmt: skip
    gradient = np.empty_like(x)
    moving = x.copy()
    for index in np.ndindex(x.shape):
        a = moving if stay else x.copy()
        b = x.copy()
        if every:
            a, b = x + step, x - step
        else:
            a[index] += up * step
            b[index] -= down * step
        gradient[index] = (f(a) - f(b)) / (width * step)
    return gradient


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
        "an entry that was moved is not put back before the next one is moved": _suspect(stay=True),
        "the sign is turned: f(x + h) comes first": _suspect(width=-2),
        "the division by the distance of the two points is missing":
            lambda f, x, step: _differences(f, x, step) * 2 * step,
    },
    rtol=1e-7,
    read_only=("x",),
)  # fmt: skip


def _chosen(pick: Callable[[Array, Array], Any]) -> Any:
    def suspect(f: Any, x: Array, gradient: Array, steps: Array) -> float:
        errors = np.array([np.linalg.norm(numeric_gradient(f, x, h) - gradient) for h in steps])
        return float(pick(steps, errors))

    return suspect


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
    },
    rtol=1e-12, atol=0, ours={"numeric_gradient": numeric_gradient},
)  # fmt: skip


def _picture(answer: Answer) -> str:
    """The V of the student's own function; an error that does not fall with h^2 has no V."""
    x = np.array([0.7, 1.3])
    errors = {}
    for power in range(-1, -15, -1):
        numeric = answer.call("numeric_gradient", _summed(np.exp), x, 10.0**power)
        errors[power] = float(np.linalg.norm(numeric - np.exp(x)))
    fall = errors[-1] / errors[-2]
    if not 80 < fall < 125:
        raise Wrong(
            f"from h = 0.1 to 0.01 the error falls {fall:.3g} times, not 100 times",
            cause="the error of a central difference falls with h^2; see the stage before",
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
