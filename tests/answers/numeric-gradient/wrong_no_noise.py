# cause: noise / step is forgotten
import numpy as np

EXERCISE = "numeric-gradient"


def numeric_gradient(f, x, step):
    moves = step * np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([f(x + m) - f(x - m) for m in moves]).reshape(x.shape) / (2 * step)


def best_step(slopes, steps, noise):
    best, least = 0, np.inf
    for k in range(1, len(steps)):
        change = abs(slopes[k] - slopes[k - 1]) / 4
        if change < least:
            best, least = k, change
    return best, least
