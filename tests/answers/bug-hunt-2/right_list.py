import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "bug-hunt-2"
BUG = "not-accumulated"


def nade_backward(d_logits, x, W, c, V, order, hidden, keep):
    dW, dV, dc = np.zeros_like(W), np.zeros_like(V), np.zeros_like(c)
    for k, i in enumerate(order):
        before = order[:k]
        h = sigmoid(c + x[:, before] @ W[before])
        d_a = np.multiply.outer(d_logits[:, i], V[i]) * h * (1 - h)
        dW[before] += x[:, before].T @ d_a
        dc += d_a.sum(axis=0)
        dV[i] = d_logits[:, i] @ h
    return dW, dc, dV, d_logits.sum(axis=0)
