"""A causality check that cannot be fooled: graded by the bugs that it catches."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pyarsimple.checks.causality import dependences
from pyarsimple.exercises.answers import Answer, Array, Wrong, show
from pyarsimple.exercises.cases import cycle
from pyarsimple.exercises.grader import Exercise, Stage
from pyarsimple.orders import inverse, precedes

Pair = tuple[int, int]

TEMPLATE = '''\
"""Exercise causality-check: find every leak of a model, however small.

A model is autoregressive in an order if what it says of x_i depends only on
variables that come before x_i. You get any model as a function and look for
leaks: pairs (i, j) such that conditional i changes when x_j alone does,
although x_j is not before x_i (x_i itself is not before x_i).

You are graded by what you find in models with planted bugs. Some leak into
the last variable only; some leak only while another bit is on, so that one
base point is not enough; some leak by 1e-13, and a tolerance would hide it.
And some are innocent: none of their pairs may be accused. (Rows that are
equal have equal outputs here, to the last bit.)

    letter        what
    conditionals  a function: takes x (N, D) of 0.0 and 1.0, returns (N, D),
                  column i belongs to variable i
    D             how many variables there are, up to 24
    order (D,)    order[k] is the variable in position k
    rng           a numpy.random.Generator, should you want one

    pyarsimple exercises grade causality_check.py
    pyarsimple exercises hint causality-check
"""

from itertools import product

import numpy as np

from pyarsimple.orders import precedes

EXERCISE = "causality-check"

# The definition: all of {0,1}^D, one row at a time. Right, and hopeless
# for D = 24.


def slow_find_leaks(conditionals, D, order, rng):
    order, leaks = list(order), set()
    for row in product([0.0, 1.0], repeat=D):
        for j in range(D):
            x, y = np.array([row]), np.array([row])
            y[0, j] = 1 - y[0, j]
            for i in range(D):
                if order.index(j) >= order.index(i):
                    if conditionals(x)[0, i] != conditionals(y)[0, i]:
                        leaks.add((i, j))
    return leaks


# Your turn. precedes(order) is a boolean (D, D), true at [i, j] where x_j
# comes before x_i: everything else is forbidden.


def find_leaks(conditionals, D, order, rng):
    """The set of all (i, j), whole numbers, such that conditional i changes
    with x_j although x_j is not before x_i. Empty for a good model.

    About 9 lines. Whole numbers: no error at all. Not more than 200000 rows
    in all may go through ``conditionals``.
    """
    raise NotImplementedError("fill me in: find_leaks, about 9 lines")
'''

HINTS = (
    "Take many random rows at once, say 1000. Change one column j in all of them, and compare all "
    "outputs before and after with !=, for every i.",
    "moved = (conditionals(changed) != conditionals(x)).any(axis=0) says which i depend on x_j. "
    "Random rows matter: a leak may be there only where other bits have the right values.",
    "for j in range(D): changed = x.copy(); changed[:, j] = 1 - x[:, j]; then add (i, j) for every "
    "i with moved[i] and not precedes(order)[i, j].",
)


def find_leaks(
    conditionals: Callable[[Array], Array], D: int, order: Array, rng: np.random.Generator
) -> set[tuple[int, int]]:
    """All (i, j) such that conditional i changes with x_j although x_j is not before x_i."""
    x = rng.integers(2, size=(1000, D)).astype(float)
    matrix = dependences(conditionals, x, 1 - x)
    return {(i, j) for i, j in np.argwhere(matrix & ~precedes(order)).tolist()}


class _Model:
    """Conditionals with the leaks that are asked for; it counts the rows that it is shown."""

    def __init__(self, D: int, order: Array, extra: Callable[[Array], Array] | None = None) -> None:
        rng = np.random.default_rng(D)
        self.mask = precedes(order)
        self.W = rng.normal(size=(D, D))
        self.b = rng.normal(size=D)
        self.extra, self.rows = extra, 0

    def __call__(self, x: Any) -> Array:
        x = np.asarray(x, dtype=float)
        self.rows += len(x)
        logits = np.zeros(x.shape)
        for j in range(x.shape[1]):  # in a fixed order, so that equal rows stay equal
            logits += np.multiply.outer(x[:, j], np.where(self.mask[:, j], self.W[:, j], 0))
        logits += self.b
        return logits if self.extra is None else logits + self.extra(x)


def _at(i: int, values: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Add ``values(x)`` to conditional i."""

    def extra(x: Array) -> Array:
        added = np.zeros(x.shape)
        added[:, i] = values(x)
        return added

    return extra


