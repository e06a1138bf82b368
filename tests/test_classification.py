"""Classification by Bayes' rule: naive Bayes is scikit-learn's, and all that must sum does."""

import functools
import json
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import registry
import scipy.stats
from properties import close

import pyarsimple
from pyarsimple import FVSBN, MADE, NADE, OrderAgnosticMADE, optimizers
from pyarsimple.baselines import (
    BernoulliMixture,
    ChowLiuTree,
    IndependentBernoulli,
    JointTable,
    MarkovChain,
    MultivariateGaussian,
)
from pyarsimple.classification import GenerativeClassifier
from pyarsimple.conditionals import Categorical
from pyarsimple.mixtures import OrderMixture

D = 6
RNG = np.random.default_rng(5)
Y = RNG.integers(3, size=150)
X = (RNG.random((150, D)) < RNG.uniform(0.1, 0.9, (3, D))[Y]).astype(np.uint8)
NAMES = np.array(["ant", "bee", "cat"])[Y]
FAST = {"max_epochs": 3, "batch_size": 20}

#: For `pickle`, which wants a name.
small_nade = functools.partial(NADE, n_hidden=4)


def naive_bayes(**settings):
    return GenerativeClassifier(IndependentBernoulli, **settings)


def with_nades(**settings):
    return GenerativeClassifier(small_nade, **{"fit_params": FAST, "rng": 0} | settings)


# Naive Bayes.


@pytest.mark.parametrize(
    ("ours", "theirs", "weight"),
    [
        ({}, {}, None),
        ({"fit_params": {"pseudocount": 0.25}}, {"alpha": 0.25}, None),
        ({"fit_prior": False}, {"fit_prior": False}, None),
        ({"class_prior": [0.2, 0.3, 0.5]}, {"class_prior": [0.2, 0.3, 0.5]}, None),
        ({}, {}, RNG.integers(0, 4, len(Y))),
    ],
)
def test_naive_bayes_is_scikit_learns(ours, theirs, weight):
    from sklearn.naive_bayes import BernoulliNB

    one = naive_bayes(**ours).fit(X, NAMES, weight)
    other = BernoulliNB(binarize=None, **theirs).fit(X, NAMES, weight)
    every = registry.all_rows(D)
    close(one.joint_log_prob(every), other.predict_joint_log_proba(every), 1e-14, "joint")
    close(one.predict_log_proba(every), other.predict_log_proba(every), 1e-13, "log p(y | x)")
    close(one.predict_proba(every), other.predict_proba(every), 1e-13, "p(y | x)")
    assert (one.predict(every) == other.predict(every)).all()
    assert one.score(X, NAMES, weight) == pytest.approx(other.score(X, NAMES, weight), rel=1e-12)
    np.testing.assert_array_equal(one.classes_, other.classes_)
    np.testing.assert_array_equal(one.class_count_, other.class_count_)


def test_binarize_is_scikit_learns():
    from sklearn.naive_bayes import BernoulliNB

    reals = X + RNG.normal(size=X.shape)
    for threshold in (0.0, 0.5):
        one = naive_bayes(binarize=threshold).fit(reals, Y)
        other = BernoulliNB(binarize=threshold).fit(reals, Y)
        close(one.predict_proba(reals), other.predict_proba(reals), 1e-13, "p(y | x)")


def test_nan_is_no_zero():
    reals = X - 0.5
    classifier = naive_bayes(binarize=0.0).fit(reals, Y)
    seen = np.arange(D) > 0
    holed = np.where(seen, reals, np.nan)
    with pytest.raises(ValueError, match="X contains NaN"):
        classifier.predict(holed)
    with pytest.raises(ValueError, match="X contains NaN"):
        naive_bayes(binarize=0.0).fit(holed, Y)
    got = classifier.predict_proba(holed, observed=seen)
    np.testing.assert_array_equal(got, classifier.predict_proba(reals, observed=seen))


# Bayes' rule.


