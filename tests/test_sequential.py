"""Promise: the sequential view equals the parallel one, and samples are exact."""

import numpy as np
import properties
import pytest
import registry
from hypothesis import given

from pyarsimple import orders
from pyarsimple.autoregressive import fill_in
from pyarsimple.missing import planning


def test_state_equals_parallel(model):
    properties.check_sequential(model)


@given(registry.models())
def test_state_equals_parallel_for_any_settings(model):
    properties.check_sequential(model)


def test_samples_are_as_frequent_as_they_are_probable(model):
    properties.check_sampler(model)


def test_completions_are_as_frequent_as_they_are_probable(model):
    properties.check_completion(model)


def test_each_bit_is_its_uniform_number_below_its_conditional(bits_model):
    properties.check_uniforms(bits_model)


@given(registry.models())
def test_each_bit_is_below_its_conditional_for_any_settings(model):
    properties.check_uniforms(model)


def test_seeds(typical):
    properties.check_seeds(typical)


def test_what_a_seed_may_be(typical):
    first = typical.sample(50, rng=5)
    for rng in (np.random.SeedSequence(5), np.random.PCG64(5), np.random.default_rng(5)):
        properties.same_bits(typical.sample(50, rng=rng), first, "samples")
    with pytest.raises(TypeError):
        typical.sample(50, None)  # keyword only


def test_float32_and_float64_draw_alike():
    """The same uniform numbers, so the same samples but where one lies between two roundings."""
    for case in registry.cases(dtype="float32"):
        model = registry.make(case)
        single = model.sample(500, rng=3)
        double = properties.in_float64(model).sample(500, rng=3)
        assert np.isclose(single, double, rtol=1e-4, atol=1e-4).all(axis=1).mean() > 0.99


def test_how_many(typical):
    D = typical.n_dims
    assert typical.sample().shape == (1, D)
    assert typical.sample(np.int64(3), rng=0).shape == (3, D)
    none = typical.sample(0)
    assert none.shape == (0, D)
    assert none.dtype == np.uint8
    observed = np.ones(D, bool)
    assert typical.sample(0, given=np.zeros((0, D)), observed=observed).shape == (0, D)
    assert typical.sample(0, given=np.zeros(D), observed=observed).shape == (0, D)


@pytest.mark.parametrize(
    ("n", "error", "words"),
    [
        (-1, ValueError, "n must be at least 0, got -1"),
        (2.0, TypeError, "n must be a whole number, got 2.0"),
        ("3", TypeError, "n must be a whole number"),
        (True, TypeError, "n must be a whole number, got True"),
        (None, TypeError, "n must be a whole number, got None"),
    ],
)
def test_how_many_is_checked(typical, n, error, words):
    with pytest.raises(error, match=words):
        typical.sample(n)


# Completion.


def test_nothing_observed_is_a_sample_and_everything_observed_is_what_is_given(model):
    D = model.n_dims
    rows = registry.rows(model)
    plain = model.sample(len(rows), rng=4)
    nothing = model.sample(len(rows), given=rows, observed=np.zeros(D, bool), rng=4)
    properties.same_bits(nothing, plain, "samples")
    everything = model.sample(len(rows), given=rows, observed=np.ones(D, bool), rng=4)
    assert (everything == rows).all()


