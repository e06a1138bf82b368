"""Promises of the baselines: `fit` counts right and finds the best, and its mistakes are caught.

That they are the distributions which they say they are, with exact gradients and samples, is tested
with all other models, over the registry.
"""

import collections
import contextlib
import importlib
import io
import itertools
import json
import math
import re
import sys
from pathlib import Path

import definition
import numpy as np
import properties
import pytest
import registry
import scipy.linalg
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pyarsimple
from pyarsimple import autoregressive, information, orders, storage
from pyarsimple.baselines import (
    BernoulliMixture,
    ChowLiuTree,
    IndependentBernoulli,
    JointTable,
    MarkovChain,
    MultivariateGaussian,
    chow_liu,
    gaussian,
    joint,
    markov,
    mixture,
    tables,
)
from pyarsimple.conditionals import sigmoid
from pyarsimple.models import MODELS

CYCLE = registry.THREE_CYCLE[5]
CLASSES = {
    "independent": IndependentBernoulli,
    "markov-chain": MarkovChain,
    "chow-liu": ChowLiuTree,
    "bernoulli-mixture": BernoulliMixture,
    "joint-table": JointTable,
    "gaussian": MultivariateGaussian,
}
TABLES = ["independent", "markov-chain", "chow-liu", "joint-table"]


def dependent_bits(n=60, n_dims=5, seed=0):
    """Bits that depend on each other, of every value in every column."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, (n, 1))
    p = np.where(kind, rng.uniform(0.1, 0.9, n_dims), rng.uniform(0.1, 0.9, n_dims))
    return (rng.random((n, n_dims)) < p).astype(np.uint8)


def reals(n=70, n_dims=4, seed=0):
    """Numbers that depend on each other, of unlike means and widths."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, n_dims)) @ rng.normal(size=(n_dims, n_dims))
    return mixed * 10.0 ** rng.uniform(-2, 2, n_dims) + rng.normal(0, 5, n_dims)


def data_for(name, n=60):
    return reals(n, 5) if name == "gaussian" else dependent_bits(n)


#: Small rows of bits, any at all.
some_bits = st.integers(1, 5).flatmap(
    lambda D: hnp.arrays(
        np.uint8, st.tuples(st.integers(0, 12), st.just(D)), elements=st.integers(0, 1)
    )
)


# Counting.


def check_chain_counts(make=MarkovChain):
    """The conditionals are the shares in the data, counted by loops."""
    x = dependent_bits()
    for k, order, pseudocount in ((1, None, 1.0), (2, CYCLE, 1.0), (3, CYCLE, 0.25)):
        model = make(5, k, order=order).fit(x, pseudocount=pseudocount)
        order = list(model.order)
        p = model.conditionals(x)
        for n, row in enumerate(x):
            for i in range(5):
                before = order[max(0, order.index(i) - k) : order.index(i)]
                alike = [r for r in x if all(r[j] == row[j] for j in before)]
                ones = sum(int(r[i]) for r in alike)
                wanted = (ones + pseudocount) / (len(alike) + 2 * pseudocount)
                assert p[n, i] == pytest.approx(wanted, rel=1e-12)


def test_chain_counts():
    check_chain_counts()


def test_histories_that_never_occur_leave_a_fair_coin():
    x = np.zeros((9, 3), np.uint8)
    model = MarkovChain(3, 2).fit(x)
    assert model.conditionals([[1, 1, 0]])[0, 1:].tolist() == [0.5, 0.5]
    assert model.conditionals([[0, 0, 0]])[0] == pytest.approx([1 / 11] * 3, rel=1e-13)
    assert (model.params["T"][~model.masks()["T"]] == 0).all()


def check_joint_counts(make=JointTable):
    """Each row is as probable as it is frequent, one added to each count."""
    x = dependent_bits(40, 4)
    frequency = collections.Counter(map(tuple, x.tolist()))
    rows = registry.all_rows(4)
    for order in (None, registry.THREE_CYCLE[4], [3, 2, 1, 0]):
        for pseudocount in (1.0, 0.01):
            model = make(4, order=order).fit(x, pseudocount=pseudocount)
            wanted = [
                (frequency[tuple(row)] + pseudocount) / (40 + 16 * pseudocount)
                for row in rows.tolist()
            ]
            np.testing.assert_allclose(np.exp(model.log_prob(rows)), wanted, rtol=1e-12)


def test_joint_table_is_the_brute_force_count():
    check_joint_counts()


def pair_share(x, i, a, j, b, pseudocount):
    """p(x_i = a, x_j = b) with a pseudocount in each of the four cells, by a loop."""
    count = sum(1 for row in x.tolist() if row[i] == a and row[j] == b)
    return (count + pseudocount) / (len(x) + 4 * pseudocount)


def check_tree_counts(make=ChowLiuTree):
    """Along each edge it has the share of the pair, and at the root that of two cells together."""
    x = dependent_bits()
    for pseudocount in (1.0, 0.2):
        model = make(5, order=CYCLE).fit(x, pseudocount=pseudocount)
        root = model.order[0]
        assert root == CYCLE[0]
        p_root = (x[:, root].sum() + 2 * pseudocount) / (len(x) + 4 * pseudocount)
        p = model.conditionals(x)
        assert p[:, root] == pytest.approx([p_root] * len(x), rel=1e-12)
        for i, j in enumerate(model.parents):
            for n, row in enumerate(x) if j >= 0 else ():
                zero, one = (pair_share(x, i, a, j, row[j], pseudocount) for a in (0, 1))
                assert p[n, i] == pytest.approx(one / (zero + one), rel=1e-12)


def test_tree_counts():
    check_tree_counts()


@pytest.mark.parametrize("name", TABLES)
def test_no_rows_leave_fair_coins(name):
    model = CLASSES[name](4, rng=0).fit(np.zeros((0, 4)))
    assert model.log_prob(registry.all_rows(4)) == pytest.approx([-4 * math.log(2)] * 16)


@given(some_bits)
def test_fits_of_any_rows_are_densities(x):
    for name in (*TABLES, "bernoulli-mixture"):
        if name == "bernoulli-mixture" and not len(x):
            continue
        model = CLASSES[name](x.shape[1], order=np.arange(x.shape[1])[::-1], rng=0).fit(x)
        properties.check_normalised(model)
        assert all(np.isfinite(p).all() for p in model.params.values())


# One model in the guise of another.


def test_a_chain_of_order_zero_is_independent_bits():
    x = dependent_bits()
    chain, bits = MarkovChain(5, 0).fit(x), IndependentBernoulli(5).fit(x)
    np.testing.assert_allclose(chain.params["T"][:, 0], bits.params["b"], rtol=1e-14)
    assert chain.n_params == bits.n_params == 5