def check_bayes(classifier, prior, models):
    """The posterior from each model's own probabilities; it sums to one, and p(x) too."""
    every = registry.all_rows(D)
    p = np.array([np.exp(m.log_prob(every)) for m in models]).T * prior  # p(x, y), (2^D, K)
    close(np.exp(classifier.joint_log_prob(every)), p, 1e-12, "p(x, y)")
    posterior = classifier.predict_proba(every)
    close(posterior, p / p.sum(axis=1, keepdims=True), 1e-12, "p(y | x)")
    close(posterior.sum(axis=1), np.ones(2**D), 1e-14, "sums")
    close(np.exp(classifier.predict_log_proba(every)), posterior, 1e-14, "log")
    close(np.exp(classifier.log_prob(every)).sum(), 1.0, 1e-12, "p(x)")
    assert (classifier.predict(every) == classifier.classes_[posterior.argmax(axis=1)]).all()


@pytest.mark.parametrize(
    "make", [FVSBN, small_nade, functools.partial(MADE, hidden_sizes=(5,))], ids=lambda make: ""
)
def test_bayes_rule(make):
    classifier = GenerativeClassifier(make, fit_params=FAST, rng=0).fit(X, NAMES)
    assert [type(h).__name__ for h in classifier.histories_] == ["History"] * 3
    check_bayes(classifier, np.bincount(Y) / len(Y), classifier.models_)


def test_a_forgotten_prior_is_caught(monkeypatch):
    classifier = with_nades().fit(X, NAMES)
    classifier.class_log_prior_ = np.full(3, -np.log(3))
    with pytest.raises(AssertionError):
        check_bayes(classifier, np.bincount(Y) / len(Y), classifier.models_)


def test_each_class_has_a_density_of_its_own_rows():
    """Pairs of equal bits against pairs of unequal ones: alone, no bit tells them apart."""
    x = RNG.integers(2, size=(400, 2))
    y = x[:, 0] == x[:, 1]
    assert naive_bayes().fit(x, y).score(x, y) < 0.65
    fvsbn = GenerativeClassifier(FVSBN, fit_params={"optimizer": "lbfgs", "l2": 1e-3}, rng=0)
    assert fvsbn.fit(x, y).score(x, y) == 1
    assert fvsbn.classes_.dtype == bool


def test_rows_of_far_off_probabilities_have_posteriors():
    """No p(x) is formed: 5,000 bits have one of 1e-1500."""
    x = RNG.integers(2, size=(20, 5000))
    posterior = naive_bayes().fit(x, np.arange(20) % 2).predict_proba(x)
    assert np.isfinite(posterior).all()
    close(posterior.sum(axis=1), np.ones(20), 1e-12, "sums")


def test_one_class_is_certain():
    classifier = naive_bayes().fit(X, np.full(len(X), 7))
    assert (classifier.predict_proba(X) == 1).all()
    assert (classifier.predict(X) == 7).all()


# Features that are missing.


#: Those of the first ones are the first variables of the order: exact without more ado. Of six bits
#: every other pattern can be enumerated.
PATTERNS = [[True] * 4 + [False] * 2, [False] * 6, [False, True, False, True, True, False]]


def check_missing(classifier):
    """Posteriors given some features, by adding up those of all rows that agree with them."""
    every = registry.all_rows(D)
    joint = np.exp(classifier.joint_log_prob(every))
    for seen in map(np.array, PATTERNS):
        covered = np.where(seen, every, np.nan)  # what is not observed may be anything
        got = classifier.predict_proba(covered, observed=seen)
        p = np.exp(classifier.log_prob(covered, observed=seen))
        for row, posterior, p_seen in zip(every, got, p, strict=True):
            agree = joint[(every == row)[:, seen].all(axis=1)].sum(axis=0)
            close(posterior, agree / agree.sum(), 1e-12, "p(y | x_observed)")
            close(p_seen, agree.sum(), 1e-12, "p(x_observed)")


@pytest.mark.parametrize("make", [naive_bayes, with_nades])
def test_missing_features(make):
    check_missing(make().fit(X, NAMES))


