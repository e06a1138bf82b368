"""Promise: a mixture over orders averages probabilities, and its file holds what is shared once."""

import copy
import io
import json
import pickle
import re
import runpy
import zipfile
from pathlib import Path

import numpy as np
import properties
import pytest
import registry
from hypothesis import given
from hypothesis import strategies as st

import pyarsimple
from pyarsimple import (
    FVSBN,
    MADE,
    NADE,
    OrderAgnosticMADE,
    autoregressive,
    orders,
    storage,
)  # fmt: skip
from pyarsimple.conditionals import Categorical, Gaussian
from pyarsimple.density import Density
from pyarsimple.evaluation import evaluate
from pyarsimple.missing import planning
from pyarsimple.orders import OrderMixture

MIXTURES = {
    "several models": registry.mixture,
    "one model": registry.of_one_model,
    "alike": lambda: registry.mixture(weights=None),
    "one component": lambda: registry.mixture(weights=None, cases=["nade-cycle"]),
    "one start": registry.with_one_start,
}


@pytest.fixture(params=list(MIXTURES))
def mixture(request):
    return MIXTURES[request.param]()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("mixtures") / "model.npz"


# Probabilities.


def test_averages_the_probabilities_of_its_components(mixture):
    properties.check_mixture(mixture)
    properties.check_normalised(mixture)


@given(
    st.integers(1, 4).flatmap(
        lambda D: st.lists(registry.models(n_dims=D), min_size=1, max_size=4)
    ),
    st.lists(st.floats(0.01, 100), min_size=4, max_size=4),
    st.integers(0, 99),
)
def test_between_the_mean_and_the_best_of_its_components(models, weights, seed):
    """Jensen's inequality, and no component's share can be larger than the whole."""
    mixture = OrderMixture(models, weights[: len(models)])
    x = registry.rows(models[0], seed=seed)
    log_p = np.array([model.log_prob(x) for model in models])
    mean, log_w = mixture.weights @ log_p, np.log(mixture.weights)[:, np.newaxis]
    rounding = 1e-12 * np.abs(log_p).max()
    assert (mixture.log_prob(x) >= mean - rounding).all()
    assert (mixture.log_prob(x) >= (log_w + log_p).max(axis=0) - rounding).all()
    assert (mixture.log_prob(x) <= log_p.max(axis=0) + rounding).all()


def test_one_component_is_that_component():
    model = registry.make("nade-cycle")
    mixture, x = OrderMixture([model]), registry.rows(model)
    properties.same_bits(mixture.log_prob(x), model.log_prob(x), "log_prob")
    assert mixture.weights.tolist() == [1]


def test_weights_are_divided_by_their_sum():
    models = [registry.make(case) for case in registry.COMPONENTS]
    x = registry.all_rows(5)
    wanted = OrderMixture(models, [0.5, 0.125, 0.25, 0.125])
    assert wanted.weights.tolist() == [0.5, 0.125, 0.25, 0.125]
    same = OrderMixture(models, [4, 1, 2, 1])
    np.testing.assert_array_equal(same.log_prob(x), wanted.log_prob(x))
    assert OrderMixture(models).weights.tolist() == [0.25] * 4
    assert OrderMixture(models, [1e308] * 4).weights.tolist() == [0.25] * 4
    with pytest.raises(ValueError, match="read-only"):
        wanted.weights[0] = 1


def test_probabilities_too_small_for_a_float():
    """log p is near -3000: the average of the probabilities is 0 in every floating-point type."""
    D = 1500
    models = [FVSBN(D, order=order, rng=0) for order in (None, orders.reverse(D))]
    for model in models:
        model.params["W"][...] = 0
    models[0].params["b"][...] = 2
    models[1].params["b"][...] = 2.001
    x = np.zeros((1, D), np.uint8)
    a, b = (float(model.log_prob(x)[0]) for model in models)
    assert a < -3000
    wanted = a + np.log((1 + np.exp(b - a)) / 2)
    np.testing.assert_allclose(OrderMixture(models).log_prob(x), wanted, rtol=1e-14)


