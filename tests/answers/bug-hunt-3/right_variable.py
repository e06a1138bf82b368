EXERCISE = "bug-hunt-3"
BUG = "inverse-order"


def fill_in(state, x, n_known, uniforms, conditional):
    x = x.copy()
    for k in range(x.shape[1]):
        i = state.variable
        if k >= n_known:
            x[:, i] = conditional.sample(state.outputs(), uniforms[:, i])
        state.advance(x[:, i])
    return x
