import numpy as np

EXERCISE = "softmax-conditionals"


def categorical_log_p(logits, x):
    out = np.zeros(x.shape)
    for n, i in np.ndindex(x.shape):
        z = logits[n, i]
        out[n, i] = z[x[n, i]] - np.logaddexp.reduce(z)
    return out


def categorical_d_logits(logits, x, scale):
    out = np.zeros(logits.shape)
    for n, i in np.ndindex(x.shape):
        z = logits[n, i]
        p = np.exp(z - np.logaddexp.reduce(z))
        p[x[n, i]] -= 1
        out[n, i] = scale * p
    return out
