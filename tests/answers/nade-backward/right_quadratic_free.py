import numpy as np

EXERCISE = "nade-backward"


def nade_backward(d_logits, x, W, c, V, order, hidden, keep):
    D, H = W.shape
    dW, dc, dV, db = np.zeros((D, H)), np.zeros(H), np.zeros((D, H)), np.zeros(D)
    for up, row in zip(d_logits, x, strict=True):
        hs, a = {}, c.copy()
        for i in order:
            hs[i] = 1 / (1 + np.exp(-a))
            a = a + row[i] * W[i]
        carried = np.zeros(H)
        for i in reversed(order):
            h = hs[i]
            dW[i] += row[i] * carried
            db[i] += up[i]
            dV[i] += up[i] * h
            carried = carried + up[i] * V[i] * h * (1 - h)
        dc += carried
    return dW, dc, dV, db
