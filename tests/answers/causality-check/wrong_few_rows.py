# cause: too few rows
import numpy as np

EXERCISE = "causality-check"


def find_leaks(conditionals, D, order, rng):
    leaks = set()
    place = np.argsort(order)
    x = rng.integers(2, size=(1000 if D < 20 else 1, D)).astype(float)
    x[:1] = 0
    before = conditionals(x)
    for j in range(D):
        y = x.copy()
        y[:, j] = 1 - y[:, j]
        moved = (conditionals(y) != before).any(axis=0)
        leaks |= {(i, j) for i in range(D) if moved[i] and place[j] >= place[i]}
    return leaks
