"""Promise: what outputs mean. Densities are exact and normalised, gradients theirs, samples too.

Every conditional in CASES gets every test; the planted bugs at the end are caught by them.
"""

import itertools
import json
import math

import definition
import numpy as np
import pytest
import scipy.stats
from conditional_cases import CASES, EVERYTHING, by_variable, close, generic
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from pyarsimple import conditionals
from pyarsimple.conditionals import (
    Bernoulli,
    Categorical,
    Gaussian,
    GaussianMixture,
    Mixed,
    Standardized,
    from_config,
    functions,
    mixture,
    sigmoid,
    softplus,
)
from pyarsimple.transforms import Standardize


@pytest.fixture(params=list(CASES))
def case(request):
    return CASES[request.param]


# The definition.


def defined(c, n_dims, outputs, x):
    """log p of every entry by the definition."""
    offsets, config = c.columns(n_dims).outputs, c.config()
    log_p = np.empty(x.shape)
    for n, i in np.ndindex(x.shape):
        of_i = outputs[n, offsets[i] : offsets[i + 1]].tolist()
        log_p[n, i] = definition.log_p(config, i, of_i, x[n, i].item())
    return log_p


def check_definition(c, n_dims):
    """log_p, features and numbers of columns are what the scalar loops say."""
    outputs, x = generic(c, n_dims)
    log_p = c.log_p(outputs, x)
    assert log_p.shape == x.shape
    close(log_p, defined(c, n_dims, outputs, x), rtol=1e-13, atol=1e-13, what="log_p")
    config, columns = c.config(), c.columns(n_dims)
    wanted = [definition.n_outputs(config, i) for i in range(n_dims)]
    assert np.diff(columns.outputs).tolist() == wanted
    rows = [
        list(itertools.chain(*(definition.features(config, i, v) for i, v in enumerate(row))))
        for row in x.tolist()
    ]
    close(c.features(x), np.array(rows), rtol=1e-14, what="features")
    assert columns.n_inputs == len(rows[0])


def test_definition(case):
    check_definition(*case)


@given(st.sampled_from(list(CASES)), st.integers(0, 2**32 - 1), st.sampled_from([0.1, 3.0, 30.0]))
def test_definition_of_any_outputs(name, seed, size):
    c, D = CASES[name]
    outputs, x = generic(c, D, n=1, seed=seed, size=size)
    close(c.log_p(outputs, x), defined(c, D, outputs, x), rtol=1e-11, atol=1e-12)


def test_float32_is_float64_rounded(case):
    c, D = case
    outputs, x = generic(c, D, n=50, dtype="float32")
    log_p, d = c.log_p(outputs, x), c.d_outputs(outputs, x, 0.5)
    assert log_p.dtype == d.dtype == np.float32
    outputs, x = outputs.astype(float), x.astype(float)
    close(log_p, c.log_p(outputs, x), rtol=1e-4, atol=1e-4, what="log_p")
    exact = c.d_outputs(outputs, x, 0.5)
    assert np.linalg.norm(d - exact) <= 1e-4 * np.linalg.norm(exact)


def test_columns_are_offsets(case):
    c, D = case
    columns = c.columns(D)
    for offsets in (columns.features, columns.outputs):
        assert offsets.dtype == np.intp
        assert offsets.shape == (D + 1,)
        assert offsets[0] == 0
        assert (np.diff(offsets) >= 1).all()


def test_of_one_variable_is_that_of_all(case):
    """`of(i)`, which the sequential view uses, agrees with the whole in everything."""
    c, D = case
    outputs, x = generic(c, D)
    u = np.random.default_rng(1).random(x.shape)
    features, offsets = c.columns(D)[:2]
    d, whole = c.d_outputs(outputs, x, 0.25), c.sample(outputs, u)
    for i in range(D):
        one = c.of(i)
        mine = outputs[:, offsets[i] : offsets[i + 1]]
        np.testing.assert_array_equal(one.log_p(mine, x[:, [i]]), c.log_p(outputs, x)[:, [i]])
        np.testing.assert_array_equal(one.sample(mine, u[:, [i]])[:, 0], whole[:, i])
        np.testing.assert_array_equal(
            one.features(x[:, [i]]), c.features(x)[:, features[i] : features[i + 1]]
        )
        np.testing.assert_array_equal(
            one.d_outputs(mine, x[:, [i]], 0.25), d[:, offsets[i] : offsets[i + 1]]
        )
        assert one.columns(1).n_outputs == offsets[i + 1] - offsets[i]
        assert (one.values(1) is None) == (c.of(i).values(1) is None)


