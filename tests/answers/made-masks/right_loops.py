import numpy as np

EXERCISE = "made-masks"


def make_masks(order, degrees):
    D = len(order)
    place = np.empty(D, int)
    place[order] = np.arange(D)
    if len(degrees) == 0:
        return [np.array([[bool(place[j] < place[i]) for j in range(D)] for i in range(D)])]
    masks = [np.stack([degrees[0] > p for p in place])]
    for k in range(1, len(degrees)):
        masks.append(np.stack([degrees[k] >= m for m in degrees[k - 1]]))
    masks.append(np.stack([degrees[-1] <= p for p in place]))
    return masks


def spread_degrees(n_units, n_dims):
    if n_dims == 1:
        return np.zeros(n_units, dtype=int)
    return np.array([1 + k * (n_dims - 1) // n_units for k in range(n_units)])
