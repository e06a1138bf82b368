"""Promise: bits are taken in any array, all else is refused by name, nothing is written to."""

import numpy as np
import properties
import pytest
import registry

import pyarsimple
from pyarsimple.conditionals import Bernoulli
from pyarsimple.models import MODELS

SCORES = ("log_prob", "log_conditionals", "conditionals", "forward")
LOSSES = ("nll_and_grads", "training_loss_and_grads")


def test_bits_in_any_array(model):
    properties.check_inputs(model)


def test_nothing_is_written_to(model):
    properties.check_leaves_alone(model)


def test_memory_map(typical, tmp_path):
    x = registry.rows(typical)
    path = tmp_path / "x.npy"
    np.save(path, x.astype(np.uint8))
    mapped = np.load(path, mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    properties.same_bits(typical.log_prob(mapped), typical.log_prob(x), "log_prob")
    assert typical.nll_and_grads(mapped)[0] == typical.nll_and_grads(x)[0]


def test_empty_in_any_type(typical):
    for dtype in (bool, np.uint8, np.int64, np.float32, np.float64):
        assert typical.log_prob(np.zeros((0, typical.n_dims), dtype)).shape == (0,)


@pytest.mark.parametrize("method", LOSSES)
def test_a_loss_needs_a_row(typical, method):
    with pytest.raises(ValueError, match="x has no rows"):
        getattr(typical, method)(np.zeros((0, typical.n_dims)))


ONES = np.ones((3, 5))


def but(value, dtype=float):
    x = np.ones((3, 5), dtype)
    x[1, 2] = value
    return x


BAD = {
    "nan": (but(np.nan), ValueError, "got nan in row 1, column 2"),
    "inf": (but(np.inf), ValueError, "got inf in row 1, column 2"),
    "minus inf": (but(-np.inf), ValueError, "got -inf in row 1, column 2"),
    "two": (but(2, int), ValueError, "got 2 in row 1, column 2"),
    "two unsigned": (but(2, np.uint8), ValueError, "got 2 in row 1, column 2"),
    "minus one": (but(-1, int), ValueError, "got -1 in row 1, column 2"),
    "a half": (but(0.5), ValueError, "got 0.5 in row 1, column 2"),
    "nearly one": (but(1 + 1e-15), ValueError, "in row 1, column 2"),
    "four columns": (ONES[:, :4], ValueError, "got 4 columns"),
    "six columns": (np.ones((3, 6)), ValueError, "got 6 columns"),
    "no columns": (np.ones((3, 0)), ValueError, "got 0 columns"),
    "no rows, four columns": (np.ones((0, 4)), ValueError, "got 4 columns"),
    "one row without its axis": (ONES[0], ValueError, r"got shape \(5,\); .*x\[np.newaxis\]"),
    "one axis": (np.ones(7), ValueError, r"got shape \(7,\)"),
    "three axes": (np.ones((2, 3, 5)), ValueError, r"got shape \(2, 3, 5\)"),
    "a number": (np.array(1.0), ValueError, r"got shape \(\)"),
    "an empty list": ([], ValueError, r"got shape \(0,\)"),
    "complex": (ONES.astype(complex), TypeError, "got dtype complex128"),
    "strings": (ONES.astype(int).astype(str), TypeError, "got dtype <U"),
    "objects": (ONES.astype(object), TypeError, "got dtype object"),
    "dates": (np.zeros((3, 5), "datetime64[s]"), TypeError, "got dtype datetime64"),
    "None": (None, TypeError, "got dtype object"),
    "ragged": ([[0, 1, 0, 1, 0], [1]], ValueError, "rows that form no array"),
}


@pytest.mark.parametrize("method", SCORES + LOSSES)
@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_array_of_bits_is_refused_by_name(method, bad):
    model = registry.make("fvsbn-cycle")
    x, error, words = BAD[bad]
    with pytest.raises(error, match=r"^x must be an array of bits .*shape \(N, 5\).*" + words):
        getattr(model, method)(x)


@pytest.mark.parametrize("bad", BAD)
def test_every_class_refuses_alike(bad):
    x, error, words = BAD[bad]
    for cls in registry.BITS.values():
        model = cls(5)
        with pytest.raises(error, match=words):
            model.log_prob(x)
        with pytest.raises(error, match=words):
            model.nll_and_grads(x)


def test_what_is_good_is_not_copied():
    for x in (ONES, ONES.astype(bool), ONES.astype(np.uint8)):
        assert Bernoulli().check(x, 5) is x


# Constructors.

REFUSED = [
    ({"n_dims": 0}, ValueError, "n_dims must be at least 1, got 0"),
    ({"n_dims": -3}, ValueError, "n_dims must be at least 1, got -3"),
    ({"n_dims": 5.0}, TypeError, "n_dims must be a whole number, got 5.0"),
    ({"n_dims": "5"}, TypeError, "n_dims must be a whole number"),
    ({"n_dims": True}, TypeError, "n_dims must be a whole number, got True"),
    ({"dtype": "int64"}, ValueError, "dtype must be float64 or float32, got int64"),
    ({"dtype": np.float16}, ValueError, "dtype must be float64 or float32, got float16"),
    ({"dtype": ">f8"}, ValueError, "dtype must be float64 or float32, got >f8"),
    ({"dtype": "complex64"}, ValueError, "dtype must be float64 or float32"),
    ({"dtype": "double precision"}, TypeError, "dtype must be float64 or float32"),
    ({"dtype": None}, TypeError, "dtype must be float64 or float32, got None"),
    ({"order": [0, 1, 2, 3]}, ValueError, "order must hold each of 0..4 once"),
    ({"order": [0, 1, 2, 3, 3]}, ValueError, "order must hold each of 0..4 once"),
    ({"order": [1, 2, 3, 4, 5]}, ValueError, r"order must hold .*got \[1, 2, 3, 4, 5\]"),
    ({"order": [0, 1, 2, 3, -1]}, ValueError, "order must hold each of 0..4 once"),
    ({"order": list(range(30))}, ValueError, "order must hold each of 0..4 once.* 30 entries"),
    ({"order": [0.0, 1.0, 2.0, 3.0, 4.0]}, ValueError, "order must be None or a permutation"),
    ({"order": [[0, 1, 2, 3, 4]]}, ValueError, r"order must be .*shape \(1, 5\)"),
    ({"order": [True, False, True, False, True]}, ValueError, "order must be None or a permut"),
    ({"order": "reverse"}, ValueError, "order must be None or a permutation"),
    ({"order": [[0], [1, 2]]}, ValueError, "order must be None or a permutation"),
]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("settings", "error", "words"), REFUSED)
def test_constructors_name_the_argument(name, settings, error, words):
    with pytest.raises(error, match=words):
        MODELS[name](**({"n_dims": 5} | settings))


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"n_hidden": 0}, ValueError, "n_hidden must be at least 1, got 0"),
        ({"n_hidden": 2.5}, TypeError, "n_hidden must be a whole number, got 2.5"),
        ({"hidden": "tanh"}, ValueError, "hidden must be one of sigmoid, relu, got 'tanh'"),
        ({"hidden": None}, ValueError, "hidden must be one of"),
        ({"dropout": 1.0}, ValueError, "dropout must be a number at least 0 and below 1"),
        ({"dropout": -0.1}, ValueError, "dropout must be a number at least 0 and below 1"),
        ({"dropout": np.nan}, ValueError, "dropout must be a number .*got nan"),
        ({"dropout": "0.5"}, ValueError, "dropout must be a number"),
    ],
)
def test_nade_names_the_argument(settings, error, words):
    with pytest.raises(error, match=words):
        pyarsimple.NADE(5, **settings)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"hidden_sizes": 500}, TypeError, r"hidden_sizes must be a sequence such as \(500,\)"),
        ({"hidden_sizes": "500"}, TypeError, "hidden_sizes must be a sequence"),
        ({"hidden_sizes": (3, 0)}, ValueError, "hidden_sizes must be at least 1, got 0"),
        ({"hidden_sizes": (3, 1.5)}, TypeError, "hidden_sizes must be a whole number"),
        ({"hidden": "softplus"}, ValueError, "hidden must be one of relu, tanh, sigmoid"),
        ({"dropout": 2}, ValueError, "dropout must be a number at least 0 and below 1"),
        ({"degrees": "even"}, ValueError, "degrees must be 'spread', 'random' or arrays"),
        ({"degrees": [[1, 2]]}, ValueError, r"degrees must be one array .* \[\(3,\)\], got .*\(2,"),
        ({"degrees": []}, ValueError, "degrees must be one array"),
        ({"degrees": [[1, 2, 3], [1]]}, ValueError, "degrees must be one array"),
        ({"degrees": [[1.0, 2.0, 3.0]]}, ValueError, "degrees must be one array of whole numbers"),
        ({"degrees": [[1, 2, 5]]}, ValueError, "degrees must lie in 0..4: a unit of degree 5"),
        ({"degrees": [[1, 2, -1]]}, ValueError, "degrees must lie in 0..4"),
        ({"degrees": 3}, TypeError, "degrees must be 'spread', 'random' or arrays, got 3"),
        ({"degrees": None}, TypeError, "degrees must be 'spread', 'random' or arrays, got None"),
    ],
)
def test_made_names_the_argument(settings, error, words):
    with pytest.raises(error, match=words):
        pyarsimple.MADE(5, **({"hidden_sizes": (3,)} | settings))


