# cause: the derivative of the hidden units is missing
EXERCISE = "made-backward"


def made_backward(d_logits, layers, W, V, A, hidden, keeps):
    dW, dc, d_h = [], [], d_logits @ V
    for k in reversed(range(len(W))):
        dW.insert(0, layers[k].T @ d_h)
        dc.insert(0, d_h.sum(axis=0))
        d_h = d_h @ W[k].T
    dA = None if A is None else d_logits.T @ layers[0]
    return dW, dc, d_logits.T @ layers[-1], d_logits.sum(axis=0), dA
