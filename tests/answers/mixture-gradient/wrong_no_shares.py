# cause: the shares r are missing
import numpy as np

EXERCISE = "mixture-gradient"


def mixture_gradient(log_w, mean, log_s, x):
    s = np.exp(log_s)
    z = (x[:, None] - mean) / s
    w = np.exp(log_w)
    w /= w.sum(axis=1, keepdims=True)
    return w - 1, -z / s, 1 - z**2
