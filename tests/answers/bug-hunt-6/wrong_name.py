# cause: what was named is another bug
from pyarsimple.orders import precedes

EXERCISE = "bug-hunt-6"
BUG = "cut-paths"


def fvsbn_logits(x, W, b, order):
    return x @ (W * precedes(order)).T + b
