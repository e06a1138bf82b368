"""Promise: an order is a permutation, and its inverse is never taken for it."""

import collections
import math
import re
from pathlib import Path

import numpy as np
import properties
import pytest
import registry
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pyarsimple import information, orders

permutations = st.integers(1, 9).flatmap(lambda n: st.permutations(range(n)))


def test_natural_and_reverse():
    assert orders.natural(4).tolist() == [0, 1, 2, 3]
    assert orders.reverse(4).tolist() == [3, 2, 1, 0]
    assert orders.natural(1).tolist() == orders.reverse(1).tolist() == [0]
    assert orders.natural(3).dtype == orders.reverse(3).dtype == np.intp
    assert orders.reverse(4).flags.c_contiguous


@given(permutations)
def test_inverse(order):
    inverse = orders.inverse(order)
    assert inverse.dtype == np.intp
    assert [order.index(i) for i in range(len(order))] == inverse.tolist()
    assert (orders.inverse(inverse) == order).all()


def test_inverse_of_a_cycle_is_another_order():
    assert orders.inverse([1, 2, 0]).tolist() == [2, 0, 1]


@given(permutations)
def test_precedes(order):
    D = range(len(order))
    table = [[order.index(j) < order.index(i) for j in D] for i in D]
    precedes = orders.precedes(order)
    assert precedes.tolist() == table
    assert precedes.dtype == np.bool_
    assert precedes.sum() == math.comb(len(order), 2)


def test_random():
    order = orders.random(7, rng=3)
    assert sorted(order.tolist()) == list(range(7))
    assert order.dtype == np.intp
    assert (orders.random(7, rng=3) == order).all()
    assert (orders.random(7, rng=4) != order).any()
    rng = np.random.default_rng(3)
    assert (orders.random(7, rng=rng) == order).all()
    assert (orders.random(7, rng=rng) != order).any()
    assert len({tuple(orders.random(3).tolist()) for _ in range(200)}) == 6
    counts = np.zeros((3, 3))
    for _ in range(3000):
        counts[range(3), orders.random(3, rng=rng)] += 1
    np.testing.assert_allclose(counts / 3000, 1 / 3, atol=0.05)


@given(hnp.arrays(bool, st.integers(1, 9)))
def test_observed_first(observed):
    order = orders.observed_first(observed)
    n = int(observed.sum())
    assert observed[order[:n]].all()
    assert not observed[order[n:]].any()
    assert (np.diff(order[:n]) > 0).all()
    assert (np.diff(order[n:]) > 0).all()
    assert sorted(order.tolist()) == list(range(len(observed)))
    assert order.dtype == np.intp
    given = np.random.default_rng(n).permutation(len(observed))
    order = orders.observed_first(observed, given)
    assert order[:n].tolist() == [i for i in given if observed[i]]
    assert order[n:].tolist() == [i for i in given if not observed[i]]


@pytest.mark.parametrize("observed", [[0, 1, 0], [[True, False]], True, ["yes", "no"]])
def test_observed_is_a_boolean_mask(observed):
    with pytest.raises(TypeError, match="observed must be a boolean mask"):
        orders.observed_first(observed)


@given(permutations)
def test_check_order_gives_an_array_of_its_own(order):
    given_ = np.array(order)
    checked = orders.check_order(given_, len(order))
    assert (checked == given_).all()
    assert not np.shares_memory(checked, given_)
    assert orders.check_order(None, 3).tolist() == [0, 1, 2]


def test_relabelling_the_variables_relabels_the_model():
    """A model of order q on x is the natural model on x[:, q], parameters permuted alike."""
    order = np.array(registry.THREE_CYCLE[5])
    inverse = orders.inverse(order)
    model = registry.make("nade-cycle")
    natural = registry.make("nade-cycle", order=None)
    for name, p in model.params.items():
        natural.params[name][...] = p[order] if len(p) == 5 else p
    x = registry.all_rows(5)
    properties.close(
        natural.conditionals(x[:, order])[:, inverse], model.conditionals(x), 1e-14, ""
    )
    wrong = natural.conditionals(x[:, inverse])[:, order]
    assert np.abs(wrong - model.conditionals(x)).max() > 0.01