def test_no_rows(case):
    c, D = case
    outputs, x = generic(c, D)
    assert c.log_p(outputs[:0], x[:0]).shape == (0, D)
    assert c.d_outputs(outputs[:0], x[:0], 1.0).shape == (0, outputs.shape[1])
    assert c.sample(outputs[:0], x[:0]).shape == (0, D)
    assert c.features(x[:0]).shape == (0, c.columns(D).n_inputs)
    c.decode(outputs[:0])
    assert c.check(x[:0], D).shape == (0, D)
    assert c.check(np.zeros((0, D)), D).dtype == c.dtype  # which an empty list has not


def test_nothing_is_written_to_and_any_memory_layout_will_do(case):
    c, D = case
    outputs, x = generic(c, D)
    weight = np.random.default_rng(2).random(x.shape)
    u = np.random.default_rng(3).random(x.shape)

    def results(outputs, x, weight, u):
        decoded = json.dumps(c.decode(outputs), default=np.ndarray.tolist)
        return [
            c.log_p(outputs, x), c.d_outputs(outputs, x, weight), c.sample(outputs, u),
            c.features(x), c.independent_outputs(x), np.array(decoded),
        ]  # fmt: skip

    wanted = results(outputs, x, weight, u)
    for layout in (np.array, np.asfortranarray, lambda a: np.repeat(a, 2, axis=0)[::2]):
        arrays = [layout(a) for a in (outputs, x, weight, u)]
        before = [a.copy() for a in arrays]
        for a in arrays:
            a.flags.writeable = False
        for result, want in zip(results(*arrays), wanted, strict=True):
            np.testing.assert_array_equal(result, want)
        for a, b in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(a, b)


def test_decoded_arrays_are_the_callers_own(case):
    c, D = case
    outputs, _ = generic(c, D)
    before = outputs.copy()
    for entry in c.decode(outputs) if isinstance(c.decode(outputs), list) else [c.decode(outputs)]:
        for a in entry.values() if isinstance(entry, dict) else [entry]:
            a[...] = -7
    np.testing.assert_array_equal(outputs, before)


# Gradients.


def relative_error(g, wanted):
    return np.linalg.norm(g - wanted) / np.linalg.norm(wanted) if wanted.any() else np.abs(g).max()


def check_gradient(c, n_dims):
    """d_outputs is the gradient of -(scale * log_p).sum(), by central differences."""
    outputs, x = generic(c, n_dims)
    rng = np.random.default_rng(4)
    for scale in (0.3, rng.random((len(x), 1)), rng.random((1, n_dims)), rng.random(x.shape)):

        def loss(outputs, scale=scale):
            return -(scale * c.log_p(outputs, x)).sum()

        numeric, step = np.empty_like(outputs), 1e-5
        for index in np.ndindex(outputs.shape):
            up, down = outputs.copy(), outputs.copy()
            up[index] += step
            down[index] -= step
            numeric[index] = (loss(up) - loss(down)) / (2 * step)
        d = c.d_outputs(outputs, x, scale)
        assert d.shape == outputs.shape
        assert d.dtype == outputs.dtype
        assert relative_error(d, numeric) < 2e-8, f"scale of shape {np.shape(scale)}"


def test_gradient(case):
    check_gradient(*case)


def analytic_log_p(config, i, outputs, x):
    """The textbook's log p for complex outputs; it overflows early."""
    name = config["name"]
    if name == "bernoulli":
        return -np.log(1 + np.exp((1 - 2 * x) * outputs[0]))
    if name == "categorical":
        return np.log(np.exp(outputs[int(x)]) / np.exp(outputs).sum())
    if name == "mixed":
        return analytic_log_p(config["conditionals"][i], 0, outputs, x)
    if name == "standardized":
        z = (x - config["mean"][i]) / config["std"][i]
        return analytic_log_p(config["conditional"], i, outputs, z) - np.log(config["std"][i])
    logits, mean, raw = outputs.reshape(3, -1) if name == "mixture" else (0j, *outputs)
    s = config["min_scale"] + np.log(1 + np.exp(raw))
    bells = np.exp(-(((x - mean) / s) ** 2) / 2) / s / np.sqrt(2 * np.pi)
    return np.log((np.exp(logits) / np.exp(logits).sum() * bells).sum())


def test_gradient_by_the_complex_step(case):
    """No subtraction, so exact to rounding: each entry, not the norm."""
    c, D = case
    outputs, x = generic(c, D, n=3, size=0.8)
    d, offsets, config = c.d_outputs(outputs, x, 1.0), c.columns(D).outputs, c.config()
    for n, i in np.ndindex(x.shape):
        for k in range(offsets[i], offsets[i + 1]):
            z = outputs[n].astype(complex)
            z[k] += 1e-30j
            z = z[offsets[i] : offsets[i + 1]]
            wanted = -analytic_log_p(config, i, z, x[n, i]).imag / 1e-30
            close(d[n, k], wanted, rtol=1e-10, atol=1e-13, what=f"output {k}")


