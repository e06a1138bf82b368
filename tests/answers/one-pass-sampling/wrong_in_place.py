# cause: x is written to in place
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "one-pass-sampling"


def nade_sample(x, n_known, uniforms, W, c, V, b, order, hidden):
    a = np.tile(c, (len(x), 1))
    for k, i in enumerate(order):
        if k >= n_known:
            x[:, i] = uniforms[:, i] < sigmoid(sigmoid(a) @ V[i] + b[i])
        a += np.multiply.outer(x[:, i], W[i])
    return x
