# cause: logits went through a sigmoid
import numpy as np

from pyarsimple.orders import precedes

EXERCISE = "fvsbn-forward"


def fvsbn_logits(x, W, b, order):
    logits = x @ (W * precedes(order)).T + b
    return 1 / (1 + np.exp(-logits))
