# cause: the sign is turned
import numpy as np

EXERCISE = "softmax-conditionals"


def categorical_log_p(logits, x):
    raise NotImplementedError


def categorical_d_logits(logits, x, scale):
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=2, keepdims=True))
    return scale * (np.eye(logits.shape[2])[x] - p)
