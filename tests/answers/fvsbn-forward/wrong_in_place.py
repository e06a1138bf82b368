# cause: W is written to in place
from pyarsimple.orders import precedes

EXERCISE = "fvsbn-forward"


def fvsbn_logits(x, W, b, order):
    W *= precedes(order)
    return x @ W.T + b
