# cause: a name was misspelt
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "bug-hunt-1"
BUG = "sees itself"


def nade_logits(x, W, c, V, b, order, hidden, keep):
    logits = np.empty_like(x)
    a = np.tile(c, (len(x), 1))
    for i in order:
        logits[:, i] = sigmoid(a) @ V[i] + b[i]
        a += np.multiply.outer(x[:, i], W[i])
    return logits
