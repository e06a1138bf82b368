"""Promise: one build serves every x86-64 CPU, down to the oldest that NumPy's wheels run on.

Shown under Debian's qemu-user, which emulates CPUs without AVX: an instruction that such a CPU does
not have would end the process.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import old_cpu
import pytest

from pyarsimple import twins

QEMU = shutil.which("qemu-x86_64")

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(QEMU is None, reason="needs qemu-x86_64 (Debian: qemu-user)"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates x86-64 on x86-64 only"),
    pytest.mark.skipif(twins.kernels is None, reason="the kernels are not built"),
]

#: QEMU 7.2 gets NumPy's AVX2 sort wrong: np.argsort of a permutation is not its inverse there. What
#: is tested is our use of AVX2.
NUMPY_WITHOUT_AVX2 = {
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 X86_V3",
    "OPENBLAS_CORETYPE": "Nehalem",
}

#: Relative to the largest entry: of scores and gradients, and of parameters after 10 steps of Adam.
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
TRAINED_TOLERANCE = {"float32": 1e-3, "float64": 1e-10}


@pytest.mark.parametrize(("cpu", "level"), [("Nehalem", "baseline"), ("Haswell", "avx2")])
def test_an_old_cpu_gives_the_same(cpu, level, tmp_path):
    out = tmp_path / "results.npz"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYARSIMPLE_")}
    done = subprocess.run(
        [QEMU, "-cpu", cpu, sys.executable, old_cpu.__file__, str(out)],
        capture_output=True, text=True, check=False, cwd=Path(old_cpu.__file__).parents[1],
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)} | NUMPY_WITHOUT_AVX2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr  # -4 is an illegal instruction
    with np.load(out) as old, twins.backend("compiled"):
        assert bytes(old["level"]) == level.encode()
        here = old_cpu.results()
        assert sorted(here) == sorted(old.files)
        for name in sorted(set(here) - {"level"}):
            dtype = name.split("-")[1]
            if name.endswith("samples"):
                differ = (here[name] != old[name]).any(axis=1).mean()
                assert differ <= (0.05 if dtype == "float32" else 0), name
                continue
            tolerance = (TRAINED_TOLERANCE if " trained " in name else TOLERANCE)[dtype]
            error = np.abs(here[name] - old[name]).max() / np.abs(here[name]).max()
            assert error <= tolerance, f"{name}: {error:.2g} away"
