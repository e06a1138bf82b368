"""Promise: probabilities are never clipped, and exact for logits of any size."""

import math
from decimal import Decimal, localcontext

import definition
import numpy as np
import properties
import pytest
import registry
from hypothesis import example, given
from hypothesis import strategies as st

from pyarsimple import FVSBN, MADE, NADE, OrderlessNADE, UntiedNADE
from pyarsimple.conditionals import (
    Bernoulli,
    Gaussian,
    GaussianMixture,
    Standardized,
    sigmoid,
    softplus,
)
from pyarsimple.transforms import Standardize


def test_exact_for_large_logits(bits_model):
    properties.check_precision(bits_model)


def test_log_prob_of_a_thousand_nats_is_exact():
    for case in registry.representatives():
        model = registry.make(case)
        for p in model.params.values():
            p[...] = 0
        D = model.n_dims
        registry.set_biases(model, 1000)
        assert model.log_prob(np.zeros((1, D))).item() == -1000 * D
        assert model.log_prob(np.ones((1, D))).item() == 0
        assert model.conditionals(np.ones((1, D))).tolist() == [[1.0] * D]
        assert (model.sample(20, rng=0) == 1).all()
        registry.set_biases(model, -1000)
        assert model.log_prob(np.ones((1, D))).item() == -1000 * D
        assert (model.sample(20, rng=0) == 0).all()


def sigmoid_reference(z):
    with localcontext() as context:
        context.prec = 60
        return float(1 / (1 + (-Decimal(z)).exp()))


def softplus_reference(z):
    return -definition.log_sigmoid(-z)


logits = st.floats(-700, 700)


@given(logits)
@example(0.0)
@example(-0.0)
@example(1e-300)
@example(-37.0)
@example(37.0)
def test_sigmoid_and_softplus_to_a_few_ulp(z):
    np.testing.assert_allclose(sigmoid(np.array(z)), sigmoid_reference(z), rtol=1e-15)
    np.testing.assert_allclose(softplus(np.array(z)), softplus_reference(z), rtol=1e-15)


@given(st.floats(-80, 80, width=32))
def test_sigmoid_and_softplus_in_float32(z):
    for function, wanted in ((sigmoid, sigmoid_reference), (softplus, softplus_reference)):
        value = function(np.array(z, np.float32))
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, wanted(z), rtol=4e-7)


@given(logits, st.sampled_from([0, 1]))
def test_log_p_is_the_definition(z, bit):
    log_p = Bernoulli().log_p(np.array([[z]]), np.array([[float(bit)]]))
    wanted = definition.log_sigmoid(z if bit else -z)
    np.testing.assert_allclose(log_p, [[wanted]], rtol=1e-14, atol=1e-310)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_out(dtype):
    z = np.array([[-1e30, -1000, 1000, 1e30, -np.inf, np.inf]], dtype)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        log_1 = Bernoulli().log_p(z, np.ones_like(z))
        log_0 = Bernoulli().log_p(z, np.zeros_like(z))
        gradient = Bernoulli().d_outputs(z, np.ones_like(z), 0.5)
    far = [-np.float64(np.array(1e30, dtype)), -1000, 0, 0, -np.inf, 0]
    np.testing.assert_array_equal(log_1, [far])
    np.testing.assert_array_equal(log_0, [[0, 0, -1000, far[0], 0, -np.inf]])
    np.testing.assert_array_equal(gradient, [[-0.5, -0.5, 0, 0, -0.5, 0]])
    assert log_1.dtype == log_0.dtype == gradient.dtype == np.dtype(dtype)


def test_log_of_a_small_probability_is_not_lost():
    """log(1 - p) for p = 1e-17 is -1e-17; by way of p it would be 0, and clipped 1e-7."""
    z = math.log(1e-17)
    np.testing.assert_allclose(
        Bernoulli().log_p(np.array([[z]]), np.array([[0.0]])), -1e-17, rtol=1e-13
    )


