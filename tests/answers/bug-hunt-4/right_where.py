import numpy as np

from pyarsimple.conditionals import softplus

EXERCISE = "bug-hunt-4"
BUG = "clipped"


def bernoulli_log_p(logits, x):
    return np.where(x == 1, -softplus(-logits), -softplus(logits))
