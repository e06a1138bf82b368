# cause: the inverse of the order is used
from pyarsimple.orders import inverse

EXERCISE = "ancestral-sampling"


def fill_in(state, x, n_known, uniforms, conditional):
    x = x.copy()
    for k, i in enumerate(inverse(state.order)):
        if k >= n_known:
            x[:, i] = conditional.sample(state.outputs(), uniforms[:, i])
        state.advance(x[:, i])
    return x


def count_rows(x, sizes):
    raise NotImplementedError


def pearson(observed, expected):
    raise NotImplementedError
