# cause: 1/s is missing
import numpy as np

EXERCISE = "mixture-gradient"


def mixture_gradient(log_w, mean, log_s, x):
    z = (x[:, None] - mean) / np.exp(log_s)
    joint = log_w - log_s - z**2 / 2
    r = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    w = np.exp(log_w - np.logaddexp.reduce(log_w, axis=1)[:, None])
    return w - r, -r * z, r * (1 - z**2)
