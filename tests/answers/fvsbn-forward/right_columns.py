import numpy as np

EXERCISE = "fvsbn-forward"


def fvsbn_logits(x, W, b, order):
    z = np.array([b] * len(x))
    todo = list(order)
    while todo:
        j = todo.pop(0)
        for i in todo:
            z[:, i] = z[:, i] + W[i, j] * x[:, j]
    return z
