"""The checks on our models of every kind of variable: all pass, and each planted bug is named."""

import numpy as np
import pytest

import pyarsimple as pa
from pyarsimple import checks
from pyarsimple.checks.points import as_points
from pyarsimple.conditionals import (
    Bernoulli,
    Categorical,
    Gaussian,
    GaussianMixture,
    Mixed,
    Standardized,
)
from pyarsimple.mixtures import OrderMixture
from pyarsimple.transforms import Standardize

pytestmark = pytest.mark.once

D, ORDER = 4, [2, 0, 3, 1]
MIXED = Mixed([Bernoulli(), Categorical(3), Gaussian(), GaussianMixture(2)])
CONDITIONALS = {
    "classes": Categorical(3),
    "sizes": Categorical([2, 3, 2, 4]),
    "reals": Gaussian(),
    "mixture": GaussianMixture(2),
    "mixed": MIXED,
    "units": Standardized(MIXED, Standardize([0, 0, 1000.0, -3], [1, 1, 50.0, 1e-3])),
}
MODELS = {
    "fvsbn": lambda **kw: pa.FVSBN(D, order=ORDER, rng=0, **kw),
    "nade": lambda **kw: pa.NADE(D, 5, order=ORDER, rng=0, **kw),
    "made": lambda **kw: pa.MADE(D, (9,), hidden="tanh", order=ORDER, rng=0, **kw),
}


@pytest.mark.parametrize("kind", CONDITIONALS)
@pytest.mark.parametrize("name", MODELS)
def test_our_models_pass(name, kind):
    model = MODELS[name](conditional=CONDITIONALS[kind])
    report = checks.check_model(model)
    assert report, report
    assert len(report.reports) == 6
    warnings = [w for part in report.reports.values() for w in part.warnings]
    assert not warnings  # nothing was left untested
    matrix = report.reports["autoregressive"].matrix
    np.testing.assert_array_equal(matrix, model.dependencies())
    assert max(map(len, str(report).splitlines())) <= 80
    items = {item.name: item.verdict for item in report.reports["consistent"].items}
    assert items.pop("conditionals = exp(log_conditionals)") == "skipped"
    if kind not in {"classes", "sizes"}:  # reals have no table
        assert items.pop("log_conditionals = quotients of sums of p") == "skipped"
    assert set(items.values()) == {"ok"}


@pytest.mark.parametrize(
    ("context", "y"), [(2, [0.5, -2.0]), (Categorical(3), 1)], ids=["numbers", "class"]
)
@pytest.mark.parametrize("conditional", [None, CONDITIONALS["mixed"]], ids=["bits", "mixed"])
def test_a_model_with_a_context_is_checked_at_one(conditional, context, y):
    model = MODELS["nade"](conditional=conditional, context=context)
    with pytest.raises(ValueError, match="context is missing"):
        checks.check_model(model)
    report = checks.check_model(checks.at_context(model, y))
    assert report, report
    assert len(report.reports) == 6


# Planted bugs: a conditional, a sampler, an order, a backward pass.


class NoOneHot(Categorical):
    def d_outputs(self, outputs, x, scale):
        p = np.exp(outputs.reshape(len(x), D, -1))
        return scale * (p / p.sum(axis=2, keepdims=True)).reshape(len(x), -1)


class PlainShares(GaussianMixture):
    def d_outputs(self, outputs, x, scale):
        result = super().d_outputs(outputs, x, scale)
        _, d_mean, _ = self._parts(result)
        d_mean *= self.scale(self._parts(outputs)[2])  # the "heuristic" of the paper's code
        return result


class Unnormalised(Categorical):
    def log_p(self, outputs, x):
        return super().log_p(outputs, x) + 0.01


class TooWide(Gaussian):
    def log_p(self, outputs, x):
        return super().log_p(outputs, x) - 0.001


class Mode(Categorical):
    def sample(self, outputs, uniforms):
        return super().sample(outputs, uniforms**2)


class Wide(Gaussian):
    def sample(self, outputs, uniforms):
        of = self.decode(outputs)
        x = super().sample(outputs, uniforms)
        return x + 0.2 * (x - of["mean"])


CHECKS = {
    "gradients": lambda model: checks.check_gradients(model, x=rows(model)),
    "backward": lambda model: checks.check_backward(model, x=rows(model)),
    "autoregressive": checks.check_autoregressive,
    "normalized": checks.check_normalized,
    "sampler": checks.check_sampler,
}


def rows(model):
    return model.sample(25, rng=1)


