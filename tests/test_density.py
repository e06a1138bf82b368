"""Promise: every model is a probability distribution, and its views tell of the same one."""

import math

import definition
import numpy as np
import properties
import pytest
import registry
from hypothesis import given
from hypothesis import strategies as st

from pyarsimple import FVSBN, MADE, NADE
from pyarsimple.autoregressive import is_bias
from pyarsimple.baselines import IndependentBernoulli, JointTable
from pyarsimple.density import all_rows, count_rows, log_conditionals
from pyarsimple.models import OrderlessNADE, UntiedNADE

SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=3)


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
    assert model.forward(none)[0].shape == (0, model.n_outputs)
    assert model.log_prob(none).dtype == np.float64
    for name, array in properties._arrays("", model.conditionals(none)).items():
        assert len(array) == 0, name
        assert array.dtype == model.dtype, name
    if registry.is_bits(model):
        assert model.conditionals(none).shape == (0, model.n_dims)


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
        (UntiedNADE(30, 90, rng=0), {"W": 1 / math.sqrt(30), "V": 1 / math.sqrt(90)}),
        (
            OrderlessNADE(60, (80, 90), rng=0),
            {
                "W1": math.sqrt(1 / 60), "U": 0.3 * math.sqrt(1 / 60), "W2": math.sqrt(2 / 80),
                "V": 0.1 * math.sqrt(2 / 90),
            },
        ),
        (MADE(60, (80,), hidden="tanh", rng=0), {"W1": 1 / math.sqrt(60), "V": 1 / math.sqrt(80)}),
    ],
)  # fmt: skip
def test_initial_scales_keep_activations_of_order_one(model, scales):
    assert set(scales) == {name for name in model.params if not is_bias(name)}
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
    drawn = [name for name, p in new(1).items() if not is_bias(name) and p.ndim > 1]
    for name in drawn:
        assert (new(2)[name] != new(1)[name]).any()
        assert (new(None)[name] != new(None)[name]).any()
    assert all(p.dtype == typical.dtype for p in new(0).values())


def test_shapes_are_those_that_are_promised(model):
    shapes = {name: p.shape for name, p in model.params.items()}
    assert shapes == model.param_shapes(**model.config())
    D, settings = model.n_dims, model.config()
    F, P = _features_and_outputs(settings)
    assert (model.n_inputs, model.n_outputs) == (F, P)
    promised = {"b": (P,)}
    if model.name == "fvsbn":
        promised = {"W": (P, F), "b": (P,)}
    elif model.name == "untied-nade":
        H = settings["n_hidden"]
        D = settings["n_dims"]
        promised = {"W": (D, F, H), "c": (D, H), "V": (P, H), "b": (P,)}
    elif model.name == "nade":
        H = settings["n_hidden"]
        promised = {"W": (F, H), "c": (H,), "V": (P, H), "b": (P,)}
    elif model.name in {"made", "order-agnostic-made"}:
        widths, promised = [F, *settings["hidden_sizes"]], {}
        for k in range(1, len(widths)):
            promised |= {f"W{k}": (widths[k - 1], widths[k]), f"c{k}": (widths[k],)}
        promised |= {"V": (P, widths[-1]), "b": (P,)}
        promised |= {"A": (P, F)} if settings["direct"] else {}
    elif model.name == "markov-chain":
        promised = {"T": (D, 2 ** min(settings["k"], D - 1))}
    elif model.name == "chow-liu":
        promised = {"T": (D, 2)}
    elif model.name == "bernoulli-mixture":
        K = settings["n_components"]
        promised = {"w": (K - 1,), "M": (K, D)}
    elif model.name == "joint-table":
        promised = {"T": (2**D - 1,)}
    elif model.name == "gaussian":
        promised = {"W": (D, D), "b": (D,), "s": (D,)}
    elif model.name == "orderless-nade":
        widths, promised = [F, *settings["hidden_sizes"]], {}
        for k in range(1, len(widths)):
            promised |= {f"W{k}": (widths[k - 1], widths[k])}
            promised |= {"U": (settings["n_dims"], widths[1])} if k == 1 else {}
            promised |= {f"c{k}": (widths[k],)}
        promised |= {"V": (P, widths[-1]), "b": (P,)}
    assert list(shapes.items()) == list(promised.items())


