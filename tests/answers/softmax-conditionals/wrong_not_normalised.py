# cause: not normalised
import numpy as np

EXERCISE = "softmax-conditionals"


def categorical_log_p(logits, x):
    return np.take_along_axis(logits, x[:, :, None], axis=2)[:, :, 0]


def categorical_d_logits(logits, x, scale):
    raise NotImplementedError
