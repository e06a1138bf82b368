# cause: the log is missing
from itertools import product

import numpy as np

EXERCISE = "chain-rule"


def all_rows(sizes):
    return np.array(list(product(*map(range, sizes))))


def log_conditionals(table, x):
    result = np.zeros(x.shape)
    for n, row in enumerate(x):
        part = table
        for i, bit in enumerate(row):
            result[n, i] = part[bit].sum() / part.sum()
            part = part[bit]
    return result
