"""Mixtures over orders beside the published ones: how much averaging their probabilities gains.

    python -m benchmarks.mixtures --data FOLDER --out DIR
    python -m benchmarks.mixtures --data FOLDER --out DIR --only nade/dna_nade

A cell is a model on a data set, as in benchmarks/likelihoods.py, with settings of its own in
mixtures_settings.json, chosen on the validation rows. There are two kinds. A model that serves all
orders (it has ``with_order``) is trained once, and asked in each of the cell's ``orders``; of any
other one model is trained for each order. An order is a name of `pyarsimple.orders`, a name with
the variable to begin with, a number from which one is drawn, or, of a model with sets of masks,
the number of a set as {"set": k}. A cell may have a third name, such as nade/dna_nade/random.

The components are scored one by one, on the validation rows (the first ``valid_rows`` of them,
where scoring is dear) and on the test rows, and the first 1, 2, 4, ... of them averaged: components
are in the order of the settings, none is chosen by its score.
What is finished is in DIR and not done again; the same command goes on where it was stopped.
"""

import argparse
import sys

import numpy as np

from benchmarks import likelihoods
from benchmarks.likelihoods import DataError, Folder, replace_block
from pyarsimple import reports, storage
from pyarsimple.models import MODELS
from pyarsimple.orders import OrderMixture

SCHEMA = 1
RATED = ("valid", "test")
SHARED = ("dtype", "model", "initialize", "optimizer", "fit", "then")  # settings of all components
LABEL, COLUMN = 24, likelihoods.COLUMN  # 24 + 6 * 9 = 78: up to six numbers of components


def serves_all_orders(cell):
    return hasattr(MODELS[cell.split("/")[0]], "with_order")


def is_before(settings, k):
    """Whether component k is the model as it was before it was trained on: every other one is."""
    return "then" in settings and k % 2 == 1


def component_settings(cell, settings, k):
    """What component k is trained with: its own order and seed, or those of the one model."""
    shared = {name: settings[name] for name in SHARED if name in settings}
    if is_before(settings, k):
        del shared["then"]
    if serves_all_orders(cell):
        return shared | {"seed": settings["seed"], "order": settings["order"]}
    return shared | {"seed": settings["seed"] + k, "order": settings["orders"][k]}


def get_model(cell, settings, k, data, folder, **how):
    """The model of component k, trained before or now, and what its training gave."""
    name = cell if serves_all_orders(cell) else f"{cell}/{k}"
    if is_before(settings, k):
        name = f"{name}/before"
    result = likelihoods.run_cell(name, component_settings(cell, settings, k), data, folder, **how)
    return storage.load(folder.files(name)[1]), result


def asked_in(model, order, data):
    """A model that serves all orders, in one of them."""
    if isinstance(order, dict):
        return model.member(order["set"])
    return model.with_order(likelihoods.make_order(order, data["train"]))


def get_scores(cell, settings, k, data, folder, **how):
    """log p of the validation and of the test rows under component k, kept in a file."""
    key = likelihoods.digest(f"{cell}/{k}", component_settings(cell, settings, k), data)
    key = f"{key} {settings['orders'][k]} {settings.get('valid_rows')}"
    path = folder.path / f"{cell.replace('/', '-')}-{k}.scores.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["key"]) == key:
                return {split: file[split] for split in (*RATED, "seconds")}
    except (OSError, ValueError, KeyError):
        pass  # there is none, or one that was cut off
    model, result = get_model(cell, settings, k, data, folder, **how)
    if serves_all_orders(cell):
        model = asked_in(model, settings["orders"][k], data)
    valid = data["valid"][: settings.get("valid_rows")]
    scores = {"valid": model.log_prob(valid), "test": model.log_prob(data["test"])}
    scores["seconds"] = np.array(result["seconds"])
    with storage.replacing(path) as file:
        np.savez(file, key=np.array(key), **scores)
    return scores


def averaged(log_p):
    """log of the mean probability of each row, (N,), from log p of each component (K, N)."""
    return np.logaddexp.reduce(log_p, axis=0) - np.log(len(log_p))


