# cause: all entries are moved at once
import numpy as np

EXERCISE = "numeric-gradient"


def numeric_gradient(f, x, step):
    return np.full(x.shape, (f(x + step) - f(x - step)) / (2 * step))


def best_step(slopes, steps, noise):
    change = np.abs(np.diff(slopes))
    uncertainty = change / 4 + noise / steps[1:]
    k = np.nanargmin(uncertainty)
    return k + 1, uncertainty[k]
