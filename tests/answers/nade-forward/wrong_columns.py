# cause: write to column order[k]
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "nade-forward"


def nade_logits(x, W, c, V, b, order, hidden, keep):
    columns = []
    a = np.tile(c, (len(x), 1))
    for i in order:
        columns.append(sigmoid(a) @ V[i] + b[i])
        a += x[:, [i]] * W[i]
    return np.stack(columns, axis=1)
