from pyarsimple.orders import precedes

EXERCISE = "bug-hunt-6"
BUG = "mask-in-weights"


def fvsbn_logits(x, W, b, order):
    W = W.copy()
    W *= precedes(order)
    return x @ W.T + b