def test_gradient_of_weighted_rows_is_the_sum_of_theirs(case):
    c, D = case
    outputs, x = generic(c, D)
    weight = np.arange(1.0, len(x) + 1)[:, np.newaxis]
    for n in range(len(x)):
        np.testing.assert_allclose(
            c.d_outputs(outputs, x, weight)[n],
            (n + 1) * c.d_outputs(outputs[[n]], x[[n]], 1.0)[0],
            rtol=1e-13,
        )


# Densities.


def check_normalised(c, n_dims):
    """Probabilities sum to one over a variable's values, densities integrate to it."""
    outputs, _ = generic(c, n_dims, n=1)
    for i, of_i in enumerate(by_variable(c, n_dims, outputs)):
        one, z = c.of(i), np.array([of_i])
        if (values := one.values(1)) is not None:
            x = values[0][:, np.newaxis].astype(float)
            total = np.exp(one.log_p(np.repeat(z, len(x), axis=0), x)).sum()
            close(total, 1, rtol=1e-14, what=f"sum over variable {i}")
        else:
            x = one.sample(np.repeat(z, 201, axis=0), np.linspace(0, 1, 201)[:, np.newaxis] * 0.999)
            ends = [x.min() - 40 * np.ptp(x), *np.unique(x), x.max() + 40 * np.ptp(x)]
            area = sum(
                quad(lambda v: np.exp(one.log_p(z, np.array([[v]])).item()), a, b)[0]  # noqa: B023
                for a, b in itertools.pairwise(ends)
            )
            close(area, 1, rtol=1e-9, what=f"integral over variable {i}")


def test_normalised(case):
    check_normalised(*case)


def check_samples(c, n_dims):
    """Samples have the distribution that the definition says, each variable's by itself."""
    n = 20_000
    outputs, _ = generic(c, n_dims, n=1)
    x = c.sample(np.repeat(outputs, n, axis=0), np.random.default_rng(5).random((n, n_dims)))
    assert x.dtype == c.dtype
    assert c.check(x, n_dims) is x
    for i, of_i in enumerate(by_variable(c, n_dims, outputs)):
        if (values := c.of(i).values(1)) is not None:
            p = [math.exp(definition.log_p(c.config(), i, of_i, k)) for k in values[0].tolist()]
            counts = np.bincount(x[:, i].astype(int), minlength=len(p))
            assert len(counts) == len(p)
            p_value = scipy.stats.chisquare(counts, n * np.array(p)).pvalue if len(p) > 1 else 1
        else:
            p_value = scipy.stats.kstest(
                x[:2000, i],
                np.vectorize(lambda v: definition.cumulative(c.config(), i, of_i, v)),  # noqa: B023
            ).pvalue
        assert p_value > 1e-3, f"variable {i}: p-value {p_value:.2g}"


def test_samples(case):
    check_samples(*case)


SINGLE = [name for name in CASES if name.startswith(("categorical", "gaussian"))]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("c", [Gaussian(), GaussianMixture(1), GaussianMixture(3)], ids=repr)
def test_too_far_for_a_float_is_minus_infinity(c, dtype):
    """Not NaN, and of the other variables nothing changes."""
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(5, c.columns(2).n_outputs)).astype(dtype)
    x = rng.normal(size=(5, 2)).astype(dtype)
    far = x.copy()
    far[1, 0] = np.sqrt(np.finfo(dtype).max) * 100
    log_p = c.log_p(outputs, far)
    assert np.isneginf(log_p[1, 0])
    near = far == x
    np.testing.assert_array_equal(log_p[near], c.log_p(outputs, x)[near])
    with np.errstate(over="ignore"):
        gradient = c.d_outputs(outputs, far, 1.0)
    assert not np.isnan(gradient).any()


def test_gaussian_mixtures_are_summed_in_blocks_of_rows(monkeypatch):
    c, rng = GaussianMixture(3), np.random.default_rng(0)
    outputs, x, weight = rng.normal(size=(9, 18)), rng.normal(size=(9, 2)), rng.random((9, 1))
    wanted = c.log_p(outputs, x), c.d_outputs(outputs, x, weight)
    for size in (1, 2 * outputs[0].nbytes, 4 * outputs[0].nbytes):
        monkeypatch.setattr("pyarsimple.conditionals.mixture.CACHE", size)
        np.testing.assert_array_equal(c.log_p(outputs, x), wanted[0])
        np.testing.assert_array_equal(c.d_outputs(outputs, x, weight), wanted[1])
        assert c.log_p(outputs[:0], x[:0]).shape == (0, 2)


