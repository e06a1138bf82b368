import numpy as np

EXERCISE = "causality-check"


def find_leaks(conditionals, D, order, rng):
    place = {int(i): k for k, i in enumerate(order)}
    pairs = []
    x = rng.integers(0, 2, (2000, D)).astype(float)
    for j in range(D):
        zeros, ones = x.copy(), x.copy()
        zeros[:, j], ones[:, j] = 0, 1
        difference = conditionals(ones) - conditionals(zeros)
        for i in range(D):
            if place[j] >= place[i] and np.count_nonzero(difference[:, i]):
                pairs.append((i, j))
    return pairs
