# cause: one array a layer is wanted
from pyarsimple.orders import inverse, precedes

EXERCISE = "made-masks"


def make_masks(order, degrees):
    at = inverse(order)[:, None]
    if not degrees:
        return [precedes(order)]
    return [at < degrees[0], degrees[-1] <= at]


def spread_degrees(n_units, n_dims):
    raise NotImplementedError