# Orders of images.

IMAGES = {
    "rows": orders.by_rows, "columns": orders.by_columns, "snake": orders.snake,
    "spiral": orders.spiral, "hilbert": orders.hilbert, "dispersed": orders.dispersed,
}  # fmt: skip
sides = st.integers(1, 24)


def far_steps(order, width):
    """Steps of the order between pixels that do not touch along an edge."""
    row, column = np.divmod(order, width)
    return np.flatnonzero(np.abs(np.diff(row)) + np.abs(np.diff(column)) != 1)


@pytest.mark.parametrize("name", IMAGES)
@given(sides, sides)
def test_each_pixel_comes_once(name, height, width):
    order = IMAGES[name](height, width)
    assert order.dtype == np.intp
    assert order.flags.c_contiguous
    assert order.flags.writeable
    assert sorted(order.tolist()) == list(range(height * width))
    assert name == "dispersed" or order[0] == 0


@pytest.mark.parametrize(
    ("order", "positions"),
    [
        (orders.by_rows(2, 3), [[0, 1, 2], [3, 4, 5]]),
        (orders.by_columns(2, 3), [[0, 2, 4], [1, 3, 5]]),
        (orders.snake(3, 3), [[0, 1, 2], [5, 4, 3], [6, 7, 8]]),
        (orders.spiral(3, 4), [[0, 1, 2, 3], [9, 10, 11, 4], [8, 7, 6, 5]]),
        (orders.spiral(3, 4, outwards=True), [[11, 10, 9, 8], [2, 1, 0, 7], [3, 4, 5, 6]]),
        (orders.hilbert(2, 2), [[0, 3], [1, 2]]),
        (
            orders.hilbert(4, 4),
            [[0, 1, 14, 15], [3, 2, 13, 12], [4, 7, 8, 11], [5, 6, 9, 10]],
        ),
    ],
)
def test_positions_of_pixels(order, positions):
    assert orders.inverse(order).reshape(np.shape(positions)).tolist() == positions


@pytest.mark.parametrize("name", ["snake", "spiral", "hilbert"])
@given(sides, sides)
def test_neighbours_in_the_order_are_neighbours_in_the_image(name, height, width):
    assert not far_steps(IMAGES[name](height, width), width).size


def test_rows_and_columns_do_jump():
    assert far_steps(orders.by_rows(4, 5), 5).tolist() == [4, 9, 14]
    assert far_steps(orders.by_columns(4, 5), 5).tolist() == [3, 7, 11, 15]