BUGS = {
    "no-one-hot": (NoOneHot(3), "gradients", "unknown"),
    "plain-shares": (PlainShares(2), "gradients", "unknown"),
    "unnormalised": (Unnormalised(3), "normalized", "not-normalized"),
    "too-wide": (TooWide(), "normalized", "conditional"),
    "mode": (Mode(3), "sampler", "sampler"),
    "wide": (Wide(), "sampler", "sampler"),
}


@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("name", ["fvsbn", "nade"])
def test_a_wrong_conditional_is_found(name, bug):
    conditional, check, kind = BUGS[bug]
    model = MODELS[name](conditional=conditional)
    report = CHECKS[check](model)
    assert not report
    assert kind in report.kinds
    assert CHECKS["autoregressive"](model)


@pytest.mark.parametrize("kind", CONDITIONALS)
def test_a_backward_pass_that_forgets_an_array_is_found(kind):
    class Forgetful(pa.NADE):
        def _backward(self, d_outputs, cache):
            return super()._backward(d_outputs, cache) | {"c": np.zeros(5)}

    model = Forgetful(D, 5, order=ORDER, conditional=CONDITIONALS[kind], rng=0)
    for check in ("gradients", "backward"):
        report = CHECKS[check](model)
        assert report.kinds == ["forgotten"]
        assert report.causes[0].array == "c"


@pytest.mark.parametrize("kind", CONDITIONALS)
def test_a_leak_among_several_outputs_is_found(kind):
    class Leaky(pa.FVSBN):
        def _forward(self, x, draw=None):
            outputs, cache = super()._forward(x, draw)
            outputs = outputs.copy()
            last = self.conditional.columns(D).outputs[2] - 1  # the last output of variable 1
            outputs[:, last] += x[:, -1]  # of which variable 3 comes before, and nothing after
            outputs[:, 0] += x[:, 0]  # variable 0 sees itself
            return outputs, cache

    model = Leaky(D, order=ORDER, conditional=CONDITIONALS[kind], rng=0)
    report = checks.check_autoregressive(model)
    assert [(leak.i, leak.j) for leak in report.leaks] == [(0, (0,))]
    assert report.kinds == ["sees-itself"]


def test_an_order_that_is_not_the_models_is_named():
    model = MODELS["nade"](conditional=CONDITIONALS["mixed"])
    report = checks.check_autoregressive(model, order=np.argsort(ORDER))
    assert report.kinds == ["wrong-order"]


def test_a_state_that_is_late_is_found_among_several_outputs():
    model = MODELS["nade"](conditional=CONDITIONALS["mixed"])

    class Late:
        def __init__(self, n):
            self.state, self.x_i = model.start(n), None

        def outputs(self):
            return self.state.outputs() if self.x_i is None else 1.01 * self.state.outputs()

        def advance(self, x_i):
            self.x_i = x_i
            self.state.advance(x_i)

    assert checks.check_consistent(model)
    report = checks.check_consistent(model, start=Late)
    assert report.kinds == ["sequential"]


# The values of plain functions.


def test_values_of_several_kinds():
    points = as_points(["bits", 3, "reals", 5], 4)
    np.testing.assert_array_equal(points.counts, [2, 3, 0, 5])
    assert points.n_configurations is None
    rng = np.random.default_rng(0)
    x = points.draw(rng, 500)
    assert points.contains(x)
    assert not points.contains(x + np.array([0, 0.5, 0, 0]))
    y = points.change(rng, x)
    assert points.contains(y)
    assert (x != y).all()
    assert len(np.unique(x[:, 2])) == 500


def test_plain_functions_of_bits_and_reals():
    def log_conditionals(x):  # a bit, and a real number about 3 or -3
        first = np.log(np.where(x[:, 0] == 1, 0.3, 0.7))
        z = (x[:, 1] - np.where(x[:, 0] == 1, 3, -3)) / 0.5
        return np.stack([first, -(z**2) / 2 - np.log(0.5 * np.sqrt(2 * np.pi))], axis=1)

    def sample(n, rng, scale=0.5):
        bit = rng.random(n) < 0.3
        return np.stack([bit, rng.normal(np.where(bit, 3, -3), scale)], axis=1)

    values = ["bits", "reals"]
    given = {"log_conditionals": log_conditionals, "values": values}
    for report in (
        checks.check_normalized(None, 2, **given),
        checks.check_sampler(None, 2, sample=sample, **given),
        checks.check_autoregressive(log_conditionals, 2, values=values, own=True),
    ):
        assert report, report
    wide = checks.check_sampler(None, 2, sample=lambda n, rng: sample(n, rng, 0.6), **given)
    assert wide.kinds == ["sampler"]
    large = {**given, "log_conditionals": lambda x: log_conditionals(x) + np.array([0, 1e-5])}
    assert checks.check_normalized(None, 2, **large).kinds == ["conditional"]


