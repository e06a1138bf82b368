# cause: the slope is there in the last layer, and missing
EXERCISE = "made-backward"


def made_backward(d_logits, layers, W, V, A, hidden, keeps):
    dW, dc = [], []
    d_a = (d_logits @ V) * (1 - layers[-1] ** 2)
    for k in reversed(range(len(W))):
        dW.insert(0, layers[k].T @ d_a)
        dc.insert(0, d_a.sum(axis=0))
        d_a = d_a @ W[k].T
    dA = None if A is None else d_logits.T @ layers[0]
    return dW, dc, d_logits.T @ layers[-1], d_logits.sum(axis=0), dA
