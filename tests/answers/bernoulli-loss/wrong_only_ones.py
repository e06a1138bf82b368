# cause: the term of x = 0 is missing
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "bernoulli-loss"


def bernoulli_log_p(logits, x):
    return x * np.log(sigmoid(logits))


def bernoulli_d_logits(logits, x, scale):
    return scale * (sigmoid(logits) - x)
