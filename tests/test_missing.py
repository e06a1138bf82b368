"""Promise: any pattern of missing values is completed as the model says, and the method is named.

Judged by the definition: sums over all rows that there are.
"""

import copy
import itertools
import math
import warnings

import definition
import hypothesis
import numpy as np
import properties
import pytest
import registry
import scipy.stats
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pyarsimple import FVSBN, NADE, OrderAgnosticMADE, OrderlessNADE, missing, orders
from pyarsimple.baselines import (
    BernoulliMixture,
    ChowLiuTree,
    JointTable,
    MarkovChain,
    MultivariateGaussian,
    chow_liu,
    markov,
)
from pyarsimple.conditionals import Categorical, Gaussian, GaussianMixture, Mixed
from pyarsimple.missing import answers, methods, planning, results
from pyarsimple.models import MODELS

#: One of each model, and of what it can be made of: few, for each pattern is gone through.
SOME = [
    "independent", "fvsbn-cycle", "nade-cycle", "made-two-layers-direct", "made-random-narrow",
    "nade-cycle-float32", "nade-bits-context",
]  # fmt: skip
CLASSES = ["nade-classes", "made-classes", "fvsbn-classes-context"]


def patterns(D):
    return [np.array(pattern) for pattern in itertools.product([False, True], repeat=D)]


def with_nan(x, observed):
    return np.where(observed, x, np.nan)


def table(model):
    """All rows, and the probability of each by the definition."""
    x = registry.everything(model)
    return x, np.exp(properties.defined(model, definition.log_prob, x))


def inner_pattern(model):
    """The last of the order observed, and one more: there is something in the way."""
    observed = np.zeros(model.n_dims, bool)
    observed[model.order[[1, -1]]] = True
    return observed


def strong():
    """A model whose later variables say much about earlier ones."""
    model = registry.make("fvsbn-cycle")
    model.params["W"] *= 2
    return model


# Checks: each is seen to fail below.


def check_marginals(model):
    """Exact for each pattern: the sum over what is missing."""
    rows, p = table(model)
    x = registry.rows(model, 3, seed=5)
    for observed in patterns(model.n_dims):
        wanted = [math.log(definition.marginal(rows, p, row, observed)) for row in x.tolist()]
        result = model.marginal(with_nan(x, observed), observed)
        assert result.method == "exact"
        tolerance = properties.rounding(model, 1e-12, 1e-5)
        np.testing.assert_allclose(result.log_prob, wanted, rtol=tolerance, atol=tolerance)
        assert (result.standard_error == 0).all()
        properties.same_bits(
            model.log_prob(with_nan(x, observed), observed=observed), result.log_prob, "log_prob"
        )


def check_completions(model, methods=("exact",), n=1500, **settings):
    """As frequent as they are probable, by a chi-square test, for several patterns."""
    rows, p = table(model)
    x = registry.rows(model, 2, seed=7)[1]
    some = [inner_pattern(model), *patterns(model.n_dims)[1::5]]
    for observed in some if methods == ("exact",) else some[:1]:
        given = np.tile(with_nan(x, observed), (n, 1))
        for method in methods:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                result = model.impute(given, observed, method=method, rng=3, **settings)
            assert result.samples.shape == (1, n, model.n_dims)
            assert (result.samples[:, :, observed] == x[observed]).all(), "known values changed"
            wanted = np.array(definition.completions(rows, p, x.tolist(), observed))
            counts = properties._counts(model, result.samples[0])
            p_value = properties._p_value(counts, wanted)
            assert p_value > 1e-4, f"{method}, {observed}: chi-square p = {p_value:.2g}"


def check_importance(model):
    check_completions(model, ("importance",), n=1000, n_particles=400)


def check_gibbs(model):
    """From starts that know nothing of what comes later in the order."""
    check_completions(model, ("gibbs",), n=1500, n_particles=1, n_sweeps=20)


