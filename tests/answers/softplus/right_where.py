import numpy as np

EXERCISE = "softplus"


def softplus(z):
    positive = z > 0
    e = np.exp(np.where(positive, -z, z))
    return np.where(positive, z + np.log1p(e), np.log1p(e))


def log_sigmoid(z):
    smaller = np.minimum(z, 0)
    return smaller - np.log1p(np.exp(-np.abs(z)))