def test_float32_components_are_summed_in_float64():
    models = [registry.make(case) for case in ("nade-cycle", "independent-cycle-float32")]
    mixture = OrderMixture(models)
    x = registry.all_rows(5)
    assert mixture.log_prob(x).dtype == np.float64
    wanted = np.log(np.mean([np.exp(model.log_prob(x)) for model in models], axis=0))
    np.testing.assert_allclose(mixture.log_prob(x), wanted, rtol=1e-14)


def test_real_variables_are_averaged_too():
    models = [
        registry.generic(NADE(3, 4, conditional=Gaussian(), order=order, rng=k), k)
        for k, order in enumerate(([1, 2, 0], [2, 1, 0]))
    ]
    mixture = OrderMixture(models)
    x = mixture.sample(500, rng=0)
    assert x.dtype == np.float64
    wanted = np.log(np.mean([np.exp(model.log_prob(x)) for model in models], axis=0))
    np.testing.assert_allclose(mixture.log_prob(x), wanted, rtol=1e-12)
    assert mixture.conditional == Gaussian()


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_a_block_of_rows_at_a_time(rows, monkeypatch):
    mixture = registry.mixture()
    x = registry.rows(mixture, n=rows)
    wanted = mixture.log_prob(x)
    assert wanted.shape == (rows,)
    monkeypatch.setattr(autoregressive, "MEMORY_LIMIT", 2 * mixture._bytes_per_row())
    seen = []
    for model in mixture.models:
        original = model.log_prob
        model.log_prob = lambda x, context, f=original: seen.append(len(x)) or f(x, context)
    properties.close(mixture.log_prob(x), wanted, 1e-14, "log_prob")
    assert max(seen) <= 2


def test_a_memory_map_and_what_is_wrong_with_it(tmp_path, monkeypatch):
    mixture = registry.mixture()
    x = registry.rows(mixture, n=9).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    properties.same_bits(mixture.log_prob(mapped), mixture.log_prob(x), "log_prob")
    monkeypatch.setattr(autoregressive, "MEMORY_LIMIT", 2 * mixture._bytes_per_row())
    x[7, 2] = 3
    with pytest.raises(ValueError, match="got 3 in row 7, column 2"):
        mixture.log_prob(x)
    for bad in (x[0], x[:, :3], "x", [[0.5] * 5]):
        with pytest.raises((TypeError, ValueError), match="x must be an array of bits"):
            mixture.log_prob(bad)


# Samples.


def test_samples_are_as_frequent_as_they_are_probable(mixture):
    properties.check_mixture_sampler(mixture)
    properties.check_seeds(mixture)


def test_completions_are_exact_under_the_mixture():
    properties.check_mixture_completion(registry.with_one_start())


def test_rows_to_complete_may_differ():
    """Each row chooses its component by what was observed of it."""
    mixture = registry.with_one_start()
    observed = np.array([True, False, True, False, False])
    x = np.repeat([[0, 0, 1, 0, 0], [1, 0, 0, 0, 0]], 2000, axis=0)
    samples = mixture.sample(len(x), given=x, observed=observed, rng=5)
    assert (samples[:, observed] == x[:, observed]).all()
    for rows in (slice(0, 2000), slice(2000, None)):
        alone = mixture.sample(2000, given=x[rows][0], observed=observed, rng=6)
        both = np.stack([samples[rows].mean(axis=0), alone.mean(axis=0)])
        np.testing.assert_allclose(both[0], both[1], atol=0.06)
    assert mixture.sample(0, given=x[0], observed=observed).shape == (0, 5)


def test_what_is_no_prefix_of_every_order_is_not_exact(monkeypatch):
    mixture = registry.with_one_start()
    observed = np.array([False, True, False, False, False])
    monkeypatch.setattr(planning, "MAX_VALUES_EXACT", 1)
    with pytest.raises(ValueError, match="observed must be the first variables of the model's"):
        mixture.sample(2, given=np.zeros(5), observed=observed, method="exact")
    with pytest.raises(ValueError, match="given and observed go together"):
        mixture.sample(2, given=np.zeros(5))
    with pytest.raises(ValueError, match="n must be at least 0"):
        mixture.sample(-1)


