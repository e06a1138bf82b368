"""Why MADE masks its autoencoder: the same network with and without masks, beside each other.

Both are trained on the same patches of 3x4 pixels of handwritten digits, to lower the same sum of
logistic losses. Of 12 bits all 4096 rows can be enumerated, so that what "exp(-loss)" sums to can
be seen.

    python examples/autoencoder.py
"""

import numpy as np

import pyarsimple
from pyarsimple import checks, datasets, reports
from pyarsimple.autoencoder import Autoencoder

TOP, LEFT, HEIGHT, WIDTH = 2, 2, 3, 4
D = HEIGHT * WIDTH


def patches(x):
    """Rows (N, 12) of bits from images (N, 64)."""
    images = x.reshape(-1, 8, 8)[:, TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH]
    return images.reshape(-1, D)


def main():
    data = datasets.digits()
    train, test = patches(data.train), patches(data.test)
    every = (np.arange(2**D)[:, np.newaxis] >> np.arange(D)) & 1  # all of {0,1}^12

    masked = pyarsimple.MADE(D, (50,), rng=0)
    free = Autoencoder(D, (50,), rng=0)
    rows, epochs = [], 0
    for total in (0, 1, 5, 20, 100):
        pyarsimple.fit(masked, train, max_epochs=total - epochs, rng=total)
        free.fit(train, max_epochs=total - epochs, rng=total)
        epochs = total
        rows.append([
            str(epochs),
            float(-masked.log_prob(test).mean()), float(np.exp(masked.log_prob(every)).sum()),
            float(free.reconstruction_loss(test).mean()),
            float(np.exp(-free.reconstruction_loss(every)).sum()),
        ])  # fmt: skip
    columns = [("epochs", ""), ("MADE: nats", ".2f"), ("sums to", ".3f"),
               ("autoencoder: nats", ".2f"), ("sums to", ".1f")]  # fmt: skip
    print(reports.table(columns, rows))

    print("\nWhich output depends on which input, by changing the inputs: MADE")
    print(dependencies(masked.conditionals))
    print("\nthe autoencoder")
    print(dependencies(free.reconstruct))

    # The closest thing to a sample: put noise in, and take what comes out for bits. It settles on
    # the noise itself, for what the network has learnt is to copy.
    rng = np.random.default_rng(0)
    noise = rng.integers(2, size=(1000, D))
    copied = (free.reconstruct(noise) > 0.5) == noise
    print(f"\nOf bits of pure noise the autoencoder returns {copied.mean():.0%} as they were")


def dependencies(conditionals):
    """The matrix that `check_autoregressive` finds; "!" is a dependence that no order allows."""
    report = checks.check_autoregressive(conditionals, D)
    return "\n".join(line for line in str(report).splitlines() if line[:3].strip().isdigit())


if __name__ == "__main__":
    main()
