import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "bug-hunt-1"
BUG = "sees-itself"


def nade_logits(x, W, c, V, b, order, hidden, keep):
    logits = np.empty_like(x)  # (N, D)
    a = np.tile(c, (len(x), 1))  # (N, H)
    for i in order:
        h = sigmoid(a)
        logits[:, i] = h @ V[i] + b[i]
        a += np.multiply.outer(x[:, i], W[i])
    return logits
