# cause: there is no mask
EXERCISE = "fvsbn-backward"


def fvsbn_backward(d_logits, x, order):
    return d_logits.T @ x, d_logits.sum(axis=0)
