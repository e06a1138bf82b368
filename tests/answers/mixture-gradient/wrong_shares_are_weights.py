# cause: the shares r are just the weights w
import numpy as np

EXERCISE = "mixture-gradient"


def mixture_gradient(logits, mean, scale, x):
    z = (x[:, None] - mean) / scale
    w = np.exp(logits)
    w /= w.sum(axis=1, keepdims=True)
    return w - w, -w * z / scale, w * (1 - z**2)
