"""What is special to the compiled kernels; that they equal the NumPy side is tested elsewhere.

The same bits whatever the number of threads, whatever else is in the batch, and for whatever the
logits must not depend on; all SIMD levels agree; the exponential is accurate; they work after a
fork, and from several Python threads at once.
"""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pyarsimple import twins
from pyarsimple.models.made import made_gradients, made_layers, make_masks
from pyarsimple.orders import inverse, precedes

kernels = pytest.importorskip("pyarsimple._kernels")

pytestmark = pytest.mark.once

DTYPES = [np.float32, np.float64]
HIDDEN = ["sigmoid", "relu"]
SIZES = [(1, 1, 1), (3, 2, 3), (5, 1, 7), (19, 37, 130), (70, 90, 300)]  # N, D, H


@pytest.fixture(autouse=True)
def same_threads_and_level_afterwards():
    level, threads = kernels.simd_level(), twins.get_num_threads()
    yield
    kernels.set_simd_level(level)
    kernels.set_num_threads(threads)


@pytest.fixture(params=kernels.simd_levels())
def level(request):
    kernels.set_simd_level(request.param)
    return request.param


class Problem:
    """Arguments for all kernels, and their results as one dict of arrays."""

    def __init__(self, N, D, H, dtype, seed=0):
        self.rng = np.random.default_rng(seed)
        self.dtype, self.D, self.H = dtype, D, H
        self.order = self.rng.permutation(D).astype(np.intp)
        self.x = (self.rng.random((N, D)) < 0.3).astype(dtype)
        self.uniforms = self.rng.random((N, D))
        self.keep = 2 * (self.rng.random((N, H)) < 0.5).astype(dtype)
        self.d_logits = self.array(N, D)
        self.links, self.b = self.array(D, D), self.array(D)
        self.W, self.c, self.V = self.array(D, H), self.array(H), self.array(D, H)
        self.degrees = [self.rng.integers(0, D, H).astype(np.intp) for _ in range(2)]
        self.W2, self.c2 = self.array(H, H), self.array(H)

    def array(self, *shape):
        return self.rng.normal(0, 0.3, shape).astype(self.dtype)

    def logits(self, x, keep=None):
        results = {"fvsbn": kernels.fvsbn_logits(x, self.links, self.b, self.order)}
        for hidden in HIDDEN:
            for dropout in None, self.keep if keep is None else keep:
                results[f"nade {hidden} {dropout is None}"] = kernels.nade_logits(
                    x, self.W, self.c, self.V, self.b, self.order, hidden, dropout
                )
                results[f"made {hidden} {dropout is None}"] = self.made_layers(x, hidden, dropout)[
                    0
                ]
        return results

    def made_layers(self, x, hidden, keep):
        return kernels.made_layers(
            x, [self.W, self.W2], [self.c, self.c2], self.V, self.b, self.links, self.order,
            self.degrees, hidden, None if keep is None else [keep, keep],
        )  # fmt: skip

    def made_gradients(self, hidden, keep):
        _, layers = self.made_layers(self.x, hidden, keep)
        (dW, dW2), (dc, dc2), *rest = kernels.made_gradients(
            self.d_logits, layers, [self.W, self.W2], self.V, self.links, self.order, self.degrees,
            hidden, None if keep is None else [keep, keep],
        )  # fmt: skip
        return dW, dW2, dc, dc2, *rest  # dV, db, dA

    def grads(self):
        results = {"fvsbn": kernels.fvsbn_backward(self.d_logits, self.x, self.order)}
        for hidden in HIDDEN:
            for keep in None, self.keep:
                results[f"nade {hidden} {keep is None}"] = kernels.nade_backward(
                    self.d_logits, self.x, self.W, self.c, self.V, self.order, hidden, keep
                )
                results[f"made {hidden} {keep is None}"] = self.made_gradients(hidden, keep)
        return {f"{name} {k}": g for name, grads in results.items() for k, g in enumerate(grads)}

    def samples(self):
        x, u = self.x, self.uniforms
        results = {"fvsbn": kernels.fvsbn_sample(x, 0, u, self.links, self.b, self.order)}
        for hidden in "sigmoid", "relu":
            results[f"nade {hidden}"] = kernels.nade_sample(
                x, 0, u, self.W, self.c, self.V, self.b, self.order, hidden
            )
        for hidden in "sigmoid", "relu", "tanh":
            results[f"made {hidden}"] = kernels.made_sample(
                x, 0, u, [self.W, self.W2], [self.c, self.c2], self.V, self.b, self.links,
                self.order, self.degrees, hidden,
            )  # fmt: skip
        return results

    def elementwise(self):
        p, m, v = self.W.copy(), self.V.copy(), self.V**2
        kernels.adam_update_(p, self.V, m, v, 0.1, 0.9, 0.99, 1e-8, 3)
        mean = self.W.copy()
        kernels.average_update_(mean, self.V, 0.1)
        return {
            "log_p": kernels.bernoulli_log_p(self.d_logits, self.x),
            "d_logits": kernels.bernoulli_d_logits(self.d_logits, self.x, 0.1),
            "adam p": p, "adam m": m, "adam v": v, "average": mean,
        }  # fmt: skip

    def everything(self):
        parts = {
            "logits": self.logits(self.x), "grads": self.grads(), "samples": self.samples(),
            "elementwise": self.elementwise(),
        }  # fmt: skip
        return {f"{part} {name}": a for part, r in parts.items() for name, a in r.items()}


