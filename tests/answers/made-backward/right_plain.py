EXERCISE = "made-backward"


def made_backward(d_logits, layers, W, V, A, hidden, keeps):
    dV = d_logits.T @ layers[-1]
    db = d_logits.sum(axis=0)
    dA = None if A is None else d_logits.T @ layers[0]
    d_h = d_logits @ V
    dW, dc = [], []
    for k in reversed(range(len(W))):
        h = layers[k + 1]
        d_a = d_h * (1 - h * h)
        dW.append(layers[k].T @ d_a)
        dc.append(d_a.sum(axis=0))
        d_h = d_a @ W[k].T
    return dW[::-1], dc[::-1], dV, db, dA
