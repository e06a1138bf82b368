"""Promise: probabilities are what the textbook says. The first referee judges the library."""

import ast
import math
from pathlib import Path

import definition
import numpy as np
import properties
import pytest
import registry
from hypothesis import given

from pyarsimple.models import MODELS


def test_every_configuration(model):
    properties.check_definition(model)


@given(registry.models(max_dims=4))
def test_any_settings(model):
    properties.check_definition(model)


# The referee itself, against numbers worked out by hand.


def test_fvsbn_by_hand():
    params = {"W": [[9.0, 9.0], [math.log(3), 9.0]], "b": [math.log(2), 0.0]}
    natural = {"n_dims": 2, "order": [0, 1]}
    for x, p in (([0, 1], [2 / 3, 1 / 2]), ([1, 1], [2 / 3, 3 / 4])):
        assert definition.conditionals("fvsbn", params, natural, x) == pytest.approx(p)
    log_p = definition.log_prob("fvsbn", params, natural, [1, 0])
    assert log_p == pytest.approx(math.log(2 / 3 * 1 / 4))


def test_nade_by_hand():
    params = {"W": [[2.0], [-1.0]], "c": [-1.0], "V": [[3.0], [0.5]], "b": [0.25, -2.0]}
    settings = {"n_dims": 2, "order": [1, 0], "n_hidden": 1, "hidden": "relu"}
    # x_1 comes first: its unit is relu(-1) = 0. Then x_0, whose unit is relu(-1 - x_1) = 0, too.
    assert definition.nade(params, settings, [1, 1]) == [0.25, -2.0]
    # In the natural order the unit of x_1 is relu(-1 + 2) = 1 if x_0 = 1.
    settings["order"] = [0, 1]
    assert definition.nade(params, settings, [1, 0]) == [0.25, -1.5]


def test_made_by_hand():
    params = {
        "W1": [[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]], "c1": [0.5, 0.25],
        "V": [[7.0, 7.0], [1.0, 3.0], [2.0, 4.0]], "b": [0.0, 0.0, 0.0],
    }  # fmt: skip
    settings = {
        "n_dims": 3, "order": [0, 1, 2], "hidden": "relu", "degrees": [[1, 2]], "direct": False,
    }  # fmt: skip
    # The unit of degree 1 sees x_0: 1.5; the one of degree 2 sees x_0 and x_1: 22.25.
    assert definition.made(params, settings, [1, 1, 1]) == [0.0, 1.5, 2 * 1.5 + 4 * 22.25]
    triangle = [[False, False, False], [True, False, False], [True, True, False]]
    assert definition.dependencies("made", settings) == triangle
    settings["degrees"] = [[2, 2]]  # nothing leads to the second variable
    assert definition.dependencies("made", settings)[1] == [False, False, False]


def test_independent_by_hand():
    params, settings = {"b": [0.0, math.log(4)]}, {"n_dims": 2, "order": [0, 1]}
    assert definition.conditionals("independent", params, settings, [1, 0]) == [0.5, 0.8]


@pytest.mark.parametrize("z", [-1000.0, -40.0, -1.0, 0.0, 0.3, 40.0, 700.0])
def test_log_sigmoid_by_series(z):
    if z > 30:  # -e^-z (1 - ...)
        wanted = -math.exp(-z)
    elif z < -30:
        wanted = z - math.exp(z)
    else:
        wanted = math.log(definition.sigmoid(z))
    assert definition.log_sigmoid(z) == pytest.approx(wanted, rel=1e-13)


def test_imports_nothing_of_ours_and_no_numpy():
    tree = ast.parse(Path(definition.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {getattr(node, "module", None) or node.names[0].name for node in imports}
    assert names == {"itertools", "math", "decimal"}


# The registry.


def test_every_model_is_defined_and_registered():
    assert set(definition.LOGITS) == set(definition.DEPENDENCIES) == set(MODELS)
    assert set(registry.RANDOM) == set(MODELS)
    for name in MODELS:
        cases = [case for case in registry.CASES if registry.CASES[case][0] == name]
        models = [registry.make(case) for case in cases]
        assert {m.dtype.name for m in models} == {"float32", "float64"}
        assert 1 in {m.n_dims for m in models}
        # The order is not its own inverse: order[order[k]] is not k for all k.
        assert any((m.order[m.order] != np.arange(m.n_dims)).any() for m in models), name


def test_no_parameter_is_zero_and_no_two_sizes_are_equal(model):
    for p in model.params.values():
        assert (p != 0).all()
        assert np.unique(p).size == p.size
    settings = model.config()
    sizes = [registry.N, model.n_dims, settings.get("n_hidden", 0)]
    sizes += settings.get("hidden_sizes", [])
    assert len(set(sizes)) == len(sizes), sizes


@given(registry.models())
def test_random_models_have_generic_parameters_too(model):
    assert all((p != 0).all() for p in model.params.values())


def test_rows_take_both_values(model):
    x = registry.rows(model)
    assert (x.min(axis=0) == 0).all()
    assert (x.max(axis=0) == 1).all()


def test_rows_are_enumerated_alike():
    assert registry.all_rows(3).tolist() == definition.all_rows(3)
