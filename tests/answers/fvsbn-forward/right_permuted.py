import numpy as np

EXERCISE = "fvsbn-forward"


def fvsbn_logits(x, W, b, order):
    sorted_W = np.tril(W[np.ix_(order, order)], k=-1)
    out = np.einsum("nj,ij->ni", x[:, order], sorted_W)
    result = np.empty(x.shape)
    result[:, order] = out
    return b + result
