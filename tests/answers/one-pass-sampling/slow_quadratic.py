# cause: the activation of every variable is summed from nothing
from pyarsimple.conditionals import sigmoid

EXERCISE = "one-pass-sampling"


def nade_sample(x, n_known, uniforms, W, c, V, b, order, hidden):
    x = x.copy()
    for k in range(n_known, len(order)):
        i, before = order[k], order[:k]
        h = sigmoid(x[:, before] @ W[before] + c)
        x[:, i] = uniforms[:, i] < sigmoid(h @ V[i] + b[i])
    return x
