# cause: a misses the known variables
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "one-pass-sampling"


def nade_sample(x, n_known, uniforms, W, c, V, b, order, hidden):
    x, a = x.copy(), np.tile(c, (len(x), 1))
    for i in order[n_known:]:
        x[:, i] = uniforms[:, i] < sigmoid(sigmoid(a) @ V[i] + b[i])
        a += np.multiply.outer(x[:, i], W[i])
    return x
