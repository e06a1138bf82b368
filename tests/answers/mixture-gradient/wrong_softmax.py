# cause: the softmax of the weights is not derived
import numpy as np

EXERCISE = "mixture-gradient"


def mixture_gradient(logits, mean, scale, x):
    z = (x[:, None] - mean) / scale
    joint = logits - np.log(scale) - z**2 / 2
    r = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    return -r, -r * z / scale, r * (1 - z**2)
