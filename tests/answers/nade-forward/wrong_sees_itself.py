# cause: x_i is added to the activation before its own logit
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "nade-forward"


def nade_logits(x, W, c, V, b, order, hidden, keep):
    logits = np.zeros(x.shape)
    a = np.repeat(c[np.newaxis], len(x), axis=0)
    for i in order:
        a = a + x[:, [i]] * W[i]
        logits[:, i] = sigmoid(a) @ V[i] + b[i]
    return logits
