import numpy as np

EXERCISE = "chain-rule"


def all_rows(sizes):
    if not sizes:
        return np.zeros((1, 0), int)
    rest = all_rows(sizes[1:])
    return np.vstack([np.insert(rest, 0, k, axis=1) for k in range(sizes[0])])


def of_row(table, row):
    if len(row) == 0:
        return []
    part = table[row[0]]
    return [np.log(part.sum() / table.sum()), *of_row(part, row[1:])]


def log_conditionals(table, x):
    return np.array([of_row(table, row) for row in x])
