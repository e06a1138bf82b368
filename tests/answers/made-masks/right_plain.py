from itertools import pairwise

import numpy as np

from pyarsimple.orders import inverse, precedes

EXERCISE = "made-masks"


def make_masks(order, degrees):
    position = inverse(order)
    if not degrees:
        return [precedes(order)]
    masks = [position[:, None] < degrees[0]]
    for m, n in pairwise(degrees):
        masks.append(m[:, None] <= n)
    masks.append(degrees[-1] <= position[:, None])
    return masks


def spread_degrees(n_units, n_dims):
    if n_dims == 1:
        return np.zeros(n_units, int)
    return 1 + np.arange(n_units) * (n_dims - 1) // n_units
