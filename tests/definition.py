"""The first referee: what each model's probabilities are, as a textbook says it.

Scalar loops and enumeration only; nothing of the library and no NumPy is imported here. Parameters
come as nested lists, settings as plain dictionaries, a row as a list of 0 and 1. Positions count
from 1, as in the papers.
"""

import itertools
import math
from decimal import Decimal, localcontext


def all_rows(n_dims):
    """All of {0,1}^D, the first variable the slowest."""
    return [list(x) for x in itertools.product([0, 1], repeat=n_dims)]


# Scalar functions.


def sigmoid(z):
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0


def log_sigmoid(z):
    """log(1 / (1 + exp(-z))), to 50 digits and then rounded once."""
    with localcontext() as context:
        context.prec = 60
        e = (-abs(Decimal(z))).exp()
        log_1_plus_e = e - e * e / 2 if abs(z) > 60 else (1 + e).ln()
        return float(min(Decimal(z), Decimal(0)) - log_1_plus_e)


HIDDEN = {
    "sigmoid": sigmoid,
    "tanh": math.tanh,
    "relu": lambda a: a if a > 0 else 0.0,
}


# Orders.


def position(order, i):
    """1 for the first variable of the order, D for the last."""
    return list(order).index(i) + 1


def earlier(order, i):
    """The variables that come before i."""
    return order[: position(order, i) - 1]


# Logits of each model: params, settings and a row to a list of D numbers.


def independent(params, settings, x):
    return list(params["b"])


def fvsbn(params, settings, x):
    logits = []
    for i in range(settings["n_dims"]):
        logit = params["b"][i]
        for j in earlier(settings["order"], i):
            logit += params["W"][i][j] * x[j]
        logits.append(logit)
    return logits


def nade(params, settings, x):
    """Each conditional has a network of its own; that the networks share work is not used."""
    g = HIDDEN[settings["hidden"]]
    logits = []
    for i in range(settings["n_dims"]):
        logit = params["b"][i]
        for k in range(settings["n_hidden"]):
            a = params["c"][k]
            for j in earlier(settings["order"], i):
                a += params["W"][j][k] * x[j]
            logit += params["V"][i][k] * g(a)
        logits.append(logit)
    return logits


def made(params, settings, x):
    """The masks of Germain et al. (2015), equations 12 and 13, one weight at a time."""
    g = HIDDEN[settings["hidden"]]
    order = settings["order"]
    units = list(x)
    degrees = [position(order, j) for j in range(settings["n_dims"])]  # of the inputs
    for layer, next_degrees in enumerate(settings["degrees"], 1):
        W, c = params[f"W{layer}"], params[f"c{layer}"]
        sums = []
        for k, m in enumerate(next_degrees):
            a = c[k]
            for j, m_before in enumerate(degrees):
                if m >= m_before:
                    a += W[j][k] * units[j]
            sums.append(g(a))
        units, degrees = sums, next_degrees
    logits = []
    for i in range(settings["n_dims"]):
        logit = params["b"][i]
        for k, m in enumerate(degrees):
            if position(order, i) > m:
                logit += params["V"][i][k] * units[k]
        if settings["direct"]:
            for j in earlier(order, i):
                logit += params["A"][i][j] * x[j]
        logits.append(logit)
    return logits


LOGITS = {"independent": independent, "fvsbn": fvsbn, "nade": nade, "made": made}


# What follows for every model.


def conditionals(name, params, settings, x):
    """p(x_i = 1 | x_<i) for each i."""
    return [sigmoid(z) for z in LOGITS[name](params, settings, x)]


def log_conditionals(name, params, settings, x):
    """log p(x_i | x_<i) for each i."""
    logits = LOGITS[name](params, settings, x)
    return [log_sigmoid(z if bit else -z) for z, bit in zip(logits, x, strict=True)]


def log_prob(name, params, settings, x):
    return math.fsum(log_conditionals(name, params, settings, x))


# Which variable depends on which: a table, true at [i][j] where x_j may reach p(x_i | x_<i).


def _triangle(settings):
    D, order = settings["n_dims"], settings["order"]
    return [[position(order, j) < position(order, i) for j in range(D)] for i in range(D)]


def _nothing(settings):
    return [[False] * settings["n_dims"] for _ in range(settings["n_dims"])]


def _made_paths(settings):
    """Follow every path from an input through units of rising degree to an output."""
    D, order = settings["n_dims"], settings["order"]
    table = _triangle(settings) if settings["direct"] else _nothing(settings)
    for j in range(D):
        reached = [position(order, j)]  # degrees of what the input has reached
        for degrees in settings["degrees"]:
            reached = [m for m in degrees if any(m >= before for before in reached)]
        for i in range(D):
            if any(position(order, i) > m for m in reached):
                table[i][j] = True
    return table


DEPENDENCIES = {"independent": _nothing, "fvsbn": _triangle, "nade": _triangle, "made": _made_paths}


def dependencies(name, settings):
    return DEPENDENCIES[name](settings)
