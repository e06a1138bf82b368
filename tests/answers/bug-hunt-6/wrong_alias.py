# cause: W is written to in place
from pyarsimple.orders import precedes

EXERCISE = "bug-hunt-6"
BUG = "mask-in-weights"


def fvsbn_logits(x, W, b, order):
    masked = W
    masked[~precedes(order)] = 0
    return x @ masked.T + b
