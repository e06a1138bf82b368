# cause: inf/inf
import numpy as np

EXERCISE = "softmax-conditionals"


def categorical_log_p(logits, x):
    e = np.exp(logits)
    log_p = np.log(e / e.sum(axis=2, keepdims=True))
    return np.take_along_axis(log_p, x[:, :, None], axis=2)[:, :, 0]


def categorical_d_logits(logits, x, scale):
    raise NotImplementedError
