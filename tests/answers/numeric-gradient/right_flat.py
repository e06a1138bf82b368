import numpy as np

EXERCISE = "numeric-gradient"


def numeric_gradient(f, x, step):
    moves = step * np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([f(x + m) - f(x - m) for m in moves]).reshape(x.shape) / (2 * step)


def best_step(slopes, steps, noise):
    found = []
    for k, (a, b, h) in enumerate(zip(slopes[:-1], slopes[1:], steps[1:], strict=True), 1):
        found.append((0.25 * abs(b - a) + noise / h, k))
    uncertainty, k = min(pair for pair in found if pair[0] == pair[0])
    return k, uncertainty