class _Plant(NamedTuple):
    """A model with a bug, and all pairs that must be found in it."""

    name: str
    points: float
    D: int
    order: Array
    extra: Callable[[Array], Array] | None
    leaks: set[Pair]
    missed: str  # the likely reason, if simpler bugs are found
    model_order: Array | None = None

    def model(self) -> _Model:
        return _Model(
            self.D, self.order if self.model_order is None else self.model_order, self.extra
        )

    def depends(self) -> set[Pair]:
        """All pairs, allowed and forbidden."""
        return _where(self.model().mask) | self.leaks


def _where(matrix: Array) -> set[Pair]:
    return {(int(i), int(j)) for i, j in np.argwhere(matrix)}


def _judge(plant: _Plant, answer: Answer) -> str:
    """The bug is found, whole, and nothing else is accused."""
    found, rows = _found(answer, plant)
    shown = [f"D = {plant.D}", *show("order", plant.order)]
    if found - plant.leaks:
        i, j = min(found - plant.leaks)
        why = (
            "x_j is before x_i in this order: that is allowed" if precedes(plant.order)[i, j]
            else "conditional i does not change with x_j: was more than one variable moved, or "
            "were different rows compared?"
        )  # fmt: skip
        raise Wrong(f"accuses (i, j) = ({i}, {j}), which is no leak", shown, _habit(answer) or why)
    if plant.leaks - found:
        i, j = min(plant.leaks - found)
        why = _habit(answer) or (plant.missed if _finds_the_simple_ones(answer, plant) else "")
        raise Wrong(f"misses (i, j) = ({i}, {j}): conditional {i} sees x_{j}", shown, why)
    if rows > 200_000:
        raise Wrong(f"{rows} rows went through the model, 200000 are allowed", shown)
    return f"{len(plant.leaks)} leaks found" if plant.leaks else "nobody accused"


def _found(answer: Answer, plant: _Plant) -> tuple[set[Pair], int]:
    """What the answer finds, and how many rows it looks at; run once for all stages."""
    if plant.name not in answer.notes:
        model = plant.model()
        found = answer.call("find_leaks", model, plant.D, plant.order.copy(), answer.rng())
        answer.notes[plant.name] = _pairs(found), model.rows
    known: tuple[set[Pair], int] = answer.notes[plant.name]
    return known


def _finds_the_simple_ones(answer: Answer, plant: _Plant) -> bool:
    """Whether every leak is found in the models that hide nothing: then it is the hiding."""
    simple = [p for p in PLANTS if p.name in SIMPLE and p.name != plant.name]
    return all(_found(answer, p)[0] == p.leaks for p in simple)


#: Bugs that show at any row, and by themselves.
SIMPLE = ("honest model", "sees itself", "no mask", "only the last", "wrong order")

#: What may be done wrong with every model, and which pairs are found then.
HABITS: dict[str, Callable[[_Plant], set[Pair]]] = {
    "nothing is found in any model: is column j changed, and are the outputs compared with those "
    "before?": lambda p: set(),
    "the pairs are turned: (i, j) is wanted, i for the conditional and j for the variable that it "
    "sees": lambda p: {(j, i) for i, j in p.leaks},
    "the diagonal was not tested: a conditional must not depend on its own variable":
        lambda p: {(i, j) for i, j in p.leaks if i != j},
    "precedes is taken the wrong way round: precedes(order)[i, j] is true where j comes before i":
        lambda p: p.depends() - _where(precedes(p.order).T),
    "what is allowed is taken from the inverse of order: order[k] is the variable in position k":
        lambda p: p.depends() - _where(precedes(inverse(p.order))),
    "order is ignored: what is allowed is taken from 0, 1, 2, ...":
        lambda p: p.depends() - _where(np.tri(p.D, k=-1)),
    "every dependence is accused, also those that the order allows": lambda p: p.depends(),
    "every forbidden pair is accused, whether the conditional changes or not":
        lambda p: _where(~precedes(p.order)),
    "pairs with i <= j were not tested: in this order they may be leaks":
        lambda p: {(i, j) for i, j in p.leaks if i > j},
    "pairs with i < j were not tested: in this order they may be leaks":
        lambda p: {(i, j) for i, j in p.leaks if i >= j},
    "pairs with i >= j were not tested: in this order they may be leaks":
        lambda p: {(i, j) for i, j in p.leaks if i < j},
    "pairs with i > j were not tested: in this order they may be leaks":
        lambda p: {(i, j) for i, j in p.leaks if i <= j},
    "the last variable is left out by the loop over j":
        lambda p: {(i, j) for i, j in p.leaks if j < p.D - 1},
    "the first variable is left out by the loop over j":
        lambda p: {(i, j) for i, j in p.leaks if j > 0},
}  # fmt: skip


