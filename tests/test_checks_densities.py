"""Normalisation, samplers and consistency: right models pass, each planted bug is named."""

import json
import math

import numpy as np
import pytest
from scipy import stats

import pyarsimple as pa
from pyarsimple import checks, orders
from pyarsimple.checks.sampler import chi_square, detectable, pearson
from pyarsimple.conditionals import sigmoid, softplus
from pyarsimple.density import log_conditionals

pytestmark = pytest.mark.once

D = 5
ORDER = np.array([2, 0, 1, 4, 3])


def generic(model, seed=0):
    for k, p in checks.generic_params(model.params, rng=seed).items():
        model.params[k][...] = 2 * p  # strong dependences, so that mistakes show
    return model


MODELS = {
    "fvsbn": lambda D=D: generic(pa.FVSBN(D, order=np.roll(orders.reverse(D), 1), rng=0)),
    "nade": lambda D=D: generic(pa.NADE(D, 4, order=np.roll(orders.reverse(D), 2), rng=0)),
    "made": lambda D=D: generic(pa.MADE(D, (9,), hidden="tanh", rng=0)),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("n_dims", [1, D, 20])
def test_our_models_pass(name, n_dims):
    model = MODELS[name](n_dims)
    for check in (checks.check_normalized, checks.check_consistent, checks.check_sampler):
        report = check(model)
        assert report, report
        assert max(map(len, str(report).splitlines())) <= 80
        json.loads(report.to_json())
        report.plot()
        assert repr(report).startswith("<")


class Density:
    """Bits by a table of logits, with functions to be spoiled one at a time."""

    def __init__(self, n_dims=D, seed=0):
        self.n_dims = n_dims
        rng = np.random.default_rng(seed)
        self.W = np.tril(rng.normal(0, 2, (n_dims, n_dims)), -1)
        self.b = rng.normal(size=n_dims)
        self.params = {"W": self.W, "b": self.b}

    def logits(self, x):
        return x @ self.W.T + self.b

    def conditionals(self, x):
        return sigmoid(self.logits(x))

    def log_conditionals(self, x):
        return -softplus((1 - 2 * x) * self.logits(x))

    def log_prob(self, x):
        return self.log_conditionals(x).sum(axis=1)

    def nll_and_grads(self, x):
        return -self.log_prob(x).mean(), {}

    def sample(self, n, *, rng=None):
        rng = np.random.default_rng(rng)
        x = np.zeros((n, self.n_dims))
        for i in range(self.n_dims):
            x[:, i] = rng.random(n) < self.conditionals(x)[:, i]
        return x


def spoiled(**functions):
    density = Density()
    for name, function in functions.items():
        setattr(density, name, function.__get__(density))
    return density


# Sums.

SUMS = {
    "bits": ({"log_prob": lambda s, x: Density.log_prob(s, x) / np.log(2)}, "bits"),
    "sign": ({"log_prob": lambda s, x: -Density.log_prob(s, x)}, "sign"),
    "probability": ({"log_prob": lambda s, x: np.exp(Density.log_prob(s, x))}, "probability"),
    "mean": ({"log_prob": lambda s, x: Density.log_conditionals(s, x).mean(axis=1)}, "mean"),
    "sees itself": ({"logits": lambda s, x: x @ (s.W + np.eye(D)).T + s.b}, "not-normalized"),
    "looks ahead": ({"logits": lambda s, x: x @ (s.W + s.W.T).T + s.b}, "not-normalized"),
    "sigmoid twice, half": (
        {"log_conditionals": lambda s, x: np.log(np.where(x == 1, s.conditionals(x), 0.5))},
        "conditional",
    ),
    "product": (
        {"log_prob": lambda s, x: Density.log_conditionals(s, x)[:, 1:].sum(axis=1)},
        "product",
    ),
    "nan": ({"log_prob": lambda s, x: np.full(len(x), np.nan)}, "not-normalized"),
}


@pytest.mark.parametrize("name", SUMS)
def test_what_does_not_sum_to_one(name):
    functions, kind = SUMS[name]
    report = checks.check_normalized(spoiled(**functions))
    assert not report
    assert kind in report.kinds, report


def test_large_densities_are_tested_by_their_conditionals():
    good = Density(30)
    report = checks.check_normalized(good)
    assert report
    assert any("looks ahead" in item.name for item in report.items)
    good.logits = lambda x: x @ (good.W + np.eye(30, k=7)).T + good.b
    report = checks.check_normalized(good)
    assert not report
    assert "leak" in report.kinds
    with pytest.raises(TypeError, match="check_normalized needs log_conditionals"):
        checks.check_normalized(None, 30, log_prob=good.log_prob)
    given = {"log_prob": Density(30).log_prob, "outputs": Density(30).logits}
    alone = checks.check_normalized(None, 30, **given)
    assert any("nothing was summed" in w for w in alone.warnings)
    own = checks.check_normalized(None, 30, log_conditionals=Density(30).log_conditionals)
    assert own
    own = checks.check_normalized(None, 30, log_conditionals=good.log_conditionals)
    assert not own


def test_mixtures_must_average_probabilities_not_logits():
    models = [generic(pa.NADE(D, 4, order=orders.random(D, rng=k), rng=k), k) for k in range(3)]
    logs = lambda x: np.stack([m.log_prob(x) for m in models])  # noqa: E731
    right = lambda x: np.logaddexp.reduce(logs(x), axis=0) - np.log(3)  # noqa: E731
    assert checks.check_normalized(None, D, log_prob=right)
    averaged = lambda x: logs(x).mean(axis=0)  # noqa: E731
    report = checks.check_normalized(None, D, log_prob=averaged)
    assert report.kinds == ["not-normalized"]


@pytest.mark.parametrize("values", [3, [2, 3, 4, 2, 3]])
@pytest.mark.parametrize("scale", [1, 0.9])
def test_classes(values, scale):
    counts = np.broadcast_to(values, (D,))

    def log_conditionals(x):
        out = np.empty(x.shape)
        for i, K in enumerate(counts):
            z = np.sin(np.outer(1 + x[:, :i].sum(axis=1), np.arange(K) + 1))
            out[:, i] = (z - np.logaddexp.reduce(z, axis=1, keepdims=True))[
                np.arange(len(x)), x[:, i]
            ]
        return scale * out

    report = checks.check_normalized(None, D, log_conditionals=log_conditionals, values=values)
    assert bool(report) is (scale == 1), report

    def sample(n, rng):
        x = np.zeros((n, D), int)
        for i, K in enumerate(counts):
            trial = np.repeat(x[:, np.newaxis], K, axis=1)
            trial[:, :, i] = np.arange(K)
            p = np.exp(log_conditionals(trial.reshape(-1, D))[:, i] / scale).reshape(n, K)
            x[:, i] = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1)
        return x

    for most in (2**12, 1):  # counted one by one, and by ranks
        report = checks.check_sampler(
            None, D, sample=sample, log_conditionals=log_conditionals, values=values,
            max_configurations=most,
        )  # fmt: skip
        assert bool(report) is (scale == 1), report


