import numpy as np

EXERCISE = "softmax-conditionals"


def log_softmax(logits):
    shifted = logits - np.max(logits, axis=-1)[..., None]
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1))[..., None]


def categorical_log_p(logits, x):
    rows, columns = np.indices(x.shape)
    return log_softmax(logits)[rows, columns, x]


def categorical_d_logits(logits, x, scale):
    result = np.exp(log_softmax(logits))
    rows, columns = np.indices(x.shape)
    result[rows, columns, x] -= 1
    return result * scale