def test_each_row_is_completed_from_its_own(typical):
    D = typical.n_dims
    rows = registry.rows(typical)
    observed = np.isin(np.arange(D), typical.order[: D // 2])
    together = typical.sample(len(rows), given=rows, observed=observed, rng=4)
    assert (together[:, observed] == rows[:, observed]).all()
    # One row for all is the same as that row repeated.
    one = typical.sample(6, given=rows[0], observed=observed, rng=4)
    repeated = typical.sample(6, given=np.tile(rows[0], (6, 1)), observed=observed, rng=4)
    properties.same_bits(one, repeated, "completions")


def test_what_is_not_observed_may_be_anything(typical):
    D = typical.n_dims
    observed = np.isin(np.arange(D), typical.order[: D // 2])
    given = np.where(observed, 1.0, 0.0)
    wanted = typical.sample(9, given=given, observed=observed, rng=1)
    for marker in (np.nan, -1.0, np.inf, 7.5):
        marked = np.where(observed, 1.0, marker)
        before = marked.copy()
        samples = typical.sample(9, given=marked, observed=observed, rng=1)
        properties.same_bits(samples, wanted, "completions")
        properties.same_bits(marked, before, "given")


def test_the_order_that_the_error_recommends_works(monkeypatch):
    model = registry.make("nade-cycle")
    observed = np.array([False, True, False, False, True])
    monkeypatch.setattr(planning, "MAX_VALUES_EXACT", 3)
    with pytest.raises(ValueError, match="prefix") as caught:
        model.sample(2, given=np.ones(5), observed=observed, method="exact")
    assert "orders.observed_first(observed)" in str(caught.value)
    other = registry.make("nade-cycle", order=orders.observed_first(observed))
    samples = other.sample(20, given=np.ones(5), observed=observed, rng=0)
    assert (samples[:, observed] == 1).all()
    assert (samples[:, ~observed] != 1).any()


MASK = [True, False, False, True, False]  # the first two of the order 0, 3, 1, 4, 2


@pytest.mark.parametrize(
    ("given", "observed", "error", "words"),
    [
        (np.ones(5), None, ValueError, "given and observed go together"),
        (None, MASK, ValueError, "given and observed go together"),
        (np.ones(5), [1, 0, 0, 1, 0], ValueError, "observed must be a boolean mask"),
        (np.ones(5), MASK[:4], ValueError, "observed must be a boolean mask"),
        (np.ones(5), [MASK, MASK], ValueError, r"observed must be a boolean mask .* \(3, 5\)"),
        (np.ones(4), MASK, ValueError, r"given must have shape \(5,\) or .*, got \(4,\)"),
        (np.ones((2, 5)), MASK, ValueError, r"given must have shape .* \(3, 5\), got \(2, 5\)"),
        (np.ones((3, 4)), MASK, ValueError, r"given must have shape"),
        (np.ones((1, 3, 5)), MASK, ValueError, r"given must have shape"),
        (np.full(5, 0.5), MASK, ValueError, "given must be an array of bits.* 0.5"),
        (np.full(5, np.nan), MASK, ValueError, "given must be an array of bits.* nan"),
        (np.ones(5, complex), MASK, TypeError, "given must be an array of bits.* complex"),
        (["1"] * 5, MASK, TypeError, "given must be an array of bits"),
        ([[1], [0, 1]], MASK, ValueError, "given must be an array of bits"),
    ],
)
def test_what_is_given_is_checked(given, observed, error, words):
    model = registry.make("nade-cycle")
    with pytest.raises(error, match=words):
        model.sample(3, given=given, observed=observed)


# The state.


def test_state_says_when_it_is_at_the_end(typical):
    state = typical.start(2)
    for _ in range(typical.n_dims):
        state.advance([0, 1])
    for ask in (lambda: state.variable, state.outputs, lambda: state.advance([0, 1])):
        with pytest.raises(IndexError, match="every variable is known"):
            ask()


@pytest.mark.parametrize("x_i", [1, [1], [0, 1, 1], [[0], [1]]])
def test_state_wants_one_value_a_row(typical, x_i):
    state = typical.start(2)
    with pytest.raises(ValueError, match="x_i must hold one value a row"):
        state.advance(x_i)
    assert state.position == 0


def test_states_share_nothing(typical):
    first, second = typical.start(3), typical.start(3)
    before = second.outputs()
    first.advance([1, 1, 1])
    properties.same_bits(second.outputs(), before, "outputs of the other state")
    assert typical.start().outputs().shape == (1,)
    first.outputs()[:] = 99
    assert (np.abs(second.outputs()) < 99).all()


def test_the_loop_of_the_docstring_samples(typical):
    """The generic loop and the model's own sampler, compiled or not, draw the same."""
    rng = np.random.default_rng(3)
    uniforms = rng.random((200, typical.n_dims))
    zeros = np.zeros(uniforms.shape)
    mine = fill_in(typical.start(200), zeros, 0, uniforms, typical.conditional)
    assert (mine == typical.sample(200, rng=3)).all()
    assert (zeros == 0).all()
