"""The models that the property tests run over: every class, in every way that it can be set up.

A new model joins with a few lines in CASES and one in RANDOM. No two sizes in one configuration are
equal, orders are not their own inverse where there are variables enough, and no parameter is zero,
masked entries included: what a mask hides must not matter.
"""

import functools
import itertools
import zlib

import numpy as np
from hypothesis import strategies as st

from pyarsimple.conditionals import (
    Bernoulli,
    Categorical,
    Gaussian,
    GaussianMixture,
    Mixed,
    Standardized,
)
from pyarsimple.mixtures import OrderMixture
from pyarsimple.models import MODELS
from pyarsimple.transforms import Standardize

#: The models that are of bits, if nothing else is said.
BITS = {name: cls for name, cls in MODELS.items() if cls(2).conditional == Bernoulli()}

#: Enough rows to differ from any other size here.
N = 11

THREE_CYCLE = {3: [1, 2, 0], 4: [1, 2, 0, 3], 5: [0, 3, 1, 4, 2], 6: [4, 1, 0, 3, 5, 2]}
SWAP = {5: [0, 3, 2, 1, 4], 6: [5, 1, 2, 3, 4, 0]}

CLASSES = Categorical([3, 2, 4, 3])
MIXED = Mixed([Gaussian(), Bernoulli(), Categorical(3), GaussianMixture(2), Bernoulli()])
STANDARDIZED = Standardized(GaussianMixture(2), Standardize([2.0, -3.0, 0.5], [4.0, 0.2, 1.5]))

#: The one context that the models which have one are asked about: a density p(x | y) for this y.
CONTEXT = {"numbers": [0.7, -1.3, 0.4], "class": 1}

