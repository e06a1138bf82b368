# cause: not divided by p(x_<i)
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
            part = part[bit]
            result[n, i] = np.log(part.sum())
    return result
