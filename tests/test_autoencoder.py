"""The autoencoder: MADE's network without its masks, and for that very reason no density."""

import math

import definition
import numpy as np
import pytest
import registry
from properties import close

import pyarsimple
from pyarsimple import MADE, checks, optimizers
from pyarsimple.autoencoder import Autoencoder
from pyarsimple.autoregressive import AutoregressiveModel
from pyarsimple.models import MODELS

X = (np.random.default_rng(0).random((40, 5)) < [0.2, 0.4, 0.5, 0.6, 0.8]).astype(np.uint8)


def make(sizes=(7, 6), hidden="tanh", **settings):
    return registry.generic(Autoencoder(5, sizes, hidden=hidden, **settings, rng=0), 1)


def by_loops(model, x):
    """The reconstruction of one row, one unit at a time."""
    p, g = model.params, definition.HIDDEN[model.hidden]
    units = x.tolist()
    for k, H in enumerate(model.hidden_sizes, 1):
        W, c = p[f"W{k}"], p[f"c{k}"]
        units = [g(c[m] + sum(W[j, m] * u for j, u in enumerate(units))) for m in range(H)]
    outputs = [b + sum(v * u for v, u in zip(V, units, strict=True))
               for V, b in zip(p["V"], p["b"], strict=True)]  # fmt: skip
    return [definition.sigmoid(z) for z in outputs]


def check_definition(model):
    wanted = np.array([by_loops(model, x) for x in X])
    close(model.reconstruct(X), wanted, 1e-13, "reconstruct")
    loss = -np.log(np.where(X == 1, wanted, 1 - wanted)).sum(axis=1)
    close(model.reconstruction_loss(X), loss, 1e-12, "reconstruction_loss")
    assert math.isclose(model.loss_and_grads(X)[0], loss.mean(), rel_tol=1e-12)


@pytest.mark.parametrize("hidden", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("sizes", [(4,), (7, 6), (3, 8, 4)])
def test_definition(sizes, hidden):
    check_definition(make(sizes, hidden))


def gradients_of(model):
    def loss_and_grads(params):
        model.params = params
        return model.loss_and_grads(X)

    return checks.check_gradients(loss_and_grads, model.params)


@pytest.mark.parametrize("hidden", ["tanh", "sigmoid"])
def test_gradients(hidden):
    report = gradients_of(make((7, 6), hidden))
    assert report, report


def test_a_wrong_gradient_is_caught(monkeypatch):
    from pyarsimple import autoencoder

    honest = autoencoder.made_backward

    def forgetful(*args):
        dW, dc, dV, db, dA = honest(*args)
        return [dW[0] * 2, *dW[1:]], dc, dV, db, dA

    monkeypatch.setattr(autoencoder, "made_backward", forgetful)
    assert not gradients_of(make())


def test_with_masks_in_its_weights_it_is_made():
    """The same network: only the masks tell the two apart."""
    made = registry.generic(MADE(5, (8, 7), hidden="tanh", order=[1, 2, 0, 4, 3], rng=0), 3)
    model = Autoencoder(5, (8, 7), hidden="tanh")
    assert {k: p.shape for k, p in model.params.items()} == {
        k: p.shape for k, p in made.params.items()
    }
    for name, p in made.params.items():
        model.params[name][...] = np.where(made.masks().get(name, True), p, 0)
    close(model.reconstruct(X), made.conditionals(X), 1e-13, "reconstruct")
    close(-model.reconstruction_loss(X), made.log_prob(X), 1e-13, "reconstruction_loss")
    assert math.isclose(sum_over_all(model), 1, rel_tol=1e-12)


def sum_over_all(model):
    return float(np.exp(-model.reconstruction_loss(registry.all_rows(model.n_dims))).sum())


def test_it_learns_to_copy_and_its_probabilities_sum_to_anything():
    model = Autoencoder(5, (30,), rng=0)
    every = registry.all_rows(5)
    losses = model.fit(every, optimizer=optimizers.Adam(0.01), max_epochs=300, rng=0)
    assert len(losses) == 300
    assert losses[-1] < 0.05 < losses[0]
    assert sum_over_all(model) > 0.95 * 2**5
    assert ((model.reconstruct(every) > 0.5) == every).all()


def test_every_output_depends_on_every_input():
    report = checks.check_autoregressive(make().reconstruct, 5)
    assert not report
    assert report.matrix.all()


def test_it_passes_for_no_density():
    model = make()
    assert not isinstance(model, AutoregressiveModel)
    assert "Autoencoder" not in {m.__name__ for m in MODELS.values()}
    assert not {"log_prob", "sample", "conditionals", "log_conditionals"} & set(dir(model))
    with pytest.raises(TypeError, match="model must be a pyarsimple model, got Autoencoder"):
        pyarsimple.fit(model, X)


def test_the_same_seeds_give_the_same_network():
    one, two = (Autoencoder(5, (6,), rng=3) for _ in "ab")
    assert one.fit(X, max_epochs=3, batch_size=9, rng=1) == two.fit(
        X, max_epochs=3, batch_size=9, rng=1
    )
    for name, p in one.params.items():
        np.testing.assert_array_equal(p, two.params[name])
    assert Autoencoder(5, (6,), dtype="float32", rng=3).reconstruct(X).dtype == np.float32


def test_data_are_left_alone():
    x = X.astype(np.float64)
    x.flags.writeable = False
    make().fit(x, max_epochs=1)
    make().loss_and_grads(x)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "a layer at least", lambda: Autoencoder(5, ())),
        (TypeError, "hidden_sizes must be a sequence", lambda: Autoencoder(5, 3)),
        (ValueError, "hidden must be one of relu", lambda: Autoencoder(5, hidden="softplus")),
        (ValueError, "n_dims must be at least 1", lambda: Autoencoder(0)),
        (ValueError, "x must be an array of bits", lambda: make().reconstruct(X + 1)),
        (ValueError, "got 4 columns", lambda: make().reconstruction_loss(X[:, :4])),
        (ValueError, "no rows", lambda: make().loss_and_grads(X[:0])),
        (ValueError, "no rows", lambda: make().fit(X[:0])),
        (ValueError, "takes batches", lambda: make().fit(X, optimizer="lbfgs")),
        (ValueError, "batch_size must be at least 1", lambda: make().fit(X, batch_size=0)),
    ],
)
def test_what_does_not_fit_is_refused(error, message, call):
    with pytest.raises(error, match=message):
        call()
