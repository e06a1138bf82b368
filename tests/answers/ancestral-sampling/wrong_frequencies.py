# cause: frequencies are compared, not counts
import numpy as np

EXERCISE = "ancestral-sampling"


def fill_in(state, x, n_known, uniforms, conditional):
    raise NotImplementedError


def chi_square(x, p):
    n, D = x.shape
    numbers = (x * 2 ** np.arange(D)[::-1]).sum(axis=1).astype(int)
    q = np.bincount(numbers, minlength=2**D) / n
    return ((q - p) ** 2 / p).sum()
