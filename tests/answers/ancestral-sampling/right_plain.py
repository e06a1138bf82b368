import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "ancestral-sampling"


def fill_in(state, x, n_known, uniforms, conditional):
    x = x.copy()
    for k, i in enumerate(state.order):
        if k >= n_known:
            p = sigmoid(state.outputs())
            x[:, i] = uniforms[:, i] < p
        state.advance(x[:, i])
    return x


def chi_square(x, p):
    n, D = x.shape
    index = x.astype(int) @ (2 ** np.arange(D)[::-1])
    counts = np.bincount(index, minlength=2**D)
    return ((counts - n * p) ** 2 / (n * p)).sum()
