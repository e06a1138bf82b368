# cause: 1 + exp() is rounded before the log is taken
import numpy as np

EXERCISE = "softplus"


def softplus(z):
    return np.log(1 + np.exp(z))


def log_sigmoid(z):
    return np.log(1 / (1 + np.exp(-z)))
