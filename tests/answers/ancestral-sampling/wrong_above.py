# cause: 1 and 0 are exchanged
from pyarsimple.conditionals import sigmoid

EXERCISE = "ancestral-sampling"


def fill_in(state, x, n_known, uniforms, conditional):
    x = x.copy()
    for k, i in enumerate(state.order):
        if k >= n_known:
            x[:, i] = uniforms[:, i] > sigmoid(state.outputs())
        state.advance(x[:, i])
    return x


def count_rows(x, sizes):
    raise NotImplementedError


def pearson(observed, expected):
    raise NotImplementedError
