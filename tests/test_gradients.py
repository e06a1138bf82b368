"""Promise: the gradient that is returned is that of the loss that is returned. Every entry of every
array is compared, relative to the norm of its array."""

import numpy as np
import properties
import pytest
import registry
from hypothesis import given, settings

import pyarsimple
from pyarsimple.autoregressive import draw_dropout

DOUBLE = registry.cases(dtype="float64")
SINGLE = registry.cases(dtype="float32")
DROPOUT = [case for case in registry.CASES if "dropout" in case]


@pytest.mark.parametrize("case", DOUBLE)
def test_central_differences(case):
    properties.check_gradients(registry.make(case))


@pytest.mark.parametrize("case", DOUBLE)
def test_complex_step_with_any_upstream(case):
    properties.check_backward(registry.make(case))


@settings(max_examples=10)
@given(registry.models(max_dims=4))
def test_complex_step_for_any_settings(model):
    properties.check_backward(model)


@pytest.mark.parametrize("case", SINGLE)
def test_float32_against_float64(case):
    properties.check_gradients_float32(registry.make(case))


@pytest.mark.parametrize("case", DOUBLE)
def test_training_loss(case):
    properties.check_training_gradients(registry.make(case))


def test_what_is_masked_changes_nothing(model):
    properties.check_masked(model)


def test_one_row(typical):
    x = registry.rows(typical)[:1]
    grads = typical.nll_and_grads(x)[1]
    numeric = properties.central_differences(lambda: typical.nll_and_grads(x)[0], typical.params)
    for name, g in grads.items():
        np.testing.assert_allclose(g, numeric[name], rtol=1e-6, atol=1e-9)


def test_gradient_of_the_mean_is_the_mean_of_the_gradients(typical):
    x = registry.rows(typical)
    grads = typical.nll_and_grads(x)[1]
    for name, g in grads.items():
        alone = [typical.nll_and_grads(row[np.newaxis])[1][name] for row in x]
        np.testing.assert_allclose(g, np.mean(alone, axis=0), rtol=1e-12, atol=1e-15)


def test_backward_is_linear_in_its_upstream(typical):
    x = registry.rows(typical)
    _, cache = typical.forward(x)
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(2, *x.shape))
    both = typical.backward(2 * u - v, cache)
    of_u, of_v = typical.backward(u, cache), typical.backward(v, cache)
    for name, g in both.items():
        np.testing.assert_allclose(g, 2 * of_u[name] - of_v[name], rtol=1e-11, atol=1e-13)


def test_backward_may_be_asked_twice_and_takes_any_array(typical):
    x = registry.rows(typical)
    _, cache = typical.forward(x)
    upstream = np.random.default_rng(0).normal(size=x.shape)
    first = typical.backward(upstream, cache)
    for other in (upstream, np.asfortranarray(upstream), upstream.tolist()):
        for name, g in typical.backward(other, cache).items():
            properties.same_bits(g, first[name], f"d{name}")


def test_a_row_of_no_weight_has_no_gradient(typical):
    x = registry.rows(typical)
    _, cache = typical.forward(x)
    for g in typical.backward(np.zeros(x.shape), cache).values():
        assert (g == 0).all()


def test_last_row_of_nade_is_never_used():
    for case in ("nade-cycle", "nade-cycle-relu", "nade-dropout"):
        model = registry.make(case)
        x, last = registry.rows(model), model.order[-1]
        assert (model.nll_and_grads(x)[1]["W"][last] == 0).all()
        assert (np.delete(model.nll_and_grads(x)[1]["W"], last, axis=0) != 0).any(axis=1).all()


@pytest.mark.parametrize("case", DOUBLE)
def test_differences_see_no_kink(case):
    """Where the tests differentiate, no rectifier is near its kink: differences mean something."""
    model = registry.make(case)
    x = registry.rows(model)
    numeric = [
        properties.central_differences(lambda: model.nll_and_grads(x)[0], model.params, step)
        for step in (1e-5, 1e-4)
    ]
    for name, g in numeric[0].items():
        np.testing.assert_allclose(g, numeric[1][name], rtol=1e-5, atol=1e-7)


# Dropout.


@pytest.mark.parametrize("case", DROPOUT)
def test_dropout_is_off_when_scoring(case):
    model = registry.make(case)
    plain = type(model)(**(model.config() | {"dropout": 0.0}))
    for name, p in model.params.items():
        plain.params[name][...] = p
    plain = registry.given_context(plain)
    x = registry.rows(model)
    assert model.is_stochastic
    properties.same_bits(model.log_prob(x), plain.log_prob(x), "log_prob")
    properties.same_bits(model.sample(20, rng=0), plain.sample(20, rng=0), "samples")
    assert model.nll_and_grads(x)[0] == plain.nll_and_grads(x)[0]


@pytest.mark.parametrize("case", DROPOUT)
def test_dropout_in_float32(case):
    model = registry.make(case, dtype="float32")
    x = registry.rows(model)
    loss, grads = model.training_loss_and_grads(x, rng=3)
    exact_loss, exact = properties.in_float64(model).training_loss_and_grads(x, rng=3)
    assert loss == pytest.approx(exact_loss, rel=1e-6)
    for name, g in grads.items():
        assert g.dtype == np.float32
        assert properties._relative_error(g, exact[name]) < 2e-6


@pytest.mark.parametrize("case", DROPOUT)
def test_dropout_drops_and_rescales(case):
    model = registry.make(case)
    x = registry.rows(model)
    losses = [model.training_loss_and_grads(x, rng=seed)[0] for seed in range(30)]
    assert len(set(losses)) == 30
    assert len({model.training_loss_and_grads(x)[0] for _ in range(3)}) == 3  # fresh entropy
    keep = draw_dropout(np.random.default_rng(0), (400, 50), 0.4, "float32")
    assert keep.dtype == np.float32
    assert np.unique(keep).tolist() == [0, np.float32(1 / 0.6)]
    assert (keep == 0).mean() == pytest.approx(0.4, abs=0.02)
    assert keep.mean() == pytest.approx(1, abs=0.02)


def test_dropout_without_hidden_layers_is_none():
    model = pyarsimple.MADE(4, (), dropout=0.5, rng=0)
    assert not model.is_stochastic
    x = registry.rows(model)
    assert model.training_loss_and_grads(x, rng=0)[0] == model.nll_and_grads(x)[0]


# The referees of gradients themselves.


def test_zero_against_zero_passes_and_something_against_zero_fails():
    zero, small = np.zeros(3), np.full(3, 1e-300)
    assert properties._relative_error(zero, zero) == 0
    assert properties._relative_error(small, zero) == 1
    assert properties._relative_error(zero, small) == 1


def test_the_analytic_functions_are_the_same_ones():
    from pyarsimple import conditionals

    z = np.linspace(-30, 30, 101)
    originals = {"sigmoid": conditionals.sigmoid, "softplus": conditionals.softplus}
    with properties.analytic() as used:
        names = [name for _, name in used.replaced]
        for name in originals:
            assert names.count(name) > 1  # where it is defined, and where models use it
        for module, name in used.replaced:
            function = getattr(module, name)
            assert function is not originals[name]
            np.testing.assert_allclose(function(z), originals[name](z), rtol=1e-14, atol=3e-16)
    assert all(getattr(module, name) is originals[name] for module, name in used.replaced)
