"""Test log-likelihoods beside the published ones, each model trained with fixed settings and seeds.

    python -m benchmarks.likelihoods --data FOLDER --out DIR
    python -m benchmarks.likelihoods --data FOLDER --out DIR --only nade/mushrooms fvsbn

A *cell* is a model on a data set, such as nade/mushrooms. Its settings are in
likelihoods_settings.json and were chosen on the validation rows; the test rows are scored once, at
the end. A cell that is finished leaves CELL.json and CELL.npz (the model) in DIR and is not trained
again while its settings and its data stay the same; one that was interrupted goes on from its
checkpoint. likelihoods_data.json lists the data files; likelihoods_published.json holds the figures
to compare with.
"""

import argparse
import hashlib
import json
import math
import os
import sys
from pathlib import Path

import numpy as np

import pyarsimple
from pyarsimple import models, optimizers, orders, reports, storage
from pyarsimple.evaluation import evaluate

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SCHEMA = 1
MODELS = ("fvsbn", "nade", "made")
OPTIMIZERS = {
    "adam": optimizers.Adam,
    "sgd": optimizers.SGD,
    "adagrad": optimizers.AdaGrad,
    "lbfgs": optimizers.LBFGS,
}
SPLITS = ("train", "valid", "test")
#: After a published figure: where it is from. "c" and a figure without a mark can be relied on.
MARKS = {"read": " ", "memory": "m", "doubtful": "?", "c": "c"}
LABEL, COLUMN = 22, 9  # widths of the table: 22 + 6 * 9 = 76


class DataError(Exception):
    """A data file is not there, or not the one that the figures are about."""


def read_json(name):
    return json.loads((HERE / name).read_text(encoding="utf-8"))


# Data.


def hash_rows(x):
    """SHA-256 of bits, whatever the file that held them."""
    return hashlib.sha256(np.ascontiguousarray(x, dtype=np.uint8).tobytes()).hexdigest()


