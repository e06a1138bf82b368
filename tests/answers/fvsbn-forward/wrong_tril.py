# cause: order is ignored
import numpy as np

EXERCISE = "fvsbn-forward"


def fvsbn_logits(x, W, b, order):
    return x @ np.tril(W, k=-1).T + b