def test_missing_features_of_a_shared_model():
    check_missing(with_nades(shared=True).fit(X, NAMES))


def mixed(n_dims, rng, **settings):
    """Two models of different kinds, in orders of their own."""
    one, two = np.random.default_rng(1).permuted(np.tile(np.arange(n_dims), (2, 1)), axis=1)
    return OrderMixture(
        [
            NADE(n_dims, 4, order=one, rng=rng, **settings),
            MADE(n_dims, (5,), order=two, rng=rng, **settings),
        ],
        [1, 2],
    )


def of_orders(n_dims, rng):
    """Three orders of one model, whose parameters they share."""
    made = OrderAgnosticMADE(n_dims, (9,), n_masks=3, rng=rng)
    return OrderMixture(made.members())


@pytest.mark.parametrize(
    ("make", "settings", "n_histories"),
    [
        (mixed, {}, 6),
        (mixed, {"shared": True}, 2),
        (of_orders, {}, 3),
        (ChowLiuTree, {"fit_params": {}}, 3),
        (functools.partial(MarkovChain, k=2), {"fit_params": {"pseudocount": 0.5}}, 3),
        (functools.partial(BernoulliMixture, n_components=2), {"fit_params": {}}, 3),
        (JointTable, {"fit_params": {}}, 3),
    ],
)
def test_mixtures_and_baselines_are_class_densities(make, settings, n_histories, tmp_path):
    classifier = GenerativeClassifier(make, **{"fit_params": FAST, "rng": 0} | settings)
    before = GenerativeClassifier(
        make, **{"fit_params": FAST | {"max_epochs": 1}, "rng": 0} | settings
    )
    classifier.fit(X, NAMES)
    assert len(classifier.histories_) == n_histories
    assert {h is None for h in classifier.histories_} == {make not in (mixed, of_orders)}
    if make is of_orders:  # a model of many orders is asked in one that suits the pattern
        assert np.isfinite(classifier.joint_log_prob(X, observed=X > 2)).all()
    else:
        check_missing(classifier)
    if not classifier.shared:
        check_bayes(classifier, np.bincount(Y) / len(Y), classifier.models_)
    if make in (mixed, of_orders):  # every component was trained
        parts = [part for model in classifier.models_ for part in model.parts()]
        before.fit(X, NAMES)
        fresh = [part for model in before.models_ for part in model.parts()]
        for part, other in zip(parts, fresh, strict=True):
            assert (part.params["b"] != other.params["b"]).any()
    classifier.save(tmp_path / "c.npz")
    again = GenerativeClassifier.load(tmp_path / "c.npz")
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))


def test_a_gaussian_for_each_class():
    """Linear or quadratic discriminants, as reals have them; any of the features may be missing."""
    x = X + 0.3 * RNG.normal(size=X.shape)
    classifier = GenerativeClassifier(MultivariateGaussian).fit(x, NAMES)
    assert classifier.score(x, NAMES) > 0.6
    for seen in map(np.array, PATTERNS):
        joint = classifier.joint_log_prob(np.where(seen, x, np.nan), observed=seen)
        for k, model in enumerate(classifier.models_):
            mean, cov = np.mean(x[k == Y], axis=0), np.cov(x[k == Y].T, bias=True)
            n, variance = (k == Y).sum(), np.diag(cov).copy()
            cov *= n / (n + 1)
            np.fill_diagonal(cov, variance)
            log_p = np.zeros(len(x))
            if seen.any():
                of_seen = scipy.stats.multivariate_normal(mean[seen], cov[np.ix_(seen, seen)])
                log_p = of_seen.logpdf(x[:, seen])
            close(joint[:, k], log_p + np.log(n / len(Y)), 1e-10, "log p(x_observed, y)")
            assert model.marginal(np.where(seen, x, np.nan), seen).method == "exact"


