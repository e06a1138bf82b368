"""Features: the hidden units of all of x, as each model's definition has them."""

import definition
import numpy as np
import pytest
import registry
from properties import close, rounding

import pyarsimple
from pyarsimple import FVSBN, MADE, NADE, OrderAgnosticMADE, UntiedNADE, autoregressive
from pyarsimple.baselines import IndependentBernoulli

NADES = registry.cases(model="nade")
ORDERLESS = registry.cases(model="orderless-nade")
MADES = [
    case for name in ("made", "order-agnostic-made") for case in registry.cases(model=name)
    if registry.make(case).hidden_sizes
]  # fmt: skip


def read(model, x):
    """What the network reads of rows: features, (N, F), the context's last."""
    return model._features(x, model._check_context(None, len(x)))[1]


def units(a, g):
    return np.vectorize(g, otypes=[float])(a)


def check_nade(model):
    """g(c + x W), by scalar loops; and what the state has come to after the last variable."""
    p, g = model.params, definition.HIDDEN[model.hidden]
    x = registry.rows(model)
    f = read(model, x)
    wanted = np.empty((len(x), model.n_hidden))
    for n, k in np.ndindex(wanted.shape):
        wanted[n, k] = g(p["c"][k] + sum(p["W"][j, k] * f[n, j] for j in range(f.shape[1])))
    h = model.features(x)
    close(h, wanted, rounding(model, 1e-13, 1e-5), "features")
    state = model.start(len(x))
    for i in model.order:
        state.advance(x[:, i])
    close(h, units(state.a, g), rounding(model, 1e-13, 1e-5), "the state's units")


def check_orderless(model):
    """The state's first activation when all is known, through the other layers."""
    p, g = model.params, definition.HIDDEN[model.hidden]
    x = registry.rows(model)
    wanted = read(model, x) @ p["W1"] + p["U"].sum(axis=0) + p["c1"]
    for k in range(2, len(model.hidden_sizes) + 1):
        wanted = units(wanted, g) @ p[f"W{k}"] + p[f"c{k}"]
    close(model.features(x), units(wanted, g), rounding(model, 1e-13, 1e-5), "features")


def check_made(model):
    """The outputs are what V makes of the features; each unit sees the variables of its degree."""
    x, p, masks = registry.rows(model), model.params, model.masks()
    if isinstance(model, OrderAgnosticMADE):  # where it is free in one of several sets
        masks = MADE.masks(model)
    h = model.features(x)
    outputs = h @ np.where(masks["V"], p["V"], 0).T + p["b"]
    if model.direct:
        outputs += read(model, x) @ np.where(masks["A"], p["A"], 0).T
    close(model.forward(x)[0], outputs, rounding(model, 1e-13, 1e-5), "outputs")
    for k, i in enumerate(model.order):
        moved = (model.features(registry.changed(model, x, i)) != h).any(axis=0)
        assert not moved[model.degrees[-1] <= k].any()


@pytest.mark.parametrize("case", NADES)
def test_nade(case):
    check_nade(registry.make(case))


@pytest.mark.parametrize("case", ORDERLESS)
def test_orderless(case):
    check_orderless(registry.make(case))


@pytest.mark.parametrize("case", MADES)
def test_made(case):
    check_made(registry.make(case))


def test_units_of_the_last_conditional_only_are_caught(monkeypatch):
    """The state before the last variable: one variable short."""

    def one_short(self, x):
        x = x.copy()
        x[:, self.order[-1]] = 0
        return honest(self, x)

    honest = NADE._hidden
    monkeypatch.setattr(NADE, "_hidden", one_short)
    with pytest.raises(AssertionError):
        check_nade(registry.make("nade-cycle"))


def test_the_first_layer_in_place_of_the_last_is_caught(monkeypatch):
    model = registry.generic(MADE(5, (7, 7), hidden="tanh", rng=0), 0)  # of one width
    check_made(model)
    monkeypatch.setattr(MADE, "_hidden", lambda self, x: self._forward(x)[1][0][1])
    with pytest.raises(AssertionError):
        check_made(model)


@pytest.mark.parametrize("case", [NADES[0], MADES[0]])
def test_blocks_make_no_difference(case, monkeypatch):
    model = registry.make(case)
    x = registry.rows(model)
    whole = model.features(x)
    monkeypatch.setattr(autoregressive, "MEMORY_LIMIT", 3 * model._bytes_per_row())
    close(model.features(x), whole, 1e-15, "features")


def test_dtype_and_shapes():
    model = NADE(5, 7, dtype="float32", rng=0)
    h = model.features(np.zeros((3, 5), bool))
    assert h.shape == (3, 7)
    assert h.dtype == np.float32
    assert model.features(np.zeros((0, 5))).shape == (0, 7)
    assert MADE(1, (3, 2), rng=0).features([[1]]).shape == (1, 2)


def test_dropout_drops_nothing():
    model = registry.make("nade-dropout")
    x = registry.rows(model)
    np.testing.assert_array_equal(model.features(x), model.features(x))


def test_a_context_is_seen():
    with pyarsimple.backend("numpy"):
        for model in (NADE(4, 3, context=2, rng=0), MADE(4, (6,), context=2, hidden="tanh", rng=0)):
            x = registry.rows(model)
            y = np.random.default_rng(0).normal(size=(len(x), 2))
            h = model.features(x, y)
            assert (h != model.features(x, np.roll(y, 1, axis=0))).any()
            for n in range(len(x)):
                close(h[n], model.features(x[n : n + 1], y[n])[0], 1e-14, "one row")


@pytest.mark.parametrize(
    "model",
    [FVSBN(4, rng=0), IndependentBernoulli(4), MADE(4, (), rng=0), UntiedNADE(4, 3, rng=0)],
    ids=lambda model: model.name,
)
def test_models_without_hidden_units_refuse(model):
    with pytest.raises(TypeError, match=f"^{type(model).__name__} has no hidden units"):
        model.features(registry.rows(model))


@pytest.mark.parametrize("x", [[[0, 1]], [[0, 1, 2, 0]], [0, 1, 1, 0]])
def test_bad_data_are_refused(x):
    with pytest.raises(ValueError, match="x must be an array of bits"):
        NADE(4, 3, rng=0).features(x)
