"""Scores of models on data, with their standard errors, and comparisons of models row by row."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple.density import Density


def _mean_and_error(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The mean and its standard error; that of one value is unknown (NaN)."""
    n = len(values)
    error = float(np.std(values, ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return float(values.mean()), error


@dataclass(frozen=True)
class Score:
    """Negative log-likelihood of data under a model.

    Attributes
    ----------
    nll : float
        Mean over the rows, in nats.
    standard_error : float
        Of that mean; NaN for a single row.
    bits_per_dim : float
        The mean in bits, divided by the number of variables.
    n : int
        How many rows.
    """

    nll: float
    standard_error: float
    bits_per_dim: float
    n: int


def _score(log_prob: npt.NDArray[np.float64], n_dims: int) -> Score:
    nll, error = _mean_and_error(-log_prob)
    return Score(nll, error, nll / n_dims / math.log(2), len(log_prob))


def _log_prob(model: Density, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
    log_prob = model.log_prob(x)
    if not len(log_prob):
        raise ValueError("x has no rows: the mean over no rows is not defined")
    return log_prob


def evaluate(model: Density, x: npt.ArrayLike) -> Score:
    """Score the rows of x (N, D) under a model.

    Raises
    ------
    ValueError
        If x has no rows, or is not what the model's ``log_prob`` takes.
    """
    return _score(_log_prob(model, x), model.n_dims)


@dataclass(frozen=True)
class Comparison:
    """What `compare` found; ``print`` it for a table.

    Attributes
    ----------
    scores : dict of str to Score
    differences : dict of (str, str) to (float, float)
        For each pair (a, b): mean over the rows of nll(a) - nll(b) in nats, and its standard error.
        It is a paired difference: what is hard in a row for both models cancels.
    """

    scores: dict[str, Score]
    differences: dict[tuple[str, str], tuple[float, float]]

    @property
    def best(self) -> str:
        """The name of the model of the lowest negative log-likelihood."""
        return min(self.scores, key=lambda name: self.scores[name].nll)

    def to_dict(self) -> dict[str, Any]:
        """As plain dictionaries, for JSON."""
        return {
            "scores": {name: asdict(score) for name, score in self.scores.items()},
            "differences": [
                {"a": a, "b": b, "mean": mean, "standard_error": error}
                for (a, b), (mean, error) in self.differences.items()
            ],
        }

    def __str__(self) -> str:
        width = max(12, *(len(name) for name in self.scores))
        n = next(iter(self.scores.values())).n
        head = f"{'model':<{width}}  {'nll':>9}  {'s.e.':>7}  {'bits/dim':>8}  "
        head += f"{'behind the best':>20}"
        lines = [head, "-" * len(head)]
        for name, s in sorted(self.scores.items(), key=lambda item: item[1].nll):
            behind = "best"
            if name != self.best:
                mean, error = self.differences[name, self.best]
                behind = f"{mean:.3f} +- {error:.3f}"
            lines.append(
                f"{name:<{width}}  {s.nll:>9.3f}  {s.standard_error:>7.3f}  {s.bits_per_dim:>8.4f}"
                f"  {behind:>20}"
            )
        lines.append(f"nll in nats, mean of {n} rows; differences are paired, +- standard error")
        return "\n".join(lines)


def compare(models: Mapping[str, Density], x: npt.ArrayLike) -> Comparison:
    """Score the same rows under several models, with paired differences.

    Parameters
    ----------
    models : mapping of str to model
    x : array_like of bits, shape (N, D)

    Raises
    ------
    TypeError
        If ``models`` is not a mapping of names to models.
    ValueError
        If there is no model or no row, or x is not what the models take.
    """
    if not isinstance(models, Mapping) or not all(
        isinstance(model, Density) for model in models.values()
    ):
        raise TypeError(f"models must be a mapping of names to models, got {models!r:.200}")
    if not models:
        raise ValueError("models is empty: give at least one, as {'name': model}")
    log_probs = {name: _log_prob(model, x) for name, model in models.items()}
    scores = {name: _score(log_probs[name], model.n_dims) for name, model in models.items()}
    differences = {
        (a, b): _mean_and_error(log_probs[b] - log_probs[a])
        for a in models
        for b in models
        if a != b
    }
    return Comparison(scores, differences)
