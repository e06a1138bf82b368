# cause: max(z, 0) is missing
import numpy as np

EXERCISE = "softplus"


def softplus(z):
    return np.log1p(np.exp(-np.abs(z)))


def log_sigmoid(z):
    return -np.logaddexp(0, -z)