# name: (model, n_dims, settings)
CASES = {
    "independent": ("independent", 5, {}),
    "independent-cycle-float32": ("independent", 5, {"order": THREE_CYCLE[5], "dtype": "float32"}),
    "independent-D1": ("independent", 1, {}),
    "fvsbn": ("fvsbn", 6, {}),
    "fvsbn-cycle": ("fvsbn", 5, {"order": THREE_CYCLE[5]}),
    "fvsbn-cycle-float32": ("fvsbn", 6, {"order": THREE_CYCLE[6], "dtype": "float32"}),
    "fvsbn-D1": ("fvsbn", 1, {}),
    "fvsbn-D2": ("fvsbn", 2, {"order": [1, 0]}),
    "untied": ("untied-nade", 5, {"n_hidden": 4}),
    "untied-cycle": ("untied-nade", 5, {"n_hidden": 3, "order": THREE_CYCLE[5]}),
    "untied-cycle-relu": (
        "untied-nade", 4, {"n_hidden": 7, "order": THREE_CYCLE[4], "hidden": "relu"},
    ),
    "untied-cycle-float32": (
        "untied-nade", 5, {"n_hidden": 6, "order": THREE_CYCLE[5], "dtype": "float32"},
    ),
    "untied-D1": ("untied-nade", 1, {"n_hidden": 3}),
    "nade": ("nade", 5, {"n_hidden": 4}),
    "nade-cycle": ("nade", 5, {"n_hidden": 7, "order": THREE_CYCLE[5]}),
    "nade-cycle-relu": ("nade", 6, {"n_hidden": 9, "order": THREE_CYCLE[6], "hidden": "relu"}),
    "nade-cycle-float32": (
        "nade", 5, {"n_hidden": 6, "order": THREE_CYCLE[5], "dtype": "float32"},
    ),
    "nade-relu-float32": ("nade", 5, {"n_hidden": 8, "hidden": "relu", "dtype": "float32"}),
    "nade-dropout": ("nade", 4, {"n_hidden": 6, "order": THREE_CYCLE[4], "dropout": 0.4}),
    "nade-dropout-relu": ("nade", 4, {"n_hidden": 7, "hidden": "relu", "dropout": 0.3}),
    "nade-H1": ("nade", 4, {"n_hidden": 1, "order": THREE_CYCLE[4]}),
    "nade-D1": ("nade", 1, {"n_hidden": 3}),
    "made": ("made", 5, {"hidden_sizes": (8,)}),
    "made-cycle-tanh": (
        "made", 6, {"hidden_sizes": (9,), "order": THREE_CYCLE[6], "hidden": "tanh"},
    ),
    "made-two-layers-direct": (
        "made", 5,
        {"hidden_sizes": (7, 6), "order": THREE_CYCLE[5], "hidden": "sigmoid", "direct": True},
    ),
    "made-three-layers-random": (
        "made", 4,
        {"hidden_sizes": (5, 8, 7), "order": THREE_CYCLE[4], "hidden": "tanh", "degrees": "random"},
    ),
    "made-random-narrow": (
        "made", 6,
        {"hidden_sizes": (2, 3), "order": THREE_CYCLE[6], "hidden": "sigmoid", "degrees": "random"},
    ),
    "made-degrees-given": (
        "made", 5,
        {
            "hidden_sizes": (4, 6), "order": THREE_CYCLE[5], "hidden": "tanh",
            "degrees": [[3, 0, 1, 4], [4, 2, 0, 1, 3, 1]],
        },
    ),
    "made-no-layers": ("made", 5, {"hidden_sizes": (), "order": THREE_CYCLE[5]}),
    "made-no-layers-direct": ("made", 4, {"hidden_sizes": (), "direct": True}),
    "made-float32": (
        "made", 5,
        {"hidden_sizes": (7, 6), "order": THREE_CYCLE[5], "direct": True, "dtype": "float32"},
    ),
    "made-dropout": (
        "made", 4,
        {"hidden_sizes": (7, 5), "order": THREE_CYCLE[4], "hidden": "tanh", "dropout": 0.4},
    ),
    "made-dropout-relu-direct": (
        "made", 4, {"hidden_sizes": (9,), "hidden": "relu", "dropout": 0.3, "direct": True},
    ),
    "made-H1": ("made", 4, {"hidden_sizes": (1,), "order": THREE_CYCLE[4], "hidden": "sigmoid"}),
    "made-D1": ("made", 1, {"hidden_sizes": (3, 2), "direct": True}),
    "agnostic-cycle-tanh": (
        "order-agnostic-made", 5,
        {"hidden_sizes": (7, 6), "order": THREE_CYCLE[5], "hidden": "tanh", "direct": True},
    ),
    "agnostic-four-masks": (
        "order-agnostic-made", 4,
        {
            "hidden_sizes": (3, 5), "order": THREE_CYCLE[4], "hidden": "tanh", "n_masks": 4,
            "seed": 1,
        },
    ),
    "agnostic-orders-no-layers": (
        "order-agnostic-made", 4,
        {"hidden_sizes": (), "order": THREE_CYCLE[4], "direct": True, "redraw": "order"},
    ),
    "agnostic-degrees-sigmoid": (
        "order-agnostic-made", 6,
        {
            "hidden_sizes": (3, 8), "order": THREE_CYCLE[6], "hidden": "sigmoid",
            "redraw": "degrees", "degrees": "random",
        },
    ),
    "agnostic-dropout": (
        "order-agnostic-made", 4,
        {"hidden_sizes": (7, 5), "hidden": "tanh", "n_masks": 20, "dropout": 0.4},
    ),
    "agnostic-float32": (
        "order-agnostic-made", 5,
        {
            "hidden_sizes": (8,), "order": THREE_CYCLE[5], "hidden": "tanh", "n_masks": 6,
            "dtype": "float32",
        },
    ),
    "agnostic-D1": ("order-agnostic-made", 1, {"hidden_sizes": (3, 2)}),
    "markov": ("markov-chain", 5, {}),
    "markov-cycle-k2": ("markov-chain", 6, {"k": 2, "order": THREE_CYCLE[6]}),
    "markov-cycle-k3-float32": (
        "markov-chain", 5, {"k": 3, "order": THREE_CYCLE[5], "dtype": "float32"},
    ),
    "markov-k0": ("markov-chain", 4, {"k": 0, "order": THREE_CYCLE[4]}),
    "markov-k-beyond-D": ("markov-chain", 4, {"k": 7, "order": THREE_CYCLE[4]}),
    "markov-D1": ("markov-chain", 1, {"k": 2}),
    "tree-of-chain": ("chow-liu", 5, {}),
    "tree-cycle": ("chow-liu", 6, {"order": THREE_CYCLE[6], "parents": [1, 4, 4, 1, -1, 0]}),
    "forest-cycle-float32": (
        "chow-liu", 5,
        {"order": THREE_CYCLE[5], "parents": [-1, 0, 4, -1, 3], "dtype": "float32"},
    ),
    "tree-D1": ("chow-liu", 1, {}),
    "mixture": ("bernoulli-mixture", 5, {"n_components": 3}),
    "mixture-cycle": ("bernoulli-mixture", 6, {"n_components": 4, "order": THREE_CYCLE[6]}),
    "mixture-cycle-float32": (
        "bernoulli-mixture", 5, {"n_components": 3, "order": THREE_CYCLE[5], "dtype": "float32"},
    ),
    "mixture-K1": ("bernoulli-mixture", 4, {"n_components": 1, "order": THREE_CYCLE[4]}),
    "mixture-D1": ("bernoulli-mixture", 1, {"n_components": 3}),
    "joint": ("joint-table", 4, {}),
    "joint-cycle": ("joint-table", 5, {"order": THREE_CYCLE[5]}),
    "joint-cycle-float32": ("joint-table", 5, {"order": THREE_CYCLE[5], "dtype": "float32"}),
    "joint-D1": ("joint-table", 1, {}),
    "gaussian": ("gaussian", 5, {"min_scale": 0.125}),
    "gaussian-cycle": ("gaussian", 4, {"order": THREE_CYCLE[4]}),
    "gaussian-cycle-float32": ("gaussian", 5, {"order": THREE_CYCLE[5], "dtype": "float32"}),
    "gaussian-D1": ("gaussian", 1, {}),
    "orderless": ("orderless-nade", 5, {"hidden_sizes": (7, 6), "hidden": "sigmoid"}),
    "orderless-cycle-tanh": (
        "orderless-nade", 4,
        {"hidden_sizes": (7, 6), "order": THREE_CYCLE[4], "hidden": "tanh"},
    ),
    "orderless-one-layer-relu": (
        "orderless-nade", 5,
        {"hidden_sizes": (9,), "order": THREE_CYCLE[5], "split": "balanced"},
    ),
    "orderless-three-layers-sigmoid": (
        "orderless-nade", 3,
        {"hidden_sizes": (5, 8, 6), "order": THREE_CYCLE[3], "hidden": "sigmoid"},
    ),
    "orderless-cycle-float32": (
        "orderless-nade", 5,
        {"hidden_sizes": (7, 6), "order": THREE_CYCLE[5], "hidden": "tanh", "dtype": "float32"},
    ),
    "orderless-H1": ("orderless-nade", 4, {"hidden_sizes": (1,), "hidden": "tanh"}),
    "orderless-D1": ("orderless-nade", 1, {"hidden_sizes": (3, 2), "hidden": "tanh"}),
    # Variables other than bits, and contexts.
    "fvsbn-classes-context": (
        "fvsbn", 4, {"order": THREE_CYCLE[4], "conditional": CLASSES, "context": 2},
    ),
    "fvsbn-mixed": ("fvsbn", 5, {"order": THREE_CYCLE[5], "conditional": MIXED}),
    "fvsbn-real-float32": (
        "fvsbn", 4, {"order": THREE_CYCLE[4], "conditional": Gaussian(), "dtype": "float32"},
    ),
    "nade-classes": (
        "nade", 4, {"n_hidden": 6, "order": THREE_CYCLE[4], "conditional": CLASSES},
    ),
    "nade-mixed-context": (
        "nade", 5,
        {"n_hidden": 4, "order": THREE_CYCLE[5], "conditional": MIXED, "context": Categorical(3)},
    ),
    "nade-bits-context": ("nade", 4, {"n_hidden": 7, "order": THREE_CYCLE[4], "context": 3}),
    "nade-mixture-standardized": (
        "nade", 3,
        {"n_hidden": 5, "order": THREE_CYCLE[3], "conditional": STANDARDIZED, "hidden": "relu"},
    ),
    "nade-classes-dropout-float32": (
        "nade", 4,
        {"n_hidden": 9, "conditional": CLASSES, "dropout": 0.3, "context": 2, "dtype": "float32"},
    ),
    "made-classes": (
        "made", 4,
        {"hidden_sizes": (7, 6), "order": THREE_CYCLE[4], "hidden": "tanh", "conditional": CLASSES},
    ),
    "made-mixed-context-direct": (
        "made", 5,
        {
            "hidden_sizes": (8, 7), "order": THREE_CYCLE[5], "hidden": "sigmoid",
            "conditional": MIXED, "context": 2, "direct": True,
        },
    ),
    "made-bits-context": (
        "made", 4, {"hidden_sizes": (6,), "hidden": "tanh", "context": Categorical(2)},
    ),
    "made-real-no-layers": (
        "made", 3, {"hidden_sizes": (), "order": THREE_CYCLE[3], "conditional": Gaussian()},
    ),
    "made-mixture-float32": (
        "made", 4,
        {
            "hidden_sizes": (7,), "order": THREE_CYCLE[4], "hidden": "tanh",
            "conditional": GaussianMixture(2), "dtype": "float32",
        },
    ),
    "nade-real-D1-context": (
        "nade", 1, {"n_hidden": 3, "conditional": GaussianMixture(2), "context": 2},
    ),
    "made-real-D1-context": (
        "made", 1,
        {"hidden_sizes": (3,), "hidden": "tanh", "conditional": Gaussian(), "context": 2},
    ),
    "untied-mixed-context": (
        "untied-nade", 5,
        {"n_hidden": 4, "order": THREE_CYCLE[5], "conditional": MIXED, "context": Categorical(3)},
    ),
    "untied-classes-float32": (
        "untied-nade", 4,
        {
            "n_hidden": 6, "order": THREE_CYCLE[4], "conditional": CLASSES, "context": 2,
            "dtype": "float32",
        },
    ),
    "untied-real-D1-context": (
        "untied-nade", 1, {"n_hidden": 3, "conditional": GaussianMixture(2), "context": 2},
    ),
    "orderless-classes": (
        "orderless-nade", 4,
        {"hidden_sizes": (7, 6), "order": THREE_CYCLE[4], "hidden": "tanh", "conditional": CLASSES},
    ),
    "orderless-mixed-context": (
        "orderless-nade", 5,
        {
            "hidden_sizes": (8, 7), "order": THREE_CYCLE[5], "hidden": "sigmoid",
            "conditional": MIXED, "context": Categorical(3),
        },
    ),
    "orderless-mixture-float32": (
        "orderless-nade", 4,
        {
            "hidden_sizes": (7,), "order": THREE_CYCLE[4], "hidden": "tanh", "context": 2,
            "conditional": GaussianMixture(2), "dtype": "float32",
        },
    ),
    "orderless-real-D1-context": (
        "orderless-nade", 1,
        {"hidden_sizes": (3,), "hidden": "tanh", "conditional": Gaussian(), "context": 2},
    ),
}  # fmt: skip