def run_cell(cell, settings, data, folder, *, listed, progress):
    """Score all components; what their first 1, 2, 4, ... give together."""
    scores = []
    for k in range(len(settings["orders"])):
        scores.append(get_scores(cell, settings, k, data, folder, listed=listed, progress=progress))
        valid = averaged([s["valid"] for s in scores]).mean()
        print(f"{cell}: {k + 1} averaged, valid {valid:.2f}", file=sys.stderr)
    ladder = {}
    for n in settings["mix"]:
        valid, test = (averaged([s[split] for s in scores[:n]]) for split in RATED)
        ladder[str(n)] = {
            "valid": float(valid.mean()),
            "test": float(test.mean()),
            "standard_error": float(test.std(ddof=1) / np.sqrt(len(test))),
            "mean_of_components": float(np.mean([s["test"].mean() for s in scores[:n]])),
        }
    trained = scores[:1] if serves_all_orders(cell) else scores
    components = [
        {
            "order": order_in_words(order) + (", before" if is_before(settings, k) else ""),
            **{split: float(s[split].mean()) for split in RATED},
        }
        for k, (order, s) in enumerate(zip(settings["orders"], scores, strict=True))
    ]
    return {
        "schema": SCHEMA,
        "cell": cell,
        "ladder": ladder,
        "components": components,
        "seconds": float(sum(s["seconds"] for s in trained)),
        "listed_data": listed,
        "settings": settings,
        "machine": likelihoods.machine(),
    }


def mixture_of(cell, settings, data, folder):
    """The whole mixture, from the files of its components."""
    orders = settings["orders"]
    if not serves_all_orders(cell):
        parts = [get_model(cell, settings, k, data, folder)[0] for k in range(len(orders))]
        return OrderMixture(parts)
    models, parts = {}, []
    for k, order in enumerate(orders):
        before = is_before(settings, k)
        if before not in models:
            models[before], _ = get_model(cell, settings, k, data, folder)
        parts.append(asked_in(models[before], order, data))
    return OrderMixture(parts)


# The tables.


def table(results, published):
    """A table for each data set: published ladders and ours, in 80 columns."""
    lines = ["Average test log-likelihood, nats an example (higher is better)"]
    for name, of_data in published["data"].items():
        own = {cell: r for cell, r in results.items() if cell.split("/")[1] == name}
        counts = sorted(
            {int(n) for row in of_data["rows"] for n in row["values"]}
            | {int(n) for r in own.values() for n in r["ladder"]}
            | {int(n) for n in of_data["to_reach"]}
        )
        head = f"{name}: averaged".ljust(LABEL) + "".join(f"{n:>{COLUMN - 1}} " for n in counts)
        lines += ["", head.rstrip(), "-" * (LABEL + COLUMN * len(counts))]
        for row in of_data["rows"]:
            mark = likelihoods.MARKS[row["mark"]]
            lines.append(line(row["model"], row["values"], counts, lambda n, v, m=mark: m))
        goals = {int(n): goal for n, goal in of_data["to_reach"].items()}
        for result in own.values():
            found = {n: step["test"] for n, step in result["ladder"].items()}
            errors = {n: step["standard_error"] for n, step in result["ladder"].items()}
            marks = star_of(result, goals)
            lines += ["", line(f"{result['settings']['label']}, here", found, counts, marks)]
            lines.append(line("  standard error", errors, counts))
        lines.append(line("  to reach", of_data["to_reach"], counts))
    lines += [
        "",
        "*  reached       x  of other rows than the listed",
        "m  from memory   ?  from memory, doubtful",
    ]
    return "\n".join(lines)


def line(label, values, counts, mark=lambda n, value: " "):
    """A label, and the values that there are for these numbers of components."""
    values = {int(n): value for n, value in values.items()}
    cells = [
        likelihoods.cell_text(values.get(n), mark(n, values[n]) if n in values else " ")
        for n in counts
    ]
    return (label[: LABEL - 1].ljust(LABEL) + "".join(cells)).rstrip()


def star_of(result, goals):
    """Marks as in likelihoods: a goal for n components is reached with n of them."""

    def mark(n, value):
        if not result["listed_data"]:
            return "x"
        return "*" if n in goals and round(value, 2) >= goals[n] else " "

    return mark


def settings_table(results):
    """A Markdown table: a line a cell, the settings that gave it and what it took."""
    lines = [
        "| cell | components | valid, all averaged | mean component, test | model | optimiser "
        "| training | minutes |",
        "|---|---:|---:|---:|---|---|---|---:|",
    ]
    for cell, r in results.items():
        s = r["settings"]
        n = max(map(int, r["ladder"]))
        step = r["ladder"][str(n)]
        model = s["model"] | {"dtype": s["dtype"], "seed": s["seed"]}
        parts = [s, s["then"]] if "then" in s else [s]
        optimizer, fit = (
            "; then ".join(likelihoods.in_words(part[name]) for part in parts)
            for name in ("optimizer", "fit")
        )
        lines.append(
            f"| {cell} | {n} | {step['valid']:.2f} | {step['mean_of_components']:.2f} "
            f"| {likelihoods.in_words(model)} | {optimizer} | {fit} | {r['seconds'] / 60:.1f} |"
        )
    return "\n".join(lines)


