import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "bug-hunt-1"
BUG = "sees-itself"


def nade_logits(x, W, c, V, b, order, hidden, keep):
    logits = np.empty_like(x)
    seen = np.zeros(len(order), bool)
    for i in order:
        h = sigmoid(c + (x * seen) @ W)
        logits[:, i] = h @ V[i] + b[i]
        seen[i] = True
    return logits
