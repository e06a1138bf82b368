"""Weights and contexts of rows travel with their rows: through batches, blocks and resuming."""

import math

import numpy as np
import pytest

from pyarsimple import FVSBN, MADE, NADE, autoregressive, fit, optimizers, training

D, N = 5, 90
RNG = np.random.default_rng(7)
CONTEXT = RNG.normal(size=(N, 3))
WEIGHT = RNG.integers(0, 4, N).astype(float)  # some are 0
# Bits that follow the context, and differ from row to row: what is mixed up shows.
X = (CONTEXT @ RNG.normal(size=(3, D)) + 0.3 * RNG.normal(size=(N, D)) > 0).astype(np.uint8)
REPEATED = np.repeat(np.arange(N), WEIGHT.astype(int))

STILL = optimizers.SGD(1e-300)  # no step moves a parameter: what is recorded belongs to them


def make_nade(**settings):
    return NADE(D, 4, **{"rng": 0, **settings})


def weighted_nll(model, x, weight, context=None):
    return -(weight @ model.log_prob(x, context)) / weight.sum()


def check_travels(batch_size):
    """The recorded loss is that of each row with its own context and its own weight."""
    model = make_nade(context=3)
    history = fit(
        model, X, X[::2], context=CONTEXT, weight=WEIGHT, valid_context=CONTEXT[::2],
        valid_weight=WEIGHT[::2], optimizer=STILL, batch_size=batch_size, max_epochs=1, rng=1,
    )  # fmt: skip
    wanted = weighted_nll(model, X, WEIGHT, CONTEXT)
    assert math.isclose(history.train_nll[0], wanted, rel_tol=1e-12)
    valid = weighted_nll(model, X[::2], WEIGHT[::2], CONTEXT[::2])
    assert math.isclose(history.valid_nll[0], valid, rel_tol=1e-12)


@pytest.mark.parametrize("batch_size", [7, N])
def test_contexts_and_weights_travel_with_their_rows(batch_size):
    check_travels(batch_size)


@pytest.mark.parametrize("left_behind", ["context", "weight"])
def test_what_is_left_behind_shows(left_behind, monkeypatch):
    take = training._Rows.take

    def forgetful(self, rows):
        other = np.arange(len(self.x))[rows] * 0 + np.arange(len(self.x[rows]))
        return take(self, rows)._replace(**{left_behind: getattr(self, left_behind)[other]})

    monkeypatch.setattr(training._Rows, "take", forgetful)
    with pytest.raises(AssertionError):
        check_travels(7)


