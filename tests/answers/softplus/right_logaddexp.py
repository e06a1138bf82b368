import numpy as np

EXERCISE = "softplus"


def softplus(values):
    return np.logaddexp(values, 0.0)


def log_sigmoid(values):
    return -np.logaddexp(0.0, -values)
