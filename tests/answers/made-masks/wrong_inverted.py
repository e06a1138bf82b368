# cause: true is wanted where a weight is FREE
from pyarsimple.orders import inverse, precedes

EXERCISE = "made-masks"


def make_masks(order, degrees):
    at = inverse(order)[:, None]
    if not degrees:
        return [~precedes(order)]
    masks = [at >= degrees[0]]
    for k in range(len(degrees) - 1):
        masks.append(degrees[k][:, None] > degrees[k + 1])
    return [*masks, degrees[-1] > at]


def spread_degrees(n_units, n_dims):
    raise NotImplementedError