def assert_same_bits(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_number_of_threads_gives_the_same_bits(level, dtype):
    problem = Problem(150, 90, 300, dtype)  # large enough for threads
    kernels.set_num_threads(1)
    expected = problem.everything()
    for threads in 2, 3, 7:
        kernels.set_num_threads(threads)
        for _ in range(3):
            assert_same_bits(problem.everything(), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_callers_long_doubles_are_left_alone(level, dtype):
    """A compiler may use MMX registers, which are also those of long doubles, and leave them so."""
    kernels.set_num_threads(1)
    x = np.linspace(-1, 1, 9, dtype=np.longdouble)
    expected = np.exp(x)
    for size in SIZES:
        Problem(*size, dtype).everything()
        np.testing.assert_array_equal(np.exp(x), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_simd_levels_agree(dtype, size):
    problem = Problem(*size, dtype)
    results = {}
    for name in kernels.simd_levels():
        kernels.set_simd_level(name)
        results[name] = problem.everything()
    expected = results.pop("baseline")
    tolerance = 200 * np.finfo(dtype).eps
    for result in results.values():
        for name, a in result.items():
            scale = max(np.abs(expected[name]).max(), 0.1)
            np.testing.assert_allclose(
                a, expected[name], rtol=0, atol=tolerance * scale, err_msg=name
            )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_bits", [[0, 1], [-1.5, 0, 0.25, 1]])
def test_rows_do_not_depend_on_their_batch(level, dtype, n_bits):
    problem = Problem(70, 37, 130, dtype)
    x = problem.rng.choice(np.array(n_bits, dtype), problem.x.shape)
    expected = problem.logits(x)
    for rows in slice(0, 1), slice(5, 6), slice(17, 39), slice(3, 70):
        part = problem.logits(x[rows], problem.keep[rows])
        assert_same_bits(part, {name: whole[rows] for name, whole in expected.items()})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_zeros_that_are_skipped_and_zeros_that_are_multiplied(level, dtype, share):
    """A row with few ones is listed if it is alone, and multiplied as it is among dense rows."""
    problem = Problem(45, 330, 200, dtype)
    dense = problem.array(45, 330)
    few = (problem.rng.random((1, 330)) < share).astype(dtype)
    among = np.concatenate([dense[:20], few, dense[20:44]])
    together, alone = problem.logits(among, problem.keep), problem.logits(few, problem.keep[20:21])
    assert_same_bits({name: a[20:21] for name, a in together.items()}, alone)


@pytest.mark.parametrize("dtype", DTYPES)
def test_products_of_many_blocks(level, dtype):
    """More rows, sources and targets than any task takes at once, against NumPy."""
    problem = Problem(500, 70, 530, dtype)
    problem.x *= problem.array(500, 70)  # real numbers, most of them 0
    W, c = [problem.W, problem.W2], [problem.c, problem.c2]
    settings = problem.order, problem.degrees, "relu", None
    logits, layers = made_layers.__wrapped__(
        problem.x, W, c, problem.V, problem.b, problem.links, *settings
    )
    (dW, dW2), (dc, dc2), *rest = made_gradients.__wrapped__(
        problem.d_logits, layers, W, problem.V, problem.links, *settings
    )
    expected = [logits, dW, dW2, dc, dc2, *rest]
    actual = [problem.logits(problem.x)["made relu True"], *problem.made_gradients("relu", None)]
    for k, (a, wanted) in enumerate(zip(actual, expected, strict=True)):
        atol = 500 * np.finfo(dtype).eps * np.abs(wanted).max()
        np.testing.assert_allclose(a, wanted, rtol=0, atol=atol, err_msg=str(k))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("later", [0, 1, -3.25, np.inf, np.nan])
def test_later_variables_change_no_bit(level, dtype, later):
    problem = Problem(20, 75, 40, dtype)
    expected = problem.logits(problem.x)
    for position in [0, 1, 15, 16, 31, 32, 63, 64, 65, 73, 74]:
        x = problem.x.copy()
        x[:, problem.order[position:]] = later
        known = problem.order[: position + 1]  # logits that may depend on none of these
        for name, logits in problem.logits(x).items():
            if not np.isfinite(later) and not name.startswith("nade"):
                continue  # masked weights are 0 there, and 0 times infinity is not
            same = logits[:, known].tobytes() == expected[name][:, known].tobytes()
            assert same, (name, position)


@pytest.mark.parametrize("dtype", DTYPES)
def test_masked_entries_may_hold_anything(level, dtype):
    problem = Problem(20, 75, 40, dtype)
    expected, expected_samples = problem.logits(problem.x), problem.samples()
    masks = make_masks(problem.order, problem.degrees)

    def spoil(a, mask):
        return np.where(mask, a, np.nan).astype(dtype)

    problem.links = spoil(problem.links, precedes(problem.order))
    assert_same_bits(problem.logits(problem.x), expected)
    expected_grads = {hidden: problem.made_gradients(hidden, problem.keep) for hidden in HIDDEN}
    problem.W, problem.V = spoil(problem.W, masks[0]), spoil(problem.V, masks[2])
    problem.W2 = spoil(problem.W2, masks[1])
    samples = problem.samples()
    for name in "fvsbn", "made sigmoid", "made relu", "made tanh":
        np.testing.assert_array_equal(samples[name], expected_samples[name])
    dW, _ = kernels.fvsbn_backward(problem.d_logits, problem.x, problem.order)
    assert not dW[~precedes(problem.order)].any()
    for hidden in HIDDEN:
        logits, _ = problem.made_layers(problem.x, hidden, problem.keep)
        np.testing.assert_array_equal(logits, expected[f"made {hidden} False"])
        grads = problem.made_gradients(hidden, problem.keep)
        for g, wanted in zip(grads, expected_grads[hidden], strict=True):
            np.testing.assert_array_equal(g, wanted)
        for k, mask in (0, masks[0]), (1, masks[1]), (4, masks[2]), (6, precedes(problem.order)):
            assert not grads[k][~mask].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_samples_come_from_the_logits_that_are_scored(level, dtype):
    problem = Problem(60, 130, 75, dtype)
    for name, x in problem.samples().items():
        model, _, hidden = name.partition(" ")
        if model == "made":
            continue
        if model == "fvsbn":
            logits = kernels.fvsbn_logits(x, problem.links, problem.b, problem.order)
        else:
            logits = kernels.nade_logits(
                x, problem.W, problem.c, problem.V, problem.b, problem.order, hidden, None
            )
        p = 1 / (1 + np.exp(-logits.astype(np.float64)))
        unclear = np.abs(p - problem.uniforms) < 50 * np.finfo(dtype).eps
        np.testing.assert_array_equal(x[~unclear], (problem.uniforms < p)[~unclear])
        assert unclear.mean() < 0.01


@pytest.mark.parametrize(
    ("dtype", "wider", "low", "high"),
    [(np.float32, np.float64, -103.0, 88.7), (np.float64, np.longdouble, -745.0, 709.7)],
)
def test_exponential_is_accurate_to_2_ulp(level, dtype, wider, low, high):
    if np.finfo(wider).eps >= np.finfo(dtype).eps:
        pytest.skip("there is no wider type here to compare with")
    rng = np.random.default_rng(0)
    for span in (low, high), (-1, 1), (-20, 20):
        x = rng.uniform(*span, 300_000).astype(dtype)
        exact = np.exp(x.astype(wider))
        ulp = np.spacing(exact.astype(dtype)).astype(wider)
        assert (np.abs(kernels.exponential(x) - exact) / ulp).max() < 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_exponential_at_the_ends(level, dtype):
    x = np.array([-np.inf, -1e30, -1000, 0, 1000, 1e30, np.inf, np.nan] * 5, dtype)
    expected = [0, 0, 0, 1, np.inf, np.inf, np.inf, np.nan] * 5
    np.testing.assert_array_equal(kernels.exponential(x), expected)
    assert kernels.exponential(x[:0]).shape == (0,)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_p_is_relatively_accurate_in_both_tails(level, dtype):
    tiny = float(np.log(np.finfo(dtype).smallest_subnormal)) + 5
    for x in 0, 1:
        z = np.concatenate([np.linspace(tiny, -tiny, 2001), [-1000, 1000]]).astype(dtype)
        bits = np.full((1, len(z)), x, dtype)
        log_p = kernels.bernoulli_log_p(z[np.newaxis], bits)[0].astype(np.float64)
        with np.errstate(under="ignore"):
            exact = -np.logaddexp(0, (1 - 2 * x) * z.astype(np.float64))
        normal = exact < -np.finfo(dtype).tiny
        rtol = 6 * float(np.finfo(dtype).eps)
        np.testing.assert_allclose(log_p[normal], exact[normal], rtol=rtol)
        assert np.isfinite(log_p).all()
        assert (log_p[:2001] < 0).all()


def test_level_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="SIMD level must be one of baseline"):
        kernels.set_simd_level("avx1024")
    environment = os.environ | {"PYARSIMPLE_SIMD": "baseline"}
    code = "from pyarsimple import _kernels; print(_kernels.simd_level())"
    run = [sys.executable, "-c", code]
    lowest = subprocess.run(run, env=environment, capture_output=True, text=True, check=True)
    assert lowest.stdout.strip() == "baseline"
    environment["PYARSIMPLE_SIMD"] = "nonsense"
    failed = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    assert failed.returncode != 0
    assert "got 'nonsense'" in failed.stderr


def test_python_threads_at_once():
    problem = Problem(150, 90, 300, np.float32)
    kernels.set_num_threads(3)
    expected = problem.everything()

    def work(_):
        for _ in range(10):
            assert_same_bits(problem.everything(), expected)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4), timeout=120))  # raises what the threads raise


