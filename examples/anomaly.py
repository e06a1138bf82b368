"""Anomaly detection on handwritten digits, and the pitfall of trusting the likelihood alone.

A NADE is trained on the digits 0 to 7. Thresholds come from new images of the same classes; then it
is shown images that it should find strange. The second part does the same with noisy digits, of
which a tenth of the pixels are flipped: images without noise are then more likely than all ordinary
ones, and only the two-sided test finds them. Needs scikit-learn; takes some seconds.

    python examples/anomaly.py [--epochs 40]
"""

import argparse

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

import pyarsimple
from pyarsimple import datasets
from pyarsimple.anomaly import AnomalyDetector
from pyarsimple.reports import table

HELD_OUT = (8, 9)
RATE = 0.05
PARTS = (0.6, 0.1, 0.2, 0.1)  # train, early stopping, thresholds, test

COLUMNS = (
    ("images", ""), ("rows", ",d"), ("log p", ".2f"), ("alarms", ".2f"), ("AUC", ".3f"),
    ("two-sided", ".2f"), ("AUC", ".3f"),
)  # fmt: skip


def judge(data, strange, epochs):
    """Train, find thresholds, and print what becomes of ordinary and strange images."""
    train, valid, calibration, test = data
    model = pyarsimple.NADE(64, 200, hidden="relu", dropout=0.3, rng=0)
    pyarsimple.fit(model, train, valid, max_epochs=epochs, rng=0)
    # From rows that neither training nor early stopping has seen: else alarms are too frequent.
    one = AnomalyDetector(model, false_alarm_rate=RATE).fit(calibration)
    two = AnomalyDetector(model, false_alarm_rate=RATE, two_sided=True).fit(calibration)
    ordinary, rows = model.log_prob(test), []
    for name, x in ({"ordinary, new": test} | strange).items():
        log_p = model.log_prob(x)
        both = np.concatenate([ordinary, log_p])
        truth = np.arange(len(both)) >= len(ordinary)
        row = [name, len(x), float(log_p.mean())]
        for detector in (one, two):
            auc = float(roc_auc_score(truth, detector.score_of(both))) if x is not test else None
            row += [float(detector.is_anomaly_of(log_p).mean()), auc]
        rows.append(row)
    print(table(COLUMNS, rows))
    low, high = two.thresholds
    print(f"\nalarms: log p < {one.thresholds[0]:.2f}; two-sided < {low:.2f} or > {high:.2f} nats")
    low, high = one.rate_interval()
    print(f"rate {RATE}; with these {one.n_valid} rows between {low:.3f} and {high:.3f}\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=40)
    epochs = parser.parse_args().epochs

    pixels, labels = load_digits(return_X_y=True)
    bits, held_out = (pixels >= 8).astype(np.uint8), np.isin(labels, HELD_OUT)
    rng = np.random.default_rng(0)

    clean = datasets.split(bits[~held_out], PARTS, rng=0)
    test = clean[-1]
    noise = (rng.random(test.shape) < 0.5).astype(np.uint8)
    blank = np.zeros_like(test)
    strange = {
        "noise": noise,
        "noise, as often on as digits": (rng.random(test.shape) < test.mean(0)).astype(np.uint8),
        "inverted": 1 - test,
        "blank": blank,
        "upside down": test.reshape(-1, 8, 8)[:, ::-1].reshape(-1, 64),
        "digits 8 and 9": bits[held_out],
    }
    print("digits 0 to 7\n")
    judge(clean, strange, epochs)

    noisy = [x ^ (rng.random(x.shape) < 0.1) for x in clean]
    print("digits 0 to 7, a tenth of the pixels flipped\n")
    judge(noisy, {"noise": noise, "inverted": 1 - test, "blank": blank, "no noise": test}, epochs)


if __name__ == "__main__":
    main()
