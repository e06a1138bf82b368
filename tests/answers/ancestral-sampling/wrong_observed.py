# cause: divided by the counts
import numpy as np

EXERCISE = "ancestral-sampling"


def fill_in(state, x, n_known, uniforms, conditional):
    raise NotImplementedError


def chi_square(x, p):
    n, D = x.shape
    numbers = (x * 2 ** np.arange(D)[::-1]).sum(axis=1).astype(int)
    counts = np.bincount(numbers, minlength=2**D)
    return ((counts - n * p) ** 2 / np.maximum(counts, 1)).sum()
