"""Promise: the networks that are not tied become NADE when they are; the one network for all orders
learns the mean over orders, and answers for each of them exactly."""

import itertools
import math

import definition
import numpy as np
import properties
import pytest
import registry
import scipy.integrate

import pyarsimple
from pyarsimple import orders
from pyarsimple.conditionals import Bernoulli, Categorical, Gaussian, GaussianMixture, Mixed
from pyarsimple.models import FVSBN, NADE, OrderlessNADE, UntiedNADE
from pyarsimple.models.orderless_nade import draw_known, loss_factors

ORDERLESS = registry.cases(model="orderless-nade")


# Untied.


def tie(untied, nade):
    """Give every network NADE's weights."""
    untied.params["W"][...] = nade.params["W"]
    untied.params["c"][...] = nade.params["c"]
    untied.params["V"][...] = nade.params["V"]
    untied.params["b"][...] = nade.params["b"]


@pytest.mark.parametrize("hidden", ["sigmoid", "relu"])
@pytest.mark.parametrize("order", [None, registry.THREE_CYCLE[5]])
def test_tied_networks_are_nade(hidden, order):
    nade = registry.generic(NADE(5, 7, hidden=hidden, order=order), 1)
    untied = registry.generic(UntiedNADE(5, 7, hidden=hidden, order=order), 2)
    x = registry.all_rows(5)
    assert np.abs(untied.conditionals(x) - nade.conditionals(x)).max() > 0.1
    tie(untied, nade)
    properties.close(untied.conditionals(x), nade.conditionals(x), 1e-13, "conditionals")
    properties.same_bits(untied.sample(300, rng=0), nade.sample(300, rng=0), "samples")


def test_gradients_of_tied_networks_add_up_to_those_of_nade():
    """The chain rule for a weight that stands in several places."""
    nade = registry.generic(NADE(5, 7, order=registry.THREE_CYCLE[5]), 1)
    untied = UntiedNADE(5, 7, order=registry.THREE_CYCLE[5])
    tie(untied, nade)
    x = registry.rows(nade)
    ours, theirs = untied.nll_and_grads(x)[1], nade.nll_and_grads(x)[1]
    properties.close(ours["W"].sum(axis=0), theirs["W"], 1e-13, "dW")
    properties.close(ours["c"].sum(axis=0), theirs["c"], 1e-13, "dc")
    properties.close(ours["V"], theirs["V"], 1e-13, "dV")


