"""Training: each optimiser's step by its definition, and what `fit` promises."""

import copy
import json
import math
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import pyarsimple
from pyarsimple import FVSBN, MADE, NADE, fit, optimizers
from pyarsimple.baselines import IndependentBernoulli
from pyarsimple.training import DivergenceError

D = 6


def make_data(n=200, seed=0):
    """Bits that depend on one another: each is likely to repeat the one before."""
    rng = np.random.default_rng(seed)
    x = np.empty((n, D), np.uint8)
    x[:, 0] = rng.random(n) < 0.3
    for i in range(1, D):
        x[:, i] = np.where(rng.random(n) < 0.85, x[:, i - 1], rng.random(n) < 0.4)
    return x


X_TRAIN, X_VALID = make_data(200, 0), make_data(100, 1)


def make_nade(**settings):
    return NADE(D, 5, **{"rng": 0, **settings})


def params_equal(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


# The optimisers, beside their definition in scalars.


def sgd(p, gs, rate, momentum=0.0, nesterov=False):
    v = 0.0
    for g in gs:
        v = momentum * v - rate * g
        p += momentum * v - rate * g if nesterov else v
    return p


def adagrad(p, gs, rate, epsilon=1e-8):
    s = 0.0
    for g in gs:
        s += g**2
        p -= rate * g / (math.sqrt(s) + epsilon)
    return p


def adam(p, gs, rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
    m = v = 0.0
    for t, g in enumerate(gs, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        p -= rate * m / (1 - beta1**t) / (math.sqrt(v / (1 - beta2**t)) + epsilon)
    return p


STEPS = [
    (optimizers.SGD(0.3), lambda p, gs: sgd(p, gs, 0.3)),
    (optimizers.SGD(0.3, momentum=0.7), lambda p, gs: sgd(p, gs, 0.3, 0.7)),
    (
        optimizers.SGD(0.3, momentum=0.7, nesterov=True),
        lambda p, gs: sgd(p, gs, 0.3, 0.7, nesterov=True),
    ),
    (optimizers.AdaGrad(0.2), lambda p, gs: adagrad(p, gs, 0.2)),
    (optimizers.Adam(0.01), lambda p, gs: adam(p, gs, 0.01)),
    (
        optimizers.Adam(0.01, beta1=0.8, beta2=0.9, epsilon=1e-3),
        lambda p, gs: adam(p, gs, 0.01, 0.8, 0.9, 1e-3),
    ),
]


@pytest.mark.parametrize(("optimizer", "definition"), STEPS, ids=[repr(o)[:60] for o, _ in STEPS])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_steps_follow_the_definition_in_place(optimizer, definition, dtype):
    rng = np.random.default_rng(0)
    params = {"W": rng.normal(size=(3, 4)).astype(dtype), "b": rng.normal(size=4).astype(dtype)}
    grads = [{k: rng.normal(size=p.shape).astype(dtype) for k, p in params.items()} for _ in "abc"]
    start, live = {k: p.copy() for k, p in params.items()}, dict(params)
    given = copy.deepcopy(grads)
    optimizer = optimizer.fresh()
    for g in grads:
        optimizer.update(params, g)
    for name, p in params.items():
        assert p is live[name]
        wanted = np.empty_like(p, np.float64)
        for index in np.ndindex(p.shape):
            gs = [float(g[name][index]) for g in grads]
            wanted[index] = definition(float(start[name][index]), gs)
        np.testing.assert_allclose(p, wanted, rtol=1e-12 if dtype == "float64" else 2e-5)
    assert all(params_equal(a, b) for a, b in zip(grads, given, strict=True))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_weights_decay_by_a_share_of_their_own(dtype):
    """AdamW: the same share of each weight, whatever its gradient; the step itself is Adam's."""
    rng = np.random.default_rng(1)
    shapes = {"W1": (3, 4), "c1": (4,), "V": (2, 4), "b": (2,), "c": (3, 4)}  # c as of UntiedNADE
    start = {k: rng.normal(size=shape).astype(dtype) for k, shape in shapes.items()}
    plain, decayed = copy.deepcopy(start), copy.deepcopy(start)
    grads = {k: rng.normal(size=p.shape).astype(dtype) for k, p in start.items()}
    optimizers.Adam(0.02).update(plain, grads, factor=0.5)
    optimizers.Adam(0.02, weight_decay=3.0).update(decayed, grads, factor=0.5)
    for name, p in decayed.items():
        taken = 0.01 * 3 * start[name] if name in ("W1", "V") else 0
        np.testing.assert_allclose(p, plain[name] - taken, rtol=0, atol=1e-6)


def test_a_step_reaches_arrays_that_are_not_contiguous():
    """The compiled update takes contiguous arrays; a strided one must not be left behind."""
    whole = np.ones((4, 6))
    optimizers.Adam(0.1).update({"p": whole[:, ::2]}, {"p": np.ones((4, 3))})
    np.testing.assert_allclose(whole[:, ::2], 0.9, rtol=1e-6)
    assert (whole[:, 1::2] == 1).all()


def test_factor_scales_the_step():
    p, q = np.ones(3), np.ones(3)
    optimizers.SGD(0.1).update({"p": p}, {"p": np.ones(3)}, factor=0.5)
    optimizers.SGD(0.05).update({"p": q}, {"p": np.ones(3)})
    np.testing.assert_array_equal(p, q)


def test_update_refuses_gradients_that_do_not_fit():
    with pytest.raises(ValueError, match="keys of params"):
        optimizers.SGD().update({"p": np.ones(3)}, {"q": np.ones(3)})
    with pytest.raises(ValueError, match=r"grads\['p'\] must have shape \(3,\), got \(4,\)"):
        optimizers.SGD().update({"p": np.ones(3)}, {"p": np.ones(4)})


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: optimizers.SGD(-1), "learning_rate"),
        (lambda: optimizers.SGD("fast"), "learning_rate"),
        (lambda: optimizers.SGD(math.nan), "learning_rate"),
        (lambda: optimizers.SGD(momentum=1), "momentum"),
        (lambda: optimizers.SGD(nesterov=True), "nesterov"),
        (lambda: optimizers.Adam(beta1=1.0), "beta1"),
        (lambda: optimizers.Adam(beta2=-0.1), "beta2"),
        (lambda: optimizers.Adam(epsilon=-1), "epsilon"),
        (lambda: optimizers.Adam(weight_decay=-0.1), "weight_decay"),
        (lambda: optimizers.AdaGrad(epsilon=None), "epsilon"),
        (lambda: optimizers.LBFGS(n_iterations=0), "n_iterations"),
        (lambda: optimizers.StepDecay(0), "every"),
        (lambda: optimizers.InverseTime(0), "half_life"),
    ],
)
def test_optimizers_refuse_bad_settings(make, name):
    with pytest.raises(ValueError, match=name):
        make()


