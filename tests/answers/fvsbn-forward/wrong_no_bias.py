# cause: b is forgotten
import numpy as np

from pyarsimple.orders import precedes

EXERCISE = "fvsbn-forward"


def fvsbn_logits(x, W, b, order):
    return np.dot(x, (W * precedes(order)).T)
