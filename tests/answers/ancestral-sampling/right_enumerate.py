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


def count_rows(x, sizes):
    counts = np.zeros(sizes, int)
    for row in x.astype(int):
        counts[tuple(row)] += 1
    return counts.ravel()


def pearson(observed, expected):
    z = (observed - expected) / np.sqrt(expected)
    return z @ z