def test_what_is_hidden_must_not_be_looked_at(monkeypatch):
    """The bug: what is missing is taken for 0."""
    honest = IndependentBernoulli.log_prob

    def filled(self, x, context=None, *, observed=None, rng=None):
        return honest(self, x if observed is None else np.where(observed, x, 0), context)

    monkeypatch.setattr(IndependentBernoulli, "log_prob", filled)
    with pytest.raises(AssertionError):
        check_missing(naive_bayes().fit(X, NAMES))


@pytest.mark.filterwarnings("ignore:the effective sample size")
def test_estimates_repeat():
    """Too many hidden bits to enumerate, and a visible one that depends on them all."""
    x = RNG.integers(2, size=(4, 24))
    classifier = with_nades().fit(np.repeat(x, 5, axis=0), np.arange(20) % 2)
    seen = np.arange(24) == 23
    one, two = (classifier.predict_log_proba(x, observed=seen) for _ in "ab")
    np.testing.assert_array_equal(one, two)


def test_each_row_may_miss_others():
    classifier = naive_bayes().fit(X, NAMES)
    masks = RNG.random(X.shape) < 0.6
    got = classifier.predict_log_proba(X, observed=masks)
    one_by_one = [
        classifier.predict_log_proba(x[np.newaxis], observed=seen)[0]
        for x, seen in zip(X, masks, strict=True)
    ]
    close(got, one_by_one, 1e-13, "log p(y | x_observed)")
    assert (
        classifier.score(X, NAMES, observed=masks) == (classifier.predict(X, masks) == NAMES).mean()
    )


# One model for all classes.


@pytest.mark.parametrize(
    "make", [FVSBN, small_nade, functools.partial(MADE, hidden_sizes=(7,))], ids=lambda make: ""
)
def test_a_shared_model_has_the_class_for_its_context(make):
    settings = {"max_epochs": 40, "batch_size": 10, "optimizer": optimizers.Adam(0.02)}
    classifier = GenerativeClassifier(make, shared=True, fit_params=settings, rng=0)
    classifier.fit(X, NAMES, X_valid=X, y_valid=NAMES)
    [model] = classifier.models_
    assert model.context == Categorical(3)
    every = registry.all_rows(D)
    p = np.array([np.exp(model.log_prob(every, k)) for k in range(3)]).T * np.bincount(Y) / len(Y)
    close(classifier.predict_proba(every), p / p.sum(axis=1, keepdims=True), 1e-12, "p(y | x)")
    assert classifier.score(X, NAMES) > 0.6
    seen = np.arange(D) < 4
    assert classifier.score(X, NAMES, observed=seen) > 0.5


# Weights, seeds and the making of models.


def test_rows_of_weight_zero_change_nothing():
    weight = RNG.integers(0, 2, len(Y))
    one = with_nades().fit(X, Y, weight)
    other = with_nades().fit(X[weight > 0], Y[weight > 0])
    close(one.predict_log_proba(X), other.predict_log_proba(X), 1e-9, "log p(y | x)")


@pytest.mark.parametrize(
    "make",
    [
        small_nade,
        lambda n_dims, rng: NADE(n_dims, 4, rng=rng),
        lambda n_dims, **settings: NADE(n_dims, 4, **settings),
    ],
)
def test_a_seed_decides_all(make):
    one, two = (
        GenerativeClassifier(make, fit_params=FAST, rng=4).fit(X, Y).predict_proba(X) for _ in "ab"
    )
    np.testing.assert_array_equal(one, two)
    other = GenerativeClassifier(make, fit_params=FAST, rng=5).fit(X, Y).predict_proba(X)
    assert (one != other).any()


def test_a_function_of_n_dims_alone_will_do():
    seen = []

    def make(n_dims):
        seen.append(n_dims)
        return IndependentBernoulli(n_dims)

    close(
        GenerativeClassifier(make).fit(X, Y).predict_proba(X),
        naive_bayes().fit(X, Y).predict_proba(X), 0, "p(y | x)",
    )  # fmt: skip
    assert seen == [D] * 3


