"""``pyarsimple classify``: a density for each class, trained on data with labels.

With ``--model`` it trains, as ``train`` does, and writes the classifier; with the file of one it
says what that makes of other data.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import math
import sys
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyarsimple.models import MODELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pyarsimple.classification import GenerativeClassifier
    from pyarsimple.datasets import Splits

FILE = "classifier.npz"

EXAMPLES = """\
Trains a density of each class and classifies by Bayes' rule. Writes to DIR:
classifier.npz; results.json, with accuracies and confusion matrices, and
confusion.png, their picture; of images, posteriors.png: p(class) while more and
more of the pixels are seen; and settings.json. Without labelled validation rows
in FILE, a tenth of each class is held out. With a CLASSIFIER.npz, says what it
makes of other data.

Labels are in FILE: y_train, y_valid, y_test beside train (or x_train) ..., or y
beside x; of a table, a column: --label.

examples:
  pyarsimple classify --model independent --data digits --out runs/naive-bayes
  pyarsimple classify --model nade --hidden 50 --activation relu --dropout 0.3 \\
      --l2 1e-3 --batch-size 20 --data digits --out runs/classes
  pyarsimple classify --model fvsbn --data table.csv --label kind --out runs/it
  pyarsimple classify runs/classes/classifier.npz --data new.npz \\
      --predictions new.csv --picture new.png"""


def _label(text: str) -> int | str:
    """A column by its number, from 1 or from the end, or by its name."""
    try:
        number = int(text)
    except ValueError:
        return text
    if number == 0:
        raise argparse.ArgumentTypeError("needs a name or a number from 1 (-1 is the last), got 0")
    return number - 1 if number > 0 else number


def _arguments() -> tuple[Any, Any, Any]:
    """Those that both uses take, those of training, and those of a file."""
    from pyarsimple import cli

    both = (
        *cli.DATA,
        (
            "--label",
            "the column of labels: its name, or its number from 1 (-1 is the last)",
            {"type": _label, "metavar": "COLUMN"},
        ),
    )
    training = (
        ("--model", "one of %(choices)s", {"choices": list(MODELS), "metavar": "NAME"}),
        ("--out", "folder for what training writes", {"metavar": "DIR"}),
        ("--overwrite", "replace what is left of an earlier one", {"action": "store_true"}),
        (
            "--shared",
            "one model p(x | class) with shared weights, in place of one for each class",
            {"action": "store_true"},
        ),
        (
            "--equal-priors",
            "take all classes to be equally likely, whatever their shares of the rows",
            {"action": "store_true"},
        ),
    )
    file = (
        ("--predictions", "write class and probability of each row", {"metavar": "FILE.csv"}),
        ("--picture", "draw who is taken for whom", {"type": cli.png, "metavar": "FILE.png"}),
    )
    return both, training, file


def add_arguments(parser: Any) -> None:
    """Arguments and options of the command."""
    from pyarsimple import cli

    both, training, file = _arguments()
    classifier = {"nargs": "?", "metavar": "CLASSIFIER.npz"}
    cli._add(parser, (("classifier", "one that this command wrote", classifier), *both, *file))
    cli._add(parser.add_argument_group("a new classifier"), training)
    cli.add_training(parser)


def run(args: argparse.Namespace) -> int:
    """Train a classifier, or use one; return the exit status."""
    from pyarsimple import cli

    with cli._threads(args.threads):
        return _use(args) if args.classifier is not None else _train(args)


# A new classifier.


def _train(args: argparse.Namespace) -> int:
    from pyarsimple import cli, reports
    from pyarsimple.training import DivergenceError

    for name in ("model", "out"):
        if getattr(args, name) is None:
            raise ValueError(f"--{name} is needed to train; or give the file of a classifier")
    for name in ("predictions", "picture"):
        if getattr(args, name) is not None:
            raise ValueError(f"--{name} goes with the file of a classifier")
    data = cli.load_data(args)
    labelled = _labelled(data, args.data)
    if "train" not in labelled:
        raise ValueError(f"{args.data!r} has labels, but none of its train rows: y_train is needed")
    classifier, by_gradients = _make(args, data)
    out = Path(args.out)
    if (out / FILE).exists() and not args.overwrite:
        raise ValueError(
            f"{args.out!r} holds {FILE} of an earlier training: replace it with --overwrite, or "
            "choose another --out"
        )
    if args.image_shape is not None:
        cli.check_shape(args.image_shape, data.n_dims)
    x, y = labelled["train"]
    valid = {}
    if by_gradients:
        if "valid" not in labelled:
            labelled["train"], labelled["valid"] = _hold_out(x, y, cli.streams(args)[2])
            x, y = labelled["train"]
            n = len(labelled["valid"][1])
            print(f"no labels of 'valid': {n:,} rows of train, a tenth of each class, are held out")
        valid = dict(zip(("X_valid", "y_valid"), labelled["valid"], strict=True))
    try:
        classifier.fit(x, y, **valid)
    except DivergenceError as error:
        print(f"pyarsimple classify: error: {cli._one_line(error)}", file=sys.stderr)
        return cli.FAILED
    reports.make_folder(out)
    settings = {k: v for k, v in vars(args).items() if k not in NO_SETTINGS}
    reports.write_text(out / "settings.json", reports.to_json(settings))
    classifier.save(out / FILE)
    found = {name: _judge(classifier, *rows) for name, rows in labelled.items()}  # as in the file
    described = {
        "model": args.model, "data": args.data, "classes": classifier.classes_.tolist(),
        "n_params": sum(model.n_params for model in classifier.models_), "splits": found,
        "histories": [None if h is None else h.to_dict() for h in classifier.histories_],
    }  # fmt: skip
    reports.write_text(out / "results.json", reports.to_json(described))
    _draw(classifier, labelled, found, out, args.image_shape or data.image_shape)
    print(_table(args.model, found))
    return cli.OK


#: What is no setting of a training.
NO_SETTINGS = (
    "run", "command", "version", "classifier", "predictions", "picture", "overwrite", "quiet",
    "threads", "out",
)  # fmt: skip


def _labelled(data: Splits, path: str) -> dict[str, tuple[Any, Any]]:
    """Rows and labels of each split that has them."""
    found = {name: (x, y) for name, x, y in data.labelled()}
    if not found:
        raise ValueError(
            f"{path!r} has no labels: name the column that holds them with --label, or put y_train "
            "beside train into the .npz"
        )
    return found


def _make(args: argparse.Namespace, data: Splits) -> tuple[GenerativeClassifier, bool]:
    """The classifier that the arguments ask for, and whether gradients train its models."""
    import numpy as np

    from pyarsimple import cli
    from pyarsimple.classification import GenerativeClassifier

    for_model, for_order, _, for_fit, _ = cli.streams(args)
    first = cli.make_model(args, data.train, (for_model, for_order))
    config = first.config()
    if args.shared and "context" not in config:
        raise ValueError(f"--shared has no meaning for {args.model}, which takes no context")
    if "degrees" in config:  # given anew: those of a model with a context begin at 0
        config["degrees"] = args.degrees or "spread"
    fit_params = cli.own_settings(args, first)
    by_gradients = not hasattr(first, "fit")
    if not by_gradients:
        cli.say_what_has_no_effect(args)
    else:
        fit_params = {name: getattr(args, name) for name in cli.FIT} | {
            "schedule": cli.make_schedule(args.schedule), "optimizer": cli.make_optimizer(args),
            "patience": args.patience or None,
            "progress": args.model if cli.has_bars(args) else False,
        }  # fmt: skip

    def make_model(n_dims: int, **settings: Any) -> Any:
        return type(first)(**(config | settings))

    classifier = GenerativeClassifier(
        make_model, shared=args.shared, fit_prior=not args.equal_priors, fit_params=fit_params,
        rng=np.random.default_rng(for_fit),
    )  # fmt: skip
    return classifier, by_gradients


def _hold_out(x: Any, y: Any, rng: Any) -> Any:
    """A tenth of the rows of each class, one at least, and the others."""
    import numpy as np

    generator = np.random.default_rng(rng)
    held = np.zeros(len(y), np.bool_)
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        if len(rows) < 2:
            raise ValueError(
                f"class {label} has {len(rows)} row: too few to hold one out for validation"
            )
        held[generator.permutation(rows)[: max(1, len(rows) // 10)]] = True
    return (x[~held], y[~held]), (x[held], y[held])


# What it makes of data.


def _judge(classifier: GenerativeClassifier, x: Any, y: Any) -> dict[str, Any]:
    """Accuracy, its standard error, mean -log p(y | x) in nats, and who is taken for whom."""
    import numpy as np

    log_p = classifier.predict_log_proba(x)
    known = np.isin(y, classifier.classes_)
    if not known.all():
        raise ValueError(
            f"label {y[~known][0]} is none of the classifier's classes, "
            f"{', '.join(map(str, classifier.classes_[:10]))}"
        )
    truth, said = np.searchsorted(classifier.classes_, y), log_p.argmax(axis=1)
    confusion = np.zeros((log_p.shape[1],) * 2, int)
    np.add.at(confusion, (truth, said), 1)
    accuracy = float((truth == said).mean())
    return {
        "n": len(y),
        "accuracy": accuracy,
        "standard_error": math.sqrt(accuracy * (1 - accuracy) / len(y)),
        "nats": float(-log_p[np.arange(len(y)), truth].mean()),
        "confusion": confusion.tolist(),
    }


N_DRAWN = 6  # images whose classes are drawn, of different ones where there are so many
SEEN = (0.125, 0.25, 0.5, 1.0)  # shares of the pixels that are seen of them


def _draw(
    classifier: GenerativeClassifier,
    labelled: dict[str, tuple[Any, Any]],
    found: dict[str, dict[str, Any]],
    out: Path,
    shape: tuple[int, int] | None,
) -> None:
    """Pictures of the confusion matrices, and of some images of the last split."""
    import numpy as np

    from pyarsimple import missing, orders, plots, reports

    with contextlib.suppress(ImportError):  # without Matplotlib there are no pictures
        reports.write_figure(out / "confusion.png", _confusion(classifier, found))
        if shape is None:
            return
        x, y = labelled[[*labelled][-1]]
        rows = [np.flatnonzero(y == label)[:1] for label in classifier.classes_]
        few = np.concatenate(rows)[:N_DRAWN]
        # What comes first in the order is exact, if it is the order of all models.
        D = x.shape[1]
        place = orders.inverse(getattr(classifier.models_[0], "order", orders.natural(D)))
        seen = {f"{100 * share:g}% of the pixels": place < share * D for share in SEEN}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            figure = plots.posteriors(classifier, x[few], y[few], seen, shape)
        reports.write_figure(out / "posteriors.png", figure)
        if caught:
            said = (
                "warning: some bars of posteriors.png rest on an effective sample size below "
                f"{missing.SMALL}: what is seen does not come first in the order of every model"
            )
            print(textwrap.fill(said, reports.WIDTH), file=sys.stderr)


def _confusion(classifier: GenerativeClassifier, found: dict[str, dict[str, Any]]) -> Figure:
    from pyarsimple import plots

    counts = {name: split["confusion"] for name, split in found.items()}
    return plots.confusion(counts, classifier.classes_.tolist())


def _table(name: str, found: dict[str, dict[str, Any]]) -> str:
    from pyarsimple import reports

    columns = (("split", ""), ("rows", ",d"), ("accuracy", ".4f"), ("s.e.", ".4f"), ("nats", ".4f"))
    rows = [
        [split, s["n"], s["accuracy"], s["standard_error"], s["nats"]] for split, s in found.items()
    ]
    told = "accuracy: share of rows whose class is predicted; nats: mean -log p(class | x)"
    return f"{name}\n\n{reports.table(columns, rows)}\n{told}"


def _use(args: argparse.Namespace) -> int:
    from pyarsimple import cli, reports
    from pyarsimple.classification import GenerativeClassifier

    _refuse_training_flags(args)
    classifier = GenerativeClassifier.load(args.classifier)
    data = cli.load_data(args)
    if data.n_dims != classifier.n_features_in_:
        raise ValueError(
            f"{args.classifier!r} classifies rows of {classifier.n_features_in_} variables, but "
            f"--data {args.data!r} has {data.n_dims} columns"
        )
    labelled = {name: (x, y) for name, x, y in data.labelled()}
    if args.predictions is None or args.picture is not None:
        labelled = _labelled(data, args.data)  # else there is nothing to tell
    if args.predictions is not None:
        reports.write_text(args.predictions, _predictions(classifier, data))
        n = sum(len(x) for _, x in data.items())
        print(f"wrote the classes of {n:,} rows to {args.predictions}")
    if labelled:
        found = {name: _judge(classifier, *rows) for name, rows in labelled.items()}
        if args.picture is not None:
            reports.write_figure(args.picture, _confusion(classifier, found))
            print(f"wrote a picture to {args.picture}")
        print(_table(reports.fit_name(args.classifier, reports.WIDTH), found))
    return cli.OK


def _refuse_training_flags(args: argparse.Namespace) -> None:
    """Name a flag that was given and can have no effect."""
    from pyarsimple import cli

    _, training, _ = _arguments()
    for flag, _, settings in (*training, *cli.TRAIN_MODEL, *cli.TRAIN_STEPS, *cli.TRAIN_OWN):
        default = settings.get("default", False if "action" in settings else None)
        if getattr(args, flag[2:].replace("-", "_")) != default:
            raise ValueError(f"{flag} has no meaning for a classifier that is trained already")


def _predictions(classifier: GenerativeClassifier, data: Splits) -> str:
    """A line for each row: its split, its likeliest class, and how likely that is."""
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    write(["split", "class", "probability"])
    for split, x in data.items():
        p = classifier.predict_proba(x)
        for row, best in zip(p, p.argmax(axis=1), strict=True):
            write([split, classifier.classes_[best], f"{row[best]:.6g}"])
    return text.getvalue()


COMMAND = ("classify rows by a density for each class", add_arguments, run, EXAMPLES)
