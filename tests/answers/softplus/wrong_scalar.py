# cause: functions of math take single numbers
import math

EXERCISE = "softplus"


def softplus(z):
    if z > 0:
        return z + math.log1p(math.exp(-z))
    return math.log1p(math.exp(z))


def log_sigmoid(z):
    return -softplus(-z)
