"""What this machine can do at most: arithmetic, matrix products, memory, exponentials.

Each is measured in the run that the kernels are timed in, with the run's threads, on its cores. The
first and the third are the roofs of the roofline; a kernel's share of them says how much is left.
"""

import ctypes
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.compiling import Threads, build


def _best_rate(work, amount, seconds):
    """The most of ``amount`` that one call of ``work`` did a second."""
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < seconds:
        before = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - before)
    return amount / best


@cache
def _library():
    """The little C program, built once in a process; once loaded, its file is not needed."""
    with tempfile.TemporaryDirectory() as folder:
        return build(Path(__file__).with_name("limits.c"), folder)[0]


def load_peak(dtype):
    """The little C program ``peak(n, address)``; it adds up at the address, and returns how many
    floating-point operations n rounds of independent multiply-adds are."""
    peak = getattr(_library(), f"peak_{dtype}")
    peak.restype, peak.argtypes = ctypes.c_double, [ctypes.c_long, ctypes.c_void_p]
    return peak


def fma_peak(threads, seconds, dtype):
    """Floating-point operations a second of independent multiply-adds."""
    peak = load_peak(dtype)
    with Threads(threads) as pool:
        sinks = np.zeros((threads, 64), dtype)
        n = 500_000
        operations = peak(1, sinks[0].ctypes.data) * n * threads
        return _best_rate(
            lambda: pool.run(lambda part: peak(n, sinks[part].ctypes.data)), operations, seconds
        )


def memory_bandwidth(threads, seconds, cache_bytes):
    """Bytes a second of a += b, on arrays that no cache holds: two read, one written."""
    n = int(np.clip(4 * cache_bytes, 64 * 2**20, 512 * 2**20)) // (4 * threads)
    parts = [(np.ones(n, np.float32), np.ones(n, np.float32)) for _ in range(threads)]

    def add(part):
        a, b = parts[part]
        np.add(a, b, out=a)

    with Threads(threads) as pool:
        return _best_rate(lambda: pool.run(add), 3 * 4 * n * threads, seconds)


def measure(ask, threads, seconds, dtypes, cache_bytes):
    """All limits; ``ask`` puts a question to the worker of an implementation.

    It answers with ``{"value": number}``, or a value of None and the reason.
    """
    limits = {}
    for dtype in dtypes:
        same = {"seconds": seconds, "dtype": dtype}
        limits[dtype] = {
            "fma": ask("blas", "fma", threads=threads, **same),
            "gemm": ask("blas", "gemm", **same),
            "exponentials": ask("compiled", "exponentials", **same),
            "numpy_exponentials": ask("numpy", "exponentials", **same),
        }
    size = {"threads": threads, "cache_bytes": cache_bytes}
    limits["memory"] = {"bandwidth": ask("blas", "memory", seconds=seconds, **size)}
    return limits