def normal_pair(spread=1.0, far=0.0):
    """x_0 ~ N(far, 0.02^2); x_1 a mixture of a normal about x_0 and a wide one."""

    def log_conditionals(x):
        wide = stats.norm.logpdf(x[:, 1], far - 3, 2)
        near = stats.norm.logpdf(x[:, 1], x[:, 0], 0.5)
        first = stats.norm.logpdf(x[:, 0], far, 0.02) + np.log(spread)
        return np.stack([first, np.logaddexp(wide, near) - np.log(2)], axis=1)

    def sample(n, rng):
        a = rng.normal(far, 0.02, n)
        b = np.where(rng.random(n) < 0.5, rng.normal(a, 0.5), rng.normal(far - 3, 2, n))
        return np.stack([a, b], axis=1)

    return log_conditionals, sample


@pytest.mark.parametrize("far", [0.0, 2.3])
def test_reals(far):
    log_conditionals, sample = normal_pair(far=far)
    for check in (checks.check_normalized, checks.check_sampler):
        functions = {"log_conditionals": log_conditionals}
        if check is checks.check_sampler:
            functions["sample"] = sample
        report = check(None, 2, values="reals", **functions)
        assert report, report
    short, _ = normal_pair(spread=0.999, far=far)
    assert not checks.check_normalized(None, 2, log_conditionals=short, values="reals")
    wrong = lambda n, rng: sample(n, rng) * [1, 1.2]  # noqa: E731
    report = checks.check_sampler(
        None, 2, log_conditionals=log_conditionals, sample=wrong, values="reals"
    )
    assert report.kinds == ["sampler"]