@pytest.mark.parametrize("name", [*SINGLE, "standardized-gaussian", "mixture-K1"])
def test_samples_invert_the_distribution_function(name):
    """F(sample(u)) is u for reals; for classes the first value with F > u."""
    c, D = CASES[name]
    outputs, _ = generic(c, D, n=1, seed=7)
    u = np.linspace(0, 1, 41)[1:-1, np.newaxis] * np.ones(D)
    x = c.sample(np.repeat(outputs, len(u), axis=0), u)
    for i, of_i in enumerate(by_variable(c, D, outputs)):
        F = [definition.cumulative(c.config(), i, of_i, v) for v in x[:, i].tolist()]
        if c.of(i).values(1) is None:
            close(F, u[:, i], rtol=1e-12, what=f"variable {i}")
        else:
            below = [definition.cumulative(c.config(), i, of_i, int(v) - 1) for v in x[:, i]]
            assert (np.array(below) <= u[:, i] + 1e-15).all()
            assert (np.array(F) > u[:, i] - 1e-15).all()


@given(
    st.sampled_from([*SINGLE, "standardized-gaussian"]),
    st.integers(0, 2**32 - 1),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=8),
)
def test_samples_grow_with_the_uniform_number(name, seed, u):
    c, D = CASES[name]
    outputs, _ = generic(c, D, n=1, seed=seed, size=3)
    u = np.sort(u)[:, np.newaxis] * np.ones(D)
    x = c.sample(np.repeat(outputs, len(u), axis=0), u).astype(float)
    assert np.isfinite(x).all()
    assert (np.diff(x, axis=0) >= 0).all()


def test_a_bit_is_one_where_the_uniform_number_is_below_p():
    u = np.array([[0.0, 0.25, 0.5, 0.75, 1 - 2.0**-53]])
    logits = np.zeros((1, 5))
    np.testing.assert_array_equal(Bernoulli().sample(logits, u), [[1, 1, 0, 0, 0]])
    x = Mixed([Bernoulli()] * 5).sample(logits, u)
    np.testing.assert_array_equal(x, [[1, 1, 0, 0, 0]])


def test_the_smallest_and_the_largest_uniform_number(case):
    """0 and 1 - 2^-53 give values too, and none that is impossible."""
    c, D = case
    outputs, _ = generic(c, D, size=4)
    for u in (0.0, 2.0**-53, 1 - 2.0**-53):
        x = c.sample(outputs, np.full((len(outputs), D), u))
        c.check(x, D)
        assert np.isfinite(c.log_p(outputs, x.astype(float))).all()


def test_no_class_of_no_probability_is_drawn():
    outputs = np.array([[-2e4, 0.0, -2e4, 0.3, -2e4]])
    u = np.linspace(0, 1 - 2.0**-53, 1001)[:, np.newaxis]
    x = Categorical(5).sample(np.repeat(outputs, len(u), axis=0), u)
    assert set(x[:, 0]) == {1, 3}


def test_no_component_of_no_weight_is_drawn():
    c = GaussianMixture(3)
    outputs = np.array([[-2e4, 0.3, -2e4, -5.0, 0.0, 5.0, -9.0, -9.0, -9.0]])
    u = np.linspace(0, 1 - 2.0**-53, 1001)[:, np.newaxis]
    assert (np.abs(c.sample(np.repeat(outputs, len(u), axis=0), u)) < 1).all()


def test_samples_are_drawn_in_double_precision():
    """As many different values as uniform numbers, also for outputs in float32."""
    u = np.random.default_rng(0).random((100_000, 1))
    for c in (Gaussian(), GaussianMixture(2)):
        outputs = np.zeros((len(u), c.columns(1).n_outputs), np.float32)
        outputs[:, 0] = 1
        x = c.sample(outputs, u)
        assert x.dtype == np.float64
        assert len(np.unique(x)) == len(x)
    z = np.array([[0.0, 20.0]], np.float32)  # the first class: 2.06e-9
    draw = [Categorical(2).sample(z, np.array([[v]])).item() for v in (2.0e-9, 2.1e-9)]
    assert draw == [0, 1]


# Extreme outputs.


def check_extremes(c, n_dims):
    """Finite, and what the definition says, for outputs of +-1e4 and more; nothing overflows."""
    for dtype, sizes in (("float64", (1e2, 1e4, 1e8)), ("float32", (1e2, 1e4, 1e6))):
        for size, seed in itertools.product(sizes, range(4)):
            rng = np.random.default_rng(seed)
            P = c.columns(n_dims).n_outputs
            outputs = (size * rng.choice([-1.0, 1.0, 0.5], (5, P))).astype(dtype)
            tame = generic(c, n_dims, n=5, seed=seed)[1]
            with np.errstate(over="raise", divide="raise", invalid="raise"):
                u = rng.random(tame.shape)
                for x in (tame.astype(dtype), c.sample(outputs, u).astype(dtype)):
                    log_p, d = c.log_p(outputs, x), c.d_outputs(outputs, x, 0.5)
                    assert np.isfinite(log_p).all()
                    assert np.isfinite(d).all()
                    c.decode(outputs)
                    if dtype == "float64":
                        wanted = defined(c, n_dims, outputs, x)
                        rounding = 1e-13 * size  # of z = (x - mean) / scale
                        close(log_p, wanted, rtol=1e-7, atol=rounding, what=f"log_p, {size:g}")


