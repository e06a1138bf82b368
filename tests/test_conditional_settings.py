"""Promise: a conditional takes data that it can, refuses others by name, and is its settings."""

import copy
import itertools
import json
import pickle

import numpy as np
import pytest
from conditional_cases import CASES, generic

from pyarsimple import conditionals
from pyarsimple.conditionals import (
    Bernoulli,
    Categorical,
    Conditional,
    Gaussian,
    GaussianMixture,
    Mixed,
    Standardized,
    from_config,
    one_hot,
    parse,
)
from pyarsimple.conditionals.base import NAMES
from pyarsimple.transforms import Standardize


@pytest.fixture(params=list(CASES))
def case(request):
    return CASES[request.param]


# Data that are taken, and refused.


def test_types_of_samples_and_values():
    for c, D, dtype, sizes in (
        (Bernoulli(), 2, np.uint8, [2, 2]),
        (Categorical(256), 1, np.uint8, [256]),
        (Categorical([2, 257]), 2, np.uint16, [2, 257]),
        (Categorical(70_000), 1, np.uint32, [70_000]),
        (Mixed([Bernoulli(), Categorical(3)]), 2, np.float64, [2, 3]),
    ):
        assert c.dtype == dtype
        values = c.values(D)
        assert [len(v) for v in values] == sizes
        assert all((v == np.arange(len(v))).all() for v in values)
    for c in (Gaussian(), GaussianMixture(2)):
        assert c.dtype == np.float64
        assert c.values(3) is None


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
def test_any_dtype_of_good_data_is_taken_as_it_is(dtype):
    x = np.array([[0, 1], [1, 0]], dtype)
    for c in (Bernoulli(), Categorical(2), Categorical([2, 3]), Gaussian(), GaussianMixture(2),
              Mixed([Bernoulli(), Gaussian()])):  # fmt: skip
        assert c.check(x, 2) is x


def with_entry(value, dtype=float):
    x = np.ones((3, 4), dtype)
    x[1, 2] = value
    return x


FOUR = "classes (whole numbers 0 to 3)"
REAL = "finite real numbers"
BAD = [
    (Categorical(4), with_entry(4), FOUR, r"got 4.0 in row 1, column 2; that variable has n_cl"),
    (Categorical(4), with_entry(4, np.uint8), FOUR, "got 4 in row 1, column 2"),
    (Categorical(4), with_entry(-1, int), FOUR, "got -1 in row 1, column 2.* count from 0"),
    (Categorical(4), with_entry(0.5), FOUR, "got 0.5 in row 1, column 2"),
    (Categorical(4), with_entry(np.nan), FOUR, "got nan in row 1, column 2.*select the observed"),
    (Categorical(4), with_entry(np.inf), FOUR, "got inf in row 1, column 2"),
    (Categorical(4), with_entry(2**63, np.uint64), FOUR, f"got {2**63} in row 1, column 2"),
    (Categorical([2, 2, 3, 2]), with_entry(3), "classes (whole numbers from 0)",
     "got 3.0 in row 1, column 2; that variable has n_classes = 3, numbered 0 to 2"),
    (Gaussian(), with_entry(np.nan), REAL,
     "got nan in row 1, column 2; select the rows .*observed="),
    (Gaussian(), with_entry(-np.inf, np.float32), REAL, "got -inf in row 1, column 2"),
    (GaussianMixture(2), with_entry(np.nan), REAL, "got nan in row 1, column 2"),
    (Mixed([Gaussian(), Bernoulli(), Categorical(4), Gaussian()]), with_entry(4), "mixed data",
     r"got 4.0 in row 1, column 2; this column takes classes \(whole numbers 0 to 3\)"),
    (Mixed([Gaussian(), Bernoulli(), Bernoulli(), Gaussian()]), with_entry(4), "mixed data",
     r"got 4.0 in row 1, column 2; this column takes bits \(0 or 1\): binarize"),
    (Standardized(Gaussian(), Standardize([0.0] * 4, [2.0] * 4)), with_entry(np.nan), REAL,
     "got nan in row 1, column 2"),
]  # fmt: skip


