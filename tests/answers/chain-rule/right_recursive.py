import numpy as np

EXERCISE = "chain-rule"


def all_bits(D):
    if D == 0:
        return np.zeros((1, 0), int)
    rest = all_bits(D - 1)
    half = len(rest)
    top = np.hstack([np.zeros((half, 1), int), rest])
    bottom = np.hstack([np.ones((half, 1), int), rest])
    return np.vstack([top, bottom])


def of_row(table, row):
    if len(row) == 0:
        return []
    part = table[row[0]]
    return [np.log(part.sum() / table.sum()), *of_row(part, row[1:])]


def log_conditionals(table, x):
    return np.array([of_row(table, row) for row in x])
