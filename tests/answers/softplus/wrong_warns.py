# cause: exp() of a large number is computed
import numpy as np

EXERCISE = "softplus"


def softplus(z):
    return np.where(z > 0, z + np.log1p(np.exp(-z)), np.log1p(np.exp(z)))


def log_sigmoid(z):
    return -np.logaddexp(0, -z)
