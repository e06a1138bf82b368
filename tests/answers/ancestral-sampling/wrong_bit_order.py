# cause: rows are numbered from the wrong end
import numpy as np

EXERCISE = "ancestral-sampling"


def fill_in(state, x, n_known, uniforms, conditional):
    raise NotImplementedError


def count_rows(x, sizes):
    counts_as = np.cumprod([1, *sizes[:-1]])
    numbers = (x * counts_as).sum(axis=1).astype(int)
    return np.bincount(numbers, minlength=np.prod(sizes))


def pearson(observed, expected):
    raise NotImplementedError
