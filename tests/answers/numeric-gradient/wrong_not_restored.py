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


def best_step(f, x, gradient, steps):
    return steps[0]