def test_memory_is_used_again_only_when_nobody_uses_it():
    """Large results lie in memory that is kept for later ones; a view of one holds it, too."""
    problem = Problem(150, 90, 300, np.float64)
    rng = np.random.default_rng(5)
    held = []
    for k in range(40):
        x = problem.array(100, 100 + 37 * (k % 5))  # 80 kB and more
        out = kernels.bernoulli_log_p(x, np.ones_like(x))
        assert out.flags.writeable
        assert out.ctypes.data % 64 == 0
        held.append((out[3:, ::7], out[3:, ::7].copy()))  # and not out itself
        if k % 3 == 2:
            del held[rng.integers(len(held))]
        for view, copy in held:
            np.testing.assert_array_equal(view, copy)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_little_memory_is_kept():
    """Of 400 MB that were in use at once, some 64 stay, and the second time it takes no more."""
    code = """
import re
import numpy as np
from pyarsimple import _kernels
def kept():
    x = np.zeros((1000, 1250))
    results = [_kernels.bernoulli_log_p(x, x) for _ in range(40)]
    del results, x
    return int(re.search(r"VmRSS:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024
_kernels.bernoulli_log_p(np.zeros((1, 1)), np.zeros((1, 1)))
print(kept(), kept(), kept())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second, third = (float(word) for word in run.stdout.split())
    assert max(first, second, third) < 64 + 100
    assert third - first < 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_threads_that_are_no_longer_to_be_used_sleep():
    """A worker that looked at each job only to find that it may not join would take a core."""
    code = """