def test_the_components_that_start_with_what_was_observed():
    mixture = registry.mixture()  # (0 3 1 4 2), (0 1 2 3 4), (0 3 1 4 2), (0 3 1 4 2)
    observed = np.array([True, False, False, True, False])
    part = mixture.starting_with(observed)
    assert part.models == (mixture.models[0], mixture.models[2], mixture.models[3])
    np.testing.assert_allclose(part.weights, np.array([5, 2, 3]) / 10, rtol=1e-15)
    samples = part.sample(5, given=np.ones(5), observed=observed, rng=0)
    assert (samples[:, observed] == 1).all()
    assert len(mixture.starting_with(np.zeros(5, bool))) == 4
    with pytest.raises(ValueError, match="observed is a prefix of the order of no component"):
        mixture.starting_with(np.array([False, True, False, False, True]))
    for bad in (np.ones(5), [True] * 4, True):
        with pytest.raises(ValueError, match="observed must be a boolean mask of shape"):
            mixture.starting_with(bad)


# Conditional densities p(x | y).


@pytest.mark.parametrize("context", [2, Categorical(3)])
def test_contexts_go_to_every_component(context, monkeypatch):
    models = [
        registry.generic(NADE(4, 3, context=context, order=order, rng=k), k)
        for k, order in enumerate(([1, 2, 0, 3], [3, 2, 0, 1]))
    ]
    mixture = OrderMixture(models, [3, 1])
    x = registry.all_rows(4)
    rng = np.random.default_rng(0)
    one = rng.normal(size=2) if context == 2 else 1
    many = rng.normal(size=(16, 2)) if context == 2 else rng.integers(3, size=16)
    for y in (one, many):
        p = [np.exp(model.log_prob(x, y)) for model in models]
        np.testing.assert_allclose(mixture.log_prob(x, y), np.log(mixture.weights @ p), rtol=1e-12)
    whole = mixture.log_prob(x, many)
    monkeypatch.setattr(autoregressive, "MEMORY_LIMIT", 3 * mixture._bytes_per_row())
    properties.close(mixture.log_prob(x, many), whole, 1e-14, "log_prob by blocks")
    assert np.exp(mixture.log_prob(x, one)).sum() == pytest.approx(1, rel=1e-12)
    assert mixture.sample(16, context=many, rng=0).shape == (16, 4)
    with pytest.raises(ValueError, match="context is missing"):
        mixture.log_prob(x)
    # Samples follow their own row's context: with weights this large it decides the first bit.
    for model in models:
        model.params["W"][-mixture.models[0].columns.n_context :] *= 30
        model.params["V"] *= 3
    y = many[rng.integers(16, size=400)]
    drawn = mixture.sample(400, context=y, rng=1)
    wrong = y[rng.permutation(400)]
    assert mixture.log_prob(drawn, y).mean() > mixture.log_prob(drawn, wrong).mean() + 0.5


def test_completions_with_a_context():
    models = [
        registry.generic(NADE(3, 4, context=2, order=order, rng=k), k)
        for k, order in enumerate(([1, 2, 0], [1, 0, 2]))
    ]
    mixture, y = OrderMixture(models, [1, 3]), np.array([1.5, -2])
    observed, x = np.array([False, True, False]), registry.all_rows(3)
    joint = np.where(x[:, 1] == 1, np.exp(mixture.log_prob(x, y)), 0)
    for context in (y, np.tile(y, (4000, 1))):
        samples = mixture.sample(4000, given=np.ones(3), observed=observed, context=context, rng=0)
        counts = np.bincount(samples @ [4, 2, 1], minlength=8)
        assert properties._p_value(counts, joint) > 1e-4


# What it is, and what it is not.


