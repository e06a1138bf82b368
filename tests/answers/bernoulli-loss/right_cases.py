import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "bernoulli-loss"


def bernoulli_log_p(logits, x):
    of_one, of_zero = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)
    return np.where(x == 1, of_one, of_zero)


def bernoulli_d_logits(logits, x, scale):
    return scale * np.where(x == 1, -sigmoid(-logits), sigmoid(logits))
