import numpy as np

EXERCISE = "mixture-gradient"


def log_softmax(a):
    return a - np.logaddexp.reduce(a, axis=1)[:, None]


def mixture_gradient(log_w, mean, log_s, x):
    s = np.exp(log_s)
    z = (x[:, None] - mean) / s
    log_joint = log_w - log_s - z**2 / 2
    r = np.exp(log_softmax(log_joint))
    w = np.exp(log_softmax(log_w))
    return w - r, -r * z / s, r * (1 - z**2)
