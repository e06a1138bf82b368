# cause: conditional i does not change with x_j
import numpy as np

EXERCISE = "causality-check"


def find_leaks(conditionals, D, order, rng):
    x = rng.integers(2, size=(1000, D)).astype(float)
    leaks = set()
    before = conditionals(x)
    for k, i in enumerate(order):
        y = x.copy()
        y[:, order[k:]] = 1 - y[:, order[k:]]
        if (conditionals(y)[:, i] != before[:, i]).any():
            leaks |= {(int(i), int(j)) for j in order[k:]}
    assert np.ndim(order) == 1
    return leaks
