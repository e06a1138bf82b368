"""Orders of the variables: which comes first in the chain rule.

An order is a permutation of 0..D-1: ``order[k]`` is the variable in position k. Its inverse answers
the other question: ``inverse(order)[i]`` is the position of variable i. (The two agree for the
natural order and for any swap, so a mix-up shows only in orders such as a 3-cycle.)

Any order gives an exact density, and which one is learnt best is a matter of trial. There are

    natural, reverse, random                        for any variables
    by_rows, by_columns, snake, spiral, hilbert     for images, whose rows are flattened one by one
    dispersed                                       for images, and models of all orders
    by_mutual_information, by_tree                  made from data: related variables come together

and `make` makes one from its name. `OrderMixture` averages over several.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_size
from pyarsimple.information import mutual_information

if TYPE_CHECKING:
    from pyarsimple.mixtures import OrderMixture as OrderMixture

IntArray = npt.NDArray[np.intp]


class Columns(NamedTuple):
    """Which columns of an array belong to which variable.

    A network reads *features* of the variables and writes *outputs* for them. For bits there is one
    of each; one of K classes has K of each, a mixture of Gaussians one feature and 3 K outputs. A
    context, which all variables see, is like a variable that comes before all others and has
    features only; they are the last columns.

    Attributes
    ----------
    features, outputs : ndarray of int, shape (D + 1,)
        Those of variable i are the columns from entry i up to entry i + 1.
    n_context : int
        How many columns follow the features of the last variable.
    """

    features: IntArray
    outputs: IntArray
    n_context: int = 0

    @property
    def n_inputs(self) -> int:
        """How many columns the network reads, the context's included."""
        return int(self.features[-1]) + self.n_context

    @property
    def n_outputs(self) -> int:
        """How many columns the network writes."""
        return int(self.outputs[-1])

    def of(self, i: int) -> tuple[slice, slice]:
        """The features of variable i, and its outputs."""
        return (
            slice(int(self.features[i]), int(self.features[i + 1])),
            slice(int(self.outputs[i]), int(self.outputs[i + 1])),
        )

    @property
    def context(self) -> slice:
        """The features of the context."""
        return slice(int(self.features[-1]), self.n_inputs)


def one_each(n_dims: int) -> Columns:
    """One feature and one output a variable, as bits have."""
    return Columns(np.arange(n_dims + 1), np.arange(n_dims + 1))


def walk(order: npt.ArrayLike, columns: Columns | None = None) -> list[tuple[slice, slice]]:
    """The variables one after the other, in their order: features and outputs of each.

    A context, if there is one, comes first; it has no outputs. ``columns`` of None: one each.
    """
    order = np.asarray(order)
    if columns is None:
        return [(slice(i, i + 1), slice(i, i + 1)) for i in order.tolist()]
    steps = [columns.of(i) for i in order.tolist()]
    return [(columns.context, slice(0, 0)), *steps] if columns.n_context else steps


def positions(order: npt.ArrayLike, columns: Columns | None = None) -> tuple[IntArray, IntArray]:
    """The position of each input and of each output: that of its variable; -1 for a context."""
    position = inverse(order)
    if columns is None:
        return position, position
    inputs = np.repeat(position, np.diff(columns.features))
    inputs = np.append(inputs, np.full(columns.n_context, -1, np.intp))
    return inputs, np.repeat(position, np.diff(columns.outputs))


def natural(n_dims: int) -> IntArray:
    """0, 1, ..., n_dims - 1."""
    return np.arange(n_dims, dtype=np.intp)


def reverse(n_dims: int) -> IntArray:
    """n_dims - 1, ..., 1, 0."""
    return natural(n_dims)[::-1].copy()


def random(n_dims: int, *, rng: Any = None) -> IntArray:
    """An order drawn uniformly from all n_dims! of them; ``rng`` as in SPEC 7."""
    return np.random.default_rng(rng).permutation(n_dims).astype(np.intp)


