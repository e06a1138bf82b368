# cause: the return statement
from pyarsimple.orders import precedes

EXERCISE = "fvsbn-backward"


def fvsbn_backward(d_logits, x, order):
    return (d_logits.T @ x) * precedes(order)
