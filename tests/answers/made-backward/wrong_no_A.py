# cause: dA was not computed
EXERCISE = "made-backward"


def made_backward(d_logits, layers, W, V, A, hidden, keeps):
    dW, dc, d_h = [], [], d_logits @ V
    for k in reversed(range(len(W))):
        d_a = d_h * (1 - layers[k + 1] ** 2)
        dW.insert(0, layers[k].T @ d_a)
        dc.insert(0, d_a.sum(axis=0))
        d_h = d_a @ W[k].T
    return dW, dc, d_logits.T @ layers[-1], d_logits.sum(axis=0), None
