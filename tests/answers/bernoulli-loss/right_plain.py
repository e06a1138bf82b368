from pyarsimple.conditionals import sigmoid, softplus

EXERCISE = "bernoulli-loss"


def bernoulli_log_p(logits, x):
    return -softplus((1 - 2 * x) * logits)


def bernoulli_d_logits(logits, x, scale):
    return scale * (sigmoid(logits) - x)