def load_data(folder, name, expected, *, accept_other=False):
    """The three splits, checked against the list, and whether they are the listed ones."""
    path = Path(folder) / f"{name}.npz"
    if not path.is_file():
        raise DataError(f"{path} is missing; its origin: {expected['origin']}")
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {split: file[split] for split in SPLITS}
    except (KeyError, ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    for split, x in data.items():
        shape = (expected["rows"][split], expected["n_dims"])
        if x.shape != shape and not accept_other:
            raise DataError(f"{path}: {split} has shape {x.shape}, expected {shape}")
    wrong = [s for s in SPLITS if hash_rows(data[s]) != expected["rows_sha256"][s]]
    if wrong and not accept_other:
        raise DataError(
            f"{path}: {' and '.join(wrong)} are not the rows of the published comparisons (their "
            "SHA-256 differs); pass --accept-other-data to use them all the same"
        )
    return data, not wrong


# A cell: settings -> model -> training -> scores.


def make_order(order, x):
    """One of `pyarsimple.orders.NAMES`, also with a first variable, or a seed to draw one from."""
    if isinstance(order, int):
        return orders.random(x.shape[1], rng=order)
    side = math.isqrt(x.shape[1])
    shape = (side, x.shape[1] // side)
    if isinstance(order, list):
        name, number = order
        of_data = {"tree": orders.by_tree, "mutual-information": orders.by_mutual_information}
        if name in of_data:
            return of_data[name](x, first=number)
        return orders.make(name, x.shape[1], image_shape=shape, rng=number)
    return orders.make(order, x.shape[1], image_shape=shape, x=x)


def make_model(kind, settings, x):
    return models.MODELS[kind](
        x.shape[1],
        order=make_order(settings["order"], x),
        dtype=settings["dtype"],
        rng=settings["seed"],
        **settings["model"],
    )


def make_optimizer(settings):
    arguments = dict(settings["optimizer"])
    return OPTIMIZERS[arguments.pop("name")](**arguments)


def fit_settings(settings):
    """What `fit` takes; ``warmup``, a number of epochs, belongs to the cosine."""
    arguments = dict(settings["fit"])
    if "warmup" in arguments:
        warmup = arguments.pop("warmup")
        arguments["schedule"] = optimizers.Cosine(arguments["max_epochs"], warmup=warmup)
    return arguments


def used(settings):
    """The settings without the notes on how they were chosen."""
    return {k: v for k, v in settings.items() if k != "chosen"}


def digest(cell, settings, data):
    """What a cell's result depends on, in sixteen letters."""
    parts = [cell, used(settings), [hash_rows(data[split]) for split in SPLITS]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


class Folder:
    """Where each cell's figures and model are kept, and while it runs its checkpoint."""

    def __init__(self, path):
        self.path = reports.make_folder(path)

    def files(self, cell):
        stem = cell.replace("/", "-")
        return self.path / f"{stem}.json", self.path / f"{stem}.npz"

    def checkpoint(self, cell, key):
        return self.path / f"{cell.replace('/', '-')}.{key}.checkpoint.npz"

    def finished(self, cell, settings):
        """The result of a cell, or None if there is none, or one of other settings."""
        try:
            result = json.loads(self.files(cell)[0].read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        same = result.get("schema") == SCHEMA and used(result["settings"]) == used(settings)
        return result if same else None

    def keep(self, cell, key, model, result):
        """The model first: where there is a result, there is its model."""
        figures, file = self.files(cell)
        model.save(file)
        reports.write_text(figures, reports.to_json(result))
        for left in self.path.glob(f"{cell.replace('/', '-')}.*.checkpoint.npz"):
            left.unlink()


def make_begun(cell, settings, x):
    """A model that is to be trained."""
    model = make_model(cell.split("/")[0], settings, x)
    if settings.get("initialize"):
        model.initialize_from(x)
    return model


def train(cell, model, settings, data, checkpoint, *, progress=False):
    """Leave the parameters that are best on the validation rows in the model; the history."""
    history = pyarsimple.fit(
        model,
        data["train"],
        data["valid"],
        optimizer=make_optimizer(settings),
        rng=settings["seed"] + 1,
        progress=cell if progress else False,
        checkpoint=checkpoint,
        resume=checkpoint if checkpoint.exists() else None,
        **fit_settings(settings),
    )
    if history.stopped == "interrupted":
        raise KeyboardInterrupt
    return history


def run_cell(cell, settings, data, folder, *, listed=True, progress=False):
    """A cell's result: kept from before, or trained (further) and scored now.

    Settings may have a second part, ``then``, with which a finished cell is trained on.
    """
    how = {"listed": listed, "progress": progress}
    key = digest(cell, settings, data)
    result = folder.finished(cell, settings)
    if result is not None and result["key"] == key:
        return result
    if "then" in settings:
        before = {k: v for k, v in settings.items() if k != "then"}
        seconds = run_cell(f"{cell}/before", before, data, folder, **how)["seconds"]
        model, now = storage.load(folder.files(f"{cell}/before")[1]), before | settings["then"]
    else:
        seconds, model, now = 0.0, make_begun(cell, settings, data["train"]), settings
    history = train(cell, model, now, data, folder.checkpoint(cell, key), progress=progress)
    valid, test = evaluate(model, data["valid"]), evaluate(model, data["test"])
    result = {
        "schema": SCHEMA,
        "cell": cell,
        "key": key,
        "test": -test.nll,
        "standard_error": test.standard_error,
        "valid": -valid.nll,
        "n_test": test.n,
        "n_params": model.n_params,
        "listed_data": listed,
        "epochs": history.n_epochs,
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
        "seconds": seconds + (history.seconds[-1] if history.seconds else 0.0),
        "settings": settings,
        "machine": machine(),
    }
    folder.keep(cell, key, model, result)
    return result


def machine():
    """What the seconds depend on, and the last digits of the figures."""
    config = pyarsimple.show_config(mode="dicts")
    return {
        "versions": {k: config["versions"][k] for k in ("pyarsimple", "python", "numpy", "scipy")},
        "backend": config["backend"]["active"],
        "simd": config["kernels"].get("SIMD level"),
        "threads": config["kernels"].get("threads"),
        "blas": list(config["BLAS and threads"].values()),
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


# The table.


def cell_text(value, mark):
    return f"{f'{value:.2f}' if value is not None else '-':>{COLUMN - 1}}{mark}"


def published_line(row, names):
    cells = [row["cells"].get(n, {"value": None, "mark": "read"}) for n in names]
    return row["model"].ljust(LABEL) + "".join(
        cell_text(cell["value"], MARKS[cell["mark"]]) for cell in cells
    )


def own_lines(kind, results, to_reach, names):
    """To reach, here, and the standard error of what is here."""
    label = kind.upper()
    here = [results.get(f"{kind}/{n}") for n in names]
    goals = [to_reach[kind].get(n) for n in names]
    marks = [mark_of(r, goal) for r, goal in zip(here, goals, strict=True)]
    values = [r["test"] if r else None for r in here]
    errors = [r["standard_error"] if r else None for r in here]
    return [
        f"{label}, here".ljust(LABEL) + "".join(map(cell_text, values, marks)),
        "  to reach".ljust(LABEL) + "".join(cell_text(g, " ") for g in goals),
        "  standard error".ljust(LABEL) + "".join(cell_text(e, " ") for e in errors),
    ]


def mark_of(result, goal):
    """A star where the goal is reached, an x where the rows are others than the listed ones."""
    if result is None:
        return " "
    if not result["listed_data"]:
        return "x"
    return "*" if goal is not None and round(result["test"], 2) >= goal else " "


def table(results, published, names):
    """The published figures and ours, in 80 columns."""
    short = {"binarized_mnist": "mnist", "ocr_letters": "ocr", "mushrooms": "mushroom"}
    head = " " * LABEL + "".join(f"{short.get(n, n):>{COLUMN - 1}} " for n in names)
    lines = ["Average test log-likelihood, nats an example (higher is better)", "", head.rstrip()]
    lines.append("-" * (LABEL + COLUMN * len(names)))
    lines += [published_line(row, names).rstrip() for row in published["rows"]]
    for kind in MODELS:
        lines += ["", *(s.rstrip() for s in own_lines(kind, results, published["to_reach"], names))]
    lines += [
        "",
        "*  reached       x  of other rows than the listed   mnist: fixed binarisation",
        "m  from memory   ?  from memory, doubtful   c  computed on these very files",
    ]
    return "\n".join(lines)


def settings_table(results, settings):
    """A Markdown table: a line a cell, the settings that gave it and what it took."""
    lines = [
        "| cell | valid | test | s.e. | model | optimiser | training | epochs | minutes |",
        "|---|---:|---:|---:|---|---|---|---:|---:|",
    ]
    for cell in settings:
        if cell not in results:
            continue
        r = results[cell]
        s = r["settings"]
        model = s["model"] | {"order": s["order"], "dtype": s["dtype"], "seed": s["seed"]}
        lines.append(
            f"| {cell} | {r['valid']:.2f} | {r['test']:.2f} | {r['standard_error']:.2f} "
            f"| {in_words(model)} | {in_words(s['optimizer'])} | {in_words(s['fit'])} "
            f"| {r['best_epoch']} of {r['epochs']} | {r['seconds'] / 60:.1f} |"
        )
    return "\n".join(lines)


def in_words(settings):
    return ", ".join(f"{k} {v}" for k, v in settings.items()).replace("_", " ")


# The picture.


def picture(results, published, names):
    """A panel for each data set: published figures as rings, ours as dots with their errors."""
    from pyarsimple import plots

    figure = plots.new_figure(9, 5.2)
    panels = figure.subplots(2, -(-len(names) // 2), squeeze=False).ravel()
    for ax, name in zip(panels, names, strict=False):
        draw_panel(ax, name, results, published)
    for ax in panels[len(names) :]:
        ax.set_axis_off()
    figure.supxlabel("average test log-likelihood in nats (right is better)", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=8, frameon=False)
    return figure


def draw_panel(ax, name, results, published):
    from pyarsimple import plots

    rows = {row["compare_with"]: row for row in published["rows"] if "compare_with" in row}
    for k, kind in enumerate(MODELS):
        y, result, row = -k, results.get(f"{kind}/{name}"), rows.get(kind)
        if row and name in row["cells"]:
            ax.plot(row["cells"][name]["value"], y, "o", mfc="white", mec=plots.PALE, ms=8,
                    label="published" if k == 0 else None)  # fmt: skip
        goal = published["to_reach"][kind].get(name)
        if goal is not None:
            ax.plot(goal, y, "|", color=plots.INK, ms=14, label="to reach" if k == 0 else None)
        if result:
            ax.errorbar(result["test"], y, xerr=result["standard_error"], fmt="o", ms=5,
                        color=plots.COLOURS[0],
                        label="here, ± standard error" if k == 0 else None)  # fmt: skip
    ax.set_yticks(range(0, -len(MODELS), -1), [kind.upper() for kind in MODELS])
    ax.set_ylim(0.6 - len(MODELS), 0.4)
    ax.set_title(name.replace("_", " "), fontsize=9)
    ax.tick_params(labelsize=8)
    ax.grid(axis="x", color="0.9")
    ax.locator_params(axis="x", nbins=5)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)


# The command line.


def chosen_cells(settings, only):
    """The cells that the words name: a cell, a model, or a data set; all cells without words."""
    chosen = [c for c in settings if not only or c in only or set(c.split("/")) & set(only)]
    known = {part for c in settings for part in (c, *c.split("/"))}
    unknown = [word for word in only if word not in known]
    if unknown:
        raise ValueError(f"--only: no cell, model or data set is called {unknown[0]!r}")
    return chosen


def write_outcome(folder, results, settings, published, names, *, publish=False):
    """Write results.json, table.txt, settings.md and a picture; to publish, into the docs too."""
    text = table(results, published, names)
    figures = reports.to_json({"schema": SCHEMA, "cells": results})
    markdown = settings_table(results, settings)
    reports.write_text(folder.path / "results.json", figures)
    reports.write_text(folder.path / "table.txt", text + "\n")
    reports.write_text(folder.path / "settings.md", markdown + "\n")
    images = [folder.path / "likelihoods.png"]
    if publish:
        reports.make_folder(HERE / "results")
        reports.write_text(HERE / "results" / "likelihoods.json", figures)
        replace_block(ROOT / "docs" / "likelihoods.md", "table", f"```\n{text}\n```")
        replace_block(ROOT / "docs" / "likelihoods.md", "settings", markdown)
        images.append(reports.make_folder(ROOT / "docs" / "images") / "likelihoods.png")
    try:
        drawn = picture(results, published, names)
    except ImportError as error:
        print(f"no picture: {error}", file=sys.stderr)
        return
    for image in images:
        reports.write_figure(image, drawn)


def replace_block(path, name, text):
    """Put text between <!-- name --> and <!-- end name --> of a Markdown file."""
    start, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    page = path.read_text(encoding="utf-8")
    before, _, rest = page.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{path} has no {start} ... {end}")
    reports.write_text(path, f"{before}{start}\n\n{text}\n\n{end}{after}")


def parser():
    top = argparse.ArgumentParser(
        prog="python -m benchmarks.likelihoods",
        description="Train the models with the settings of likelihoods_settings.json and print "
        "their test log-likelihoods beside the published ones. Goes on where it stopped.",
    )
    top.add_argument("--data", metavar="FOLDER", required=True,
                     help="the .npz files that likelihoods_data.json lists")  # fmt: skip
    top.add_argument("--out", metavar="DIR", required=True, help="results, models, checkpoints")
    top.add_argument("--only", metavar="CELL", nargs="+", default=(),
                     help="cells such as nade/mushrooms, models or data sets")  # fmt: skip
    top.add_argument("--accept-other-data", action="store_true",
                     help="train on rows other than the listed ones; mark the figures")  # fmt: skip
    top.add_argument("--no-progress", action="store_true")
    top.add_argument("--publish", action="store_true",
                     help="also write benchmarks/results, and what docs shows")  # fmt: skip
    return top


def run_cells(cells, settings, files, folder, args):
    """Run the cells, and say what each gave; the data sets whose files are missing or others."""
    problems = {}
    for cell in cells:
        name = cell.split("/")[1]
        if name in problems:
            continue
        try:
            data, listed = load_data(
                args.data, name, files[name], accept_other=args.accept_other_data
            )
        except DataError as error:
            problems[name] = str(error)
            continue
        result = run_cell(
            cell, settings[cell], data, folder, listed=listed, progress=not args.no_progress
        )
        test = f"test {result['test']:.2f} ± {result['standard_error']:.2f}"
        minutes = f"{result['seconds'] / 60:.1f} min"
        print(f"{cell}: {test}, valid {result['valid']:.2f}, {minutes}", file=sys.stderr)
    return problems


def main(argv=None):
    args = parser().parse_args(argv)
    settings, files = read_json("likelihoods_settings.json"), read_json("likelihoods_data.json")
    published = read_json("likelihoods_published.json")
    try:
        cells, folder = chosen_cells(settings, args.only), Folder(args.out)
        problems = run_cells(cells, settings, files["files"], folder, args)
    except (ValueError, OSError) as error:
        print(f"python -m benchmarks.likelihoods: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    results = {c: result for c, s in settings.items() if (result := folder.finished(c, s))}
    names = list(files["files"])
    write_outcome(folder, results, settings, published, names, publish=args.publish)
    print(table(results, published, names))
    for problem in problems.values():
        print(f"not run: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
