import numpy as np

from pyarsimple.orders import precedes

EXERCISE = "fvsbn-backward"


def fvsbn_backward(d_logits, x, order):
    dW = np.where(precedes(order), d_logits.T @ x, 0)
    db = d_logits.sum(axis=0)
    return dW, db