@pytest.mark.parametrize(("c", "x", "wanted", "words"), BAD)
def test_what_cannot_be_is_refused_by_its_place(c, x, wanted, words):
    with pytest.raises(ValueError, match=words) as error:
        c.check(x, 4)
    assert str(error.value).startswith(f"x must be an array of {wanted}")
    assert "of shape (N, 4)" in str(error.value)
    with pytest.raises(ValueError, match="in row 57, column 2"):
        c.check(x, 4, rows=range(56, 59))
    with pytest.raises(ValueError, match=r"^given must be an array of"):
        c.check(x, 4, "given")


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.ones((3, 3)), ValueError, "got 3 columns"),
        (np.ones(4), ValueError, r"got shape \(4,\); for one example pass x\[np.newaxis\]"),
        (np.ones((1, 1, 4)), ValueError, r"got shape \(1, 1, 4\)"),
        (np.ones((1, 4), complex), TypeError, "got dtype complex128; convert it with x.astype"),
        (np.array([["a"] * 4]), TypeError, "got dtype <U1"),
        (None, TypeError, "got dtype object"),
        ([[1, 0, 1, 0], [1]], ValueError, "rows that form no array"),
        (np.ma.masked_array(np.ones((1, 4)), True), TypeError, "masked array"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("c", [Bernoulli(), Categorical(4), Gaussian(), GaussianMixture(3)])
def test_what_is_no_table_of_numbers_is_refused(c, x, error, words):
    with pytest.raises(error, match=r"^x must be an array of .* of shape \(N, 4\).*" + words):
        c.check(x, 4)


@pytest.mark.parametrize(
    ("c", "words"),
    [
        (Categorical([2, 3]), "n_classes must be one number, or one for each of the 3 variables"),
        (Mixed([Bernoulli()] * 2), "conditionals must have one entry for each of the 3 variables"),
        (CASES["standardized"][0], "transform must be one of the 3 variables, got one of 2"),
    ],
)
def test_another_number_of_variables_is_refused(c, words):
    for call in (
        lambda: c.check(np.zeros((1, 3)), 3), lambda: c.columns(3), lambda: c.values(3),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Categorical(0), ValueError, "n_classes must be at least 1, got 0"),
        (lambda: Categorical([3, 0]), ValueError, "n_classes must be at least 1, got 0"),
        (lambda: Categorical([]), ValueError, "n_classes must have a number for each variable"),
        (lambda: Categorical(2.0), TypeError, "n_classes must be a whole number, got 2.0"),
        (lambda: Categorical("5"), TypeError, "n_classes must be a whole number, got '5'"),
        (lambda: Categorical(2**24 + 1), ValueError, "n_classes must be at most 16777216"),
        (lambda: Gaussian(min_scale=0), ValueError, "min_scale must be a number at least 1e-12"),
        (lambda: Gaussian(min_scale=np.nan), ValueError, "min_scale must be a number .*got nan"),
        (lambda: Gaussian(min_scale=np.inf), ValueError, "min_scale must be a number .*got inf"),
        (lambda: Gaussian(0.1), TypeError, "positional"),
        (lambda: GaussianMixture(0), ValueError, "n_components must be at least 1, got 0"),
        (lambda: GaussianMixture(2.5), TypeError, "n_components must be a whole number"),
        (lambda: GaussianMixture(2, min_scale=-1), ValueError, "min_scale must be a number"),
        (lambda: Standardized(Gaussian, None), TypeError, "conditional must be one such as"),
        (lambda: Standardized(Gaussian(), 2.0), TypeError, "transform must be a Standardize"),
        (lambda: Standardized(Bernoulli(), Standardize([0.5], [1.0])), ValueError,
         r"column 0 is not real \(Bernoulli\(\)\) and cannot be standardised"),
        (lambda: Standardized(Mixed([Gaussian(), Categorical(3)]), Standardize([1, 0], [1, 2])),
         ValueError, r"column 1 is not real \(Categorical\(3\)\)"),
    ],
)  # fmt: skip
def test_settings_are_checked_by_name(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_settings_may_be_numpy_numbers():
    c = Categorical(np.array([2, 3], np.uint8))
    assert c == Categorical([2, 3])
    assert json.dumps(c.config()) == '{"name": "categorical", "n_classes": [2, 3]}'
    c = GaussianMixture(np.int64(2), min_scale=np.float32(0.5))
    wanted = {"name": "mixture", "min_scale": 0.5, "n_components": 2}
    assert json.loads(json.dumps(c.config())) == wanted


# One-hot.


def test_one_hot():
    np.testing.assert_array_equal(one_hot([2, 0], 3), [[0, 0, 1], [1, 0, 0]])
    assert one_hot([2, 0], 3).dtype == np.float64
    assert one_hot(np.array([[1.0]]), 2, dtype="float32").dtype == np.float32
    assert one_hot(np.zeros((4, 5), int), 3).shape == (4, 5, 3)
    assert one_hot([], 3).shape == (0, 3)
    x = np.array([[1, 2], [0, 0]])
    np.testing.assert_array_equal(one_hot(x, 3).reshape(2, 6), Categorical(3).features(x))


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        ([3], ValueError, "labels must be classes, whole numbers 0 to 2, got 3; labels count from"),
        ([-1], ValueError, "got -1"),
        ([0.5], ValueError, "got 0.5"),
        ([np.nan], ValueError, "got nan"),
        (["cat"], TypeError, "got dtype <U3; numpy.unique"),
        (np.ma.masked_array([1]), TypeError, "masked"),
    ],
)
def test_one_hot_refuses_what_is_no_label(labels, error, words):
    with pytest.raises(error, match=words):
        one_hot(labels, 3)


