"""The causality check: every dependence found, every planted leak proved and named."""

import json

import numpy as np
import pytest

import pyarsimple as pa
from pyarsimple import checks, orders
from pyarsimple.conditionals import sigmoid

pytestmark = pytest.mark.once

D = 6
ORDER = np.array([2, 0, 1, 5, 3, 4])
WEIGHTS = np.random.default_rng(0).uniform(0.2, 1, (D, D))


def linear(allowed):
    """Conditionals with exactly these dependences."""
    return lambda x: np.tanh(x @ np.where(allowed, WEIGHTS, 0).T)


NATURAL = orders.precedes(np.arange(D))


@pytest.mark.parametrize("values", ["bits", 3, [2, 3, 4, 2, 5, 2], "reals"])
@pytest.mark.parametrize("order", [None, ORDER])
def test_right_code_passes(values, order):
    allowed = orders.precedes(np.arange(D) if order is None else order)
    report = checks.check_autoregressive(linear(allowed), D, order, values)
    assert report, report
    np.testing.assert_array_equal(report.matrix, allowed)


MODELS = {
    "fvsbn": lambda order, rng: pa.FVSBN(D, order=order, rng=rng),
    "nade": lambda order, rng: pa.NADE(D, 4, order=order, rng=rng),
    "made": lambda order, rng: pa.MADE(D, (9, 8), hidden="tanh", order=order, rng=rng),
    "made-narrow": lambda order, rng: pa.MADE(D, (2,), hidden="tanh", order=order, rng=rng),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(5))
def test_our_models_pass_bit_for_bit(name, seed):
    rng = np.random.default_rng(seed)
    model = MODELS[name](orders.random(D, rng=rng), rng)
    report = checks.check_autoregressive(model)
    assert report, report
    np.testing.assert_array_equal(report.matrix, model.dependencies())


@pytest.mark.parametrize("i", range(D))
@pytest.mark.parametrize("j", range(D))
def test_every_single_leak_and_every_single_cut_is_found(i, j):
    changed = NATURAL.copy()
    changed[i, j] ^= True
    function = linear(changed)
    report = checks.check_autoregressive(function, D)
    assert not report
    np.testing.assert_array_equal(report.matrix, changed)
    if NATURAL[i, j]:
        assert report.cuts == [(i, j)]
        assert not report.leaks
        # The first of two neighbours may as well come second: still an order, but not all of it.
        assert set(report.kinds) <= {"cut", "one-step-late"}
    else:
        (leak,) = report.leaks
        assert (leak.i, leak.j) == (i, (j,))
        proof = function(np.stack([leak.x, leak.x_changed]))[:, i]
        assert proof[0] != proof[1]
        assert np.flatnonzero(leak.x != leak.x_changed).tolist() == [j]
        assert report.kinds[0] == ("sees-itself" if i == j else "leak")


