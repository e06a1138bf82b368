"""Promise: false alarms are as rare as was asked for, and two sides see what is too likely."""

import numpy as np
import pytest
import registry
from scipy import stats

from pyarsimple import NADE
from pyarsimple.anomaly import AnomalyDetector


class Values:
    """A density whose rows are their own log-probabilities."""

    def log_prob(self, x, context=None):
        return np.asarray(x, float)[:, 0]


def detector(valid, rate, two_sided=False):
    made = AnomalyDetector(Values(), false_alarm_rate=rate, two_sided=two_sided)
    return made.fit(np.reshape(valid, (-1, 1)))


def column(values):
    return np.reshape(values, (-1, 1))


# Checks: each is seen to fail below.


def check_rate(two_sided):
    """Over validation sets and new rows, alarms come at the rate k / (n + 1), here 0.1."""
    rng, n, rate = np.random.default_rng(0), 39, 0.1
    values = rng.gumbel(size=(4000, n + 1)) ** 3  # skewed; the last of each is the new one
    alarms = [detector(row[:-1], rate, two_sided).is_anomaly(column(row[-1:]))[0] for row in values]
    assert stats.binomtest(int(np.sum(alarms)), len(alarms), rate).pvalue > 1e-4


def check_p_values(two_sided):
    """Uniform on their multiples of 1 / (n + 1), and an alarm just where they are low enough."""
    rng, n = np.random.default_rng(1), 59
    p = np.empty(3000)
    for k in range(len(p)):
        valid, new = rng.normal(size=n), column(rng.normal(size=1))
        d = detector(valid, 0.07, two_sided)
        p[k] = d.p_value(new)[0]
        assert d.is_anomaly(new)[0] == (p[k] <= 0.07)
        assert (d.score(new)[0] > d.threshold) == d.is_anomaly(new)[0]
    step = (2 if two_sided else 1) / (n + 1)
    counts = np.bincount(np.rint(p / step).astype(int), minlength=round(1 / step) + 1)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 1e-4


def check_both_ends(two_sided=True):
    """What is too likely is strange as well."""
    d = detector(np.arange(99.0), 0.1, two_sided)
    far = column([-50.0, 150.0])
    assert d.is_anomaly(far).tolist() == [True, two_sided]
    assert d.score(far)[0] > d.score(column([49.0]))[0]
    assert (d.score(far)[1] > d.threshold) == two_sided


@pytest.mark.parametrize("two_sided", [False, True])
def test_false_alarms_come_at_the_rate(two_sided):
    check_rate(two_sided)
    check_p_values(two_sided)


def test_one_side_and_two():
    check_both_ends(two_sided=False)
    check_both_ends(two_sided=True)


def test_by_hand():
    d = detector([3, 1, 4, 2, 5, 9, 8, 7, 6], 0.2)  # k = 2
    assert d.thresholds == (2, np.inf)
    assert d.threshold == -2
    assert d.is_anomaly(column([1, 1.99, 2, 9, 99])).tolist() == [True, True, False, False, False]
    assert d.p_value(column([0, 1, 1.5, 2, 99])).tolist() == [0.1, 0.2, 0.2, 0.3, 1.0]
    two = detector([3, 1, 4, 2, 5, 9, 8, 7, 6], 0.4, two_sided=True)  # 2 on each side
    assert two.thresholds == (2, 8)
    assert two.typical == 5
    assert two.is_anomaly(column([1, 2, 5, 8, 8.5])).tolist() == [True, False, False, False, True]
    assert two.p_value(column([0, 5, 99])).tolist() == [0.2, 1.0, 0.2]
    assert two.score(column([2, 5, 8, 11])).tolist() == [1, 0, 1, 2]


def test_the_rate_that_the_validation_rows_at_hand_give():
    """For given validation rows the rate is a random number of a beta distribution."""
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(600):
        d = detector(rng.random(79), 0.1)
        low, high = d.rate_interval(0.8)
        inside += low <= d.thresholds[0] <= high  # of uniform numbers: the rate itself
    assert stats.binomtest(inside, 600, 0.8).pvalue > 1e-4
    two = detector(rng.random(79), 0.1, two_sided=True)
    assert two.rate_interval(0.9) == pytest.approx(stats.beta(8, 72).interval(0.9))


