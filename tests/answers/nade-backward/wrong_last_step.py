# cause: only one step is kept
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "nade-backward"


def nade_backward(d_logits, x, W, c, V, order, hidden, keep):
    a, hs = np.tile(c, (len(x), 1)), []
    for i in order:
        hs.append(sigmoid(a))
        a = a + x[:, [i]] * W[i]
    dW, dV = np.zeros(W.shape), np.zeros(V.shape)
    d_a = np.zeros(a.shape)
    for i, h in zip(order[::-1], hs[::-1], strict=True):
        dW[i] = x[:, i] @ d_a
        dV[i] = d_logits[:, i] @ h
        d_a = d_logits[:, [i]] * V[i] * h * (1 - h)
    return dW, d_a.sum(axis=0), dV, d_logits.sum(axis=0)