def test_clip_by_norm():
    grads = {"a": np.array([3.0]), "b": np.array([[4.0, 0.0]])}
    assert optimizers.clip_by_norm(grads, 10) == 5
    assert grads["a"] == 3
    assert optimizers.clip_by_norm(grads, 1) == 5
    np.testing.assert_allclose(grads["a"], [0.6], rtol=1e-15)
    np.testing.assert_allclose(grads["b"], [[0.8, 0.0]], rtol=1e-15)


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (optimizers.Constant(), {0: 1, 5: 1}),
        (optimizers.Linear(10), {0: 1, 5: 0.5, 10: 0, 12: 0}),
        (optimizers.Linear(10, warmup=2), {0: 0, 1: 0.5, 2: 1, 6: 0.5, 10: 0}),
        (optimizers.Cosine(8), {0: 1, 2: 0.5 + math.sqrt(0.125), 4: 0.5, 8: 0}),
        (optimizers.Cosine(10, warmup=4), {1: 0.25, 4: 1, 7: 0.5, 10: 0}),
        (optimizers.StepDecay(3, 0.1), {0: 1, 2.9: 1, 3: 0.1, 6.5: 0.01}),
        (optimizers.InverseTime(4), {0: 1, 4: 0.5, 12: 0.25}),
    ],
)
def test_schedules(schedule, factors):
    for epoch, factor in factors.items():
        assert schedule(epoch) == pytest.approx(factor, rel=1e-12, abs=1e-15)


# What fit does.


