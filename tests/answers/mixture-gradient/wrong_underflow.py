# cause: inf/inf
import numpy as np

EXERCISE = "mixture-gradient"


def mixture_gradient(logits, mean, scale, x):
    z = (x[:, None] - mean) / scale
    joint = np.exp(logits - z**2 / 2) / scale
    r = joint / joint.sum(axis=1, keepdims=True)
    w = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return w - r, -r * z / scale, r * (1 - z**2)
