"""Promise: MADE for many orders draws its masks from a seed, and asks one set of weights in all."""

import copy
import itertools

import numpy as np
import properties
import pytest
import registry

import pyarsimple
from pyarsimple import MADE, OrderAgnosticMADE, optimizers
from pyarsimple.conditionals import Categorical, Gaussian
from pyarsimple.evaluation import evaluate
from pyarsimple.orders import OrderMixture

CASES = registry.cases(model="order-agnostic-made", dtype="float64")


@pytest.fixture(params=CASES)
def agnostic(request):
    return registry.make(request.param)


# Sets of masks.


def test_any_order_is_a_density_of_its_own(agnostic):
    properties.check_any_order(agnostic)


def test_sets_of_masks_have_numbers(agnostic):
    properties.check_members(agnostic)


def sets(n=40, **settings):
    model = OrderAgnosticMADE(6, (20, 9), seed=3, **settings)
    found = [model.mask_set(k) for k in range(n)]
    return [tuple(order) for order, _ in found], [tuple(map(tuple, m)) for _, m in found]


def test_what_is_redrawn_differs_and_the_rest_is_the_same():
    orders, degrees = sets(redraw="both")
    assert len(set(orders)) > 35
    assert len(set(degrees)) == 40
    orders, degrees = sets(redraw="order")
    assert len(set(orders)) > 35
    assert len(set(degrees)) == 1
    orders, degrees = sets(redraw="degrees")
    assert len(set(orders)) == 1
    assert len(set(degrees)) == 40


def test_drawn_degrees_cut_no_path_and_favour_no_unit():
    """Every degree is present, and over many sets each unit has each degree about as often."""
    _, degrees = sets(400, degrees="random")
    first = np.array([m[0] for m in degrees[1:]])  # (399, 20)
    assert all(set(m) == {1, 2, 3, 4, 5} for m in first)
    mean = first.mean(axis=0)
    np.testing.assert_allclose(mean, 3, atol=0.4)
    for _, m in zip(range(5), degrees, strict=False):
        model = OrderAgnosticMADE(6, (20, 9), degrees=[list(layer) for layer in m])
        assert (model.dependencies() == pyarsimple.orders.precedes(model.order)).all()


def test_sets_follow_from_the_seed_alone():
    def model(seed, rng):
        return OrderAgnosticMADE(7, (6,), n_masks=5, seed=seed, rng=rng)

    def drawn(m):
        return [(a.tolist(), [d.tolist() for d in b]) for a, b in map(m.mask_set, range(1, 5))]

    assert drawn(model(1, 0)) == drawn(model(1, 9))
    assert drawn(model(1, 0)) != drawn(model(2, 0))
    unseeded = [OrderAgnosticMADE(7, (6,), rng=rng).seed for rng in (0, 0, 1, None, None)]
    assert unseeded[0] == unseeded[1]
    assert len(set(unseeded)) == 4
    again = OrderAgnosticMADE(**model(None, 4).config())
    assert drawn(again) == drawn(model(None, 4))


def test_a_view_shares_its_parameters_and_leaves_the_model_alone(agnostic):
    order, config = agnostic.order.copy(), agnostic.config()
    view = agnostic.with_order(np.roll(agnostic.order, 1))
    assert view.params is agnostic.params
    assert (agnostic.order == order).all()
    assert agnostic.config() == config
    assert type(view) is OrderAgnosticMADE
    assert {**view.config(), "order": config["order"]} == config
    if agnostic.n_dims > 1:
        with pytest.raises(ValueError, match="read-only"):
            view.order[0] = 1


def test_views_with_degrees():
    model = registry.make("agnostic-four-masks")
    view = model.with_order([3, 1, 0, 2], [[1, 3, 2], [0, 3, 1, 1, 2]])
    assert [m.tolist() for m in view.degrees] == [[1, 3, 2], [0, 3, 1, 1, 2]]
    properties.check_definition(view)
    properties.check_sequential(view)
    for degrees, error, words in [
        ([[1, 3, 2]], ValueError, "degrees must be one array of whole numbers for each hidden"),
        ([[1, 4, 2], [1] * 5], ValueError, r"degrees must lie in 0..3"),
        ("spread", TypeError, "degrees must be arrays, one for each hidden layer, got 'spread'"),
        (3, TypeError, "degrees must be"),
    ]:
        with pytest.raises(error, match=words):
            model.with_order(model.order, degrees)
    for order in ([0, 1, 2], [0, 1, 2, 2], "natural"):
        with pytest.raises(ValueError, match="order must"):
            model.with_order(order)


