# cause: there is no mask
EXERCISE = "fvsbn-forward"


def fvsbn_logits(x, W, b, order):
    return x @ W.T + b
