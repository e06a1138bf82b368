"""How much a result needs at least: multiply-adds, exponentials, bytes.

What the mathematics saves is not counted: masked weights, and for NADE what a bit of 0 leaves as it
was. So a kernel's share of a limit cannot be raised by doing needless work.
"""

import numpy as np

from benchmarks import definition


def counts(inputs):
    """Floating-point operations, exponentials, and bytes that must be read or written once."""
    x, size = inputs.x, inputs.x.itemsize
    N, D = x.shape
    n_params = sum(p.size for p in inputs.params.values())
    arrays = {"score": 1, "sample": 1, "grad": 2, "step": 7, "adam": 7}[inputs.kind]
    counted = {"bytes": size * (arrays * n_params + (N * D if inputs.kind != "adam" else 0))}
    if inputs.kind == "adam":  # m, v and the step: some 12 operations and a root for each entry
        return counted | {"flops": 12 * n_params, "exponentials": 0}
    if inputs.model == "nade":
        flops, exponentials = _nade(x, inputs.hidden[0], inputs.kind)
    else:
        flops, exponentials = _dense(inputs), 0
    return counted | {"flops": flops, "exponentials": exponentials + N * D}


def _nade(x, H, kind):
    """A product with V for each logit; W and the exponentials only after a bit that is 1."""
    N, D = x.shape
    ones = int(np.count_nonzero(x[:, :-1]))  # nothing comes after the last
    forward = 2 * H * (N * D + ones)
    states = H * (N + ones)
    if kind in {"grad", "step"}:  # and back: dV, the hidden units' gradient; dW where x is 1
        return forward + 2 * H * (2 * N * D + ones), states
    return forward, states


def _dense(inputs):
    """A product with each free weight forward; two back, one for the first layer."""
    N, D = inputs.x.shape
    masks = definition.masks(inputs.model, D, inputs.degrees)
    free = [int(M.sum()) for M in masks.values()]  # from the first layer to the last
    if inputs.kind in {"score", "sample"}:
        return 2 * N * sum(free)
    flops = 2 * N * (3 * sum(free) - free[0])
    n_params = sum(p.size for p in inputs.params.values())
    return flops + (12 * n_params if inputs.kind == "step" else 0)
