# cause: what was named is another bug
EXERCISE = "bug-hunt-3"
BUG = "one-step-late"


def fill_in(state, x, n_known, uniforms, conditional):
    x = x.copy()
    for k, i in enumerate(state.order):
        if k >= n_known:
            x[:, i] = conditional.sample(state.outputs(), uniforms[:, i])
        state.advance(x[:, i])
    return x