def check_estimates(model):
    """The mean of many importance estimates of p is p: no more than four standard errors away."""
    rows, p = table(model)
    x, observed = registry.rows(model, 2, seed=7)[1], inner_pattern(model)
    wanted = definition.marginal(rows, p, x.tolist(), observed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result = model.marginal(
            np.tile(x, (1000, 1)), observed, method="importance", n_particles=5, rng=1
        )
    assert result.method == "importance"
    estimates = np.exp(result.log_prob)
    error = estimates.std() / math.sqrt(len(estimates))
    assert abs(estimates.mean() - wanted) < 4 * error
    # Of many particles the standard error is the deviation of log p.
    many = model.marginal(
        np.tile(x, (200, 1)), observed, method="importance", n_particles=300, rng=1
    )
    off = (many.log_prob - math.log(wanted)) / many.standard_error
    assert 0.8 < off.std() < 1.25
    assert abs(off.mean()) < 0.5


@pytest.mark.parametrize("case", SOME + CLASSES)
@pytest.mark.usefixtures("numpy_side")
def test_marginals_are_sums(case):
    check_marginals(registry.make(case))


@pytest.mark.parametrize("case", SOME + CLASSES)
@pytest.mark.usefixtures("numpy_side")
def test_exact_completions(case):
    check_completions(registry.make(case))


@pytest.mark.parametrize("case", ["nade-cycle", "made-two-layers-direct", "nade-classes"])
@pytest.mark.usefixtures("numpy_side")
def test_importance(case):
    check_importance(registry.make(case))
    check_estimates(registry.make(case))


@pytest.mark.parametrize("case", ["fvsbn-cycle", "nade-cycle", "nade-classes", "nade-bits-context"])
@pytest.mark.usefixtures("numpy_side")
def test_gibbs(case):
    check_gibbs(registry.make(case))


def test_either_side():
    """Bits without context go through the kernels where there are any."""
    check_marginals(registry.make("nade-cycle"))
    check_completions(registry.make("nade-cycle"), n=600)


def test_each_row_has_a_pattern_of_its_own():
    model = registry.make("nade-cycle")
    rows, p = table(model)
    observed = np.array(patterns(5))
    x = registry.rows(model, len(observed), seed=2)
    result = model.marginal(with_nan(x, observed), observed)
    wanted = [
        math.log(definition.marginal(rows, p, *both))
        for both in zip(x.tolist(), observed, strict=True)
    ]
    np.testing.assert_allclose(result.log_prob, wanted, rtol=1e-12, atol=1e-14)
    assert set(result.methods) == {"product", "enumeration"}
    for method in ("auto", "importance", "gibbs"):
        done = model.impute(
            with_nan(x, observed), observed, n_samples=3, method=method, rng=0
        ).samples
        assert (done == x)[:, observed].all()
        assert done.dtype == np.uint8
        free = done[:, ~observed]
        assert ((free == 0) | (free == 1)).all()


def test_all_and_nothing_observed():
    model = registry.make("nade-cycle")
    x = registry.rows(model)
    everything = np.ones(5, bool)
    properties.same_bits(model.log_prob(x, observed=everything), model.log_prob(x), "log_prob")
    assert (model.log_prob(x, observed=~everything) == 0).all()
    assert (model.impute(x, everything, rng=0).samples == x).all()


@pytest.mark.usefixtures("numpy_side")
def test_a_context_is_each_rows_own():
    model = NADE(4, 5, conditional=Categorical(3), context=2, order=[1, 2, 0, 3], rng=0)
    registry.generic(model, 1)
    x, y = registry.rows(model, 6), np.random.default_rng(0).normal(size=(6, 2))
    observed = inner_pattern(model)
    together = model.log_prob(x, y, observed=observed)
    alone = [model.log_prob(x[k : k + 1], y[k], observed=observed)[0] for k in range(6)]
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert np.ptp(model.log_prob(np.tile(x[0], (6, 1)), y, observed=observed)) > 0.01
    for method in ("auto", "importance", "gibbs"):
        samples = model.sample(6, given=x, observed=observed, context=y, method=method, rng=0)
        assert (samples[:, observed] == x[:, observed]).all()


# Reals: a linear Gaussian model is a multivariate normal, of which all marginals are known.


def linear_gaussian(D=4):
    """A model, and its mean and covariance."""
    order, rng = [2, 0, 3, 1], np.random.default_rng(3)
    model = FVSBN(D, conditional=Gaussian(), order=order, rng=0)
    W, b = model.params["W"], model.params["b"]
    W[...], b[...] = 0, rng.normal(size=2 * D)
    W[0::2] = rng.normal(size=(D, D))
    one = model.conditionals(np.zeros((1, D)))
    A = np.where(model.dependencies(), W[0::2], 0)
    M = np.linalg.inv(np.eye(D) - A)
    return model, M @ b[0::2], M @ np.diag(one["scale"][0] ** 2) @ M.T


@pytest.mark.usefixtures("numpy_side")
def test_reals_by_importance():
    model, mean, cov = linear_gaussian()
    x = np.random.default_rng(1).multivariate_normal(mean, cov, size=3)
    for observed in patterns(4)[1:]:
        o, m = observed, ~observed
        wanted = scipy.stats.multivariate_normal(mean[o], cov[np.ix_(o, o)]).logpdf(x[:, o])
        result = model.marginal(with_nan(x, o), o, n_particles=4000, rng=0)
        n_known = o.sum()
        first = bool(o[model.order[:n_known]].all())
        assert result.method == ("exact" if first else "importance")
        off = np.abs(result.log_prob - wanted)
        assert (off <= 1e-10 + 5 * result.standard_error).all()
        if m.any():
            gain = cov[np.ix_(m, o)] @ np.linalg.inv(cov[np.ix_(o, o)])
            centre = mean[m] + gain @ (x[0, o] - mean[o])
            spread = np.sqrt(np.diag(cov[np.ix_(m, m)] - gain @ cov[np.ix_(o, m)]))
            done = model.impute(with_nan(x[:1], o), o, n_samples=400, rng=1)
            assert (done.samples[:, 0, o] == x[0, o]).all()
            size = min(400, done.effective_sample_size[0])
            off = (done.samples[:, 0][:, m].mean(axis=0) - centre) / spread
            assert (np.abs(off) < 5 / math.sqrt(size) + 1e-12).all()


@pytest.mark.usefixtures("numpy_side")
def test_mixed_rows_are_exact_where_what_is_in_the_way_is_discrete():
    conditional = Mixed([GaussianMixture(2), Categorical(3), Gaussian(), Gaussian()])
    model = registry.generic(NADE(4, 6, conditional=conditional, order=[1, 0, 2, 3], rng=0), 0)
    x = np.array([[0.3, 1, -0.2, 0.8]])
    observed = np.array([True, False, True, False])
    result = model.marginal(with_nan(x, observed), observed)
    assert result.methods.tolist() == ["enumeration"]
    every = np.tile(x, (3, 1))
    every[:, 1] = [0, 1, 2]
    wanted = np.logaddexp.reduce(model.log_conditionals(every)[:, :3].sum(axis=1))
    assert result.log_prob[0] == pytest.approx(wanted, rel=1e-12)
    done = model.impute(with_nan(x, observed), observed, n_samples=50, method="gibbs", rng=0)
    assert np.unique(done.samples[:, 0, 3]).size == 50
    with pytest.raises(ValueError, match="method='gibbs' needs missing variables of countable"):
        model.impute(x, ~observed, method="gibbs")


@pytest.mark.usefixtures("numpy_side")
def test_known_values_come_back_to_the_bit():
    model = FVSBN(3, conditional=Gaussian(), dtype="float32", rng=0)
    x, observed = np.array([[0.1, 0.2, 0.3]]), np.array([False, True, True])
    done = model.impute(x, observed, n_samples=4, rng=0)
    assert (done.samples[:, 0, 1:] == x[0, 1:]).all()
    assert done.samples.dtype == np.float64


# Baselines have closed forms, for any pattern.

CLOSED = ["joint-table", "chow-liu", "markov-chain", "bernoulli-mixture"]
CLOSED_CASES = [
    "markov-cycle-k2", "markov-cycle-k3-float32", "markov-k-beyond-D", "tree-cycle",
    "forest-cycle-float32", "mixture-cycle", "mixture-cycle-float32", "mixture-K1", "joint-cycle",
    "joint-cycle-float32",
]  # fmt: skip


def check_closed_form(model):
    """What the formula says of each pattern is the sum, its draws as frequent as they should be."""
    check_marginals(model)
    check_completions(model)
    observed = np.array(patterns(model.n_dims))
    # Rows of all patterns at once, each with a known row; asked directly, whatever is in the way.
    x = registry.rows(model, len(observed), seed=3).astype(model.dtype)
    log_p, kept = model._closed_form(np.where(observed, x, 0), observed, None)
    rows, p = table(model)
    wanted = [
        math.log(definition.marginal(rows, p, *both)) for both in zip(x, observed, strict=True)
    ]
    tolerance = properties.rounding(model, 1e-12, 1e-5)
    np.testing.assert_allclose(log_p, wanted, rtol=tolerance, atol=tolerance)
    assert (kept == np.where(observed, x, 0)).all()


@pytest.mark.parametrize("case", CLOSED_CASES)
def test_closed_forms_are_sums(case):
    check_closed_form(registry.make(case))


@st.composite
def closed_forms(draw):
    """A baseline with any settings, and a mask of its own for each row."""
    name, D = draw(st.sampled_from(CLOSED)), draw(st.integers(1, 6))
    order = draw(st.permutations(range(D)))
    settings = registry.draw_settings(draw, name, order)
    seed = draw(st.integers(0, 2**32 - 1))
    model = registry.generic(MODELS[name](D, **settings, order=order, rng=seed), seed)
    observed = draw(arrays(bool, (draw(st.integers(0, 5)), D)))
    return model, observed


@hypothesis.given(closed_forms())
def test_closed_forms_of_any_baseline(drawn):
    model, observed = drawn
    x = registry.rows(model, len(observed), seed=1)
    rows, p = (
        registry.all_rows(model.n_dims),
        np.exp(model.log_prob(registry.all_rows(model.n_dims))),
    )
    wanted = [
        math.log(definition.marginal(rows, p, *both)) for both in zip(x, observed, strict=True)
    ]
    result = model.marginal(with_nan(x, observed), observed)
    assert set(result.methods) <= {"product", "closed-form"}
    np.testing.assert_allclose(result.log_prob, wanted, rtol=1e-11, atol=1e-11)
    done = model.impute(with_nan(x, observed), observed, n_samples=2, rng=0)
    assert done.exact.all()
    assert (done.samples == x)[:, observed].all()
    assert np.isin(done.samples, (0, 1)).all()


def check_gaussian(model):
    """Marginals and conditionals of the multivariate normal, whose moments are found by NumPy."""
    D = model.n_dims
    rng = np.random.default_rng(5)
    mean, cov = moments_of(model)
    x = rng.multivariate_normal(mean, cov, size=4).astype(model.dtype)
    rtol = properties.rounding(model, 1e-9, 1e-4)
    for o in patterns(D)[1:]:
        wanted = scipy.stats.multivariate_normal(mean[o], cov[np.ix_(o, o)]).logpdf(x[:, o])
        result = model.marginal(with_nan(x, o), o)
        assert result.method == "exact"
        np.testing.assert_allclose(result.log_prob, wanted, rtol=rtol, atol=rtol)
        m = ~o
        if m.any():
            n = 2000
            gain = cov[np.ix_(m, o)] @ np.linalg.inv(cov[np.ix_(o, o)])
            spread = np.linalg.cholesky(cov[np.ix_(m, m)] - gain @ cov[np.ix_(o, m)])
            done = model.impute(with_nan(x[:1], o), o, n_samples=n, rng=1)
            assert done.method == "exact"
            assert (done.samples[:, 0, o] == x[0, o]).all()
            off = done.samples[:, 0, m] - (mean[m] + gain @ (x[0, o] - mean[o]))
            white = np.linalg.solve(spread, off.T)  # independent, of mean 0 and variance 1
            np.testing.assert_allclose(white.mean(axis=1), 0, atol=5 / math.sqrt(n))
            np.testing.assert_allclose(white @ white.T / n, np.eye(m.sum()), atol=0.15)


def moments_of(model):
    p = {name: value.astype("float64") for name, value in model.params.items()}
    inverse = np.linalg.inv(np.eye(model.n_dims) - np.where(model.dependencies(), p["W"], 0))
    scale = model.conditional.min_scale + np.logaddexp(0, p["s"])
    return inverse @ p["b"], inverse @ np.diag(scale**2) @ inverse.T


@pytest.mark.parametrize("case", ["gaussian", "gaussian-cycle", "gaussian-cycle-float32"])
def test_gaussians_in_any_pattern(case):
    check_gaussian(registry.make(case))


def test_patterns_of_a_nearly_singular_gaussian():
    """Forming the covariance would lose all digits of the small scale: 1e-9 beside 1."""
    model = MultivariateGaussian(2, order=[1, 0])
    model.params["W"][...], model.params["b"][...] = [[0, 1], [0, 0]], 0
    model.params["s"][...] = model.conditional.raw(np.array([1e-9, 1.0]))
    done = model.impute([[0.25, np.nan]], np.array([True, False]), n_samples=1000, rng=0)
    off = done.samples[:, 0, 1] - 0.25
    assert off.std() == pytest.approx(1e-9, rel=0.1)
    wanted = scipy.stats.norm(0, 1).logpdf(0.25)
    assert model.log_prob([[0.25, 0]], observed=np.array([True, False]))[0] == pytest.approx(wanted)


def test_closed_forms_at_sizes_that_cannot_be_enumerated():
    D, rng = 60, np.random.default_rng(0)
    x = (rng.random((300, D)) < 0.4).astype(np.uint8)
    x[:, 1::2] ^= x[:, ::2]
    observed = rng.random((300, D)) < 0.5
    for model in (ChowLiuTree(D), MarkovChain(D, 3), BernoulliMixture(D, 4, rng=0)):
        model.fit(x)
        result = model.marginal(x, observed, method="exact")
        assert set(result.methods) <= {"product", "closed-form"}
        # Each more that is observed makes it less probable; all of it is the row.
        more = model.log_prob(x, observed=observed | (np.arange(D) < 30))
        assert (more <= result.log_prob + 1e-9).all()
        assert (model.log_prob(x) <= more + 1e-9).all()
        assert (
            model.sample(300, given=x, observed=observed, rng=0)[observed].sum()
            == x[observed].sum()
        )


def test_extreme_parameters_have_closed_forms():
    """Logits of 800, whose probabilities are no floats."""
    observed = np.array([False, True, False, True])
    for case in ("markov-k-beyond-D", "tree-D4", "mixture-K1", "joint"):
        model = ChowLiuTree(4) if case == "tree-D4" else registry.make(case)
        registry.generic(model, 0)
        for p in model.params.values():
            p *= 800
        rows = registry.all_rows(4)
        log_p = model.log_prob(rows)
        for x in rows[::3]:
            same = (rows == x)[:, observed].all(axis=1)
            wanted = np.logaddexp.reduce(log_p[same])
            got = model.log_prob(x[np.newaxis], observed=observed)[0]
            assert got == pytest.approx(wanted, rel=1e-12, abs=1e-12), case
            assert (
                model.sample(9, given=x, observed=observed, rng=0)[:, observed] == x[observed]
            ).all()


# Models that can be asked in other orders.


class AnyOrder(FVSBN):
    """A model as one that was trained for all orders, as far as asking it goes."""

    def with_order(self, order):
        other = copy.copy(self)
        other.order = orders.check_order(order, self.n_dims)
        return other


class SomeOrders(AnyOrder):
    n_masks = 2

    def members(self):
        return [self, self.with_order([4, 1, 0, 2, 3])]


def test_another_order_is_asked_where_the_model_has_it():
    model = AnyOrder(5, order=registry.THREE_CYCLE[5], rng=0)
    registry.generic(model, 0)
    observed = np.array([False, True, False, False, True])
    x = registry.rows(model, 3)
    view = model.with_order(orders.observed_first(observed, model.order))
    result = model.marginal(x, observed)
    assert set(result.methods) == {"order"}
    rows = registry.everything(view)
    p = np.exp(view.log_prob(rows))
    wanted = [math.log(definition.marginal(rows, p, row, observed)) for row in x]
    np.testing.assert_allclose(result.log_prob, wanted, rtol=1e-12)
    done = model.impute(x[:1], observed, n_samples=2000, rng=0)
    wanted = np.array(definition.completions(rows, p, x[0], observed))
    assert properties._p_value(properties._counts(view, done.samples[:, 0]), wanted) > 1e-4
    first = np.isin(np.arange(5), model.order[:2])
    assert set(model.marginal(x, first).methods) == {"product"}  # its own order is first choice


def test_only_orders_that_were_trained_are_asked():
    model = registry.generic(SomeOrders(5, order=registry.THREE_CYCLE[5], rng=0), 0)
    x = registry.rows(model, 3)
    for observed, method in (([1, 4], "order"), ([0, 1, 4], "order"), ([2, 4], "enumeration")):
        mask = np.isin(np.arange(5), observed)
        assert set(model.marginal(x, mask).methods) == {method}
    model.redraw = "degrees"
    assert set(model.marginal(x, np.isin(np.arange(5), [1, 4])).methods) == {"enumeration"}


def test_orderless_nade_is_exact_in_any_pattern():
    model = registry.generic(OrderlessNADE(5, (6,), order=registry.THREE_CYCLE[5], rng=0), 0)
    x = registry.rows(model, 4)
    for observed in patterns(5):
        view = model.with_order(orders.observed_first(observed, model.order))
        result = model.marginal(with_nan(x, observed), observed)
        assert set(result.methods) <= {"product", "order"}
        if set(result.methods) == {"order"}:
            rows = registry.everything(view)
            p = np.exp(view.log_prob(rows))
            wanted = [math.log(definition.marginal(rows, p, row, observed)) for row in x]
            np.testing.assert_allclose(result.log_prob, wanted, rtol=1e-12)
            properties.same_bits(model.log_prob(x, observed=observed), result.log_prob, "log_prob")


def test_a_mixture_over_orders_stays_one_where_something_is_missing():
    """Each component is asked in an order of its own, not all of them in the same."""
    model = registry.generic(OrderlessNADE(5, (6,), rng=0), 0)
    mine = [[4, 2, 0, 1, 3], [0, 1, 2, 3, 4], [3, 0, 4, 2, 1]]
    mixture = orders.OrderMixture.from_orders(model, mine)
    observed = np.array([True, True, False, True, False])
    x = registry.rows(model, 6)
    log_p = []
    for first, rest in (([0, 1, 3], [4, 2]), ([0, 1, 3], [2, 4]), ([3, 0, 1], [4, 2])):
        view = model.with_order(first + rest)
        log_p.append(view.log_conditionals(x)[:, observed].sum(axis=1))
    assert np.ptp(log_p, axis=0).max() > 0.01
    wanted = np.logaddexp.reduce(log_p, axis=0) - np.log(3)
    result = mixture.marginal(with_nan(x, observed), observed)
    assert set(result.methods) == {"order"}
    np.testing.assert_allclose(result.log_prob, wanted, rtol=1e-12)


def test_masks_that_were_not_trained_are_not_asked():
    few = OrderAgnosticMADE(5, (7,), n_masks=3, rng=0)
    any_order = OrderAgnosticMADE(5, (7,), rng=0)
    first = few.members()[1].order[:2]
    for model in (few, any_order):
        observed = np.isin(np.arange(5), first)
        of_first = planning.in_trained_order(model, observed)
        assert observed[of_first.order[:2]].all()
    starts = {frozenset(view.order[:2].tolist()) for view in few.members()}
    other = next(
        set(pair) for pair in itertools.combinations(range(5), 2) if set(pair) not in starts
    )
    observed = np.isin(np.arange(5), list(other))
    assert planning.in_trained_order(few, observed) is None
    assert planning.in_trained_order(any_order, observed) is not None


# Mixtures over orders.


def small_mixture():
    models = [
        registry.generic(FVSBN(5, order=order, rng=0), seed)
        for seed, order in enumerate([registry.THREE_CYCLE[5], [4, 2, 0, 1, 3], [0, 1, 2, 3, 4]])
    ]
    return orders.OrderMixture(models, [1, 3, 2])


def test_marginals_of_a_mixture():
    mixture = small_mixture()
    rows = registry.all_rows(5)
    p, x = np.exp(mixture.log_prob(rows)), registry.rows(mixture, 4)
    for observed in patterns(5):
        wanted = [math.log(definition.marginal(rows, p, row, observed)) for row in x]
        result = mixture.marginal(with_nan(x, observed), observed)
        assert result.method == "exact"
        np.testing.assert_allclose(result.log_prob, wanted, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(
            mixture.log_prob(with_nan(x, observed), observed=observed), wanted, rtol=1e-12,
            atol=1e-14,
        )  # fmt: skip
    observed = np.isin(np.arange(5), [1, 4])
    wanted = mixture.log_prob(x, observed=observed)
    estimate = mixture.marginal(x, observed, method="importance", rng=0)
    assert estimate.method == "importance"
    assert (np.abs(estimate.log_prob - wanted) < 5 * estimate.standard_error).all()
    assert (estimate.effective_sample_size > 100).all()


def test_completions_of_a_mixture():
    mixture = small_mixture()
    rows = registry.all_rows(5)
    p, x = np.exp(mixture.log_prob(rows)), registry.rows(mixture, 1)
    for observed in patterns(5)[3::6]:
        wanted = np.array(definition.completions(rows, p, x[0], observed))
        for method in ("auto", "importance", "gibbs"):
            done = mixture.impute(
                with_nan(x, observed), observed, n_samples=1500, method=method, n_sweeps=20,
                n_particles=10000, rng=1,
            )  # fmt: skip
            assert (done.samples[:, :, observed] == x[:, observed]).all()
            p_value = properties._p_value(properties._counts(mixture, done.samples[:, 0]), wanted)
            assert p_value > 1e-4, f"{method} {observed}"
        assert done.methods[0] in ("product", "gibbs")
        drawn = mixture.sample(1500, given=with_nan(x[0], observed), observed=observed, rng=2)
        assert properties._p_value(properties._counts(mixture, drawn), wanted) > 1e-4


# What is chosen, and what is said.


def test_auto_falls_back_and_says_so(monkeypatch):
    model = registry.make("nade-cycle")
    x, observed = registry.rows(model, 4), inner_pattern(model)
    assert model.impute(x, observed).method == "exact"
    monkeypatch.setattr(planning, "MAX_VALUES", 3)
    assert model.impute(x, observed, rng=0).method == "importance"
    assert model.marginal(x, observed, rng=0).method == "importance"
    assert model.impute(x, observed, method="exact").method == "exact"
    monkeypatch.setattr(results, "SMALL", 2000)
    with pytest.warns(UserWarning, match="effective sample size is below 2000"):
        done = model.impute(x, observed, rng=0)
    assert done.method == "gibbs"
    with pytest.warns(UserWarning, match="estimates are too low"):
        model.marginal(x, observed, rng=0)
    monkeypatch.setattr(planning, "MAX_VALUES_EXACT", 3)
    with pytest.raises(ValueError, match=r"prefix of model.order.* would go through 8 values"):
        model.impute(x, observed, method="exact")


def test_a_small_effective_sample_size_warns():
    model = FVSBN(10)  # bits 0..8 are fair; bit 9 is 1 if they all are
    model.params["W"][...], model.params["b"][...] = 0, 0
    model.params["W"][9], model.params["b"][9] = 20, -170
    x, observed = np.array([[0] * 10, [1] * 10]), np.arange(10) == 9
    with pytest.warns(UserWarning, match=r"of 50 particles\) in 1 of 2 rows, 1\.."):
        result = model.marginal(x, observed, method="importance", n_particles=50, rng=0)
    assert result.effective_sample_size.min() < 10
    assert (result.effective_sample_size >= 1).all()
    assert "standard error" in repr(result)


def test_effective_sample_size_of_weights():
    same = np.full((1, 7), -800.0)
    one = np.array([[0.0, -900, -900]])
    two = np.array([[5.0, 5.0, -900, -900]])
    assert methods.effective_size(same) == pytest.approx(7, rel=1e-12)
    assert methods.effective_size(one) == pytest.approx(1, rel=1e-12)
    assert methods.effective_size(two) == pytest.approx(2, rel=1e-12)
    assert methods.effective_size(np.full((1, 3), -np.inf)) == 1
    rng = np.random.default_rng(0)
    size = methods.effective_size(rng.normal(size=(50, 9)) * 10)
    assert ((size >= 1) & (size <= 9)).all()


def test_effective_sweeps_of_chains():
    """An autoregressive series of coefficient a is worth (1 - a) / (1 + a) of its length."""
    rng, T = np.random.default_rng(0), 4000
    for a in (0.0, 0.5, 0.9):
        trace = np.zeros((T, 3, 4))
        for t in range(1, T):
            trace[t] = a * trace[t - 1] + rng.normal(size=(3, 4))
        assert methods.effective_sweeps(trace) == pytest.approx(T * (1 - a) / (1 + a), rel=0.2)
    assert (methods.effective_sweeps(np.ones((9, 2, 1))) == 1).all()
    apart = rng.normal(size=(100, 1, 2)) + np.array([0, 50])  # two chains in two places
    assert methods.effective_sweeps(apart)[0] < 2


def test_exact_draws_count_as_many_as_they_are():
    model = registry.make("nade-cycle")
    done = model.impute(registry.rows(model, 3), inner_pattern(model), n_samples=6, rng=0)
    assert (done.effective_sample_size == 6).all()
    assert (
        repr(done) == "<Imputation of 3 rows of 5, 6 samples each: exact (3 rows by enumeration)>"
    )


def test_the_same_seed_gives_the_same():
    model = registry.make("nade-cycle")
    x, observed = registry.rows(model, 4), inner_pattern(model)
    for method in ("exact", "importance", "gibbs"):
        one, two, other = (
            model.impute(x, observed, n_samples=9, method=method, rng=seed).samples
            for seed in (0, 0, 1)
        )
        assert (one == two).all()
        assert (one != other).any()


def test_no_rows():
    model = registry.make("nade-cycle")
    x, observed = np.zeros((0, 5)), inner_pattern(model)
    assert model.impute(x, observed, n_samples=2).samples.shape == (2, 0, 5)
    assert model.log_prob(x, observed=observed).shape == (0,)
    assert model.sample(0, given=np.zeros(5), observed=observed).shape == (0, 5)
    assert repr(model.marginal(x, observed)) == "<Marginal of 0 rows: exact ()>"


def test_blocks_change_no_result_but_by_chance(monkeypatch):
    """However little memory there is, exact results are the same."""
    model = registry.make("nade-cycle")
    x, observed = registry.rows(model, 9), inner_pattern(model)
    wanted = model.log_prob(x, observed=observed)
    monkeypatch.setattr("pyarsimple.autoregressive.MEMORY_LIMIT", 1)
    monkeypatch.setattr(planning, "BLOCK", 1)
    np.testing.assert_allclose(model.log_prob(x, observed=observed), wanted, rtol=1e-13)
    for method in ("exact", "importance", "gibbs"):
        done = model.impute(x, observed, method=method, n_particles=20, n_sweeps=20, rng=0)
        assert (done.samples[:, :, observed] == x[:, observed]).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"observed": [1, 0, 0, 1, 0]}, ValueError, "observed must be a boolean mask"),
        ({"observed": np.ones((2, 5), bool)}, ValueError, r"\(5,\) or \(3, 5\)"),
        ({"x": np.ones(5)}, ValueError, r"pass x\[np.newaxis\]"),
        ({"x": np.full((3, 5), 2)}, ValueError, "x must be an array of bits.* got 2 in row 0"),
        ({"x": np.ma.ones((3, 5))}, TypeError, "masked array"),
        ({"x": np.ones((3, 4))}, ValueError, "got 4 columns"),
        ({"method": "magic"}, ValueError, "method must be one of .*, got 'magic'"),
        ({"n_particles": 0}, ValueError, "n_particles must be at least"),
    ],
)
def test_arguments_are_checked(change, error, words):
    model = registry.make("nade-cycle")
    arguments = {"x": np.ones((3, 5)), "observed": np.array([True, False, True, True, False])}
    for method in (model.impute, model.marginal):
        with pytest.raises(error, match=words):
            method(**(arguments | change))
    with pytest.raises(ValueError, match="method must be one of auto, exact, importance, got"):
        model.marginal(**arguments, method="gibbs")


