import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "one-pass-sampling"


def nade_sample(x, n_known, uniforms, W, c, V, b, order, hidden):
    x = x.copy()
    a = np.tile(c, (len(x), 1))
    for k, i in enumerate(order):
        if k >= n_known:
            h = sigmoid(a)
            p = sigmoid(h @ V[i] + b[i])
            x[:, i] = uniforms[:, i] < p
        a = a + np.outer(x[:, i], W[i])
    return x