def test_extremes(case):
    check_extremes(*case)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_exact_where_probabilities_underflow(dtype):
    far = np.array([[1e4, 0.0, -1e4]], dtype)
    c = Categorical(3)
    for k, wanted in enumerate((0, -1e4, -2e4)):
        assert c.log_p(far, np.array([[k]], dtype)).item() == wanted
    np.testing.assert_array_equal(c.d_outputs(far, np.array([[2]], dtype), 1.0), [[1, 0, -1]])
    one = math.log(math.e**0.99 - 1)  # the scale is 1
    wanted = -0.5 * 1000**2 - 0.5 * math.log(2 * math.pi)
    outputs = np.array([[0, 0, 0, 5, one, one]], dtype)
    log_p = GaussianMixture(2).log_p(outputs, np.array([[1005]], dtype)).item()
    assert log_p == pytest.approx(wanted + math.log(0.5), rel=1e-6)
    d = GaussianMixture(2).d_outputs(outputs, np.array([[1005]], dtype), 1.0)
    np.testing.assert_allclose(d[0, :4], [0.5, -0.5, 0, -1000], rtol=1e-6)


def test_a_gradient_never_explodes_by_the_scale():
    """By raw it is at most |1 - z^2|: log(scale) never moves faster than raw does."""
    c, raw = Gaussian(min_scale=1e-12), np.linspace(-800, 800, 4001)
    t = c.d_log_scale(raw, c.scale(raw))
    assert (t >= 0).all()
    assert (t <= 1 + 1e-15).all()
    assert c.scale(np.array([-1e4, 1e4])).tolist() == [1e-12, 1e4 + 1e-12]
    assert (np.diff(c.scale(raw)) >= 0).all()


def test_scales_and_raws_are_inverse():
    c = Gaussian(min_scale=0.05)
    scales = np.geomspace(0.06, 1e6, 50)
    close(c.scale(c.raw(scales)), scales, rtol=1e-12)
    close(c.scale(c.raw(np.array([0.0, 0.05, 0.051]))), 0.055, rtol=1e-12)
    close(softplus(functions.inverse_softplus(np.geomspace(1e-12, 800, 50))),
          np.geomspace(1e-12, 800, 50), rtol=1e-12)  # fmt: skip