# Bugs that people write, each beside the check that must catch it.


def weights_forgotten(patch):
    patch.setattr(methods, "softmax", lambda log_w: np.full(log_w.shape, 1 / log_w.shape[1]))


def weights_of_the_unobserved_included(patch):
    right = methods.follow

    def wrong(task, uniforms):
        x, _ = right(task, uniforms)
        rows = np.arange(task.n)
        return x, task.log_joint(x, rows, np.ones(x.shape, bool))

    patch.setattr(methods, "follow", wrong)


def weights_are_logarithms(patch):
    patch.setattr(
        methods, "softmax", lambda log_w: (log_w - 50) / (log_w - 50).sum(axis=1, keepdims=True)
    )


def known_values_overwritten(patch):
    right = missing.impute

    def wrong(*args, **kwargs):
        done = right(*args, **kwargs)
        done.samples[0, ::7] = 0
        return done

    patch.setattr(missing, "impute", wrong)


def called_exact_where_it_is_not(patch):
    """What was observed later is ignored, as if it did not depend on what is missing."""
    patch.setattr(planning, "needed", lambda model, observed: observed.copy())


def later_observations_ignored(patch):
    """The completion of the known prefix, which an ancestral sampler gives by itself."""
    right = methods.resample
    patch.setattr(methods, "resample", lambda log_w, n, rng: right(np.zeros_like(log_w), n, rng))


