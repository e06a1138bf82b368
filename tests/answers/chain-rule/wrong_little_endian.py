# cause: the first entry changes fastest
import numpy as np

EXERCISE = "chain-rule"


def all_rows(sizes):
    grid = np.meshgrid(*[np.arange(K) for K in sizes[::-1]], indexing="ij")
    return np.stack([axis.ravel() for axis in grid[::-1]], axis=1)


def log_conditionals(table, x):
    result = np.zeros(x.shape)
    for n, row in enumerate(x):
        part = table
        for i, bit in enumerate(row):
            result[n, i] = np.log(part[bit].sum() / part.sum())
            part = part[bit]
    return result
