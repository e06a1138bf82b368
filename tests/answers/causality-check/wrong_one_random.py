# cause: one base point
import numpy as np

EXERCISE = "causality-check"


def find_leaks(conditionals, D, order, rng):
    x = rng.integers(2, size=(1, D)).astype(float)
    place, leaks = np.argsort(order), set()
    before = conditionals(x)
    for j in range(D):
        y = x.copy()
        y[:, j] = 1 - y[:, j]
        moved = (conditionals(y) != before).any(axis=0)
        leaks |= {(i, j) for i in range(D) if moved[i] and place[j] >= place[i]}
    return leaks
