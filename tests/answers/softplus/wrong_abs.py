# cause: abs(z) is added where max(z, 0) is needed
import numpy as np

EXERCISE = "softplus"


def softplus(z):
    size = abs(z)
    return size + np.log1p(np.exp(-size))


def log_sigmoid(z):
    return -np.logaddexp(0, -z)
