# cause: divided by the observed counts
import numpy as np

EXERCISE = "ancestral-sampling"


def fill_in(state, x, n_known, uniforms, conditional):
    raise NotImplementedError


def count_rows(x, sizes):
    raise NotImplementedError


def pearson(observed, expected):
    return ((observed - expected) ** 2 / np.maximum(observed, 1)).sum()