def test_members_of_finitely_many_sets_and_of_endlessly_many():
    finite, endless = registry.make("agnostic-four-masks"), registry.make("agnostic-cycle-tanh")
    assert len(finite.members()) == 4
    assert len(finite.members(2)) == 2
    assert len(endless.members(9)) == 9
    with pytest.raises(ValueError, match="n must be at most n_masks = 4, got 5"):
        finite.members(5)
    with pytest.raises(ValueError, match="n must be given: with n_masks=None there is no end"):
        endless.members()
    with pytest.raises(ValueError, match="n must be at least 1"):
        finite.members(0)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"n_masks": 1}, ValueError, "n_masks must be at least 2, got 1"),
        ({"n_masks": 2.0}, TypeError, "n_masks must be a whole number"),
        ({"redraw": "masks"}, ValueError, "redraw must be one of both, order, degrees, got 'mas"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": "x"}, TypeError, "seed must be a whole number"),
    ],
)
def test_constructor_names_the_argument(settings, error, words):
    with pytest.raises(error, match=words):
        OrderAgnosticMADE(4, (3,), **settings)


# Which weights are free.


@pytest.mark.parametrize(
    ("n_dims", "settings"),
    [
        (D, {"redraw": redraw, "direct": direct, "context": context, "hidden_sizes": sizes})
        for D, redraw, direct, context, sizes in itertools.product(
            (1, 2, 4), ("both", "order", "degrees"), (False, True), (0, 2), ((), (3,), (4, 5))
        )
    ],
)
def test_free_is_what_some_set_leaves_free(n_dims, settings):
    """Of endless sets what is free is derived; here it is found by looking at many."""
    model = OrderAgnosticMADE(n_dims, seed=0, order=np.roll(range(n_dims), 1), **settings)
    found = {name: mask & False for name, mask in model.masks().items()}
    for k in range(150):
        for name, mask in MADE.masks(model.member(k)).items():
            found[name] |= mask
    assert list(found) == list(model.masks())
    for name, mask in model.masks().items():
        np.testing.assert_array_equal(found[name], mask, err_msg=name)


def test_masked_in_all_sets_is_masked():
    model = registry.make("agnostic-degrees-sigmoid")
    last = model.order[-1]
    assert not model.masks()["W1"][last].any()  # nothing comes after it, whatever the degrees
    assert model.masks()["W1"][model.order[0]].all()
    assert not model.masks()["V"][model.order[0]].any()
    properties.check_masked(model)


def test_variables_of_several_columns():
    """A class has several features: what is free is free for all of them."""
    model = OrderAgnosticMADE(4, (6, 5), conditional=Categorical(3), direct=True, seed=1)
    masks = model.masks()
    assert masks["W1"].shape == (12, 6)
    own = np.repeat(np.repeat(np.eye(4, dtype=bool), 3, axis=0), 3, axis=1)
    np.testing.assert_array_equal(masks["A"], ~own)


# Training.


def test_batches_see_all_sets_as_often(monkeypatch):
    model = registry.make("agnostic-four-masks")
    seen = []
    original = OrderAgnosticMADE.member
    monkeypatch.setattr(
        OrderAgnosticMADE, "member", lambda self, k: seen.append(k) or original(self, k)
    )
    rng, x = np.random.default_rng(0), registry.rows(model)
    for _ in range(400):
        model.training_loss_and_grads(x, rng)
    np.testing.assert_allclose(np.bincount(seen) / 400, 1 / 4, atol=0.07)


def test_the_training_loss_is_that_of_the_set_that_was_drawn():
    model = registry.make("agnostic-four-masks")
    x = registry.rows(model)
    of_sets = [member.nll_and_grads(x) for member in model.members()]
    found = set()
    for seed in range(30):
        loss, grads = model.training_loss_and_grads(x, rng=seed)
        (k,) = [k for k, (nll, _) in enumerate(of_sets) if nll == loss]
        for name, g in of_sets[k][1].items():
            properties.same_bits(grads[name], g, name)
        found.add(k)
    assert found == {0, 1, 2, 3}


