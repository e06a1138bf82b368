import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "nade-backward"


def nade_backward(d_logits, x, W, c, V, order, hidden, keep):
    xo, up = x[:, order], d_logits[:, order]
    steps = xo[:, :, None] * W[order]
    h = sigmoid(c + np.cumsum(steps, axis=1) - steps)  # (N, D, H)
    back = up[:, :, None] * V[order] * h * (1 - h)
    later = np.cumsum(back[:, ::-1], axis=1)[:, ::-1] - back
    dW, dV = np.zeros(W.shape), np.zeros(V.shape)
    dW[order] = (xo[:, :, None] * later).sum(axis=0)
    dV[order] = (up[:, :, None] * h).sum(axis=0)
    return dW, back.sum(axis=(0, 1)), dV, d_logits.sum(axis=0)
