"""The first referee: what each model's probabilities are, as a textbook says it.

Scalar loops and enumeration only; nothing of the library and no NumPy is imported here. Parameters
come as nested lists, settings as plain dictionaries, a row as a list of numbers. Positions count
from 1, as in the papers.
"""

import functools
import itertools
import math
from decimal import MAX_EMAX, MIN_EMIN, Decimal, localcontext


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


# What a model reads and writes. A row x is the values of the D variables, in the data's own order,
# and behind them those of the context, if there is one: numbers, or one class.

BITS = {"name": "bernoulli"}


def conditional_of(settings):
    if "min_scale" in settings:  # a model of Gaussians and nothing else
        return {"name": "gaussian", "min_scale": settings["min_scale"]}
    return settings.get("conditional", BITS)


def inputs(settings, x):
    """(position of its variable, number) for each column that the network reads; 0: the context."""
    D, context = settings["n_dims"], settings.get("context", 0)
    found = []
    for i in range(D):
        here = position(settings["order"], i)
        found += [(here, f) for f in features(conditional_of(settings), i, x[i])]
    if isinstance(context, dict):
        found += [(0, f) for f in features(context, 0, x[D])]
    else:
        found += [(0, y) for y in x[D : D + context]]
    return found


def owners(settings):
    """The variable that each output belongs to."""
    c = conditional_of(settings)
    return [i for i in range(settings["n_dims"]) for _ in range(n_outputs(c, i))]


# Outputs of each model: params, settings and a row to a list of numbers; for bits D logits.


def independent(params, settings, x):
    return list(params["b"])


def fvsbn(params, settings, x):
    outputs = []
    for o, i in enumerate(owners(settings)):
        output = params["b"][o]
        for j, (before, value) in enumerate(inputs(settings, x)):
            if before < position(settings["order"], i):
                output += params["W"][o][j] * value
        outputs.append(output)
    return outputs


def nade(params, settings, x):
    """Each conditional has a network of its own; that the networks share work is not used."""
    g = HIDDEN[settings["hidden"]]
    outputs = []
    for o, i in enumerate(owners(settings)):
        output = params["b"][o]
        for k in range(settings["n_hidden"]):
            a = params["c"][k]
            for j, (before, value) in enumerate(inputs(settings, x)):
                if before < position(settings["order"], i):
                    a += params["W"][j][k] * value
            output += params["V"][o][k] * g(a)
        outputs.append(output)
    return outputs


def untied_nade(params, settings, x):
    g = HIDDEN[settings["hidden"]]
    outputs = []
    for o, i in enumerate(owners(settings)):
        output = params["b"][o]
        for k in range(settings["n_hidden"]):
            a = params["c"][i][k]
            for j, (before, value) in enumerate(inputs(settings, x)):
                if before < position(settings["order"], i):
                    a += params["W"][i][j][k] * value
            output += params["V"][o][k] * g(a)
        outputs.append(output)
    return outputs


def orderless_nade(params, settings, x):
    """Uria, Murray and Larochelle (2014): the inputs are the values and a mask, 0 if not known."""
    g = HIDDEN[settings["hidden"]]
    order = settings["order"]
    outputs = []
    for o, i in enumerate(owners(settings)):
        units = [
            value if before < position(order, i) else 0 for before, value in inputs(settings, x)
        ]
        mask = [1 if j in earlier(order, i) else 0 for j in range(settings["n_dims"])]
        for layer, n_units in enumerate(settings["hidden_sizes"], 1):
            sums = []
            for k in range(n_units):
                a = params[f"c{layer}"][k]
                for j, unit in enumerate(units):
                    a += params[f"W{layer}"][j][k] * unit
                if layer == 1:
                    for j, m in enumerate(mask):
                        a += params["U"][j][k] * m
                sums.append(g(a))
            units = sums
        output = params["b"][o]
        for k, unit in enumerate(units):
            output += params["V"][o][k] * unit
        outputs.append(output)
    return outputs


def made(params, settings, x):
    """The masks of Germain et al. (2015), equations 12 and 13, one weight at a time."""
    g = HIDDEN[settings["hidden"]]
    order = settings["order"]
    read = inputs(settings, x)
    units = [value for _, value in read]
    degrees = [here for here, _ in read]
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
    outputs = []
    for o, i in enumerate(owners(settings)):
        output = params["b"][o]
        for k, m in enumerate(degrees):
            if position(order, i) > m:
                output += params["V"][o][k] * units[k]
        if settings["direct"]:
            for j, (before, value) in enumerate(read):
                if before < position(order, i):
                    output += params["A"][o][j] * value
        outputs.append(output)
    return outputs


def markov_chain(params, settings, x):
    """Each bit has a logit for every value of the k bits before it; none before the first is 1."""
    order, logits = settings["order"], []
    for i in range(settings["n_dims"]):
        entry = 0
        for lag in range(1, settings["k"] + 1):
            if position(order, i) - lag >= 1:
                entry += x[order[position(order, i) - lag - 1]] * 2 ** (lag - 1)
        logits.append(params["T"][i][entry])
    return logits


