# cause: the bug was named, and is still there
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "bug-hunt-1"
BUG = "sees-itself"


def nade_logits(x, W, c, V, b, order, hidden, keep):
    """Logits (N, D) from x (N, D), W and V (D, H), c (H,), b (D,).
    hidden is "sigmoid" and keep None."""
    logits = np.empty_like(x)  # (N, D)
    a = np.tile(c, (len(x), 1))  # (N, H)
    for i in order:
        a += np.multiply.outer(x[:, i], W[i])
        h = sigmoid(a)
        logits[:, i] = h @ V[i] + b[i]
    return logits