# Settings, files and words.


def test_equal_conditionals_are_made_of_config_repr_pickle_and_copy(case):
    c, D = case
    config = json.loads(json.dumps(c.config()))
    names = vars(conditionals) | {"Standardize": Standardize}
    for twin in (
        from_config(config), eval(repr(c), names), pickle.loads(pickle.dumps(c)), copy.deepcopy(c),
    ):  # fmt: skip
        assert twin == c
        assert type(twin) is type(c)
        assert hash(twin) == hash(c)
        assert twin.config() == config
        outputs, x = generic(c, D)
        np.testing.assert_array_equal(twin.log_p(outputs, x), c.log_p(outputs, x))


def test_different_conditionals_differ():
    every = [c for c, _ in CASES.values()]
    for a, b in itertools.combinations(every, 2):
        assert (a == b) == (a.config() == b.config())
    assert Categorical(3) != Categorical([3, 3])
    assert Gaussian() != Gaussian(min_scale=0.02)
    assert Bernoulli() != "Bernoulli()"
    assert Bernoulli() == Bernoulli()


@pytest.mark.parametrize(
    "config",
    [
        None, "gaussian", {}, {"name": None}, {"name": ["gaussian"]}, {"name": "gauss"},
        {"name": "bernoulli", "p": 1}, {"name": "categorical"}, {"name": "mixture"},
        {"name": "categorical", "n_classes": None}, {"name": "categorical", "n_classes": {}},
        {"name": "categorical", "n_classes": [[2]]}, {"name": "categorical", "n_classes": "9"},
        {"name": "gaussian", "min_scale": "0.1"}, {"name": "gaussian", "min_scale": None},
        {"name": "gaussian", "min_scale": 0.1, 5: 5}, {"name": "mixed"},
        {"name": "mixed", "conditionals": 5}, {"name": "mixed", "conditionals": ["gaussian"]},
        {"name": "mixed", "conditionals": [{"name": "mixed", "conditionals": []}]},
        {"name": "standardized"}, {"name": "standardized", "mean": [0], "std": [1]},
        {"name": "standardized", "conditional": {"name": "gaussian"}, "mean": "a", "std": [1]},
        {"name": "standardized", "conditional": {"name": "gaussian"}, "mean": [0], "std": [0]},
        {"name": "standardized", "conditional": {"name": "gaussian"}, "mean": [0], "std": [1],
         "log": 1},
        {"name": "standardized", "conditional": {"name": "bernoulli"}, "mean": [1], "std": [1]},
    ],
)  # fmt: skip
def test_what_is_no_config_is_refused_by_a_value_error(config):
    with pytest.raises(ValueError, match=r"conditional|min_scale|mean|n_classes|column 0"):
        from_config(config)


def test_a_conditional_of_ones_own_is_known_by_its_name():
    class Coin(Bernoulli):
        name = "coin"

    try:
        assert type(from_config({"name": "coin"})) is Coin
    finally:
        del NAMES["coin"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("bernoulli", Bernoulli()),
        ("categorical:5", Categorical(5)),
        ("gaussian", Gaussian()),
        ("gaussian:0.05", Gaussian(min_scale=0.05)),
        ("mixture:10", GaussianMixture(10)),
        ("mixture:3:1e-3", GaussianMixture(3, min_scale=1e-3)),
        ("bernoulli,gaussian", Mixed([Bernoulli(), Gaussian()])),
        ("2*bernoulli, categorical:5 ,gaussian:0.1",
         Mixed([Bernoulli(), Bernoulli(), Categorical(5), Gaussian(min_scale=0.1)])),
        ("1*gaussian", Mixed([Gaussian()])),
    ],
)  # fmt: skip
def test_words(text, wanted):
    assert parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gauss", "got 'gauss'"),
        ("", "got ''"),
        ("bernoulli:2", "got 'bernoulli:2'"),
        ("categorical", "say how many classes, for example categorical:5"),
        ("mixture", "say how many components, for example mixture:5"),
        ("categorical:five", "got 'categorical:five'"),
        ("categorical:0", "n_classes must be at least 1, got 0"),
        ("mixture:2:0", "min_scale must be a number at least 1e-12, got 0"),
        ("mixture:2:3:4", "got 'mixture:2:3:4'"),
        ("gaussian,", "got 'gaussian,'"),
        ("two*gaussian", "must begin with a number, as 3"),
        ("0*gaussian", "conditionals must have one entry for each variable"),
    ],
)
def test_words_that_are_none(text, words):
    with pytest.raises(ValueError, match=words):
        parse(text)


def test_every_kind_of_conditional_is_tested():
    named = {c.name for c, _ in CASES.values()}
    assert named == set(NAMES)
    assert all(issubclass(c, Conditional) for c in NAMES.values())