# Samplers.


def columns(take):
    return {"sample": lambda s, n, *, rng=None: Density.sample(s, n, rng=rng)[:, take]}


def independent(self, n, *, rng=None):
    x = Density.sample(self, n, rng=rng)
    return np.random.default_rng(rng).permuted(x, axis=0)


def late(self, n, *, rng=None):
    x, rng = np.zeros((n, D)), np.random.default_rng(rng)
    p = self.conditionals(x)
    for i in range(D):
        x[:, i], p = rng.random(n) < p[:, i], self.conditionals(x)
    return x


SAMPLERS = {
    "reversed": (columns(slice(None, None, -1)), "order"),
    "shifted": (columns([4, 0, 1, 2, 3]), "order"),
    "mirrored": (
        {"sample": lambda s, n, *, rng=None: 1 - Density.sample(s, n, rng=rng)}, "mirrored",
    ),
    "independent": ({"sample": independent}, "independent"),
    "cache one step late": ({"sample": late}, "sampler"),
    "same seed": ({"sample": lambda s, n, *, rng=None: Density.sample(s, n, rng=7)}, "seed"),
    "probabilities": ({"sample": lambda s, n, *, rng=None: np.full((n, D), 0.5)}, "values"),
    "clipped": (
        {"conditionals": lambda s, x: np.clip(Density.conditionals(s, x), 0.1, 0.9)}, "sampler",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_that_are_wrong(name):
    functions, kind = SAMPLERS[name]
    report = checks.check_sampler(spoiled(**functions))
    assert not report
    assert kind in report.kinds, report


def test_sampling_in_order_where_its_inverse_was_meant():
    model = generic(pa.NADE(D, 4, order=ORDER, rng=0))
    wrong = lambda n, rng: model.sample(n, rng=rng)[:, ORDER]  # noqa: E731
    report = checks.check_sampler(model, sample=wrong)
    assert report.kinds == ["order"]
    assert "inverse" in report.causes[0].text


@pytest.mark.parametrize("name", ["independent", "cache one step late", "reversed", "mirrored"])
def test_ranks_notice_wrong_samplers_too(name):
    report = checks.check_sampler(spoiled(**SAMPLERS[name][0]), max_configurations=1)
    assert report.kinds == ["sampler"]


def test_false_alarms_of_the_sampler_check_are_as_rare_as_promised():
    p_values = []
    for seed in range(200):
        report = checks.check_sampler(Density(3, seed), n=500, rng=seed)
        assert report
        p_values += [fit.p_value for fit in report.fits.values() if fit.dof > 1]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_the_power_that_is_stated_is_the_power_there_is():
    """Of samplers at the stated distance, about 99 in 100 are rejected; of nearer ones few."""
    rng = np.random.default_rng(0)
    log_prob = lambda x: np.full(len(x), -3 * np.log(2))  # noqa: E731
    signs = np.array([1, -1, 1, -1, 1, -1, 1, -1])
    rejected = {}
    for factor in (1.0, 0.3):
        found = 0
        for _ in range(300):
            report = checks.check_sampler(
                None, 3, log_prob=log_prob, n=2000, alpha=1e-3, rng=rng,
                sample=lambda n, rng, f=factor: np.stack(np.unravel_index(
                    rng.choice(8, n, p=(1 + 0.1506 * f * signs) / 8), (2, 2, 2)), axis=1),
            )  # fmt: skip
            found += not report
        rejected[factor] = found / 300
    assert report.distance == pytest.approx(0.1506, rel=1e-2)
    assert rejected[1.0] > 0.96
    assert rejected[0.3] < 0.1


def test_the_power_is_that_of_the_samples_that_were_used():
    few, many = (
        checks.check_sampler(
            None, 1, values="reals", n=n, sample=lambda n, rng: rng.normal(size=(n, 1)),
            log_conditionals=lambda x: -(x**2) / 2 - np.log(2 * np.pi) / 2,
        )
        for n in (2000, 5000)
    )  # fmt: skip
    assert few.n == many.n == 2000
    assert few.distance == many.distance


def test_detectable_solves_for_the_power():
    lam = detectable(7, 1e-3, 0.99)
    assert stats.ncx2.sf(stats.chi2.isf(1e-3, 7), 7, lam) == pytest.approx(0.99, abs=1e-9)


@pytest.mark.parametrize("n_cells", [1, 2, 7])
def test_pearson_is_the_statistic_of_scipy(n_cells):
    rng = np.random.default_rng(n_cells)
    p = rng.dirichlet(np.ones(n_cells))
    observed, expected = rng.multinomial(40, np.full(n_cells, 1 / n_cells)), 40 * p
    reference = stats.chisquare(observed, expected).statistic
    assert pearson(observed, expected) == pytest.approx(reference, rel=1e-12, abs=1e-12)


def test_chi_square_pools_small_cells_and_agrees_with_scipy():
    observed, expected = np.array([12.0, 30, 58]), np.array([20.0, 30, 50])
    fit, reference = chi_square(observed, expected), stats.chisquare(observed, expected)
    assert fit.statistic == pytest.approx(reference.statistic, rel=1e-12)
    assert fit.p_value == pytest.approx(reference.pvalue, rel=1e-12)
    small = chi_square(np.array([1.0, 0, 2, 3, 94]), np.array([1.0, 1, 1, 3, 94]))
    assert small.expected.min() >= 5
    assert small.expected.sum() == small.observed.sum() == 100
    assert chi_square(np.array([1.0, 99]), np.array([0.0, 100])).p_value == 0
    assert chi_square(np.array([10.0]), np.array([10.0])).p_value == 1
    assert chi_square(np.array([1.0, 2]), np.array([1.5, 1.5])).p_value == 1  # nothing to compare


# Consistency.

VIEWS = {
    "loss is a sum": ({"nll_and_grads": lambda s, x: (-s.log_prob(x).sum(), {})}, "loss"),
    "loss in bits": (
        {"nll_and_grads": lambda s, x: (-s.log_prob(x).mean() / np.log(2), {})}, "loss",
    ),
    "probabilities clipped": (
        {"conditionals": lambda s, x: 0.3 + 0.4 * Density.conditionals(s, x)}, "conditionals",
    ),
    "sigmoid twice": (
        {"conditionals": lambda s, x: sigmoid(Density.conditionals(s, x))}, "conditionals",
    ),
    "product": ({"log_prob": lambda s, x: Density.log_prob(s, x) - 0.1}, "product"),
    "rows mixed": (
        {"log_prob": lambda s, x: Density.log_prob(s, x) - Density.log_prob(s, x).mean()}, "rows",
    ),
    "random": (
        {"log_prob": lambda s, x: Density.log_prob(s, x) + np.random.default_rng().random(len(x))},
        "random",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_views_that_disagree(name):
    functions, kind = VIEWS[name]
    report = checks.check_consistent(spoiled(**functions))
    assert not report
    assert kind in report.kinds, report


@pytest.mark.parametrize("sizes", [(2, 2, 2), (2, 3, 2)])
def test_conditionals_of_another_order(sizes):
    table = np.random.default_rng(0).dirichlet(np.ones(math.prod(sizes))).reshape(sizes)

    def log_prob(x):
        return np.log(table[tuple(x.astype(int).T)])

    def backwards(x):
        return log_conditionals(table.transpose(), x[:, ::-1].astype(int))[:, ::-1]

    views = {"log_prob": log_prob, "log_conditionals": backwards, "values": list(sizes)}
    assert checks.check_consistent(None, 3, order=[2, 1, 0], **views)
    assert checks.check_normalized(None, 3, **views), "they multiply to p, and sum to one each"
    report = checks.check_consistent(None, 3, **views)
    assert report.kinds == ["quotients"]


def test_conditionals_after_what_is_impossible_are_free():
    table = np.array([[0.25, 0.75], [0.0, 0.0]])
    views = {
        "log_prob": lambda x: np.log(table[tuple(x.astype(int).T)]),
        "log_conditionals": lambda x: np.log(
            np.stack([1 - x[:, 0], np.where(x[:, 0] == 1, 0.5, 0.25 + 0.5 * x[:, 1])], axis=1)
        ),
    }
    with np.errstate(divide="ignore"):
        assert checks.check_consistent(None, 2, **views)


def test_scoring_that_changes_parameters_or_x():
    def masks_for_good(self, x):
        self.W *= 0.5
        return Density.log_prob(self, x)

    report = checks.check_consistent(spoiled(log_prob=masks_for_good))
    assert "params-modified" in report.kinds
    report = checks.check_consistent(None, 1, log_prob=lambda x: np.negative(x, out=x)[:, 0].copy())
    assert "x-modified" in report.kinds


class LateState:
    def __init__(self, state):
        self.state, self.last = state, state.outputs()

    def outputs(self):
        return self.last

    def advance(self, x_i):
        self.last = self.state.outputs()
        self.state.advance(x_i)


def test_a_sequential_view_that_is_one_step_late():
    model = generic(pa.NADE(D, 4, order=ORDER, rng=0))
    report = checks.check_consistent(model, start=lambda n: LateState(model.start(n)))
    assert report.kinds == ["sequential"]
    report = checks.check_consistent(model, order=orders.inverse(ORDER))
    assert not report or "sequential" in report.kinds


def test_what_is_not_there_is_listed_as_skipped():
    report = checks.check_consistent(None, D, log_prob=Density().log_prob)
    assert report
    skipped = [item.name for item in report.items if item.verdict == "skipped"]
    assert "parallel = sequential" in skipped
    assert "parameters left alone" in skipped
    assert "skipped" in str(report)


@pytest.mark.parametrize(
    "check", [checks.check_normalized, checks.check_sampler, checks.check_consistent]
)
def test_functions_that_are_missing(check):
    with pytest.raises(TypeError, match="D is missing"):
        check(None)
    with pytest.raises(TypeError, match="needs a model or at least one"):
        check(None, 3)


def test_answers_of_the_wrong_shape():
    with pytest.raises(ValueError, match=r"log_prob\(x\) must have shape"):
        checks.check_normalized(None, 2, log_prob=lambda x: x)
    with pytest.raises(ValueError, match=r"sample\(n, rng\) must return shape"):
        checks.check_sampler(None, 2, sample=lambda n, rng: np.zeros(n), log_prob=lambda x: x[:, 0])
    with pytest.raises(TypeError, match="too many configurations"):
        checks.check_sampler(
            None,
            20,
            sample=lambda n, rng: rng.integers(2, size=(n, 20)),
            log_prob=lambda x: x[:, 0],
        )
