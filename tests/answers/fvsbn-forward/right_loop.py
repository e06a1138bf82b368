import numpy as np

EXERCISE = "fvsbn-forward"


def fvsbn_logits(x, W, b, order):
    logits = np.zeros_like(x)
    for k, i in enumerate(order):
        before = order[:k]
        logits[:, i] = x[:, before] @ W[i, before] + b[i]
    return logits
