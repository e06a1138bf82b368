"""What is handed back: completions or marginals, and of each row how they came about."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

METHODS = ("auto", "exact", "importance", "gibbs")
#: The methods of a row that are exact.
EXACT = ("product", "closed-form", "order", "enumeration")

#: An effective sample size below this is said to be small.
SMALL = 10


def listed_methods(methods: Array) -> str:
    """How many rows each method was used for, such as "2 rows by product, 1 row by order"."""
    counts = Counter(methods.tolist())
    return ", ".join(f"{n} row{'s' * (n != 1)} by {name}" for name, n in counts.items())


class _ByMethod:
    """What results have in common: a method for each row."""

    methods: Array

    @property
    def exact(self) -> Mask:
        """Whether each row's method is exact, (N,)."""
        return np.isin(self.methods, EXACT)

    @property
    def method(self) -> str:
        """What was done: "exact", "importance" or "gibbs"; "mixed" where rows differ."""
        found = {"exact" if name in EXACT else str(name) for name in self.methods}
        return found.pop() if len(found) == 1 else "mixed" if found else "exact"


@dataclass(frozen=True, repr=False)
class Imputation(_ByMethod):
    """Completed rows, and how they came about.

    Attributes
    ----------
    samples : ndarray, shape (n_samples, N, D)
        Completions of each row; what was observed is in all of them as it was given.
    methods : ndarray of str, shape (N,)
        Of each row: product, closed-form, order or enumeration, which are exact, or importance, or
        gibbs.
    effective_sample_size : ndarray, shape (N,)
        Exact: n_samples, for all draws are independent. Importance: how many of the particles
        count, between 1 and their number; where it is not well above n_samples, completions are
        copies of each other. Gibbs: how many independent draws one chain's sweeps are worth,
        between 1 and their number; a completion is the end of a chain, and all chains are
        independent but for their start.
    """

    samples: Array
    methods: Array
    effective_sample_size: npt.NDArray[np.float64]

    def __repr__(self) -> str:
        n_samples, n, D = self.samples.shape
        ess = ""
        if not self.exact.all():
            low = self.effective_sample_size[~self.exact]
            ess = f"; effective sample size {low.min():.1f} to {low.max():.1f}"
        return (
            f"<Imputation of {n} rows of {D}, {n_samples} sample{'s' * (n_samples != 1)} each: "
            f"{self.method} ({listed_methods(self.methods)}{ess})>"
        )


@dataclass(frozen=True, repr=False)
class Marginal(_ByMethod):
    """Marginal log-probabilities of what was observed, and how they came about.

    Attributes
    ----------
    log_prob : ndarray of float64, shape (N,)
        log p(x_observed) of each row, in nats.
    standard_error : ndarray, shape (N,)
        Of log_prob, in nats: 0 where it is exact. An estimate, itself too low where the effective
        sample size is small.
    methods : ndarray of str, shape (N,)
        Of each row: product, closed-form, order or enumeration, which are exact, or importance.
    effective_sample_size : ndarray, shape (N,)
        How many of the particles count; infinite where it is exact.
    """

    log_prob: npt.NDArray[np.float64]
    standard_error: npt.NDArray[np.float64]
    methods: Array
    effective_sample_size: npt.NDArray[np.float64]

    def __repr__(self) -> str:
        error = ""
        if not self.exact.all():
            error = f"; standard error up to {self.standard_error.max():.2g} nats"
        return (
            f"<Marginal of {len(self.log_prob)} rows: {self.method} "
            f"({listed_methods(self.methods)}{error})>"
        )


def warn_if_small(result: Imputation | Marginal, of: str, what: str) -> None:
    """Say so if the effective sample size of some rows is small."""
    small = ~result.exact & (result.effective_sample_size < SMALL)
    if small.any():
        least = result.effective_sample_size[small].min()
        warnings.warn(
            f"the effective sample size is below {SMALL} ({of}) in {small.sum()} of {len(small)} "
            f"rows, {least:.1f} at worst: {what} there; use more, or a model whose order begins "
            "with the observed variables (pyarsimple.orders.observed_first)",
            UserWarning,
            stacklevel=4,
        )


def _least_exact(methods: list[Array]) -> Array:
    """The method of each row that is furthest from a product of conditionals, (N,)."""
    ranks = [*EXACT, *METHODS[2:]]
    return np.array([max(row, key=ranks.index) for row in zip(*methods, strict=True)], "<U11")
