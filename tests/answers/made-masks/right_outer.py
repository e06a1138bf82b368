import itertools

import numpy as np

from pyarsimple.orders import inverse

EXERCISE = "made-masks"


def make_masks(order, degrees):
    at = inverse(order)
    if not degrees:
        return [np.less.outer(at, at).T]
    inner = itertools.pairwise(degrees)
    middle = [np.less_equal.outer(m, n) for m, n in inner]
    return [np.less.outer(at, degrees[0]), *middle, np.less_equal.outer(degrees[-1], at).T]


def spread_degrees(n_units, n_dims):
    way = np.floor(np.arange(n_units) * (n_dims - 1) / n_units + 1e-9)
    return (way + (n_dims > 1)).astype(int)
