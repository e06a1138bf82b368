"""Promise: probabilities are what the textbook says. The first referee judges the library."""

import ast
import math
from decimal import Decimal, localcontext
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


def test_markov_chain_by_hand():
    params = {"T": [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 0.0, 0.0], [7.0, 0.0, 0.0, 0.0]]}
    settings = {"n_dims": 3, "order": [2, 1, 0], "k": 2}
    # x_2 comes first; x_1 knows x_2; the latest bit before x_0 is x_1.
    assert definition.markov_chain(params, settings, [0, 1, 0]) == [2.0, 5.0, 7.0]
    assert definition.markov_chain(params, settings, [0, 0, 1]) == [3.0, 6.0, 7.0]
    chain = [[False, True, True], [False, False, True], [False, False, False]]
    assert definition.dependencies("markov-chain", settings) == chain
    settings["k"] = 1
    assert definition.markov_chain(params, settings, [0, 0, 1]) == [1.0, 6.0, 7.0]


def test_chow_liu_by_hand():
    params = {"T": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}
    settings = {"n_dims": 3, "order": [1, 0, 2], "parents": [1, -1, 0]}
    assert definition.chow_liu(params, settings, [0, 1, 1]) == [2.0, 3.0, 5.0]
    table = [[False, True, False], [False, False, False], [True, False, False]]
    assert definition.dependencies("chow-liu", settings) == table


def test_joint_table_by_hand():
    """Of two bits with p(00), p(01), p(10), p(11) = 1/2, 1/4, 1/8, 1/8, the second one first."""
    # p(x_1 = 1) = 3/8; then p(x_0 = 1 | x_1 = 0) = 1/5 and p(x_0 = 1 | x_1 = 1) = 1/3.
    params = {"T": [math.log(3 / 5), math.log(1 / 4), math.log(1 / 2)]}
    settings = {"n_dims": 2, "order": [1, 0]}
    for x, p in (([0, 0], 1 / 2), ([0, 1], 1 / 4), ([1, 0], 1 / 8), ([1, 1], 1 / 8)):
        assert definition.log_prob("joint-table", params, settings, x) == pytest.approx(math.log(p))


def test_bernoulli_mixture_by_hand():
    """Two kinds, of shares 1/3 and 2/3; their bits are 1 with chances 1/2, 1/4 and 1/5, 3/4."""
    logit = [[math.log(p / (1 - p)) for p in kind] for kind in ([1 / 2, 1 / 4], [1 / 5, 3 / 4])]
    params, settings = {"w": [math.log(2)], "M": logit}, {"n_dims": 2, "order": [0, 1]}
    first = 1 / 3 * 1 / 2 + 2 / 3 * 1 / 5
    both = 1 / 3 * 1 / 2 * 1 / 4 + 2 / 3 * 1 / 5 * 3 / 4
    p = definition.conditionals("bernoulli-mixture", params, settings, [1, 0])
    assert p == pytest.approx([first, both / first], rel=1e-14)


@pytest.mark.parametrize("z", [-1000.0, -40.0, -1.0, 0.0, 0.3, 40.0, 700.0])
def test_log_sigmoid_by_series(z):
    if z > 30:  # -e^-z (1 - ...)
        wanted = -math.exp(-z)
    elif z < -30:
        wanted = z - math.exp(z)
    else:
        wanted = math.log(definition.sigmoid(z))
    assert definition.log_sigmoid(z) == pytest.approx(wanted, rel=1e-13)


def test_conditionals_by_hand():
    log_p, cumulative = definition.log_p, definition.cumulative
    classes = {"name": "categorical", "n_classes": [2, 3]}
    logits = [math.log(1), math.log(2), math.log(5)]
    assert log_p(classes, 1, logits, 2) == pytest.approx(math.log(5 / 8), rel=1e-14)
    assert cumulative(classes, 1, logits, 1) == pytest.approx(3 / 8, rel=1e-14)
    assert definition.features(classes, 1, 2) == [0, 0, 1]

    one = math.log(math.e - 1)  # log(1 + exp(one)) = 1
    gaussian = {"name": "gaussian", "min_scale": 2.0}  # so the scale is 3
    wanted = -0.5 * ((7 - 1) / 3) ** 2 - math.log(3 * math.sqrt(2 * math.pi))
    assert log_p(gaussian, 0, [1.0, one], 7.0) == pytest.approx(wanted, rel=1e-14)
    assert cumulative(gaussian, 0, [1.0, one], 4.0) == pytest.approx(0.8413447460685429, rel=1e-14)

    mixture = {"name": "mixture", "n_components": 2, "min_scale": 2.0}
    outputs = [0.0, math.log(3), -1.0, 1.0, one, one]  # 1/4 of N(-1, 3), 3/4 of N(1, 3)
    left, right = (math.exp(-0.5 * (z / 3) ** 2) / 3 / math.sqrt(2 * math.pi) for z in (2, 0))
    wanted = math.log(left / 4 + right * 3 / 4)
    assert log_p(mixture, 0, outputs, 1.0) == pytest.approx(wanted, rel=1e-14)

    mixed = {"name": "mixed", "conditionals": [{"name": "bernoulli"}, gaussian]}
    assert log_p(mixed, 0, [math.log(3)], 0) == pytest.approx(math.log(1 / 4), rel=1e-14)
    units = {"name": "standardized", "conditional": mixed, "mean": [0.0, 10.0], "std": [1.0, 4.0]}
    wanted = log_p(gaussian, 0, [1.0, one], 7.0) - math.log(4)
    assert log_p(units, 1, [1.0, one], 38.0) == pytest.approx(wanted, rel=1e-14)
    assert definition.features(units, 1, 38.0) == [7.0]
    assert [definition.n_outputs(units, i) for i in (0, 1)] == [1, 2]


def test_pi_by_machins_formula():
    def arctan_of_inverse(n):
        terms = (Decimal((-1) ** k) / ((2 * k + 1) * Decimal(n) ** (2 * k + 1)) for k in range(60))
        return sum(terms)

    with localcontext() as context:
        context.prec = 63
        pi = 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))
    assert abs(pi - definition.PI) < Decimal("1e-60")
    assert float(definition.PI) == math.pi


def test_imports_nothing_of_ours_and_no_numpy():
    tree = ast.parse(Path(definition.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {getattr(node, "module", None) or node.names[0].name for node in imports}
    assert names == {"functools", "itertools", "math", "decimal"}


# The registry.


def test_every_model_is_defined_and_registered():
    assert set(definition.OUTPUTS) == set(definition.DEPENDENCIES) == set(MODELS)
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


def test_rows_take_all_values(model):
    x = registry.rows(model)
    for i, column in enumerate(x.T):
        values = model.conditional.of(i).values(1)
        assert len(set(column)) == (len(x) if values is None else len(values[0]))
        if values is not None:
            assert set(column) == set(values[0].tolist())


def test_rows_are_enumerated_alike():
    assert registry.all_rows(3).tolist() == definition.all_rows(3)
