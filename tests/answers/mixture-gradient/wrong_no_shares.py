# cause: the shares r are missing
import numpy as np

EXERCISE = "mixture-gradient"


def mixture_gradient(logits, mean, scale, x):
    z = (x[:, None] - mean) / scale
    w = np.exp(logits)
    w /= w.sum(axis=1, keepdims=True)
    return w - 1, -z / scale, 1 - z**2
