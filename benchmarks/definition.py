"""What every implementation must compute, in plain float64 NumPy: the referee of the benchmark.

Nothing of the library is imported here, so that the two cannot share a mistake. The variables come
in their natural order, masks are written out, and parameters are keyed as the library keys them.
"""

import numpy as np

LEARNING_RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8  # Adam's, for every implementation


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def masks(model, D, degrees):
    """Where the weight matrices of a model are free."""
    position = np.arange(D)
    if model == "fvsbn":
        return {"W": position[np.newaxis, :] < position[:, np.newaxis]}
    if model == "nade":
        return {}
    result = {"W1": position[:, np.newaxis] < degrees[0]}  # (D, H_1)
    for k in range(1, len(degrees)):
        result[f"W{k + 1}"] = degrees[k - 1][:, np.newaxis] <= degrees[k]
    return result | {"V": degrees[-1] <= position[:, np.newaxis]}  # (D, H_last)


def masked(model, params, degrees):
    """The parameters in float64, 0 where they are masked."""
    M = masks(model, len(params["b"]), degrees)
    return {k: np.where(M[k], p, 0.0) if k in M else p.astype(float) for k, p in params.items()}


def logits(model, params, x, degrees=()):
    """Logits (N, D) of p(x_i = 1 | x_<i)."""
    p, x = masked(model, params, degrees), x.astype(float)
    if model == "fvsbn":
        return x @ p["W"].T + p["b"]
    if model == "nade":
        return _nade_logits(p, x)
    return _made_layers(p, x, len(degrees))[-1]


def log_prob(z, x):
    """log p(x) of each row from its logits."""
    return -(np.logaddexp(0, z) - x * z).sum(axis=1)


def loss_and_grads(model, params, x, degrees=()):
    """The mean negative log-likelihood and its gradient."""
    p, x = masked(model, params, degrees), x.astype(float)
    if model == "nade":
        loss, grads = _nade_grads(p, x)
    else:
        loss, grads = (_fvsbn_grads if model == "fvsbn" else _made_grads)(p, x)
    M = masks(model, x.shape[1], degrees)
    return loss, {k: np.where(M[k], g, 0.0) if k in M else g for k, g in grads.items()}


def adam_step(params, grads):
    """The parameters after Adam's first step: its means are then the gradient and its square."""
    return {
        k: p.astype(float) - LEARNING_RATE * grads[k] / (np.abs(grads[k]) + EPSILON)
        for k, p in params.items()
    }


def _loss(z, x):
    return -log_prob(z, x).mean(), (sigmoid(z) - x) / len(x)


def _nade_logits(p, x):
    z = np.empty(x.shape)
    a = np.tile(p["c"], (len(x), 1))  # (N, H)
    for i in range(x.shape[1]):
        z[:, i] = sigmoid(a) @ p["V"][i] + p["b"][i]
        a += x[:, i : i + 1] * p["W"][i]
    return z


def _nade_grads(p, x):
    loss, dz = _loss(_nade_logits(p, x), x)
    W, V = p["W"], p["V"]
    dW, dV, d_a = np.zeros(W.shape), np.zeros(V.shape), np.zeros((len(x), W.shape[1]))
    a = p["c"] + x @ W  # (N, H): after the last variable
    for i in reversed(range(x.shape[1])):
        a -= x[:, i : i + 1] * W[i]
        h = sigmoid(a)
        dW[i] = x[:, i] @ d_a
        dV[i] = dz[:, i] @ h
        d_a += dz[:, i : i + 1] * V[i] * h * (1 - h)
    return loss, {"W": dW, "c": d_a.sum(axis=0), "V": dV, "b": dz.sum(axis=0)}


def _fvsbn_grads(p, x):
    loss, dz = _loss(x @ p["W"].T + p["b"], x)
    return loss, {"W": dz.T @ x, "b": dz.sum(axis=0)}


def _made_layers(p, x, n_layers):
    layers = [x]
    for k in range(1, n_layers + 1):
        layers.append(np.maximum(layers[-1] @ p[f"W{k}"] + p[f"c{k}"], 0))
    return [*layers, layers[-1] @ p["V"].T + p["b"]]


def _made_grads(p, x):
    n_layers = sum(k.startswith("W") for k in p)
    *layers, z = _made_layers(p, x, n_layers)
    loss, dz = _loss(z, x)
    grads = {"V": dz.T @ layers[-1], "b": dz.sum(axis=0)}
    d_h = dz @ p["V"]
    for k in range(n_layers, 0, -1):
        d_a = d_h * (layers[k] > 0)
        grads |= {f"W{k}": layers[k - 1].T @ d_a, f"c{k}": d_a.sum(axis=0)}
        d_h = d_a @ p[f"W{k}"].T
    return loss, grads
