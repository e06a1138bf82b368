import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "one-pass-sampling"


def one_row(row, n_known, u, W, c, V, b, order):
    row, a = row.copy(), c.copy()
    for i in order[:n_known]:
        a = a + row[i] * W[i]
    for i in order[n_known:]:
        row[i] = u[i] < sigmoid(V[i] @ sigmoid(a) + b[i])
        if row[i]:
            a = a + W[i]
    return row


def nade_sample(x, n_known, uniforms, W, c, V, b, order, hidden):
    pairs = zip(x, uniforms, strict=True)
    return np.array([one_row(row, n_known, u, W, c, V, b, order) for row, u in pairs])
