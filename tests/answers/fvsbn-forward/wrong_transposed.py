# cause: W is transposed
import numpy as np

from pyarsimple.orders import precedes

EXERCISE = "fvsbn-forward"


def fvsbn_logits(x, W, b, order):
    return x @ np.where(precedes(order), W, 0) + b
