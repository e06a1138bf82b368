# cause: each hidden layer is summed from nothing
import math

import numpy as np

EXERCISE = "nade-forward"


def nade_logits(x, W, c, V, b, order, hidden, keep):
    N, D, H = len(x), len(b), len(c)
    logits = np.zeros((N, D))
    for n in range(N):
        for k in range(D):
            i = order[k]
            total = b[i]
            for m in range(H):
                a = c[m] + sum(float(x[n, j]) * float(W[j, m]) for j in order[:k])
                total += float(V[i, m]) / (1 + math.exp(-a))
            logits[n, i] = total
    return logits
