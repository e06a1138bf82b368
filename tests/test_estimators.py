"""scikit-learn's own checks of estimators, and its tools, over every model of the registry."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import pyarsimple
from pyarsimple import MADE, NADE, optimizers, orders
from pyarsimple.conditionals import Bernoulli, Gaussian
from pyarsimple.models import MODELS

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from pyarsimple.estimators import AutoregressiveDensity, AutoregressiveFeatures, make_rng

D = 5
RNG = np.random.default_rng(3)
REALS = RNG.normal(size=(60, D)).cumsum(axis=1)
X = (REALS > 0).astype(np.uint8)
SMALL = {"hidden_sizes": 4, "max_epochs": 2}
#: All rows in one batch: then a row of weight 2 is that row twice, to rounding.
WHOLE = SMALL | {"validation_fraction": None, "batch_size": 10_000}

#: No other check is expected to fail.
EXPECTED_FAILURES = {
    "joint-table": {
        "check_sample_weight_equivalence_on_dense_data": "its 30 columns ask for 2^30 parameters"
    }
}


def small(model="nade", **settings):
    return AutoregressiveDensity(model, **(SMALL | {"random_state": 0} | settings))


@parametrize_with_checks(
    [
        *(AutoregressiveDensity(model, **SMALL) for model in MODELS),
        AutoregressiveDensity("made", **(SMALL | {"hidden_sizes": (4, 3)}), order="random"),
        AutoregressiveDensity("nade", **SMALL, conditional=Gaussian()),
        AutoregressiveDensity("fvsbn", **SMALL, order="tree"),
        AutoregressiveDensity("fvsbn", **WHOLE, order="mutual-information"),
        AutoregressiveDensity("fvsbn", **SMALL, conditional=Gaussian(), order="tree"),
        AutoregressiveFeatures("nade", **WHOLE),
        AutoregressiveFeatures("made", **WHOLE),
    ],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES.get(estimator.model, {}),
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_scikit_learns_checks(estimator, check):
    if isinstance(estimator.conditional, Gaussian):
        with pyarsimple.backend("numpy"):
            check(estimator)
    else:
        check(estimator)


# What it says is what the model says.


@pytest.mark.parametrize("model", MODELS)
def test_scores_are_the_models(model):
    density = small(model, binarize=0.3).fit(REALS)
    assert type(density.model_) is MODELS[model]
    bits = isinstance(density.model_.conditional, Bernoulli)
    log_p = density.model_.log_prob(REALS > 0.3 if bits else REALS)
    np.testing.assert_array_equal(density.score_samples(REALS), log_p)
    assert density.score(REALS) == pytest.approx(log_p.mean(), rel=1e-14)
    drawn = density.sample(7, random_state=1)
    np.testing.assert_array_equal(drawn, density.model_.sample(7, rng=1))
    assert drawn.shape == (7, D)


def test_binarize_is_that_of_scikit_learn():
    at = np.array([[0.0, 0.5, 1.0, -1.0, 0.50001]])
    for threshold in (0.0, 0.5):
        density = small(binarize=threshold).fit(REALS)
        bits = Binarizer(threshold=threshold).fit_transform(at)
        np.testing.assert_array_equal(density.score_samples(at), density.model_.log_prob(bits))
    whole = small(binarize=None).fit(X)
    np.testing.assert_array_equal(
        whole.score_samples(X), small(binarize=0.5).fit(X).score_samples(X)
    )


def test_reals_are_left_as_they_are():
    with pyarsimple.backend("numpy"):
        density = small(conditional=Gaussian(), max_epochs=20).fit(REALS)
        assert density.model_.conditional == Gaussian()
        log_p = density.model_.log_prob(REALS)
        np.testing.assert_array_equal(density.score_samples(REALS), log_p)
        assert density.sample(3).dtype == np.float64


def test_parameters_reach_the_model():
    made = small(
        MADE, hidden_sizes=(6, 3), activation="tanh", dropout=0.25, order=[1, 2, 0, 4, 3],
        model_params={"direct": True, "dtype": "float32"},
    ).fit(X).model_  # fmt: skip
    assert made.hidden_sizes == (6, 3)
    assert (made.hidden, made.dropout, made.direct, made.dtype) == ("tanh", 0.25, True, np.float32)
    assert made.order.tolist() == [1, 2, 0, 4, 3]
    assert small(order="reverse").fit(X).model_.order.tolist() == [4, 3, 2, 1, 0]
    orders = {tuple(small(order="random", random_state=k).fit(X).model_.order) for k in range(5)}
    assert len(orders) > 1
    nade = small(hidden_sizes=[9]).fit(X).model_
    assert isinstance(nade, NADE)
    assert nade.n_hidden == 9


@pytest.mark.parametrize("name", orders.NAMES)
def test_orders_have_names(name):
    """All that `orders.make` knows; what it is told is what the model is told."""
    x = np.hstack([REALS, REALS[:, :1]])
    weight = RNG.integers(0, 3, len(x))
    settings = {"order": name, "image_shape": (2, 3), "max_epochs": 1, "binarize": 0.3}
    density = small("fvsbn", **settings).fit(x, sample_weight=weight)
    known = {"image_shape": (2, 3), "rng": np.random.default_rng(0), "weight": weight}
    wanted = orders.make(name, 6, x=x > 0.3, **known)
    assert density.model_.order.tolist() == wanted.tolist()
    assert clone(density).get_params()["order"] == name
    real = small("gaussian", order=name, image_shape=[2, 3]).fit(x, sample_weight=weight)
    known |= {"rng": np.random.default_rng(0)}
    assert real.model_.order.tolist() == orders.make(name, 6, x=x, **known).tolist()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_orders_are_searched():
    grid = {"order": ["natural", "random", "snake", "tree", None, [4, 0, 3, 1, 2]]}
    searches = [
        GridSearchCV(small("fvsbn", image_shape=(1, 5)), grid, cv=2, n_jobs=n_jobs).fit(REALS)
        for n_jobs in (1, 2)
    ]
    one, two = (search.cv_results_["mean_test_score"] for search in searches)
    np.testing.assert_array_equal(one, two)
    assert np.isfinite(one).all()


def test_parameters_reach_the_training():
    history = small(
        max_epochs=7, learning_rate=0.25, optimizer="sgd", validation_fraction=0.25,
        fit_params={"schedule": "linear"},
    ).fit(X).history_  # fmt: skip
    assert history.n_epochs == 7
    assert len(history.valid_nll) == 7
    assert 0 < history.learning_rate[-1] < 0.25
    assert small(validation_fraction=None).fit(X).history_.valid_nll == []
    waited = small(max_epochs=500, patience=1, learning_rate=1.0).fit(X)
    assert waited.history_.stopped == "patience"
    assert waited.n_iter_ == waited.history_.n_epochs < 500
    newton = small("fvsbn", optimizer="lbfgs", l2=0.1, max_epochs=50).fit(X)
    assert newton.history_.stopped in {"converged", "patience"}
    counted = small("independent", fit_params={"pseudocount": 7.0}).fit(X)
    assert counted.history_ is None
    p = (X.sum(axis=0) + 7) / (len(X) + 14)
    np.testing.assert_allclose(counted.model_.conditionals(X[:1])[0], p, rtol=1e-12)


# Weights.


@pytest.mark.parametrize("model", MODELS)
def test_rows_of_weight_zero_are_not_there(model):
    weight = RNG.integers(0, 2, len(X))
    some = small(model).fit(X, sample_weight=weight)
    only = small(model).fit(X[weight > 0])
    np.testing.assert_allclose(some.score_samples(X), only.score_samples(X), rtol=1e-9)


# A loss that is drawn at random is another one for another number of rows.
@pytest.mark.parametrize("model", [m for m in MODELS if not MODELS[m](3).is_stochastic])
def test_a_weight_of_two_is_the_row_twice(model):
    weight = RNG.integers(0, 4, len(X))
    settings = WHOLE | {"max_epochs": 5, "learning_rate": 0.1}
    weighted = small(model, **settings).fit(X, sample_weight=weight)
    repeated = small(model, **settings).fit(np.repeat(X, weight, axis=0))
    plain = small(model, **settings).fit(X)
    np.testing.assert_allclose(weighted.score_samples(X), repeated.score_samples(X), rtol=1e-6)
    assert np.abs(weighted.score_samples(X) - plain.score_samples(X)).max() > 1e-4


def test_weights_count_in_validation_too():
    weight = np.where(np.arange(len(X)) % 2, 1.0, 1e-12)
    one = small(max_epochs=5).fit(X, sample_weight=weight)
    other = X.copy()
    other[::2] = 1 - X[::2]  # rows that hardly count
    two = small(max_epochs=5).fit(other, sample_weight=weight)
    np.testing.assert_allclose(one.history_.valid_nll, two.history_.valid_nll, rtol=1e-6)


# scikit-learn's tools.


def test_a_pipeline_and_a_search():
    pipeline = make_pipeline(StandardScaler(), small(max_epochs=15, learning_rate=0.02))
    search = GridSearchCV(
        pipeline, {"autoregressivedensity__model": ["nade", "fvsbn", "independent"]}, cv=3
    ).fit(REALS)
    scores = search.cv_results_["mean_test_score"]
    assert search.best_params_["autoregressivedensity__model"] != "independent"
    assert search.best_score_ == scores.max()
    assert np.isfinite(search.best_estimator_.score_samples(REALS)).all()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # that is what is tested
@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_searches_on_two_processors(backend):
    """After the kernels' own threads have been at work here, which no child inherits."""
    joblib = pytest.importorskip("joblib")
    grid = {"hidden_sizes": [3, 5], "l2": [0.0, 0.1]}
    with pyarsimple.set_num_threads(2):
        NADE(D, 64, rng=0).log_prob(np.zeros((5000, D)))
        one = GridSearchCV(small(), grid, cv=2).fit(REALS)
        with joblib.parallel_backend(backend):
            two = GridSearchCV(small(), grid, cv=2, n_jobs=2).fit(REALS)
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_array_equal(one.cv_results_[name], two.cv_results_[name])


