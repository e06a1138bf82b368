# cause: normalised over the variables, axis 1
import numpy as np

EXERCISE = "softmax-conditionals"


def categorical_log_p(logits, x):
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return np.take_along_axis(log_p, x[:, :, None], axis=2)[:, :, 0]


def categorical_d_logits(logits, x, scale):
    raise NotImplementedError
