# cause: log(0)
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "bernoulli-loss"


def bernoulli_log_p(logits, x):
    p = sigmoid(logits)
    return np.log(np.where(x == 1, p, 1 - p))


def bernoulli_d_logits(logits, x, scale):
    return scale * (sigmoid(logits) - x)
