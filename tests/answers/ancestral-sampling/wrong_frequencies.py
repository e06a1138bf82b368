# cause: frequencies are compared, not counts
import numpy as np

EXERCISE = "ancestral-sampling"


def fill_in(state, x, n_known, uniforms, conditional):
    raise NotImplementedError


def count_rows(x, sizes):
    raise NotImplementedError


def pearson(observed, expected):
    q, p = observed / np.sum(observed), expected / np.sum(expected)
    return ((q - p) ** 2 / p).sum()
