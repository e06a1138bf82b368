# cause: the sign of d_mean is turned
import numpy as np

EXERCISE = "mixture-gradient"


def mixture_gradient(logits, mean, scale, x):
    z = (x[:, None] - mean) / scale
    joint = logits - np.log(scale) - z**2 / 2
    r = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    w = np.exp(logits - np.logaddexp.reduce(logits, axis=1)[:, None])
    return r - w, r * z / scale, r * (z**2 - 1)