def params_close(model, other, rtol):
    for name, p in model.params.items():
        np.testing.assert_allclose(p, other.params[name], rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("optimizer", [optimizers.SGD(0.5, momentum=0.5), "lbfgs"])
def test_a_weight_is_as_good_as_so_many_rows(optimizer):
    """All rows in one batch, so that both take the same steps."""
    weighted, repeated = make_nade(), make_nade()
    settings = {"optimizer": optimizer, "batch_size": len(REPEATED), "max_epochs": 3, "l2": 1e-3}
    fit(weighted, X, weight=0.1 * WEIGHT, **settings, rng=1)  # relative to their mean
    fit(repeated, X[REPEATED], **settings, rng=1)
    params_close(weighted, repeated, 1e-6)
    assert np.abs(weighted.params["W"] - make_nade().params["W"]).max() > 1e-3


def test_rows_of_weight_zero_are_as_if_they_were_not_there():
    """In batches too, dropout included: the same rows meet the same random numbers."""
    some, only = make_nade(dropout=0.3), make_nade(dropout=0.3)
    settings = {"batch_size": 8, "max_epochs": 4, "rng": 3}
    fit(some, X, weight=WEIGHT > 0, **settings)
    fit(only, X[WEIGHT > 0], **settings)
    params_close(some, only, 1e-9)


def test_equal_weights_are_none():
    weighted, plain = make_nade(), make_nade()
    fit(weighted, X, weight=np.full(N, 2.5), max_epochs=3, batch_size=20, rng=3)
    fit(plain, X, max_epochs=3, batch_size=20, rng=3)
    params_close(weighted, plain, 1e-9)


def test_the_steps_of_an_epoch_add_up_to_the_gradient_of_all_rows():
    """Plain SGD at a rate so small that nothing moves on the way."""
    model, rate = make_nade(), 1e-6
    _, grads = model.nll_and_grads(X, weight=WEIGHT)
    before = {name: p.copy() for name, p in model.params.items()}
    counting = np.count_nonzero(WEIGHT)
    batch_size = 10
    assert counting % batch_size == 0
    fit(model, X, weight=WEIGHT, optimizer=optimizers.SGD(rate), batch_size=batch_size,
        max_epochs=1, rng=0)  # fmt: skip
    for name, g in grads.items():
        moved = (before[name] - model.params[name]) / rate
        np.testing.assert_allclose(
            moved, counting / batch_size * g, atol=1e-4 * np.abs(g).max(), rtol=0
        )


def test_blocks_of_lbfgs_count_by_their_weights(monkeypatch):
    one, many = make_nade(context=3), make_nade(context=3)
    settings = {"optimizer": "lbfgs", "max_epochs": 2, "context": CONTEXT, "weight": WEIGHT}
    fit(one, X, **settings)
    monkeypatch.setattr(autoregressive, "MEMORY_LIMIT", 8 * one._bytes_per_row())
    fit(many, X, **settings)
    params_close(one, many, 1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: FVSBN(D, context=3, rng=0),
        lambda: make_nade(context=3),
        lambda: MADE(D, (9,), context=3, rng=0),
    ],
    ids=["fvsbn", "nade", "made"],
)
def test_a_context_that_tells_is_learnt(make):
    model = make()
    fit(model, X, context=CONTEXT, optimizer=optimizers.Adam(0.02), max_epochs=40, rng=0)
    mixed_up = np.roll(CONTEXT, 1, axis=0)
    gain = model.log_prob(X, CONTEXT).mean() - model.log_prob(X, mixed_up).mean()
    assert gain > 0.5


def test_resuming_continues_bit_for_bit(tmp_path):
    settings = {"context": CONTEXT, "weight": WEIGHT, "batch_size": 20}
    path = tmp_path / "checkpoint.npz"
    whole, first, second = (make_nade(context=3) for _ in "abc")
    fit(whole, X, **settings, max_epochs=4, rng=2)
    fit(first, X, **settings, max_epochs=2, rng=2, checkpoint=path)
    fit(second, X, **settings, max_epochs=4, resume=path)
    for name, p in whole.params.items():
        np.testing.assert_array_equal(p, second.params[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": None}, "x_train was .* weight"),
        ({"weight": WEIGHT[::-1]}, "x_train was .* weight"),
        ({"context": CONTEXT[::-1]}, "x_train was .* context"),
    ],
)
def test_resuming_with_others_is_refused(change, message, tmp_path):
    settings = {"context": CONTEXT, "weight": WEIGHT, "batch_size": 20}
    path = tmp_path / "checkpoint.npz"
    fit(make_nade(context=3), X, **settings, max_epochs=1, checkpoint=path)
    with pytest.raises(ValueError, match=message):
        fit(make_nade(context=3), X, **(settings | change), max_epochs=2, resume=path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weight": WEIGHT[1:]}, r"weight must be numbers of shape \(90,\)"),
        ({"weight": -WEIGHT}, "weight must be finite, at least 0"),
        ({"weight": 0 * WEIGHT}, "not all zero"),
        ({"weight": ["a"] * N}, "weight must be numbers"),
        ({"weight": None, "valid_weight": WEIGHT}, "belong to x_valid"),
        ({"context": CONTEXT}, "the model has none"),
        ({"x_valid": X, "valid_weight": WEIGHT * math.nan}, "valid_weight must be finite"),
        ({"x_valid": X, "valid_context": CONTEXT}, "the model has none"),
    ],
)
def test_what_does_not_fit_is_refused(settings, message):
    model = make_nade()
    with pytest.raises(ValueError, match=message):
        fit(model, X, **({"weight": WEIGHT} | settings))


@pytest.mark.parametrize("context", [None, CONTEXT[0], CONTEXT[1:], CONTEXT[:, 1:], CONTEXT[:1]])
def test_a_context_that_does_not_fit_is_refused(context):
    with pytest.raises(ValueError, match="context"):
        fit(make_nade(context=3), X, context=context)
