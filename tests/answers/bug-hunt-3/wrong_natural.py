# cause: column k is written in step k
EXERCISE = "bug-hunt-3"
BUG = "inverse-order"


def fill_in(state, x, n_known, uniforms, conditional):
    x = x.copy()
    for i in range(x.shape[1]):
        if i >= n_known:
            x[:, i] = conditional.sample(state.outputs(), uniforms[:, i])
        state.advance(x[:, i])
    return x
