# cause: the slope is h * (1 - h), that of the sigmoid
EXERCISE = "made-backward"


def made_backward(d_logits, layers, W, V, A, hidden, keeps):
    dW, dc, d_h = [], [], d_logits @ V
    for k in reversed(range(len(W))):
        h = layers[k + 1]
        d_a = d_h * h * (1 - h)
        dW.insert(0, layers[k].T @ d_a)
        dc.insert(0, d_a.sum(axis=0))
        d_h = d_a @ W[k].T
    dA = None if A is None else d_logits.T @ layers[0]
    return dW, dc, d_logits.T @ layers[-1], d_logits.sum(axis=0), dA