def test_parameters_are_counted_as_the_table_says():
    """The formulas of the module's docstring, and that its numbers come from them."""
    from pyarsimple.models import untied_nade

    D, H = 7, 3
    assert FVSBN(D).n_params == D * (D - 1) // 2 + D
    assert UntiedNADE(D, H).n_params == H * D * (D - 1) // 2 + 2 * D * H + D
    assert NADE(D, H).n_params == 2 * D * H + H + D
    D, H = 784, 500
    counts = (D * (D - 1) // 2 + D, H * D * (D - 1) // 2 + 2 * D * H + D, 2 * D * H + H + D)
    for count in counts:
        assert f"{count:,}".replace(",", " ") in untied_nade.__doc__
    assert counts[1] / counts[2] == pytest.approx(D / 4, rel=0.01)


def test_biases_of_untied_networks_do_not_decay():
    """l2 is for weights: the biases of D networks have two axes, and are biases all the same."""
    x = registry.rows(registry.make("untied"))
    trained = {}
    for l2 in (0.0, 0.5):
        model = registry.make("untied")
        optimizer = pyarsimple.optimizers.SGD(0.1)
        pyarsimple.fit(model, x, optimizer=optimizer, batch_size=len(x), max_epochs=1, l2=l2, rng=0)
        trained[l2] = model.params
    for name in ("b", "c"):
        properties.same_bits(trained[0.0][name], trained[0.5][name], name)
    for name in ("V", "W"):
        assert (trained[0.0][name] != trained[0.5][name]).any()


# What is known, and the loss of it.


@pytest.mark.parametrize("case", ORDERLESS)
def test_loss_is_on_average_the_mean_over_orders(case):
    if registry.make(case).n_dims > 1:
        properties.check_loss_of_all_orders(registry.make(case))


def probability(n_known, D, split):
    """Of one set of so many known variables, by an integral over p."""
    b = {"uniform": 1.0, "balanced": 0.5}[split]
    # One of the unknown ones was chosen to be so; u**(1/b) is how likely each other one was.
    integral, _ = scipy.integrate.quad(
        lambda u: (1 - u ** (1 / b)) ** n_known * u ** ((D - n_known - 1) / b), 0, 1
    )
    return (D - n_known) / D * integral


@pytest.mark.parametrize("split", ["uniform", "balanced"])
@pytest.mark.parametrize("case", ["orderless-cycle-tanh", "orderless-three-layers-sigmoid"])
def test_loss_over_all_draws_is_the_mean_over_orders(case, split):
    """Every draw times its probability: the loss and its gradient."""
    model = registry.make(case, split=split)
    D, x = model.n_dims, registry.rows(model)
    loss, grads = 0.0, {name: np.zeros_like(p) for name, p in model.params.items()}
    for n_known in range(D):
        for some in itertools.combinations(range(D), n_known):
            known = np.zeros((len(x), D), bool)
            known[:, some] = True
            of_this, of_these = model._loss_and_grads(x, known, None, None)
            share = probability(n_known, D, split)
            loss += share * of_this
            for name, g in of_these.items():
                grads[name] += share * g
    wanted = properties.defined(model, definition.nll_over_orders, x).mean()
    assert loss == pytest.approx(wanted, rel=1e-12)
    in_orders = [model.with_order(order) for order in itertools.permutations(range(D))]
    for name, g in grads.items():
        mean = np.mean([other.nll_and_grads(x)[1][name] for other in in_orders], axis=0)
        properties.close(g, mean, 1e-12, f"d{name}")


@pytest.mark.parametrize("split", ["uniform", "balanced"])
def test_known_variables_are_drawn_with_that_probability(split):
    D, n = 4, 40000
    known = draw_known(n, D, np.random.default_rng(0), split)
    sets = np.bincount(known @ (1 << np.arange(D)), minlength=2**D)
    sizes = [bin(code).count("1") for code in range(2**D)]
    p = np.array([0 if k == D else probability(k, D, split) for k in sizes])
    assert p.sum() == pytest.approx(1, rel=1e-12)
    assert sets[p == 0].sum() == 0
    assert properties._p_value(sets, p) > 1e-4


def test_uniform_is_the_factor_of_the_papers():
    np.testing.assert_allclose(loss_factors(7)[1:], 7 / np.arange(1, 8), rtol=1e-13)
    for k in range(4):
        assert probability(k, 4, "uniform") == pytest.approx(1 / 4 / math.comb(4, k), rel=1e-12)


def test_known_variables_of_each_row_have_that_distribution():
    """Rows share a random number: each of them must still be what it would be alone."""
    rng = np.random.default_rng(1)
    draws = np.array([draw_known(5, 3, rng) for _ in range(6000)])  # (draw, row, variable)
    for row in range(5):
        sizes = np.bincount(draws[:, row].sum(axis=1), minlength=3)
        assert properties._p_value(sizes, np.full(3, 1 / 3)) > 1e-4
    assert draw_known(0, 3, rng).shape == (0, 3)


def test_balanced_is_less_noisy():
    """The square of a row's gradient is as 1/n for n unknown variables; only where D is large."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (1000, 300))
    squares = {}
    for split in ("uniform", "balanced"):
        model = OrderlessNADE(300, (5,), split=split, rng=0)
        grads = [model.training_loss_and_grads(row[np.newaxis], rng)[1]["b"] for row in x]
        squares[split] = np.square(grads).sum(axis=1).mean()
    assert squares["balanced"] < 0.8 * squares["uniform"]  # (2 sqrt(D))^2 against D log(D), about


def test_rows_are_weighted():
    model = registry.make("orderless-cycle-tanh")
    x = registry.rows(model, 6)
    known = draw_known(6, 4, np.random.default_rng(0))
    weight = np.array([2.0, 0, 1, 0, 0, 1])
    loss, grads = model._loss_and_grads(x, known, None, weight)
    alone = [model._loss_and_grads(x[[k]], known[[k]], None, None) for k in (0, 2, 5)]
    shares = (0.5, 0.25, 0.25)
    assert loss == pytest.approx(sum(s * a[0] for s, a in zip(shares, alone, strict=True)))
    for name, g in grads.items():
        mean = sum(s * a[1][name] for s, a in zip(shares, alone, strict=True))
        properties.close(g, mean, 1e-13, f"d{name}")


def test_training_loss_in_float32():
    model = registry.make("orderless-cycle-float32")
    x = registry.rows(model)
    loss, grads = model.training_loss_and_grads(x, rng=3)
    exact_loss, exact = properties.in_float64(model).training_loss_and_grads(x, rng=3)
    assert loss == pytest.approx(exact_loss, rel=1e-6)
    properties._check_grads(grads, exact, model.params, 2e-6)


def test_nll_over_orders_is_an_estimate_of_each_row():
    model = registry.make("orderless-cycle-tanh")
    x = registry.rows(model, 3)
    wanted = properties.defined(model, definition.nll_over_orders, x)
    draws = model.nll_over_orders(np.repeat(x, 8000, axis=0), rng=0).reshape(3, 8000)
    assert (draws.std(axis=1) > 0).all()
    errors = (draws.mean(axis=1) - wanted) / (draws.std(axis=1) / np.sqrt(8000))
    assert (np.abs(errors) < 4).all()
    assert model.nll_over_orders(x[:0]).shape == (0,)


def test_training_validates_by_the_cheap_figure_and_raises_the_exact_one():
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, (600, 1))
    x = np.where(rng.random((600, 6)) < 0.9, z, 1 - z)  # six noisy copies of one bit
    model = OrderlessNADE(6, (20, 10), rng=0)
    before = model.log_prob(x).mean()
    history = pyarsimple.fit(model, x[:400], x[400:], max_epochs=12, batch_size=20, rng=0)
    assert min(history.valid_nll) == model.validation_nll(x[400:]).mean()
    assert (model.validation_nll(x) == model.validation_nll(x)).all()
    assert model.log_prob(x).mean() > before + 0.5
    exact = [-model.log_prob(x, order=orders.random(6, rng=k)).mean() for k in range(8)]
    assert model.validation_nll(x).mean() == pytest.approx(np.mean(exact), abs=0.3)


# Variables other than bits, and contexts.

KINDS = {
    "classes": ({"conditional": Categorical([2, 4, 3])}, 3),
    "reals": ({"conditional": GaussianMixture(2)}, 3),
    "mixed": ({"conditional": Mixed([Gaussian(), Categorical(3), Bernoulli()])}, 3),
    "bits-of-a-class": ({"context": Categorical(3)}, 4),
    "mixed-in-context": (
        {"conditional": Mixed([Categorical(3), Gaussian(), Bernoulli()]), "context": 2}, 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("split", ["uniform", "balanced"])
@pytest.mark.parametrize("kind", KINDS)
def test_loss_of_all_orders_of_every_kind(kind, split):
    """Over all draws it is the mean over orders, whatever the variables are."""
    settings, D = KINDS[kind]
    model = registry.generic(OrderlessNADE(D, (6, 5), hidden="tanh", split=split, **settings), 5)
    y = None if not model.context else (1 if D == 4 else np.array([0.5, -1.0]))
    x = model.sample(4, context=y, rng=1)
    loss = 0.0
    for n_known in range(D):
        for some in itertools.combinations(range(D), n_known):
            known = np.zeros((len(x), D), bool)
            known[:, some] = True
            share = probability(n_known, D, split)
            loss += share * model._loss_and_grads(x, known, y, None)[0]
    exact = [
        -model.log_prob(x, context=y, order=order).mean()
        for order in itertools.permutations(range(D))
    ]
    assert loss == pytest.approx(np.mean(exact), rel=1e-12)
    estimate = model.nll_over_orders(np.tile(x, (4000, 1)), context=y, rng=0).mean()
    assert estimate == pytest.approx(np.mean(exact), rel=0.05)


# Any order.


@pytest.mark.parametrize("case", ORDERLESS)
def test_log_prob_in_any_order(case):
    model = registry.make(case)
    x = registry.everything(model)
    rng = np.random.default_rng(0)
    for _ in range(3):
        other = model.with_order(rng.permutation(model.n_dims))
        wanted = properties.defined(other, definition.log_prob)
        tolerance = properties.rounding(model, 1e-13, 1e-5)
        properties.close(model.log_prob(x, order=other.order), wanted, tolerance, "log_prob")
        properties.close(other.log_prob(x), wanted, tolerance, "log_prob")
    properties.same_bits(model.log_prob(x, order=model.order), model.log_prob(x), "own order")


def test_another_order_shares_the_parameters():
    model = registry.make("orderless-cycle-tanh")
    x = registry.rows(model)
    other = model.with_order([3, 0, 2, 1])
    assert model.order.tolist() == registry.THREE_CYCLE[4]
    assert other.order.tolist() == [3, 0, 2, 1]
    assert not other.order.flags.writeable
    before = other.log_prob(x)
    model.params["b"] += 1  # a new array in the one dictionary
    assert (other.log_prob(x) != before).all()
    properties.check_definition(other)
    properties.check_sampler(other)
    assert type(other)(**other.config()).order.tolist() == [3, 0, 2, 1]
    with pytest.raises(ValueError, match="order must hold each of"):
        model.with_order([0, 1, 2, 2])
    with pytest.raises(ValueError, match="order must hold each of"):
        model.log_prob(x, order=[0, 1, 2])


def test_orders_differ_before_training():
    """Nothing makes the conditionals of two orders agree but training for all of them."""
    model = registry.make("orderless-cycle-tanh")
    x = registry.all_rows(4)
    p = np.exp(model.log_prob(x)), np.exp(model.log_prob(x, order=[3, 2, 1, 0]))
    assert np.abs(p[0] - p[1]).max() > 0.01
    assert np.exp(model.log_prob(x, order=[3, 2, 1, 0])).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "observed", [[True, False, False, True], [False, False, True, False], [False] * 4, [True] * 4]
)
def test_any_pattern_of_missing_values_is_completed_exactly(observed):
    """In the order that has the observed variables first, their joint probability is a prefix."""
    observed = np.array(observed)
    model = registry.make("orderless-cycle-tanh").with_order(orders.observed_first(observed))
    x = registry.all_rows(4)
    given = registry.rows(model)[0]
    samples = model.sample(4000, given=given, observed=observed, rng=0)
    assert (samples[:, observed] == given[observed]).all()
    agrees = (x[:, observed] == given[observed]).all(axis=1)
    p = np.where(agrees, np.exp(properties.defined(model, definition.log_prob)), 0)
    counts = np.bincount(samples @ (1 << np.arange(4)[::-1]), minlength=16)
    assert properties._p_value(counts, p) > 1e-4


def test_blocks_change_no_probability(monkeypatch):
    """Rows are walked through a block at a time."""
    model = registry.make("orderless-cycle-tanh")
    x = registry.rows(model, 40)
    wanted, grads = model.log_prob(x), model.nll_and_grads(x)[1]
    monkeypatch.setattr("pyarsimple.models.orderless_nade.CACHE", 1)
    monkeypatch.setattr("pyarsimple.autoregressive.MEMORY_LIMIT", 1)
    properties.close(model.log_prob(x), wanted, 1e-14, "log_prob")
    for name, g in model.nll_and_grads(x)[1].items():
        properties.close(g, grads[name], 1e-13, f"d{name}")


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"split": "even"}, ValueError, "split must be one of uniform, balanced"),
        ({"hidden_sizes": ()}, ValueError, "at least: a hidden layer is needed"),
        ({"hidden_sizes": 5}, TypeError, "must be a sequence such as"),
        ({"hidden_sizes": (0,)}, ValueError, "hidden_sizes"),
        ({"hidden": "softplus"}, ValueError, "hidden must be one of relu, tanh, sigmoid"),
    ],
)
def test_settings_are_checked(settings, error, match):
    with pytest.raises(error, match=match):
        OrderlessNADE(4, **settings)


def test_settings_of_untied_are_checked():
    with pytest.raises(ValueError, match="hidden must be one of sigmoid, relu"):
        UntiedNADE(4, hidden="tanh")
    with pytest.raises(ValueError, match="n_hidden"):
        UntiedNADE(4, 0)
