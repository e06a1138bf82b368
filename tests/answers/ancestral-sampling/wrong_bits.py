# cause: every variable is taken for a bit
import numpy as np

EXERCISE = "ancestral-sampling"


def fill_in(state, x, n_known, uniforms, conditional):
    raise NotImplementedError


def count_rows(x, sizes):
    counts = np.zeros(np.prod(sizes))
    for row in x.astype(int).tolist():
        number = 0
        for bit in row:
            number = 2 * number + bit
        counts[number] += 1
    return counts


def pearson(observed, expected):
    raise NotImplementedError