def test_is_a_density_and_no_product_of_conditionals(mixture):
    assert isinstance(mixture, Density)
    assert not isinstance(mixture, pyarsimple.models.AutoregressiveModel)
    x = registry.rows(mixture)
    for name in ("conditionals", "log_conditionals", "forward", "start", "nll_and_grads", "order"):
        assert not hasattr(mixture, name)
    with pytest.raises(AttributeError, match="a mixture has no conditionals: it is no product of"):
        mixture.conditionals(x)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        mixture.nothing()
    with pytest.raises(TypeError, match="model must be a pyarsimple model, got OrderMixture"):
        pyarsimple.fit(mixture, x)


def test_scores_and_comparisons_take_it(mixture):
    x = registry.rows(mixture)
    models = {"mixture": mixture, "component": mixture.models[0]}
    comparison = pyarsimple.compare(models, x)
    assert comparison.scores["mixture"] == evaluate(mixture, x)
    assert evaluate(mixture, x).nll == pytest.approx(-mixture.log_prob(x).mean(), rel=1e-12)
    mean = (mixture.log_prob(x) - models["component"].log_prob(x)).mean()
    assert comparison.differences["component", "mixture"][0] == pytest.approx(mean, rel=1e-9)


def test_parameters_that_are_shared_are_counted_once():
    several, one = registry.mixture(), registry.of_one_model()
    assert several.n_params == sum(model.n_params for model in several.models)
    assert one.n_params == one.models[0].n_params
    assert len(one) == 3
    assert repr(one).startswith("<OrderMixture of 3 components: OrderAgnosticMADE(4, ")
    assert repr(several).count(", ...") == 1


def test_components_are_live():
    mixture = registry.of_one_model()
    x = registry.rows(mixture)
    before = mixture.log_prob(x)
    mixture.models[1].params["b"][0] += 1
    after = mixture.log_prob(x)
    assert (after != before).all()
    again = OrderMixture(registry.make("agnostic-four-masks").members(3), (5, 1, 2))
    again.models[2].params["b"][0] += 1
    np.testing.assert_array_equal(again.log_prob(x), after)


# From one model.


def test_from_orders():
    model = registry.make("agnostic-cycle-tanh")
    x = registry.all_rows(5)
    some = [[4, 1, 0, 3, 2], np.arange(5), orders.reverse(5)]
    mixture = OrderMixture.from_orders(model, some, [1, 2, 3])
    assert [m.order.tolist() for m in mixture.models] == [list(order) for order in some]
    p = [np.exp(model.with_order(order).log_prob(x)) for order in some]
    np.testing.assert_allclose(mixture.log_prob(x), np.log(np.array([1, 2, 3]) / 6 @ p), rtol=1e-12)
    assert mixture.parts() == [mixture.models[0]]
    drawn = OrderMixture.from_orders(model, 6, rng=3)
    same = OrderMixture.from_orders(model, 6, rng=np.random.default_rng(3))
    assert [m.order.tolist() for m in drawn.models] == [m.order.tolist() for m in same.models]
    assert len({tuple(m.order) for m in drawn.models}) > 3
    properties.check_normalised(drawn)


ANY_ORDER = [
    case
    for case in registry.bit_cases()
    if hasattr(registry.MODELS[registry.CASES[case][0]], "with_order")
]


@pytest.mark.parametrize("case", ANY_ORDER)
def test_every_model_that_serves_all_orders_can_be_mixed(case, path):
    model = registry.make(case)
    properties.check_any_order(model)
    D = model.n_dims
    mixture = OrderMixture.from_orders(model, [range(D), np.roll(range(D), 1), range(D)[::-1]])
    x = registry.all_rows(D)
    p = [np.exp(view.log_prob(x)) for view in mixture.models]
    np.testing.assert_allclose(mixture.log_prob(x), np.log(np.mean(p, axis=0)), rtol=1e-5)
    assert len(mixture.parts()) == 1
    assert mixture.n_params == mixture.models[0].n_params
    mixture.save(path)
    assert_same(mixture, pyarsimple.load(path))


def test_models_of_both_kinds_are_among_them():
    names = {registry.CASES[case][0] for case in ANY_ORDER}
    assert names >= {"order-agnostic-made", "orderless-nade"}


