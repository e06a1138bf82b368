# cause: log(0)
import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "bug-hunt-4"
BUG = "clipped"


def bernoulli_log_p(logits, x):
    p_of_x = np.where(x == 1, sigmoid(logits), sigmoid(-logits))
    return np.log(p_of_x)
