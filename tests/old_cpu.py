"""What the models give on this CPU, written to a file: run by test_old_cpus.py on emulated ones.

python tests/old_cpu.py OUT.npz
"""

import sys

import numpy as np

import pyarsimple
from pyarsimple.twins import kernels


def results():
    """Scores, gradients, samples and a step of training of every kind of kernel, by name."""
    rng = np.random.default_rng(0)
    D, order = 37, rng.permutation(37)
    x = (rng.random((41, D)) < 0.3).astype(np.uint8)
    found = {"level": np.array(list(kernels.simd_level().encode()), np.uint8)}
    for dtype in ("float32", "float64"):
        same = {"order": order, "dtype": dtype, "rng": 1}
        for model in (
            pyarsimple.FVSBN(D, **same),
            pyarsimple.NADE(D, 70, **same),
            pyarsimple.NADE(D, 35, hidden="relu", **same),
            pyarsimple.MADE(D, (50, 33), hidden="tanh", direct=True, **same),
        ):
            kind = f"{model.name}-{dtype}-{getattr(model, 'hidden', '')}"
            found[f"{kind} log_prob"] = model.log_prob(x)
            _, grads = model.nll_and_grads(x)
            found |= {f"{kind} d{name}": g for name, g in grads.items()}
            found[f"{kind} samples"] = model.sample(len(x), rng=2)
            pyarsimple.fit(model, x, max_epochs=2, batch_size=10, rng=3)
            found |= {f"{kind} trained {name}": p for name, p in model.params.items()}
    return found


if __name__ == "__main__":
    np.savez(sys.argv[1], **results())
