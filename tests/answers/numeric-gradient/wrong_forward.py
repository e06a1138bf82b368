# cause: this is a one-sided difference, (f(x + h) - f(x)) / h
import numpy as np

EXERCISE = "numeric-gradient"


def numeric_gradient(f, x, step):
    result = np.zeros(x.shape)
    here = f(x)
    for index in np.ndindex(x.shape):
        y = x.copy()
        y[index] += step
        result[index] = (f(y) - here) / step
    return result


def best_step(f, x, gradient, steps):
    errors = [np.linalg.norm(central(f, x, h) - gradient) for h in steps]
    return steps[int(np.argmin(errors))]


def central(f, x, h):
    moves = h * np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([(f(x + m) - f(x - m)) / (2 * h) for m in moves]).reshape(x.shape)