def test_a_tree_in_a_row_is_a_chain():
    x, generic = dependent_bits(), registry.make("markov-cycle-k2", k=1)
    tree = ChowLiuTree(6, order=generic.order)
    tree.params["T"][...] = generic.params["T"]
    rows = registry.all_rows(6)
    properties.same_bits(tree.log_prob(rows), generic.log_prob(rows), "log_prob")
    properties.same_bits(tree.sample(50, rng=0), generic.sample(50, rng=0), "samples")
    assert tree.n_params == generic.n_params == 2 * 6 - 1
    # Fitted to bits that form a chain they differ in the first bit's pseudocounts alone.
    x = chain_bits(5000)
    tree, chain = ChowLiuTree(6).fit(x), MarkovChain(6).fit(x)
    assert tree.parents.tolist() == [-1, 0, 1, 2, 3, 4]
    np.testing.assert_allclose(tree.params["T"][1:], chain.params["T"][1:], rtol=1e-12)


def chain_bits(n, n_dims=6, seed=1):
    """Each bit repeats the one before it with a chance of 0.8."""
    rng = np.random.default_rng(seed)
    changes = (rng.random((n, n_dims)) < 0.2).cumsum(axis=1)
    return (changes + rng.integers(0, 2, (n, 1))) % 2


def test_a_chain_that_sees_everything_is_the_full_table():
    D, order = 5, CYCLE
    chain, table = MarkovChain(D, D - 1, order=order), JointTable(D, order=order)
    assert chain.n_params == table.n_params == 2**D - 1
    table.params["T"][:] = np.random.default_rng(0).normal(size=2**D - 1)
    for k, i in enumerate(order):
        chain.params["T"][i, : 2**k] = table.params["T"][2**k - 1 : 2 ** (k + 1) - 1]
    rows = registry.all_rows(D)
    properties.same_bits(chain.log_prob(rows), table.log_prob(rows), "log_prob")
    properties.same_bits(chain.sample(50, rng=0), table.sample(50, rng=0), "samples")
    # And so are their fits, as the pseudocounts vanish.
    x = np.concatenate([rows, dependent_bits(200)])
    chain.fit(x, pseudocount=1e-9)
    table.fit(x, pseudocount=1e-9)
    np.testing.assert_allclose(chain.log_prob(rows), table.log_prob(rows), rtol=1e-7)


def test_a_mixture_of_one_kind_is_independent_bits():
    x = dependent_bits()
    one, bits = BernoulliMixture(5, 1, rng=0).fit(x), IndependentBernoulli(5).fit(x)
    assert one.params["w"].shape == (0,)
    np.testing.assert_allclose(one.params["M"][0], bits.params["b"], rtol=1e-13)
    np.testing.assert_allclose(one.log_prob(x), bits.log_prob(x), rtol=1e-13)


# The closed forms maximise: the gradient of the likelihood of data and pseudocounts is zero.


def pull_of_pseudocounts(model, pseudocount):
    """The gradient of -pseudocount * (log p + log(1 - p)), summed over the cells of each table."""
    grads = {}
    for name, p in model.params.items():
        cells = np.ones(p.shape)  # a cell may stand for several pseudocounts
        if model.name == "joint-table":
            depth = np.floor(np.log2(np.arange(1, p.size + 1)))
            cells = 2 ** (model.n_dims - 1 - depth)
        elif model.name == "chow-liu":
            cells[model.parents < 0] = [2, 0]
        elif name in model.masks():
            cells[~model.masks()[name]] = 0
        grads[name] = pseudocount * cells * (2 * sigmoid(p) - 1)
    return grads


@pytest.mark.parametrize("pseudocount", [1.0, 0.3])
@pytest.mark.parametrize("name", TABLES)
def test_closed_forms_are_where_the_gradient_is_zero(name, pseudocount):
    x = dependent_bits()
    settings = {"k": 2} if name == "markov-chain" else {}
    model = CLASSES[name](5, order=CYCLE, **settings).fit(x, pseudocount=pseudocount)
    grads, pull = model.nll_and_grads(x)[1], pull_of_pseudocounts(model, pseudocount)
    for key, g in grads.items():
        assert np.abs(len(x) * g).max() > 0.1  # the data pull, and the pseudocounts pull back
        np.testing.assert_allclose(len(x) * g + pull[key], 0, atol=1e-11)


def test_the_full_table_is_best_for_the_data_and_one_of_each_row():
    x, rows = dependent_bits(), registry.all_rows(5)
    model = JointTable(5, order=CYCLE).fit(x, pseudocount=0.3)
    weight = np.repeat([1.0, 0.3], [len(x), len(rows)])
    _, grads = model.nll_and_grads(np.concatenate([x, rows]), weight=weight)
    np.testing.assert_allclose(grads["T"], 0, atol=1e-14)


# Trees.


def tree_score(x, edges, pseudocount):
    """Mean log-likelihood of the smoothed pairs under their best tree with these edges."""
    total, degree = 0.0, collections.Counter(itertools.chain(*edges))
    for i, j in edges:
        for a, b in itertools.product((0, 1), repeat=2):
            p = pair_share(x, i, a, j, b, pseudocount)
            total += p * math.log(p)
    for i in range(x.shape[1]):
        for a in (0, 1):
            p = (np.sum(x[:, i] == a) + 2 * pseudocount) / (len(x) + 4 * pseudocount)
            total -= (degree[i] - 1) * p * math.log(p)
    return total


def all_trees(n_dims):
    """Every set of D - 1 edges without a circle."""
    edges = list(itertools.combinations(range(n_dims), 2))
    for chosen in itertools.combinations(edges, n_dims - 1):
        group = list(range(n_dims))
        for i, j in chosen:
            group = [group[i] if g == group[j] else g for g in group]
        if len(set(group)) == 1:
            yield chosen


def edges_of(model):
    return {(min(i, j), max(i, j)) for i, j in enumerate(model.parents.tolist()) if j >= 0}


def check_best_tree(make=ChowLiuTree):
    """Of all trees there are, the one found has the highest score; and that is its likelihood."""
    for seed in range(4):
        x = dependent_bits(50, 5, seed)
        scores = {frozenset(tree): tree_score(x, tree, 1.0) for tree in all_trees(5)}
        assert len(scores) == 5**3
        found = frozenset(edges_of(make(5).fit(x)))
        assert scores[found] == pytest.approx(max(scores.values()), rel=1e-12)
        assert max(scores.values()) - sorted(scores.values())[-2] > 1e-6  # there is one best
        model = make(5).fit(x, pseudocount=1e-9)
        best = max(tree_score(x, tree, 1e-9) for tree in all_trees(5))
        assert model.log_prob(x).mean() == pytest.approx(best, rel=1e-9)


def test_no_tree_is_better():
    check_best_tree()


def random_tree(n_dims, rng):
    return [-1, *(int(rng.integers(i)) for i in range(1, n_dims))]


@pytest.mark.parametrize("seed", range(3))
def test_a_tree_is_recovered_from_its_samples(seed):
    rng = np.random.default_rng(seed)
    truth = ChowLiuTree(9, random_tree(9, rng))
    truth.params["T"][...] = rng.uniform(-0.5, 0.5, (9, 1)) + np.array([-1.0, 1.0])
    x = truth.sample(20_000, rng=seed)
    model = ChowLiuTree(9).fit(x)
    assert edges_of(model) == edges_of(truth)
    held_out = truth.sample(20_000, rng=seed + 100)
    difference = truth.log_prob(held_out) - model.log_prob(held_out)
    assert abs(difference.mean()) < 0.005
    for other in (ChowLiuTree(9, random_tree(9, rng)) for _ in range(20)):
        if edges_of(other) != edges_of(truth):
            fit_to_structure(other, x)
            assert other.log_prob(held_out).mean() < model.log_prob(held_out).mean() - 0.02