def the_mean_of_logarithms(patch):
    patch.setattr(answers, "log_sum_exp", lambda z: z.mean(axis=-1) + np.log(z.shape[-1]))


def gibbs_sees_earlier_variables_only(patch):
    """A draw from the conditional along the order is not one given all others."""
    right = planning.Task.log_joint

    def wrong(task, x, rows, needed):
        return right(task, x, rows, needed & ~task.observed)

    patch.setattr(planning.Task, "log_joint", wrong)


def gibbs_keeps_an_old_log_p(patch):
    right = methods.sweep

    def wrong(task, inner, x, log_p, rng):
        right(task, inner, x, log_p.copy(), rng)

    patch.setattr(methods, "sweep", wrong)


BUGS = [
    (weights_forgotten, check_importance),
    (weights_of_the_unobserved_included, check_importance),
    (weights_of_the_unobserved_included, check_estimates),
    (weights_are_logarithms, check_importance),
    (known_values_overwritten, check_completions),
    (called_exact_where_it_is_not, check_marginals),
    (called_exact_where_it_is_not, check_completions),
    (later_observations_ignored, check_importance),
    (the_mean_of_logarithms, check_estimates),
    (the_mean_of_logarithms, check_marginals),
    (gibbs_sees_earlier_variables_only, check_gibbs),
    (gibbs_keeps_an_old_log_p, check_gibbs),
]


