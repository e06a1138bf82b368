import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "ancestral-sampling"


def fill_in(state, x, n_known, uniforms, conditional):
    done = np.array(x)
    position = 0
    while position < len(state.order):
        i = state.order[position]
        if position >= n_known:
            done[:, i] = (uniforms[:, i] < sigmoid(state.outputs())).astype(float)
        state.advance(done[:, i])
        position += 1
    return done


def chi_square(x, p):
    n, D = x.shape
    counts = np.zeros((2,) * D)
    for row in x.astype(int):
        counts[tuple(row)] += 1
    expected = n * p.reshape(counts.shape)
    return np.sum((counts - expected) ** 2 / expected)
