"""The gradient check: right code passes, each planted bug fails, with its cause named."""

import json
import warnings

import numpy as np
import pytest

import pyarsimple as pa
from pyarsimple import checks
from pyarsimple.checks import mistakes, models
from pyarsimple.checks.differences import best_step, numeric_gradient
from pyarsimple.conditionals import sigmoid, softplus

pytestmark = pytest.mark.once

ORDER = [2, 0, 1, 5, 3, 4]  # two 3-cycles: not its own inverse
D, H, N = 6, 5, 13
NAMES = ("W", "c", "V", "b")


def bits(n=N, d=D, seed=0):
    x = (np.random.default_rng(seed).random((n, d)) < 0.5).astype(float)
    x[0], x[1] = 0, 1
    return x


def point(shapes, seed=0):
    return checks.generic_params({k: np.zeros(s) for k, s in shapes.items()}, rng=seed)


@pytest.fixture(autouse=True)
def every_cause_says_where_to_look(monkeypatch):
    """Whatever a test of this file lets a check find: it names an array and an equation."""
    causes = []

    def noting(check):
        def noted(*args, **kwargs):
            report = check(*args, **kwargs)
            causes.extend(report.causes)
            return report

        return noted

    for name in ("check_gradients", "check_backward"):
        monkeypatch.setattr(checks, name, noting(getattr(checks, name)))
    yield
    for cause in causes:
        assert cause.array, cause
        assert cause.equation, cause


NADE_SHAPES = {"W": (D, H), "c": (H,), "V": (D, H), "b": (D,)}


class Nade:
    """NADE by loops, with a switch for each mistake; knows nothing of the library's models."""

    def __init__(self, x, bug="", order=ORDER, terms=None):
        self.x, self.bug, self.order = x, bug, order

    def forward(self, p):
        a, states, z = np.tile(p["c"], (len(self.x), 1)), [], np.empty_like(self.x)
        for i in self.order:
            states.append(a)
            z[:, i] = sigmoid(a) @ p["V"][i] + p["b"][i]
            a = a + np.outer(self.x[:, i], p["W"][i])
        return z, [*states, a]

    def terms(self, p):
        return softplus((1 - 2 * self.x) * self.forward(p)[0]).mean(axis=0)

    def __call__(self, p):
        z, states = self.forward(p)
        x, bug, n = self.x, self.bug, len(self.x)
        loss = softplus((1 - 2 * x) * z).sum(axis=1).mean()
        d = (sigmoid(z) - x) / n
        if bug == "sum over rows":
            d = d * n
        if bug == "mean twice":
            d = d / n
        if bug == "sign":
            d = -d
        if bug == "factor 2":
            d = 2 * d
        if bug == "output slope":
            d = d * sigmoid(z) * sigmoid(-z)
        if bug == "no output sigmoid":
            d = (z - x) / n
        g = {k: np.zeros_like(v) for k, v in p.items()}
        d_a = np.zeros_like(states[0])
        steps = list(zip(self.order, states, strict=False))[::-1]
        for k, (i, a) in enumerate(steps):
            h = sigmoid(a)
            here = np.outer(d[:, i], p["V"][i]) * (1 if bug == "slope" else h * (1 - h))
            g["V"][i] = d[:, i] @ (sigmoid(states[len(steps) - k]) if bug == "late" else h)
            if bug == "first left out of V" and i == self.order[0]:
                g["V"][i] = 0
            x_i = x[:, self.order[max(len(steps) - k - 2, 0)]] if bug == "x of before" else x[:, i]
            g["W"][i] = x_i @ (d_a + here if bug == "own" else d_a)
            d_a = here if bug == "overwrite" else d_a + here
            if bug == "first left out of c" and i == self.order[0]:
                d_a = d_a - here
            if bug == "one twice in c" and i == self.order[2]:
                twice = here.sum(axis=0)
        g["c"], g["b"] = d_a.sum(axis=0), d.sum(axis=0)
        if bug == "one twice in c":
            g["c"] += twice
        return loss, _spoil(g, bug)


def _spoil(g, bug):
    if bug == "bias forgotten":
        g["b"] = np.zeros_like(g["b"])
    if bug == "bias missing":
        del g["b"]
    if bug == "global clip":
        norm = np.sqrt(sum(np.sum(v**2) for v in g.values()))
        g = {k: v * (0.1 / norm) for k, v in g.items()}
    if bug == "array clip":
        g["V"] = g["V"] * (0.05 / np.linalg.norm(g["V"]))
    if bug == "entry clip":
        g = {k: np.clip(v, -0.03, 0.03) for k, v in g.items()}
    if bug == "one row":
        g["V"][3] *= 1.5
    if bug == "last row":
        g["V"][ORDER[-1]] = 0
    if bug == "shifted rows":
        g["V"] = np.roll(g["V"], 1, axis=0)
    if bug == "shifted bias":
        g["b"] = np.roll(g["b"], -1)
    if bug == "one entry":
        g["W"][1, 2] += 1e-3
    if bug == "transposed shape":
        g["V"] = g["V"].T
    if bug == "nan":
        g["c"][1] = np.nan
    if bug == "scaled":
        g["W"] = 0.7 * g["W"]
    if bug == "noise":
        g["W"] = g["W"] + 0.3 * np.abs(g["W"]).max() * np.cos(np.arange(g["W"].size)).reshape(D, H)
    return g


#: bug: (arrays that must be found wrong, kind of the cause)
BUGS = {
    "sign": ("W c V b", "sign"),
    "sum over rows": ("W c V b", "factor-N"),
    "mean twice": ("W c V b", "factor-N"),
    "factor 2": ("W c V b", "factor-2"),
    "slope": ("W c", "slope"),
    "overwrite": ("W c", "last-step"),
    "own": ("W", "shifted"),
    "late": ("V", "shifted"),
    "x of before": ("W", "shifted"),
    "shifted rows": ("V", "shifted"),
    "shifted bias": ("b", "shifted"),
    "bias forgotten": ("b", "forgotten"),
    "bias missing": ("b", "forgotten"),
    "global clip": ("W c V b", "clipped"),
    "array clip": ("V", "clipped"),
    "entry clip": ("W c V b", "clipped"),
    "one row": ("V", "one-row"),
    "last row": ("V", "last"),
    "first left out of V": ("V", "first"),
    "first left out of c": ("c", "first"),
    "one entry": ("W", "one-row"),
    "one twice in c": ("c", "counted-twice"),
    "output slope": ("W c V b", "output-slope"),
    "no output sigmoid": ("W c V b", "output-sigmoid"),
    "transposed shape": ("V", "transposed"),
    "nan": ("c", "not-finite"),
    "scaled": ("W", "factor"),
    "noise": ("W", "unknown"),
}


def told_all(code, p, x):
    """What somebody who knows the model can tell the check."""
    suspects = checks.known_mistakes("nade", p, x, order=ORDER)
    return {"x": x, "order": ORDER, "terms": code.terms, "suspects": suspects}


@pytest.mark.parametrize("bug", BUGS)
def test_each_bug_is_rejected_and_named(bug):
    arrays, kind = BUGS[bug]
    x, p = bits(), point(NADE_SHAPES)
    code = Nade(x, bug)
    report = checks.check_gradients(code, p, **told_all(code, p, x))
    assert not report
    wrong = {k for k, a in report.arrays.items() if a.verdict == "WRONG"}
    assert wrong <= set(arrays.split())
    if kind not in ("transposed", "not-finite") and bug != "bias missing":
        assert wrong == set(arrays.split())
    assert kind in report.kinds, report
    assert report.causes[0].array in arrays.split()