def test_validation_rows_stop_each_class():
    classifier = with_nades(fit_params={"max_epochs": 100, "patience": 2})
    classifier.fit(X, NAMES, X_valid=X[::-1], y_valid=NAMES[::-1])
    assert all(len(h.valid_nll) == h.n_epochs for h in classifier.histories_)
    last = [np.mean(m.log_prob(X[k == Y])) for k, m in enumerate(classifier.models_)]
    best = [-min(h.valid_nll) for h in classifier.histories_]
    np.testing.assert_allclose(last, best, rtol=1e-12)


# scikit-learn's tools.


def test_clone_pipeline_and_searches():
    from sklearn.base import clone, is_classifier
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Binarizer

    classifier = naive_bayes(fit_params={"pseudocount": 0.5})
    assert is_classifier(classifier)
    copied = clone(classifier)
    assert copied.get_params() == classifier.get_params()
    assert copied is not classifier
    assert (cross_val_score(naive_bayes(), X, NAMES, cv=3) > 0.4).all()
    pipeline = make_pipeline(Binarizer(threshold=0.5), naive_bayes())
    search = GridSearchCV(
        pipeline,
        {"generativeclassifier__fit_params": [{"pseudocount": a} for a in (0.1, 1.0, 1e9)]},
        cv=3, scoring="neg_log_loss",
    ).fit(X.astype(float), NAMES)  # fmt: skip
    assert search.best_params_["generativeclassifier__fit_params"]["pseudocount"] < 1e9
    assert set(search.predict(X)) <= set(NAMES)


def test_parameters_can_be_set_and_are_shown():
    classifier = naive_bayes().set_params(fit_prior=False, rng=3)
    assert classifier.get_params()["fit_prior"] is False
    assert "fit_prior=False, rng=3" in repr(classifier)
    with pytest.raises(ValueError, match="no parameter 'alpha'"):
        classifier.set_params(alpha=1)


def test_pickle():
    classifier = with_nades().fit(X, NAMES)
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))


def test_scikit_learn_is_not_needed():
    script = """if True:
        import sys
        sys.modules["sklearn"] = None
        from pyarsimple.baselines import IndependentBernoulli
        from pyarsimple.classification import GenerativeClassifier
        classifier = GenerativeClassifier(IndependentBernoulli).fit([[0], [1]], ["a", "b"])
        assert classifier.predict([[1]]) == "b"
    """
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, env=env)


# Files.


@pytest.mark.parametrize("shared", [False, True])
def test_a_saved_classifier_is_the_same(shared, tmp_path):
    classifier = with_nades(shared=shared, binarize=0.5).fit(X, NAMES)
    classifier.save(tmp_path / "c.npz")
    again = GenerativeClassifier.load(tmp_path / "c.npz")
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))
    np.testing.assert_array_equal(again.predict(X), classifier.predict(X))
    np.testing.assert_array_equal(again.class_count_, classifier.class_count_)
    assert again.binarize == 0.5
    assert again.shared is shared
    with pytest.raises(TypeError, match="make_model: to fit anew, make a new"):
        again.fit(X, NAMES)


