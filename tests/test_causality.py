"""Promise: p(x_i | x_<i) depends on just those variables that it may depend on.

An equality of sets: no variable looks at itself or ahead, to the last bit, and every dependence
that is claimed is there.
"""

import numpy as np
import properties
import pytest
import registry
from hypothesis import given

from pyarsimple import MADE, orders
from pyarsimple.models.made import make_masks, random_degrees, spread_degrees

WIDE = [
    "fvsbn", "fvsbn-cycle", "fvsbn-cycle-float32", "fvsbn-D1", "fvsbn-D2",
    "nade", "nade-cycle", "nade-cycle-float32", "nade-dropout", "nade-H1", "nade-D1",
    "made", "made-cycle-tanh", "made-two-layers-direct", "made-three-layers-random",
    "made-no-layers", "made-no-layers-direct", "made-float32", "made-dropout", "made-D1",
    "markov-k-beyond-D", "mixture", "mixture-cycle", "mixture-cycle-float32", "joint-cycle",
]  # fmt: skip


def test_dependences_are_those_of_the_definition(model):
    properties.check_causality(model)


@given(registry.models())
def test_blind_to_the_future_for_any_settings(model):
    properties.check_future_blind(model)
    # Units that are never active may cut a path here; but nothing is there that is not claimed.
    found = properties.observed_dependencies(model, registry.everything(model))
    assert not (found & ~model.dependencies()).any()


@pytest.mark.parametrize("case", WIDE)
def test_all_that_the_order_allows_is_there(case):
    properties.check_full(registry.make(case))


def test_narrow_models_claim_less():
    for case in ("made-H1", "made-random-narrow", "made-degrees-given"):
        claimed = registry.make(case).dependencies()
        triangle = orders.precedes(registry.make(case).order)
        assert (claimed <= triangle).all()
        assert claimed.sum() < triangle.sum()


@given(registry.models(max_dims=6))
def test_claims_are_the_paths_through_the_masks(model):
    """MADE's dependences are the product of the masks of all layers; all stay in the triangle."""
    assert (model.dependencies() <= orders.precedes(model.order)).all()
    if isinstance(model, MADE):
        masks = [m.astype(np.int64) for m in make_masks(model.order, model.degrees)]
        paths = masks[-1]
        for mask in masks[-2::-1]:
            paths = paths @ mask.T
        if model.direct:
            paths = paths + orders.precedes(model.order)
        assert (model.dependencies() == (paths > 0)).all()


@pytest.mark.parametrize("seed", range(30))
def test_random_degrees_cut_no_path(seed):
    """Independent draws would cut 12% of the paths of this very network."""
    model = MADE(10, (12, 12), degrees="random", rng=seed)
    assert (model.dependencies() == orders.precedes(model.order)).all()


@pytest.mark.parametrize("n_dims", [1, 2, 3, 7])
@pytest.mark.parametrize("n_units", [1, 2, 5, 6, 13])
def test_degrees(n_units, n_dims):
    random = random_degrees(n_units, n_dims, np.random.default_rng(3))
    for degrees in (spread_degrees(n_units, n_dims), random):
        assert degrees.shape == (n_units,)
        assert degrees.dtype == np.intp
        assert (np.diff(degrees) >= 0).all()
        if n_dims == 1:
            assert (degrees == 0).all()
            continue
        assert degrees.min() >= 1
        assert degrees.max() <= n_dims - 1
        assert len(set(degrees.tolist())) == min(n_units, n_dims - 1)
    if n_dims > 1:
        counts = np.bincount(spread_degrees(n_units, n_dims), minlength=n_dims)[1:]
        assert counts.max() - counts.min() <= 1


def test_random_degrees_are_random():
    def drawn(rng):
        return MADE(9, (20,), degrees="random", rng=rng).degrees[0].tolist()

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_many_variables_from_random_points():
    """Beyond what can be enumerated: D = 60, each variable changed at random rows."""
    order = np.random.default_rng(4).permutation(60)
    for model in (
        registry.generic(registry.MODELS["nade"](60, 9, order=order), 1),
        registry.generic(MADE(60, (80, 70), order=order, hidden="tanh"), 2),
        registry.generic(registry.MODELS["fvsbn"](60, order=order), 3),
    ):
        x = registry.rows(model, n=24)
        found = properties.observed_dependencies(model, x)
        assert not (found & ~orders.precedes(order)).any()
        assert found.sum() > 0.95 * orders.precedes(order).sum()
