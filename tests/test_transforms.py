"""Promise: a density is stated in the data's units or in standardised ones, and both are true."""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyarsimple import NADE, load
from pyarsimple.conditionals import (
    Bernoulli,
    Categorical,
    Gaussian,
    GaussianMixture,
    Mixed,
    Standardized,
)
from pyarsimple.transforms import Standardize

MEAN, STD = np.array([3.0, -70.0, 0.002]), np.array([0.25, 20.0, 1e-4])


def wine(n=200, seed=0):
    """Three columns of units that have nothing in common."""
    return MEAN + STD * np.random.default_rng(seed).gamma(2.0, 1.0, (n, 3))


def test_fit_makes_columns_of_mean_0_and_standard_deviation_1():
    x = wine()
    z = Standardize.fit(x).transform(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(z, (x - x.mean(axis=0)) / x.std(axis=0), rtol=1e-12)


def test_other_data_are_moved_by_the_training_data():
    transform = Standardize.fit(wine())
    other = wine(seed=1)
    np.testing.assert_allclose(
        transform.transform(other), (other - transform.mean) / transform.std, rtol=1e-12
    )


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 4))
def test_there_and_back(seed, n, D):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, D)) * 10 ** rng.uniform(-6, 6, D) + rng.normal(0, 100, D)
    transform = Standardize.fit(x)
    back = transform.inverse_transform(transform.transform(x))
    np.testing.assert_allclose(back, x, rtol=1e-13, atol=1e-13 * (np.abs(x).max() + 1))


def test_float32_stays_float32_and_whole_numbers_become_float64():
    transform = Standardize(MEAN, STD)
    z = transform.transform(wine().astype(np.float32))
    assert z.dtype == transform.inverse_transform(z).dtype == np.float32
    assert transform.transform(np.ones((2, 3), np.uint8)).dtype == np.float64
    assert transform.transform(np.ones((2, 3), bool)).dtype == np.float64
    exact = transform.transform(wine())
    np.testing.assert_allclose(z, exact, rtol=1e-3, atol=1e-3)


def test_a_constant_column_is_moved_to_zero_and_keeps_its_unit():
    x = wine()
    x[:, 1] = 0.1  # whose mean over 200 rows is not quite 0.1, and whose std not quite 0
    transform = Standardize.fit(x)
    assert transform.std[1] == 1
    assert (transform.transform(x)[:, 1] == 0).all()
    one = Standardize.fit(x[:1])
    assert (one.std == 1).all()
    assert one.log_det == 0


def test_columns_that_are_not_chosen_are_left_as_they_are():
    x = wine()
    for columns in ([0, 2], (0, 2), np.array([0, 2]), range(0, 3, 2)):
        transform = Standardize.fit(x, columns=columns)
        assert (transform.mean[1], transform.std[1]) == (0, 1)
        np.testing.assert_array_equal(transform.transform(x)[:, 1], x[:, 1])
        everything = Standardize.fit(x)
        np.testing.assert_array_equal(transform.std[[0, 2]], everything.std[[0, 2]])
    assert Standardize.fit(x, columns=[]) == Standardize(np.zeros(3), np.ones(3))


def test_the_determinant():
    transform = Standardize(MEAN, STD)
    assert transform.log_det == pytest.approx(-math.log(0.25 * 20 * 1e-4), rel=1e-14)
    area = np.prod(
        transform.transform(MEAN[np.newaxis] + 1) - transform.transform(MEAN[np.newaxis])
    )
    assert transform.log_det == pytest.approx(math.log(area), rel=1e-12)


def test_log_p_of_x_is_log_p_of_z_and_the_determinant():
    """The change of variables, entry by entry and in sum; and both densities integrate to one."""
    x, transform = wine(), Standardize.fit(wine())
    z, c = transform.transform(x), GaussianMixture(3)
    units = Standardized(c, transform)
    outputs = np.random.default_rng(1).normal(size=(len(x), 27))
    log_p_x, log_p_z = units.log_p(outputs, x), c.log_p(outputs, z)
    np.testing.assert_allclose(log_p_x, log_p_z - np.log(transform.std), rtol=1e-12)
    np.testing.assert_allclose(
        log_p_x.sum(axis=1), log_p_z.sum(axis=1) + transform.log_det, rtol=1e-12
    )
    for i in range(3):
        one = units.of(i)
        mine = outputs[:1, 9 * i : 9 * i + 9]
        grid = transform.mean[i] + transform.std[i] * np.linspace(-30, 30, 200_001)
        p = np.exp(one.log_p(np.repeat(mine, len(grid), axis=0), grid[:, np.newaxis]))
        np.testing.assert_allclose(p.sum() * (grid[1] - grid[0]), 1, rtol=1e-6)


