"""Hidden units as features: do they tell digits apart better than pixels do?

A NADE and a MADE are trained on images of digits, without their labels. Then a logistic regression
learns the labels, of 10%, 50% or all of the training images, from their hidden units
(``model.features(x)``) or from the pixels; its strength C is chosen on the validation images. The
units of the same networks before training tell how much of it is the training's doing.

    python examples/features.py
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

import pyarsimple
from pyarsimple import MADE, NADE, datasets, optimizers, reports

SHARES = (0.1, 0.5, 1.0)
N_DRAWS = 3  # of which images have labels; the results are means over them
STRENGTHS = (0.1, 0.3, 1.0)


def accuracies(h_train, h_valid, h_test, data):
    """Test accuracy for each share of the labels, mean over draws of those labels."""
    results = []
    for share in SHARES:
        found = []
        for draw in range(N_DRAWS if share < 1 else 1):
            rows = np.random.default_rng(draw).permutation(len(h_train))
            rows = rows[: round(share * len(h_train))]
            fitted = [
                LogisticRegression(C=C, max_iter=5000).fit(h_train[rows], data.y_train[rows])
                for C in STRENGTHS
            ]
            best = min(
                fitted, key=lambda model: log_loss(data.y_valid, model.predict_proba(h_valid))
            )
            found.append(best.score(h_test, data.y_test))
        results.append(100 * float(np.mean(found)))
    return results


def main():
    data = datasets.digits()
    splits = [x for _, x in data.items()]
    rows = [["pixels", 64, *accuracies(*splits, data)]]
    networks = {
        "NADE": NADE(64, 200, hidden="relu", dropout=0.5, rng=0),
        "MADE": MADE(64, (200,), dropout=0.5, rng=0),
    }
    for name, model in networks.items():
        before = [model.features(x) for x in splits]
        pyarsimple.fit(
            model, data.train, data.valid, optimizer=optimizers.Adam(0.003), batch_size=50,
            l2=1e-4, max_epochs=40, rng=0,
        )  # fmt: skip
        after = [model.features(x) for x in splits]
        H = after[0].shape[1]
        both = [np.hstack(pair) for pair in zip(splits, after, strict=True)]
        rows.append([f"units of {name}", H, *accuracies(*after, data)])
        rows.append(["the same, untrained", H, *accuracies(*before, data)])
        rows.append([f"pixels and units of {name}", 64 + H, *accuracies(*both, data)])
    columns = [("features", ""), ("number", "d"), *((f"{s:.0%} of labels", ".1f") for s in SHARES)]
    print(reports.table(columns, rows))
    print(f"accuracy in percent on {len(data.test)} test images; standard errors are about 1.5")


if __name__ == "__main__":
    with threadpool_limits(1):  # more threads only get in each other's way at matrices this small
        main()
