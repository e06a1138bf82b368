# cause: the first mask has <= where < is meant
import itertools

import numpy as np

from pyarsimple.orders import inverse, precedes

EXERCISE = "bug-hunt-5"
BUG = "cut-paths"


def make_masks(order, degrees):
    place = inverse(order)
    if not degrees:
        return [precedes(order)]
    masks = [np.less_equal.outer(place, degrees[0])]
    for m, n in itertools.pairwise(degrees):
        masks.append(np.less_equal.outer(m, n))
    return [*masks, np.less_equal.outer(degrees[-1], place).T]
