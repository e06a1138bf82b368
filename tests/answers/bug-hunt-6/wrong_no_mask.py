# cause: there is no mask
EXERCISE = "bug-hunt-6"
BUG = "mask-in-weights"


def fvsbn_logits(x, W, b, order):
    return x @ W.T + b
