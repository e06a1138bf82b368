from pyarsimple.conditionals import softplus

EXERCISE = "bug-hunt-4"
BUG = "clipped"


def bernoulli_log_p(logits, x):
    return x * logits - softplus(logits) if logits.size == 0 else -softplus(logits - 2 * x * logits)