@pytest.mark.parametrize("optimizer", [optimizers.Adam(0.01), "sgd", "adagrad"], ids=str)
@pytest.mark.parametrize("make", [FVSBN, make_nade, lambda rng=0: MADE(D, (8,), rng=rng)])
def test_training_beats_the_independent_model(make, optimizer):
    model = make(D, rng=0) if make is FVSBN else make()
    baseline = IndependentBernoulli(D).fit(X_TRAIN)
    history = fit(model, X_TRAIN, X_VALID, optimizer=optimizer, max_epochs=60, batch_size=20, rng=0)
    assert -model.log_prob(X_VALID).mean() < -baseline.log_prob(X_VALID).mean() - 0.3
    assert history.train_nll[-1] < history.train_nll[0]


def test_lbfgs_finds_the_minimum_of_the_convex_problem():
    model = FVSBN(D, rng=0)
    history = fit(model, X_TRAIN, optimizer=optimizers.LBFGS(50), max_epochs=20, l2=1e-2)
    assert history.stopped == "converged"
    _, grads = model.nll_and_grads(X_TRAIN)
    grads["W"] = grads["W"] + 1e-2 * model.params["W"]
    assert max(abs(g).max() for g in grads.values()) < 1e-4
    # The same minimum from elsewhere, whatever the row blocks in which the loss is summed.
    other = FVSBN(D, rng=5)
    fit(other, X_TRAIN, optimizer=optimizers.LBFGS(50), max_epochs=20, l2=1e-2)
    np.testing.assert_allclose(other.params["W"], model.params["W"], atol=1e-3, rtol=0)