def test_features_go_into_a_classifier():
    y = X[:, 0] ^ X[:, 2]
    features = AutoregressiveFeatures(**SMALL, random_state=0)
    pipeline = make_pipeline(features, LogisticRegression())
    assert 0.4 < cross_val_score(pipeline, REALS, y, cv=3).mean() <= 1
    h = features.fit_transform(REALS)
    np.testing.assert_array_equal(h, features.model_.features(REALS > 0))
    assert features.get_feature_names_out().tolist() == [
        f"autoregressivefeatures{k}" for k in range(4)
    ]
    with pytest.raises(TypeError, match="FVSBN has no hidden units"):
        AutoregressiveFeatures("fvsbn", **SMALL).fit(X)


def test_clone_and_pickle():
    density = small(order="random", conditional=None, fit_params={"schedule": "cosine"}).fit(X)
    copied = clone(density)
    assert copied.get_params() == density.get_params()
    assert not hasattr(copied, "model_")
    np.testing.assert_array_equal(copied.fit(X).score_samples(X), density.score_samples(X))
    again = pickle.loads(pickle.dumps(density))
    np.testing.assert_array_equal(again.score_samples(X), density.score_samples(X))


def test_names_of_columns():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X, columns=[*"abcde"])
    assert small().fit(table).feature_names_in_.tolist() == [*"abcde"]


