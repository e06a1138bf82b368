# cause: x has no part in db
from pyarsimple.orders import precedes

EXERCISE = "fvsbn-backward"


def fvsbn_backward(d_logits, x, order):
    return (d_logits.T @ x) * precedes(order), (d_logits * x).sum(axis=0)
