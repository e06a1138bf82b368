# cause: K separate bits
import numpy as np

EXERCISE = "softmax-conditionals"


def categorical_log_p(logits, x):
    log_p = -np.log1p(np.exp(-logits))
    return np.take_along_axis(log_p, x[:, :, None], axis=2)[:, :, 0]


def categorical_d_logits(logits, x, scale):
    raise NotImplementedError
