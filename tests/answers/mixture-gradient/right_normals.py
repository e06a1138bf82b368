import numpy as np

EXERCISE = "mixture-gradient"


def log_softmax(a):
    a = a - a.max(axis=1, keepdims=True)
    return a - np.log(np.exp(a).sum(axis=1, keepdims=True))


def mixture_gradient(logits, mean, scale, x):
    inverse_s = 1 / scale
    off = x[:, None] - mean
    bells = -0.5 * (off * inverse_s) ** 2 - np.log(scale)
    share = np.exp(log_softmax(log_softmax(logits) + bells))
    d_log_scale = share * (1 - (off * inverse_s) ** 2)
    return np.exp(log_softmax(logits)) - share, -share * off * inverse_s**2, d_log_scale
