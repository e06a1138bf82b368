# cause: a slope that is NaN wins
import numpy as np

EXERCISE = "numeric-gradient"


def numeric_gradient(f, x, step):
    moves = step * np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([f(x + m) - f(x - m) for m in moves]).reshape(x.shape) / (2 * step)


def best_step(slopes, steps, noise):
    uncertainty = np.abs(slopes[1:] - slopes[:-1]) / 4 + noise / steps[1:]
    k = np.argmin(uncertainty)
    return k + 1, uncertainty[k]
