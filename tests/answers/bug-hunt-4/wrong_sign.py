# cause: 0 and 1 are exchanged
from pyarsimple.conditionals import softplus

EXERCISE = "bug-hunt-4"
BUG = "clipped"


def bernoulli_log_p(logits, x):
    return -softplus((2 * x - 1) * logits)
