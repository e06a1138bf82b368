import numpy as np

from pyarsimple.orders import precedes

EXERCISE = "fvsbn-forward"


def fvsbn_logits(x, W, b, order):
    W = np.where(precedes(order), W, 0)
    return x @ W.T + b
