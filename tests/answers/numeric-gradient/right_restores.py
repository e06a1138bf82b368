import numpy as np

EXERCISE = "numeric-gradient"


def numeric_gradient(f, x, step):
    x = x.copy()
    slope = np.zeros(x.shape)
    for k in range(x.size):
        kept = x.flat[k]
        x.flat[k] = kept + step
        high = f(x)
        x.flat[k] = kept - step
        slope.flat[k] = (high - f(x)) / (2 * step)
        x.flat[k] = kept
    return slope


def best_step(f, x, gradient, steps):
    best, least = steps[0], np.inf
    for h in steps:
        error = np.linalg.norm(numeric_gradient(f, x, h) - gradient)
        if error < least:
            best, least = h, error
    return best