def fit_to_structure(model, x):
    """The shares along the edges that a tree has already."""
    for i, j in enumerate(model.parents):
        for b in (0, 1) if j >= 0 else (0,):
            rows = x[x[:, j] == b] if j >= 0 else x
            model.params["T"][i, b] = np.log(rows[:, i].sum() + 1) - np.log(
                (1 - rows[:, i]).sum() + 1
            )


def test_any_variable_may_be_the_root():
    x, rows = dependent_bits(), registry.all_rows(5)
    first = ChowLiuTree(5).fit(x)
    for order in itertools.permutations(range(5)):
        model = ChowLiuTree(5, order=order).fit(x)
        assert model.order[0] == order[0] == np.flatnonzero(model.parents < 0)
        assert edges_of(model) == edges_of(first)
        np.testing.assert_allclose(model.log_prob(rows), first.log_prob(rows), rtol=1e-12)


def test_fitting_again_changes_nothing():
    x = dependent_bits()
    model = ChowLiuTree(5, order=CYCLE).fit(x)
    order, parents, T = model.order.copy(), model.parents.copy(), model.params["T"].copy()
    model.fit(x)
    assert (model.order == order).all()
    assert (model.parents == parents).all()
    properties.same_bits(model.params["T"], T, "T")


def test_the_order_stays_as_near_as_it_can():
    """Each next variable is the first one of the old order whose parent is there."""
    edges = np.array([[0, 3], [3, 1], [3, 2], [2, 4]])
    parents, order = chow_liu.direct(edges, np.array([4, 1, 0, 2, 3]), np.array([4]))
    assert order.tolist() == [4, 2, 3, 1, 0]
    assert parents.tolist() == [3, 3, 4, 2, -1]


def check_information():
    """Mutual informations are those of the textbook, by loops."""
    x = dependent_bits()
    found = chow_liu.mutual_information(chow_liu.pair_counts(x, np.ones(60)) + 0.5)
    for i, j in itertools.permutations(range(5), 2):
        wanted = 0.0
        for a, b in itertools.product((0, 1), repeat=2):
            p = pair_share(x, i, a, j, b, 0.5)
            p_a = sum(pair_share(x, i, a, j, c, 0.5) for c in (0, 1))
            p_b = sum(pair_share(x, i, c, j, b, 0.5) for c in (0, 1))
            wanted += p * math.log(p / (p_a * p_b))
        assert found[i, j] == pytest.approx(wanted, rel=1e-11)
    # Without pseudocounts it is that of `pyarsimple.information`, which takes other variables too.
    plain = chow_liu.mutual_information(chow_liu.pair_counts(x, np.ones(60)) + 1e-13)
    wanted = information.mutual_information(x)
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(plain[off], wanted[off], rtol=1e-9, atol=1e-12)


def test_mutual_information():
    check_information()


def test_a_tree_of_equal_weights_is_a_tree():
    """Of independent bits, and where no weight is above zero: SciPy takes a 0 for no edge."""
    for weights in (np.zeros((6, 6)), np.full((6, 6), -1.0), np.ones((6, 6))):
        edges = chow_liu.spanning_tree(weights)
        parents, order = chow_liu.direct(edges, np.arange(6), np.array([0]))
        assert len(edges) == 5
        assert sorted(order) == list(range(6))
        assert (parents >= 0).sum() == 5
    constant = ChowLiuTree(6).fit(np.zeros((20, 6)))
    assert constant.n_params == 11


def test_the_weights_of_a_tree_may_differ_by_less_than_scipy_sees():
    weights = np.zeros((4, 4))
    weights[0, 3], weights[1, 3], weights[2, 3] = 3e-12, 2e-12, 1e-12
    assert sorted(map(tuple, chow_liu.spanning_tree(weights).tolist())) == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize(
    ("parents", "words"),
    [
        ([-1, 0], r"parents must be 3 whole numbers .*shape \(2,\)"),
        ([-1, 0, 0, 0], r"shape \(4,\)"),
        ([-1.0, 0.0, 1.0], "got an array of dtype float64"),
        ([-1, 0, 3], r"from -1 \(a root\) to 2, got 3"),
        ([-2, 0, 1], "got -2"),
        ([0, 0, 1], "parents must lead to a root, but from variable 0 they never do"),
        ([-1, 2, 1], "from variable 1 they never do"),
        ([-1, 0, 2], "from variable 2 they never do"),
        ([[-1], [0, 1]], "parents must be 3 whole numbers"),
        ("chain", "parents must be 3 whole numbers"),
    ],
)
def test_parents_that_are_no_tree(parents, words):
    with pytest.raises(ValueError, match=words):
        ChowLiuTree(3, parents)


def test_an_order_must_have_parents_first():
    with pytest.raises(ValueError, match="but 2, the parent of 0, comes later"):
        ChowLiuTree(3, [2, -1, 1], order=[1, 0, 2])
    assert ChowLiuTree(3, [2, -1, 1]).order.tolist() == [1, 2, 0]
    assert ChowLiuTree(4, [-1, 3, 0, -1]).order.tolist() == [0, 2, 3, 1]
    assert ChowLiuTree(3, order=[2, 0, 1]).parents.tolist() == [2, 0, -1]
    with pytest.raises(ValueError, match="read-only"):
        ChowLiuTree(3).parents[0] = 1
    parents = np.array([-1, 0, 1])
    model = ChowLiuTree(3, parents)
    parents[:] = 0
    assert model.parents.tolist() == [-1, 0, 1]


def test_forests_have_a_parameter_less_for_each_root():
    assert ChowLiuTree(5, [-1, -1, -1, -1, -1]).n_params == 5
    assert ChowLiuTree(5, [-1, 0, -1, 2, 3]).n_params == 8


# What is too large.


def test_a_table_too_large_says_how_large():
    words = r"n_dims must be at most 24 .* got 30: .* 2\^30 - 1 = 1,073,741,823 parameters"
    with pytest.raises(ValueError, match=words):
        JointTable(30)
    words = r"2\^784 - 1, a number of 237 digits, parameters; a ChowLiuTree needs 1,567"
    with pytest.raises(ValueError, match=words):
        JointTable(784)
    assert len(str(2**784 - 1)) == 237
    assert JointTable.param_shapes(n_dims=24) == {"T": (2**24 - 1,)}
    with pytest.raises(ValueError, match=r"got k=20: 784 variables, each with 2\^20 histories"):
        MarkovChain(784, 20)
    with pytest.raises(ValueError, match=r"k must be small enough for a table of 16,777,216"):
        MarkovChain(10**6, 10**30)
    assert MarkovChain.param_shapes(n_dims=784, k=14) == {"T": (784, 2**14)}


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: MarkovChain(5, -1), ValueError, "k must be at least 0, got -1"),
        (lambda: MarkovChain(5, 1.0), TypeError, "k must be a whole number, got 1.0"),
        (lambda: MarkovChain(5, True), TypeError, "k must be a whole number"),
        (lambda: BernoulliMixture(5, 0), ValueError, "n_components must be at least 1, got 0"),
        (lambda: BernoulliMixture(5, "3"), TypeError, "n_components must be a whole number"),
        (lambda: MultivariateGaussian(5, min_scale=0), ValueError, "min_scale must be"),
        (lambda: MultivariateGaussian(5, min_scale="1"), ValueError, "min_scale must be"),
    ],
)
def test_settings_are_checked(make, error, words):
    with pytest.raises(error, match=words):
        make()