def observed_first(observed: npt.ArrayLike, order: npt.ArrayLike | None = None) -> IntArray:
    """The observed variables first, then the others, each group as it stands in ``order``.

    A model with this order completes rows in which just these variables were observed, exactly.

    Parameters
    ----------
    observed : array_like of bool, shape (D,)
    order : array_like of int, shape (D,), optional
        None is the natural order.
    """
    observed = np.asarray(observed)
    if observed.dtype != np.bool_ or observed.ndim != 1:
        raise TypeError(
            f"observed must be a boolean mask of shape (D,), got dtype {observed.dtype} and shape "
            f"{observed.shape}"
        )
    order = check_order(order, len(observed))
    return order[np.argsort(~observed[order], kind="stable")]


def inverse(order: npt.ArrayLike) -> IntArray:
    """The position of each variable: ``inverse(order)[order[k]] == k``."""
    return np.argsort(np.asarray(order)).astype(np.intp)


def precedes(order: npt.ArrayLike, columns: Columns | None = None) -> npt.NDArray[np.bool_]:
    """Which variable may depend on which: (D, D), true at [i, j] where x_j comes before x_i.

    With ``columns`` the rows are outputs and the columns are inputs, the context included.
    """
    inputs, outputs = positions(order, columns)
    return inputs[np.newaxis, :] < outputs[:, np.newaxis]


def check_order(order: npt.ArrayLike | None, n_dims: int) -> IntArray:
    """Return ``order`` as an array of its own; None is the natural order.

    Raises
    ------
    ValueError
        If it is not a permutation of 0..n_dims-1.
    """
    if order is None:
        return natural(n_dims)
    try:
        array = np.asarray(order)
    except ValueError as error:  # lists of unequal length
        raise ValueError(
            f"order must be None or a permutation of 0..{n_dims - 1}: {error}"
        ) from None
    if isinstance(order, str):
        raise ValueError(
            f"order must be None or a permutation of 0..{n_dims - 1}, got {order!r}; to make one "
            f"from its name: pyarsimple.orders.make({order!r}, {n_dims})"
        )
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"order must be None or a permutation of 0..{n_dims - 1}, got an array of dtype "
            f"{array.dtype} and shape {array.shape}"
        )
    if len(array) != n_dims or not np.array_equal(np.sort(array), np.arange(n_dims)):
        raise ValueError(
            f"order must hold each of 0..{n_dims - 1} once (order[k] is the variable in position "
            f"k), got {array.tolist() if len(array) <= 20 else f'{len(array)} entries'}"
        )
    return array.astype(np.intp)


# Orders for images. A pixel's number is its row times the width, plus its column.


def _pixels(height: int, width: int) -> IntArray:
    """The number of each pixel, (height, width)."""
    height, width = check_size(height, "height"), check_size(width, "width")
    return np.arange(height * width, dtype=np.intp).reshape(height, width)


def by_rows(height: int, width: int) -> IntArray:
    """Row by row, each from left to right: the natural order of an image."""
    return _pixels(height, width).ravel()


def by_columns(height: int, width: int) -> IntArray:
    """Column by column, each from top to bottom."""
    return _pixels(height, width).T.ravel()


def snake(height: int, width: int) -> IntArray:
    """Row by row, to the right and back in turn, so that neighbours in the order are neighbours."""
    pixels = _pixels(height, width)
    pixels[1::2] = pixels[1::2, ::-1].copy()
    return pixels.ravel()


def spiral(height: int, width: int, *, outwards: bool = False) -> IntArray:
    """From the corner at the top left along the edges inwards, clockwise, to the middle.

    ``outwards`` turns it round: from the middle to the edges.
    """
    rest, edges = _pixels(height, width), []
    while rest.size:
        edges.append(rest[0])
        rest = np.rot90(rest[1:])  # what was the right edge is on top now
    order = np.concatenate(edges)
    return order[::-1].copy() if outwards else order


def hilbert(height: int, width: int) -> IntArray:
    """Along a curve like Hilbert's: what is near in the order is near in the image.

    Unlike a snake it stays in a part of the image until that is done, and does the same in each
    part of that part. Each pixel is a neighbour of the one before it, for any height and width.

    References
    ----------
    Hilbert (1891), "Ueber die stetige Abbildung einer Linie auf ein Flaechenstueck", for squares of
    2^k; the division of other rectangles is that of J. Cerveny's "gilbert", which has one diagonal
    step where one side is odd and the other is not; here the curve then runs along the even side.
    """
    pixels = _pixels(height, width)
    along_width = width % 2 == 0 if (height + width) % 2 else width >= height
    return _hilbert(pixels if along_width else pixels.T).copy()


