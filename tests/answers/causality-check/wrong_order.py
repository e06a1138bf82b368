# cause: order is ignored
import numpy as np

EXERCISE = "causality-check"


def find_leaks(conditionals, D, order, rng):
    x = rng.integers(2, size=(1000, D)).astype(float)
    leaks = set()
    before = conditionals(x)
    for j in range(D):
        y = x.copy()
        y[:, j] = 1 - y[:, j]
        moved = (conditionals(y) != before).any(axis=0)
        leaks |= {(i, j) for i in range(j + 1) if moved[i]}
    assert np.ndim(order) == 1
    return leaks
