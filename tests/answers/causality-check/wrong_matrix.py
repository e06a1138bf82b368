# cause: a set of pairs
import numpy as np

from pyarsimple.orders import precedes

EXERCISE = "causality-check"


def find_leaks(conditionals, D, order, rng):
    x = rng.integers(2, size=(1000, D)).astype(float)
    leaks = np.zeros((D, D), bool)
    before = conditionals(x)
    for j in range(D):
        y = x.copy()
        y[:, j] = 1 - y[:, j]
        leaks[:, j] = (conditionals(y) != before).any(axis=0)
    return leaks & ~precedes(order)