def test_the_mean_over_all_orders_is_what_endless_sets_estimate():
    """Of three variables without hidden layers there are six orders, each as probable."""
    model = registry.generic(OrderAgnosticMADE(3, (), direct=True, redraw="order", rng=0), 0)
    x = registry.rows(model)
    every = [model.with_order(q).nll_and_grads(x)[0] for q in itertools.permutations(range(3))]
    rng = np.random.default_rng(1)
    drawn = [model.training_loss_and_grads(x, rng)[0] for _ in range(3000)]
    assert {round(value, 9) for value in drawn} == {round(value, 9) for value in every}
    assert np.mean(drawn) == pytest.approx(np.mean(every), abs=4 * np.std(every) / np.sqrt(3000))


def test_what_is_random():
    assert registry.make("agnostic-four-masks").is_stochastic
    for model in (
        OrderAgnosticMADE(1, (3,)),
        OrderAgnosticMADE(5, (), redraw="degrees"),
        OrderAgnosticMADE(2, (3,), redraw="degrees"),
    ):  # of these there is one set of masks only
        assert not model.is_stochastic
        x = registry.rows(model)
        assert model.training_loss_and_grads(x, rng=0)[0] == model.nll_and_grads(x)[0]
    model = registry.make("agnostic-four-masks")
    with pytest.raises(ValueError, match="'lbfgs' needs a loss that is not random"):
        pyarsimple.fit(model, registry.rows(model), optimizer="lbfgs")


def related_bits(n, D=8, seed=0):
    """Bits that all hang on two hidden ones, so that every order has something to learn."""
    rng = np.random.default_rng(seed)
    causes = rng.integers(0, 2, (n, 2))
    x = causes[:, np.arange(D) % 2] ^ (rng.random((n, D)) < 0.15)
    return x.astype(np.uint8)


@pytest.mark.parametrize("n_masks", [None, 6])
def test_one_training_serves_all_its_orders(n_masks):
    train, test = related_bits(2000), related_bits(1000, seed=1)
    model = OrderAgnosticMADE(8, (40,), n_masks=n_masks, direct=True, rng=0, seed=0)
    pyarsimple.fit(model, train, max_epochs=40, optimizer=optimizers.Adam(0.01), rng=1)
    independent = evaluate(pyarsimple.baselines.IndependentBernoulli(8).fit(train), test).nll
    members = model.members(6)
    nll = [evaluate(member, test).nll for member in members]
    assert max(nll) < independent - 0.5
    mixture = evaluate(OrderMixture(members), test).nll
    assert mixture < np.mean(nll)
    # Weights that one set masks were not lost to the others.
    for name, mask in MADE.masks(model).items():
        others = model.masks()[name] & ~mask
        assert (model.params[name][others] != 0).all(), name


def test_training_resumes_to_the_same_bits(tmp_path):
    x = related_bits(300)
    models = [OrderAgnosticMADE(8, (10,), rng=0, dropout=0.2) for _ in range(2)]
    settings = {"rng": 3, "batch_size": 50}
    pyarsimple.fit(models[0], x, max_epochs=4, **settings)
    file = tmp_path / "checkpoint.npz"
    pyarsimple.fit(models[1], x, max_epochs=2, checkpoint=file, **settings)
    pyarsimple.fit(models[1], x, max_epochs=4, resume=file, **settings)
    for name, p in models[0].params.items():
        properties.same_bits(models[1].params[name], p, name)


def test_scales_down_what_is_masked_nowhere():
    """Fresh weights are there for every set, not only for the first."""
    model = OrderAgnosticMADE(9, (30, 20), direct=True, rng=0)
    for name in ("W1", "W2", "V"):
        assert (model.params[name] != 0).all()
    assert (np.diagonal(model.params["A"]) == 0).all()


def test_other_conditionals_and_contexts():
    rng = np.random.default_rng(0)
    for conditional, x in (
        (Categorical(3), rng.integers(0, 3, (12, 4))),
        (Gaussian(), rng.normal(size=(12, 4))),
    ):
        model = registry.generic(
            OrderAgnosticMADE(
                4, (7,), hidden="tanh", conditional=conditional, context=2, direct=True, rng=0
            ), 0,
        )  # fmt: skip
        y = rng.normal(size=(12, 2))
        loss, grads = model.training_loss_and_grads(x, 3, context=y)
        numeric = properties.central_differences(
            lambda m=model, x=x, y=y: m.training_loss_and_grads(x, 3, context=y)[0], model.params
        )
        properties._check_grads(grads, numeric, model.params, 1e-6)
        assert loss != model.nll_and_grads(x, y)[0]
        before = copy.deepcopy(model.with_order([2, 0, 3, 1])).log_prob(x, y)
        properties.same_bits(model.with_order([2, 0, 3, 1]).log_prob(x, y), before, "log_prob")
