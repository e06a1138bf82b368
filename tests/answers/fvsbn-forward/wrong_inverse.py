# cause: the inverse of order
import numpy as np

EXERCISE = "fvsbn-forward"


def fvsbn_logits(x, W, b, order):
    mask = order[np.newaxis, :] < order[:, np.newaxis]
    return x @ (W * mask).T + b
