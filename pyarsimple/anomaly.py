"""Anomaly detection: which rows does a density hold to be too strange, or too ordinary.

    log p(x) < threshold            an alarm

The threshold follows from how often an alarm may be false, by *validation* data: ordinary rows on
which the model was not trained. With n of them, and k = floor(rate (n + 1)), it is the k-th lowest
of their log-probabilities. If a new ordinary row and they could be exchanged for each other (as if
drawn independently from one distribution), then its log-probability is equally likely to fall into
any of the n + 1 gaps between theirs, so

    P(false alarm) = k / (n + 1) <= rate              (less where log-probabilities are equal)

whatever the model is and however well it fits. This is the guarantee of conformal prediction. It is
one on average over validation sets; with the one set at hand, the rate of false alarms is a random
number of distribution Beta(k, n + 1 - k), of which `AnomalyDetector.rate_interval` tells the width.
Of the share of anomalies that are found nothing is guaranteed.

**Typicality.** A low likelihood is not the only way of being strange. The likeliest rows of all may
be ones that never occur: a coin that falls heads in 9 of 10 throws falls so 100 times in a row with
probability 0.00003, though no other sequence is more probable; typical sequences have ten tails. So
simple rows, such as images without the noise that ordinary ones have, can have *higher* likelihoods
than all of those, and a test of low likelihood passes them. The two-sided test sounds an alarm
there too: at either end of the log-probabilities, with half of the rate each.

References: Vovk, Gammerman and Shafer (2005), "Algorithmic learning in a random world"; Bates et
al. (2023), "Testing for outliers with conformal p-values", arXiv:2104.08279; Nalisnick et al.
(2019), "Detecting out-of-distribution inputs to deep generative models using typicality",
arXiv:1906.02994.
"""

from __future__ import annotations

import math
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_number

Array = npt.NDArray[np.float64]


class Scorer(Protocol):
    """What a density needs to have here."""

    def log_prob(self, x: npt.ArrayLike, context: Any = None) -> Array:
        """log p(x) of each row, (N,)."""