# fit.


@pytest.mark.parametrize("pseudocount", [0, -1.0, math.nan, math.inf, "1", None, True])
@pytest.mark.parametrize("name", CLASSES)
def test_pseudocounts_must_be_positive(name, pseudocount):
    model = CLASSES[name](5, rng=0)
    before = {key: p.copy() for key, p in model.params.items()}
    with pytest.raises(ValueError, match="pseudocount must be above 0"):
        model.fit(data_for(name), pseudocount=pseudocount)
    for key, p in model.params.items():
        properties.same_bits(p, before[key], key)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.ones((3, 4)), ValueError, "x must be an array of .*got 4 columns"),
        (np.ones(5), ValueError, r"got shape \(5,\)"),
        (np.array([[0, 1, 0, np.nan, 1]]), ValueError, "got nan in row 0, column 3"),
        ([["0"] * 5], TypeError, "got dtype <U1"),
    ],
)
def test_fit_refuses_what_log_prob_refuses(name, x, error, words):
    model = CLASSES[name](5)
    with pytest.raises(error, match=words):
        model.fit(x)


@pytest.mark.parametrize("name", ["bernoulli-mixture", "gaussian"])
def test_fits_that_need_rows(name):
    with pytest.raises(ValueError, match="x has no rows"):
        CLASSES[name](5).fit(np.zeros((0, 5)))


@pytest.mark.parametrize("name", CLASSES)
def test_fit_writes_into_the_live_parameters_and_nothing_else(name):
    x = data_for(name)
    x.flags.writeable = False
    model = CLASSES[name](5, order=CYCLE, rng=0)
    arrays, attributes = {key: id(p) for key, p in model.params.items()}, set(vars(model))
    assert model.fit(x) is model
    assert {key: id(p) for key, p in model.params.items()} == arrays
    assert set(vars(model)) == attributes
    assert all(np.isfinite(p).all() for p in model.params.values())
    model.log_prob(x)
    model.params.popitem()
    with pytest.raises(ValueError, match="params must have the keys"):
        model.fit(x)


@pytest.mark.parametrize("name", CLASSES)
def test_a_weight_is_as_good_as_so_many_rows(name):
    x, weight = data_for(name, 40), np.arange(40) % 4  # some rows count for nothing
    settings = {"max_iterations": 20, "tolerance": 0} if name == "bernoulli-mixture" else {}
    weighted, repeated = (CLASSES[name](5, order=CYCLE, rng=0) for _ in range(2))
    assert weighted.fit(x, weight=weight, **settings) is weighted
    repeated.fit(np.repeat(x, weight, axis=0), **settings)
    assert weighted.config() == repeated.config()
    for key, p in weighted.params.items():
        np.testing.assert_allclose(p, repeated.params[key], rtol=1e-9, atol=1e-10)
    plain = CLASSES[name](5, order=CYCLE, rng=0).fit(x, **settings)
    assert any(np.abs(p - plain.params[key]).max() > 1e-3 for key, p in weighted.params.items())
    # The weights are counts: a tenth of each leaves less to outweigh the pseudocounts.
    tenth = CLASSES[name](5, order=CYCLE, rng=0).fit(x, weight=weight / 10, **settings)
    assert any(np.abs(p - weighted.params[key]).max() > 1e-3 for key, p in tenth.params.items())
    for wrong in (weight[1:], -weight, 0 * weight, weight * np.nan, "heavy"):
        with pytest.raises(ValueError, match="weight must be"):
            plain.fit(x, weight=wrong)


@pytest.mark.parametrize("name", TABLES)
def test_weighted_fits_are_where_the_weighted_gradient_is_zero(name):
    x, weight = dependent_bits(), np.random.default_rng(3).uniform(0, 3, 60)
    model = CLASSES[name](5, order=CYCLE).fit(x, weight=weight)
    _, grads = model.nll_and_grads(x, weight=weight)
    pull = pull_of_pseudocounts(model, 1.0)
    for key, g in grads.items():
        np.testing.assert_allclose(weight.sum() * g + pull[key], 0, atol=1e-10)