def make(case, **changes):
    """A new model of a case, generic parameters in it; ``changes`` replace its settings.

    If it has a context, it is p(x | y) at a fixed y: asked without a context, it takes that one.
    """
    name, n_dims, settings = CASES[case]
    seed = zlib.crc32(case.encode())
    model = MODELS[name](n_dims, **(settings | changes), rng=seed)
    return given_context(generic(model, seed))


def context_of(model):
    """The fixed context, a list of numbers."""
    if isinstance(model.context, int):
        return CONTEXT["numbers"][: model.context]
    return [CONTEXT["class"]]


def given_context(model):
    """The same model, which takes the fixed context if it is not given another."""
    if model.context != 0:
        model._check_context = functools.partial(_check_context, model)
    return model


def _check_context(model, context, n):
    return type(model)._check_context(model, context_of(model) if context is None else context, n)


def generic(model, seed):
    """Set every parameter, masked or not, to a number of either sign that is not near zero."""
    rng = np.random.default_rng(seed)
    for p in model.params.values():
        p[...] = rng.choice([-1.0, 1.0], p.shape) * rng.uniform(0.3, 1.3, p.shape)
        if p.ndim == 2:
            p *= p.dtype.type(1.7 / np.sqrt(min(p.shape)))
    return model


#: Components of a mixture of all kinds, each with another order.
COMPONENTS = ("nade-cycle", "made", "agnostic-cycle-tanh", "fvsbn-cycle")


