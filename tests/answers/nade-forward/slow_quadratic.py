# cause: each hidden layer is summed from nothing
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "nade-forward"


def nade_logits(x, W, c, V, b, order, hidden, keep):
    logits = np.zeros(x.shape)
    for k, i in enumerate(order):
        before = order[:k]
        h = sigmoid(x[:, before] @ W[before] + c)
        logits[:, i] = h @ V[i] + b[i]
    return logits