@pytest.mark.parametrize("name", CLASSES)
def test_fit_takes_any_array(name):
    x = data_for(name)
    wanted = CLASSES[name](5, order=CYCLE, rng=0).fit(x)
    forms = [x.tolist(), np.asfortranarray(x), x.astype(np.float64), np.repeat(x, 2, 0)[::2]]
    if name != "gaussian":
        forms += [x.astype(bool), x.astype(np.float16), x.astype(">i8")]
    for form in forms:
        found = CLASSES[name](5, order=CYCLE, rng=0).fit(form)
        for key, p in found.params.items():
            np.testing.assert_allclose(p, wanted.params[key], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", CLASSES)
def test_fit_in_float32_is_that_in_float64_rounded(name):
    x = data_for(name)
    single, double = (CLASSES[name](5, order=CYCLE, dtype=d) for d in ("float32", "float64"))
    for key, p in double.params.items():  # where EM starts
        single.params[key][...] = p = single.params[key]
        double.params[key][...] = p
    single.fit(x)
    double.fit(x)
    for key, p in single.params.items():
        assert p.dtype == np.float32
        np.testing.assert_allclose(p, double.params[key], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", CLASSES)
def test_fit_takes_rows_a_block_at_a_time(name, monkeypatch):
    x = data_for(name)
    wanted = CLASSES[name](5, rng=0).fit(x)
    for limit in (1, 1000):
        monkeypatch.setattr(autoregressive, "MEMORY_LIMIT", limit)
        found = CLASSES[name](5, rng=0).fit(x)
        for key, p in found.params.items():
            np.testing.assert_allclose(p, wanted.params[key], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", CLASSES)
def test_what_was_fitted_comes_back_from_a_file(name, tmp_path):
    x = data_for(name)
    model = CLASSES[name](5, order=CYCLE, rng=0).fit(x)
    model.save(tmp_path / "model.npz")
    loaded = pyarsimple.load(tmp_path / "model.npz")
    assert type(loaded) is type(model)
    assert loaded.config() == model.config()
    assert repr(loaded) == repr(model)
    properties.same_bits(loaded.log_prob(x), model.log_prob(x), "log_prob")
    properties.same_bits(loaded.sample(9, rng=0), model.sample(9, rng=0), "samples")


@pytest.mark.parametrize(
    ("model", "key", "values"),
    [
        (MarkovChain(4, 2), "k", [-1, 1, 3, 2.0, True, 10**30, None, "2", [2]]),
        (ChowLiuTree(3), "parents", [None, [-1, 0], [0, 0, 1], [-1.0, 0.0, 1.0], [1, -1, 1], "x"]),
        (ChowLiuTree(2), "parents", [[-1, False], {"0": -1}, [[-1], [0]], [-1, 10**30]]),
        (BernoulliMixture(3, 2), "n_components", [1, 3, 2.0, True, 0, -1, 10**30, None]),
        (JointTable(2), "n_dims", [3, 1, True, 2.0, 10**6, -2]),
        (MultivariateGaussian(3), "min_scale", [0, "1", None, -1.0, 1e999, [1]]),
    ],
)
def test_files_with_wrong_settings_are_refused(model, key, values, tmp_path):
    path = tmp_path / "forged.npz"
    config = model.config()
    for value in [config[key], *values]:
        content = {"class": model.name, "config": config | {key: value}}
        if value == math.inf:
            continue  # which no file can hold
        storage.write_file(path, "model", content, model.params)
        if value is config[key]:
            storage.load(path)
        else:
            with pytest.raises(ValueError, match="cannot read"):
                storage.load(path)


@pytest.mark.parametrize("name", sorted({*CLASSES} - {"independent"}))
def test_what_has_no_biases_is_not_initialised_by_them(name):
    with pytest.raises(TypeError, match="has no biases of its outputs to start from"):
        CLASSES[name](5).initialize_from(data_for(name))


# Expectation maximisation.


def check_em_climbs(steps=25):
    """No step of EM lowers the likelihood of data and pseudocounts."""
    for seed, K, pseudocount in ((0, 2, 1.0), (1, 5, 0.1), (2, 9, 3.0), (3, 3, 1e-9), (4, 1, 1.0)):
        x, rng = dependent_bits(30, 6, seed), np.random.default_rng(seed)
        path = mixture.em(
            x, np.ones(30), rng.normal(size=K - 1), rng.normal(size=(K, 6)), pseudocount
        )
        values = [next(path)[0] for _ in range(steps)]
        rounding = 1e-10 * abs(values[0])
        assert (np.diff(values) >= -rounding).all(), f"EM lowered the likelihood: {values}"
        assert values[-1] > values[0] + 1


def test_em_never_lowers_the_likelihood():
    check_em_climbs()


def test_em_climbs_what_it_says_that_it_climbs():
    x = dependent_bits(30, 6)
    model = BernoulliMixture(6, 3, rng=0)
    model.params["w"][:] = [0.4, -0.7]
    w, M = model.params.values()
    value, *_ = next(mixture.em(x, np.ones(30), w, M, 0.5))
    pi = np.exp(np.append(0, w)) / np.exp(np.append(0, w)).sum()
    mu = 1 / (1 + np.exp(-M))
    prior = 0.5 * (np.log(pi).sum() + np.log(mu).sum() + np.log(1 - mu).sum())
    assert value == pytest.approx(model.log_prob(x).sum() + prior, rel=1e-12)


def check_em_ends_at_a_maximum(pseudocount=0.7):
    """There the gradient of the likelihood of data and pseudocounts is zero."""
    x = dependent_bits(80, 6)
    model = BernoulliMixture(6, 3, rng=0)
    model.fit(x, pseudocount=pseudocount, max_iterations=20_000, tolerance=0)
    grads = model.nll_and_grads(x)[1]
    w, M = model.params.values()
    pi = np.exp(np.append(0, w)) / np.exp(np.append(0, w)).sum()
    pull = {"w": pseudocount * (3 * pi - 1)[1:], "M": pseudocount * (2 * sigmoid(M) - 1)}
    for key, g in grads.items():
        assert np.abs(len(x) * g).max() > 0.01
        np.testing.assert_allclose(len(x) * g + pull[key], 0, atol=1e-5)


def test_em_ends_where_the_gradient_is_zero():
    check_em_ends_at_a_maximum()


def test_a_mixture_is_recovered_from_its_samples():
    truth = BernoulliMixture(8, 3)
    truth.params["w"][:] = [0.5, -0.5]
    truth.params["M"][:] = 2.5 * np.random.default_rng(0).choice([-1, 1], (3, 8))
    x, held_out = truth.sample(5000, rng=1), truth.sample(5000, rng=2)
    model = BernoulliMixture(8, 3, rng=3).fit(x, restarts=4, rng=4)
    assert model.n_params == truth.n_params == 3 * 8 + 2
    assert abs((truth.log_prob(held_out) - model.log_prob(held_out)).mean()) < 0.01
    one = IndependentBernoulli(8).fit(x)
    assert model.log_prob(held_out).mean() > one.log_prob(held_out).mean() + 0.5


def test_restarts_keep_the_best():
    x = dependent_bits(60, 9, seed=5)
    for seed in range(5):
        one = BernoulliMixture(9, 4, rng=seed).fit(x)
        best = BernoulliMixture(9, 4, rng=seed).fit(x, restarts=6, rng=seed)
        assert best.log_prob(x).mean() >= one.log_prob(x).mean() - 1e-9
        again = BernoulliMixture(9, 4, rng=seed).fit(x, restarts=6, rng=seed)
        properties.same_bits(again.params["M"], best.params["M"], "M")
    found = {
        round(BernoulliMixture(9, 4, rng=0).fit(x, restarts=1, rng=r).log_prob(x).mean(), 6)
        for r in range(8)
    }
    assert len(found) > 1


def test_fitting_a_mixture_again_goes_on():
    x = dependent_bits(60, 9)
    model = BernoulliMixture(9, 4, rng=0).fit(x, max_iterations=2, pseudocount=1e-9)
    before = model.log_prob(x).mean()
    assert model.fit(x, pseudocount=1e-9).log_prob(x).mean() > before + 0.001


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"restarts": -1}, ValueError, "restarts must be at least 0, got -1"),
        ({"restarts": 1.5}, TypeError, "restarts must be a whole number"),
        ({"max_iterations": 0}, ValueError, "max_iterations must be at least 1"),
        ({"tolerance": -1}, ValueError, "tolerance must be a number at least 0"),
        ({"tolerance": math.nan}, ValueError, "tolerance must be a number"),
    ],
)
def test_settings_of_em_are_checked(settings, error, words):
    with pytest.raises(error, match=words):
        BernoulliMixture(5, 2).fit(dependent_bits(), **settings)


def test_a_mixture_is_the_sum_over_its_kinds():
    """The product of conditionals is the sum that the model is named for; in any order."""
    model = registry.make("mixture-cycle")
    x = registry.all_rows(6)
    w, M = np.append(0, model.params["w"]), model.params["M"]
    mu = 1 / (1 + np.exp(-M))
    of_kinds = np.prod(np.where(x[:, np.newaxis], mu, 1 - mu), axis=2)  # (N, K)
    wanted = of_kinds @ (np.exp(w) / np.exp(w).sum())
    np.testing.assert_allclose(np.exp(model.log_prob(x)), wanted, rtol=1e-12)
    natural = BernoulliMixture(6, 4)
    for key, p in model.params.items():
        natural.params[key][...] = p
    np.testing.assert_allclose(np.exp(natural.log_prob(x)), wanted, rtol=1e-12)