def mixture(weights=(5, 1, 2, 3), cases=COMPONENTS):
    """A mixture of cases of the registry, some of which count more than others."""
    return OrderMixture([make(case) for case in cases], weights)


def with_one_start(weights=(5, 1, 2)):
    """A mixture whose orders all begin with the same two variables, and then part."""
    starts = [2, 0], [0, 2], [2, 0]
    rests = [4, 1, 3], [1, 3, 4], [3, 4, 1]
    return OrderMixture(
        [
            make(case, order=start + rest)
            for case, start, rest in zip(
                ("nade-cycle", "made", "agnostic-cycle-tanh"), starts, rests, strict=True
            )
        ],
        weights,
    )


def of_one_model(weights=(5, 1, 2)):
    """A mixture of three sets of masks of one model: the parameters are shared."""
    return OrderMixture(make("agnostic-four-masks").members(3), weights)


def set_biases(model, logits):
    """Make each logit that of its variable, (D,), whatever comes before it.

    In models with weights on what comes before: as far as these are 0.
    """
    params, logits = model.params, np.broadcast_to(logits, model.n_dims)
    if "b" in params:
        params["b"][:] = logits
    elif "M" in params:
        params["M"][:] = logits
    elif model.name == "joint-table":
        for k, i in enumerate(model.order):
            params["T"][2**k - 1 : 2 ** (k + 1) - 1] = logits[i]
    else:
        params["T"][:] = logits[:, np.newaxis]


