"""The conditionals that the tests run over, with outputs and data for them."""

import numpy as np

from pyarsimple.conditionals import (
    Bernoulli,
    Categorical,
    Gaussian,
    GaussianMixture,
    Mixed,
    Standardized,
)
from pyarsimple.transforms import Standardize

EVERYTHING = Mixed(
    [Gaussian(), Bernoulli(), Categorical(3), GaussianMixture(2), Bernoulli(), Categorical(2),
     GaussianMixture(2), Gaussian(min_scale=0.5)]
)  # fmt: skip

# name: (conditional, n_dims)
CASES = {
    "bernoulli": (Bernoulli(), 4),
    "bernoulli-D1": (Bernoulli(), 1),
    "categorical": (Categorical(5), 3),
    "categorical-ragged": (Categorical([2, 5, 3, 9]), 4),
    "categorical-K1": (Categorical([3, 1, 2]), 3),
    "categorical-D1": (Categorical([4]), 1),
    "gaussian": (Gaussian(), 3),
    "gaussian-wide-D1": (Gaussian(min_scale=0.7), 1),
    "mixture": (GaussianMixture(3), 2),
    "mixture-K1": (GaussianMixture(1), 2),
    "mixture-D1": (GaussianMixture(4, min_scale=0.1), 1),
    "mixed": (EVERYTHING, 8),
    "mixed-bits": (Mixed([Bernoulli(), Bernoulli()]), 2),
    "standardized": (
        Standardized(GaussianMixture(2), Standardize([3.0, -0.5], [0.25, 20.0])), 2,
    ),
    "standardized-gaussian": (Standardized(Gaussian(), Standardize([70.0], [12.5])), 1),
    "standardized-mixed": (
        Standardized(
            Mixed([Categorical(3), Gaussian(), Bernoulli(), GaussianMixture(2)]),
            Standardize([0.0, 5.0, 0.0, -1.0], [1.0, 3.0, 1.0, 0.125]),
        ),
        4,
    ),
}  # fmt: skip


def generic(c, n_dims, n=6, seed=0, size=1.5, dtype="float64"):
    """Outputs (n, P), nowhere zero or alike, and data that they could have made."""
    rng = np.random.default_rng(seed)
    outputs = size * rng.normal(size=(n, c.columns(n_dims).n_outputs)).astype(dtype)
    x = c.sample(outputs, rng.random((n, n_dims))).astype(dtype)
    return outputs, x


def by_variable(c, n_dims, outputs):
    """The outputs of row 0 of each variable, as lists of numbers."""
    offsets = c.columns(n_dims).outputs
    return [outputs[0, offsets[i] : offsets[i + 1]].tolist() for i in range(n_dims)]


def close(value, wanted, *, rtol, atol=0.0, what=""):
    error = np.abs(np.asarray(value) - wanted)
    bound = atol + rtol * np.abs(wanted)
    assert (error <= bound).all(), f"{what}: {np.max(error - bound):.3g} too far"