def changed(path, change):
    """The file again, with another header."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    header = json.loads(members["header.json"])
    change(header["content"])
    members["header.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("shared"), "header must be that of a classifier"),
        (lambda c: c.update(classes=["ant", "bee"]), "a model for each of its 2 classes"),
        (lambda c: c.update(classes=["bee", "ant", "cat"]), "sorted"),
        (lambda c: c.update(classes=[1.5, 2, 3]), "whole numbers or of text"),
        (lambda c: c.update(classes=[[1], [2, 3]]), "."),
        (lambda c: c.update(classes="ant"), "must be a list"),
        (lambda c: c.update(classes=[], parts=[]), "sorted|list"),
        (lambda c: c.update(binarize="yes"), "binarize must be a number"),
        (lambda c: c.update(shared=True), "or one if shared"),
        (lambda c: c.update(parts=c["parts"][:2]), "a model for each"),
        (lambda c: c["parts"][1].update({"class": "os.system"}), "its model is 'os.system'"),
        (lambda c: c["parts"][1]["config"].update(n_dims=5), "order"),
        (lambda c: c["parts"][1].update({"config": None}), "config"),
        (lambda c: c.update(parts=[None] * 3), "."),
    ],
)
def test_a_file_that_is_not_right_is_refused(change, message, tmp_path):
    with_nades().fit(X, NAMES).save(tmp_path / "c.npz")
    with pytest.raises(ValueError, match=message):
        GenerativeClassifier.load(changed(tmp_path / "c.npz", change))


def test_a_model_is_no_classifier(tmp_path):
    NADE(4, 3, rng=0).save(tmp_path / "m.npz")
    with pytest.raises(ValueError, match="holds a 'model', not a 'classifier'"):
        GenerativeClassifier.load(tmp_path / "m.npz")
    naive_bayes().fit(X, Y).save(tmp_path / "c.npz")
    with pytest.raises(ValueError, match="holds a 'classifier', not a 'model'"):
        pyarsimple.load(tmp_path / "c.npz")


# Bad input.


FITTED = naive_bayes().fit(X, NAMES)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "X has 150 rows, but y has 149", lambda: naive_bayes().fit(X, Y[1:])),
        (ValueError, "no rows", lambda: naive_bayes().fit(X[:0], Y[:0])),
        (ValueError, r"X must be numbers of shape \(N, D\)", lambda: naive_bayes().fit(X[0], Y)),
        (ValueError, "X must be numbers", lambda: naive_bayes().fit(NAMES[:, None], Y)),
        (ValueError, "an array of bits", lambda: naive_bayes().fit(X + 2, Y)),
        (ValueError, "whole numbers or text, got", lambda: naive_bayes().fit(X, Y + 0.5)),
        (ValueError, "y must hold labels", lambda: naive_bayes().fit(X, X)),
        (ValueError, "weight must be numbers", lambda: naive_bayes().fit(X, Y, [1.0])),
        (ValueError, "class 2 has only rows of weight 0", lambda: naive_bayes().fit(X, Y, Y < 2)),
        (ValueError, "class_prior must be 3",
         lambda: naive_bayes(class_prior=[0.5, 0.5]).fit(X, Y)),
        (ValueError, "sum to 1", lambda: naive_bayes(class_prior=[0.5] * 3).fit(X, Y)),
        (ValueError, "X_valid and y_valid go", lambda: with_nades().fit(X, Y, X_valid=X)),
        (ValueError, "none of 2",
         lambda: with_nades().fit(X, Y, X_valid=X[Y < 2], y_valid=Y[Y < 2])),
        (ValueError, "the class 3", lambda: with_nades().fit(X, Y, X_valid=X, y_valid=Y + 1)),
        (TypeError, "make_model must be", lambda: GenerativeClassifier("nade").fit(X, Y)),
        (TypeError, "must make a pyarsimple", lambda: GenerativeClassifier(lambda n: n).fit(X, Y)),
        (TypeError, "of 6 variables",
         lambda: GenerativeClassifier(lambda n: IndependentBernoulli(n + 1)).fit(X, Y)),
        (TypeError, "must take context=",
         lambda: GenerativeClassifier(IndependentBernoulli, shared=True).fit(X, Y)),
        (TypeError, "max_epoch", lambda: with_nades(fit_params={"max_epoch": 3}).fit(X, Y)),
        (ValueError, "not fitted yet", lambda: naive_bayes().predict(X)),
        (ValueError, "not fitted yet", lambda: naive_bayes().save("nowhere.npz")),
        (ValueError, "expecting 6 features", lambda: FITTED.predict(X[:, 1:])),
        (ValueError, "observed must be a boolean mask",
         lambda: FITTED.predict(X, observed=np.ones(D))),
        (ValueError, "observed must be a boolean mask",
         lambda: FITTED.predict(X, observed=np.ones(5, bool))),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(error, message, call):
    with pytest.raises(error, match=message):
        call()