def in_float64(model):
    """A float64 model with the same settings and the same parameters, to the bit."""
    twin = type(model)(**(model.config() | {"dtype": "float64"}))
    for name, p in model.params.items():
        twin.params[name][...] = p
    return given_context(twin)


def bit_cases():
    """Names of the cases of bits without a context: those that enumerations of {0,1}^D speak of."""
    return [
        case for case, (name, _, settings) in CASES.items()
        if name in BITS and not {"conditional", "context"} & {*settings}
    ]  # fmt: skip


def cases(**wanted):
    """Names of the cases with these settings (``model=`` too), or with any of several."""
    return [
        case for case in CASES if all(_setting(case, key) == value for key, value in wanted.items())
    ]


def _setting(case, key):
    name, _, settings = CASES[case]
    defaults = {"model": name, "dtype": "float64", "dropout": 0.0}
    return (defaults | settings)[key]


def representatives():
    """One case of each class, its order a 3-cycle where the class has such a case."""
    best = {}
    for case, (name, _, settings) in CASES.items():
        plain = settings.get("dtype", "float64") == "float64" and not settings.get("dropout")
        plain = plain and case in bit_cases()
        if plain and (name not in best or ("order" in settings and "cycle" not in best[name])):
            best[name] = case
    return list(best.values())


def rows(model, n=N, seed=0):
    """n rows of data for a model; each column takes all of its values, if n allows."""
    rng = np.random.default_rng(seed)
    if is_bits(model):
        x = (rng.random((n, model.n_dims)) < rng.uniform(0.2, 0.8, model.n_dims)).astype(np.int64)
        x[1:2] = 1 - x[:1]
        return x
    x = np.empty((n, model.n_dims), "float64")
    for i in range(model.n_dims):
        values = model.conditional.of(i).values(1)
        if values is None:
            mean, std = real_units(model, i)
            x[:, i] = (mean + std * rng.normal(size=n)).astype(model.dtype)
        else:
            x[:, i] = rng.permuted(np.resize(values[0], n))
    return x.astype(np.int64) if model.conditional.dtype.kind == "u" else x


def is_bits(model):
    """Whether all variables are bits."""
    return isinstance(model.conditional, Bernoulli)


def is_discrete(model):
    """Whether all that the model can say can be counted."""
    return model.conditional.values(model.n_dims) is not None


