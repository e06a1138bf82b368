import numpy as np

EXERCISE = "mixture-gradient"


def log_softmax(a):
    return a - np.logaddexp.reduce(a, axis=1)[:, None]


def mixture_gradient(logits, mean, scale, x):
    z = (x[:, None] - mean) / scale
    log_joint = logits - np.log(scale) - z**2 / 2
    r = np.exp(log_softmax(log_joint))
    w = np.exp(log_softmax(logits))
    return w - r, -r * z / scale, r * (1 - z**2)
