# cause: the softmax of the weights is not derived
import numpy as np

EXERCISE = "mixture-gradient"


def mixture_gradient(log_w, mean, log_s, x):
    s = np.exp(log_s)
    z = (x[:, None] - mean) / s
    joint = log_w - log_s - z**2 / 2
    r = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    return -r, -r * z / s, r * (1 - z**2)