#: What can be named without any extra information at all.
BARE = ["sign", "factor 2", "sum over rows", "mean twice", "slope", "shifted rows", "shifted bias",
        "bias forgotten", "bias missing", "global clip", "array clip", "entry clip", "one row",
        "one entry", "transposed shape", "nan", "scaled", "noise"]  # fmt: skip


@pytest.mark.parametrize("bug", BARE)
def test_causes_without_extra_information(bug):
    report = checks.check_gradients(Nade(bits(), bug), point(NADE_SHAPES))
    assert not report
    assert BUGS[bug][1] in report.kinds, report


@pytest.mark.parametrize(
    "bug", ["factor 2", "scaled", "one row", "bias missing", "transposed shape"]
)
def test_an_equation_of_the_caller_stands_in_place_of_a_general_one(bug):
    mine = {name: f"my derivation of d{name}" for name in NAMES}
    report = checks.check_gradients(Nade(bits(), bug), point(NADE_SHAPES), equations=mine)
    wrong = BUGS[bug][0].split()
    assert report.causes[0].equation == "; ".join(mine[name] for name in wrong)


def test_an_equation_of_the_caller_stays_where_the_outputs_tell_more():
    code, p = Recurrent(bits(), "overwritten"), point(RNN_SHAPES)
    report = checks.check_backward(code.forward, code.backward, p, equations={"W": "my own dW"})
    assert "dW += ..., not dW = ...; my own dW" in [cause.equation for cause in report.causes]


@pytest.mark.parametrize("seed", range(20))
def test_right_code_is_accepted_for_many_seeds(seed):
    x = bits(seed=seed)
    report = checks.check_gradients(Nade(x), point(NADE_SHAPES, seed), x=x, rng=seed)
    assert report, report
    assert max(a.relative_error for a in report.arrays.values()) < 1e-7


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("error", "passes"), [(1e-7, True), (5e-7, True), (2e-6, False)])
def test_the_tolerance_is_where_it_says(seed, error, passes):
    code, spot = Nade(bits(seed=seed)), tuple(np.random.default_rng(seed).integers((D, H)))

    def f(p):
        loss, grads = code(p)
        grads["W"][spot] += error * np.linalg.norm(grads["W"])
        return loss, grads

    assert bool(checks.check_gradients(f, point(NADE_SHAPES, seed))) is passes


@pytest.mark.parametrize("size", [1, 1e-3, 1e3, 1e6])
def test_scale_of_the_loss_does_not_matter(size):
    code = Nade(bits())

    def scaled(p):
        loss, grads = code(p)
        return size * loss, {k: size * g for k, g in grads.items()}

    assert checks.check_gradients(scaled, point(NADE_SHAPES))


@pytest.mark.parametrize("bug", ["", "one entry"])
def test_a_constant_added_to_the_loss_is_noise_and_said_so(bug):
    code = Nade(bits(), bug)

    def shifted(p):
        loss, grads = code(p)
        return loss + 1e6, grads

    report = checks.check_gradients(shifted, point(NADE_SHAPES))
    assert bool(report) is not bool(bug)
    assert any("rounding" in w for w in report.warnings)


MODELS = {
    "fvsbn": lambda: pa.FVSBN(D, order=ORDER, rng=0),
    "nade": lambda: pa.NADE(D, H, order=ORDER, rng=0),
    "nade-relu": lambda: pa.NADE(D, H, hidden="relu", order=ORDER, rng=0),
    "made": lambda: pa.MADE(D, (9, 8), order=ORDER, rng=0),
    "made-direct": lambda: pa.MADE(D, (9,), direct=True, hidden="tanh", order=ORDER, rng=0),
    "made-none": lambda: pa.MADE(D, (), rng=0),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("generic", [False, True])
def test_our_models_pass_and_keep_their_parameters(name, generic):
    model, x = MODELS[name](), bits()
    before = {k: p.copy() for k, p in model.params.items()}
    p = checks.generic_params(before) if generic else None
    for check in (checks.check_gradients, checks.check_backward):
        report = check(model, params=p, x=x)
        assert report, report
        for k, value in before.items():
            np.testing.assert_array_equal(model.params[k], value)


def test_a_kink_is_told_from_a_bug():
    model, x = pa.NADE(D, H, hidden="relu", rng=0), bits()  # c = 0: the first units sit at 0
    report = checks.check_gradients(model, x=x)
    assert report
    assert report.arrays["c"].verdict == "kink"
    assert any("kink" in w for w in report.warnings)

    def wrong(p):
        loss, grads = nll(model, p, x)
        return loss, grads | {"c": 1.01 * grads["c"]}

    report = checks.check_gradients(wrong, model.params)
    assert not report
    assert report.arrays["c"].verdict == "WRONG"
    assert report.kinds == ["factor"]


def nll(model, p, x):
    with checks.models.parameters(model, p):
        return model.nll_and_grads(x)


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1e-7, 1e-5, 1e-3])
def test_kinks_near_the_point(scale):
    def f(p):
        t = p["t"]
        return np.sum(np.abs(t) + t**2), {"t": np.where(t >= 0, 1, -1) + 2 * t}

    t = scale * np.array([1.0, -1.0, 0.5]) + np.array([0, 0, 1.0])
    report = checks.check_gradients(f, {"t": t})
    assert report, report
    assert report.arrays["t"].verdict == ("kink" if scale == 0 else report.arrays["t"].verdict)


@pytest.mark.parametrize("hidden", [64, 150])
def test_many_rectifiers_and_rows_raise_no_false_alarm(hidden):
    model, x = pa.MADE(10, (hidden,), rng=1), bits(200, 10, 1)
    report = checks.check_gradients(model, checks.generic_params(model.params), x=x, max_entries=30)
    assert report, report


def test_zero_against_zero_passes_and_nonzero_against_zero_fails():
    def f(p):
        grads = {"t": 2 * p["t"], "unused": np.zeros(3)}
        return np.sum(p["t"] ** 2), grads

    p = {"t": np.array([0.3, -0.5]), "unused": np.ones(3)}
    report = checks.check_gradients(f, p)
    assert report
    assert report.arrays["unused"].relative_error == 0
    assert any("unused: zero against zero" in w for w in report.warnings)
    for tiny in (1.0, 1e-6, 1e-12):
        report = checks.check_gradients(
            lambda q, t=tiny: (f(q)[0], {"t": 2 * q["t"], "unused": np.array([0, t, 0])}), p
        )
        assert not report
        assert report.arrays["unused"].index == (1,)


def test_a_gradient_that_vanishes_by_cancellation_is_no_error():
    def softmax_loss(p):  # does not change when a constant is added to all
        z = p["z"] - p["z"].max()
        q = np.exp(z) / np.exp(z).sum()
        return -np.log(q[0]), {"z": q - np.eye(4)[0], "shift": np.array(1e-17)}

    def f(p):
        return softmax_loss({"z": p["z"] + p["shift"]})

    assert checks.check_gradients(f, {"z": np.array([0.3, -1, 2, 0.7]), "shift": np.array(0.3)})


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64"])
def test_single_precision_is_an_error_that_explains_itself(dtype):
    with pytest.raises(TypeError, match=r"params\['W'\] must be float64.*seven.*astype"):
        checks.check_gradients(Nade(bits()), {"W": np.ones((2, 2), dtype)})


