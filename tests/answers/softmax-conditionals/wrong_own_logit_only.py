# cause: only the logit of the class itself was derived
import numpy as np

EXERCISE = "softmax-conditionals"


def categorical_log_p(logits, x):
    raise NotImplementedError


def categorical_d_logits(logits, x, scale):
    p = np.exp(logits - np.logaddexp.reduce(logits, axis=2, keepdims=True))
    result = np.zeros(logits.shape)
    rows, columns = np.indices(x.shape)
    result[rows, columns, x] = p[rows, columns, x] - 1
    return scale * result