def far_kinds():
    """Kinds so unlike that a row of one is impossible in another, to any float."""
    model = registry.make("mixture-cycle")
    signs = np.random.default_rng(4).choice([-1, 1], (4, 6))
    model.params["M"][:] = signs * np.array([[1000], [300], [800], [1]])
    model.params["w"][:] = [-700, 30, -1500]
    return model


def check_far_kinds(model):
    """As exact as the definition, to rounding of the largest number that comes up."""
    x = registry.all_rows(6)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        log_p, outputs = model.log_conditionals(x), model.forward(x)[0]
        nll, grads = model.nll_and_grads(x)
        drawn = model.sample(300, rng=0)
    wanted = properties.defined(model, lambda name, *rest: definition.OUTPUTS[name](*rest))
    np.testing.assert_allclose(outputs, wanted, rtol=1e-10, atol=1e-9)
    wanted = properties.defined(model, definition.log_conditionals)
    np.testing.assert_allclose(log_p, wanted, rtol=1e-10, atol=1e-9)
    assert nll == pytest.approx(-wanted.sum(axis=1).mean(), rel=1e-10)
    assert all(np.isfinite(g).all() for g in grads.values())
    assert np.isfinite(model.log_prob(drawn)).all()


def test_kinds_that_exclude_each_other():
    check_far_kinds(far_kinds())
    properties.check_sequential(far_kinds())


# The Gaussian.


def fitted_gaussian(order=None, pseudocount=1.0, **settings):
    return MultivariateGaussian(4, order=order, **settings).fit(reals(), pseudocount=pseudocount)


def smoothed(x, pseudocount):
    mu, covariance = x.mean(axis=0), np.cov(x.T, bias=True)
    scale = np.full(covariance.shape, len(x) / (len(x) + pseudocount))
    np.fill_diagonal(scale, 1)
    return mu, covariance * scale


def check_gaussian_density(make=fitted_gaussian):
    """In any order it is SciPy's density of the mean and covariance of the data."""
    x = reals()
    for order in (None, [1, 2, 0, 3], [3, 2, 1, 0]):
        for pseudocount in (1.0, 20.0):
            mu, covariance = smoothed(x, pseudocount)
            wanted = scipy.stats.multivariate_normal(mu, covariance).logpdf(x)
            model = make(order, pseudocount)
            np.testing.assert_allclose(model.log_prob(x), wanted, rtol=1e-9)


def test_gaussian_density():
    check_gaussian_density()


def check_gaussian_conditionals(make=fitted_gaussian):
    """Mean and scale of each variable are those of the textbook: regression on what is before."""
    x, order = reals(), [1, 2, 0, 3]
    mu, S = smoothed(x, 1.0)
    decoded = make(order).conditionals(x)
    for k, i in enumerate(order):
        before = order[:k]
        weights = np.linalg.solve(S[np.ix_(before, before)], S[before, i]) if k else np.zeros(0)
        mean = mu[i] + (x[:, before] - mu[before]) @ weights
        np.testing.assert_allclose(
            decoded["mean"][:, i], mean, rtol=1e-8, atol=1e-9 * S[i, i] ** 0.5
        )
        variance = S[i, i] - weights @ S[before, i]
        np.testing.assert_allclose(decoded["scale"][:, i] ** 2, variance, rtol=1e-9)


def test_gaussian_conditionals():
    check_gaussian_conditionals()


def test_gaussian_fit_is_where_the_gradient_is_zero():
    """With the pseudocount as rows on the axes about the mean, of the variances of the data."""
    x, pseudocount = reals(), 3.0
    mu, sigma, D = x.mean(axis=0), x.std(axis=0), 4
    axes = math.sqrt(D) * np.diag(sigma)
    rows = np.concatenate([x, mu + axes, mu - axes])
    weight = np.repeat([1.0, pseudocount / (2 * D)], [len(x), 2 * D])
    model = fitted_gaussian([1, 2, 0, 3], pseudocount)
    _, grads = model.nll_and_grads(rows, weight=weight)
    _, elsewhere = model.nll_and_grads(x)
    size = {"W": sigma / sigma[:, np.newaxis], "b": 1 / sigma, "s": 1}
    for key, g in grads.items():
        assert np.abs(g / size[key]).max() < 1e-9
        if key != "b":
            assert np.abs(elsewhere[key] / size[key]).max() > 1e-3


def whiten(x, mu, covariance):
    return np.linalg.solve(np.linalg.cholesky(covariance), (x - mu).T).T


def looks_normal(e):
    """Independent standard normal numbers: each column, and the squared length of the rows."""
    p = [scipy.stats.kstest(column, "norm").pvalue for column in e.T]
    p.append(scipy.stats.kstest((e**2).sum(axis=1), scipy.stats.chi2(e.shape[1]).cdf).pvalue)
    correlation = np.abs(np.corrcoef(e.T) - np.eye(e.shape[1])).max()
    return min(p) > 1e-4 and correlation < 4.5 / math.sqrt(len(e))


def check_gaussian_samples(make=fitted_gaussian):
    """Samples have the mean and the covariance of the data; completions those of what is left."""
    mu, S = smoothed(reals(), 1.0)
    model = make([1, 2, 0, 3])
    x = model.sample(4000, rng=0)
    assert x.dtype == np.float64
    assert looks_normal(whiten(x, mu, S))
    assert not looks_normal(whiten(x, mu, S * 1.2))
    known, rest = [1, 2], [0, 3]
    given = np.where(np.isin(range(4), known), mu + np.sqrt(S.diagonal()), np.nan)
    x = model.sample(4000, given=given, observed=np.isin(range(4), known), rng=1)
    assert (x[:, known] == given[known]).all()
    gain = np.linalg.solve(S[np.ix_(known, known)], S[np.ix_(known, rest)]).T
    mean = mu[rest] + gain @ (given - mu)[known]
    left = S[np.ix_(rest, rest)] - gain @ S[np.ix_(known, rest)]
    assert looks_normal(whiten(x[:, rest], mean, left))


def test_gaussian_samples():
    check_gaussian_samples()


def test_gaussian_parameters_are_counted():
    """Means and covariances: D + D (D + 1) / 2."""
    assert MultivariateGaussian(4).n_params == 4 + 10
    assert MultivariateGaussian(1).n_params == 2


def test_gaussian_of_one_variable_and_of_few_rows():
    x = reals(30, 1)
    wanted = scipy.stats.norm(x.mean(), x.std()).logpdf(x[:, 0])
    np.testing.assert_allclose(MultivariateGaussian(1).fit(x).log_prob(x), wanted, rtol=1e-11)
    few = MultivariateGaussian(9).fit(reals(3, 9))
    assert np.isfinite(few.log_prob(reals(5, 9, seed=1))).all()