def _features_and_outputs(settings):
    """How many there are by the definition; for bits D of each."""
    y = [0.5, 0.5, 0.5] if isinstance(settings.get("context"), int) else [0]
    x = [0] * settings["n_dims"] + y
    return len(definition.inputs(settings, x)), len(definition.owners(settings))


def test_params_are_live(typical):
    x = registry.rows(typical)
    before = typical.log_prob(x)
    for p in typical.params.values():
        p += 1
    assert (typical.log_prob(x) != before).all()


def test_config_makes_the_model_again(model):
    again = type(model)(**model.config())
    assert again.config() == model.config()
    assert again.n_params == model.n_params
    for name, p in model.params.items():
        again.params[name][...] = p
    x = registry.rows(model)
    again = registry.given_context(again)
    properties.same_bits(again.log_prob(x), model.log_prob(x), "log_prob")


@pytest.mark.parametrize(
    ("case", "n"),
    [
        ("independent", 5),
        ("fvsbn", 6 * 5 // 2 + 6),
        ("untied", 4 * 5 * 4 // 2 + 2 * 5 * 4 + 5),
        ("nade", 2 * 5 * 4 + 4 + 5),
        ("nade-D1", 2 * 3 + 3 + 1),
        ("made-no-layers", 5 * 4 // 2 + 5),
        # Degrees 1, 1, 2, 2, 3, 3, 4, 4: in 2 (1 + 2 + 3 + 4), out 2 (4 + 3 + 2 + 1).
        ("made", 20 + 8 + 20 + 5),
        ("markov", 2 * 5 - 1),
        ("markov-cycle-k2", 1 + 2 + 4 * 4),
        ("markov-k0", 4),
        ("markov-k-beyond-D", 2**4 - 1),
        ("tree-of-chain", 2 * 5 - 1),
        ("tree-cycle", 2 * 6 - 1),
        ("forest-cycle-float32", 2 * 5 - 2),
        ("mixture", 3 * 5 + 3 - 1),
        ("mixture-K1", 4),
        ("joint-cycle", 2**5 - 1),
        ("joint-D1", 1),
        ("orderless", 2 * 5 * 7 + 7 + 7 * 6 + 6 + 6 * 5 + 5),
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


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_conditionals_by_sums_over_a_table(order):
    """A quotient of sums, by the definition, and by the model that is a table."""
    rng, order = np.random.default_rng(0), np.array(order)
    model = JointTable(3, order=order, rng=0)
    model.params["T"][...] = rng.normal(size=7)
    x = all_rows([2] * 3)
    table = np.exp(model.log_prob(x)).reshape(2, 2, 2)
    found = log_conditionals(table.transpose(order), x[:, order])
    expected = model.log_conditionals(x)[:, order]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    p = table.transpose(order)
    by_hand = [p[1].sum(), p[1, 0].sum() / p[1].sum(), p[1, 0, 1] / p[1, 0].sum()]
    one = log_conditionals(p, np.array([[1, 0, 1]]))[0]
    np.testing.assert_allclose(np.exp(one), by_hand, rtol=1e-12)


# Counts of configurations.


@given(sizes=SIZES)
def test_every_row_is_counted_once(sizes):
    rows = all_rows(sizes)
    assert rows.shape == (math.prod(sizes), len(sizes))
    np.testing.assert_array_equal(count_rows(rows, sizes), np.ones(len(rows)))


@given(sizes=SIZES, data=st.data(), dtype=st.sampled_from([np.int8, np.intp, np.float64]))
def test_rows_are_counted_in_any_order_and_repeated(sizes, data, dtype):
    rows = all_rows(sizes)
    often = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    x = data.draw(st.permutations(np.repeat(rows, often, axis=0).tolist()))
    counts = count_rows(np.array(x, dtype).reshape(-1, len(sizes)), sizes)
    assert counts.dtype == np.intp
    np.testing.assert_array_equal(counts, often)


def test_the_last_variable_changes_fastest():
    x = np.array([[0, 2], [1, 0], [0, 2]])
    assert count_rows(x, [2, 3]).tolist() == [0, 0, 2, 1, 0, 0]


@pytest.mark.parametrize("row", [[0, 3], [2, 0], [0, -1]])
def test_what_is_no_row_is_not_counted(row):
    with pytest.raises(ValueError, match="invalid entry"):
        count_rows(np.array([row]), [2, 3])
