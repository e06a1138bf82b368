import numpy as np

EXERCISE = "fvsbn-backward"


def fvsbn_backward(d_logits, x, order):
    place = np.argsort(order)
    mask = place[:, None] > place[None, :]
    return np.einsum("ni,nj->ij", d_logits, x) * mask, np.ones(len(x)) @ d_logits
