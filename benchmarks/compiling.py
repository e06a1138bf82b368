"""Builds the benchmark's own little C programs for this very machine, and loads them."""

import ctypes
import os
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

#: What the library's kernels are built with as well: none of it gives up NaN or infinity.
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math")

#: Where sums are plain loops, which become vectors only if the order of additions may change (and
#: the sign of a zero be lost). The library's kernels say themselves what is added in which lane.
#: Not for the multiply-adds of ``limits.c``: x / 2 + 1 / 2 would be computed as (x + 1) / 2.
IN_ANY_ORDER = (*FLAGS, "-fassociative-math", "-fno-signed-zeros")

#: The first that the compiler takes. The programs run where they are built, so all is allowed.
NATIVE = ("-march=native -mprefer-vector-width=512", "-march=native", "-mcpu=native", "")


class NoCompiler(RuntimeError):
    """There is no C compiler here, or it does not take the program."""


def build(source, folder, flags=FLAGS):
    """Compile a C file to a shared library in ``folder`` and load it; and the command's flags."""
    compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if not shutil.which(compiler[0]):
        raise NoCompiler(f"no C compiler: {compiler[0]!r} was not found")
    result = Path(folder) / f"{Path(source).stem}.so"
    for native in NATIVE:
        used = [*flags, *native.split()]
        command = [*compiler, *used, "-shared", "-fPIC", str(source), "-o", str(result), "-lm"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode == 0:
            return ctypes.CDLL(str(result)), " ".join(used)
    raise NoCompiler(f"{Path(source).name} does not compile here: {run.stderr.strip()[:200]}")


def compiler_version():
    compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    try:
        run = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "none found"
    return run.stdout.splitlines()[0]


class Threads:
    """Runs a function for the parts 0..n-1 at once, the last of them in the caller's thread."""

    def __init__(self, n):
        self.n = n
        self._pool = ThreadPoolExecutor(n - 1) if n > 1 else None

    def run(self, function):
        futures = [self._pool.submit(function, part) for part in range(self.n - 1)]
        function(self.n - 1)
        for future in futures:
            future.result()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        if self._pool:
            self._pool.shutdown()