def _habit(answer: Answer) -> str:
    """The mistake that explains what was found in every small model, if there is one."""
    small = [p for p in PLANTS if p.D < 10]  # an answer may take for ever over the large one
    try:
        found = [_found(answer, p)[0] for p in small]
    except Wrong:
        return ""
    explained = (
        text for text, finds in HABITS.items()
        if all(mine == finds(p) for mine, p in zip(found, small, strict=True))
    )  # fmt: skip
    return next(explained, "")


def _pairs(found: Any) -> set[Pair]:
    if isinstance(found, np.ndarray) and found.dtype == bool:
        raise Wrong("returns a matrix", cause="a set of pairs (i, j) is wanted, whole numbers")
    try:
        return {(int(i), int(j)) for i, j in found}
    except (TypeError, ValueError):
        raise Wrong(
            f"returns {type(found).__name__} instead of a set of pairs (i, j)",
            cause="the return statement",
        ) from None


_FOUR, _LARGE = cycle(4), cycle(24)
_FIRST, _LAST = int(_FOUR[0]), int(_FOUR[-1])
_WRONG_ORDER = _where(precedes(inverse(_FOUR)) & ~precedes(_FOUR))


def _gates() -> dict[int, tuple[Array, Array]]:
    """Seven later bits, and the values they must have, for each of twelve conditionals.

    Of 1000 random rows some open every gate; of 64 the chance is less than one in a thousand.
    """
    rng = np.random.default_rng(24)
    return {
        i: (rng.choice(np.arange(13, 24), 7, replace=False), rng.integers(2, size=7))
        for i in range(1, 13)
    }


_GATES = _gates()


def _behind_gates(x: Array) -> Array:
    added = np.zeros(x.shape)
    for i, (places, values) in _GATES.items():
        added[:, i] = (x[:, places] == values).all(axis=1)
    return added


PLANTS = (
    _Plant(
        "honest model", 1, 4, _FOUR, None, set(), "",
    ),
    _Plant(
        "sees itself", 1, 4, _FOUR, lambda x: 0.5 * x, {(i, i) for i in range(4)},
        "",
    ),
    _Plant(
        "no mask", 1, 4, _FOUR, lambda x: x @ np.ones((4, 4)) / 3,
        _where(~precedes(_FOUR)),
        "not every pair was tested: all j that are not before i, for every i",
    ),
    _Plant(
        "only the last", 1, 4, _FOUR, _at(_FIRST, lambda x: x[:, _LAST]), {(_FIRST, _LAST)},
        "the first and the last variable are left out by the loop",
    ),
    _Plant(
        "wrong order", 1, 4, _FOUR, None, _WRONG_ORDER,
        "what is allowed depends on order, and order[k] is the variable in position k",
        inverse(_FOUR),
    ),
    _Plant(
        "behind a gate", 1.5, 6, cycle(6), _at(1, lambda x: x[:, 4] * x[:, 2] * (1 - x[:, 3])),
        {(1, 4), (1, 2), (1, 3)},
        "the leak shows only where other bits have certain values: one base point (all zeros, or a "
        "single row) is not enough. Try many random rows: any one that changes is a proof",
    ),
    _Plant(
        "cancelling", 1, 5, cycle(5), _at(1, lambda x: (x[:, 3] != x[:, 4]) * 0.5),
        {(1, 3), (1, 4)},
        "two variables that are moved together cancel: move one at a time",
    ),
    _Plant(
        "tiny", 1, 4, _FOUR, _at(_FIRST, lambda x: 1e-13 * x[:, 3]), {(_FIRST, 3)},
        "a tolerance hides it: equal means equal in every bit, so compare with !=",
    ),
    _Plant(
        "24 variables", 1.5, 24, _LARGE, _behind_gates,
        {(i, int(j)) for i, (places, _) in _GATES.items() for j in places},
        "too few rows, or not every pair: random rows by the thousand find this",
    ),
)  # fmt: skip

EXERCISE = Exercise(
    name="causality-check",
    title="a causality check that cannot be fooled",
    teaches="dependences, and what hides them",
    minutes=45,
    template=TEMPLATE,
    hints=HINTS,
    stages=tuple(
        Stage(p.name, p.points, functools.partial(_judge, p), gate=p.name == "honest model")
        for p in PLANTS
    ),
    solution=(dependences, find_leaks),
    imports="from collections.abc import Callable\n\nimport numpy as np\n\n"
    "from pyarsimple.orders import precedes",
)