def test_single_precision_inside_is_named():
    code = Nade(bits())
    report = checks.check_gradients(
        lambda p: (np.float32(code(p)[0]), {k: np.float32(g) for k, g in code(p)[1].items()}),
        point(NADE_SHAPES),
    )
    assert not report
    assert set(report.kinds) == {"float32"} or report.kinds[0] == "float32"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (1.0, "must return"),
        ((1.0,), "must return"),
        ((np.ones(3), {}), "one number as the loss"),
        (("a", {}), "one number as the loss"),
        ((1.0, [1]), "must return"),
    ],
)
def test_answers_of_the_wrong_form(answer, message):
    with pytest.raises(TypeError, match=message):
        checks.check_gradients(lambda p: answer, {"W": np.ones(2)})


@pytest.mark.parametrize(
    ("params", "got"),
    [(None, "NoneType"), ({}, "an empty one"), (np.ones(3), "ndarray"),
     ([np.ones((90, 90)), 1.0], r"list of 2; name them: dict\(zip\(names, params\)\)")],
)  # fmt: skip
def test_params_of_the_wrong_form(params, got):
    with pytest.raises(TypeError, match=f"params must be a dict.*got {got}$") as caught:
        checks.check_gradients(lambda p: (0.0, {}), params)
    assert len(str(caught.value)) < 160


def test_parameters_that_are_not_finite():
    with pytest.raises(ValueError, match="NaN or infinity"):
        checks.check_gradients(lambda p: (0.0, {}), {"W": np.array([np.nan])})


def square(p):
    return np.sum(p["t"] ** 2), {"t": 2 * p["t"]}


T = {"t": np.array([0.3, -0.7, 0.2])}


def test_a_function_that_changes_its_parameters():
    def f(p):
        answer = square(p)
        p["t"] *= 0.9
        return answer

    mine = {"t": T["t"].copy()}
    report = checks.check_gradients(f, mine)
    assert report.kinds == ["params-modified"]
    assert not report
    np.testing.assert_array_equal(mine["t"], T["t"])


def test_a_function_that_ignores_its_parameters():
    report = checks.check_gradients(lambda p: square(T), T)
    assert report.kinds == ["params-ignored"]


def test_a_random_loss():
    rng = np.random.default_rng(0)
    report = checks.check_gradients(lambda p: (square(p)[0] * rng.random(), square(p)[1]), T)
    assert report.kinds == ["random-loss"]


def test_gradients_that_pile_up():
    held = {"t": np.zeros(3)}

    def f(p):
        held["t"] += 2 * p["t"]
        return np.sum(p["t"] ** 2), held

    report = checks.check_gradients(f, T)
    assert report.kinds == ["accumulated"]


def test_a_loss_that_is_not_finite():
    report = checks.check_gradients(lambda p: (np.nan, {"t": p["t"]}), T)
    assert report.kinds == ["not-finite"]
    assert not report
    report.to_json()
    report.plot()


def test_shapes_that_differ():
    report = checks.check_gradients(lambda p: (square(p)[0], {"t": np.ones((2, 3))}), T)
    assert report.kinds == ["shape"]


def test_square_and_transposed():
    x = np.random.default_rng(0).normal(size=(7, 4))

    def f(p, turn):
        a = x @ p["W"]
        dW = x.T @ (np.cos(a) / 7)
        return np.sin(a).sum() / 7, {"W": dW.T if turn else dW}

    p = point({"W": (4, 4)})
    assert checks.check_gradients(lambda q: f(q, False), p)
    assert checks.check_gradients(lambda q: f(q, True), p).kinds == ["transposed"]


def test_a_missing_mask_in_the_backward_pass():
    x, M = bits(), np.tril(np.ones((D, D)), -1)

    def f(p, mask):
        z = x @ (p["W"] * M).T + p["b"]
        d = (sigmoid(z) - x) / N
        return softplus((1 - 2 * x) * z).sum() / N, {
            "W": d.T @ x * (M if mask else 1),
            "b": d.sum(0),
        }

    p = point({"W": (D, D), "b": (D,)})
    assert checks.check_gradients(lambda q: f(q, True), p, masks={"W": M})
    assert checks.check_gradients(lambda q: f(q, False), p).kinds == ["mask"]
    report = checks.check_gradients(lambda q: f(q, False), p, masks={"W": M})
    assert report.kinds[0] == "mask"


def rnn(p, x, bug=""):
    """A shared weight used at every step: h_t = tanh(x_t w + h_{t-1} R)."""
    h, states = np.zeros((len(x), 3)), [np.zeros((len(x), 3))]
    for t in range(x.shape[1]):
        h = np.tanh(np.outer(x[:, t], p["w"]) + h @ p["R"])
        states.append(h)
    loss_terms = np.array([np.mean(h @ p["v"]) for h in states[1:]])
    g = {k: np.zeros_like(v) for k, v in p.items()}
    d_h = np.zeros_like(h)
    for t in reversed(range(x.shape[1])):
        d_h = d_h + p["v"] / len(x)
        d_a = d_h * (1 if bug == "slope" else 1 - states[t + 1] ** 2)
        g["v"] += states[t + 1].mean(axis=0)
        dR, dw = states[t].T @ d_a, x[:, t] @ d_a
        g["R"], g["w"] = (dR, dw) if bug == "last" else (g["R"] + dR, g["w"] + dw)
        d_h = d_a @ p["R"].T
    return loss_terms, g


@pytest.mark.parametrize("bug", ["", "last", "slope"])
def test_a_weight_shared_by_all_steps(bug):
    x = np.random.default_rng(0).normal(size=(8, 4))
    p = point({"w": (3,), "R": (3, 3), "v": (3,)})
    suspect = checks.Suspect("last-step", "only the first step of time is there", "dR += dR_t",
                             rnn(p, x, "last")[1])  # fmt: skip
    report = checks.check_gradients(
        lambda q: (rnn(q, x, bug)[0].sum(), rnn(q, x, bug)[1]), p, suspects=[suspect]
    )
    assert bool(report) is not bool(bug)
    assert report.arrays["v"].verdict == "ok"
    if bug == "last":
        assert report.kinds == ["last-step"]
        assert "w, R: only the first step" in report.causes[0].text


def test_explain_compares_with_a_gradient_that_is_known_to_be_right():
    g = np.random.default_rng(0).normal(size=(4, 4))
    assert checks.explain("W", g, g) is None
    assert checks.explain("W", g.T, g).kind == "transposed"
    assert checks.explain("W", -g, g).kind == "sign"
    assert checks.explain("W", 9 * g, g, x=np.ones((9, 4))).kind == "factor-N"
    assert checks.explain("W", g / 4, g, x=np.ones((9, 4))).kind == "factor-D"
    assert checks.explain("W", g / 9, g, n_rows=9).kind == "factor-N"
    assert checks.explain("W", g * np.linspace(0.1, 0.2, 4), g).kind == "slope-twice"
    assert checks.explain("W", g * np.linspace(1.1, 1.9, 4), g).kind == "slope"
    assert checks.explain("W", np.where(np.abs(g) > 1, np.nan, g), g).kind == "not-finite"
    assert checks.explain("W", g[:3], g).kind == "shape"
    assert checks.explain("W", np.float32(g), g).kind == "float32"
    cause = checks.explain("W", np.where(np.arange(4) == 3, 0, g), g, equation="dW = x.T @ d")
    assert cause.kind == "last"
    assert "dW = x.T @ d" in cause.equation
    assert "column 3" in str(cause)


