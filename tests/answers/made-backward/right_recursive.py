EXERCISE = "made-backward"


def through(d_h, layers, W):
    if not W:
        return [], []
    h = layers[-1]
    d_a = d_h - d_h * h**2
    dW, dc = through(d_a @ W[-1].T, layers[:-1], W[:-1])
    return [*dW, layers[-2].T @ d_a], [*dc, d_a.sum(axis=0)]


def made_backward(d_logits, layers, W, V, A, hidden, keeps):
    dW, dc = through(d_logits @ V, layers, W)
    dA = d_logits.T @ layers[0] if A is not None else None
    return dW, dc, d_logits.T @ layers[-1], d_logits.sum(axis=0), dA
