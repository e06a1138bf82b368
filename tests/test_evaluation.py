"""Promise: means, standard errors and paired differences are what a statistician works out."""

import json
import math
import re

import numpy as np
import pytest
import registry

from pyarsimple import FVSBN, compare
from pyarsimple.baselines import IndependentBernoulli
from pyarsimple.evaluation import Comparison, evaluate

X = np.array([[1, 1], [1, 0], [0, 0]])


def bits(*p):
    """Independent bits of these probabilities."""
    model = IndependentBernoulli(len(p))
    model.params["b"][:] = [math.log(q / (1 - q)) for q in p]
    return model


#: Of the rows of X under p = (3/4, 1/5).
NLL = [-math.log(3 / 4 * 1 / 5), -math.log(3 / 4 * 4 / 5), -math.log(1 / 4 * 4 / 5)]


def mean_and_error(values):
    mean = math.fsum(values) / len(values)
    variance = math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
    return mean, math.sqrt(variance / len(values))


def test_score_by_hand():
    score = evaluate(bits(3 / 4, 1 / 5), X)
    mean, error = mean_and_error(NLL)
    assert score.nll == pytest.approx(mean, rel=1e-13)
    assert score.standard_error == pytest.approx(error, rel=1e-12)
    assert score.bits_per_dim == pytest.approx(mean / math.log(2) / 2, rel=1e-13)
    assert score.n == 3


def test_a_fair_coin_is_one_bit_a_dim():
    score = evaluate(IndependentBernoulli(7), registry.rows(IndependentBernoulli(7)))
    assert score.bits_per_dim == pytest.approx(1, rel=1e-15)
    assert score.nll == pytest.approx(7 * math.log(2), rel=1e-15)
    assert score.standard_error == pytest.approx(0, abs=1e-14)


def test_two_rows_have_a_standard_error():
    error = evaluate(bits(3 / 4, 1 / 5), X[:2]).standard_error
    assert error == pytest.approx(abs(NLL[0] - NLL[1]) / 2, rel=1e-12)


def test_one_row_has_no_standard_error():
    score = evaluate(bits(3 / 4, 1 / 5), X[:1])
    assert score.nll == pytest.approx(NLL[0])
    assert math.isnan(score.standard_error)
    comparison = compare({"a": bits(3 / 4, 1 / 5), "b": bits(1 / 2, 1 / 2)}, X[:1])
    assert math.isnan(comparison.differences["a", "b"][1])
    assert "nan" in str(comparison)


def test_differences_are_paired():
    a, b = bits(3 / 4, 1 / 5), bits(1 / 2, 1 / 2)
    comparison = compare({"a": a, "b": b}, X)
    mean, error = mean_and_error([nll - 2 * math.log(2) for nll in NLL])
    assert comparison.differences["a", "b"] == pytest.approx((mean, error), rel=1e-12)
    assert comparison.differences["b", "a"] == pytest.approx((-mean, error), rel=1e-12)
    assert set(comparison.differences) == {("a", "b"), ("b", "a")}
    assert comparison.scores == {"a": evaluate(a, X), "b": evaluate(b, X)}


def test_a_pair_that_differs_by_a_constant_has_no_error():
    """Unpaired, the standard errors of the two means would be all that is seen."""
    a, b = FVSBN(3, rng=0), FVSBN(3, rng=0)
    b.params["b"][0] += 1  # the same for every row whose first bit is 1
    x = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1]])
    b.params["W"][:, 0] = a.params["W"][:, 0]
    comparison = compare({"a": a, "b": b}, x)
    mean, error = comparison.differences["a", "b"]
    assert mean == pytest.approx(math.log(2) - math.log1p(math.exp(-1)), rel=1e-12)
    assert error == pytest.approx(0, abs=1e-14)
    assert comparison.scores["a"].standard_error > 1e-3


def test_best_has_the_lowest_nll():
    models = {"fair": bits(0.5, 0.5), "good": bits(2 / 3, 1 / 3), "bad": bits(0.01, 0.99)}
    comparison = compare(models, X)
    assert comparison.best == "good"
    assert isinstance(comparison, Comparison)


def test_table():
    models = {"bad": bits(0.01, 0.99), "good": bits(2 / 3, 1 / 3)}
    text = str(compare(models, X))
    lines = text.splitlines()
    assert all(len(line) <= 80 for line in lines)
    good = next(k for k, line in enumerate(lines) if re.search(r"\bgood\b", line))
    bad = next(k for k, line in enumerate(lines) if re.search(r"\bbad\b", line))
    assert good < bad  # the best one first
    assert "best" in lines[good]
    score, comparison = evaluate(models["bad"], X), compare(models, X)
    mean, error = comparison.differences["bad", "good"]
    for number in (score.nll, score.standard_error, mean, error):
        assert f"{number:.3f}" in lines[bad]
    assert f"{score.bits_per_dim:.4f}" in lines[bad]
    assert "3 rows" in text


def test_as_json():
    comparison = compare({"a": bits(3 / 4, 1 / 5), "b": bits(1 / 2, 1 / 2)}, X)
    content = json.loads(json.dumps(comparison.to_dict()))
    assert content["scores"]["a"]["nll"] == comparison.scores["a"].nll
    assert content["scores"]["b"]["n"] == 3
    first = content["differences"][0]
    assert (first["a"], first["b"]) == ("a", "b")
    assert (first["mean"], first["standard_error"]) == comparison.differences["a", "b"]
    assert len(content["differences"]) == 2


def test_one_model_alone():
    comparison = compare({"alone": bits(0.5, 0.5)}, X)
    assert comparison.differences == {}
    assert comparison.best == "alone"
    assert "alone" in str(comparison)


def test_every_class_can_be_compared():
    models = {
        name: cls(4, rng=0) for name, cls in registry.BITS.items()
    }  # of one size, 500 hidden units and all
    x = registry.rows(models["nade"])
    comparison = compare(models, x)
    for name, model in models.items():
        assert comparison.scores[name].nll == pytest.approx(model.nll_and_grads(x)[0], rel=1e-12)


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match="models is empty"):
        compare({}, X)
    for x in (X[:0], X[:0].tolist() or np.zeros((0, 2))):
        with pytest.raises(ValueError, match="x has no rows"):
            evaluate(bits(0.5, 0.5), x)
        with pytest.raises(ValueError, match="x has no rows"):
            compare({"a": bits(0.5, 0.5)}, x)
    with pytest.raises(ValueError, match="got 2 columns"):
        compare({"a": bits(0.5, 0.5), "b": bits(0.5, 0.5, 0.5)}, X)


@pytest.mark.parametrize("models", [{"a": 1}, [1], None])
def test_compare_wants_a_mapping_of_models(models):
    with pytest.raises(TypeError, match="models must be a mapping"):
        compare(models, [[0, 1]])
