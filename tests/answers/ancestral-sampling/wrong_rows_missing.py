# cause: axis 0 of counts is one too short
import numpy as np

EXERCISE = "ancestral-sampling"


def fill_in(state, x, n_known, uniforms, conditional):
    raise NotImplementedError


def count_rows(x, sizes):
    return np.unique(x, axis=0, return_counts=True)[1]


def pearson(observed, expected):
    raise NotImplementedError
