# cause: twice too large
import numpy as np

EXERCISE = "numeric-gradient"


def numeric_gradient(f, x, step):
    moves = step * np.eye(x.size).reshape(x.size, *x.shape)
    return np.array([f(x + m) - f(x - m) for m in moves]).reshape(x.shape) / step


def best_step(f, x, gradient, steps):
    def error(h):
        return np.linalg.norm(numeric_gradient(f, x, h) / 2 - gradient)

    return min(steps, key=error)