def test_a_part_of_hilberts_curve_is_a_part_of_the_image():
    """A quarter of a square of 2^k is done before the next begins; a snake runs all over it."""
    for part in np.split(orders.hilbert(16, 16), 4):
        row, column = np.divmod(part, 16)
        assert np.ptp(row) == np.ptp(column) == 7
    # For other sizes: a run of 64 pixels is much more compact than one of a snake.
    for height, width in ((28, 28), (27, 30), (13, 50), (25, 25)):
        spans = {}
        for name in ("hilbert", "snake"):
            order = IMAGES[name](height, width)
            runs = [order[k : k + 64] for k in range(0, len(order) - 64, 16)]
            spans[name] = np.mean([np.ptp(run // width) + np.ptp(run % width) for run in runs])
        assert spans["hilbert"] < 0.75 * spans["snake"]


@given(st.integers(2, 24), st.integers(2, 24), st.integers(0, 9))
def test_early_pixels_are_dispersed(height, width, seed):
    """A fifth of the image is known before two known pixels touch along an edge."""
    order = orders.dispersed(height, width, rng=seed)
    early = np.zeros((height, width), bool)
    early.flat[order[: max(1, height * width // 5)]] = True
    assert not (early[1:] & early[:-1]).any()
    assert not (early[:, 1:] & early[:, :-1]).any()


def test_dispersed_orders_are_drawn():
    drawn = [orders.dispersed(9, 7, rng=seed) for seed in (0, 0, 1)]
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()
    assert (orders.make("dispersed", 63, image_shape=(9, 7), rng=1) == drawn[2]).all()
    first = {orders.dispersed(3, 3, rng=seed)[0] for seed in range(200)}
    assert first == set(range(9))  # any pixel may be the first


@pytest.mark.parametrize("make", IMAGES.values())
@pytest.mark.parametrize(("shape", "error"), [((0, 3), ValueError), ((3, 2.0), TypeError)])
def test_sides_are_whole_numbers(make, shape, error):
    with pytest.raises(error, match=r"(height|width) must be"):
        make(*shape)


# Orders from data.


def entropy(*columns):
    """Of the rows, in nats, by counting them."""
    counts = collections.Counter(zip(*(c.tolist() for c in columns), strict=True)).values()
    return math.log(sum(counts)) - sum(n * math.log(n) for n in counts) / sum(counts)


classes = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 30), st.integers(1, 6)), elements=st.integers(-1, 3)
)


@given(classes)
def test_information_of_classes_is_that_of_their_counts(x):
    D = x.shape[1]
    wanted = [
        [entropy(x[:, i]) + entropy(x[:, j]) - entropy(x[:, i], x[:, j]) for j in range(D)]
        for i in range(D)
    ]
    wanted = np.where(np.eye(D) == 1, 0, wanted)
    found = information.mutual_information(x)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert (found == found.T).all()
    assert (found >= 0).all()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_bits_come_in_any_type(dtype):
    x = np.random.default_rng(0).integers(0, 2, (50, 4))
    x[:, 3] = x[:, 0] ^ (np.arange(50) % 10 == 0)
    x[:, 2] = 1
    found = information.mutual_information(x.astype(dtype))
    np.testing.assert_allclose(found, information.mutual_information(x), rtol=1e-12)
    assert found[0, 3] > 0.2
    assert (found[2] == 0).all()


def test_information_of_real_variables():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(400, 4))
    x = np.column_stack([z[:, 0], 3 * z[:, 0] + z[:, 1] + 100, z[:, 2], 7 - z[:, 2], np.ones(400)])
    found = information.mutual_information(x)
    r = np.corrcoef(x[:, :3].T)
    wanted = -np.log(1 - r**2 + np.eye(3)) / 2
    np.testing.assert_allclose(found[:3, :3], wanted, rtol=1e-9, atol=1e-12)
    assert found[2, 3] == pytest.approx(-math.log(1e-12) / 2, rel=1e-3)  # one determines the other
    assert (found[4] == 0).all()
    # The information of two Gaussians whose correlation is known.
    known = rng.normal(size=(100_000, 2)) @ np.linalg.cholesky([[1, 0.8], [0.8, 1]]).T
    exact = -math.log(1 - 0.64) / 2
    assert information.mutual_information(known)[0, 1] == pytest.approx(exact, rel=0.02)


def test_information_of_a_class_and_a_real_variable():
    rng = np.random.default_rng(2)
    x = np.column_stack([rng.integers(0, 3, 300), rng.normal(size=300), rng.integers(0, 2, 300)])
    x[:, 1] += np.array([0, 2, 5])[x[:, 0].astype(int)]
    found = information.mutual_information(x, discrete=[True, False, True])
    means = np.array([x[x[:, 0] == k, 1].mean() for k in range(3)])[x[:, 0].astype(int)]
    share = means.var() / x[:, 1].var()
    np.testing.assert_allclose(found[0, 1], -math.log(1 - share) / 2, rtol=1e-10)
    assert found[0, 1] == found[1, 0] > 0.5
    bits = information.mutual_information(x[:, [0, 2]].astype(int))
    np.testing.assert_allclose(found[0, 2], bits[0, 1], rtol=1e-10)


def test_a_row_of_weight_two_is_the_row_twice():
    rng = np.random.default_rng(4)
    x = np.column_stack([rng.integers(0, 3, 60), rng.normal(size=(60, 2)).cumsum(axis=1)])
    x = np.column_stack([x, x[:, 0] > x[:, 1]])
    discrete, weight = [True, False, False, True], rng.integers(0, 4, 60)
    found = information.mutual_information(x, discrete=discrete, weight=weight)
    again = np.repeat(x, weight, axis=0)
    wanted = information.mutual_information(again, discrete=discrete)
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-14)
    plain = information.mutual_information(x, discrete=discrete)
    assert np.abs(found - plain).max() > 0.01
    for name in ("mutual-information", "tree"):
        order = orders.make(name, 4, x=x, discrete=discrete, weight=weight)
        assert (order == orders.make(name, 4, x=again, discrete=discrete)).all()
    with pytest.raises(ValueError, match=r"weight must be numbers of shape \(60,\)"):
        information.mutual_information(x, weight=[1, 2])


def test_information_is_summed_over_blocks_of_rows():
    x = np.random.default_rng(3).integers(0, 3, (2**20, 9), dtype=np.int8)
    x[:, 1] = x[:, 0]
    found = information.mutual_information(x)
    assert found[0, 1] == pytest.approx(math.log(3), rel=1e-3)
    np.testing.assert_allclose(found[2:, 2:], 0, atol=1e-4)


@pytest.mark.parametrize(
    ("x", "discrete", "words"),
    [
        (np.zeros((0, 3)), None, "x must be an array of numbers of shape"),
        (np.zeros(3), None, r"got dtype float64 and shape \(3,\)"),
        ([["a"]], None, "x must be an array of numbers"),
        ([[0.5, np.nan]], None, "x must be finite"),
        ([[1, 2]], [True], r"discrete must be True, False or a boolean mask of shape \(2,\)"),
        ([[1, 2]], 1, "discrete must be"),
    ],
)
def test_what_tells_nothing_is_refused(x, discrete, words):
    with pytest.raises(ValueError, match=words):
        information.mutual_information(x, discrete=discrete)


def chain(n=4000, D=7, rng=0):
    """A Markov chain of bits: neighbours agree in nine of ten rows."""
    rng = np.random.default_rng(rng)
    x = np.empty((n, D), np.uint8)
    x[:, 0] = rng.random(n) < 0.5
    for i in range(1, D):
        x[:, i] = x[:, i - 1] ^ (rng.random(n) < 0.1)
    return x


def greedy_order(told, gain, first=None):
    """As the definition says, with lists."""
    D = len(told)
    order = [max(range(D), key=lambda i: (sum(told[i]), -i)) if first is None else first]
    while len(order) < D:
        left = [i for i in range(D) if i not in order]
        order.append(max(left, key=lambda i: (gain(told[i][j] for j in order), -i)))
    return order


@given(st.integers(0, 50), st.integers(1, 7))
def test_orders_from_data_are_the_greedy_ones(seed, D):
    x = chain(60, D, seed)[:, np.random.default_rng(seed).permutation(D)]
    told = information.mutual_information(x).tolist()
    assert orders.by_mutual_information(x).tolist() == greedy_order(told, sum)
    assert orders.by_tree(x).tolist() == greedy_order(told, max)
    first = seed % D
    assert orders.by_mutual_information(x, first=first).tolist() == greedy_order(told, sum, first)
    assert orders.by_tree(x, first=first).tolist() == greedy_order(told, max, first)


def test_orders_from_data_find_a_chain_that_was_shuffled():
    """From the middle each next variable is a neighbour of one that is there already."""
    shuffle = np.array([3, 6, 0, 2, 5, 1, 4])
    x = chain()[:, shuffle]
    for make in (orders.by_tree, orders.by_mutual_information):
        place = shuffle[make(x)]  # along the chain
        assert place[0] == 3
        for k in range(1, len(place)):
            assert np.abs(place[:k] - place[k]).min() == 1
    assert orders.by_tree(x).dtype == orders.by_mutual_information(x).dtype == np.intp


@pytest.mark.parametrize(("first", "error"), [(7, ValueError), (-1, ValueError), (1.0, TypeError)])
def test_the_first_is_a_variable(first, error):
    for make in (orders.by_tree, orders.by_mutual_information):
        with pytest.raises(error, match="first must be"):
            make(chain(10), first=first)


def test_constant_columns_come_last_and_one_column_is_an_order():
    x = chain()
    x[:, 2] = 1
    assert orders.by_mutual_information(x)[-1] == 2
    assert orders.by_tree(x[:, :1]).tolist() == [0]
    assert orders.by_tree(np.ones((5, 3), int)).tolist() == [0, 1, 2]


# Orders by their names.


def test_every_name_makes_an_order():
    x = chain(100, 6)
    for name in orders.NAMES:
        order = orders.make(name, 6, image_shape=(2, 3), x=x, rng=5)
        assert sorted(order.tolist()) == list(range(6)), name
    made = {name: orders.make(name, 6, image_shape=(2, 3), x=x, rng=5) for name in orders.NAMES}
    assert made["natural"].tolist() == made["rows"].tolist() == list(range(6))
    assert made["reverse"].tolist() == [5, 4, 3, 2, 1, 0]
    assert (made["random"] == orders.random(6, rng=5)).all()
    assert (made["hilbert"] == orders.hilbert(2, 3)).all()
    assert (made["tree"] == orders.by_tree(x)).all()
    assert (made["mutual-information"] == orders.by_mutual_information(x)).all()


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("sorted", {}, "order must be one of natural, reverse, random, rows, .*, got 'sorted'"),
        ("spiral", {}, r"image_shape must be \(height, width\) with a product of 6 .*, got None"),
        ("rows", {"image_shape": 6}, "image_shape must be .* got 6"),
        ("snake", {"image_shape": (2, 2)}, r"a product of 6 for the order 'snake', got \(2, 2\)"),
        ("tree", {}, "x must be rows to train on for the order 'tree', got None"),
        ("tree", {"x": np.eye(5)}, "x must have 6 columns, got 5"),
    ],
)
def test_names_that_make_no_order(name, settings, words):
    with pytest.raises(ValueError, match=words):
        orders.make(name, 6, **settings)


def test_a_name_is_no_order_but_makes_one():
    with pytest.raises(ValueError, match=r"got 'tree'; .* pyarsimple.orders.make\('tree', 3\)"):
        orders.check_order("tree", 3)


def test_order_mixture_is_found_here():
    from pyarsimple.mixtures import OrderMixture

    assert orders.OrderMixture is OrderMixture
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        orders.nothing  # noqa: B018


# The page.

PAGE = Path(__file__).resolve().parent.parent / "docs" / "orders.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="the page is not here")
def test_the_page_shows_the_orders_as_they_are():
    page = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"`([a-z-]+)`", page.split("|---|---|---|")[1].split("\n\n")[0])) >= set(
        orders.NAMES
    )
    names, *lines = page.split("Positions of the pixels")[1].split("```")[1].strip().splitlines()
    cells = np.array([[int(n) for n in line.split()] for line in lines])  # (4, 6 * 4)
    for k, name in enumerate(names.split()):
        order = orders.make(name, 16, image_shape=(4, 4), rng=0)
        shown = cells[:, 4 * k : 4 * k + 4]
        assert shown.tolist() == orders.inverse(order).reshape(4, 4).tolist(), name
