import numpy as np

EXERCISE = "mixture-gradient"


def log_softmax(a):
    a = a - a.max(axis=1, keepdims=True)
    return a - np.log(np.exp(a).sum(axis=1, keepdims=True))


def mixture_gradient(log_w, mean, log_s, x):
    inverse_s = 1 / np.exp(log_s)
    off = x[:, None] - mean
    bells = -0.5 * (off * inverse_s) ** 2 - log_s
    share = np.exp(log_softmax(log_softmax(log_w) + bells))
    d_log_s = share * (1 - (off * inverse_s) ** 2)
    return np.exp(log_softmax(log_w)) - share, -share * off * inverse_s**2, d_log_s
