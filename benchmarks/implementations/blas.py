"""The yardstick: matrix products by NumPy's BLAS of the sizes of a case, and memory traffic.

It does not compute what the others compute: a case's first matrix product, (N, D) by (D, H), once
for a score and three times for a gradient, which for NADE is the same number of multiply-adds. For
Adam, whose limit is the memory, it adds one array of that size to another.
"""

import time

import numpy as np

from benchmarks import limits
from benchmarks.compiling import NoCompiler
from benchmarks.implementations import Task, Unsupported
from benchmarks.implementations.ours import gradients_for_adam


def start(name):
    """Nothing to prepare: NumPy is here."""


def about():
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        pools = ["unknown: threadpoolctl is missing"]
    else:
        np.ones((2, 2)) @ np.ones((2, 2))
        pools = [
            f"{p['internal_api']} {p['version']} {p.get('architecture', '')}, "
            f"{p['num_threads']} threads"
            for p in threadpool_info()
        ]
    return {"numpy": np.__version__, "pools": pools}


class Products(Task):
    def __init__(self, inputs):
        N, D = inputs.x.shape
        H = inputs.hidden[0] if inputs.hidden else D
        rng = np.random.default_rng(0)
        self.a = rng.normal(size=(N, D)).astype(inputs.dtype)
        self.b = rng.normal(size=(D, H)).astype(inputs.dtype)
        self.c = np.empty((N, H), inputs.dtype)
        self.n_products = 1 if inputs.kind in {"score", "sample"} else 3

    def run(self):
        for _ in range(self.n_products):
            np.matmul(self.a, self.b, out=self.c)

    def result(self):
        self.run()
        return {"a": self.a, "b": self.b, "product": self.c}


class Sums(Task):
    def __init__(self, inputs):
        self.first, self.grads = inputs.params, gradients_for_adam(inputs.params)
        self.params = {k: p.copy() for k, p in self.first.items()}

    def reset(self):
        for name, p in self.first.items():
            self.params[name][...] = p

    def run(self):
        for name, p in self.params.items():
            np.add(p, self.grads[name], out=p)

    def result(self):
        self.reset()
        self.run()
        return {f"sum.{k}": p for k, p in self.params.items()}


TASKS = {
    ("grad", "*", ""): Products,
    ("score", "*", ""): Products,
    ("step", "*", ""): Products,
    ("sample", "*", ""): Products,
    ("adam", "*", ""): Sums,
}


def measure_gemm(seconds, dtype="float32"):
    """Floating-point operations a second, of the best of a few square and oblong products."""
    best = 0.0
    shapes = ((1024, 1024, 1024), (100, 784, 500), (512, 2048, 512))
    for m, k, n in shapes:
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)
        c, start = np.empty((m, n), dtype), time.perf_counter()
        while time.perf_counter() - start < seconds / len(shapes):
            before = time.perf_counter()
            np.matmul(a, b, out=c)
            best = max(best, 2 * m * k * n / (time.perf_counter() - before))
    return best


def measure_fma(seconds, dtype, threads):
    try:
        return limits.fma_peak(threads, seconds, dtype)
    except NoCompiler as error:
        raise Unsupported(str(error)) from error


def measure_memory(seconds, threads, cache_bytes):
    return limits.memory_bandwidth(threads, seconds, cache_bytes)