WRONG = {
    "sees itself": (lambda x: np.cumsum(x, axis=1), "sees-itself"),
    "no mask": (lambda x: np.tanh(x @ WEIGHTS), "no-mask"),
    "ignores inputs": (lambda x: np.zeros(x.shape), "ignores-inputs"),
    "one step late": (
        lambda x: np.hstack([np.zeros((len(x), 2)), np.cumsum(x, axis=1)[:, :-2]]),
        "one-step-late",
    ),
    "reversed": (linear(orders.precedes(np.arange(D)[::-1])), "wrong-order"),
    "another order": (linear(orders.precedes([3, 1, 0, 4, 5, 2])), "wrong-order"),
    "first half cut": (linear(NATURAL & (np.arange(D) > 2)), "cut"),
    "diagonal only": (lambda x: 2.0 * x, "sees-itself"),
    "nan": (lambda x: np.where(x[:, :1] > 0, np.nan, 1.0) * np.ones(x.shape), "not-finite"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_code_is_named(name):
    function, kind = WRONG[name]
    report = checks.check_autoregressive(function, D)
    assert not report
    assert kind in report.kinds, report


def test_inverse_of_the_order_is_a_wrong_order_not_a_leak():
    model = pa.NADE(D, 4, order=ORDER, rng=0)
    report = checks.check_autoregressive(model, order=orders.inverse(ORDER))
    assert report.kinds == ["wrong-order"]
    assert "the inverse of the order" in report.causes[0].text
    np.testing.assert_array_equal(report.found_order, ORDER)


MEANT = {
    "it is the inverse of the order": orders.inverse(ORDER),
    "it is the reverse of the order": ORDER[::-1],
    "it is the natural order": np.arange(D),
    "but it is not the order asked for": np.array([3, 1, 0, 4, 5, 2]),
}


@pytest.mark.parametrize("words", MEANT)
@pytest.mark.parametrize("leak", [(3, 3), (1, 1)])
def test_a_wrong_order_and_a_leak_are_both_named(words, leak):
    graph = orders.precedes(MEANT[words])
    graph[leak] = True
    report = checks.check_autoregressive(linear(graph), D, ORDER)
    assert report.kinds == ["wrong-order", "sees-itself"], report
    np.testing.assert_array_equal(report.found_order, MEANT[words])
    text = report.causes[0].text
    assert f"{len(report.leaks)} leaks, and only 1 in the order [" in text
    assert text.endswith(words)
    assert report.causes[1].index == leak
    assert "1 of 6 conditionals see their own variable" in report.causes[1].text


def test_a_known_order_and_a_leak_of_a_later_variable():
    graph = orders.precedes(orders.inverse(ORDER))
    i, j = orders.inverse(ORDER)[[0, -1]]
    graph[i, j] = True
    report = checks.check_autoregressive(linear(graph), D, ORDER)
    assert report.kinds == ["wrong-order", "leak"]
    assert report.causes[1].index == (i, j)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_leaks_alone_are_not_called_a_wrong_order(seed, n):
    graph = orders.precedes(ORDER)
    where = np.argwhere(~graph)
    for i, j in np.random.default_rng(seed).permutation(where)[:n]:
        graph[i, j] = True
    report = checks.check_autoregressive(linear(graph), D, ORDER)
    assert len(report.leaks) == n
    assert "wrong-order" not in report.kinds, report


def test_a_leak_that_shows_only_when_several_variables_have_a_value():
    def function(x):  # conditional 1 looks at variables 3, 4 and 5, but only if all are 3
        out = np.cumsum(x, axis=1) - x
        out[:, 1] += np.all(x[:, 3:] == 3, axis=1)
        return out

    report = checks.check_autoregressive(function, D, values=4, n_points=200)
    assert not report
    assert report.leaks[0].i == 1
    assert set(report.leaks[0].j) <= {3, 4, 5}


def test_a_leak_of_a_conjunction_is_proved_by_the_smallest_change():
    """Conditional 0 changes when 1 and 2 both leave 0, from points at which both are 0."""

    def function(x):
        out = np.cumsum(x, axis=1) - x
        out[:, 0] = (x[:, 1] > 0) & (x[:, 2] > 0)
        return out

    def draw(rng, shape):
        return np.where(rng.random((shape[0], 1)) < 0.5, 0.0, rng.random(shape))

    report = checks.check_autoregressive(function, 3, values=draw)
    assert not report
    assert report.leaks[0].i == 0


@pytest.mark.parametrize("shape", ["(N, D, K)", "float32", "list"])
def test_answers_of_other_forms(shape):
    def function(x):
        out = linear(NATURAL)(x)
        if shape == "(N, D, K)":
            return np.stack([out, 0 * out, out**2], axis=2)
        return out.astype("float32") if shape == "float32" else out.tolist()

    assert checks.check_autoregressive(function, D)


def test_code_whose_batches_round_needs_a_tolerance():
    rng = np.random.default_rng(0)

    def function(x):  # subtracting again what was added leaves rounding
        return np.cumsum(x, axis=1) - x + 0.0

    report = checks.check_autoregressive(function, D, values="reals")
    assert report.kinds[0] == "rounding"
    assert "tolerance=1e-9" in report.causes[0].text
    assert checks.check_autoregressive(function, D, values="reals", tolerance=1e-9)
    noise = lambda x: linear(NATURAL)(x) + 1e-14 * rng.random(x.shape)  # noqa: E731
    assert checks.check_autoregressive(noise, D).kinds == ["random"]
    assert checks.check_autoregressive(noise, D, tolerance=1e-9)


def test_a_tolerance_does_not_hide_a_small_leak():
    def function(x):
        out = linear(NATURAL)(x)
        out[:, 0] += 1e-6 * x[:, 5]
        return out

    report = checks.check_autoregressive(function, D, tolerance=1e-9)
    assert [(k.i, k.j) for k in report.leaks] == [(0, (5,))]


def test_rows_that_look_at_each_other_are_named():
    report = checks.check_autoregressive(lambda x: linear(NATURAL)(x) - x.mean(axis=0), D)
    assert report.kinds == ["rows"]


def test_dependences_that_may_be_missing():
    markov = np.eye(D, k=-1, dtype=bool)
    assert not checks.check_autoregressive(linear(markov), D)
    assert checks.check_autoregressive(linear(markov), D, allow_cuts=True)
    assert checks.check_autoregressive(linear(markov), D, dependencies=markov)
    assert not checks.check_autoregressive(
        linear(NATURAL & (WEIGHTS < 0.5)), D, dependencies=markov
    )


def test_log_conditionals_may_depend_on_their_own_variable():
    model = pa.NADE(D, 4, order=ORDER, rng=0)
    assert not checks.check_autoregressive(model.log_conditionals, D, ORDER)
    assert checks.check_autoregressive(model.log_conditionals, D, ORDER, own=True)
    bad = lambda x: model.log_conditionals(x[:, ::-1])  # noqa: E731
    assert not checks.check_autoregressive(bad, D, ORDER, own=True)


def test_one_variable():
    report = checks.check_autoregressive(lambda x: 0 * x, 1)
    assert report
    assert report.warnings
    assert not checks.check_autoregressive(lambda x: x, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"D": None}, TypeError, "D is missing"),
        ({"D": 0}, ValueError, "D must be at least 1"),
        ({"order": [0, 0, 1, 2, 3, 4]}, ValueError, "order must hold"),
        ({"values": "words"}, ValueError, "values must be 'bits'"),
        ({"values": [2, 3]}, ValueError, "values must be 'bits'"),
        ({"values": 0}, ValueError, "values must be 'bits'"),
        ({"dependencies": np.ones((2, 2))}, ValueError, "dependencies must be boolean"),
        ({"n_points": 0}, ValueError, "n_points"),
    ],
)
def test_arguments_that_are_wrong(arguments, error, message):
    with pytest.raises(error, match=message):
        checks.check_autoregressive(**({"conditionals": linear(NATURAL), "D": D} | arguments))


