# cause: known variables are drawn anew
EXERCISE = "ancestral-sampling"


def fill_in(state, x, n_known, uniforms, conditional):
    x = x.copy()
    for i in state.order:
        x[:, i] = conditional.sample(state.outputs(), uniforms[:, i])
        state.advance(x[:, i])
    return x


def count_rows(x, sizes):
    raise NotImplementedError


def pearson(observed, expected):
    raise NotImplementedError
