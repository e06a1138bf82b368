# cause: a tolerance hides it
import numpy as np

EXERCISE = "causality-check"


def find_leaks(conditionals, D, order, rng):
    x = rng.integers(2, size=(1000, D)).astype(float)
    place, leaks = np.argsort(order), set()
    before = conditionals(x)
    for j in range(D):
        y = x.copy()
        y[:, j] = 1 - y[:, j]
        moved = ~np.isclose(conditionals(y), before, rtol=1e-5, atol=1e-8).all(axis=0)
        leaks |= {(i, j) for i in range(D) if moved[i] and place[j] >= place[i]}
    return leaks
