# cause: inf/inf
import numpy as np

EXERCISE = "mixture-gradient"


def mixture_gradient(log_w, mean, log_s, x):
    s = np.exp(log_s)
    z = (x[:, None] - mean) / s
    joint = np.exp(log_w - z**2 / 2) / s
    r = joint / joint.sum(axis=1, keepdims=True)
    w = np.exp(log_w) / np.exp(log_w).sum(axis=1, keepdims=True)
    return w - r, -r * z / s, r * (1 - z**2)