class AnomalyDetector:
    """Alarms at a rate of false alarms that is chosen. See the module's docstring.

        detector = AnomalyDetector(model, false_alarm_rate=0.01).fit(x_valid)
        detector.is_anomaly(x)

    Parameters
    ----------
    model : density
        Whatever has ``log_prob``.
    false_alarm_rate : float
        How many of ordinary rows may cause an alarm, in (0, 1).
    two_sided : bool
        Whether a log-probability that is too high causes one, too.

    Attributes
    ----------
    thresholds : tuple of float
        The lowest and the highest log-probability, in nats, that cause no alarm; of the one-sided
        test the highest is infinite.
    typical : float
        The median log-probability of the validation rows.
    n_valid : int
        How many there were.
    """

    def __init__(
        self, model: Scorer, *, false_alarm_rate: float = 0.01, two_sided: bool = False
    ) -> None:
        self.model = model
        self.false_alarm_rate = check_number(
            false_alarm_rate, "false_alarm_rate", high=1, open_low=True
        )
        self.two_sided = bool(two_sided)
        self._valid: Array | None = None
        self._k = 0

    def __repr__(self) -> str:
        fitted = "not fitted" if self._valid is None else f"fitted to {self.n_valid} rows"
        return (
            f"<AnomalyDetector: false_alarm_rate={self.false_alarm_rate:g}, "
            f"two_sided={self.two_sided}, {fitted}>"
        )

    def fit(self, x_valid: npt.ArrayLike, context: npt.ArrayLike | None = None) -> Self:
        """Find the thresholds.

        Parameters
        ----------
        x_valid : array_like, shape (N, D)
            Ordinary rows that the model has not been trained on: of those it has, the likelihoods
            are too high. N must be at least 1 / false_alarm_rate - 1, twice that for two sides.
        context : array_like, optional
            If the model has one.

        Raises
        ------
        ValueError
            If there are too few rows: no alarm could have so low a rate.
        """
        scores = np.sort(self._log_prob(x_valid, context))
        rate = self.false_alarm_rate / (2 if self.two_sided else 1)
        k = _floor(rate * (len(scores) + 1))
        if k < 1:
            raise ValueError(
                f"x_valid must have at least {math.ceil(1 / rate - 1 - 1e-9)} rows for a "
                f"false_alarm_rate of {self.false_alarm_rate:g}"
                f"{', two-sided' * self.two_sided}, got {len(scores)}; add rows, or raise the rate"
            )
        self._valid, self._k = scores, k
        return self

    def _log_prob(self, x: npt.ArrayLike, context: npt.ArrayLike | None) -> Array:
        log_p = self.model.log_prob(x) if context is None else self.model.log_prob(x, context)
        log_p = np.asarray(log_p, np.float64)
        if np.isnan(log_p).any():
            row = int(np.flatnonzero(np.isnan(log_p))[0])
            raise ValueError(f"log_prob of row {row} is NaN: the model's parameters are broken")
        return log_p

    @property
    def valid(self) -> Array:
        """The log-probabilities of the validation rows, in rising order."""
        if self._valid is None:
            raise RuntimeError("the detector has no thresholds yet: call fit(x_valid) first")
        return self._valid

    @property
    def n_valid(self) -> int:
        """How many validation rows there were."""
        return len(self.valid)

    @property
    def thresholds(self) -> tuple[float, float]:
        """The lowest and the highest log-probability that cause no alarm."""
        low, high = self.valid[self._k - 1], self.valid[-self._k]
        return float(low), float(high) if self.two_sided else math.inf

    @property
    def typical(self) -> float:
        """The median log-probability of the validation rows."""
        return float(np.median(self.valid))

    def rate_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Where the rate of false alarms lies, given that the validation rows are a random draw.

        It is one over such draws, if no log-probabilities are equal; if some are, the rate may lie
        below.

        Parameters
        ----------
        confidence : float
            How often the interval contains the rate.
        """
        from scipy.stats import beta

        confidence = check_number(confidence, "confidence", high=1, open_low=True)
        n, k = self.n_valid, self._k * (2 if self.two_sided else 1)
        low, high = beta.interval(confidence, k, n + 1 - k)
        return float(low), float(high)

    def score(self, x: npt.ArrayLike, context: npt.ArrayLike | None = None) -> Array:
        """How strange each row is, (N,): an alarm above `threshold`.

        One-sided it is -log p(x), in nats. Two-sided it is the distance of log p(x) from its
        typical value, the median of the validation rows, over that of the threshold on its side.
        """
        return self.score_of(self._log_prob(x, context))

    def score_of(self, log_p: npt.ArrayLike) -> Array:
        """The scores of rows whose log-probabilities (N,) are known."""
        log_p, (low, high) = np.asarray(log_p, np.float64), self.thresholds
        if not self.two_sided:
            negative: Array = -log_p
            return negative
        off = log_p - self.typical
        side = np.where(off < 0, self.typical - low, high - self.typical)
        beyond = np.where(off == 0, 0.0, np.inf)  # where the threshold is the median itself
        result: Array = np.divide(np.abs(off), side, out=beyond, where=side > 0)
        return result

    @property
    def threshold(self) -> float:
        """Of the score."""
        return 1.0 if self.two_sided else -self.thresholds[0]

    def p_value(self, x: npt.ArrayLike, context: npt.ArrayLike | None = None) -> Array:
        """Of an ordinary row, how likely one is that is as strange as this one; (N,).

        Conformal p-values: under the assumption of the module's docstring one is at most a with a
        probability of at most a. They are multiples of 1 / (n + 1), two-sided of 2 / (n + 1).
        """
        return self.p_value_of(self._log_prob(x, context))

    def p_value_of(self, log_p: npt.ArrayLike) -> Array:
        """The p-values of rows whose log-probabilities (N,) are known."""
        log_p, n = np.asarray(log_p, np.float64), self.n_valid
        low: Array = (1 + np.searchsorted(self.valid, log_p, side="right")) / (n + 1)
        if not self.two_sided:
            return low
        high = (1 + n - np.searchsorted(self.valid, log_p, side="left")) / (n + 1)
        both: Array = np.minimum(1, 2 * np.minimum(low, high))
        return both

    def is_anomaly(
        self, x: npt.ArrayLike, context: npt.ArrayLike | None = None
    ) -> npt.NDArray[np.bool_]:
        """Whether each row causes an alarm, (N,): its p-value is at most false_alarm_rate."""
        return self.is_anomaly_of(self._log_prob(x, context))

    def is_anomaly_of(self, log_p: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """The alarms of rows whose log-probabilities (N,) are known."""
        log_p, (low, high) = np.asarray(log_p, np.float64), self.thresholds
        result: npt.NDArray[np.bool_] = (log_p < low) | (log_p > high)
        return result


def _floor(value: float) -> int:
    """The whole number below, rounding errors of what ought to be whole forgiven."""
    return math.floor(value * (1 + 1e-12))
