"""What is special to NADE's kernels: exp(-a) is kept and multiplied, and may leave the numbers.

Whatever the parameters and the data, the kernels give what the definition gives: also where a goes
so far out that exp(-a) is no normal number, and comes back; where x is neither 0 nor 1; and where a
parameter is infinite or no number. That they give the same bits whatever the batch and the number
of threads is tested with the other kernels.
"""

import numpy as np
import pytest

from pyarsimple.models import nade

kernels = pytest.importorskip("pyarsimple._kernels")

pytestmark = pytest.mark.once

TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
DTYPES = list(TOLERANCE)
N, D, H = 37, 23, 70
ORDER = np.random.default_rng(1).permutation(D).astype(np.intp)


@pytest.fixture(autouse=True)
def same_level_afterwards():
    level = kernels.simd_level()
    yield
    kernels.set_simd_level(level)


@pytest.fixture(params=kernels.simd_levels())
def level(request):
    kernels.set_simd_level(request.param)


def make(dtype, *, swing=0.0, seed=0):
    """Rows of bits, W, c, V, b. Units swing: a goes up by so much, and at the next bit down."""
    rng = np.random.default_rng(seed)
    x = (rng.random((N, D)) < 0.6).astype(dtype)
    W, c, V, b = (rng.normal(0, 0.3, s).astype(dtype) for s in ((D, H), (H,), (D, H), (D,)))
    signs = np.where(np.arange(D) % 2, -1, 1)[:, np.newaxis] * rng.choice([-1, 1], H)
    W[ORDER] += (swing * signs * rng.choice([0, 0.5, 1], H)).astype(dtype)
    return x, W, c, V, b


def both_ways(x, W, c, V, b, hidden, keep=None):
    """Logits and gradients of the kernels, and of the definition in float64."""
    d_logits = np.random.default_rng(2).normal(size=x.shape).astype(x.dtype)
    ours = [
        kernels.nade_logits(x, W, c, V, b, ORDER, hidden, keep),
        *kernels.nade_backward(d_logits, x, W, c, V, ORDER, hidden, keep),
    ]
    wide = [array.astype(np.float64) for array in (x, W, c, V, b)]
    x, W, c, V, b = wide
    keep = keep if keep is None else keep.astype(np.float64)
    logits = nade.nade_logits.__wrapped__
    backward = nade.nade_backward.__wrapped__
    with np.errstate(all="ignore"):
        wanted = [
            logits(x, W, c, V, b, ORDER, hidden, keep),
            *backward(d_logits.astype(np.float64), x, W, c, V, ORDER, hidden, keep),
        ]
    return zip(("logits", "dW", "dc", "dV", "db"), ours, wanted, strict=True)


def assert_close(pairs, dtype):
    for name, ours, wanted in pairs:
        assert np.isfinite(ours).all(), name
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(
            ours, wanted, rtol=0, atol=TOLERANCE[dtype] * scale, err_msg=name
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", ["sigmoid", "relu"])
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("swing", [0, 5, 40, 86, 100, 700, 1000])
def test_activations_go_far_out_and_come_back(level, dtype, hidden, dropout, swing):
    x, *parameters = make(dtype, swing=swing)
    keep = 2 * (np.random.default_rng(3).random((N, H)) < 0.5).astype(dtype) if dropout else None
    # What is added up near 1000 is rounded there, on both sides: so many numbers are lost.
    exact = [np.round(p * 64) / 64 for p in parameters]
    assert_close(both_ways(x, *exact, hidden, keep), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [-1000, -90, -80, 80, 90, 1000])
def test_biases_that_are_far_out_from_the_start(level, dtype, bias):
    x, W, c, V, b = make(dtype, swing=100)
    c[::3] += bias
    assert_close(both_ways(x, *(np.round(p * 64) / 64 for p in (W, c, V, b)), "sigmoid"), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", ["sigmoid", "relu"])
def test_rows_may_hold_any_numbers(level, dtype, hidden):
    x, *parameters = make(dtype, swing=3)
    rng = np.random.default_rng(4)
    x[::2] = rng.choice(np.array([0, 1, -1, 0.5, 2.25], dtype), x[::2].shape)
    x[5] = 0
    assert_close(both_ways(x, *parameters, hidden), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("where", ["W", "c"])
def test_infinite_parameters_are_very_large_ones(level, dtype, value, where):
    x, W, c, V, b = make(dtype)
    array, place = (W, (ORDER[3], 11)) if where == "W" else (c, 11)
    array[place] = value
    ours = [ours for _, ours, _ in both_ways(x, W, c, V, b, "sigmoid")]
    array[place] = np.sign(value) * 1e4
    wanted = [(name, wanted) for name, _, wanted in both_ways(x, W, c, V, b, "sigmoid")]
    assert_close([(name, o, w) for o, (name, w) in zip(ours, wanted, strict=True)], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", ["sigmoid", "relu"])
def test_a_parameter_that_is_no_number_is_seen_where_it_is_used(level, dtype, hidden):
    """In rows with that bit, from the next variable on; to skip zeros keeps it from the others."""
    x, W, c, V, b = make(dtype)
    before, *_ = (ours for _, ours, _ in both_ways(x, W, c, V, b, hidden))
    W[ORDER[3], 11] = np.nan
    after = kernels.nade_logits(x, W, c, V, b, ORDER, hidden, None)
    reached = np.zeros((N, D), bool)
    reached[np.ix_(x[:, ORDER[3]] == 1, ORDER[4:])] = True
    np.testing.assert_array_equal(np.isnan(after), reached)
    np.testing.assert_array_equal(after[~reached], before[~reached])
    c[11] = np.nan
    assert np.isnan(kernels.nade_logits(x, W, c, V, b, ORDER, hidden, None)).all()
