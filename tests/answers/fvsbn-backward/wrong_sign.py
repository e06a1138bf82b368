# cause: the sign of dW is turned
from pyarsimple.orders import precedes

EXERCISE = "fvsbn-backward"


def fvsbn_backward(d_logits, x, order):
    return -(d_logits.T @ x) * precedes(order), -d_logits.sum(axis=0)