@pytest.mark.parametrize("values", ["words", [2, "words"], [2, 0], [2, -1], [2, 3, 4], 0, 1.5])
def test_values_that_are_none(values):
    with pytest.raises(ValueError, match="values must be 'bits'"):
        as_points(values, 2)


# What cannot be checked is said.


def test_a_model_in_single_precision_is_refused_with_the_remedy():
    model = MODELS["nade"](dtype="float32")
    before = {k: p.copy() for k, p in model.params.items()}
    point = checks.generic_params(model.params)
    for check in (
        lambda: checks.check_model(model),
        lambda: checks.check_gradients(model, point, x=np.eye(D)),
        lambda: checks.check_backward(model, params=point, x=np.eye(D)),
    ):
        with pytest.raises(TypeError, match=r"must be float64, got float32.*dtype='float64'"):
            check()
    for k, p in before.items():
        np.testing.assert_array_equal(model.params[k], p)


@pytest.mark.parametrize("single", ["loss", "gradients"])
def test_single_precision_is_named_alone(single):
    def loss_and_grads(p):
        loss = np.sum(np.sin(p["t"])) + np.sum(p["u"] ** 2)
        grads = {"t": -np.cos(p["t"]), "u": 2 * p["u"]}  # a sign is wrong, too
        if single == "gradients":
            return loss, {k: g.astype(np.float32) for k, g in grads.items()}
        return loss.astype(np.float32), grads

    rng = np.random.default_rng(0)
    point = {"t": rng.normal(size=4), "u": rng.normal(size=(3, 2))}
    report = checks.check_gradients(loss_and_grads, point)
    assert not report
    assert report.kinds == ["float32"]
    named = {"loss": "the loss is float32", "gradients": "the gradient of t, u is float32"}
    assert report.causes[0].text.startswith(named[single])


def test_a_sampler_that_cannot_be_checked_is_skipped():
    parts = [pa.NADE(D, 5, order=o, conditional=Gaussian(), rng=0) for o in (ORDER, range(D))]
    report = checks.check_model(OrderMixture(parts))
    assert report
    for check in ("normalized", "sampler"):
        assert report.skipped[check].startswith("too many configurations")
    few = OrderMixture([pa.NADE(D, 5, order=o, rng=0) for o in (ORDER, range(D))])
    assert "sampler" in checks.check_model(few).reports

    class Large:
        n_dims = 20
        sample = staticmethod(lambda n, rng: rng.integers(2, size=(n, 20)))
        log_prob = staticmethod(lambda x: np.full(len(x), -20 * np.log(2)))

    report = checks.check_model(Large())
    assert {"normalized", "sampler"} <= set(report.skipped)
    assert list(report.reports) == ["consistent"]


class LogsOnly:
    """Three classes, a bit and a real number, of which only log p(x_i | x_<i) can be asked."""

    n_dims, values = 3, [3, 2, "reals"]

    def __init__(self, leak=0.0):
        self.leak = leak

    def log_conditionals(self, x):
        z = (x[:, 1] * 2 - 1) * (x[:, 0] + 0.5 + self.leak * x[:, 2])
        t = x[:, 2] - x[:, 0] - 2 * x[:, 1]
        return np.stack(
            [np.full(len(x), -np.log(3)), -np.logaddexp(0, -z), -(t**2 + np.log(2 * np.pi)) / 2], 1
        )


def test_a_model_that_has_logs_only():
    report = checks.check_model(LogsOnly())
    assert report, report
    assert set(report.reports) == {"autoregressive", "normalized", "consistent"}
    leaky = checks.check_autoregressive(LogsOnly(0.1))
    assert [(leak.i, leak.j) for leak in leaky.leaks] == [(1, (2,))]


def test_a_variable_of_one_class_is_no_cut_path():
    model = pa.NADE(3, 5, conditional=Categorical([1, 3, 2]), rng=0)
    report = checks.check_autoregressive(model)
    assert report, report
    assert report.warnings == ["x of 0 has one value only: what depends on it cannot be seen"]
    deaf = lambda x: np.zeros((len(x), 3))  # noqa: E731
    assert checks.check_autoregressive(deaf, 3, values=[1, 3, 2]).cuts == [(2, 1)]
