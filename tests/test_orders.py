"""Promise: an order is a permutation, and its inverse is never taken for it."""

import math

import numpy as np
import properties
import pytest
import registry
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pyarsimple import orders

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
