# cause: is not put back
import numpy as np

EXERCISE = "numeric-gradient"


def numeric_gradient(f, x, step):
    up = x.copy()
    result = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        down = x.copy()
        up[index] += step
        down[index] -= step
        result[index] = (f(up) - f(down)) / (2 * step)
    return result


def best_step(slopes, steps, noise):
    change = np.abs(np.diff(slopes))
    uncertainty = change / 4 + noise / steps[1:]
    k = np.nanargmin(uncertainty)
    return k + 1, uncertainty[k]