def test_a_model_of_one_order_is_not_asked_in_others():
    with pytest.raises(
        TypeError, match=r"got MADE, which was trained for one; .* OrderMixture\(mo"
    ):
        OrderMixture.from_orders(MADE(4, (5,)), 3)


REFUSED = [
    ([], None, ValueError, "models must hold at least one model"),
    (3, None, TypeError, "models must be a sequence of models, got int"),
    (NADE(3, 2), None, TypeError, "got NADE; for one model in many orders use OrderMixture.from_o"),
    ([NADE(3, 2), "nade"], None, TypeError, r"models\[1\] must be a model, got str"),
    ([NADE(3, 2), NADE(4, 2)], None, ValueError, r"models\[0\] has n_dims 3, models\[1\] has 4"),
    (
        [NADE(3, 2), NADE(3, 2, conditional=Gaussian())], None, ValueError,
        r"models\[0\] has conditional Bernoulli\(\), models\[1\] has Gaussian",
    ),
    ([NADE(3, 2), NADE(3, 2, context=2)], None, ValueError, "has context 0, .* has 2"),
    ([NADE(3, 2)], [1, 2], ValueError, r"weights must be numbers of shape \(1,\)"),
    ([NADE(3, 2)], ["1"], ValueError, "weights must be numbers of shape"),
    ([NADE(3, 2)], [True], ValueError, "weights must be numbers of shape"),
    ([NADE(3, 2)] * 2, [1, 0], ValueError, "weights must be finite and above 0"),
    ([NADE(3, 2)] * 2, [1, -1], ValueError, "weights must be finite and above 0"),
    ([NADE(3, 2)] * 2, [1, np.nan], ValueError, "weights must be finite and above 0"),
    ([NADE(3, 2)] * 2, [1e-320, 1e9], ValueError, "too different"),
    ([NADE(3, 2)] * 2, [1, np.inf], ValueError, "weights must be finite and above 0"),
]  # fmt: skip


@pytest.mark.parametrize(("models", "weights", "error", "words"), REFUSED)
def test_what_is_no_mixture_is_refused(models, weights, error, words):
    with pytest.raises(error, match=words):
        OrderMixture(models, weights)


# Files.


def assert_same(a, b):
    assert type(a) is type(b) is OrderMixture
    assert a.config() == b.config()
    assert (a.weights == b.weights).all()
    assert not b.weights.flags.writeable
    assert [m.config() for m in a.models] == [m.config() for m in b.models]
    x = registry.all_rows(a.n_dims)
    np.testing.assert_array_equal(b.log_prob(x), a.log_prob(x))
    np.testing.assert_array_equal(b.sample(50, rng=1), a.sample(50, rng=1))
    for mixture in (a, b):  # what is shared is shared, and nothing else
        held = {id(p) for model in mixture.models for p in model.params.values()}
        assert len(held) == sum(len(part.params) for part in mixture.parts())


def test_comes_back_bit_for_bit(mixture, path):
    mixture.save(path)
    loaded = pyarsimple.load(path)
    assert_same(mixture, loaded)
    content = path.read_bytes()
    loaded.save(path)
    assert path.read_bytes() == content
    assert_same(mixture, pickle.loads(pickle.dumps(mixture)))
    assert_same(mixture, copy.deepcopy(mixture))


def test_what_is_shared_is_in_the_file_once(path):
    model = OrderAgnosticMADE(20, (30,), rng=0)
    OrderMixture.from_orders(model, 16, rng=0).save(path)
    with np.load(path) as file:
        assert sorted(file.files) == sorted(
            ["header.json", *(f"parts/0/{name}" for name in model.params)]
        )
        header = json.loads(file["header.json"])
    assert len(header["content"]["config"]["views"]) == 16
    assert len(header["content"]["parts"]) == 1


def test_a_view_of_other_degrees_is_a_view(path):
    model = registry.make("agnostic-degrees-sigmoid")
    mixture = OrderMixture(model.members(3))
    assert all(set(view) <= {"degrees"} for _, view in mixture.config()["views"])
    mixture.save(path)
    assert_same(mixture, pyarsimple.load(path))


