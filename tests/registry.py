"""The models that the property tests run over: every class, in every way that it can be set up.

A new model joins with a few lines in CASES and one in RANDOM. No two sizes in one configuration are
equal, orders are not their own inverse where there are variables enough, and no parameter is zero,
masked entries included: what a mask hides must not matter.
"""

import zlib

import numpy as np
from hypothesis import strategies as st

from pyarsimple.models import MODELS

#: Enough rows to differ from any other size here.
N = 11

THREE_CYCLE = {3: [1, 2, 0], 4: [1, 2, 0, 3], 5: [0, 3, 1, 4, 2], 6: [4, 1, 0, 3, 5, 2]}
SWAP = {5: [0, 3, 2, 1, 4], 6: [5, 1, 2, 3, 4, 0]}

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
}  # fmt: skip


def make(case, **changes):
    """A new model of a case, generic parameters in it; ``changes`` replace its settings."""
    name, n_dims, settings = CASES[case]
    seed = zlib.crc32(case.encode())
    model = MODELS[name](n_dims, **(settings | changes), rng=seed)
    return generic(model, seed)


def generic(model, seed):
    """Set every parameter, masked or not, to a number of either sign that is not near zero."""
    rng = np.random.default_rng(seed)
    for p in model.params.values():
        p[...] = rng.choice([-1.0, 1.0], p.shape) * rng.uniform(0.3, 1.3, p.shape)
        if p.ndim == 2:
            p *= p.dtype.type(1.7 / np.sqrt(min(p.shape)))
    return model


def in_float64(model):
    """A float64 model with the same settings and the same parameters, to the bit."""
    twin = type(model)(**(model.config() | {"dtype": "float64"}))
    for name, p in model.params.items():
        twin.params[name][...] = p
    return twin


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
        if plain and (name not in best or ("order" in settings and "cycle" not in best[name])):
            best[name] = case
    return list(best.values())


def rows(model, n=N, seed=0):
    """n rows of bits; each column takes both values if n is at least 2."""
    rng = np.random.default_rng(seed)
    x = (rng.random((n, model.n_dims)) < rng.uniform(0.2, 0.8, model.n_dims)).astype(np.int64)
    x[1:2] = 1 - x[:1]
    return x


def all_rows(n_dims):
    """All of {0,1}^D, row c the binary digits of c."""
    return (np.arange(2**n_dims)[:, np.newaxis] >> np.arange(n_dims)[::-1]) & 1


# Models of any settings, for hypothesis.

hidden_layers = st.lists(st.integers(1, 6), max_size=3)

RANDOM = {
    "independent": st.just({}),
    "fvsbn": st.just({}),
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
}


@st.composite
def models(draw, max_dims=5):
    """A model of any class and settings, in float64, with generic parameters."""
    name = draw(st.sampled_from(list(MODELS)))
    n_dims = draw(st.integers(1, max_dims))
    settings = draw(RANDOM[name])
    order = draw(st.permutations(range(n_dims)))
    seed = draw(st.integers(0, 2**32 - 1))
    return generic(MODELS[name](n_dims, **settings, order=order, rng=seed), seed)
