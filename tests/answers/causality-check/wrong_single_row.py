# cause: one base point
import numpy as np

EXERCISE = "causality-check"


def find_leaks(conditionals, D, order, rng):
    x = np.zeros((1, D))
    place, leaks = np.argsort(order), set()
    for j in range(D):
        y = x.copy()
        y[0, j] = 1
        moved = conditionals(x)[0] != conditionals(y)[0]
        leaks |= {(i, j) for i in range(D) if moved[i] and place[j] >= place[i]}
    return leaks
