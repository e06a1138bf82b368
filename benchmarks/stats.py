"""The few statistics of the benchmark: medians, quartiles, and ratios of what took turns."""

import numpy as np


def summary(rounds):
    """Median and quartiles, in seconds, of all calls of all rounds; and how many there were."""
    calls = np.concatenate([np.asarray(r, float) for r in rounds])
    low, median, high = np.percentile(calls, [25, 50, 75])
    return {
        "median": float(median),
        "lower_quartile": float(low),
        "upper_quartile": float(high),
        "n_calls": len(calls),
    }


def ratio(numerator, denominator):
    """How many times longer one took than the other.

    ``median`` is the ratio of the medians of all calls. The quartiles are those of the ratio within
    a round, of which both took part at nearly the same time: they say how far to trust it.
    """
    value = summary(numerator)["median"] / summary(denominator)["median"]
    pairs = zip(numerator, denominator, strict=True)
    per_round = [np.median(a) / np.median(b) for a, b in pairs]
    low, high = np.percentile(per_round, [25, 75])
    return {"median": value, "lower_quartile": float(low), "upper_quartile": float(high)}


def relative_error(result, expected):
    """The norm of the difference over the norm of what is expected; infinite if not finite."""
    result, expected = np.asarray(result, float), np.asarray(expected, float)
    if result.shape != expected.shape or not np.isfinite(result).all():
        return float("inf")
    norm = float(np.linalg.norm(expected))
    difference = float(np.linalg.norm(result - expected))
    return difference / norm if norm else (0.0 if difference == 0 else float("inf"))
