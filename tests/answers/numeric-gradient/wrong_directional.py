# cause: all entries are moved at once
import numpy as np

EXERCISE = "numeric-gradient"


def numeric_gradient(f, x, step):
    return np.full(x.shape, (f(x + step) - f(x - step)) / (2 * step))


def best_step(f, x, gradient, steps):
    return steps[0]
