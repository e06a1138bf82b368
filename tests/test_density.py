"""Promise: every model is a probability distribution, and its views tell of the same one."""

import math

import numpy as np
import properties
import pytest
import registry
from hypothesis import given

from pyarsimple import FVSBN, MADE, NADE
from pyarsimple.baselines import IndependentBernoulli


def test_sums_to_one(model):
    properties.check_normalised(model)


@given(registry.models())
def test_sums_to_one_for_any_settings(model):
    properties.check_normalised(model)


def test_sums_to_one_beyond_what_the_definition_can_do():
    model = registry.generic(registry.MODELS["nade"](12, 7, order=np.roll(np.arange(12), 4)), 1)
    properties.check_normalised(model)


def test_views_agree(model):
    properties.check_consistent(model)


def test_rows_are_independent(model):
    properties.check_rows_independent(model)


def test_one_row_and_no_row(model):
    row = registry.rows(model)[:1]
    assert model.log_prob(row).shape == (1,)
    assert model.nll_and_grads(row)[0] == pytest.approx(-model.log_prob(row)[0], rel=1e-6)
    none = row[:0]
    assert model.log_prob(none).shape == (0,)
    assert model.log_conditionals(none).shape == (0, model.n_dims)
    assert model.conditionals(none).shape == (0, model.n_dims)
    assert model.forward(none)[0].shape == (0, model.n_dims)
    assert model.log_prob(none).dtype == np.float64
    assert model.conditionals(none).dtype == model.dtype


def test_fresh_models_start_near_independent_fair_bits(typical):
    fresh = type(typical)(**typical.config(), rng=0)
    loss = fresh.nll_and_grads(registry.rows(fresh))[0] / fresh.n_dims
    assert 0.5 * math.log(2) < loss < 2 * math.log(2)
    for name, free in fresh.masks().items():
        assert (fresh.params[name][free] != 0).all()
        assert (fresh.params[name][~free] == 0).all()


@pytest.mark.parametrize(
    ("model", "scales"),
    [
        (FVSBN(60, rng=0), {"W": 0.1 / math.sqrt(60)}),
        (NADE(60, 90, rng=0), {"W": 1 / math.sqrt(60), "V": 1 / math.sqrt(90)}),
        (
            MADE(60, (80, 90), direct=True, rng=0),
            {
                "W1": math.sqrt(2 / 60), "W2": math.sqrt(2 / 80), "V": math.sqrt(2 / 90),
                "A": 0.1 * math.sqrt(2 / 60),
            },
        ),
        (MADE(60, (80,), hidden="tanh", rng=0), {"W1": 1 / math.sqrt(60), "V": 1 / math.sqrt(80)}),
    ],
)  # fmt: skip
def test_initial_scales_keep_activations_of_order_one(model, scales):
    drawn = {name for name, p in model.params.items() if p.ndim == 2}
    assert set(scales) == drawn
    for name, p in model.params.items():
        if name in scales:
            free = p[model.masks().get(name, np.ones(p.shape, bool))]
            assert free.std() == pytest.approx(scales[name], rel=0.1), name
        else:
            assert (p == 0).all()


def test_initial_parameters_come_from_rng(typical):
    def new(rng):
        return type(typical)(**typical.config(), rng=rng).params

    for name, p in new(1).items():
        properties.same_bits(new(1)[name], p, name)
    drawn = [name for name, p in new(1).items() if p.ndim == 2]
    for name in drawn:
        assert (new(2)[name] != new(1)[name]).any()
        assert (new(None)[name] != new(None)[name]).any()
    assert all(p.dtype == typical.dtype for p in new(0).values())


def test_shapes_are_those_that_are_promised(model):
    shapes = {name: p.shape for name, p in model.params.items()}
    assert shapes == model.param_shapes(**model.config())
    D, settings = model.n_dims, model.config()
    promised = {"b": (D,)}
    if model.name == "fvsbn":
        promised = {"W": (D, D), "b": (D,)}
    elif model.name == "nade":
        H = settings["n_hidden"]
        promised = {"W": (D, H), "c": (H,), "V": (D, H), "b": (D,)}
    elif model.name == "made":
        widths, promised = [D, *settings["hidden_sizes"]], {}
        for k in range(1, len(widths)):
            promised |= {f"W{k}": (widths[k - 1], widths[k]), f"c{k}": (widths[k],)}
        promised |= {"V": (D, widths[-1]), "b": (D,)}
        promised |= {"A": (D, D)} if settings["direct"] else {}
    assert list(shapes.items()) == list(promised.items())


def test_params_are_live(typical):
    x = registry.rows(typical)
    before = typical.log_prob(x)
    typical.params["b"][0] += 1
    assert (typical.log_prob(x) != before).all()


def test_config_makes_the_model_again(model):
    again = type(model)(**model.config())
    assert again.config() == model.config()
    assert again.n_params == model.n_params
    for name, p in model.params.items():
        again.params[name][...] = p
    x = registry.rows(model)
    properties.same_bits(again.log_prob(x), model.log_prob(x), "log_prob")


@pytest.mark.parametrize(
    ("case", "n"),
    [
        ("independent", 5),
        ("fvsbn", 6 * 5 // 2 + 6),
        ("nade", 2 * 5 * 4 + 4 + 5),
        ("nade-D1", 2 * 3 + 3 + 1),
        ("made-no-layers", 5 * 4 // 2 + 5),
        # Degrees 1, 1, 2, 2, 3, 3, 4, 4: in 2 (1 + 2 + 3 + 4), out 2 (4 + 3 + 2 + 1).
        ("made", 20 + 8 + 20 + 5),
    ],
)
def test_free_parameters_are_counted(case, n):
    assert registry.make(case).n_params == n


def test_repr_tells_what_it_is():
    assert repr(registry.make("fvsbn")) == "FVSBN(6, dtype='float64')"
    text = repr(registry.make("made-two-layers-direct"))
    assert text.startswith("MADE(5, ")
    for part in ("hidden_sizes=[7, 6]", "hidden='sigmoid'", "direct=True", "order='...'"):
        assert part in text
    assert "degrees" not in text
    assert repr(registry.make("fvsbn").conditional) == "Bernoulli()"


# The baseline in closed form.


def test_independent_bits_are_counted():
    x = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 1], [1, 0, 1]])
    model = IndependentBernoulli(3)
    assert model.fit(x) is model
    p = model.conditionals(x)
    np.testing.assert_allclose(p, np.tile([5 / 6, 1 / 6, 4 / 6], (4, 1)), rtol=1e-14)
    model.fit(x, pseudocount=0.5)
    np.testing.assert_allclose(model.conditionals(x)[0], [4.5 / 5, 0.5 / 5, 3.5 / 5], rtol=1e-14)


def test_independent_fit_is_where_the_gradient_is_zero():
    x = registry.rows(registry.make("independent"), n=40)
    model = IndependentBernoulli(5).fit(x, pseudocount=1e-12)
    np.testing.assert_allclose(model.nll_and_grads(x)[1]["b"], 0, atol=1e-12)
    assert (np.abs(IndependentBernoulli(5).nll_and_grads(x)[1]["b"]) > 1e-4).any()


@pytest.mark.parametrize("pseudocount", [0, -1.0, math.nan])
def test_pseudocount_must_be_positive(pseudocount):
    with pytest.raises(ValueError, match="pseudocount must be above 0"):
        IndependentBernoulli(2).fit([[0, 1]], pseudocount=pseudocount)