def _hilbert(pixels: IntArray) -> IntArray:
    """All of the pixels (h, w), from the first of the first row to the last of that row."""
    h, w = pixels.shape
    if h == 1 or w == 1:
        return pixels.ravel()
    half = w // 2
    if 2 * w > 3 * h:  # wide: a left and a right part
        half += half % 2 if w > 2 else 0
        return np.concatenate([_hilbert(pixels[:, :half]), _hilbert(pixels[:, half:])])
    down = h // 2
    down += down % 2 if h > 2 else 0
    there = pixels[:down, :half].T  # down the left side,
    across = pixels[down:]  # across what is below,
    back = pixels[:down, half:][::-1, ::-1].T  # and up the right side
    return np.concatenate([_hilbert(part) for part in (there, across, back)])


def dispersed(height: int, width: int, *, rng: Any = None) -> IntArray:
    """Next always the pixel with the fewest near ones before it: what is known is spread evenly.

    The early pixels are a coarse picture, the late ones fill its gaps, with known neighbours on all
    sides. A model that was trained for all orders has seen such sets of known variables, unlike the
    half-planes of a raster; and it errs less in this order than in a random one, which leaves
    clusters and holes. Ties are broken at random, so there are many such orders to average over.

    Parameters
    ----------
    height, width : int
    rng : None, int, SeedSequence, BitGenerator or Generator
        As in SPEC 7.

    References
    ----------
    Ulichney (1993), "The void-and-cluster method for dither array generation": a pixel's crowd is
    the sum of exp(-r^2 / (2 sigma^2)) over the chosen pixels, r away. Here sigma is 1.
    """
    pixels, rng = _pixels(height, width), np.random.default_rng(rng)
    squares = [np.arange(1.0 - n, n) ** 2 for n in pixels.shape]
    influence = np.exp(-np.add.outer(*squares) / 2)  # (2h - 1, 2w - 1), of the pixel in its middle
    crowd = 1e-3 * rng.random(pixels.shape)
    order = np.empty(pixels.size, np.intp)
    for k in range(pixels.size):
        i, j = np.unravel_index(np.argmin(crowd), pixels.shape)
        order[k] = pixels[i, j]
        crowd += influence[height - 1 - i : 2 * height - 1 - i, width - 1 - j : 2 * width - 1 - j]
        crowd[i, j] = np.inf
    return order


# Orders from data.


def _by_gain(
    information: npt.NDArray[np.float64],
    join: Callable[[Any, Any], npt.NDArray[np.float64]],
    first: int | None,
) -> IntArray:
    """Next always the variable of the largest gain, ``join`` of what those before tell of it.

    Ties go to the lower number.
    """
    n_dims = len(information)
    if first is None:
        i = int(np.argmax(information.sum(axis=1)))
    elif (i := check_size(first, "first", minimum=0)) >= n_dims:
        raise ValueError(f"first must be one of the variables 0..{n_dims - 1}, got {first}")
    order, left, gain = [], np.ones(n_dims, np.bool_), np.zeros(n_dims)
    for _ in range(len(information)):
        order.append(i)
        left[i] = False
        gain = join(gain, information[i])
        i = int(np.argmax(np.where(left, gain, -1)))
    return np.array(order, np.intp)


def by_mutual_information(
    x: npt.ArrayLike,
    *,
    first: int | None = None,
    discrete: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
) -> IntArray:
    """Next always the variable of which those before tell most, in sum.

        order[k] = argmax over the i that are left of sum_{j < k} I(x_i; x_order[j])

    So what is strongly related comes together, and early. It is a greedy choice, and a sum of
    pairs: what two variables tell together, or both alike, it does not see.

    Parameters
    ----------
    x : array_like, shape (N, D), N >= 1
        The rows to learn from, as `pyarsimple.information.mutual_information` takes them.
    first : int, optional
        The variable to begin with; None: the one that tells most of all others, in sum.
    discrete, weight : optional
        Which variables are classes, and how often each row counts, as it takes them.

    References
    ----------
    That the order matters to what is learnt, and that what depends on each other should be near in
    it: Biswal, Vuffray and Lokhov (2026), "Selecting optimal variable order in autoregressive Ising
    models", arXiv:2602.20394, who choose it by an inferred graph.
    """
    return _by_gain(mutual_information(x, discrete=discrete, weight=weight), np.add, first)