def order_in_words(order):
    if isinstance(order, dict):
        return f"set {order['set']}"
    if isinstance(order, list):
        name, number = order
        return f"{name} {number}" if name == "dispersed" else f"{name} from {number}"
    return f"random {order}" if isinstance(order, int) else order


def components_table(results):
    """A Markdown table: each component alone."""
    lines = ["| cell | order | valid | test |", "|---|---|---:|---:|"]
    for cell, r in results.items():
        lines += [
            f"| {cell} | {c['order']} | {c['valid']:.2f} | {c['test']:.2f} |"
            for c in r["components"]
        ]
    return "\n".join(lines)


def published_before(settings):
    """The repository's results of cells whose settings have not changed."""
    try:
        cells = likelihoods.read_json("results/mixtures.json")["cells"]
    except OSError:
        return {}
    return {cell: r for cell, r in cells.items() if r["settings"] == settings.get(cell)}


def write_outcome(folder, results, published, *, publish):
    """Write results.json, table.txt and settings.md; to publish, into the repository too."""
    text = table(results, published)
    markdown = f"{settings_table(results)}\n\n{components_table(results)}"
    figures = reports.to_json({"schema": SCHEMA, "cells": results})
    reports.write_text(folder.path / "results.json", figures)
    reports.write_text(folder.path / "table.txt", text + "\n")
    reports.write_text(folder.path / "settings.md", markdown + "\n")
    if publish:
        reports.make_folder(likelihoods.HERE / "results")
        reports.write_text(likelihoods.HERE / "results" / "mixtures.json", figures)
        page = likelihoods.ROOT / "docs" / "orders.md"
        replace_block(page, "table", f"```\n{text}\n```")
        replace_block(page, "settings", markdown)
    return text


# The command line.


def parser():
    top = argparse.ArgumentParser(
        prog="python -m benchmarks.mixtures",
        description="Train components with the settings of mixtures_settings.json and print the "
        "test log-likelihoods of their averages beside the published ones. Goes on where it "
        "stopped.",
    )
    top.add_argument("--data", metavar="FOLDER", required=True,
                     help="the .npz files that likelihoods_data.json lists")  # fmt: skip
    top.add_argument("--out", metavar="DIR", required=True, help="results, models, checkpoints")
    top.add_argument("--only", metavar="CELL", nargs="+", default=(),
                     help="cells such as nade/dna_nade, models or data sets")  # fmt: skip
    top.add_argument("--accept-other-data", action="store_true",
                     help="train on rows other than the listed ones; mark the figures")  # fmt: skip
    top.add_argument("--no-progress", action="store_true")
    top.add_argument("--publish", action="store_true",
                     help="also write benchmarks/results, and what docs shows")  # fmt: skip
    return top


def run(args, settings, published):
    """Run the chosen cells; print the tables; return what could not be run."""
    files = likelihoods.read_json("likelihoods_data.json")["files"]
    folder, results, problems = Folder(args.out), {}, []
    for cell in likelihoods.chosen_cells(settings, args.only):
        name = cell.split("/")[1]
        try:
            data, listed = likelihoods.load_data(
                args.data, name, files[name], accept_other=args.accept_other_data
            )
        except DataError as error:
            problems.append(str(error))
            continue
        results[cell] = run_cell(
            cell, settings[cell], data, folder, listed=listed, progress=not args.no_progress
        )
        mixture = mixture_of(cell, settings[cell], data, folder)
        mixture.save(folder.path / f"{cell.replace('/', '-')}.mixture.npz")
    if args.publish:  # beside what was not run this time
        results = published_before(settings) | results
        results = {cell: results[cell] for cell in settings if cell in results}
    print(write_outcome(folder, results, published, publish=args.publish))
    return problems


def main(argv=None):
    args = parser().parse_args(argv)
    settings = likelihoods.read_json("mixtures_settings.json")
    published = likelihoods.read_json("mixtures_published.json")
    try:
        problems = run(args, settings, published)
    except (ValueError, OSError) as error:
        print(f"python -m benchmarks.mixtures: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    for problem in problems:
        print(f"not run: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
