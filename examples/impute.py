"""Complete handwritten digits of which a half is hidden, in every way that the library knows.

A NADE in raster order completes the lower half exactly. The upper half it cannot: what was observed
comes last in its order. Then importance sampling says how good it is; a model in another order, or
one that was trained for all orders, is exact. Needs scikit-learn and Matplotlib; takes some
seconds.

    python examples/impute.py [--epochs 30] [--out completions.png]
"""

import argparse

import numpy as np
from threadpoolctl import threadpool_limits

import pyarsimple
from pyarsimple import datasets, orders, plots
from pyarsimple.reports import table

SEEN = {
    "upper half": np.arange(64) < 32,
    "lower half": np.arange(64) >= 32,
    "left half": np.arange(64) % 8 < 4,
    "a third of all, scattered": np.random.default_rng(5).random(64) < 1 / 3,
    "all but 4x4 in the middle": ~np.pad(np.ones((4, 4), bool), 2).reshape(-1),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", help="a picture of completions of the upper half")
    args = parser.parse_args()

    data = datasets.digits()
    x = data.test[:20]

    def train(model):
        pyarsimple.fit(model, data.train, data.valid, max_epochs=args.epochs, rng=0)
        return model

    raster = train(pyarsimple.NADE(64, 200, hidden="relu", dropout=0.3, rng=0))
    rows = []
    for name, observed in SEEN.items():
        done = raster.impute(x, observed, n_samples=5, n_particles=500, rng=0)
        marginal = raster.marginal(x, observed, n_particles=500, rng=0)
        wrong = (done.samples != x)[:, :, ~observed].mean()
        ess = None if done.exact.all() else float(np.median(done.effective_sample_size))
        rows.append([
            name, done.method, ess, float(marginal.log_prob.mean()),
            float(marginal.standard_error.max()), float(wrong),
        ])  # fmt: skip
    columns = (("seen", ""), ("method", "s"), ("ess", ".0f"), ("log p(seen)", ".2f"),
               ("s.e.", ".2f"), ("differ", ".3f"))  # fmt: skip
    print("NADE in raster order; differ: share of drawn pixels that are not as in the data\n")
    print(table(columns, rows))

    print("\nlower half seen\n")
    observed = SEEN["lower half"]
    made_for_it = pyarsimple.NADE(
        64, 200, hidden="relu", dropout=0.3, order=orders.observed_first(observed), rng=0
    )
    any_order = pyarsimple.OrderlessNADE(64, (200,), rng=0)
    rows = []
    for name, model in {
        "NADE, raster order": raster,
        "NADE, observed first": train(made_for_it),
        "OrderlessNADE": train(any_order),
    }.items():
        done = model.impute(x, observed, n_samples=5, n_particles=500, rng=0)
        log_p = model.log_prob(x, observed=observed, rng=0)
        wrong = (done.samples != x)[:, :, ~observed].mean()
        rows.append([name, done.method, float(log_p.mean()), float(wrong)])
    print(table((("model", ""), ("method", "s"), ("log p(seen)", ".2f"), ("differ", ".3f")), rows))

    if args.out:
        observed = SEEN["upper half"]
        done = raster.impute(x[:8], observed, n_samples=6, rng=0)
        plots.completions(x[:8], observed, done.samples, (8, 8)).savefig(args.out)


if __name__ == "__main__":
    with threadpool_limits(1):  # more threads only get in each other's way at matrices this small
        main()