def test_equal_log_probabilities_only_lower_the_rate():
    d = detector([1.0] * 50 + [2.0] * 49, 0.1)
    assert not d.is_anomaly(column([1.0, 2.0])).any()
    assert d.is_anomaly(column([0.5])).all()
    same = detector([1.0] * 99, 0.1, two_sided=True)
    assert same.score(column([0.0, 1.0, 2.0])).tolist() == [np.inf, 0, np.inf]
    assert same.is_anomaly(column([0.0, 1.0, 2.0])).tolist() == [True, False, True]


def test_of_a_model():
    model = registry.generic(NADE(5, 4, rng=0), 0)
    d = AnomalyDetector(model, false_alarm_rate=0.05).fit(model.sample(400, rng=0))
    new = model.sample(3000, rng=1)
    low, high = d.rate_interval(0.9999)
    assert d.is_anomaly(new).mean() <= high + 0.02
    assert (d.score(new) == -model.log_prob(new)).all()
    assert low < 0.05 < high
    assert repr(d) == (
        "<AnomalyDetector: false_alarm_rate=0.05, two_sided=False, fitted to 400 rows>"
    )


def test_of_a_model_with_a_context():
    model = registry.generic(NADE(4, 3, context=2, rng=0), 0)
    y = np.random.default_rng(0).normal(size=(50, 2))
    x = model.sample(50, context=y, rng=0)
    with pytest.raises(ValueError, match="context is missing"):
        AnomalyDetector(model, false_alarm_rate=0.1).fit(x)
    import pyarsimple

    with pyarsimple.backend("numpy"):
        d = AnomalyDetector(model, false_alarm_rate=0.1).fit(x, y)
        assert d.p_value(x, y).min() > 0


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, "x", np.nan, True])
def test_a_rate_is_checked(rate):
    with pytest.raises(ValueError, match="false_alarm_rate must be a number above 0 and below 1"):
        AnomalyDetector(Values(), false_alarm_rate=rate)


@pytest.mark.parametrize(("n", "two_sided"), [(99, False), (199, True)])
def test_too_few_validation_rows(n, two_sided):
    detector(np.arange(n), 0.01, two_sided)
    with pytest.raises(ValueError, match=f"at least {n} rows .* got {n - 1}; add rows, or raise"):
        detector(np.arange(n - 1), 0.01, two_sided)


def test_nothing_before_fit():
    d = AnomalyDetector(Values())
    assert "not fitted" in repr(d)
    for ask in (d.score, d.p_value, d.is_anomaly):
        with pytest.raises(RuntimeError, match=r"call fit\(x_valid\) first"):
            ask(column([1.0]))


def test_nan_is_refused():
    with pytest.raises(ValueError, match="log_prob of row 1 is NaN"):
        detector([0.0, np.nan], 0.4)


# Bugs that people write, each beside the check that must catch it.


def k_of_n(patch):
    """The quantile of the validation rows, as if the new one were among them."""
    patch.setattr("pyarsimple.anomaly._floor", lambda value: int(np.ceil(value)) + 1)


def p_values_without_one(patch):
    def wrong(self, log_p):
        low = np.searchsorted(self.valid, log_p, side="right") / self.n_valid
        high = 1 - low
        return np.minimum(1, 2 * np.minimum(low, high)) if self.two_sided else low

    patch.setattr(AnomalyDetector, "p_value_of", wrong)


def the_whole_rate_on_either_side(patch):
    right = AnomalyDetector.fit

    def wrong(self, x_valid, context=None):
        right(self, x_valid, context)
        self._k *= 2
        return self

    patch.setattr(AnomalyDetector, "fit", wrong)


def one_side_forgotten(patch):
    patch.setattr(AnomalyDetector, "is_anomaly_of", lambda self, log_p: log_p < self.thresholds[0])


def the_wrong_end(patch):
    patch.setattr(AnomalyDetector, "score_of", lambda self, log_p: log_p)


BUGS = [
    (k_of_n, check_rate),
    (p_values_without_one, check_p_values),
    (the_whole_rate_on_either_side, check_rate),
    (one_side_forgotten, check_both_ends),
    (one_side_forgotten, check_rate),
    (the_wrong_end, check_p_values),
]


@pytest.mark.parametrize(("plant", "check"), BUGS, ids=lambda f: f.__name__)
def test_bugs_are_caught(plant, check, monkeypatch):
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        check(two_sided=True)