def nade_in_v(spoil=lambda dV: None):
    """A NADE as a function of its largest array alone, and where it is."""
    model, x = pa.NADE(20, 15, order=np.roll(np.arange(20), 3), rng=0), bits(10, 20)
    rest = checks.generic_params(model.params)

    def loss_and_grads(p):
        loss, grads = nll(model, rest | p, x)
        dV = grads["V"].copy()
        spoil(dV)
        return loss, {"V": dV}

    return loss_and_grads, {"V": rest["V"]}


def test_large_arrays_are_sampled():
    report = checks.check_gradients(*nade_in_v(), max_entries=50)
    assert report
    assert 40 < report.arrays["V"].n_checked < 150 < 20 * 15


@pytest.mark.parametrize("spot", [(7, 11), (19, 14), (0, 0), (10, 0)])
def test_one_wrong_entry_of_a_large_array_is_located(spot):
    def spoil(dV):
        dV[spot] += 1e-3

    report = checks.check_gradients(*nade_in_v(spoil), max_entries=50)
    assert not report
    assert report.arrays["V"].index == spot


def test_one_row_of_a_large_array():
    def spoil(dV):
        dV[13] = 0

    report = checks.check_gradients(*nade_in_v(spoil), max_entries=50)
    assert report.kinds == ["one-row"]
    assert report.causes[0].index[0] == 13
    assert "row 13" in report.causes[0].text


