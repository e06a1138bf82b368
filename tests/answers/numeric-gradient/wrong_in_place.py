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


def best_step(slopes, steps, noise):
    best, least = 0, np.inf
    for k in range(1, len(steps)):
        u = abs(slopes[k] - slopes[k - 1]) / 4 + noise / steps[k]
        if u < least:
            best, least = k, u
    return best, least
