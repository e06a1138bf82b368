"""Builds the steps, checks each against the definition, and times them in turns.

They share one process and one number of threads at a time, unlike the contenders of the benchmark
proper: none of them keeps a pool of threads that spins, but for NumPy's, which this rests after.
"""

import argparse
import contextlib
import ctypes
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import pyarsimple
from benchmarks import definition, machine
from benchmarks.cases import Case
from benchmarks.compiling import IN_ANY_ORDER, NoCompiler, Threads, build
from benchmarks.inputs import load_bits, make_inputs
from benchmarks.processes import choose_cores
from benchmarks.report import number, table
from benchmarks.runner import REST
from benchmarks.stats import relative_error, summary
from pyarsimple.models import nade

HERE = Path(__file__).parent
TOLERANCE = 5e-5

STEPS = {
    "scoring": (
        ("plain", "plain loops, the C library's exponential"),
        ("numpy", "NumPy, vectorised over the batch"),
        ("vectorised", "plain loops, an exponential that vectorises"),
        ("skipping", "hidden units computed again only after a 1"),
        ("tiled", "tiles of 16 examples"),
        ("blocked", "blocks of 128 hidden units, threads over them"),
        ("products", "exp(-a) multiplied by exp(-W): no exponentials"),
        ("library", "the library's kernel"),
    ),
    "gradient": (
        ("plain", "plain loops, the C library's exponential"),
        ("numpy", "NumPy, vectorised over the batch"),
        ("vectorised", "plain loops, an exponential that vectorises"),
        ("skipping", "states only where they change; copies for threads"),
        ("blocked", "threads over blocks of 64 hidden units: no copies"),
        ("tiled", "tiles of 16 examples, rows outermost"),
        ("products", "exp(-a) times exp(-W), there and back: no states"),
        ("library", "the library's kernel"),
    ),
}


