# cause: order itself is used as the position
from pyarsimple.orders import precedes

EXERCISE = "made-masks"


def make_masks(order, degrees):
    at = order[:, None]
    if not degrees:
        return [at > at.T]
    masks = [at < degrees[0]]
    for k in range(len(degrees) - 1):
        masks.append(degrees[k][:, None] <= degrees[k + 1])
    assert precedes is not None
    return [*masks, degrees[-1] <= at]


def spread_degrees(n_units, n_dims):
    raise NotImplementedError
