import numpy as np

EXERCISE = "chain-rule"


def all_rows(sizes):
    below = np.cumprod([1, *sizes[:0:-1]])[::-1]
    return np.arange(np.prod(sizes))[:, np.newaxis] // below % sizes


def log_conditionals(table, x):
    D = table.ndim
    joints = [table.sum(axis=tuple(range(k, D))) for k in range(D + 1)]
    columns = []
    for i in range(D):
        above = joints[i + 1][tuple(x[:, : i + 1].T)]
        below = joints[i][tuple(x[:, :i].T)]
        columns.append(np.log(above) - np.log(below))
    return np.stack(columns, axis=1)
