# cause: the sign of d_mean is turned
import numpy as np

EXERCISE = "mixture-gradient"


def mixture_gradient(log_w, mean, log_s, x):
    s = np.exp(log_s)
    z = (x[:, None] - mean) / s
    joint = log_w - log_s - z**2 / 2
    r = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    w = np.exp(log_w - np.logaddexp.reduce(log_w, axis=1)[:, None])
    return r - w, r * z / s, r * (z**2 - 1)