def test_settings_are_keyword_only():
    with pytest.raises(TypeError):
        pyarsimple.FVSBN(3, [0, 1, 2])
    with pytest.raises(TypeError):
        pyarsimple.NADE(3, 4, "relu")
    with pytest.raises(TypeError):
        pyarsimple.MADE(3, (4,), "relu")


def test_sizes_may_be_numpy_integers():
    model = pyarsimple.MADE(np.int32(4), [np.uint8(5)], order=np.array([3, 1, 0, 2], np.uint16))
    assert model.hidden_sizes == (5,)
    assert model.order.tolist() == [3, 1, 0, 2]
    assert model.order.dtype == np.intp


def test_the_order_is_the_models_own():
    order = np.array([2, 0, 1])
    model = pyarsimple.FVSBN(3, order=order)
    order[:] = 0
    assert model.order.tolist() == [2, 0, 1]
    with pytest.raises(ValueError, match="read-only"):
        model.order[0] = 1


def test_degrees_are_the_models_own():
    degrees = np.array([1, 2, 1])
    model = pyarsimple.MADE(3, (3,), degrees=[degrees])
    degrees[:] = 0
    assert model.degrees[0].tolist() == [1, 2, 1]


def test_a_masked_array_is_refused():
    """Its mask would be lost, and what lies under it scored as if it had been observed."""
    model = pyarsimple.NADE(3, 2, rng=0)
    x = np.ma.masked_array(np.zeros((2, 3)), mask=[[True, False, False]] * 2)
    for call in (model.log_prob, model.conditionals, model.forward, model.nll_and_grads):
        with pytest.raises(TypeError, match="masked array"):
            call(x)


