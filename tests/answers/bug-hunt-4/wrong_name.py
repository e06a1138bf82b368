# cause: what was named is another bug
from pyarsimple.conditionals import softplus

EXERCISE = "bug-hunt-4"
BUG = "sigmoid-twice"


def bernoulli_log_p(logits, x):
    return -softplus((1 - 2 * x) * logits)
