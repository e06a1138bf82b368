# cause: logits is transposed
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "nade-forward"


def nade_logits(x, W, c, V, b, order, hidden, keep):
    logits = np.zeros((x.shape[1], len(x)))
    a = np.tile(c, (len(x), 1))
    for i in order:
        logits[i] = sigmoid(a) @ V[i] + b[i]
        a += x[:, [i]] * W[i]
    return logits