def real_units(model, i):
    """About where the values of a real variable lie, and how far from each other."""
    transform = getattr(model.conditional, "transform", None)
    return (transform.mean[i], transform.std[i]) if transform is not None else (0.0, 1.0)


def all_rows(n_dims):
    """All of {0,1}^D, row c the binary digits of c."""
    return (np.arange(2**n_dims)[:, np.newaxis] >> np.arange(n_dims)[::-1]) & 1


def everything(model):
    """All rows that there are, the first variable the slowest; of real variables some."""
    if is_bits(model):
        return all_rows(model.n_dims)
    if is_discrete(model):
        return np.array(list(itertools.product(*model.conditional.values(model.n_dims))), np.int64)
    return rows(model, 40, seed=1)


def changed(model, x, j, k=1):
    """x with another value in column j: the k-th from its own."""
    x = x.copy()
    values = model.conditional.of(j).values(1)
    if values is None:
        x[:, j] += x.dtype.type(k * real_units(model, j)[1] * 1.375)
    else:
        x[:, j] = (x[:, j] + k) % len(values[0])
    return x


# Models of any settings, for hypothesis.

hidden_layers = st.lists(st.integers(1, 6), max_size=3)


def any_parents(order):
    """Of each variable one that comes before it in the order, or none."""
    draw = [st.sampled_from([-1, *order[:k]]) for k in range(len(order))]
    of = {i: draw[k] for k, i in enumerate(order)}
    return st.tuples(*(of[i] for i in range(len(order)))).map(list)


# Settings, or a function that makes them of an order.
RANDOM = {
    "independent": st.just({}),
    "fvsbn": st.just({}),
    "untied-nade": st.fixed_dictionaries(
        {"n_hidden": st.integers(1, 6), "hidden": st.sampled_from(["sigmoid", "relu"])}
    ),
    "nade": st.fixed_dictionaries(
        {"n_hidden": st.integers(1, 6), "hidden": st.sampled_from(["sigmoid", "relu"])}
    ),
    "made": st.fixed_dictionaries(
        {
            "hidden_sizes": hidden_layers,
            "hidden": st.sampled_from(["sigmoid", "relu", "tanh"]),
            "degrees": st.sampled_from(["spread", "random"]),
            "direct": st.booleans(),
        }
    ),
    "order-agnostic-made": st.fixed_dictionaries(
        {
            "hidden_sizes": hidden_layers,
            "hidden": st.sampled_from(["sigmoid", "relu", "tanh"]),
            "direct": st.booleans(),
            "n_masks": st.none() | st.integers(2, 5),
            "redraw": st.sampled_from(["both", "order", "degrees"]),
        }
    ),
    "markov-chain": st.fixed_dictionaries({"k": st.integers(0, 5)}),
    "chow-liu": lambda order: st.fixed_dictionaries({"parents": any_parents(order)}),
    "bernoulli-mixture": st.fixed_dictionaries({"n_components": st.integers(1, 4)}),
    "joint-table": st.just({}),
    "gaussian": st.fixed_dictionaries({"min_scale": st.floats(1e-12, 1)}),
    "orderless-nade": st.fixed_dictionaries(
        {
            "hidden_sizes": st.lists(st.integers(1, 6), min_size=1, max_size=3),
            "hidden": st.sampled_from(["sigmoid", "relu", "tanh"]),
            "split": st.sampled_from(["uniform", "balanced"]),
        }
    ),
}


def draw_settings(draw, name, order):
    """Settings of a class of RANDOM, for a model with this order."""
    settings = RANDOM[name]
    return draw(settings(order) if callable(settings) else settings)


@st.composite
def models(draw, max_dims=5, n_dims=None):
    """A model of bits of any class and settings, in float64, with generic parameters."""
    name = draw(st.sampled_from(list(BITS)))
    n_dims = draw(st.integers(1, max_dims)) if n_dims is None else n_dims
    order = draw(st.permutations(range(n_dims)))
    settings = draw_settings(draw, name, order)
    seed = draw(st.integers(0, 2**32 - 1))
    return generic(MODELS[name](n_dims, **settings, order=order, rng=seed), seed)
