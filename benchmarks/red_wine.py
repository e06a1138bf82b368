"""Red wine: a NADE with mixtures of Gaussians (RNADE) on ten folds, beside the published figures.

    python -m benchmarks.red_wine --data FOLDER [--out FILE.json] [--folds N]

As in the papers: eleven measurements of 1599 wines (Cortez et al., 2009), each fold tested once,
log-likelihoods in nats of data standardised by the training mean and deviation. One of the nine
other folds is held out for validation, which stops the training and chose the settings below.

The measurements are rounded, and a density on rounded data has no bound: it may put a spike on each
value. What keeps the figures honest is the floor of the scales, here a hundredth of a standard
deviation (``min_scale`` of the mixture).
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np

import pyarsimple
from pyarsimple import reports
from pyarsimple.baselines import MultivariateGaussian
from pyarsimple.conditionals import GaussianMixture, Standardized
from pyarsimple.optimizers import Adam

#: Chosen on the validation rows of four of the folds.
MODEL = {"n_hidden": 200, "hidden": "relu", "dropout": 0.5}
CONDITIONAL = {"n_components": 10, "min_scale": 0.01}
LEARNING_RATE = 0.005
FIT = {"batch_size": 50, "max_epochs": 150, "patience": 15, "schedule": "cosine", "average": 0.99}

#: Nats in standardised units, ten folds, and where the figure is from.
PUBLISHED = {
    "linear-Gaussian FVBN": (-11.03, "paper"),
    "mixture of factor analysers": (-10.19, "paper"),
    "RNADE, mixture of Gaussians": (-9.36, "paper"),
    "EoRNADE, best": (-8.76, "code"),
}
LEGEND = """\
test log-likelihood in nats, standardised units; s.e. over the folds
paper: Uria et al. 2016, arXiv:1605.02226, as remembered
code: README of the repository MarcCote/NADE"""


def load(folder):
    """The measurements (1599, 11) and the fold, 0 to 9, of each row."""
    path = Path(folder) / "red_wine.npz"
    if not path.is_file():
        raise SystemExit(f"{path} is missing: an .npz with arrays 'all' (N, 11) and 'fold' (N,)")
    with np.load(path, allow_pickle=False) as file:
        return file["all"].astype(np.float64), file["fold"]


def run_fold(x, fold, k):
    """Mean test log-likelihoods in standardised units, one of each model; and the best epoch."""
    held_out = (k + 1) % 10
    train, valid, test = x[(fold != k) & (fold != held_out)], x[fold == held_out], x[fold == k]
    conditional = Standardized.fit(GaussianMixture(**CONDITIONAL), train)
    log_det = conditional.transform.log_det  # of the change of units
    model = pyarsimple.NADE(x.shape[1], **MODEL, conditional=conditional, rng=k)
    model.initialize_from(train)
    history = pyarsimple.fit(model, train, valid, optimizer=Adam(LEARNING_RATE), **FIT, rng=k)
    gaussian = MultivariateGaussian(x.shape[1]).fit(np.concatenate([train, valid]))
    return {
        "fold": k,
        "epoch": history.best_epoch,
        "valid": float(model.log_prob(valid).mean() - log_det),
        "test": float(model.log_prob(test).mean() - log_det),
        "gaussian": float(gaussian.log_prob(test).mean() - log_det),
    }


def mean_and_error(values):
    """Over the folds."""
    return np.mean(values), np.std(values, ddof=1) / math.sqrt(len(values))


def main(argv=None):
    """Print the table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.red_wine", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--data", required=True, metavar="FOLDER", help="holds red_wine.npz")
    parser.add_argument("--out", metavar="FILE.json", help="also write the figures here")
    parser.add_argument(
        "--folds", type=int, default=10, choices=range(2, 11), metavar="N", help="only the first N"
    )
    args = parser.parse_args(argv)
    x, fold = load(args.data)
    start, results = time.perf_counter(), []
    for k in range(args.folds):
        results.append(run_fold(x, fold, k))
        print(
            "fold {fold}: epoch {epoch:3d}, valid {valid:7.3f}, test {test:7.3f}".format(
                **results[-1]
            ),
            flush=True,
        )
    columns = (("model", ""), ("nats", ".3f"), ("s.e.", ".3f"), ("from", ""))
    rows = [
        [name, *mean_and_error([r[key] for r in results]), "here"]
        for name, key in (
            ("RNADE of this library", "test"),
            ("full-covariance Gaussian", "gaussian"),
        )
    ]
    rows += [[name, value, None, source] for name, (value, source) in PUBLISHED.items()]
    print(f"\n{reports.table(columns, rows)}\n")
    print(LEGEND)
    print(f"{time.perf_counter() - start:.0f} s")
    if args.out:
        reports.write_text(Path(args.out), reports.to_json({"folds": results}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