@pytest.mark.parametrize(("plant", "check"), BUGS, ids=lambda f: f.__name__)
@pytest.mark.usefixtures("numpy_side")
def test_bugs_are_caught(plant, check, monkeypatch):
    check(strong())
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        check(strong())


def messages_are_not_used(patch):
    for state in (markov.MarkovState, chow_liu.TreeState):
        patch.setattr(state, "_evidence", lambda state, i, messages: np.zeros(state._n))


def a_message_one_step_late(patch):
    right = markov.MarkovState._evidence

    def wrong(state, i, messages):
        return right(state, i, np.concatenate([messages[:1], messages[:-1]]))

    patch.setattr(markov.MarkovState, "_evidence", wrong)


def a_message_forgets_what_the_variable_itself_was(patch):
    for module, name in ((markov, "messages_back"), (chow_liu, "messages_up")):
        right = getattr(module, name)

        def wrong(known, observed, *args, right=right):
            return right(known, observed & False, *args)

        patch.setattr(module, name, wrong)


def a_table_transposed_by_the_inverse(patch):
    right = JointTable._in_order
    patch.setattr(
        JointTable,
        "_in_order",
        lambda table, order: right(table, orders.inverse(order)),
    )


def priors_in_place_of_posteriors(patch):
    patch.setattr("pyarsimple.baselines.mixture.softmax", lambda a: np.full(a.shape, 1 / 4))