@pytest.mark.parametrize("min_scale", [1e-12, 0.01, 3.0])
@pytest.mark.parametrize("make", [Gaussian, lambda **floor: GaussianMixture(3, **floor)])
def test_no_density_exceeds_that_of_the_floor(make, min_scale):
    c = make(min_scale=min_scale)
    P = c.columns(1).n_outputs
    x = np.zeros((1, 1))
    outputs = np.zeros((1, P))
    outputs[:, -(P // 2 if P == 2 else 3) :] = -1e6
    highest = c.log_p(outputs, x).item()
    assert highest == pytest.approx(-math.log(min_scale * math.sqrt(2 * math.pi)), rel=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(100):
        outputs = rng.normal(0, [[10 ** rng.uniform(-3, 3)]], (1, P))
        assert c.log_p(outputs, x).item() <= highest


# What fits independent data.


def independent_log_p(c, x):
    outputs = np.repeat(c.independent_outputs(x)[np.newaxis], len(x), axis=0)
    return c.log_p(outputs, x.astype(float)).sum(axis=1).mean()


def test_bits_and_classes_are_counted_from_one():
    x = np.array([[0, 1], [0, 1], [1, 1]])
    close(Bernoulli().independent_outputs(x), [np.log(2 / 3), np.log(4 / 1)], rtol=1e-14)
    for c in (Categorical([2, 4]), Categorical(4)):
        p = np.exp(c.independent_outputs(x))
        K = [K.size for K in c.values(2)]
        close(p[: K[0]] * (3 + K[0]), [3, 2, 1, 1][: K[0]], rtol=1e-14)
        close(p[K[0] :] * (3 + K[1]), [1, 4, 1, 1], rtol=1e-14)


def test_independent_gaussians_are_the_best_ones():
    """At mean and standard deviation the gradient of the mean log-density is zero."""
    c, x = Gaussian(), np.random.default_rng(0).gamma(2, 3, (50, 3)) - 2
    outputs = np.repeat(c.independent_outputs(x)[np.newaxis], 50, axis=0)
    np.testing.assert_allclose(c.d_outputs(outputs, x, 1 / 50).sum(axis=0), 0, atol=1e-14)
    decoded = c.decode(outputs)
    close(decoded["mean"][0], x.mean(axis=0), rtol=1e-13)
    close(decoded["scale"][0], x.std(axis=0), rtol=1e-13)


SHAPES = {
    "normal": lambda rng, n: rng.normal(3, 2, n),
    "uniform": lambda rng, n: rng.random(n),
    "exponential": lambda rng, n: rng.exponential(2, n),
    "two humps": lambda rng, n: rng.normal(np.where(rng.random(n) < 0.3, -4, 2), 0.5),
    "heavy tails": lambda rng, n: rng.standard_t(3, n),
    "rounded": lambda rng, n: rng.normal(0, 1, n).round(1),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("K", [1, 2, 5, 10, 20])
def test_components_are_spread_so_that_they_fit_as_well_as_one_gaussian(shape, K):
    x = SHAPES[shape](np.random.default_rng(0), 1000)[:, np.newaxis]
    c = GaussianMixture(K)
    gained = independent_log_p(c, x) - independent_log_p(Gaussian(), x)
    assert gained > (-0.1 if K == 2 else -0.04)
    if K > 1:
        means = c.decode(c.independent_outputs(x)[np.newaxis])["means"][0, 0]
        assert (np.diff(means) > 0).all()
        assert np.ptp(means) > x.std()
    if shape == "two humps" and K > 2:
        assert gained > 0.5


def test_components_by_hand():
    c = GaussianMixture(2, min_scale=1e-6)
    x = np.array([[5.0, 0, 1], [1, 0, 1], [3, 0, 1], [11, 10, 1]])
    d = c.decode(c.independent_outputs(x)[np.newaxis])
    close(d["weights"], 0.5, rtol=1e-15)
    close(d["means"][0], [[2, 8], [0, 5], [1, 1]], rtol=1e-14)  # of 1, 3 and of 5, 11
    close(d["scales"][0], [[3, 3], [2.5, 5], [1.1e-6, 1.1e-6]], rtol=1e-9)
    d = c.decode(c.independent_outputs(x[:3])[np.newaxis])
    close(d["means"][0, 0], [2, 4], rtol=1e-14)  # of 1, 3 and of 3, 5


def test_few_rows_and_constant_columns(case):
    """Finite outputs, scales above the floor, so that training can start."""
    c, D = case
    x = generic(c, D, n=3)[1]
    for rows in (x, x[:1], np.repeat(x[:1], 5, axis=0)):
        outputs = c.independent_outputs(rows)
        assert outputs.shape == (c.columns(D).n_outputs,)
        assert outputs.dtype == np.float64
        assert np.isfinite(outputs).all()
        assert np.isfinite(independent_log_p(c, rows))
    if c.values(D) is None:
        with pytest.raises(ValueError, match="x has no rows"):
            c.independent_outputs(x[:0])


def test_independent_outputs_do_not_depend_on_the_dtype_of_the_data():
    x = np.random.default_rng(0).integers(0, 2, (300, 2))
    for c in (Bernoulli(), Categorical(2)):
        for dtype in (bool, np.uint8, np.float32):
            np.testing.assert_array_equal(
                c.independent_outputs(x.astype(dtype)), c.independent_outputs(x)
            )


# Mixed data.


def test_mixed_is_made_of_its_parts_exactly():
    outputs, x = generic(EVERYTHING, 8)
    u = np.random.default_rng(8).random(x.shape)
    features, offsets = EVERYTHING.columns(8)[:2]
    decoded = EVERYTHING.decode(outputs)
    assert len(decoded) == 8
    for i, one in enumerate(EVERYTHING.conditionals):
        mine, xi = outputs[:, offsets[i] : offsets[i + 1]], x[:, [i]]
        same = np.testing.assert_array_equal
        same(EVERYTHING.log_p(outputs, x)[:, [i]], one.log_p(mine, xi))
        same(EVERYTHING.sample(outputs, u)[:, [i]], one.sample(mine, u[:, [i]]))
        d = EVERYTHING.d_outputs(outputs, x, u)[:, offsets[i] : offsets[i + 1]]
        same(d, one.d_outputs(mine, xi, u[:, [i]]))
        same(EVERYTHING.features(x)[:, features[i] : features[i + 1]], one.features(xi))
        same(
            EVERYTHING.independent_outputs(x)[offsets[i] : offsets[i + 1]],
            one.independent_outputs(xi),
        )
        assert json.dumps(decoded[i], default=np.ndarray.tolist) == json.dumps(
            one.decode(mine), default=np.ndarray.tolist
        )
        assert EVERYTHING.of(i) is one


def test_mixed_of_one_kind_is_that_kind():
    for c, D in (CASES[name] for name in ("bernoulli", "categorical-ragged", "gaussian")):
        mixed = Mixed([c.of(i) for i in range(D)])
        outputs, x = generic(c, D)
        np.testing.assert_array_equal(mixed.log_p(outputs, x), c.log_p(outputs, x))
        np.testing.assert_array_equal(mixed.d_outputs(outputs, x, 2), c.d_outputs(outputs, x, 2))
        assert len(mixed._groups) == 1  # computed in one go


def test_mixed_computes_what_is_alike_together():
    groups = [group.variables.tolist() for group in EVERYTHING._groups]
    assert groups == [[0], [1, 4], [2, 5], [3, 6], [7]]


@pytest.mark.parametrize(
    "bad", [[], [Bernoulli], ["gaussian"], [Mixed([Bernoulli()])], [Bernoulli(), None],
            [Standardized(Gaussian(), Standardize([0.0], [2.0]))]],
)  # fmt: skip
def test_mixed_wants_a_conditional_for_each(bad):
    with pytest.raises((TypeError, ValueError), match="conditionals must h"):
        Mixed(bad)


def test_an_entry_of_mixed_is_for_one_variable():
    with pytest.raises(ValueError, match="n_classes must be one number, or one for each of the 1"):
        Mixed([Categorical([2, 3])])


# What can be plotted.


def test_decoded_shapes_and_sums():
    p = Bernoulli().decode(np.zeros((2, 3)))
    np.testing.assert_array_equal(p, np.full((2, 3), 0.5))
    c = Categorical([2, 5, 3])
    outputs, _ = generic(c, 3, n=4)
    p = c.decode(outputs)["p"]
    assert p.shape == (4, 3, 5)
    close(p.sum(axis=2), 1, rtol=1e-14)
    assert not p[:, 0, 2:].any()
    assert not p[:, 2, 3:].any()
    e = np.exp(outputs[:, 2:7])
    close(p[:, 1], e / e.sum(axis=1, keepdims=True), rtol=1e-13)
    d = Gaussian(min_scale=0.5).decode(np.array([[3.0, 0.0, -1.0, -1e4]]))
    np.testing.assert_array_equal(d["mean"], [[3, -1]])
    np.testing.assert_allclose(d["scale"], [[0.5 + np.log(2), 0.5]], rtol=1e-15)
    d = GaussianMixture(2).decode(np.array([[0.0, np.log(3), 3.0, -1.0, 0.0, -1e4]]))
    assert {a.shape for a in d.values()} == {(1, 1, 2)}
    np.testing.assert_allclose(d["weights"][0, 0], [0.25, 0.75], rtol=1e-15)
    np.testing.assert_array_equal(d["means"][0, 0], [3, -1])
    np.testing.assert_allclose(d["scales"][0, 0], [0.01 + np.log(2), 0.01], rtol=1e-15)


def test_decoded_parameters_are_in_the_units_of_the_data():
    c, _ = CASES["standardized-mixed"]
    classes, real, bits, mixed = c.decode(np.zeros((1, 3 + 2 + 1 + 6)))
    close(classes["p"], 1 / 3, rtol=1e-15)
    assert real["mean"].item() == 5.0
    assert real["scale"].item() == pytest.approx(3 * (0.01 + np.log(2)), rel=1e-15)
    assert bits.item() == 0.5
    np.testing.assert_allclose(mixed["scales"], 0.125 * (0.01 + np.log(2)), rtol=1e-15)
    np.testing.assert_array_equal(mixed["means"], [[[-1, -1]]])
    np.testing.assert_array_equal(mixed["weights"], [[[0.5, 0.5]]])
    d = CASES["standardized"][0].decode(np.zeros((1, 12)))
    np.testing.assert_array_equal(d["means"], [[[3, 3], [-0.5, -0.5]]])


# Planted bugs: what people write, each beside the check that must catch it.


def patched(cls, method, change):
    """A bug that replaces a method by ``change(original)``."""
    return lambda patch: patch(cls, method, change(getattr(cls, method)))


def scaled_means(original):
    """The "heuristic" factor: the gradient of each mean times its scale."""

    def d_outputs(self, outputs, x, scale):
        d = original(self, outputs, x, scale)
        parts = d.reshape(len(d), -1, 3, self.n_components)
        parts[:, :, 1] *= self.scale(self._parts(outputs)[2])
        return d

    return d_outputs


def weights_are_shares(original):
    def d_outputs(self, outputs, x, scale):
        d = original(self, outputs, x, scale)
        self._parts(d)[0][...] = 0
        return d

    return d_outputs


def variance_for_scale(original):
    return lambda self, raw: original(self, raw) ** 2


BUGS = {
    "logits not normalised": (
        patched(Categorical, "log_p", lambda f: lambda self, z, x: z[self._column_of(x)]),
        "categorical", check_normalised,
    ),
    "softmax over all variables at once": (
        lambda patch: patch(
            conditionals.categorical, "exp_from_top",
            lambda z: (
                z.max(axis=(1, 2), keepdims=True), None,
                np.exp(z - z.max(axis=(1, 2), keepdims=True)).sum(axis=(1, 2), keepdims=True),
            ),
        ),
        "categorical", check_definition,
    ),
    "variables of one K take the columns of those before them": (
        patched(Categorical, "_by_size", lambda f: lambda self, D: (
            (i, np.arange(np.prod(shape)), shape) for i, _, shape in f(self, D))),
        "categorical-ragged", check_definition,
    ),
    "overflow: the largest logit is not subtracted": (
        lambda patch: patch(
            conditionals.categorical, "exp_from_top",
            lambda z: (np.zeros((1, 1, 1)), None, np.exp(z).sum(axis=-1, keepdims=True)),
        ),
        "categorical", check_extremes,
    ),
    "the one of the class is missing from the gradient": (
        patched(Categorical, "d_outputs",
                lambda f: lambda self, z, x, s: f(self, z, x, s)
                + s * self.features(x)),
        "categorical", check_gradient,
    ),
    "class k + 1 is drawn for k": (
        patched(Categorical, "sample",
                lambda f: lambda self, z, u: (f(self, z, u) + 1) % 5),
        "categorical", check_samples,
    ),
    "the likeliest class is drawn": (
        patched(Categorical, "sample", lambda f: lambda self, z, u:
                self.decode(z)["p"].argmax(axis=2).astype(self.dtype)),
        "categorical", check_samples,
    ),
    "scale = exp(raw)": (
        patched(Gaussian, "scale", lambda f: lambda self, raw: np.exp(raw)),
        "gaussian", check_extremes,
    ),
    "a scale that is clipped": (
        patched(Gaussian, "scale", lambda f: lambda self, raw: np.maximum(f(self, raw), 0.7)),
        "gaussian", check_gradient,
    ),
    "the scale is taken for the variance": (
        patched(Gaussian, "decode",
                lambda f: lambda self, z: f(self, z) | {"scale": f(self, z)["scale"] ** 0.5}),
        "gaussian", check_samples,
    ),
    "log(2 pi) is forgotten": (
        lambda patch: patch(conditionals.gaussian, "HALF_LOG_2_PI", 0.0),
        "gaussian", check_normalised,
    ),
    "mean and raw are swapped": (
        patched(Gaussian, "log_p", lambda f: lambda self, z, x:
                f(self, z.reshape(len(z), -1, 2)[:, :, ::-1].reshape(z.shape), x)),
        "gaussian", check_definition,
    ),
    "a heuristic factor in the gradient of the means": (
        patched(GaussianMixture, "d_outputs", scaled_means), "mixture", check_gradient,
    ),
    "weights that are not learnt": (
        patched(GaussianMixture, "d_outputs", weights_are_shares), "mixture", check_gradient,
    ),
    "the gradient by log(scale), not by raw": (
        patched(GaussianMixture, "d_log_scale", lambda f: lambda self, raw, s: np.ones_like(s)),
        "mixture", check_gradient,
    ),
    "logits taken for logs of weights": (
        lambda patch: patch(mixture, "log_softmax", lambda logits: logits),
        "mixture", check_normalised,
    ),
    "densities added without logs": (
        lambda patch: patch(mixture, "log_sum_exp", lambda z: np.log(np.exp(z).sum(axis=-1))),
        "mixture", check_extremes,
    ),
    "component and place drawn by the same number": (
        lambda patch: patch(
            GaussianMixture, "sample", lambda self, z, u: np.where(
                u < self.decode(z)["weights"][:, :, 0],
                *(self.decode(z)["means"][:, :, k] + self.decode(z)["scales"][:, :, k]
                  * mixture.standard_normal(u) for k in (0, 1)))
        ),
        "standardized", check_samples,
    ),
    "log std is forgotten": (
        patched(Standardized, "log_p",
                lambda f: lambda self, z, x: self.conditional.log_p(z, self.transform.z_of(x))),
        "standardized", check_normalised,
    ),
    "log std is added": (
        patched(Standardized, "log_p",
                lambda f: lambda self, z, x: f(self, z, x) + 2 * np.log(self.transform.std)),
        "standardized-gaussian", check_normalised,
    ),
    "samples stay in standardised units": (
        patched(Standardized, "sample",
                lambda f: lambda self, z, u: self.conditional.sample(z, u)),
        "standardized-mixed", check_samples,
    ),
    "columns of the outputs are not moved with their variables": (
        patched(Mixed, "_make_groups", lambda f: lambda self: [
            g._replace(outputs=np.arange(len(g.outputs))) for g in f(self)]),
        "mixed", check_definition,
    ),
    "a sigmoid for each class": (
        patched(Categorical, "log_p", lambda f: lambda self, z, x:
                np.log(sigmoid(z[self._column_of(x)]))),
        "categorical", check_normalised,
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_planted_bugs_are_caught(bug, monkeypatch):
    plant, name, check = BUGS[bug]
    c, D = CASES[name]
    check(from_config(c.config()), D)
    plant(monkeypatch.setattr)
    with pytest.raises((AssertionError, FloatingPointError)):
        check(from_config(c.config()), D)