def test_gaussian_needs_columns_that_vary():
    with pytest.raises(ValueError, match="x must have two rows at least, got one sample"):
        MultivariateGaussian(4).fit(reals(1))
    x = reals()
    x[:, 2] = 0.1
    with pytest.raises(ValueError, match="in its 70 rows column 2 is constant"):
        MultivariateGaussian(4).fit(x)
    x[:, 2] = x[:, 1]
    with pytest.raises(ValueError, match="singular to rounding"):
        MultivariateGaussian(4).fit(x, pseudocount=1e-300)
    twice = MultivariateGaussian(4).fit(x)
    assert twice.conditionals(x)["scale"][0, 2] < 0.2 * x[:, 2].std()


def test_the_floor_of_a_gaussian():
    x = reals()
    model = fitted_gaussian(min_scale=50.0)
    assert model.config()["min_scale"] == 50.0
    assert (model.conditionals(x)["scale"] >= 50.0).all()


# Planted bugs: each check above is seen to fail, and those of the registry with these models.


def history_by_the_order(patch):
    """``order`` where its inverse is meant; no swap would show it."""
    patch(markov, "inverse", lambda order: order)


def history_backwards(patch):
    """The parallel view and the fit agree with each other, but not with the sequential view."""

    def backwards(bits, order, k):
        h = markov_histories(bits, order, k)
        return sum(((h >> j) & 1) << (k - 1 - j) for j in range(k)) if k else h

    patch(markov, "histories", backwards)


def history_one_late(patch):
    """The k bits before the last one."""
    patch(markov, "histories", lambda bits, order, k: markov_histories(bits, order, k + 1) >> 1)


def history_never_forgets(patch):
    def advance(self, i, x_i):
        self.h = np.minimum(2 * self.h + (x_i[:, 0] != 0), self.width - 1)

    patch(markov.MarkovState, "_advance", advance)


def prefix_without_its_bit(patch):
    def advance(self, i, x_i):
        self.entry = 2 * self.entry + 1

    patch(joint.JointState, "_advance", advance)


def gradient_of_the_last_row_alone(patch):
    """Fancy assignment keeps the last value of an entry that is read twice."""

    def assigned(d_logits, T, entries):
        dT = np.zeros(T.size)
        dT[entries] = d_logits
        return dT.reshape(T.shape).astype(T.dtype)

    patch(tables, "look_up_backward", assigned)


def root_looks_at_the_last_variable(patch):
    """-1 is an index too."""
    patch(chow_liu, "entries", lambda bits, parents: 2 * np.arange(len(parents)) + bits[:, parents])


def worst_tree(patch):
    patch(chow_liu, "spanning_tree", lambda weights: chow_liu_tree(-weights))


def ones_in_common_as_weight(patch):
    """How often both are 1: of frequent bits, dependent or not."""
    patch(chow_liu, "mutual_information", lambda counts: counts[1, 1] / counts.sum(axis=(0, 1)))


def information_without_the_second_share(patch):
    def wrong(counts):
        p = counts / counts.sum(axis=(0, 1))
        return (p * np.log(p / p.sum(axis=1, keepdims=True) ** 2)).sum(axis=(0, 1))

    patch(chow_liu, "mutual_information", wrong)


def pairs_transposed(patch):
    """Symmetric in what is counted, so the tree is right and its conditionals are not."""
    patch(chow_liu, "pair_counts", lambda *x: pair_counts(*x).transpose(1, 0, 2, 3))


def pseudocount_for_each_prefix(patch):
    def fit(self, x, *, pseudocount=1.0):
        chain = MarkovChain(self.n_dims, self.n_dims, order=self.order)
        chain.fit(x, pseudocount=pseudocount)
        rows = registry.all_rows(self.n_dims)
        outputs, entries = chain.forward(rows)[0], self._entries(rows != 0)
        self.params["T"][entries] = outputs
        return self

    patch(JointTable, "fit", fit)


def kinds_never_learnt(patch):
    """The shares of the kinds, and not their posterior, in each conditional."""
    patch(
        mixture,
        "prefix_log_p",
        lambda x, w, M: np.repeat(prefix_log_p(x, w, M)[:, :1], x.shape[1], axis=1),
    )


def kinds_know_the_answer(patch):
    """The posterior is that of the row with the bit that is to be predicted."""

    def late(x, w, M):
        a = prefix_log_p(np.append(x, x[:, :1], axis=1), w, np.append(M, M[:, :1], axis=1))
        return a[:, 1:]

    patch(mixture, "prefix_log_p", late)


def logits_averaged(patch):
    """Sums to one all the same, and is the wrong model."""

    def averaged(a, m, scratch=None):
        return (mixture.softmax(a) * m).sum(axis=-1)

    patch(mixture, "predict", averaged)


def gradient_without_the_posterior(patch):
    """The kinds' shares before each bit are held fixed."""

    def fixed(d_logits, x, w, M):
        a = prefix_log_p(x, w, M)
        if_0, if_1 = (
            mixture.softmax(a - np.log1p(np.exp(M.T))),
            mixture.softmax(a - np.log1p(np.exp(-M.T))),
        )
        d = d_logits[:, :, np.newaxis]
        dM = (d * (if_1 * sigmoid(-M.T) + if_0 * sigmoid(M.T))).sum(axis=0).T
        return (d * (if_1 - if_0)).sum(axis=(0, 1))[1:], dM

    patch(mixture, "mixture_backward", fixed)


def kinds_that_underflow(patch):
    """Without the sum of logs where all products are 0."""
    patch(mixture, "log_sum_exp", lambda a: np.zeros(a.shape[:-1]))


def em_counts_all_zeros(patch):
    """Zeros of all rows, where those of the kind are meant."""
    patch(mixture, "maximise", lambda n, ones, c: maximise(np.full_like(n, n.sum()), ones, c))


def em_forgets_pseudocounts(patch):
    patch(mixture, "maximise", lambda n, ones, c: maximise(n, ones, 1e-6))


def restarts_keep_the_last(patch):
    patch(mixture, "max", lambda tops, key: tops[-1])


def chain_counts_the_first_bit_too(patch):
    original = MarkovChain._entries

    def entries(self, bits):
        return original(self, np.roll(bits, 1, axis=0))  # the history of another row

    patch(MarkovChain, "_entries", entries)


def cholesky_in_the_data_s_order(patch):
    patch(
        gaussian.np, "ix_", lambda *orders: tuple(np.meshgrid(*map(np.sort, orders), indexing="ij"))
    )


def variance_as_scale(patch):
    original = gaussian.Gaussian.raw
    patch(gaussian.Gaussian, "raw", lambda self, scale: original(self, scale**2))


def transposed_factor(patch):
    patch(
        scipy.linalg, "cholesky", lambda S, lower: np.linalg.cholesky(S[::-1, ::-1])[::-1, ::-1].T
    )


def gaussian_sees_ahead(patch):
    patch(gaussian, "precedes", lambda order: orders.precedes(order[::-1]))


def gaussian_gradient_transposed(patch):
    def wrong(d_outputs, x, order):
        dW, db, ds = gaussian_backward(d_outputs, x, order)
        return dW.T, db, ds

    patch(gaussian, "gaussian_backward", wrong)


def gaussian_state_stands_still(patch):
    patch(gaussian.GaussianState, "_advance", lambda self, i, x_i: None)