def chow_liu(params, settings, x):
    logits = []
    for i, parent in enumerate(settings["parents"]):
        logits.append(params["T"][i][x[parent] if parent >= 0 else 0])
    return logits


def joint_table(params, settings, x):
    """A logit for each prefix: the empty one, then those of one bit, of two, and so on."""
    order, logits = settings["order"], []
    for i in range(settings["n_dims"]):
        shorter = sum(2 ** (k - 1) for k in range(1, position(order, i)))
        digits = "".join(str(int(x[j])) for j in earlier(order, i))
        logits.append(params["T"][shorter + int(digits or "0", 2)])
    return logits


def bernoulli_mixture(params, settings, x):
    """p(x_i = 1 | x_<i) as the quotient of two sums over the kinds, to 60 digits."""
    logits = []
    with localcontext() as context:
        context.prec = 60
        weights = [Decimal(w).exp() for w in [0, *params["w"]]]
        for i in range(settings["n_dims"]):
            p = {0: Decimal(0), 1: Decimal(0)}  # of what comes before, together with x_i
            for weight, logits_of_kind in zip(weights, params["M"], strict=True):
                joint = weight
                for j in earlier(settings["order"], i):
                    joint *= _p_bit(logits_of_kind[j], x[j])
                for bit in (0, 1):
                    p[bit] += joint * _p_bit(logits_of_kind[i], bit)
            logits.append(float(p[1].ln() - p[0].ln()))
    return logits


def _p_bit(logit, bit):
    return 1 / (1 + (-Decimal(logit) if bit else Decimal(logit)).exp())


def gaussian(params, settings, x):
    """A linear regression for each variable, of one scale for all rows."""
    outputs = []
    for i in range(settings["n_dims"]):
        mean = params["b"][i]
        for j in earlier(settings["order"], i):
            mean += params["W"][i][j] * x[j]
        outputs += [mean, params["s"][i]]
    return outputs


OUTPUTS = {
    "independent": independent,
    "fvsbn": fvsbn,
    "untied-nade": untied_nade,
    "nade": nade,
    "made": made,
    "order-agnostic-made": made,  # with its own order and degrees
    "orderless-nade": orderless_nade,
    "markov-chain": markov_chain,
    "chow-liu": chow_liu,
    "bernoulli-mixture": bernoulli_mixture,
    "joint-table": joint_table,
    "gaussian": gaussian,
}


# Conditionals: what the outputs of one variable say of its value. ``c`` is the configuration of the
# conditional, a dictionary as files have it; ``i`` the variable; ``outputs`` a list of numbers. The
# textbook's formulas as they stand, with 60 digits and exponents of any size, rounded once.


def exactly(function):
    """Run a function of Decimals with 60 digits; every float is taken for what it is."""

    @functools.wraps(function)
    def rounded(*args):
        with localcontext() as context:
            context.prec, context.Emax, context.Emin = 60, MAX_EMAX, MIN_EMIN
            return float(function(*args))

    return rounded


PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")


def n_classes(c, i):
    K = c["n_classes"]
    return K if isinstance(K, int) else K[i]


def weights(logits):
    """exp(logit) of each, divided by their sum."""
    e = [Decimal(z).exp() for z in logits]
    return [e_k / sum(e) for e_k in e]


def scale(c, raw):
    """The floor, and log(1 + exp(raw)) above it."""
    return Decimal(c["min_scale"]) + (1 + Decimal(raw).exp()).ln()


def normal(x, mean, s):
    """The density of the normal distribution."""
    z = (Decimal(x) - Decimal(mean)) / s
    return (-z * z / 2).exp() / (s * (2 * PI).sqrt())


def components(c, outputs):
    """Weight, mean and scale of each component of a mixture."""
    K = c["n_components"]
    logits, means, raws = outputs[:K], outputs[K : 2 * K], outputs[2 * K :]
    return list(zip(weights(logits), means, [scale(c, raw) for raw in raws], strict=True))


def in_standard_units(c, i, x):
    return (Decimal(x) - Decimal(c["mean"][i])) / Decimal(c["std"][i])


def probability(c, i, outputs, x):
    """p(x_i | x_<i), a probability or a density, as a Decimal."""
    if c["name"] == "bernoulli":
        (logit,) = outputs
        return 1 / (1 + (-Decimal(logit) if x == 1 else Decimal(logit)).exp())
    if c["name"] == "categorical":
        return weights(outputs)[int(x)]
    if c["name"] == "gaussian":
        mean, raw = outputs
        return normal(x, mean, scale(c, raw))
    if c["name"] == "mixture":
        return sum(w * normal(x, mean, s) for w, mean, s in components(c, outputs))
    if c["name"] == "mixed":
        return probability(c["conditionals"][i], 0, outputs, x)
    if c["name"] == "standardized":
        z = in_standard_units(c, i, x)
        return probability(c["conditional"], i, outputs, z) / Decimal(c["std"][i])
    raise ValueError(c["name"])