def by_tree(
    x: npt.ArrayLike,
    *,
    first: int | None = None,
    discrete: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
) -> IntArray:
    """Along the Chow-Liu tree: next always the variable of which a single one before tells most.

    These are the steps in which Prim's algorithm builds the tree of the largest mutual information,
    so each variable comes after its parent.

    Parameters
    ----------
    x : array_like, shape (N, D), N >= 1
        The rows to learn from, as `pyarsimple.information.mutual_information` takes them.
    first : int, optional
        The variable to begin with; None: the one that tells most of all others, in sum.
    discrete, weight : optional
        Which variables are classes, and how often each row counts, as it takes them.

    References
    ----------
    Chow and Liu (1968), "Approximating discrete probability distributions with dependence trees";
    Prim (1957), "Shortest connection networks and some generalizations".
    """
    return _by_gain(mutual_information(x, discrete=discrete, weight=weight), np.maximum, first)


# Orders by their names.

_PLAIN: dict[str, Callable[[int], IntArray]] = {"natural": natural, "reverse": reverse}
_OF_IMAGES: dict[str, Callable[..., IntArray]] = {
    "rows": by_rows, "columns": by_columns, "snake": snake, "spiral": spiral, "hilbert": hilbert,
    "dispersed": dispersed,
}  # fmt: skip
_OF_DATA: dict[str, Callable[..., IntArray]] = {
    "mutual-information": by_mutual_information, "tree": by_tree,
}  # fmt: skip

#: What `make` makes.
NAMES = (*_PLAIN, "random", *_OF_IMAGES, *_OF_DATA)


def make(
    name: str,
    n_dims: int,
    *,
    image_shape: tuple[int, int] | None = None,
    x: npt.ArrayLike | None = None,
    discrete: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
    rng: Any = None,
) -> IntArray:
    """Make an order from its name.

    Parameters
    ----------
    name : one of `NAMES`
        natural, reverse, random; rows, columns, snake, spiral, hilbert, dispersed, of images;
        mutual-information, tree, from data.
    n_dims : int
        D, the number of variables.
    image_shape : (int, int), optional
        Height and width, for the orders of images.
    x : array_like, shape (N, D), optional
        Rows to train on, for the orders from data.
    discrete, weight : optional
        Which of the variables are classes, and how often each row counts, as
        `by_mutual_information` takes them.
    rng : None, int, SeedSequence, BitGenerator or Generator
        For a random or dispersed order, as in SPEC 7.

    Raises
    ------
    ValueError
        If there is no such order, or what it needs is missing or does not fit.
    """
    n_dims = check_size(n_dims, "n_dims")
    if name in _PLAIN:
        return _PLAIN[name](n_dims)
    if name == "random":
        return random(n_dims, rng=rng)
    if name in _OF_IMAGES:
        shape: Any = image_shape
        if np.shape(shape) != (2,) or np.prod(shape) != n_dims:
            raise ValueError(
                f"image_shape must be (height, width) with a product of {n_dims} for the order "
                f"{name!r}, got {shape!r}"
            )
        drawn = {"rng": rng} if name == "dispersed" else {}
        return _OF_IMAGES[name](*shape, **drawn)
    if name in _OF_DATA:
        if x is None:
            raise ValueError(f"x must be rows to train on for the order {name!r}, got None")
        order = _OF_DATA[name](x, discrete=discrete, weight=weight)
        if len(order) != n_dims:
            raise ValueError(f"x must have {n_dims} columns, got {len(order)}")
        return order
    raise ValueError(f"order must be one of {', '.join(NAMES)}, got {name!r}")


if not TYPE_CHECKING:

    def __getattr__(name):
        """`OrderMixture` is in a file of its own, which needs this one (SPEC 1)."""
        if name == "OrderMixture":
            from pyarsimple.mixtures import OrderMixture

            return OrderMixture
        raise AttributeError(f"module 'pyarsimple.orders' has no attribute {name!r}")
