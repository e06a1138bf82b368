"""Orders and mixtures over them, on 8x8 handwritten digits.

First a NADE for each of several orders, and their mixture. Then one MADE that is trained for all
orders at once, and asked in 1, 2, 4, ... of them. Last, why probabilities are averaged and not
logits: on patches of 3x4 pixels all 4096 rows can be summed over.

    python examples/orders.py
"""

import numpy as np

import pyarsimple
from pyarsimple import datasets, orders, reports
from pyarsimple.conditionals import sigmoid
from pyarsimple.orders import OrderMixture

SHAPE = (8, 8)
NAMES = ("rows", "hilbert", "spiral", "tree", "mutual-information", "random")


def one_order_each(data):
    """A NADE for each order, what it gives to the test rows, and what their mixture gives."""
    models, lines = [], []
    for k, name in enumerate(NAMES):
        order = orders.make(name, data.n_dims, image_shape=SHAPE, x=data.train, rng=0)
        model = pyarsimple.NADE(
            data.n_dims, 100, hidden="relu", dropout=0.3, order=order, dtype="float32", rng=k
        )
        pyarsimple.fit(model, data.train, data.valid, max_epochs=30, batch_size=50, rng=k)
        models.append(model)
        lines.append([name, float(-model.log_prob(data.test).mean())])
    mixture = OrderMixture(models)
    lines.append(["all of them averaged", float(-mixture.log_prob(data.test).mean())])
    print(reports.table([("order of a NADE", ""), ("nats a digit", ".2f")], lines))


def all_orders_at_once(data):
    """One MADE, its masks drawn for every batch, asked in more and more orders."""
    model = pyarsimple.OrderAgnosticMADE(
        data.n_dims, (300,), n_masks=16, redraw="order", dropout=0.2, dtype="float32", rng=0, seed=0
    )
    pyarsimple.fit(model, data.train, data.valid, max_epochs=60, batch_size=50, rng=0)
    lines = []
    for n in (1, 2, 4, 8, 16):
        mixture = OrderMixture(model.members(n))
        members = np.mean([member.log_prob(data.test).mean() for member in mixture.models])
        lines.append([str(n), float(-members), float(-mixture.log_prob(data.test).mean())])
    columns = [("orders of one MADE", ""), ("mean of them", ".2f"), ("averaged", ".2f")]
    print(reports.table(columns, lines))


def what_sums_to_one(data):
    """The mixture's probabilities, and what comes of averaged logits."""
    patches = data.train.reshape(-1, *SHAPE)[:, 2:5, 3:7].reshape(-1, 12)
    every = (np.arange(2**12)[:, np.newaxis] >> np.arange(12)) & 1  # all of {0,1}^12
    model = pyarsimple.OrderAgnosticMADE(12, (60,), rng=0, seed=0)
    pyarsimple.fit(model, patches, max_epochs=40, rng=0)
    mixture = OrderMixture(model.members(8))
    logits = np.mean([member.forward(every)[0] for member in mixture.models], axis=0)
    products = np.where(every == 1, sigmoid(logits), sigmoid(-logits)).prod(axis=1)
    lines = [
        ["averaged probabilities", float(np.exp(mixture.log_prob(every)).sum())],
        ["averaged logits", float(products.sum())],
    ]
    print(reports.table([("over all 4096 patches", ""), ("sums to", ".3f")], lines))


def main():
    data = datasets.digits()
    one_order_each(data)
    print()
    all_orders_at_once(data)
    print()
    what_sums_to_one(data)


if __name__ == "__main__":
    main()
