# cause: W is transposed
from pyarsimple.orders import precedes

EXERCISE = "bug-hunt-6"
BUG = "mask-in-weights"


def fvsbn_logits(x, W, b, order):
    return x @ (W * precedes(order)) + b
