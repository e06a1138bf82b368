import numpy as np

EXERCISE = "softmax-conditionals"


def log_softmax(z):
    z = z - z.max(axis=2, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=2, keepdims=True))


def categorical_log_p(logits, x):
    log_p = log_softmax(logits)
    return np.take_along_axis(log_p, x[:, :, None], axis=2)[:, :, 0]


def categorical_d_logits(logits, x, scale):
    p = np.exp(log_softmax(logits))
    one_hot = np.arange(logits.shape[2]) == x[:, :, None]
    return scale * (p - one_hot)
