import numpy as np

EXERCISE = "made-backward"


def made_backward(d_logits, layers, W, V, A, hidden, keeps):
    grads_W = [np.zeros(w.shape) for w in W]
    grads_c = [np.zeros(w.shape[1]) for w in W]
    grad_V, grad_b = np.zeros(V.shape), np.zeros(len(V))
    grad_A = None if A is None else np.zeros(A.shape)
    for n, up in enumerate(d_logits):
        grad_b += up
        grad_V += np.outer(up, layers[-1][n])
        if A is not None:
            grad_A += np.outer(up, layers[0][n])
        back = V.T @ up
        for k in range(len(W) - 1, -1, -1):
            back = back * (1 - layers[k + 1][n] ** 2)
            grads_c[k] += back
            grads_W[k] += np.outer(layers[k][n], back)
            back = W[k] @ back
    return grads_W, grads_c, grad_V, grad_b, grad_A