def test_answers_that_are_wrong():
    with pytest.raises(ValueError, match=r"must have shape \(N, D\)"):
        checks.check_autoregressive(lambda x: x.sum(axis=1), D)

    def writes(x):
        x[:] = 0
        return x

    with pytest.raises(ValueError, match="changed the x"):
        checks.check_autoregressive(writes, D)
    with pytest.raises(TypeError, match="none of forward"):
        checks.check_autoregressive(type("Empty", (), {"n_dims": 3})())


def test_the_report_prints_within_80_columns_is_json_and_is_drawn():
    for size in (3, 16, 20, 40):
        report = checks.check_autoregressive(lambda x: np.cumsum(x[:, ::-1], axis=1), size)
        text = str(report)
        assert max(map(len, text.splitlines())) <= 80
        assert f"leak: conditional {report.leaks[0].i} depends on x[" in text
        loaded = json.loads(report.to_json())
        assert loaded["leaks"][0]["i"] == report.leaks[0].i
        assert len(loaded["matrix"]) == size
        assert len(report.plot().axes) == 1
    assert "o" in checks.check_autoregressive(lambda x: 0 * x, 3).table()


def test_random_orders_and_graphs_are_read_exactly():
    """No false alarm and no miss: whatever the graph, the matrix is that graph."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        order = rng.permutation(D)
        graph = rng.random((D, D)) < 0.3
        report = checks.check_autoregressive(linear(graph), D, order, n_points=16, rng=rng)
        np.testing.assert_array_equal(report.matrix, graph)
        allowed = orders.precedes(order)
        assert bool(report) is bool((graph == allowed).all())
        assert {(k.i, k.j[0]) for k in report.leaks} == set(
            map(tuple, np.argwhere(graph & ~allowed))
        )


def test_sigmoid_of_large_logits_hides_what_logits_show():
    logits = lambda x: 60 + 100.0 * linear(NATURAL)(x)  # noqa: E731
    assert checks.check_autoregressive(logits, D)
    assert not checks.check_autoregressive(lambda x: sigmoid(logits(x)), D)  # all are exactly 1


@pytest.mark.parametrize("own", [False, True])
def test_columns_by_position_are_named_as_such(own):
    allowed = orders.precedes(ORDER) | (np.eye(D, dtype=bool) & own)
    right = linear(allowed)
    for columns, line in ((ORDER, "out[:, inverse(order)]"), (orders.inverse(ORDER), "out[:, o")):
        report = checks.check_autoregressive(lambda x, c=columns: right(x)[:, c], D, ORDER, own=own)
        assert not report
        assert report.kinds == ["columns"], report
        assert "columns are in the wrong order" in report.causes[0].text
        assert line in report.causes[0].equation
    # The same with a real leak in it is no matter of the order.
    allowed[ORDER[0], ORDER[3]] = True
    leaky = linear(allowed)
    report = checks.check_autoregressive(lambda x: leaky(x)[:, ORDER], D, ORDER, own=own)
    assert "columns" not in report.kinds


def test_conditionals_that_are_not_numbers_are_not_said_to_ignore_their_inputs():
    report = checks.check_autoregressive(lambda x: np.full(x.shape, np.nan), D)
    assert not report
    assert report.kinds == ["not-finite"], report

    def partly(x):
        out = linear(NATURAL)(x)
        out[:, 3] = np.nan
        return out

    report = checks.check_autoregressive(partly, D)
    assert report.kinds == ["not-finite"], report
    assert "the conditionals of 3 are not finite" in report.causes[0].text