def test_bits_are_drawn_in_double_precision():
    """A float32 p near 1 has no digits left to compare a uniform number with."""
    z = np.full((1, 1), 20, np.float32)  # 1 - p = 2.06e-9
    assert Bernoulli().sample(z, np.array([[1 - 2.5e-9]])).item() == 1
    assert Bernoulli().sample(z, np.array([[1 - 1.5e-9]])).item() == 0


def test_never_one_where_p_is_zero_and_always_one_where_p_is_one():
    impossible, certain = np.array([[-np.inf]]), np.array([[np.inf]])
    assert Bernoulli().sample(impossible, np.array([[0.0]])).item() == 0
    assert Bernoulli().sample(certain, np.array([[np.nextafter(1, 0)]])).item() == 1


@given(logits, st.sampled_from([0, 1]))
def test_gradient_is_p_minus_x(z, bit):
    gradient = Bernoulli().d_outputs(np.array([[z]]), np.array([[float(bit)]]), 0.25)
    wanted = 0.25 * (sigmoid_reference(z) - bit)
    np.testing.assert_allclose(gradient, [[wanted]], rtol=1e-14, atol=1e-16)


def test_many_rows_do_not_lose_digits_in_float32():
    """The mean loss is summed in float64: a million rows give the same mean as one."""
    model = registry.make("independent-cycle-float32")
    row = registry.rows(model)[:1]
    many = np.repeat(row, 200_000, axis=0)
    assert model.nll_and_grads(many)[0] == pytest.approx(-model.log_prob(row)[0], rel=1e-12)


def test_numbers_that_float32_cannot_hold_are_refused():
    model = NADE(2, 3, conditional=GaussianMixture(2), dtype="float32", rng=0)
    x = np.array([[1.0, 1e39]])
    for ask in (model.log_prob, model.nll_and_grads, model.conditionals):
        with pytest.raises(ValueError, match=r"x must fit into float32.*dtype='float64'"):
            ask(x)
    conditional = Standardized(GaussianMixture(2), Standardize([0.0, 1e39], [1.0, 1.0]))
    model = NADE(2, 3, conditional=conditional, dtype="float32", rng=0)
    assert np.isfinite(model.log_prob(x)).all()


@pytest.mark.parametrize("cls", [FVSBN, UntiedNADE, NADE, MADE, OrderlessNADE])
def test_data_far_from_zero_keep_their_digits_in_float32(cls):
    """Units in which a standard deviation is less than what float32 rounds x to."""
    mean, std = np.array([1e9, -5e8, 0.0]), np.array([2.0, 0.5, 3.0])
    conditional = Standardized(Gaussian(), Standardize(mean, std))
    model = cls(3, order=[1, 2, 0], conditional=conditional, dtype="float32", rng=0)
    plain = cls(3, order=[1, 2, 0], conditional=Gaussian(), dtype="float32", rng=0)
    for m in (model, plain):
        registry.generic(m, 1)
    z = np.random.default_rng(0).normal(size=(20, 3))
    x = z * std + mean  # in float64: 1e9 has 7 digits left
    wanted = plain.log_prob(z) - np.log(std).sum()
    np.testing.assert_allclose(model.log_prob(x), wanted, rtol=1e-4, atol=1e-4)
    grads, of_z = (m.nll_and_grads(data)[1] for m, data in ((model, x), (plain, z)))
    for name, g in grads.items():
        assert g.dtype == np.float32
        np.testing.assert_allclose(g, of_z[name], rtol=1e-3, atol=1e-4)
    drawn, of_z = (m.sample(50, rng=1) for m in (model, plain))
    np.testing.assert_allclose((drawn - mean) / std, of_z, rtol=1e-4, atol=1e-4)
    seen = np.array([False, True, False])
    done, of_z = (m.impute(data, seen, rng=1).samples for m, data in ((model, x), (plain, z)))
    assert (done[..., 1] == x[:, 1]).all()
    np.testing.assert_allclose((done - mean) / std, of_z, rtol=1e-4, atol=1e-4)
    again = model.sample(20, given=x, observed=np.arange(3) > 0, rng=2)
    assert (again[:, 1:] == x[:, 1:]).all()
