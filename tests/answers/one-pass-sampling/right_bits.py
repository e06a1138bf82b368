import numpy as np

EXERCISE = "one-pass-sampling"


def nade_sample(x, n_known, uniforms, W, c, V, b, order, hidden):
    out = x.astype(float)
    total = np.repeat(c.reshape(1, -1), len(x), axis=0)
    for k in range(len(order)):
        i = order[k]
        if k >= n_known:
            logits = (V[i] / (1 + np.exp(-total))).sum(axis=1) + b[i]
            out[:, i] = np.where(uniforms[:, i] < 1 / (1 + np.exp(-logits)), 1.0, 0.0)
        total = total + out[:, i : i + 1] * W[i]
    return out
