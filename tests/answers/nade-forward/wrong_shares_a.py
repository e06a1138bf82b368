# cause: c is written to in place
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "nade-forward"


def nade_logits(x, W, c, V, b, order, hidden, keep):
    logits = np.zeros(x.shape)
    for n in range(len(x)):
        a = c
        for i in order:
            logits[n, i] = sigmoid(a) @ V[i] + b[i]
            a += x[n, i] * W[i]
    return logits