def of_what_is_missing_the_zeros_counted(patch):
    right = BernoulliMixture._closed_form

    def wrong(model, known, observed, rng):
        return right(model, known, np.ones_like(observed), rng)

    patch.setattr(BernoulliMixture, "_closed_form", wrong)


def noise_without_the_observed(patch):
    """The mean of the missing ones as if nothing had been observed."""

    def wrong(model, known, observed, rng):
        log_p, x = closed_form(model, known, observed, rng)
        if rng is not None:
            _, fresh = closed_form(model, known * 0, observed, rng)
            x = np.where(observed, x, fresh)
        return log_p, x

    closed_form = MultivariateGaussian._closed_form
    patch.setattr(MultivariateGaussian, "_closed_form", wrong)


def another_order_of_the_factor(patch):
    patch.setattr(
        "pyarsimple.baselines.gaussian.observed_first",
        lambda observed: np.argsort(observed, kind="stable"),
    )


CLOSED_BUGS = [
    (messages_are_not_used, check_closed_form, "markov-cycle-k2"),
    (messages_are_not_used, check_closed_form, "tree-cycle"),
    (a_message_one_step_late, check_closed_form, "markov-cycle-k2"),
    (a_message_forgets_what_the_variable_itself_was, check_closed_form, "markov-cycle-k2"),
    (a_message_forgets_what_the_variable_itself_was, check_closed_form, "tree-cycle"),
    (a_table_transposed_by_the_inverse, check_closed_form, "joint-cycle"),
    (priors_in_place_of_posteriors, check_closed_form, "mixture-cycle"),
    (of_what_is_missing_the_zeros_counted, check_closed_form, "mixture-cycle"),
    (noise_without_the_observed, check_gaussian, "gaussian-cycle"),
    (another_order_of_the_factor, check_gaussian, "gaussian-cycle"),
]


@pytest.mark.parametrize(("plant", "check", "case"), CLOSED_BUGS)
def test_bugs_in_closed_forms_are_caught(plant, check, case, monkeypatch):
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        check(registry.make(case))
