# cause: the 1 of the class is missing
import numpy as np

EXERCISE = "softmax-conditionals"


def categorical_log_p(logits, x):
    raise NotImplementedError


def categorical_d_logits(logits, x, scale):
    return scale * np.exp(logits - np.logaddexp.reduce(logits, axis=2, keepdims=True))
