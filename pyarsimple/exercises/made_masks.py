"""The masks of a MADE, and the degrees that they follow from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pyarsimple.exercises.answers import Answer, Array, Case, Function, Rng, Wrong, show
from pyarsimple.exercises.cases import cycle
from pyarsimple.exercises.grader import Exercise, Stage, read_template
from pyarsimple.exercises.stages import known_cause, stages_of
from pyarsimple.models.made import make_masks, spread_degrees
from pyarsimple.orders import inverse, precedes

TEMPLATE = '''\
"""Exercise made-masks: masks that make an autoencoder causal.

Every hidden unit gets a degree m: it may see the first m variables of the
order, and no others. Weights are free where that holds, masked elsewhere:

    from variable j to a unit of degree m       if position(j) < m
    from a unit of degree m to one of degree n  if m <= n
    from a unit of degree m to variable i       if m <= position(i)

Positions count from 0. One < and two <=: with another choice a variable
sees itself, or paths that the order allows are cut. Without hidden layers
there is one mask, from the variables to the variables.

    letter   shape     what
    order    (D,)      order[k] is the variable in position k
    degrees  a list    of the units of each hidden layer: arrays (H_1,), ...

    pyarsimple exercises grade made_masks.py
    pyarsimple exercises hint made-masks
"""

import numpy as np

from pyarsimple.orders import inverse, precedes

EXERCISE = "made-masks"

# The definition: one weight at a time.


def slow_make_masks(order, degrees):
    order = list(order)
    positions = [order.index(i) for i in range(len(order))]
    if not degrees:
        return [np.array([[p < q for p in positions] for q in positions])]
    masks = [np.array([[p < m for m in degrees[0]] for p in positions])]
    for below, above in zip(degrees[:-1], degrees[1:]):
        masks.append(np.array([[m <= n for n in above] for m in below]))
    masks.append(np.array([[m <= q for m in degrees[-1]] for q in positions]))
    return masks


def slow_spread_degrees(n_units, n_dims):
    if n_dims == 1:
        return np.zeros(n_units, int)  # there is nothing to be seen
    degrees = []
    for k in range(n_units):
        degree = 1  # and up, while it is not as far on its way as k on its own
        while degree / (n_dims - 1) <= k / n_units:
            degree += 1
        degrees.append(degree)
    return np.array(degrees)


# Your turn. inverse(order)[i] is the position of variable i; precedes(order)
# is a boolean (D, D), true at [i, j] where j comes before i.


def make_masks(order, degrees):
    """A list of masks, true where a weight is free: of W_1 (D, H_1), of W_2
    (H_1, H_2), ..., and of V (D, H_last), which has a row for each variable.

    About 6 lines, without a loop over units. No error at all.
    """
    raise NotImplementedError("fill me in: make_masks, about 6 lines")


def spread_degrees(n_units, n_dims):
    """Degrees of a layer, (n_units,): 1 to D-1, ascending, each for as many
    units as the others, or one more: unit k of n_units is as far on its way
    as its degree between 1 and D-1. All 0 where D = 1.

    About 3 lines. Whole numbers, no error at all.
    """
    raise NotImplementedError("fill me in: spread_degrees, about 3 lines")
'''

HINTS = (
    "Comparing a column (n, 1) with a row (m,) gives a boolean (n, m): a[:, np.newaxis] < b.",
    "position = inverse(order). The first mask is position as a column < degrees[0]; between two "
    "layers it is the degrees of the one as a column <= those of the next.",
    "Last: degrees[-1] <= position as a column; if not degrees: [precedes(order)]. Degrees: "
    "1 + np.arange(n_units) * (n_dims - 1) // n_units.",
)

_names = read_template(TEMPLATE)


def _mask_cases(rng: Rng) -> Iterator[Case]:
    yield np.arange(1), [np.zeros(2, int)]
    yield np.arange(2), []
    yield np.arange(2), [np.array([1])]
    yield np.arange(3), [np.array([1, 2])]
    yield np.arange(3), [np.array([1, 2]), np.array([1, 2])]
    yield cycle(3), []
    yield cycle(3), [np.array([1, 2])]
    for D in (4, 5):
        layers = [rng.integers(1, D, size=H) for H in (D + 1, D, D + 2)]
        yield cycle(D), [np.concatenate([np.arange(1, D), m]) for m in layers]


def _degree_cases(rng: Rng) -> Iterator[Case]:
    yield from ((1, 1), (3, 1), (1, 2), (2, 3), (4, 3), (3, 5), (7, 4), (11, 5), (12, 6), (14, 5))


def _masks(
    order: Array, degrees: Sequence[Array], *, first: Any = np.less, between: Any = np.less_equal,
    last: Any = np.less_equal, position: Any = inverse, position_last: Any = None,
    none: Any = precedes,
) -> list[Array]:  # fmt: skip
    place = position(order)[:, np.newaxis]
    if not degrees:
        return [none(order) if position is inverse else np.less(place.T, place)]
    masks = [first(place, degrees[0])]
    masks += [between(degrees[k][:, np.newaxis], degrees[k + 1]) for k in range(len(degrees) - 1)]
    return [*masks, last(degrees[-1], (position_last or position)(order)[:, np.newaxis])]


def _suspect(**how: Any) -> Any:
    return lambda order, degrees: _masks(order, degrees, **how)


MASKS = Function(
    "make_masks",
    ("masks",),
    _names["slow_make_masks"],
    _mask_cases,
    {
        "the last mask has < where <= is meant: a unit of degree m has seen positions 0 to m-1, "
        "and may feed position m": _suspect(last=np.less),
        "the first mask has <= where < is meant: with positions from 0, the first m variables are "
        "those with position < m": _suspect(first=np.less_equal),
        "<= and < are exchanged between the first mask and the last: a unit of degree m sees "
        "positions 0 to m-1, m of them, and may feed position m":
            _suspect(first=np.less_equal, last=np.less),
        "between the layers stands < where <= is meant: a unit may feed units of its own degree":
            _suspect(between=np.less),
        "between the layers stands > or >=: degrees must not fall along a path":
            _suspect(between=np.greater_equal),
        "order itself is used as the position: order[k] is the variable in position k, position is "
        "its inverse": _suspect(position=np.asarray),
        "order itself is used as the position in the last mask, and its inverse in the first":
            _suspect(position_last=np.asarray),
        "order itself is used as the position in the first mask, and its inverse in the last":
            _suspect(position=np.asarray, position_last=inverse),
        "between the layers stands == where <= is meant: a unit may feed all of its degree or a "
        "higher one": _suspect(between=np.equal),
        "the masks are turned: true is wanted where a weight is FREE":
            lambda order, degrees: [~m for m in _masks(order, degrees)],
        "without hidden layers the mask is transposed: row i holds what variable i sees":
            _suspect(none=lambda order: precedes(order).T),
        "without hidden layers each variable sees itself": _suspect(
            none=lambda order: precedes(order) | np.eye(len(order), dtype=bool)
        ),
        "without hidden layers order is ignored": _suspect(
            none=lambda order: np.tri(len(order), k=-1, dtype=bool)
        ),
        "positions are counted from 1: then the first mask is position <= degree, and the last "
        "degree < position": _suspect(first=lambda p, m: p + 1 < m, last=lambda m, p: m <= p + 1),
        "the first mask cuts the last variable that a unit may see: it is position < degree":
            _suspect(first=lambda p, m: p + 1 < m),
        "positions are counted from 1 in the last mask: then a unit of degree m feeds variable m "
        "of 1..D, which it has seen": _suspect(last=lambda m, place: m <= place + 1),
    },
    fast=make_masks,
)  # fmt: skip


def _spread(n_units: int, n_dims: int, formula: Any) -> Array:
    return np.asarray(formula(np.arange(n_units), n_units, n_dims)) if n_dims > 1 else np.zeros(
        n_units, int
    )  # fmt: skip


DEGREES = Function(
    "spread_degrees",
    ("degrees",),
    _names["slow_spread_degrees"],
    _degree_cases,
    {
        "degrees start at 0: such a unit sees nothing, and is a second bias":
            lambda H, D: _spread(H, D, lambda k, H, D: k * (D - 1) // H),
        "degrees go up to D: such a unit may feed no variable":
            lambda H, D: _spread(H, D, lambda k, H, D: 1 + k * D // H),
        "degrees are not sorted: they should ascend":
            lambda H, D: _spread(H, D, lambda k, H, D: 1 + k % (D - 1)),
        "degrees go from 0 to D: both ends are useless":
            lambda H, D: _spread(H, D, lambda k, H, D: k * (D + 1) // H),
        "rounded instead of cut: the first and the last degree get half as many units":
            lambda H, D: np.round(np.linspace(min(1, D - 1), D - 1, H)).astype(int),
        "cut from a linspace: the last degree gets a single unit":
            lambda H, D: np.linspace(min(1, D - 1), D - 1, H).astype(int),
        "spread to D, or divided by n_units - 1: the last unit gets D, and may feed no variable":
            lambda H, D: _spread(H, D, lambda k, H, D: 1 + k * (D - 1) // max(1, H - 1)),
        "the units that are left over all go to the first degrees: spread them evenly":
            lambda H, D: _spread(H, D, lambda k, H, D: np.sort(1 + k % (D - 1))),
        "the last degrees get fewer units than the others, or none: // rounds once too often":
            lambda H, D: _spread(H, D, lambda k, H, D: 1 + k // -(-H // (D - 1))),
        "the last degree gets all units that are left over: // rounds once too often":
            lambda H, D: _spread(
                H, D, lambda k, H, D: np.minimum(D - 1, 1 + k // max(1, H // (D - 1)))
            ),
        "for D = 1 the degrees are 0: there is nothing to be seen":
            lambda H, D: 1 + np.arange(H) * (D - 1) // H,
        "the degrees are not cut to whole numbers: // divides without a remainder":
            lambda H, D: _spread(H, D, lambda k, H, D: 1 + k * (D - 1) / H),
    },
    fast=spread_degrees,
)  # fmt: skip


def _product(answer: Answer) -> str:
    """The product of all masks is the strict triangle of the order: no leak, no path cut."""
    for D, depth in ((2, 1), (3, 1), (4, 2), (5, 3)):
        order = cycle(D)
        degrees = [spread_degrees(2 * D, D)] * depth
        masks = answer.call("make_masks", order, degrees, arguments=("order", "degrees"))
        reach = np.asarray(masks[-1], float)
        for mask in masks[-2::-1]:
            reach = reach @ np.asarray(mask, float).T
        wrong = (reach > 0) != precedes(order)
        if wrong.any():
            i, j = np.argwhere(wrong)[0]
            leak = reach[i, j] > 0
            raise Wrong(
                f"{'a leak' if leak else 'a path is cut'}: from variable {j} to variable {i}",
                [*show("order", order), *show("degrees", degrees[0])],
                known_cause(
                    answer, MASKS, otherwise="a mask lets pass what it should stop" if leak
                    else "a mask stops what it should let pass",
                ),
            )  # fmt: skip
    return "the product of the masks is the order's triangle"


EXERCISE = Exercise(
    name="made-masks",
    title="masks that make an autoencoder causal",
    teaches="degrees, and < or <=",
    minutes=25,
    template=TEMPLATE,
    hints=HINTS,
    stages=(
        *stages_of(MASKS, 4, "masks"),
        Stage("dependences", 2, _product, group="masks"),
        *stages_of(DEGREES, 2, "degrees"),
    ),
    solution=(make_masks, spread_degrees),
    imports="from collections.abc import Sequence\nfrom itertools import pairwise\n\n"
    "import numpy as np\nimport numpy.typing as npt\n\n"
    "from pyarsimple.orders import positions, precedes",
)