def limit_blas(n):
    """NumPy's own threads, where threadpoolctl can limit them."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    return threadpool_limits(n)


def no_limit(n):
    """To limit BLAS takes as long as a kernel, and the kernels do not use it."""
    return contextlib.nullcontext()


class Work:
    """The arrays of one computation, and the steps as functions of them."""

    def __init__(self, kind, inputs, library):
        self.kind, self.library, self.x = kind, library, inputs.x
        p = {k: np.ascontiguousarray(v, np.float32) for k, v in inputs.params.items()}
        self.W, self.c, self.V, self.b = p["W"], p["c"], p["V"], p["b"]
        self.N, self.D, self.H = *self.x.shape, len(self.c)
        z = definition.logits("nade", p, self.x)
        self.d = ((definition.sigmoid(z) - self.x) / self.N).astype(np.float32)
        self.order = np.arange(self.D)
        if kind == "scoring":
            self.expected = {"logits": z}
        else:
            grads = definition.loss_and_grads("nade", p, self.x)[1]
            self.expected = {k: grads[k] for k in ("W", "V", "c")}

    def run(self, step, pool):
        """One step with the threads of ``pool``: what it computed, by name."""
        if step in {"numpy", "library"}:
            side, limit = ("numpy", limit_blas) if step == "numpy" else ("compiled", no_limit)
            with pyarsimple.backend(side), pyarsimple.set_num_threads(pool.n), limit(pool.n):
                return self._by_the_library()
        return (self._score if self.kind == "scoring" else self._gradient)(step, pool)

    def _by_the_library(self):
        common = self.order, "sigmoid", None
        if self.kind == "scoring":
            z = nade.nade_logits(self.x, self.W, self.c, self.V, self.b, *common)
            return {"logits": z}
        grads = nade.nade_backward(self.d, self.x, self.W, self.c, self.V, *common)
        return dict(zip(("W", "c", "V"), grads, strict=False))

    def _call(self, step, pool, *arrays):
        function = getattr(self.library, step)
        function.argtypes = [ctypes.c_long] * 5 + [ctypes.c_void_p] * len(arrays)
        pointers = [a.ctypes.data for a in arrays]
        pool.run(lambda part: function(part, pool.n, self.N, self.D, self.H, *pointers))

    def _score(self, step, pool):
        n_sums = -(-self.H // 128) if step in {"blocked", "products"} else 1
        z = np.empty((n_sums, self.N, self.D), np.float32)
        self._call(step, pool, self.x, self.W, self.c, self.V, self.b, z)
        return {"logits": z[0] if n_sums == 1 else z.sum(axis=0) + self.b}

    def _gradient(self, step, pool):
        copies = pool.n if step in {"plain", "vectorised", "skipping"} else 1
        dW, dV = np.empty((2, copies, self.D, self.H), np.float32)
        dc = np.empty((copies, self.H), np.float32)
        self._call(step, pool, self.x, self.d, self.W, self.c, self.V, dW, dV, dc)
        named = {"W": dW, "V": dV, "c": dc}
        return {k: g[0] if copies == 1 else g.sum(axis=0) for k, g in named.items()}

    def check(self, step, pool):
        got = self.run(step, pool)
        for name, expected in self.expected.items():
            error = relative_error(got[name], expected)
            if not error < TOLERANCE:
                raise SystemExit(f"{self.kind}, {step}: {name} is off by {error:.1e}; not timed")


def measure(work, steps, threads, rounds, say):
    """Times of all steps in turns, for each number of threads."""
    times = {}
    for n in range(1, threads + 1):
        with Threads(n) as pool:
            for step in steps:
                work.check(step, pool)
            taken = {step: [] for step in steps}
            for _ in range(rounds):
                for step in random.Random(0).sample(steps, len(steps)):
                    taken[step].append(_turn(work, step, pool))
            for step in steps:
                times[f"{step}@{n}"] = summary(taken[step])
        say(f"{work.kind}: {n} of {threads} threads timed")
    return times


def _turn(work, step, pool, seconds=0.05):
    work.run(step, pool)
    calls, start = [], time.perf_counter()
    while not calls or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        work.run(step, pool)
        calls.append(time.perf_counter() - before)
    time.sleep(REST)
    return calls


def lines(kind, times):
    """The table: milliseconds by threads, and the gain over the step before.

    ``times`` are those of ``steps.json``: a summary for each ``step@threads``.
    """
    threads = max(int(key.partition("@")[2]) for key in times)
    head = (f"{n} thread{'s' if n > 1 else ''}" for n in range(1, threads + 1))
    rows = [(kind + ", ms", *head, "gain", "in all")]
    before = first = None
    for step, title in STEPS[kind]:
        if f"{step}@1" not in times:
            continue
        medians = [times[f"{step}@{n}"]["median"] for n in range(1, threads + 1)]
        best = min(medians)
        first, gain = first or best, f"{before / best:.1f} x" if before else ""
        rows.append((f"  {title}", *(number(1e3 * m) for m in medians), gain,
                     f"{first / best:.0f} x"))  # fmt: skip
        before = best
    return table(rows, right=set(range(1, threads + 3)))


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    parser.add_argument("--data", metavar="FOLDER", help="with binarized_mnist.npz")
    parser.add_argument("--out", metavar="DIR", help="where steps.json goes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tiny", action="store_true", help="small sizes: to try the machinery")
    return parser.parse_args(arguments)


def main(arguments=None):
    args = parse(arguments)
    cores = choose_cores(args.threads)
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    rows, note = load_bits(args.data)
    sizes = {"N": 37, "D": 21, "hidden": (150,)} if args.tiny else {}
    print(f"{machine.cpu_name()}; {note}")
    result = {"cpu": machine.cpu_name(), "data": note, "compiler": machine.compiler_version()}
    result |= {"versions": machine.versions(), "load": machine.load(), "seconds": {}}
    for kind, steps in STEPS.items():
        inputs = make_inputs(Case("", "grad", "nade", (), **sizes), rows)
        if pyarsimple.twins.kernels is None:
            steps = tuple(step for step in steps if step[0] != "library")
            print("the library's kernels are MISSING: their rows are left out")
        with tempfile.TemporaryDirectory() as folder:
            try:
                library, result["flags"] = build(HERE / f"{kind}.c", folder, IN_ANY_ORDER)
            except NoCompiler as error:
                print(f"python -m benchmarks.steps: error: {error}", file=sys.stderr)
                return 2
            work = Work(kind, inputs, library)
            names = [name for name, _ in steps]
            times = measure(work, names, args.threads, args.rounds,
                            lambda s: print(s, file=sys.stderr))  # fmt: skip
        result["seconds"][kind] = times
        print("\n" + "\n".join(lines(kind, times)))
    if args.out:
        Path(args.out).mkdir(parents=True, exist_ok=True)
        Path(args.out, "steps.json").write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
