"""``pyarsimple anomaly``: which rows does a model hold to be strange, at a rate of false alarms."""

from __future__ import annotations

import argparse
import copy
import csv
import io
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyarsimple.anomaly import AnomalyDetector

EXAMPLES = """\
Ordinary rows that the model was not trained on give the threshold: those of
--valid, or the split 'valid' of --data. A new ordinary row causes an alarm with
a probability of at most --false-alarm-rate, whatever the model. Likelihood
alone passes rows that are simpler than ordinary ones, and so too likely:
--two-sided sounds an alarm for those as well.

examples:
  pyarsimple anomaly runs/nade/model.npz --data digits
  pyarsimple anomaly runs/nade/model.npz --valid digits --data new.npy \\
      --false-alarm-rate 0.05 --two-sided
  pyarsimple anomaly runs/nade/model.npz --data digits --csv alarms.csv \\
      --picture alarms.png"""


def _arguments() -> Any:
    from pyarsimple import cli

    return (
        ("model", "as train writes it", {"metavar": "MODEL.npz"}),
        *cli.DATA,
        (
            "--valid",
            "ordinary rows for the threshold: the split valid of this file, or all its rows if it "
            "has none (default: the split valid of --data)",
            {"metavar": "FILE"},
        ),
        (
            "--false-alarm-rate",
            "share of ordinary rows that may cause an alarm (default: 0.01)",
            {"type": float, "default": 0.01, "metavar": "A"},
        ),
        (
            "--two-sided",
            "an alarm for rows that are too likely, too; half of the rate for either side",
            {"action": "store_true"},
        ),
        (
            "--split",
            "any of train, valid and test (default: all that --data has)",
            {"nargs": "+", "choices": cli.SPLITS, "metavar": "NAME"},
        ),
        (
            "--csv",
            "write log p, score, p-value and alarm of each row",
            {"metavar": "FILE.csv"},
        ),
        (
            "--picture",
            "draw log p of the rows against the threshold; of images, some of them too",
            {"type": cli.png, "metavar": "FILE.png"},
        ),
        (
            "--image-shape",
            "draw rows as images of this shape, such as 28x28 (default: that of the data, if it "
            "says so)",
            {"type": cli._image_shape, "metavar": "HxW"},
        ),
        ("--json", "print JSON instead of a table", {"action": "store_true"}),
        (
            "--seed",
            "of --binarize sample, as it was for train (default: 0)",
            {"type": cli._whole(0), "default": 0, "metavar": "N"},
        ),
    )


def add_arguments(parser: Any) -> None:
    """Arguments and options of the command."""
    from pyarsimple import cli

    cli._add(parser, _arguments())


def run(args: argparse.Namespace) -> int:
    """Find the threshold, judge the rows; return the exit status."""
    from pyarsimple import cli, plots, reports, storage
    from pyarsimple.anomaly import AnomalyDetector

    model = storage.load(args.model)
    if getattr(model, "context", 0) != 0:
        raise ValueError(f"{args.model!r} is a model p(x | y): this command has no way to give y")
    try:
        detector = AnomalyDetector(
            model, false_alarm_rate=args.false_alarm_rate, two_sided=args.two_sided
        )
    except ValueError as error:
        raise ValueError(str(error).replace("false_alarm_rate", "--false-alarm-rate")) from None
    data = _load(args, args.data, model, "--data")
    if args.image_shape is not None:
        cli.check_shape(args.image_shape, model.n_dims)
    splits = {"all": data.train} if len(data.items()) == 1 else dict(data.items())
    ordinary = _ordinary(args, data, model)
    try:
        detector.fit(ordinary)
    except ValueError as error:
        said = str(error).replace("x_valid", "the validation rows")
        raise ValueError(said.replace("false_alarm_rate", "--false-alarm-rate")) from None
    for name in args.split or ():
        if name not in splits:
            raise ValueError(f"--split {name}: {args.data!r} has only {reports.listed([*splits])}")
    if args.split:
        splits = {name: x for name, x in splits.items() if name in args.split}
    log_p = {name: model.log_prob(x) for name, x in splits.items()}
    if args.csv:
        reports.write_text(args.csv, _lines(detector, log_p))
    if args.picture:
        shape = args.image_shape or data.image_shape
        figure = plots.anomalies(
            log_p, detector.thresholds, images=splits if shape else None, image_shape=shape
        )
        reports.write_figure(args.picture, figure)
    found = {name: judge(detector, values) for name, values in log_p.items()}
    low, high = detector.thresholds
    if args.json:
        described = {
            "model": args.model, "data": args.data, "valid": args.valid or args.data,
            "n_valid": detector.n_valid, "false_alarm_rate": detector.false_alarm_rate,
            "two_sided": detector.two_sided, "low": low, "high": high,
            "typical": detector.typical, "rate_interval": list(detector.rate_interval()),
            "splits": found,
        }  # fmt: skip
        print(reports.to_json(described), end="")
    else:
        print(_table(reports.fit_name(args.model, reports.WIDTH), detector, found))
        if args.csv:
            n = sum(len(x) for x in splits.values())
            print(f"wrote {n:,} rows to {args.csv}")
        if args.picture:
            print(f"wrote a picture to {args.picture}")
    return cli.OK


