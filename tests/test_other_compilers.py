"""Promise: the same source builds with other compilers than gcc, and the kernels give the same.

clang makes all that gcc makes. tcc knows none of GNU C's vectors, atomics and attributes, as MSVC
does not: with it the plain loops are built that serve any C compiler, without threads and levels.
gcc is asked for those too, and both kinds are run under its address sanitizer: a kernel that reads
or writes a number too far stops there.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import old_cpu
import pytest

from pyarsimple import twins

ROOT = Path(old_cpu.__file__).parents[1]
#: Relative to the largest entry.
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}

pytestmark = [
    pytest.mark.packaging,
    pytest.mark.skipif(twins.kernels is None, reason="the kernels are not built"),
    pytest.mark.skipif(sys.platform != "linux", reason="compilers are called as on Linux"),
]


ALL_LEVELS = len(twins.kernels.simd_levels()) if twins.kernels else 0
SANITIZED = "-O0 -fsanitize=address"


def sanitizer():
    """The library that must be loaded before Python itself, or "" if there is none."""
    if shutil.which("gcc") is None:
        return ""
    name = "libasan.so"
    asked = subprocess.run(
        ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    )
    path = asked.stdout.strip()
    return "" if path == name else path


def builds():
    """What to build with, CFLAGS, and how many SIMD levels that makes."""
    for compiler, flags, n_levels in (
        ("clang", "", ALL_LEVELS),
        ("tcc", "", 1),
        ("gcc", SANITIZED, ALL_LEVELS),
        ("gcc", f"{SANITIZED} -DPYARSIMPLE_PLAIN_C", 1),
    ):
        there = shutil.which(compiler) and (not flags or sanitizer())
        marks = [] if there else pytest.mark.skip(f"needs {compiler} {flags}")
        yield pytest.param(compiler, flags, n_levels, marks=marks, id=f"{compiler} {flags}".strip())


@pytest.mark.parametrize(("compiler", "flags", "n_levels"), list(builds()))
def test_another_compiler_gives_the_same(compiler, flags, n_levels, tmp_path):
    for name in ("pyarsimple", "tests"):
        shutil.copytree(
            ROOT / name,
            tmp_path / name,
            ignore=shutil.ignore_patterns("*.so", "__pycache__", "*.c"),
        )
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYARSIMPLE_")}
    environment |= {
        "CC": compiler,
        "CFLAGS": flags,
        "PYTHONPATH": str(tmp_path),
        "PYARSIMPLE_REQUIRE_EXTENSION": "1",
    }

    def run(*args, **more):
        done = subprocess.run(
            [sys.executable, *args], cwd=tmp_path, env=environment | more, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("setup.py", "-q", "build_ext", "--inplace")
    asked = "from pyarsimple.twins import kernels as k; print(len(k.simd_levels()), k.__file__)"
    preload = {"LD_PRELOAD": sanitizer(), "ASAN_OPTIONS": "detect_leaks=0"} if flags else {}
    n, path = run("-c", asked, **preload).split()
    assert int(n) == n_levels
    assert Path(path).is_relative_to(tmp_path)
    run("tests/old_cpu.py", "results.npz", **preload)
    with np.load(tmp_path / "results.npz") as there, twins.backend("compiled"):
        here = old_cpu.results()
        for name in sorted(set(here) - {"level"}):
            dtype = name.split("-")[1]
            error = np.abs(here[name] - there[name]).max() / np.abs(here[name]).max()
            assert error <= TOLERANCE[dtype], f"{name}: {error:.2g} away"