def test_a_mixture_of_mixtures(path):
    inner = registry.mixture(weights=None)
    outer = OrderMixture([registry.make("made"), inner], [1, 4])
    x = registry.all_rows(5)
    flat = OrderMixture([registry.make("made"), *inner.models])
    np.testing.assert_allclose(outer.log_prob(x), flat.log_prob(x), rtol=1e-13)
    properties.check_normalised(outer)
    outer.save(path)
    loaded = pyarsimple.load(path)
    np.testing.assert_array_equal(loaded.log_prob(x), outer.log_prob(x))


def forge(path, change):
    """Write a good mixture with its header changed, or its members."""
    mixture = registry.mixture(cases=["nade-cycle", "fvsbn-cycle"], weights=[1, 2])
    mixture.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(members["header.json"])
    change(header, members)
    members["header.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def content_of(**changes):
    return lambda header, members: header["content"].update(changes)


def config_of(**changes):
    return lambda header, members: header["content"]["config"].update(changes)


def of_part_one(**changes):
    return lambda header, members: header["content"]["parts"][1].update(changes)


def more_members(*names):
    def change(header, members):
        array = io.BytesIO()
        np.lib.format.write_array(array, np.zeros(3), version=(1, 0))
        for name in names:
            members[f"{name}.npy"] = array.getvalue()
            header["arrays"].append(name)

    return change


BIG = 10**30
HOSTILE = [
    (content_of(parts=[]), "'parts' must list at least one model"),
    (content_of(parts=None), "'parts' must list at least one model"),
    (content_of(parts={"0": {}}), "'parts' must list at least one model"),
    (content_of(parts=[1, 2]), "'parts' must list at least one model"),
    (content_of(parts=[{}, {}]), "its model is None, must be one of"),
    (of_part_one(**{"class": "os.system"}), "its model is 'os.system'"),
    (of_part_one(**{"class": ["nade"]}), "must be one of"),
    (of_part_one(config={}), "'config' must have the keys"),
    (of_part_one(**{"class": "order-mixture"}), "'config' must have the keys"),
    (config_of(weights=[1, 2]), "which save would have written as"),
    (config_of(weights=[1.0]), "weights must be numbers of shape"),
    (config_of(weights=[1.0, 0.0]), "weights must be finite and above 0"),
    (config_of(weights="ab"), "weights must be numbers of shape"),
    (config_of(more=1), "'config' must have the keys"),
    (config_of(views=[]), "models must hold at least one model"),
    (config_of(views={}), "views must be a list"),
    (config_of(views=[[0, {}]]), "weights must be numbers of shape"),
    (config_of(views=[[0, {}], [0, {}]]), "views must use each part"),
    (config_of(views=[[1, {}], [0, {}]]), "views must use each part"),
    (config_of(views=[[0, {}], [2, {}]]), "views must be a list of"),
    (config_of(views=[[0, {}], [-1, {}]]), "views must be a list of"),
    (config_of(views=[[0, {}], [True, {}]]), "which save would have written as"),
    (config_of(views=[[0, {}], [1.0, {}]]), "views must be a list of"),
    (config_of(views=[[0, {}], [BIG, {}]]), "views must be a list of"),
    (config_of(views=[[0, {}], [1, []]]), "views must be a list of"),
    (config_of(views=[[0, {}], 1]), "views must be a list of"),
    (
        config_of(views=[[0, {}], [1, {"order": [4, 3, 2, 1, 0]}]]),
        "a view of FVSBN cannot differ in 'order'",
    ),
    (config_of(views=[[0, {}], [1, {"dropout": 0.5}]]), "a view of FVSBN cannot differ in"),
    (more_members("W"), "its array 'W' belongs to none of its 2 parts"),
    (more_members("parts/2/W"), "its array 'parts/2/W' belongs to none of its 2 parts"),
    (more_members("parts/00/W"), "belongs to none of its 2 parts"),
    (more_members("parts/0/A"), "its parameters must be"),
    (more_members("parts/0/parts/0/A"), "its parameters must be"),
]


@pytest.mark.parametrize(("change", "reason"), HOSTILE)
def test_files_that_are_wrong_are_refused(change, reason, path):
    forge(path, lambda header, members: None)
    assert_same(
        registry.mixture(cases=["nade-cycle", "fvsbn-cycle"], weights=[1, 2]), storage.load(path)
    )
    forge(path, change)
    with pytest.raises(ValueError, match=re.escape(f"cannot read {str(path)!r}: ")) as caught:
        storage.load(path)
    assert reason in str(caught.value)


def test_a_view_that_its_part_cannot_give_is_refused(path):
    mixture = registry.of_one_model()
    for changes in (
        {"order": [0, 1, 2]}, {"order": [0, 1, 2, 2]}, {"order": None}, {"order": "natural"},
        {"degrees": "random"}, {"degrees": [[1, 1, 1]]}, {"degrees": [[9] * 3, [1] * 5]},
        {"dropout": 0.5}, {"order": [0, 1, 2, 3], "n_masks": 7},
    ):  # fmt: skip
        mixture.save(path)
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        header = json.loads(members["header.json"])
        header["content"]["config"]["views"][1][1] = changes
        members["header.json"] = json.dumps(header).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        with pytest.raises(ValueError, match="cannot read"):
            storage.load(path)


def test_parts_nested_without_end_are_refused(path):
    def nest(header, members):
        inner = header["content"]["parts"][0]
        for _ in range(400):
            config = {"weights": None, "views": [[0, {}]]}
            inner = {"class": "order-mixture", "config": config, "parts": [inner]}
        header["content"]["parts"][0] = inner

    forge(path, nest)
    with pytest.raises(ValueError, match="cannot read"):
        storage.load(path)


def test_nothing_is_made_before_the_shapes_of_the_parts_were_checked(path, monkeypatch):
    def ask_for_a_terabyte(header, members):
        header["content"]["parts"][0]["config"]["n_hidden"] = 10**11

    forge(path, ask_for_a_terabyte)
    monkeypatch.setattr(NADE, "_initial_params", lambda *args: pytest.fail("too early"))
    with pytest.raises(ValueError, match="must have shape"):
        storage.load(path)


def test_on_the_command_line(path, tmp_path, capsys):
    from pyarsimple import cli

    mixture = registry.mixture()
    mixture.save(path)
    x = registry.rows(mixture).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    assert cli.main(["evaluate", str(path), "--data", str(tmp_path / "x.npy")]) == 0
    assert f"{-mixture.log_prob(x).mean():.3f}" in capsys.readouterr().out
    assert cli.main(["info", str(path)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("model         OrderMixture\n")
    assert re.search(r"^components +4$", shown, flags=re.M)
    assert shown.count("\npart ") == 4
    out = tmp_path / "samples.npy"
    assert cli.main(["sample", str(path), "-n", "7", "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), mixture.sample(7, rng=0))


# The page and the example.

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the pages are not here")
def test_the_example_on_the_page_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "orders.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    names = {}
    exec(example, names)
    assert re.search(r"^eight +\d\d\.\d+ .* best$", capsys.readouterr().out, flags=re.M)
    x = names["digits"].test
    loaded = pyarsimple.load("mixture.npz")
    np.testing.assert_array_equal(loaded.log_prob(x), names["mixture"].log_prob(x))


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "examples").is_dir(), reason="the examples are not here")
def test_the_example_script_shows_what_it_says(capsys):
    pytest.importorskip("sklearn")
    runpy.run_path(str(ROOT / "examples" / "orders.py"), run_name="__main__")
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert re.search(r"^averaged probabilities +1\.000$", shown, flags=re.M)
    logits = float(re.search(r"^averaged logits +([\d.]+)$", shown, flags=re.M)[1])
    assert abs(logits - 1) > 0.005
    ladder = re.findall(r"^(\d+) +([\d.]+) +([\d.]+)$", shown, flags=re.M)
    assert [int(n) for n, _, _ in ladder] == [1, 2, 4, 8, 16]
    assert all(float(averaged) <= float(mean) for _, mean, averaged in ladder)
    assert float(ladder[-1][2]) < float(ladder[0][2]) - 1
