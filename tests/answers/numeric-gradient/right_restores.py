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


def best_step(slopes, steps, noise):
    best, least = 0, np.inf
    for k in range(1, len(steps)):
        u = abs(slopes[k] - slopes[k - 1]) / 4 + noise / steps[k]
        if u < least:
            best, least = k, u
    return best, least
