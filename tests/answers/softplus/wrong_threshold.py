# cause: for large z the term exp(-z) is dropped
import numpy as np

EXERCISE = "softplus"


def softplus(z):
    safe = np.minimum(z, 20)
    return np.where(z > 20, z, np.log1p(np.exp(safe)))


def log_sigmoid(z):
    return -np.logaddexp(0, -z)
