import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "nade-forward"


def nade_logits(x, W, c, V, b, order, hidden, keep):
    logits = np.empty_like(x)
    a = np.tile(c, (len(x), 1))
    for i in order:
        h = sigmoid(a)
        logits[:, i] = h @ V[i] + b[i]
        a = a + np.outer(x[:, i], W[i])
    return logits
