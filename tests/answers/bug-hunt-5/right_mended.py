import itertools

import numpy as np

from pyarsimple.orders import inverse, precedes

EXERCISE = "bug-hunt-5"
BUG = "cut-paths"


def make_masks(order, degrees):
    position = inverse(order)
    if not degrees:
        return [precedes(order)]
    masks = [position[:, np.newaxis] < degrees[0]]
    for m, n in itertools.pairwise(degrees):
        masks.append(m[:, np.newaxis] <= n)
    masks.append(degrees[-1] <= position[:, np.newaxis])
    return masks
