# cause: dW is divided by N, the number of rows
from pyarsimple.orders import precedes

EXERCISE = "fvsbn-backward"


def fvsbn_backward(d_logits, x, order):
    N = len(x)
    return (d_logits.T @ x) * precedes(order) / N, d_logits.mean(axis=0)
