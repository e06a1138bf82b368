"""Densities in scikit-learn: a search over models and their sizes, and a pipeline that classifies.

The score of a density is the mean of log p(x), in nats, so that the search finds the model that
gives images which it has not seen the highest likelihood.

    python examples/scikit_learn.py
"""

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from pyarsimple import reports
from pyarsimple.estimators import AutoregressiveDensity, AutoregressiveFeatures


def main():
    X, y = load_digits(return_X_y=True)  # pixels from 0 to 16
    X_train, X_test, y_train, _ = train_test_split(X, y, test_size=500, random_state=0)

    # The score of a density is the mean of log p(x), in nats: higher is better.
    density = AutoregressiveDensity(
        binarize=8, max_epochs=25, batch_size=50, learning_rate=0.005, random_state=0
    )
    grid = [
        {"model": ["independent", "fvsbn"]},
        {"model": ["made"], "hidden_sizes": [50, 200]},
        {"model": ["made"], "hidden_sizes": [200], "dropout": [0.5]},
    ]
    search = GridSearchCV(density, grid, cv=3, n_jobs=2).fit(X_train)
    found = search.cv_results_
    scores = zip(found["mean_test_score"], found["std_test_score"], strict=True)
    rows = [
        [p["model"], p.get("hidden_sizes"), p.get("dropout"), float(mean), float(std)]
        for p, (mean, std) in zip(found["params"], scores, strict=True)
    ]
    columns = [("model", ""), ("units", "d"), ("dropout", ".1f"), ("nats", ".2f"), ("std", ".2f")]
    print(reports.table(columns, rows))
    print(f"\nthe best one on {len(X_test)} images kept back: {search.score(X_test):.2f} nats")
    drawn = search.best_estimator_.sample(1000, random_state=0)
    print(f"ink in its samples: {drawn.mean():.3f}, in real digits: {(X_test > 8).mean():.3f}")

    # Hidden units on the way to a classifier, in one estimator.
    features = AutoregressiveFeatures(**density.set_params(model="made").get_params())
    classifier = make_pipeline(features, LogisticRegression(C=0.3, max_iter=2000))
    accuracy = cross_val_score(classifier, X_train, y_train, cv=3)
    print(f"\n{classifier.steps[0][0]} and logistic regression: accuracy {accuracy.mean():.3f}")


if __name__ == "__main__":
    with threadpool_limits(1):  # more threads only get in each other's way at matrices this small
        main()