# What the bugs replace.
markov_histories, chow_liu_tree, pair_counts = (
    markov.histories, chow_liu.spanning_tree, chow_liu.pair_counts,
)  # fmt: skip
prefix_log_p, maximise = mixture.prefix_log_p, mixture.maximise
gaussian_backward = gaussian.gaussian_backward


def on(case, check):
    def of_the_case():
        check(registry.make(case))

    of_the_case.__name__ = f"{check.__name__} of {case}"
    return of_the_case


def named(name):
    """A test above that takes nothing, as a check."""
    return globals()[name]


BUGS = [
    (history_by_the_order, on("markov-cycle-k2", properties.check_definition)),
    (history_by_the_order, check_chain_counts),
    (history_backwards, on("markov-cycle-k2", properties.check_sequential)),
    (history_one_late, on("markov-cycle-k2", properties.check_causality)),
    (history_never_forgets, on("markov-cycle-k2", properties.check_uniforms)),
    (prefix_without_its_bit, on("joint-cycle", properties.check_sampler)),
    (gradient_of_the_last_row_alone, on("tree-cycle", properties.check_gradients)),
    (gradient_of_the_last_row_alone, on("joint-cycle", properties.check_backward)),
    (root_looks_at_the_last_variable, on("tree-cycle", properties.check_future_blind)),
    (root_looks_at_the_last_variable, on("tree-cycle", properties.check_masked)),
    (worst_tree, check_best_tree),
    (ones_in_common_as_weight, check_best_tree),
    (ones_in_common_as_weight, check_information),
    (information_without_the_second_share, check_information),
    (pairs_transposed, check_tree_counts),
    (pseudocount_for_each_prefix, check_joint_counts),
    (chain_counts_the_first_bit_too, check_chain_counts),
    (kinds_never_learnt, on("mixture-cycle", properties.check_causality)),
    (kinds_never_learnt, on("mixture-cycle", properties.check_sequential)),
    (kinds_know_the_answer, on("mixture-cycle", properties.check_future_blind)),
    (logits_averaged, on("mixture-cycle", properties.check_definition)),
    (gradient_without_the_posterior, on("mixture-cycle", properties.check_gradients)),
    (kinds_that_underflow, named("test_kinds_that_exclude_each_other")),
    (em_counts_all_zeros, check_em_climbs),
    (em_forgets_pseudocounts, check_em_ends_at_a_maximum),
    (restarts_keep_the_last, named("test_restarts_keep_the_best")),
    (cholesky_in_the_data_s_order, check_gaussian_density),
    (variance_as_scale, check_gaussian_density),
    (transposed_factor, check_gaussian_conditionals),
    (gaussian_sees_ahead, on("gaussian-cycle", properties.check_causality)),
    (gaussian_sees_ahead, on("gaussian-cycle", properties.check_definition)),
    (gaussian_gradient_transposed, on("gaussian-cycle", properties.check_gradients)),
    (gaussian_state_stands_still, on("gaussian-cycle", properties.check_sequential)),
    (gaussian_state_stands_still, check_gaussian_samples),
]


@pytest.mark.parametrize(("plant", "check"), BUGS, ids=lambda f: f.__name__.removeprefix("test_"))
def test_with_a_bug_the_check_fails(plant, check, monkeypatch):
    check()
    plant(lambda owner, name, value: monkeypatch.setattr(owner, name, value, raising=name != "max"))
    with pytest.raises(AssertionError):
        check()


def test_bugs_that_sum_to_one_all_the_same(monkeypatch):
    """Why normalisation alone is no test."""
    logits_averaged(monkeypatch.setattr)
    properties.check_normalised(registry.make("mixture-cycle"))
    kinds_never_learnt(monkeypatch.setattr)
    properties.check_normalised(registry.make("mixture-cycle"))


# The benchmark and the page.


@pytest.fixture(scope="module")
def benchmark():
    root = Path(__file__).resolve().parents[1]
    if not (root / "benchmarks" / "baselines.py").is_file():
        pytest.skip("the benchmarks are not here")
    sys.path.insert(0, str(root))
    return importlib.import_module("benchmarks.baselines")


def test_the_benchmark_scores_every_baseline(benchmark, tmp_path, capsys):
    x = dependent_bits(200, 6)
    data = {"train": x[:120], "valid": x[120:150], "test": x[150:]}
    out = tmp_path / "figures.json"
    line = ["--data", str(tmp_path), "--components", "2", "3", "--out", str(out), "--only", "nltcs"]
    found = []
    for test in (data["test"], 1 - data["test"]):
        np.savez(tmp_path / "nltcs.npz", **(data | {"test": test}))
        assert benchmark.main(line) == 0
        found.append(json.loads(out.read_text())["nltcs"])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 82
    assert "-6.759c" in shown  # the published figure, though these are other rows
    for a, b in zip(*found, strict=True):
        assert (a["chosen"], a["valid"]) == (b["chosen"], b["valid"])  # whatever the test rows are
        assert a["test"] != b["test"]
    of = {row["model"]: row for row in found[0]}
    assert len(found[0]) == 7
    tree = ChowLiuTree(6).fit(data["train"])
    assert of["Chow-Liu tree"]["test"] == pytest.approx(tree.log_prob(data["test"]).mean())
    assert of["Chow-Liu tree"]["n_params"] == of["Markov chain, k = 1"]["n_params"] == 11
    valid = [
        MarkovChain(6, k).fit(data["train"]).log_prob(data["valid"]).mean() for k in range(2, 6)
    ]
    assert of["Markov chain"]["valid"] == pytest.approx(max(valid))
    assert of["Markov chain"]["chosen"] == f", k = {2 + int(np.argmax(valid))}"
    assert benchmark.main([*line, "plants"]) == 1
    assert "left out: plants" in capsys.readouterr().err


BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def same_but_for_rounding(printed, expected):
    """The same words; numbers with a fraction within 0.03, for EM amplifies rounding."""
    a, b = printed.split(), expected.split()
    return len(a) == len(b) and all(
        p == q or ("." in q and abs(float(p.strip("[]")) - float(q.strip("[]"))) < 0.03)
        for p, q in zip(a, b, strict=True)
    )


def test_every_block_of_the_page_prints_what_stands_below_it():
    pytest.importorskip("sklearn")  # for the digits
    page = (Path(__file__).resolve().parents[1] / "docs" / "baselines.md").read_text("utf-8")
    blocks = BLOCK.findall(page)
    assert len(blocks) == page.count("```python") == page.count("```text") == 7
    names = {}
    for code, expected in blocks:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            exec(code, names)
        assert same_but_for_rounding(shown.getvalue(), expected), shown.getvalue()
    assert not same_but_for_rounding("a 1.00 7", "a 1.00 8")
    assert not same_but_for_rounding("a 1.00 7", "a 1.10 7")


def test_every_baseline_is_tried_here():
    of_ours = {name: cls for name, cls in MODELS.items() if "baselines" in cls.__module__}
    assert of_ours == CLASSES
    assert {cls.__name__ for cls in CLASSES.values()} == {*pyarsimple.baselines.__all__}
