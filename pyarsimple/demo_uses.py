"""What the demo shows a density to be for: completions, anomalies, and classes; a picture of each.

Every figure is of the test split, which neither training nor the choice of the model has seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyarsimple import optimizers, plots
from pyarsimple.anomaly import AnomalyDetector
from pyarsimple.autoregressive import Array, AutoregressiveModel
from pyarsimple.classification import GenerativeClassifier
from pyarsimple.models.nade import NADE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_COMPLETED = 8  # rows, of half of which the lower half is hidden, and of half the right one
N_COMPLETIONS = 8
FALSE_ALARM_RATE = 0.05
N_CLASSIFIED = 6
ROWS_SEEN = (1, 2, 4, 8)  # of the 8 rows of pixels, from the top

#: Of each digit's NADE; chosen on the validation split.
CLASSIFIER: dict[str, Any] = {"n_hidden": 50, "hidden": "relu", "dropout": 0.3, "dtype": "float32"}
CLASSIFIER_TRAINING: dict[str, Any] = {"batch_size": 20, "l2": 1e-3}
CLASSIFIER_EPOCHS = 40


Shape = tuple[int, int]


@dataclass
class Use:
    """One of the demo's uses.

    Attributes
    ----------
    file : str
        Of the picture.
    what : str
        What the picture shows, in a few words.
    told : str
        What came of it, in a sentence.
    found : dict
        The same and more, for JSON.
    figure : Figure
    """

    file: str
    what: str
    told: str
    found: dict[str, Any]
    figure: Figure


def complete(
    model: AutoregressiveModel, x: Array, shape: Shape, rng: np.random.SeedSequence
) -> Use:
    """Images with a half hidden, and completions of them.

    The upper half comes first in raster order: there completions are exact samples. The left half
    does not, and importance sampling says how good it is.
    """
    x, (height, width) = x[:N_COMPLETED], shape
    row, column = np.divmod(np.arange(height * width), width)
    upper = np.arange(len(x)) < len(x) // 2
    observed = np.where(upper[:, np.newaxis], row < height // 2, column < width // 2)
    done = model.impute(x, observed, n_samples=N_COMPLETIONS, rng=rng)
    sizes = done.effective_sample_size
    found = {
        "seen": ["upper half" if up else "left half" for up in upper],
        "methods": [str(method) for method in done.methods],
        "effective_sample_sizes": sizes.tolist(),
        "share_of_drawn_pixels_that_differ": float((done.samples != x)[:, ~observed].mean()),
    }
    told = (
        "Digits with a half hidden: where the upper half is seen, completions are exact samples; "
        f"where the left one is, an effective sample size of {sizes[~upper].min():.0f} to "
        f"{sizes[~upper].max():.0f} says how good they are."
    )
    return Use(
        "completions.png", "digits with a half hidden, completed", told, found,
        plots.completions(x, observed, done.samples, shape),
    )  # fmt: skip


def find_anomalies(
    model: AutoregressiveModel, x: Array, shape: Shape, rng: np.random.SeedSequence
) -> Use:
    """Digits against what is none; the first half of x gives the threshold, the other is new."""
    ordinary, new = x[: len(x) // 2], x[len(x) // 2 :]
    generator = np.random.default_rng(rng)
    sets = {
        "digits, new": new,
        "upside down": new.reshape(-1, *shape)[:, ::-1].reshape(new.shape),
        "noise, on as often": (generator.random(new.shape) < new.mean(axis=0)).astype(new.dtype),
        "noise": (generator.random(new.shape) < 0.5).astype(new.dtype),
        "inverted": 1 - new,
    }
    detector = AnomalyDetector(model, false_alarm_rate=FALSE_ALARM_RATE).fit(ordinary)
    log_p = {name: model.log_prob(rows) for name, rows in sets.items()}
    alarms = {name: float(detector.is_anomaly_of(v).mean()) for name, v in log_p.items()}
    low, _ = detector.thresholds
    found = {
        "false_alarm_rate": FALSE_ALARM_RATE, "threshold": low, "n_valid": detector.n_valid,
        "alarms": alarms,
    }  # fmt: skip
    told = (
        f"Alarms where log p < {low:.1f} nats: {alarms['digits, new']:.1%} of new digits (the "
        f"threshold is for {FALSE_ALARM_RATE:.0%}), {alarms['noise']:.1%} of noise, "
        f"{alarms['inverted']:.1%} of inverted digits, {alarms['upside down']:.1%} upside down."
    )
    figure = plots.anomalies(log_p, detector.thresholds, images=sets, image_shape=shape)
    return Use("anomalies.png", "log p of digits, and of what is none", told, found, figure)


def classify(
    labelled: Mapping[str, tuple[Array, Array]],
    shape: Shape,
    rng: np.random.SeedSequence,
    *,
    max_epochs: int,
    progress: str | bool = False,
) -> Use:
    """A NADE for each digit and Bayes' rule: what they say while the rows are uncovered.

    Parameters
    ----------
    labelled : mapping
        Rows and labels of train, valid and test.
    shape : (height, width)
    rng : SeedSequence
    max_epochs : int
        Of each NADE.
    progress : str or bool
        The title of a bar, one step a NADE.
    """
    classifier = _train(labelled, rng, max_epochs, progress)
    (x, y), (height, width) = labelled["test"], shape
    row = np.arange(height * width) // width
    seen = {n: row < n for n in ROWS_SEEN}
    right = {n: classifier.score(x, y, observed=mask) for n, mask in seen.items()}
    found = {"n": len(y), "accuracy_by_rows_of_pixels_seen": {str(n): v for n, v in right.items()}}
    told = "Test digits told apart by a NADE for each of the ten, by rows of pixels seen: "
    told += ", ".join(f"{share:.1%} ({n} of {height})" for n, share in right.items()) + "."
    first = [np.flatnonzero(y == label)[0] for label in classifier.classes_[:N_CLASSIFIED]]
    titles = {f"{n} of {height} rows seen": mask for n, mask in seen.items()}
    figure = plots.posteriors(classifier, x[first], y[first], titles, shape)
    return Use("classes.png", "which digit is it, row by row", told, found, figure)


def _train(
    labelled: Mapping[str, tuple[Array, Array]],
    rng: np.random.SeedSequence,
    max_epochs: int,
    progress: str | bool,
) -> GenerativeClassifier:
    """The classifier; a bar shows how many of its models are begun."""
    x, y = labelled["train"]
    x_valid, y_valid = labelled["valid"]
    with contextlib.ExitStack() as stack:
        begun: Callable[[], object] = int  # does nothing
        if progress:
            from tqdm import tqdm

            bar = tqdm(total=len(np.unique(y)), desc=str(progress), unit="model",
                       dynamic_ncols=True)  # fmt: skip
            begun = stack.enter_context(bar).update

        def make_model(n_dims: int, *, rng: Any) -> NADE:
            begun()
            return NADE(n_dims, rng=rng, **CLASSIFIER)

        training = CLASSIFIER_TRAINING | {
            "optimizer": optimizers.Adam(0.003), "max_epochs": max_epochs,
        }  # fmt: skip
        classifier = GenerativeClassifier(
            make_model, fit_params=training, rng=np.random.default_rng(rng)
        )
        return classifier.fit(x, y, X_valid=x_valid, y_valid=y_valid)
