"""Two ways to classify, p(y | x) directly or by Bayes' rule; and what if half of x is hidden?

Logistic regression models p(y | x). A `GenerativeClassifier` has a density of the images of each
digit: independent pixels (naive Bayes), or a NADE. Nothing has to be done for pixels that are
hidden: they are summed out. Logistic regression needs a number for each pixel, and gets the mean;
or it is trained anew for just the pixels that are seen, which have to be known in advance.

    python examples/classification.py
"""

from functools import partial

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

import pyarsimple
from pyarsimple import datasets, optimizers, reports
from pyarsimple.baselines import IndependentBernoulli
from pyarsimple.classification import GenerativeClassifier

SHARES = (0.1, 1.0)  # of the training labels
UPPER = np.arange(64) < 32  # the pixels of the upper half


def logistic(data, rows, seen):
    """Logistic regression on the pixels that are seen; its strength C by the validation images."""
    fitted = [
        LogisticRegression(C=C, max_iter=5000).fit(data.train[rows][:, seen], data.y_train[rows])
        for C in (0.03, 0.1, 0.3, 1.0, 3.0)
    ]
    x, y = data.valid[:, seen], data.y_valid
    return min(fitted, key=lambda model: log_loss(y, model.predict_proba(x)))


def generative(data, rows, make_model, **settings):
    classifier = GenerativeClassifier(make_model, rng=0, **settings)
    return classifier.fit(
        data.train[rows], data.y_train[rows], X_valid=data.valid, y_valid=data.y_valid
    )


def results(data, rows):
    """Accuracy on the test images, whole ones and upper halves, by each way; in percent."""
    x, y = data.test, data.y_test
    everywhere = np.ones(64, bool)
    direct = logistic(data, rows, everywhere)
    filled = np.where(UPPER, x, data.train[rows].mean(axis=0))
    anew = logistic(data, rows, UPPER)
    yield "logistic regression", direct.score(x, y), direct.score(filled, y)
    yield "  trained for upper halves", None, anew.score(x[:, UPPER], y)
    steps = {
        "optimizer": optimizers.Adam(0.003), "batch_size": 20, "max_epochs": 40, "l2": 1e-3,
    }  # fmt: skip
    classifiers = {
        "naive Bayes": generative(data, rows, IndependentBernoulli),
        "a NADE for each digit": generative(
            data, rows, partial(pyarsimple.NADE, n_hidden=50, hidden="relu", dropout=0.3),
            fit_params=steps,
        ),
        "one MADE, of p(x | y)": generative(
            data, rows, partial(pyarsimple.MADE, hidden_sizes=(200,), dropout=0.3), shared=True,
            fit_params=steps,
        ),
    }  # fmt: skip
    for name, classifier in classifiers.items():
        yield name, classifier.score(x, y), classifier.score(x, y, observed=UPPER)


def main():
    data = datasets.digits()
    table = {}
    for share in SHARES:
        n = round(share * len(data.train))
        for name, *accuracies in results(data, np.arange(n)):
            table.setdefault(name, []).extend(a and 100 * a for a in accuracies)
    columns = [("accuracy in percent", ""), *((f"{s:.0%}: {what}", ".1f") for s in SHARES
               for what in ("whole", "half"))]  # fmt: skip
    print(reports.table(columns, [[name, *row] for name, row in table.items()]))
    print(
        "10% and 100% of the training labels; whole test images, and their upper halves\n"
        f"{len(data.test)} of them: standard errors are 1.3 to 2.9"
    )


if __name__ == "__main__":
    with threadpool_limits(1):  # more threads only get in each other's way at matrices this small
        main()
