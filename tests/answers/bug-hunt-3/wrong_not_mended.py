# cause: the inverse of the order is used
EXERCISE = "bug-hunt-3"
BUG = "inverse-order"


def fill_in(state, x, n_known, uniforms, conditional):
    x = x.copy()
    walk = list(state.order)
    for k in range(len(walk)):
        i = walk.index(k)
        if k >= n_known:
            x[:, i] = conditional.sample(state.outputs(), uniforms[:, i])
        state.advance(x[:, i])
    return x
