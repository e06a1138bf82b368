# cause: dW is divided by N, the number of rows
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "nade-backward"


def nade_backward(d_logits, x, W, c, V, order, hidden, keep):
    N = len(x)
    a, hs = np.tile(c, (N, 1)), []
    for i in order:
        hs.append(sigmoid(a))
        a = a + x[:, [i]] * W[i]
    dW, dV = np.zeros(W.shape), np.zeros(V.shape)
    d_a = np.zeros(a.shape)
    for i, h in zip(order[::-1], hs[::-1], strict=True):
        dW[i] = x[:, i] @ d_a / N
        dV[i] = d_logits[:, i] @ h / N
        d_a = d_a + d_logits[:, [i]] * V[i] * h * (1 - h)
    return dW, d_a.mean(axis=0), dV, d_logits.mean(axis=0)
