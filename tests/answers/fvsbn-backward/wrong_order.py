# cause: order is ignored
import numpy as np

EXERCISE = "fvsbn-backward"


def fvsbn_backward(d_logits, x, order):
    return np.tril(d_logits.T @ x, -1), d_logits.sum(axis=0)