import re, time
from pathlib import Path
import numpy as np
from pyarsimple import _kernels
def run():
    for _ in range(100):
        _kernels.exponential(x)
def wakes():
    pattern = re.compile(r"\\nvoluntary_ctxt_switches:\\s*(\\d+)")
    tasks = Path("/proc/self/task").iterdir()
    return {task.name: pattern.search((task / "status").read_text())[1] for task in tasks}
x = np.zeros(200_000)
before = len(wakes())
_kernels.set_num_threads(6)
run()
assert len(wakes()) == before + 5
_kernels.set_num_threads(2)
run()
time.sleep(0.2)
once = wakes()
run()
print(sum(once[name] != n for name, n in wakes().items()))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) <= 2  # the caller and one worker


def _in_child(problem, expected, queue):
    assert_same_bits(problem.everything(), expected)
    queue.put("the same")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork is for POSIX")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_child_of_a_fork_computes_the_same():
    problem = Problem(150, 90, 300, np.float32)
    kernels.set_num_threads(3)
    expected = problem.everything()  # the pool has its threads now; a child has none of them
    context = multiprocessing.get_context("fork")
    for _ in range(3):
        queue = context.Queue()
        child = context.Process(target=_in_child, args=(problem, expected, queue))
        child.start()
        try:
            assert queue.get(timeout=60) == "the same"
        finally:
            child.terminate()
            child.join(timeout=60)
    assert_same_bits(problem.everything(), expected)  # and the parent goes on


@pytest.mark.parametrize("dtype", DTYPES)
def test_order_of_units_does_not_matter(level, dtype):
    """MADE's sampler sorts units by degree if they are not."""
    problem = Problem(40, 30, 50, dtype)
    assert (np.diff(problem.degrees[0]) < 0).any()
    expected = problem.samples()
    first, second = (np.argsort(m, kind="stable") for m in problem.degrees)
    assert not np.array_equal(inverse(first), first)
    problem.W, problem.c = problem.W[:, first].copy(), problem.c[first]
    problem.W2, problem.c2 = problem.W2[first][:, second].copy(), problem.c2[second]
    problem.V = problem.V[:, second].copy()
    problem.degrees = [problem.degrees[0][first], problem.degrees[1][second]]
    samples = problem.samples()
    for name in "made sigmoid", "made relu", "made tanh":
        np.testing.assert_array_equal(samples[name], expected[name])
