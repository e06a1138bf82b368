# cause: the factors are exchanged
import numpy as np

from pyarsimple.orders import precedes

EXERCISE = "fvsbn-backward"


def fvsbn_backward(d_logits, x, order):
    dW = np.dot(x.T, d_logits)
    dW[~precedes(order)] = 0
    return dW, d_logits.sum(axis=0)