def test_entries_to_check_have_corners_and_borders():
    from pyarsimple.checks.gradients import entries_to_check

    rng = np.random.default_rng(0)
    assert entries_to_check((3, 4), 12, rng) == list(np.ndindex(3, 4))
    assert entries_to_check((), 12, rng) == [()]
    picked = set(entries_to_check((50, 70), 100, rng))
    assert {(0, 0), (0, 69), (49, 0), (49, 69)} <= picked
    for axis, size in enumerate((50, 70)):
        assert sum(k[axis] == 0 for k in picked) > 5
        assert sum(k[axis] == size - 1 for k in picked) > 5
    assert 50 < len(picked) < 200
    thirds = [sum(k[0] // 17 == part for k in picked) for part in range(3)]
    assert min(thirds) > 10


# The differences.


def test_numeric_gradient_of_some_entries_is_that_of_all_and_x_is_not_moved():
    given = []

    def f(x):
        given.append(x)
        return float(np.sum(x**2) + np.prod(x))

    x = np.random.default_rng(0).normal(size=(2, 3))
    x.flags.writeable = False
    whole = numeric_gradient(f, x, 1e-5)
    np.testing.assert_allclose(whole, 2 * x + np.prod(x) / x, rtol=1e-8)
    some = [(1, 2), (0, 0), (1, 2)]
    np.testing.assert_array_equal(numeric_gradient(f, x, 1e-5, some), [whole[k] for k in some])
    assert len(given) == 2 * (6 + 3)
    assert not any(np.shares_memory(x, other) for other in given)
    assert numeric_gradient(f, np.array(0.5), 1e-5).shape == ()
    assert numeric_gradient(f, x, 1e-5, []).shape == (0,)


@pytest.mark.parametrize(
    ("slopes", "noise", "k", "uncertainty"),
    [
        ([4.0, 3.0, 2.9, 2.9004], 1e-6, 3, 0.0001 + 1e-3),
        ([4.0, 3.0, 2.9, 2.9], 1e-3, 2, 0.025 + 0.1),  # two agree by chance
        ([np.nan, 3.0, 2.9, 2.9], 1e-3, 2, 0.025 + 0.1),
        ([np.nan, np.nan, 3.0, 2.0], 1e-3, 3, 0.25 + 1),
        ([3.0, 2.9, np.nan, np.inf], 1e-3, 1, 0.025 + 0.01),
        ([1.0, np.inf, np.inf, np.nan], 1e-3, 0, np.inf),
        ([np.nan] * 4, 1e-3, 0, np.inf),
    ],
)
def test_best_step_is_where_neighbours_agree_and_nan_never_wins(slopes, noise, k, uncertainty):
    steps = np.array([1, 0.1, 0.01, 0.001])
    found = best_step(np.array(slopes), steps, noise)
    assert found == (k, pytest.approx(uncertainty, rel=1e-10))


def test_a_loss_that_is_nan_a_large_step_away():
    def f(p, factor=1.0):
        with np.errstate(invalid="ignore"):
            return np.sum(np.log(p["t"])), {"t": factor / p["t"]}

    p = {"t": np.array([5e-5, 8e-5])}
    assert np.isnan(f({"t": p["t"] - 1e-4})[0])  # the first step that is tried
    report = checks.check_gradients(f, p)
    assert report, report
    assert not checks.check_gradients(lambda q: f(q, 1 + 1e-5), p)


# Where the check is blind it says so.


def blind(code, p, **hints):
    report = checks.check_gradients(code, p, **hints)
    assert report
    return " ".join(report.warnings)


def test_warns_of_a_column_that_is_never_active():
    x = bits()
    x[:, 3] = 0
    text = blind(Nade(x), point(NADE_SHAPES), x=x)
    assert "x is 0 in every row of column 3" in text
    assert "W, row 3" in text  # found from the gradients too
    assert "W, row 3" in blind(Nade(x), point(NADE_SHAPES))


def test_warns_of_saturated_units():
    p = point(NADE_SHAPES)
    p["c"][2] = 60.0
    text = blind(Nade(bits()), p)
    assert "c, entry 2" in text
    assert "W, column 2" in text
    assert "V, column 2" not in text


def test_warns_of_parameters_at_zero_or_all_the_same():
    p = point(NADE_SHAPES)
    p["b"][:], p["c"][:] = 0, 0.3
    text = blind(Nade(bits()), p)
    assert "all entries of b are zero" in text
    assert "all entries of c are the same" in text


def test_warns_of_a_single_row():
    x = np.array([[1.0, 0, 1, 1, 0, 1]])
    assert "one row only" in blind(Nade(x, "sum over rows"), point(NADE_SHAPES), x=x)


def test_generic_data_and_parameters_need_no_warning():
    x = bits()
    report = checks.check_gradients(Nade(x), point(NADE_SHAPES), x=x, masks={"W": used()})
    assert report.warnings == []


def used():
    free = np.ones((D, H), bool)
    free[ORDER[-1]] = False
    return free


def test_the_warning_of_a_weight_never_used_says_how_to_declare_it():
    x, p = bits(), point(NADE_SHAPES)
    [warning] = checks.check_gradients(Nade(x), p, x=x).warnings
    assert f"W, row {ORDER[-1]}" in warning
    assert "masks=" in warning
    assert checks.check_gradients(Nade(x), p, x=x, masks={"W": used()}).warnings == []


# The complex step.


def analytic_loss(p):
    return np.sum(np.exp(p["t"]) * np.sin(p["t"])), {"t": np.exp(p["t"].real) * 1.0}


def test_complex_step_is_exact():
    def f(p):
        t = p["t"]
        return np.sum(np.exp(t) * np.sin(t)), {"t": np.exp(t) * (np.sin(t) + np.cos(t))}

    report = checks.check_gradients(f, T, complex_step=True, tolerance=1e-14)
    assert report
    assert not checks.check_gradients(analytic_loss, T, complex_step=True)
    off = checks.check_gradients(
        lambda p: (f(p)[0], {"t": f(p)[1]["t"] * (1 + 1e-11)}),
        T,
        complex_step=True,
        tolerance=1e-13,
    )
    assert not off


def test_complex_step_of_a_function_that_does_not_allow_it():
    def f(p):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(np.real(np.sum(p["t"] ** 2))), {"t": 2 * p["t"].real}

    with pytest.raises(TypeError, match="stays complex"):
        checks.check_gradients(f, T, complex_step=True)


# A backward pass on its own.


class Layer:
    """outputs = tanh(x W + c) V^T + b, with a backward pass to spoil."""

    def __init__(self, x, bug=""):
        self.x, self.bug = x, bug
        self.shapes = {"W": (D, H), "c": (H,), "V": (4, H), "b": (4,)}

    def forward(self, p):
        h = np.tanh(self.x @ p["W"] + p["c"])
        return h @ p["V"].T + p["b"], (h, p["V"])

    def backward(self, d, cache):
        h, V = cache
        if self.bug == "ignored":
            d = np.ones_like(d)
        if self.bug == "clipped":
            d = np.clip(d, -1, 1)
        d_a = d @ V * (1 - h**2)
        dV, db = d.T @ h, d.sum(axis=0)
        if self.bug == "bias ignores":
            db = np.full(4, float(len(d)))
        if self.bug == "one output":
            dV[0] = 0
        return {"W": self.x.T @ d_a, "c": d_a.sum(axis=0), "V": dV, "b": db}


@pytest.mark.parametrize(
    ("bug", "kind"),
    [("", None), ("ignored", "upstream"), ("clipped", "not-linear"), ("bias ignores", "upstream"),
     ("one output", "first")],
)  # fmt: skip
def test_check_backward(bug, kind):
    layer = Layer(np.random.default_rng(0).normal(size=(9, D)), bug)
    report = checks.check_backward(layer.forward, layer.backward, point(layer.shapes))
    assert bool(report) is (kind is None), report
    assert kind is None or kind in report.kinds, report
    assert str(report).startswith(f"backward: {'FAILED' if bug else 'passed'}")


def test_upstream_ignored_is_recognised_without_a_backward_function():
    layer = Layer(np.random.default_rng(0).normal(size=(9, D)), "ignored")
    u = np.random.default_rng(1).normal(size=(9, 4))

    def f(p):
        outputs, cache = layer.forward(p)
        return np.sum(u * outputs), layer.backward(u, cache)

    report = checks.check_gradients(f, point(layer.shapes), upstream=u)
    assert "upstream" in report.kinds


def test_a_uniform_upstream_is_warned_of():
    layer = Layer(np.random.default_rng(0).normal(size=(9, D)), "ignored")
    report = checks.check_backward(
        layer.forward, layer.backward, point(layer.shapes), upstream=np.ones((9, 4))
    )
    assert any("upstream gradient is the same everywhere" in w for w in report.warnings)
    same = np.tile([1.0, 2, 3, 4], (9, 1))
    report = checks.check_backward(
        layer.forward, layer.backward, point(layer.shapes), upstream=same
    )
    assert any("same for each row" in w for w in report.warnings)


def test_check_backward_refuses_what_it_cannot_use():
    layer = Layer(np.ones((2, D)))
    p = point(layer.shapes)
    with pytest.raises(TypeError, match="backward is missing"):
        checks.check_backward(layer.forward)
    with pytest.raises(TypeError, match=r"must return \(outputs, cache\)"):
        checks.check_backward(lambda q: 3, layer.backward, p)
    with pytest.raises(ValueError, match="upstream must have"):
        checks.check_backward(layer.forward, layer.backward, p, upstream=np.ones(3))
    for check in (checks.check_gradients, checks.check_backward):
        with pytest.raises(TypeError, match="x is missing"):
            check(pa.FVSBN(3, rng=0))


# Other people's frameworks: a module whose parameters are live objects, through two callables.


class Tensorish:
    """Stands for a framework's tensor: its numbers, and a gradient that piles up until cleared."""

    def __init__(self, data):
        self.data, self.grad = data, None


class Module:
    def __init__(self):
        self.weight, self.bias = (
            Tensorish(np.zeros((1, D), "float32")),
            Tensorish(np.zeros(1, "float32")),
        )

    def parameters(self):
        return {"weight": self.weight, "bias": self.bias}

    def zero_grad(self):
        for p in self.parameters().values():
            p.grad = np.zeros_like(p.data)

    def loss(self, x):
        return np.mean((x @ self.weight.data.T + self.bias.data) ** 2)

    def backward(self, x):
        d = 2 * (x @ self.weight.data.T + self.bias.data) / len(x)
        self.weight.grad += d.T @ x
        self.bias.grad += d.sum(axis=0)


@pytest.mark.parametrize("clear", [True, False])
def test_a_module_through_two_callables(clear):
    x, module = bits(), Module()

    def read():
        return {k: p.grad for k, p in module.parameters().items()}

    def loss_and_grads(params):
        for k, p in module.parameters().items():
            p.data = params[k]
        if clear or module.weight.grad is None:
            module.zero_grad()
        module.backward(x)
        return module.loss(x), read()

    report = checks.check_gradients(loss_and_grads, point({"weight": (1, D), "bias": (1,)}))
    assert bool(report) is clear, report
    assert clear or report.kinds == ["accumulated"]


# Reports.


def test_the_report_prints_within_80_columns_and_is_json():
    def long(p):
        loss, grads = Nade(bits(), "one row")({k: p[f"{k}{'_long' * 5}"] for k in NAMES})
        return loss, {f"{k}{'_long' * 5}": g for k, g in grads.items()}

    p = {f"{k}{'_long' * 5}": v for k, v in point(NADE_SHAPES).items()}
    report = checks.check_gradients(long, p, equations={"V" + "_long" * 5: "dV_i = sum_n d_i h_i"})
    text = str(report)
    assert max(map(len, text.splitlines())) <= 80
    for word in ("array", "shape", "worst index", "analytic", "numeric", "rel. error", "verdict",
                 "WRONG", "likely cause", "look at:", "dV_i = sum_n d_i h_i"):  # fmt: skip
        assert word in text
    loaded = json.loads(report.to_json())
    assert loaded == report.to_dict() | {"arrays": loaded["arrays"]}
    assert loaded["passed"] is False
    assert loaded["causes"][0]["kind"] == "one-row"
    assert repr(report).startswith("<GradientReport: FAILED")
    assert "\n" not in repr(report)
    figure = report.plot()
    assert len(figure.axes) == 1


def test_scalars_and_empty_arrays_are_arrays_too():
    def f(p):
        return p["s"] ** 2 + p["e"].sum(), {"s": 2 * p["s"], "e": np.zeros((0, 3))}

    assert checks.check_gradients(f, {"s": np.array(0.7), "e": np.zeros((0, 3))})


def test_the_check_is_the_same_each_time_and_rng_changes_it():
    code = nade_in_v()
    one, two, other = (
        checks.check_gradients(*code, max_entries=20, rng=r).to_dict() for r in (0, 0, 1)
    )
    assert one == two
    assert one != other


def test_known_mistakes_refuses_unknown_families():
    with pytest.raises(ValueError, match="family must be one of"):
        checks.known_mistakes("rnn", {}, bits())


@pytest.mark.parametrize("name", ["fvsbn", "nade", "nade-relu", "made", "made-direct"])
def test_every_known_mistake_is_recognised_by_its_name(name):
    model, x = MODELS[name](), bits()
    p = checks.generic_params(model.params)
    hints = models.gradient_problem(model, p, x)
    _, right = hints.pop("loss_and_grads")(p)
    for suspect in hints["suspects"]:
        wrong = {k: g for k, g in suspect.grads.items()
                 if not np.allclose(g, right[k], rtol=1e-6, atol=1e-9)}  # fmt: skip
        if not wrong:  # the slope of this very activation is no mistake
            assert suspect.kind in ("slope", "slope-twice")
            continue
        report = checks.check_gradients(
            lambda q, g=right | wrong: (nll(model, q, x)[0], g), **hints, max_entries=30
        )
        assert set(wrong) == {k for k, a in report.arrays.items() if a.verdict == "WRONG"}
        assert suspect.kind in report.kinds, (suspect.text, report)
        assert not {"unknown", "factor"} & set(report.kinds), (suspect.text, report)


@pytest.mark.parametrize("family", mistakes.MISTAKES)
def test_the_catalogue_without_a_mistake_is_right(family):
    model, x = MODELS[family](), bits()
    p = checks.generic_params(model.params)
    masks = model.masks() if family == "made" else None
    with models.parameters(model, p):
        _, cache = model.forward(x)
        u = np.random.default_rng(0).normal(size=x.shape)
        right = model.backward(u, cache)
    hidden = getattr(model, "hidden", "")
    code = mistakes._Family(family, p, x, np.array(ORDER), hidden, masks or {})
    for k, g in code.grads(u, "").items():
        np.testing.assert_allclose(g, right[k], rtol=1e-9, atol=1e-12)


def _sum_of_outputs(p):
    x = bits()
    h = np.tanh(x @ p["W"])
    z = h @ p["V"] + p["b"]
    ones = np.ones_like(z)
    d_h = ones @ p["V"].T * (1 - h * h)
    return z.sum(), {"W": x.T @ d_h, "V": h.T @ ones, "b": ones.sum(axis=0)}


def test_a_plain_sum_as_loss_is_warned_of():
    p = point({"W": (D, H), "V": (H, D), "b": (D,)})
    report = checks.check_gradients(_sum_of_outputs, p)
    assert report, report
    (warning,) = [w for w in report.warnings if "plain sum" in w]
    assert "the gradient of V, b is the same for every output" in warning
    right = checks.check_gradients(Nade(bits()), point(NADE_SHAPES))
    assert not [w for w in right.warnings if "plain sum" in w]


@pytest.mark.parametrize("turned", [False, True])
def test_a_plain_sum_is_warned_of_without_a_bias_too(turned):
    p = point({"W": (D, H), "V": (H, D)})

    def f(q, weights=1.0):
        loss, grads = _sum_of_outputs({"W": q["W"], "V": q["V"].T if turned else q["V"], "b": 0})
        return loss, {"W": grads["W"], "V": grads["V"].T if turned else grads["V"]}

    q = {"W": p["W"], "V": p["V"].T.copy() if turned else p["V"]}
    report = checks.check_gradients(f, q)
    assert report, report
    (warning,) = [w for w in report.warnings if "plain sum" in w]
    assert "the gradient of V is the same for every output" in warning


def test_gradients_of_no_parameter_are_named():
    def f(p):
        loss, grads = Nade(bits())(p)
        return loss, {**grads, "x": np.zeros(3), "U": np.ones(2)}

    report = checks.check_gradients(f, point(NADE_SHAPES))
    assert report
    (warning,) = [w for w in report.warnings if "which params has not" in w]
    assert "'x', 'U'" in warning
    right = checks.check_gradients(Nade(bits()), point(NADE_SHAPES))
    assert not any("which params has not" in w for w in right.warnings)


def test_float32_inside_is_named_though_all_that_is_seen_is_float64():
    def f(p):
        loss, grads = Nade(bits())({k: v.astype(np.float32).astype(float) for k, v in p.items()})
        return float(np.float32(loss)), {
            k: g.astype(np.float32).astype(np.float64) for k, g in grads.items()
        }

    report = checks.check_gradients(f, point(NADE_SHAPES))
    assert not report
    assert report.kinds == ["float32-inside"], report
    assert "compute in float64" in report.causes[0].text

    def exact(p):  # right, in float64, and all its gradients happen to be float32 numbers
        return p["a"].sum(), {"a": np.ones(3)}

    assert checks.check_gradients(exact, {"a": np.array([0.5, 0.25, 2.0])})


@pytest.mark.parametrize("r", [1.00005, 0.9995])
def test_no_factor_close_to_one_is_claimed(r):
    def f(p):
        loss, grads = Nade(bits())(p)
        return loss, {k: r * g for k, g in grads.items()}

    report = checks.check_gradients(f, point(NADE_SHAPES))
    assert not report
    assert "factor" not in " ".join(report.kinds), report
    assert "times the right one" not in str(report)


@pytest.mark.parametrize("start", [0, 3])
def test_randomness_of_the_backward_pass_is_told_from_accumulation(start):
    rng, total = np.random.default_rng(0), {}

    def random(p):
        loss, grads = Nade(bits())(p)
        return loss, {**grads, "c": grads["c"] * rng.uniform(0.5, 1.5, H)}

    report = checks.check_gradients(random, point(NADE_SHAPES))
    assert report.kinds == ["random-gradient"], report
    assert "random" in report.causes[0].text

    def accumulated(p):
        loss, grads = Nade(bits())(p)
        total["c"] = total.get("c", start * grads["c"]) + grads["c"]
        return loss, {**grads, "c": total["c"]}

    report = checks.check_gradients(accumulated, point(NADE_SHAPES))
    assert report.kinds == ["accumulated"], report
    assert ("twice" in report.causes[0].text) == (start == 0)


def test_an_output_bias_is_not_accused_of_a_missing_derivative():
    factors = np.array([4.2, 5.0, 6.1, 4.5, 7.0, 5.5])  # as a sigmoid's would be

    for spoil in (factors, 1 / factors):

        def f(p, spoil=spoil):
            loss, grads = Nade(bits())(p)
            return loss, {**grads, "b": grads["b"] * spoil}

        report = checks.check_gradients(f, point(NADE_SHAPES))
        assert report.kinds == ["unknown"], report
        low, high = sorted((spoil.min(), spoil.max()))
        assert f"the ratios vary between {low:.3g} and {high:.3g}" in report.causes[0].text

    u = np.random.default_rng(0).normal(size=(N, D))
    cause = checks.explain("b", u.sum(axis=0) * factors, u.sum(axis=0), upstream=u)
    assert cause.kind == "unknown"


class Recurrent:
    """A recurrent network whose backward pass can be called by itself; with mistakes."""

    def __init__(self, x, bug=""):
        self.x, self.bug = x, bug

    def forward(self, p):
        h, z, steps = np.zeros((len(self.x), H)), np.empty(self.x.shape), []
        for t in range(D):
            z[:, t] = h @ p["V"] + p["b"]
            before, h = h, sigmoid(np.outer(self.x[:, t], p["W"]) + h @ p["U"] + p["c"])
            steps.append((before, h))
        return z, (steps, p)

    def backward(self, d, cache):
        steps, p = cache
        if self.bug == "ones":
            d = np.ones_like(d)
        g = {k: np.zeros_like(v) for k, v in p.items()}
        d_h = np.zeros((len(self.x), H))
        for t, (before, h) in reversed(list(enumerate(steps))):
            d_a = d_h * h * (1 - h)
            parts = {"W": self.x[:, t] @ d_a, "c": d_a.sum(axis=0), "U": before.T @ d_a,
                     "V": before.T @ d[:, t], "b": d[:, t].sum()}  # fmt: skip
            for k, part in parts.items():
                kept = {"overwritten": t > 0, "last use": t == D - 2}.get(self.bug)
                if kept is None or k in "Vb":
                    g[k] = g[k] + part
                elif self.bug == "overwritten" or kept:
                    g[k] = part
            d_h = (0 if self.bug == "cut off" else d_a @ p["U"].T) + np.outer(d[:, t], p["V"])
            if self.bug == "output 3" and t == 3:
                d_h = d_h - np.outer(d[:, t], p["V"])
        return g

    def nll_and_grads(self, p):
        z, cache = self.forward(p)
        loss = softplus((1 - 2 * self.x) * z).sum(axis=1).mean()
        return loss, self.backward((sigmoid(z) - self.x) / len(self.x), cache)


@pytest.mark.parametrize(
    ("bug", "kind", "words"),
    [
        ("", None, ""),
        ("overwritten", "last-step", "right for output 1 alone"),
        ("last use", "last-step", "only output 5 gives it a gradient"),
        ("cut off", "last-step", "right for output 1 alone"),
        ("ones", "upstream", "the same for any upstream gradient"),
        ("output 3", "one-row", "the contribution of variable 3 is left out"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_what_check_backward_can_tell_of_a_shared_weight(bug, kind, words, seed):
    code, p = Recurrent(bits(seed=seed), bug), point(RNN_SHAPES, seed)
    report = checks.check_backward(code.forward, code.backward, p)
    assert bool(report) is (not bug), report
    assert bug == "" or (report.kinds[0] == kind and words in report.causes[0].text), report
    assert "unknown" not in report.kinds


def test_what_the_plain_check_can_tell_of_a_shared_weight():
    p = point(RNN_SHAPES)
    few = bits(2)  # fewer rows than hidden units: one step can give a rank of 2 at most
    report = checks.check_gradients(Recurrent(few, "last use").nll_and_grads, p, x=few)
    causes = {c.array: c for c in report.causes}
    assert causes["U"].kind == "last-step"
    assert "its rank is 2, that of the right one " in causes["U"].text
    assert "unknown" not in report.kinds
    for n in (2, N):
        x = bits(n)
        report = checks.check_gradients(Recurrent(x, "ones").nll_and_grads, p)
        assert set(report.kinds) == {"upstream"}, report
        assert f"{n * D}, a whole number: upstream is ignored" in str(report).replace("\n  ", " ")
        assert checks.check_gradients(Recurrent(x).nll_and_grads, p)
    report = checks.check_gradients(Recurrent(bits(), "cut off").nll_and_grads, p)
    assert set(report.kinds) == {"unknown"}
    assert "check_backward can tell more" in report.causes[0].text


def test_products_of_sums_and_sums_over_too_much():
    rng = np.random.default_rng(0)
    x, u = rng.normal(size=(2, 9, 5))

    def f(p, bug):
        dW, db = x.T @ u, u.sum(axis=0)
        if bug == "product":
            dW = np.outer(x.sum(axis=0), u.sum(axis=0))
        if bug == "sum":
            db = np.full(5, u.sum())
        if bug == "mean":
            db = np.full(5, u.sum(axis=0).mean())
        if bug == "ones":
            db = np.full(5, 9.0)
        return np.sum(u * (x @ p["W"] + p["b"])), {"W": dW, "b": db}

    p = point({"W": (5, 5), "b": (5,)})
    for bug, kind in {"product": "product-of-sums", "sum": "summed", "mean": "summed",
                      "ones": "upstream"}.items():  # fmt: skip
        assert checks.check_gradients(lambda q, b=bug: f(q, b), p, x=x).kinds == [kind]
    assert checks.check_gradients(lambda q: f(q, ""), p, x=x)


def test_a_single_number_has_no_factor_of_its_own():
    def f(p, r):
        return np.sum(p["t"] ** 3) + 2.7 * p["s"], {"t": r * 3 * p["t"] ** 2, "s": 0.7 * 2.7}

    p = {"t": np.array([0.3, -0.5, 0.7]), "s": np.array(0.4)}
    assert checks.check_gradients(lambda q: f(q, 1), p).kinds == ["unknown"]
    report = checks.check_gradients(lambda q: f(q, 0.7), p)  # but it may have that of the others
    assert report.kinds == ["factor"]
    assert report.causes[0].text.startswith("t, s: ")


def test_one_entry_is_not_called_a_row():
    report = checks.check_gradients(Nade(bits(), "one entry"), point(NADE_SHAPES))
    assert "only the entry [1, 2] is wrong" in report.causes[0].text


@pytest.mark.parametrize("most", [0, 30, 400])
def test_the_search_for_a_cause_is_bounded_and_says_so(most):
    calls = 0

    def spoil(dV):
        nonlocal calls
        calls += 1
        dV[13] = 0

    code, p = nade_in_v()
    right = checks.check_gradients(code, p, max_entries=30)
    assert right
    bad, _ = nade_in_v(spoil)
    report = checks.check_gradients(bad, p, max_entries=30, max_follow_up=most)
    assert not report
    assert calls < 30 * 12 + 250 + most  # entries and directions, then what was allowed
    cut = [w for w in report.warnings if "cut short" in w]
    assert bool(cut) is (most < 400), report
    assert most < 400 or report.kinds == ["one-row"]


class Rnn:
    """A small recurrent network with the recurrent weight transposed in the backward pass."""

    def __init__(self, x, transposed=True, slope=True):
        self.x, self.transposed, self.slope = x, transposed, slope

    def __call__(self, p):
        x, n = self.x, len(self.x)
        h, loss, steps = np.zeros((n, H)), 0.0, []
        for t in range(D):
            z = h @ p["V"] + p["b"]
            loss += softplus((1 - 2 * x[:, t]) * z).mean()
            before, h = h, sigmoid(np.outer(x[:, t], p["W"]) + h @ p["U"] + p["c"])
            steps.append((before, z, h))
        g = {k: np.zeros_like(v) for k, v in p.items()}
        d_h = np.zeros((n, H))
        for t, (before, z, h) in reversed(list(enumerate(steps))):
            d_a = d_h * h * (1 - h) if self.slope else d_h
            d = (sigmoid(z) - x[:, t]) / n
            g["W"] += x[:, t] @ d_a
            g["c"] += d_a.sum(axis=0)
            g["U"] += before.T @ d_a
            g["V"] += before.T @ d
            g["b"] += d.sum(axis=0)
            d_h = d_a @ (p["U"] if self.transposed else p["U"].T) + np.outer(d, p["V"])
        return loss, g


RNN_SHAPES = {"W": (H,), "c": (H,), "U": (H, H), "V": (H,), "b": ()}


@pytest.mark.parametrize("seed", range(12))
def test_a_transposed_recurrent_weight_is_not_called_a_missing_derivative(seed):
    p = point(RNN_SHAPES, seed)
    report = checks.check_gradients(Rnn(bits(seed=seed)), p)
    assert not report
    assert not {"slope", "slope-twice"} & set(report.kinds), report
    assert checks.check_gradients(Rnn(bits(seed=seed), transposed=False), p)


class Perceptron:
    """One hidden layer, of which nothing is told to the check."""

    def __init__(self, bug, hidden, seed):
        rng = np.random.default_rng(seed)
        self.bug, self.hidden, self.x = bug, hidden, rng.normal(size=(20, 6))
        shapes = {"W": (6, 6), "c": (6,), "V": (6, 4), "b": (4,)}
        zeros = {k: np.zeros(shape) for k, shape in shapes.items()}
        self.params = checks.generic_params(zeros, rng=rng)

    def forward(self, p):
        a = self.x @ p["W"] + p["c"]
        h = sigmoid(a) if self.hidden == "sigmoid" else np.tanh(a)
        return h @ p["V"] + p["b"], (p, h)

    def backward(self, d, cache):
        p, h = cache
        slopes = {"sigmoid": h * (1 - h), "tanh": 1 - h**2, "missing": 1}
        if self.bug == "output slope":
            q = sigmoid(self.forward(p)[0])
            d = d * q * (1 - q)
        d_a = d @ p["V"].T * slopes.get(self.bug, slopes[self.hidden])
        if self.bug == "twice":
            d_a = d_a * slopes[self.hidden]
        if self.bug == "rows":
            d_a = d_a[::-1]
        return {"W": self.x.T @ d_a, "c": d_a.sum(0), "V": h.T @ d, "b": d.sum(0)}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("hidden", "bug", "kind", "text"),
    [
        ("sigmoid", "missing", "slope", "W, c: through one output alone it is at least 4 times"),
        ("tanh", "missing", "slope", "a hidden unit is missing, or that of another function"),
        ("sigmoid", "tanh", "slope", "a hidden unit is missing, or that of another function"),
        ("sigmoid", "twice", "slope-twice", "is there twice, or that of another function"),
        ("tanh", "twice", "slope-twice", "is there twice, or that of another function"),
        ("sigmoid", "output slope", "output-slope", "W, c, V: through one output alone"),
        ("sigmoid", "rows", "unknown", "W: wrong in no pattern"),
    ],
)
def test_one_output_alone_shows_derivatives_that_sums_hide(hidden, bug, kind, text, seed):
    code = Perceptron(bug, hidden, seed)
    right = checks.check_backward(
        Perceptron("", hidden, seed).forward, Perceptron("", hidden, seed).backward, code.params
    )
    assert right, right
    report = checks.check_backward(code.forward, code.backward, code.params)
    assert report.causes[0].kind == kind, report
    assert text in report.causes[0].text
    assert max(map(len, str(report).splitlines())) <= 80


class Tied:
    """An autoencoder: one weight for both layers."""

    def __init__(self, x, bug=""):
        self.x, self.bug = x, bug

    def forward(self, p):
        h = np.tanh(self.x @ p["W"] + p["c"])
        return h @ p["W"].T + p["b"], (h, p)

    def backward(self, d, cache):
        h, p = cache
        d_a = d @ p["W"] * (1 - h if self.bug == "slope" else 1 - h * h)
        below, above = self.x.T @ d_a, d.T @ h
        W = {
            "below": below, "above": above, "minus": below - above,
            "turned": below + above[::-1], "half": below + above / 2,
        }.get(self.bug, below + above)  # fmt: skip
        return {"W": W, "c": d_a.sum(axis=0), "b": d.sum(axis=0)}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bug", ["", "below", "above", "minus", "turned", "half", "slope"])
def test_a_weight_that_two_layers_share(bug, seed):
    code, p = Tied(bits(seed=seed), bug), point({"W": (D, H), "c": (H,), "b": (D,)}, seed)
    report = checks.check_backward(code.forward, code.backward, p)
    assert bool(report) is (not bug)
    assert ("last-step" in report.kinds) is (bug in ("below", "above")), report
    if bug in ("below", "above"):
        assert report.kinds == ["last-step"]
        assert "of all uses of this weight only one counts" in report.causes[0].text


class ManyToOne:
    """A recurrent network that says one thing at its end."""

    def __init__(self, x, bug, n_hidden):
        self.x, self.bug, self.n_hidden = x, bug, n_hidden

    def forward(self, p):
        h, steps = np.zeros((len(self.x), self.n_hidden)), []
        for x_t in self.x.T:
            before, h = h, np.tanh(np.outer(x_t, p["w"]) + h @ p["R"])
            steps.append((before, h))
        return h @ p["v"], (steps, p)

    def backward(self, d, cache):
        steps, p = cache
        g = {"w": 0, "R": 0, "v": steps[-1][1].T @ d}
        d_h, sums = np.outer(d, p["v"]), [0, 0]
        for t, (before, h) in reversed(list(enumerate(steps))):
            d_a = d_h * (1 if self.bug == "slope" else 1 - h * h)
            sums = [sums[0] + before, sums[1] + d_a]
            kept = {"first": t == 1, "last": t == D - 1}.get(self.bug, True)
            g["w"] = g["w"] + kept * (self.x[:, t] @ d_a)
            g["R"] = g["R"] + kept * (before.T @ d_a)
            d_h = d_a @ (p["R"] if self.bug == "turned" else p["R"].T)
        if self.bug == "product of sums":
            g["R"] = sums[0].T @ sums[1]
        return g


@pytest.mark.parametrize("n_hidden", [4, 8])  # fewer than there are steps, and more
@pytest.mark.parametrize("bug", ["", "first", "last", "turned", "slope", "product of sums"])
def test_a_weight_that_all_steps_to_one_output_share(bug, n_hidden):
    code = ManyToOne(bits(), bug, n_hidden)
    p = point({"w": (n_hidden,), "R": (n_hidden, n_hidden), "v": (n_hidden,)})
    report = checks.check_backward(code.forward, code.backward, p)
    assert bool(report) is (not bug)
    if bug in ("first", "last"):
        assert report.kinds == ["last-step"] * 2
        causes = {cause.array: cause.text for cause in report.causes}
        assert "of all uses of this weight only one counts" in causes["R"]
        assert "for the same reason as R" in causes["w"]
    elif (bug, n_hidden) == ("product of sums", 4):  # more steps than a rank can tell apart
        assert "or the product of sums stands where" in report.causes[0].text
    else:
        assert "last-step" not in report.kinds


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bug", ["", "own", "no-x", "late", "onwards", "states-onwards"])
def test_a_row_taken_after_its_own_variable(bug, seed, told):
    x, p, order = bits(seed=seed), point(NADE_SHAPES, seed), np.array(ORDER)

    def backward(d, q):
        args = (d, x, q["W"], q["c"], q["V"], order, "sigmoid")
        return dict(zip(NAMES, mistakes.nade_backward(*args, mistake=bug), strict=True))

    hints = {"x": x, "order": order} if told else {}
    report = checks.check_backward(lambda q: (Nade(x).forward(q)[0], q), backward, p, **hints)
    assert bool(report) is (not bug)
    assert (report.kinds == ["shifted"]) is (bug == "own"), report
    if bug == "own":
        assert "what variable i gets through output i" in report.causes[0].text