@exactly
def log_p(c, i, outputs, x):
    """log p(x_i | x_<i), in nats."""
    return probability(c, i, outputs, x).ln()


def cumulative(c, i, outputs, x):
    """The probability of a value up to x."""
    if c["name"] in ("bernoulli", "categorical"):
        return math.fsum(math.exp(log_p(c, i, outputs, k)) for k in range(int(x) + 1))
    if c["name"] == "gaussian":
        mean, raw = outputs
        return math.erfc((mean - x) / float(scale(c, raw)) / math.sqrt(2)) / 2
    if c["name"] == "mixture":
        return math.fsum(
            float(w) * math.erfc((mean - x) / float(s) / math.sqrt(2)) / 2
            for w, mean, s in components(c, outputs)
        )
    if c["name"] == "mixed":
        return cumulative(c["conditionals"][i], 0, outputs, x)
    return cumulative(c["conditional"], i, outputs, float(in_standard_units(c, i, x)))


def n_outputs(c, i):
    """How many outputs the variable has."""
    if c["name"] == "mixed":
        return n_outputs(c["conditionals"][i], 0)
    if c["name"] == "standardized":
        return n_outputs(c["conditional"], i)
    if c["name"] == "categorical":
        return n_classes(c, i)
    return {"bernoulli": 1, "gaussian": 2, "mixture": 3 * c.get("n_components", 0)}[c["name"]]


def features(c, i, x):
    """What a model reads of the value."""
    if c["name"] == "mixed":
        return features(c["conditionals"][i], 0, x)
    if c["name"] == "standardized":
        return features(c["conditional"], i, float(in_standard_units(c, i, x)))
    if c["name"] == "categorical":
        return [1 if x == k else 0 for k in range(n_classes(c, i))]
    return [x]


# What follows for every model.


def outputs(name, params, settings, x):
    """Those of each variable, a list each."""
    of = [[] for _ in range(settings["n_dims"])]
    for i, output in zip(owners(settings), OUTPUTS[name](params, settings, x), strict=True):
        of[i].append(output)
    return of


def conditionals(name, params, settings, x):
    """Of bits: p(x_i = 1 | x_<i) for each i."""
    return [sigmoid(z) for (z,) in outputs(name, params, settings, x)]


def log_conditionals(name, params, settings, x):
    """log p(x_i | x_<i) for each i; a density if x_i is real."""
    c = conditional_of(settings)
    of = outputs(name, params, settings, x)
    return [log_p(c, i, z, x[i]) for i, z in enumerate(of)]


def cumulatives(name, params, settings, x):
    """The probability of a value up to x_i given x_<i, for each i."""
    c = conditional_of(settings)
    of = outputs(name, params, settings, x)
    return [cumulative(c, i, z, x[i]) for i, z in enumerate(of)]


def log_prob(name, params, settings, x):
    return math.fsum(log_conditionals(name, params, settings, x))


def nll_over_orders(name, params, settings, x):
    """-log p(x), averaged over all D! orders of the variables."""
    orders = list(itertools.permutations(range(settings["n_dims"])))
    return math.fsum(
        -log_prob(name, params, settings | {"order": list(order)}, x) for order in orders
    ) / len(orders)


# Missing values, by enumeration: rows are all that there are, p the probability of each.


def marginal(rows, p, x, observed):
    """p(x_observed): the sum over all rows that agree with x where it was observed."""
    D = len(x)
    return math.fsum(
        p_row
        for row, p_row in zip(rows, p, strict=True)
        if all(row[i] == x[i] for i in range(D) if observed[i])
    )


def completions(rows, p, x, observed):
    """The probability of each row given x_observed; 0 where it does not agree."""
    D, total = len(x), marginal(rows, p, x, observed)
    return [
        p_row / total if all(row[i] == x[i] for i in range(D) if observed[i]) else 0.0
        for row, p_row in zip(rows, p, strict=True)
    ]


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


def _last_k(settings):
    D, order = settings["n_dims"], settings["order"]
    return [
        [1 <= position(order, i) - position(order, j) <= settings["k"] for j in range(D)]
        for i in range(D)
    ]


def _parents(settings):
    return [[j == parent for j in range(settings["n_dims"])] for parent in settings["parents"]]


def _kinds(settings):
    """Nothing can be learnt of the kind of a row if there is but one."""
    return _triangle(settings) if settings["n_components"] > 1 else _nothing(settings)


DEPENDENCIES = {
    "independent": _nothing,
    "fvsbn": _triangle,
    "untied-nade": _triangle,
    "nade": _triangle,
    "made": _made_paths,
    "order-agnostic-made": _made_paths,
    "orderless-nade": _triangle,
    "markov-chain": _last_k,
    "chow-liu": _parents,
    "bernoulli-mixture": _kinds,
    "joint-table": _triangle,
    "gaussian": _triangle,
}


def dependencies(name, settings):
    return DEPENDENCIES[name](settings)
