# cause: something is summed from nothing
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "nade-backward"


def nade_backward(d_logits, x, W, c, V, order, hidden, keep):
    dW, dc, dV = np.zeros(W.shape), np.zeros(c.shape), np.zeros(V.shape)
    for k, i in enumerate(order):
        before = order[:k]
        h = sigmoid(c + x[:, before] @ W[before])
        dV[i] = d_logits[:, i] @ h
        d_a = d_logits[:, [i]] * V[i] * h * (1 - h)
        dc += d_a.sum(axis=0)
        dW[before] += x[:, before].T @ d_a
    return dW, dc, dV, d_logits.sum(axis=0)