# Random states.


@pytest.mark.parametrize("make", [int, np.random.RandomState, np.random.default_rng])
def test_a_random_state_decides_all(make):
    fitted = [small(random_state=make(5), dropout=0.2, order="random").fit(X) for _ in "ab"]
    one, two = (density.score_samples(X) for density in fitted)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(*(fitted[0].sample(9, random_state=make(1)) for _ in "ab"))
    assert (one != small(random_state=make(6), dropout=0.2).fit(X).score_samples(X)).any()


def test_none_is_a_new_seed_and_the_global_state_is_left_alone():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    draws = {make_rng(None).random() for _ in range(3)}
    small(random_state=None).fit(X).sample(3)
    assert len(draws) == 3
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


# Importing.


def run(script):
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "ignore", "-c", script]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


def test_importing_the_package_does_not_import_scikit_learn():
    script = """if True:
        import sys
        import pyarsimple
        from pyarsimple import autoencoder, classification, training
        assert not any(name.split(".")[0] == "sklearn" for name in sys.modules)
        pyarsimple.estimators.AutoregressiveDensity
        assert "sklearn" in sys.modules
    """
    run(script)


def test_without_scikit_learn_the_error_says_what_to_install():
    script = """if True:
        import sys
        sys.modules["sklearn.base"] = None
        from pyarsimple import *
        try:
            import pyarsimple.estimators
        except ImportError as error:
            print(error)
    """
    assert 'pip install "pyarsimple[sklearn]"' in run(script)


# Bad input.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "nada"}, "model must be one of .*nade"),
        ({"model": 3}, "model must be one of"),
        ({"model": int}, "model must be one of"),
        ({"hidden_sizes": (3, 4)}, "hidden_sizes must be one number for nade"),
        ({"hidden_sizes": ()}, "hidden_sizes must be one number for nade"),
        ({"order": "sideways"}, "order must be one of natural, reverse, .*, got 'sideways'"),
        ({"order": "spiral"}, r"image_shape must be \(height, width\) with a product of 5"),
        ({"order": [0, 1]}, "order must hold each of 0..4 once"),
        ({"activation": "softplus"}, "hidden must be one of"),
        ({"model": "independent", "conditional": Gaussian()}, "conditional must be None for indep"),
        ({"binarize": None}, "must be an array of bits"),
        ({"binarize": "yes"}, "binarize must be a number"),
        ({"validation_fraction": 1.0}, "validation_fraction must be a number above 0 and below 1"),
        ({"optimizer": "lbfgs", "learning_rate": 0.1}, "learning_rate goes with"),
        ({"optimizer": optimizers.Adam(), "learning_rate": 0.1}, "learning_rate goes with"),
        ({"optimizer": "newton"}, "optimizer must be one of"),
        ({"max_epochs": -1}, "max_epochs must be at least 0"),
    ],
)
def test_bad_parameters_are_refused_by_fit(settings, message):
    density = small(**settings)  # no error yet: scikit-learn wants it so
    with pytest.raises(ValueError, match=message):
        density.fit(REALS)


def test_unknown_settings_are_refused():
    with pytest.raises(TypeError, match="width"):
        small(model_params={"width": 3}).fit(X)
    with pytest.raises(TypeError, match="epochs"):
        small(fit_params={"epochs": 3}).fit(X)


def test_a_single_row_needs_no_validation():
    with pytest.raises(ValueError, match=r"n_samples = 1, of which 1 .* validation_fraction=None"):
        small().fit(X[:1])
    assert np.isfinite(small(validation_fraction=None).fit(X[:1]).score(X))


@pytest.mark.parametrize("weight", [np.ones(3), -np.ones(len(X)), np.full(len(X), np.nan)])
def test_bad_weights_are_refused(weight):
    with pytest.raises(ValueError, match="sample_weight must be"):
        small().fit(X, sample_weight=weight)
