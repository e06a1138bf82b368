# cause: x is written to in place
import numpy as np

EXERCISE = "numeric-gradient"


def numeric_gradient(f, x, step):
    result = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        x[index] += step
        high = f(x)
        x[index] -= 2 * step
        result[index] = (high - f(x)) / (2 * step)
    return result


def best_step(f, x, gradient, steps):
    return steps[0]
