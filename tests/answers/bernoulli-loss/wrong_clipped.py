# cause: a probability is clipped
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "bernoulli-loss"


def bernoulli_log_p(logits, x):
    p = np.clip(sigmoid(logits), 1e-15, 1 - 1e-15)
    return np.log(np.where(x == 1, p, 1 - p))


def bernoulli_d_logits(logits, x, scale):
    return scale * (sigmoid(logits) - x)