def test_lbfgs_in_blocks_of_rows(monkeypatch):
    whole, blocks = FVSBN(D, rng=0), FVSBN(D, rng=0)
    fit(whole, X_TRAIN, optimizer="lbfgs", max_epochs=1)
    monkeypatch.setattr("pyarsimple.autoregressive.MEMORY_LIMIT", 7 * 4 * 8 * D)
    fit(blocks, X_TRAIN, optimizer="lbfgs", max_epochs=1)
    np.testing.assert_allclose(blocks.params["W"], whole.params["W"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("settings", [{"average": 0.9}, {"max_grad_norm": 1.0}])
def test_lbfgs_refuses_what_it_cannot_do(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        fit(FVSBN(D), X_TRAIN, optimizer="lbfgs", **settings)
    with pytest.raises(ValueError, match="dropout"):
        fit(make_nade(dropout=0.5), X_TRAIN, optimizer="lbfgs")


def test_early_stopping_restores_the_best_parameters():
    model = NADE(D, 30, rng=0)
    best = []
    history = fit(
        model, X_TRAIN[:20], X_VALID, optimizer=optimizers.Adam(0.05), batch_size=5,
        max_epochs=500, patience=5, rng=0,
        callbacks=[lambda m, h: best.append({k: p.copy() for k, p in m.params.items()})],
    )  # fmt: skip
    assert history.stopped == "patience"
    assert history.n_epochs == history.best_epoch + 5 < 500
    assert history.best_epoch == 1 + int(np.argmin(history.valid_nll))
    assert min(history.valid_nll) == -model.log_prob(X_VALID).mean()
    assert params_equal(model.params, best[history.best_epoch - 1])
    assert not params_equal(model.params, best[-1])


def test_without_validation_rows_the_last_parameters_stay():
    model, seen = make_nade(), []
    history = fit(
        model, X_TRAIN, max_epochs=3, rng=0,
        callbacks=[lambda m, h: seen.append({k: p.copy() for k, p in m.params.items()})],
    )  # fmt: skip
    assert history.stopped == "max_epochs"
    assert history.best_epoch == history.n_epochs == 3
    assert history.valid_nll == []
    assert params_equal(model.params, seen[-1])


def test_parameters_stay_the_same_arrays():
    model = make_nade()
    live = dict(model.params)
    fit(model, X_TRAIN, X_VALID, max_epochs=2, average=0.9, rng=0)
    assert all(model.params[k] is live[k] for k in live)


def test_an_optimizer_instance_is_left_as_it_was():
    optimizer = optimizers.Adam(0.01)
    first, second = make_nade(), make_nade()
    fit(first, X_TRAIN, optimizer=optimizer, max_epochs=2, rng=0)
    assert optimizer.t == 0
    assert optimizer.state == {"m": {}, "v": {}}
    fit(second, X_TRAIN, optimizer=optimizer, max_epochs=2, rng=0)
    assert params_equal(first.params, second.params)


def test_rng_decides_and_the_global_state_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    models = [make_nade(dropout=0.2) for _ in range(3)]
    for model, seed in zip(models, [7, 7, 8], strict=True):
        fit(model, X_TRAIN, max_epochs=2, rng=seed)
    assert params_equal(models[0].params, models[1].params)
    assert not params_equal(models[0].params, models[2].params)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_one_epoch_is_the_sum_of_its_parts():
    """By hand: rows in the order of the generator, batches, l2 on weights alone, clipping."""
    model, by_hand = make_nade(), make_nade()
    history = fit(
        model, X_TRAIN, optimizer=optimizers.SGD(0.5), batch_size=64, max_epochs=1, l2=0.1,
        max_grad_norm=0.3, schedule=optimizers.Linear(2), rng=3,
    )  # fmt: skip
    rng, losses = np.random.default_rng(3), []
    rows = rng.permutation(200)
    for start in (0, 64, 128, 192):
        batch = X_TRAIN[rows[start : start + 64]]
        loss, grads = by_hand.nll_and_grads(batch)
        losses += [loss] * len(batch)
        for name in ("W", "V"):
            grads[name] = grads[name] + 0.1 * by_hand.params[name]
        norm = math.sqrt(sum((g**2).sum() for g in grads.values()))
        for name, g in grads.items():
            step = 0.5 * (1 - start / 200 / 2) * g * min(1, 0.3 / norm)
            by_hand.params[name] -= step
    for name, p in by_hand.params.items():
        np.testing.assert_allclose(model.params[name], p, rtol=1e-10, atol=1e-13)
    assert history.train_nll[0] == pytest.approx(np.mean(losses), rel=1e-12)
    assert history.learning_rate[0] == pytest.approx(0.5 * (1 - 192 / 400), rel=1e-12)


def test_average_is_what_is_validated_and_kept():
    model = make_nade()
    mean = {k: p.copy() for k, p in model.params.items()}
    by_hand = make_nade()
    history = fit(
        model, X_TRAIN, X_VALID, optimizer=optimizers.SGD(0.5), batch_size=100, max_epochs=1,
        average=0.15, rng=3,
    )  # fmt: skip
    rng = np.random.default_rng(3)
    rows, optimizer = rng.permutation(200), optimizers.SGD(0.5)
    for t, start in enumerate((0, 100), 1):
        _, grads = by_hand.nll_and_grads(X_TRAIN[rows[start : start + 100]])
        optimizer.update(by_hand.params, grads)
        d = min(0.15, (1 + t) / (10 + t))
        mean = {k: d * mean[k] + (1 - d) * p for k, p in by_hand.params.items()}
    for name in mean:
        np.testing.assert_allclose(model.params[name], mean[name], rtol=1e-10, atol=1e-13)
    assert history.valid_nll == [-model.log_prob(X_VALID).mean()]


def test_the_data_may_be_a_memory_map_of_which_only_batches_are_read(tmp_path):
    """What is read is counted by an array whose rows can only be had a few at a time."""
    np.save(tmp_path / "x.npy", X_TRAIN)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")

    class Watched(np.ndarray):
        largest = 0

        def __getitem__(self, key):
            part = super().__getitem__(key)
            Watched.largest = max(Watched.largest, len(part))
            return np.asarray(part)

        def __array_ufunc__(self, *args, **kwargs):
            raise AssertionError("all of the data was read at once")

    model, other = make_nade(), make_nade()
    fit(model, mapped.view(Watched), max_epochs=2, batch_size=16, rng=0)
    assert Watched.largest <= 100 < len(X_TRAIN)  # a hundred, once, to know the data by
    fit(other, X_TRAIN.tolist(), max_epochs=2, batch_size=16, rng=0)
    assert params_equal(model.params, other.params)


def test_history_is_json_and_callbacks_can_stop():
    model = make_nade()
    history = fit(
        model, X_TRAIN, X_VALID, max_epochs=50, rng=0, callbacks=[lambda m, h: h.n_epochs == 3]
    )
    assert history.stopped == "callback"
    assert json.loads(json.dumps(history.to_dict())) == history.to_dict()
    lists = [history.train_nll, history.valid_nll, history.learning_rate, history.seconds]
    assert [len(entries) for entries in lists] == [3, 3, 3, 3]
    assert history.seconds == sorted(history.seconds)


def test_every_callback_is_called_even_after_one_that_stops():
    calls = []
    fit(
        make_nade(), X_TRAIN, max_epochs=5, rng=0,
        callbacks=[lambda m, h: True, lambda m, h: calls.append(h.n_epochs)],
    )  # fmt: skip
    assert calls == [1]


def test_history_plots_itself():
    pytest.importorskip("matplotlib")
    history = fit(make_nade(), X_TRAIN, X_VALID, max_epochs=3, rng=0)
    figure = history.plot()
    lines = [line.get_ydata() for axes in figure.axes for line in axes.get_lines()]
    assert any(np.array_equal(line, history.valid_nll) for line in lines)


def test_progress_names_the_run(capsys):
    pytest.importorskip("tqdm")
    fit(make_nade(), X_TRAIN, X_VALID, max_epochs=2, progress="a nade", rng=0)
    shown = capsys.readouterr().err
    assert "a nade" in shown
    assert "2/2" in shown
    assert "valid=" in shown


def test_progress_without_tqdm_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match="tqdm"):
        fit(make_nade(), X_TRAIN, max_epochs=1, progress=True)


# Trouble.


class BlowsUp(NADE):
    """Its loss is NaN from the third call on."""

    calls = 0

    def training_loss_and_grads(self, x, rng=None):
        self.calls += 1
        loss, grads = super().training_loss_and_grads(x, rng)
        return (math.nan if self.calls > 2 else loss), grads


def test_a_loss_of_nan_stops_with_advice_and_keeps_the_best():
    model = BlowsUp(D, 5, rng=0)
    with pytest.raises(DivergenceError, match="smaller learning_rate") as caught:
        fit(model, X_TRAIN, X_VALID, batch_size=200, max_epochs=10, rng=0)
    history = caught.value.history
    assert history.stopped == "diverged"
    assert history.n_epochs == 2
    assert -model.log_prob(X_VALID).mean() == min(history.valid_nll)


@pytest.mark.parametrize("rate", [1e5, 1e10, 1e200, 1e300])
@pytest.mark.parametrize("batch_size", [20, 200])
@pytest.mark.parametrize("x_valid", [None, X_VALID], ids=["without", "with"])
def test_what_diverges_leaves_a_model_that_can_score(rate, batch_size, x_valid):
    """Also if only the very last step went too far, and no loss came after it."""
    for make in (
        lambda: NADE(D, 5, hidden="relu", rng=0),
        lambda: MADE(D, (9, 9, 9), dtype="float32", rng=0),
    ):
        for max_epochs in (1, 2, 20):
            model = make()
            try:
                fit(
                    model, X_TRAIN, x_valid, optimizer=optimizers.SGD(rate), rng=0,
                    max_epochs=max_epochs, batch_size=batch_size,
                )  # fmt: skip
                diverged = False
            except DivergenceError:
                diverged = True
            assert diverged or rate < 1e100
            with np.errstate(over="ignore"):  # logits may be infinite, and right
                assert np.isfinite(model.log_prob(X_TRAIN[: min(100, batch_size)])).all()


def test_a_schedule_of_nan_is_a_divergence():
    model = make_nade()
    with pytest.raises(DivergenceError, match="that it started with"):
        fit(model, X_TRAIN, schedule=lambda epoch: math.nan, max_epochs=1, rng=0)
    assert params_equal(model.params, make_nade().params)


def test_l2_leaves_masked_entries_out():
    """What is masked changes nothing, not even through the penalty or the clipped norm."""
    for optimizer in (optimizers.SGD(0.1), "lbfgs"):
        clip = {} if optimizer == "lbfgs" else {"max_grad_norm": 0.1}
        clean, marked = FVSBN(D, rng=0), FVSBN(D, rng=0)
        marked.params["W"][~marked.masks()["W"]] = np.nan
        for model in (clean, marked):
            fit(model, X_TRAIN, optimizer=optimizer, l2=0.01, max_epochs=3, rng=0, **clip)
        free = clean.masks()["W"]
        np.testing.assert_array_equal(marked.params["W"][free], clean.params["W"][free])
        np.testing.assert_array_equal(marked.params["b"], clean.params["b"])


@pytest.fixture
def _ctrl_c():
    """Ctrl-C as in a terminal, even if the tests run in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt_after(n):
    def callback(model, history):
        if history.n_epochs == n:
            os.kill(os.getpid(), signal.SIGINT)

    return callback


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_stops_cleanly_with_the_best_model():
    model = make_nade()
    history = fit(model, X_TRAIN, X_VALID, max_epochs=50, rng=0, callbacks=[interrupt_after(4)])
    assert history.stopped == "interrupted"
    assert history.n_epochs == 4
    assert -model.log_prob(X_VALID).mean() == min(history.valid_nll)


@pytest.mark.usefixtures("_ctrl_c")
def test_ctrl_c_while_an_epoch_is_recorded_waits_for_it(tmp_path, monkeypatch):
    """Else the history, the best parameters and the checkpoint could disagree."""
    from pyarsimple import training

    path, end_epoch = tmp_path / "checkpoint.npz", training._Run.end_epoch

    def interrupted(run, *args):
        if run.history.n_epochs == 2:
            os.kill(os.getpid(), signal.SIGINT)
        end_epoch(run, *args)

    monkeypatch.setattr(training._Run, "end_epoch", interrupted)
    model, whole = make_nade(), make_nade()
    history = fit(model, X_TRAIN, X_VALID, max_epochs=9, rng=0, checkpoint=path)
    assert (history.stopped, history.n_epochs) == ("interrupted", 3)
    assert len(history.valid_nll) == len(history.seconds) == 3
    monkeypatch.undo()
    resumed = fit(model, X_TRAIN, X_VALID, max_epochs=5, resume=path)
    expected = fit(whole, X_TRAIN, X_VALID, max_epochs=5, rng=0)
    assert resumed.valid_nll == expected.valid_nll
    assert params_equal(model.params, whole.params)


def test_other_errors_pass_and_leave_the_best_model():
    def fail(model, history):
        raise ZeroDivisionError

    model = make_nade()
    with pytest.raises(ZeroDivisionError):
        fit(model, X_TRAIN, X_VALID, max_epochs=3, rng=0, callbacks=[fail])
    assert not params_equal(model.params, make_nade().params)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"batch_size": 2.5}, TypeError, "batch_size must be a whole number"),
        ({"max_epochs": -1}, ValueError, "max_epochs"),
        ({"patience": 0}, ValueError, "patience"),
        ({"l2": -1}, ValueError, "l2"),
        ({"max_grad_norm": 0}, ValueError, "max_grad_norm"),
        ({"average": 1.0}, ValueError, "average must be a number above 0 and below 1"),
        ({"optimizer": optimizers.Adam, "l2": 0.1}, ValueError, "optimizer must be"),
        ({"optimizer": "newton"}, ValueError, "optimizer must be one of adam, sgd"),
        ({"optimizer": 3}, ValueError, "optimizer must be"),
        ({"schedule": "sometimes"}, ValueError, "schedule must be"),
        ({"x_valid": X_VALID[:, :-1]}, ValueError, "x_valid"),
        ({"x_valid": X_VALID[:0]}, ValueError, "x_valid has no rows"),
        ({"x_valid": X_VALID + 0.5}, ValueError, "x_valid"),
    ],
)
def test_bad_arguments_are_named(settings, error, message):
    model = make_nade()
    with pytest.raises(error, match=message):
        fit(model, X_TRAIN, **settings)
    assert params_equal(model.params, make_nade().params)


def test_bad_data_are_named():
    with pytest.raises(ValueError, match="x_train must be an array of bits"):
        fit(make_nade(), X_TRAIN[:, :2])
    with pytest.raises(ValueError, match="x_train has no rows"):
        fit(make_nade(), X_TRAIN[:0])
    with pytest.raises(TypeError, match="model must be"):
        fit("nade", X_TRAIN)
    late = X_TRAIN.astype(float)
    late[150, 2] = 0.5  # found when its batch is read
    with pytest.raises(ValueError, match=r"x_train must .* got 0\.5 in row 150, column 2"):
        fit(make_nade(), late, max_epochs=1, rng=0)
    with pytest.raises(ValueError, match=r"x_valid must .* got 0\.5 in row 150, column 2"):
        fit(make_nade(), X_TRAIN, late, max_epochs=1, rng=0)
    with pytest.raises(ValueError, match=r"x_train must .* got shape \(6,\)"):
        fit(make_nade(), X_TRAIN[0])
    with pytest.raises(ValueError, match=r"x_train must .* got shape \(\)"):
        fit(make_nade(), np.array(1))


# Checkpoints.


SETTINGS = [
    ("adam", {"average": 0.9, "schedule": "cosine"}),
    ("adagrad", {"l2": 0.01}),
    (optimizers.SGD(0.1, momentum=0.9, nesterov=True), {"max_grad_norm": 1.0}),
]


@pytest.mark.usefixtures("_ctrl_c")
@pytest.mark.parametrize(("optimizer", "settings"), SETTINGS, ids=["adam", "adagrad", "sgd"])
@pytest.mark.parametrize("bit_generator", [np.random.PCG64, np.random.MT19937, np.random.Philox])
def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path, optimizer, settings, bit_generator):
    path = tmp_path / "checkpoint.npz"
    settings = {"optimizer": optimizer, "batch_size": 64, "max_epochs": 7, **settings}
    whole, parts = make_nade(dropout=0.3), make_nade(dropout=0.3)
    expected = fit(whole, X_TRAIN, X_VALID, rng=bit_generator(5), **settings)
    fit(
        parts, X_TRAIN, X_VALID, rng=bit_generator(5), checkpoint=path,
        callbacks=[interrupt_after(3)], **settings,
    )  # fmt: skip
    parts = make_nade(dropout=0.3, rng=99)  # nothing of the first process is left but the file
    history = fit(parts, X_TRAIN, X_VALID, checkpoint=path, resume=path, **settings)
    assert params_equal(parts.params, whole.params)
    assert history.n_epochs == 7
    for name in ("train_nll", "valid_nll", "learning_rate", "best_epoch", "stopped"):
        assert getattr(history, name) == getattr(expected, name)
    assert history.seconds == sorted(history.seconds)


def test_resumed_equals_uninterrupted_without_validation_rows_and_for_lbfgs(tmp_path):
    path = tmp_path / "checkpoint.npz"
    for optimizer, n in (("adam", 4), (optimizers.LBFGS(2), 4), (optimizers.LBFGS(30), 9)):
        whole, parts = FVSBN(D, rng=0), FVSBN(D, rng=0)
        settings = {"optimizer": optimizer, "l2": 0.01, "rng": 0}
        expected = fit(whole, X_TRAIN, max_epochs=n, **settings)
        fit(parts, X_TRAIN, max_epochs=2, checkpoint=path, **settings)
        history = fit(parts, X_TRAIN, max_epochs=n, resume=path, **settings)
        assert params_equal(parts.params, whole.params)
        assert history.stopped == expected.stopped
    assert history.stopped == "converged"


def test_resume_goes_on_after_patience_was_raised(tmp_path):
    path = tmp_path / "checkpoint.npz"
    data = {"x_train": X_TRAIN[:20], "x_valid": X_VALID, "optimizer": optimizers.Adam(0.05)}
    model = NADE(D, 30, rng=0)
    first = fit(model, **data, patience=2, max_epochs=200, rng=0, checkpoint=path)
    second = fit(model, **data, patience=4, max_epochs=200, rng=0, resume=path)
    assert first.stopped == second.stopped == "patience"
    assert second.n_epochs >= first.n_epochs + 2


def test_resume_refuses_what_does_not_fit_and_changes_nothing(tmp_path):
    path = tmp_path / "checkpoint.npz"
    fit(make_nade(), X_TRAIN, X_VALID, max_epochs=1, checkpoint=path, rng=0)

    def refused(match, model=None, x_train=X_TRAIN, error=ValueError, resume=path, **settings):
        model = model or make_nade(rng=4)
        before = copy.deepcopy(model.params)
        with pytest.raises(error, match=match):
            fit(model, x_train, X_VALID, max_epochs=3, resume=resume, **settings)
        assert params_equal(model.params, before)

    refused("batch_size was 100 and is 50", batch_size=50)
    refused("optimizer was Adam", optimizer="sgd")
    refused("model was NADE", model=NADE(D, 4))
    refused("l2 was", l2=0.1)
    refused("schedule was", schedule="cosine")
    refused("x_train was", x_train=X_TRAIN[:50])
    refused("x_train was", x_train=1 - X_TRAIN)
    refused("schedule was", schedule=lambda epoch: 0.5)
    refused("nowhere", resume=tmp_path / "nowhere.npz", error=OSError)
    (tmp_path / "text.npz").write_text("no checkpoint")
    refused(r"text\.npz", resume=tmp_path / "text.npz")
    model = make_nade()
    model.save(tmp_path / "model.npz")
    refused(r"model\.npz", resume=tmp_path / "model.npz")
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:-30])
    refused(r"cut\.npz", resume=tmp_path / "cut.npz")


def at(content, path):
    """The dictionary or list that holds the last step of a path, and that step."""
    *steps, last = path
    for step in steps:
        content = content[step]
    return content, last


HOSTILE = [None, True, -1, 10**9, 2**200, -(10**6), 0.5, math.nan, math.inf, "abc", [], ["a"], {}]


@pytest.mark.parametrize("bit_generator", [np.random.PCG64, np.random.MT19937, np.random.Philox])
def test_a_checkpoint_that_was_tampered_with_is_refused_or_harmless(tmp_path, bit_generator):
    """Every entry of its header, replaced by every kind of nonsense; and arrays left out."""
    from pyarsimple import storage

    path, forged = tmp_path / "checkpoint.npz", tmp_path / "forged.npz"
    fit(make_nade(), X_TRAIN, max_epochs=2, checkpoint=path, rng=bit_generator(0))
    header, arrays = storage.read_file(path, "checkpoint")
    paths = [(name,) for name in header]
    paths += [("history", name) for name in header["history"]]
    paths += [("history", "train_nll", 0), ("history", "seconds", 1), ("rng", "bit_generator")]
    state = header["rng"]["state"]
    paths += [("rng", name) for name in header["rng"] if name != "bit_generator"]
    paths += [("rng", "state", name) for name in state]
    paths += [("rng", "state", "key", "values")] if "key" in state else []
    n_refused = 0
    for where in paths:
        for value in HOSTILE:
            content = copy.deepcopy(header)
            holder, last = at(content, where)
            holder[last] = value
            try:
                storage.write_file(forged, "checkpoint", content, arrays)
            except ValueError:  # no JSON
                continue
            try:
                fit(make_nade(), X_TRAIN, max_epochs=3, resume=forged)
            except ValueError as error:
                n_refused += "forged.npz" in str(error)
    assert n_refused > 100
    for name in arrays:
        some = {k: a for k, a in arrays.items() if k != name}
        storage.write_file(forged, "checkpoint", header, some)
        with pytest.raises(ValueError, match="its arrays do not fit"):
            fit(make_nade(), X_TRAIN, max_epochs=3, resume=forged)


KILLED = """
import os, sys
import numpy as np
import pyarsimple
x = np.random.default_rng(0).integers(2, size=(50, 4))
model = pyarsimple.NADE(4, 3, rng=0)
def die(model, history):
    if history.n_epochs == 2:
        os._exit(7)
pyarsimple.fit(model, x, max_epochs=9, rng=0, checkpoint=sys.argv[1], callbacks=[die])
"""


def test_a_process_that_dies_leaves_a_checkpoint_to_go_on_from(tmp_path):
    path = tmp_path / "checkpoint.npz"
    died = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert died.returncode == 7
    x = np.random.default_rng(0).integers(2, size=(50, 4))
    whole, resumed = NADE(4, 3, rng=0), NADE(4, 3, rng=1)
    fit(whole, x, max_epochs=5, rng=0)
    fit(resumed, x, max_epochs=5, resume=path)
    assert params_equal(whole.params, resumed.params)


def test_training_works_in_a_thread():
    model, errors = make_nade(), []

    def work():
        try:
            fit(model, X_TRAIN, max_epochs=2, rng=0)
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not errors
    assert not params_equal(model.params, make_nade().params)


def test_fit_and_load_are_public():
    assert pyarsimple.fit is fit
    assert callable(pyarsimple.load)