@pytest.mark.parametrize("make", [lambda: pyarsimple.FVSBN(6), lambda: pyarsimple.NADE(6, 3),
                                  lambda: pyarsimple.MADE(6, (4,))])  # fmt: skip
@pytest.mark.parametrize("shape", [(2, 6), (1, 6), (4, 3), (5, 6), (6,), ()])
def test_backward_wants_the_shape_of_the_outputs(make, shape):
    """Kernels would read beyond the end of anything smaller."""
    model = make()
    _, cache = model.forward(np.ones((4, 6), np.uint8))
    with pytest.raises(ValueError, match=r"d_outputs must have the shape of the outputs, \(4, 6\)"):
        model.backward(np.ones(shape), cache)


BAD_PARAMS = [
    lambda p: p.update(b=np.zeros(3)),
    lambda p: p.update(b=np.zeros((6, 1))),
    lambda p: p.update(b=p["b"].astype(np.float32)),
    lambda p: p.update(b=p["b"].tolist()),
    lambda p: p.update(extra=np.zeros(6)),
    lambda p: p.pop("b"),
]


@pytest.mark.parametrize("make", [lambda: pyarsimple.FVSBN(6), lambda: pyarsimple.NADE(6, 3),
                                  lambda: pyarsimple.MADE(6, (4,))])  # fmt: skip
@pytest.mark.parametrize("spoil", BAD_PARAMS)
def test_parameters_that_were_replaced_must_fit(make, spoil):
    model, x = make(), np.ones((2, 6), np.uint8)
    outputs, cache = model.forward(x)
    spoil(model.params)
    for call in (
        lambda: model.forward(x),
        lambda: model.backward(outputs, cache),
        lambda: model.nll_and_grads(x),
        lambda: model.log_prob(x),
        lambda: model.sample(2, rng=0),
        lambda: model.start(2),
    ):
        with pytest.raises(ValueError, match="params"):
            call()


def test_parameters_may_be_replaced_by_what_fits():
    model, x = pyarsimple.NADE(6, 3, rng=0), np.ones((2, 6), np.uint8)
    before = model.log_prob(x)
    model.params["W"] = np.asfortranarray(model.params["W"])
    np.testing.assert_array_equal(model.log_prob(x), before)


@pytest.mark.parametrize("bad", [[2, 0], [np.nan, 0], [0.5, 0], [-1, 0]])
def test_a_state_takes_bits_only(bad):
    state = pyarsimple.NADE(3, 2).start(2)
    with pytest.raises(ValueError, match="x_i must be an array of bits"):
        state.advance(bad)
    assert state.position == 0


@pytest.mark.parametrize(("n", "error"), [(-1, ValueError), (1.5, TypeError), ("2", TypeError)])
def test_the_rows_of_a_state_are_counted(n, error):
    for model in (pyarsimple.NADE(3, 2), pyarsimple.FVSBN(3), pyarsimple.MADE(3, (2,))):
        with pytest.raises(error, match="n must be"):
            model.start(n)


def test_given_may_not_be_masked():
    model = pyarsimple.NADE(3, 2)
    given = np.ma.masked_array([1, 0, 0], mask=[False, True, True])
    with pytest.raises(TypeError, match="masked"):
        model.sample(2, given=given, observed=[True, False, False])
