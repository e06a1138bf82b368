# cause: only the variable just before i is seen
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "nade-forward"


def nade_logits(x, W, c, V, b, order, hidden, keep):
    logits = np.zeros(x.shape)
    a = np.repeat(c[np.newaxis], len(x), axis=0)
    for i in order:
        logits[:, i] = sigmoid(a) @ V[i] + b[i]
        a = c + x[:, [i]] * W[i]
    return logits