def test_the_same_model_in_other_units():
    """Fitted in either unit, the density of the data is the same number."""
    x = wine()
    millimetres, metres = x, x / 1000
    log_p = []
    for data in (millimetres, metres):
        c = Standardized.fit(Gaussian(), data)
        outputs = np.repeat(c.independent_outputs(data)[np.newaxis], len(data), axis=0)
        log_p.append(c.log_p(outputs, data).sum(axis=1))
        decoded = c.decode(outputs)
        np.testing.assert_allclose(decoded["mean"][0], data.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(decoded["scale"][0], data.std(axis=0), rtol=1e-9)
    np.testing.assert_allclose(log_p[1], log_p[0] + 3 * np.log(1000), rtol=1e-9)


def test_mixed_data_standardise_their_reals_only():
    x = np.column_stack([wine()[:, 0], np.arange(200) % 2, np.arange(200) % 5, wine()[:, 2]])
    c = Mixed([Gaussian(), Bernoulli(), Categorical(5), GaussianMixture(2)])
    units = Standardized.fit(c, x)
    assert units.transform == Standardize.fit(x, columns=[0, 3])
    features = units.features(x)
    np.testing.assert_allclose(features[:, [0, -1]].std(axis=0), 1, rtol=1e-12)
    np.testing.assert_array_equal(features[:, 1], x[:, 1])
    np.testing.assert_array_equal(features[:, 2:7].argmax(axis=1), x[:, 2])
    u = np.random.default_rng(0).random(x.shape)
    outputs = np.repeat(units.independent_outputs(x)[np.newaxis], len(x), axis=0)
    drawn = units.sample(outputs, u)
    np.testing.assert_array_equal(drawn[:, 1:3], c.sample(outputs, u)[:, 1:3])
    assert units.check(drawn, 4) is drawn
    np.testing.assert_allclose(drawn.mean(axis=0), x.mean(axis=0), rtol=0.2)


def test_fit_of_a_conditional_checks_the_data_as_the_conditional_does():
    with pytest.raises(ValueError, match=r"got 2.0 in row 0, column 1; this column takes bits"):
        Standardized.fit(Mixed([Gaussian(), Bernoulli()]), [[0.5, 2.0]])
    with pytest.raises(ValueError, match=r"got shape \(3,\)"):
        Standardized.fit(Gaussian(), [0.5, 2.0, 1.0])


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        ([[0.0, np.nan]], ValueError, r"x must be .* shape \(N, D\), got nan in row 0, column 1"),
        (
            [[0.0, np.inf]],
            ValueError,
            "got inf in row 0, column 1; select the rows without missing",
        ),
        (np.zeros((0, 3)), ValueError, "x has no rows"),
        ([1.0, 2.0], ValueError, r"got shape \(2,\)"),
        ([["a"]], TypeError, "got dtype <U1"),
        ([[1], [1, 2]], ValueError, "rows that form no array"),
        (np.ma.masked_array([[1.0]]), TypeError, "masked"),
    ],
)
def test_fit_names_what_is_wrong(x, error, words):
    with pytest.raises(error, match=words):
        Standardize.fit(x)


@pytest.mark.parametrize("columns", [[3], [-4], [0.5], ["a"], 7])
def test_columns_that_are_not_there(columns):
    with pytest.raises((ValueError, TypeError), match="columns must be"):
        Standardize.fit(wine(), columns=columns)


@pytest.mark.parametrize(
    ("mean", "std", "words"),
    [
        ([0.0], [0.0], "std above 0"),
        ([0.0], [-1.0], "std above 0"),
        ([np.nan], [1.0], "mean must be finite"),
        ([0.0], [np.inf], "mean must be finite and std above 0"),
        ([0.0, 1.0], [1.0], r"shapes \(2,\) and \(1,\)"),
        (0.0, 1.0, r"shapes \(\) and \(\)"),
        ([], [], r"shapes \(0,\) and \(0,\)"),
        ("a", [1.0], "mean and std must be arrays of numbers"),
    ],
)
def test_numbers_that_make_no_transform(mean, std, words):
    with pytest.raises(ValueError, match=words):
        Standardize(mean, std)


def test_another_number_of_columns_is_refused():
    transform = Standardize(MEAN, STD)
    with pytest.raises(ValueError, match=r"x must be .*\(N, 3\), got 2 columns"):
        transform.transform(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"z must be .*\(N, 3\), got nan in row 0"):
        transform.inverse_transform(np.full((1, 3), np.nan))


def test_a_transform_is_not_changed_and_compares_by_its_numbers():
    mean = MEAN.copy()
    transform = Standardize(mean, STD)
    mean[:] = 0
    assert (transform.mean == MEAN).all()
    for twin in (
        pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform), Standardize(MEAN, STD),
        eval(repr(transform), {"Standardize": Standardize}),
    ):  # fmt: skip
        assert twin == transform
        assert hash(twin) == hash(transform)
        with pytest.raises(ValueError, match="read-only"):
            twin.std[0] = 5
    assert transform != Standardize(MEAN, 2 * STD)
    assert transform != "Standardize"


def test_data_are_not_written_to():
    x = wine()
    x.flags.writeable = False
    transform = Standardize.fit(x, columns=[])
    z = transform.transform(x)
    z[:] = 0
    assert x.all()


@pytest.mark.usefixtures("numpy_side")
def test_a_model_of_standardised_data_is_one_of_the_data(tmp_path):
    """Scores differ by the determinant, samples by the units, gradients not; files keep it."""
    x = wine(50)
    transform = Standardize.fit(x)
    of_z = NADE(3, 4, conditional=GaussianMixture(2), order=[1, 2, 0], rng=0)
    of_x = NADE(
        3, 4, conditional=Standardized(GaussianMixture(2), transform), order=[1, 2, 0], rng=0
    )
    z = transform.transform(x)
    for model, data in ((of_z, z), (of_x, x)):
        model.initialize_from(data)
    np.testing.assert_allclose(of_x.log_prob(x), of_z.log_prob(z) + transform.log_det, rtol=1e-10)
    nll_x, grads_x = of_x.nll_and_grads(x)
    nll_z, grads_z = of_z.nll_and_grads(z)
    assert nll_x == pytest.approx(nll_z - transform.log_det, rel=1e-10)
    for name, g in grads_x.items():
        np.testing.assert_allclose(g, grads_z[name], rtol=1e-8, atol=1e-10)
    drawn = of_x.sample(20, rng=1)
    np.testing.assert_allclose(
        transform.transform(drawn), of_z.sample(20, rng=1), rtol=1e-8, atol=1e-8
    )
    of_x.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    assert loaded.conditional == of_x.conditional
    np.testing.assert_array_equal(loaded.log_prob(x), of_x.log_prob(x))
