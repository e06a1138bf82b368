import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "nade-backward"


def nade_backward(d_logits, x, W, c, V, order, hidden, keep):
    a = np.tile(c, (len(x), 1))
    states = []
    for i in order:
        states.append(sigmoid(a))
        a = a + np.outer(x[:, i], W[i])
    dW, dV = np.zeros_like(W), np.zeros_like(V)
    d_a = np.zeros_like(a)
    for i, h in zip(order[::-1], states[::-1], strict=True):
        dW[i] = x[:, i] @ d_a
        dV[i] = d_logits[:, i] @ h
        d_a = d_a + np.outer(d_logits[:, i], V[i]) * h * (1 - h)
    dc = d_a.sum(axis=0)
    db = d_logits.sum(axis=0)
    return dW, dc, dV, db
