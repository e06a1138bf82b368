import math

import numpy as np

EXERCISE = "softplus"


def one(v):
    return v + math.log1p(math.exp(-v)) if v > 0 else math.log1p(math.exp(v))


def softplus(z):
    out = np.zeros(z.shape)
    for index in np.ndindex(z.shape):
        out[index] = one(float(z[index]))
    return out


def log_sigmoid(z):
    return -softplus(-1 * z)
