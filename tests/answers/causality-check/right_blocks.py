import numpy as np

EXERCISE = "causality-check"


def find_leaks(conditionals, D, order, rng):
    base = (rng.random((1500, D)) < 0.5).astype(float)
    first = conditionals(base)
    found = set()
    for k, j in enumerate(order):
        other = base.copy()
        other[:, j] = 1 - other[:, j]
        changed = np.any(conditionals(other) != first, axis=0)
        found.update((int(i), int(j)) for i in order[: k + 1] if changed[i])
    return found