def _load(args: argparse.Namespace, path: str, model: Any, flag: str) -> Any:
    """The data of a file, if the model can score them."""
    from pyarsimple import cli

    args = copy.copy(args)
    args.data = path
    data = cli.load_data(args)
    if data.n_dims != model.n_dims:
        raise ValueError(
            f"{args.model!r} is a model of {model.n_dims} variables, but {flag} {path!r} has "
            f"{data.n_dims} columns"
        )
    return data


def _ordinary(args: argparse.Namespace, data: Any, model: Any) -> Any:
    """The rows that the threshold comes from."""
    if args.valid is not None:
        valid = _load(args, args.valid, model, "--valid")
        splits = dict(valid.items())
        if "valid" not in splits and len(splits) > 1:
            raise ValueError(f"--valid {args.valid!r} has splits, but none of them is 'valid'")
        return splits.get("valid", valid.train)
    if data.valid is None:
        raise ValueError(
            f"{args.data!r} has no split 'valid': give ordinary rows, which the model was not "
            "trained on, with --valid"
        )
    return data.valid


def judge(detector: AnomalyDetector, log_p: Any) -> dict[str, Any]:
    """How many rows of these log-probabilities cause alarms, and on which side."""
    low, high = detector.thresholds
    n = len(log_p)
    alarms = int(detector.is_anomaly_of(log_p).sum())
    return {
        "n": n,
        "alarms": alarms,
        "share": alarms / n,
        "too_unlikely": int((log_p < low).sum()),
        "too_likely": int((log_p > high).sum()),
        "mean_log_prob": float(log_p.mean()),
        "least_p_value": float(detector.p_value_of(log_p).min()),
    }


def _table(name: str, detector: AnomalyDetector, found: dict[str, dict[str, Any]]) -> str:
    from pyarsimple import reports

    columns = (
        ("split", ""), ("rows", ",d"), ("alarms", ",d"), ("share", ".4f"), ("too unlikely", ",d"),
        ("too likely", ",d"), ("mean log p", ".3f"), ("least p", ".4f"),
    )  # fmt: skip
    rows = [[split, *s.values()] for split, s in found.items()]
    low, high = detector.thresholds
    below, above = detector.rate_interval()
    alarm = f"log p < {low:.3f}" + (f" or > {high:.3f}" if detector.two_sided else "")
    said = (
        f"An alarm: {alarm} nats, from {detector.n_valid:,} validation rows. False alarms: on "
        f"average over validation sets at most {detector.false_alarm_rate:g} of ordinary rows; "
        f"with this one, between {below:.4f} and {above:.4f} with a confidence of 95%."
    )
    return f"{name}\n\n{reports.table(columns, rows)}\n\n{textwrap.fill(said, reports.WIDTH)}"


def _lines(detector: AnomalyDetector, log_p: dict[str, Any]) -> str:
    """A line for each row."""
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    write(["split", "row", "log_prob", "score", "p_value", "alarm"])
    for split, values in log_p.items():
        judged = (
            values, detector.score_of(values), detector.p_value_of(values),
            detector.is_anomaly_of(values),
        )  # fmt: skip
        for row, (value, score, p, alarm) in enumerate(zip(*judged, strict=True)):
            write([split, row, f"{value:.6f}", f"{score:.6f}", f"{p:.6g}", int(alarm)])
    return text.getvalue()


COMMAND = ("find rows that a model holds to be strange", add_arguments, run, EXAMPLES)
