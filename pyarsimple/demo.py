"""The demo: a baseline and three models on real handwritten digits, from data to pictures.

All that it writes goes into one folder: a table of likelihoods as JSON, three pictures, the models.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyarsimple import datasets, evaluation, optimizers, plots, reports, twins
from pyarsimple.autoregressive import AutoregressiveModel
from pyarsimple.models import MODELS
from pyarsimple.training import History, fit


@dataclass(frozen=True)
class Recipe:
    """How a model of the demo is made and trained.

    Attributes
    ----------
    title : str
        Its name in tables and pictures.
    model : str
        Its name in the registry, and of its file.
    settings : dict
        For the constructor.
    training : dict or None
        For `fit`; None where the model has a closed form.
    """

    title: str
    model: str
    settings: Mapping[str, Any]
    training: Mapping[str, Any] | None


#: The settings were chosen on the validation split alone. The data are few (1197 digits), so what
#: matters is what keeps a model from learning them by heart: dropout, and stopping early.
RECIPES = (
    Recipe("independent bits", "independent", {}, None),
    Recipe(
        "FVSBN",
        "fvsbn",
        {},
        {"optimizer": optimizers.LBFGS(n_iterations=5), "l2": 6e-4, "max_epochs": 40},
    ),
    Recipe(
        "NADE",
        "nade",
        {"n_hidden": 200, "hidden": "relu", "dropout": 0.3, "dtype": "float32"},
        {"optimizer": optimizers.Adam(0.01), "average": 0.99, "max_epochs": 50},
    ),
    Recipe(
        "MADE",
        "made",
        {"hidden_sizes": (1000,), "direct": True, "dropout": 0.7, "dtype": "float32"},
        {"optimizer": optimizers.Adam(0.01), "average": 0.99, "max_epochs": 100},
    ),
)

COLUMNS = (
    ("model", ""), ("parameters", ",d"), ("seconds", ".1f"), ("train", ".2f"), ("valid", ".2f"),
    ("test", ".2f"), ("s.e.", ".2f"), ("bits/dim", ".3f"),
)  # fmt: skip
SPLITS = ("train", "valid", "test")
N_SAMPLES = 60
N_MAPS = 4
QUICK_EPOCHS = 2


@dataclass
class Trained:
    """A model of the demo after training, and what that took."""

    recipe: Recipe
    model: AutoregressiveModel
    history: History | None
    seconds: float
    scores: dict[str, evaluation.Score]


def _closed_form(model: Any, x: Any, title: str, progress: bool) -> None:
    """Fit what needs no epochs; the bar shows its one step."""
    from tqdm import tqdm

    with tqdm(total=1, desc=title, unit="step", disable=not progress, dynamic_ncols=True) as bar:
        model.fit(x)
        bar.update()


def train(
    recipe: Recipe,
    data: datasets.Splits,
    rng: np.random.SeedSequence,
    *,
    quick: bool,
    progress: bool,
) -> Trained:
    """Make the model of a recipe, train it and score it on every split."""
    for_model, for_fit = rng.spawn(2)
    title = f"{recipe.title:<{max(len(r.title) for r in RECIPES)}}"
    started = time.perf_counter()
    n_dims = data.train.shape[1]
    model = MODELS[recipe.model](n_dims, rng=for_model, **recipe.settings)
    history = None
    if recipe.training is None:
        _closed_form(model, data.train, title, progress)
    else:
        settings = dict(recipe.training)
        if quick:
            settings["max_epochs"] = QUICK_EPOCHS
        history = fit(
            model,
            data.train,
            data.valid,
            rng=for_fit,
            progress=title if progress else False,
            **settings,
        )
        if history.stopped == "interrupted":
            raise KeyboardInterrupt
    seconds = time.perf_counter() - started
    scores = {name: evaluation.evaluate(model, getattr(data, name)) for name in SPLITS}
    return Trained(recipe, model, history, seconds, scores)


def table(trained: list[Trained]) -> str:
    """The likelihoods of all models, in nats, within 80 columns."""
    rows = []
    for t in trained:
        nll = [t.scores[name].nll for name in SPLITS]
        test = t.scores["test"]
        rows.append([t.recipe.title, t.model.n_params, t.seconds, *nll,
                     test.standard_error, test.bits_per_dim])  # fmt: skip
    return reports.table(COLUMNS, rows)


def results(trained: list[Trained], data: datasets.Splits, seed: int) -> dict[str, Any]:
    """All that the table says and more, for JSON."""
    comparison = evaluation.compare({t.recipe.model: t.model for t in trained}, data.test)
    return {
        "data": data.name,
        "n_dims": int(data.train.shape[1]),
        "rows": {name: len(getattr(data, name)) for name in SPLITS},
        "seed": seed,
        "backend": twins.active_backend(),
        "units": "nll and standard_error in nats per example",
        "models": {t.recipe.model: _result(t) for t in trained},
        "test_differences": comparison.to_dict()["differences"],
    }


def _result(t: Trained) -> dict[str, Any]:
    recipe, history = t.recipe, t.history
    return {
        "title": recipe.title,
        "file": f"{recipe.model}.npz",
        "n_params": t.model.n_params,
        "seconds": t.seconds,
        **{name: asdict(score) for name, score in t.scores.items()},
        "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in recipe.settings.items()},
        "training": recipe.training and {
            k: v if isinstance(v, (int, float, str)) else repr(v) for k, v in recipe.training.items()
        },
        "history": history and history.to_dict(),
    }  # fmt: skip


def draw_samples(trained: list[Trained], data: datasets.Splits, rng: np.random.SeedSequence) -> Any:
    """Real digits beside as many from each model, none of them selected."""
    images = {f"real digits\n(first {N_SAMPLES} of test)": data.test[:N_SAMPLES]}
    for t, stream in zip(trained, rng.spawn(len(trained)), strict=True):
        title = f"{t.recipe.title}\n{t.scores['test'].nll:.2f} nats on test"
        images[title] = t.model.sample(N_SAMPLES, rng=stream)
    return plots.samples(images, data.image_shape)


def draw_learning_curves(trained: list[Trained]) -> Any:
    """The curves of the models that were trained, and the level of those in closed form."""
    return plots.learning_curves(
        {t.recipe.title: t.history for t in trained if t.history is not None},
        references={t.recipe.title: t.scores["valid"].nll for t in trained if t.history is None},
    )


def draw_conditionals(trained: list[Trained], data: datasets.Splits) -> Any:
    """What each model expected of each pixel of a few digits of the test split."""
    models = {t.recipe.title: t.model for t in trained}
    return plots.conditional_maps(models, data.test[:N_MAPS], data.image_shape)


def run(
    out: str | os.PathLike[str], *, seed: int = 0, quick: bool = False, progress: bool = True
) -> dict[str, Any]:
    """Train, print the table, and write pictures, JSON and models to the folder ``out``.

    Parameters
    ----------
    out : path
        A folder, made if need be; files of the same names in it are replaced.
    seed : int
        All that is random follows from it.
    quick : bool
        Two epochs a model: shows that everything works, not what the models can do.
    progress : bool
        Whether to show a bar for each model.

    Returns
    -------
    dict
        What ``results.json`` holds.
    """
    out = reports.make_folder(out)
    plots.new_figure(1, 1)  # says at once, not after a minute, that matplotlib is missing
    data = datasets.digits()
    n_train, n_valid, n_test = (len(getattr(data, name)) for name in SPLITS)
    height, width = data.image_shape
    print(f"Handwritten digits, {height}x{width} pixels, each on or off: "
          f"{n_train} train, {n_valid} valid, {n_test} test\n", flush=True)  # fmt: skip
    streams = np.random.SeedSequence(seed).spawn(len(RECIPES) + 1)
    trained = [
        train(recipe, data, stream, quick=quick, progress=progress)
        for recipe, stream in zip(RECIPES, streams, strict=False)
    ]
    print(f"\n{table(trained)}")
    print("train, valid, test: mean negative log-likelihood in nats, lower is better;\n"
          "s.e.: standard error of the test mean; bits/dim: of test, 1 is a coin a pixel\n",
          flush=True)  # fmt: skip
    found = results(trained, data, seed)
    _write(out, trained, data, found, streams[-1])
    return found


def _write(
    out: Path,
    trained: list[Trained],
    data: datasets.Splits,
    found: dict[str, Any],
    rng: np.random.SeedSequence,
) -> None:
    """Write everything, and say what each file is."""
    wrote = []

    def note(name: str, what: str) -> Path:
        wrote.append(f"  {name:<20} {what}")
        return out / name

    reports.write_figure(
        note("samples.png", "digits that each model drew, beside real ones"),
        draw_samples(trained, data, rng),
    )
    reports.write_figure(
        note("learning_curves.png", "likelihood by epoch, on train and valid"),
        draw_learning_curves(trained),
    )
    reports.write_figure(
        note("conditionals.png", "p(x_i = 1 | x_<i) of every pixel of a few digits"),
        draw_conditionals(trained, data),
    )
    reports.write_text(
        note("results.json", "the table, differences, settings and curves"), reports.to_json(found)
    )
    for t in trained:
        t.model.save(
            note(f"{t.recipe.model}.npz", "the model: pyarsimple.load, or pyarsimple info")
        )
    print(f"Wrote to {os.fspath(out)}:", *wrote, sep="\n")
