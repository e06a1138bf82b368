import numpy as np

from pyarsimple.conditionals import sigmoid, softplus

EXERCISE = "bernoulli-loss"


def bernoulli_log_p(logits, x):
    rows = []
    for logit_row, bit_row in zip(logits, x, strict=True):
        pairs = zip(logit_row, bit_row, strict=True)
        rows.append([-softplus(-z if bit else z) for z, bit in pairs])
    return np.array(rows)


def bernoulli_d_logits(logits, x, scale):
    result = sigmoid(logits)
    result -= x
    result *= scale
    return result
