# cause: the smallest step is taken
import numpy as np

EXERCISE = "numeric-gradient"


def numeric_gradient(f, x, step):
    moves = step * np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([f(x + m) - f(x - m) for m in moves]).reshape(x.shape) / (2 * step)


def best_step(slopes, steps, noise):
    k = len(steps) - 1
    return k, abs(slopes[k] - slopes[k - 1]) / 4 + noise / steps[k]
