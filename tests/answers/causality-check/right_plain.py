from pyarsimple.orders import precedes

EXERCISE = "causality-check"


def find_leaks(conditionals, D, order, rng):
    x = rng.integers(2, size=(2000, D)).astype(float)
    before = conditionals(x)
    leaks = set()
    for j in range(D):
        changed = x.copy()
        changed[:, j] = 1 - x[:, j]
        moved = (conditionals(changed) != before).any(axis=0)
        for i in range(D):
            if moved[i] and not precedes(order)[i, j]:
                leaks.add((i, j))
    return leaks
