# cause: the walk goes the wrong way
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "nade-backward"


def nade_backward(d_logits, x, W, c, V, order, hidden, keep):
    a, d_a = np.tile(c, (len(x), 1)), np.zeros((len(x), len(c)))
    dW, dV = np.zeros(W.shape), np.zeros(V.shape)
    for i in order:
        h = sigmoid(a)
        dW[i] = x[:, i] @ d_a
        dV[i] = d_logits[:, i] @ h
        d_a = d_a + d_logits[:, [i]] * V[i] * h * (1 - h)
        a = a + x[:, [i]] * W[i]
    return dW, d_a.sum(axis=0), dV, d_logits.sum(axis=0)
