# cause: a probability is clipped
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "bug-hunt-4"
BUG = "clipped"


def bernoulli_log_p(logits, x):
    p = np.clip(sigmoid(logits), 1e-300, 1 - 1e-16)
    return np.where(x == 1, np.log(p), np.log(1 - p))
