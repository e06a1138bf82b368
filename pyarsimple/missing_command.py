"""``pyarsimple impute``: complete rows of which parts are missing, as an array or as a picture."""

from __future__ import annotations

import argparse
import errno
import sys
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pyarsimple.missing import Imputation

EXAMPLES = """\
Completions are exact samples where the observed variables come first in the
model's order, or in one it was trained for, or where there are few values to go
through. Elsewhere importance or Gibbs sampling is used, and it is said how good
that was: see --method.

examples:
  pyarsimple impute runs/nade/model.npz --data digits --observed top \\
      --out completions.png
  pyarsimple impute runs/made/model.npz --data digits --observed random:0.3 \\
      -n 8 --rows 20 --out completions.png
  pyarsimple impute runs/it/model.npz --data holes.csv --observed nan \\
      -n 1 --out completed.npy"""

HALVES = ("top", "bottom", "left", "right")


def _arguments() -> Any:
    from pyarsimple import cli

    return (
        ("model", "as train writes it", {"metavar": "MODEL.npz"}),
        *cli.DATA,
        (
            "--observed",
            "what is kept of each row: top, bottom, left or right (a half of an image), random:P "
            "(each variable with probability P), first:K (the first K columns), or nan (what is a "
            "number in FILE)",
            {"required": True, "metavar": "WHAT"},
        ),
        (
            "--out",
            ".png for a picture, .npy for an array (n, rows, D)",
            {"required": True, "metavar": "FILE"},
        ),
        (
            "-n",
            "completions of each row (default: 5)",
            {"type": cli._whole(1), "default": 5, "metavar": "N"},
        ),
        (
            "--rows",
            "how many rows (default: the first 10 of a picture, all of an array)",
            {"type": cli._whole(1), "metavar": "N"},
        ),
        (
            "--split",
            "train, valid or test (default: test if there is one)",
            {"choices": cli.SPLITS, "metavar": "NAME"},
        ),
        (
            "--method",
            "auto (the default), exact, importance or gibbs; exact is an error where it cannot be",
            {
                "choices": ["auto", "exact", "importance", "gibbs"],
                "default": "auto",
                "metavar": "NAME",
            },
        ),
        (
            "--image-shape",
            "such as 28x28 (default: that of the data, or a square)",
            {"type": cli._image_shape, "metavar": "HxW"},
        ),
        *cli.SEED,
    )


def add_arguments(parser: Any) -> None:
    """Arguments and options of the command."""
    from pyarsimple import cli

    cli._add(parser, _arguments())


def run(args: argparse.Namespace) -> int:
    """Complete rows and write them; return the exit status."""
    import numpy as np

    from pyarsimple import cli, reports, storage

    out = Path(args.out)
    if out.suffix not in {".npy", ".png"}:
        raise ValueError(f"--out must end in .npy or .png, got {args.out!r}")
    if not out.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(out.parent))
    model: Any = storage.load(args.model)
    if not hasattr(model, "impute"):
        raise ValueError(f"{args.model!r} is a {type(model).__name__}, which completes no rows")
    if getattr(model, "context", 0) != 0:
        raise ValueError(f"{args.model!r} is a model p(x | y): this command has no way to give y")
    data = cli.load_data(args)
    if data.n_dims != model.n_dims:
        raise ValueError(
            f"{args.model!r} is a model of {model.n_dims} variables, but --data {args.data!r} has "
            f"{data.n_dims} columns"
        )
    x = _rows(args, dict(data.items()), out.suffix == ".png")
    shape = args.image_shape or data.image_shape or cli._square(model.n_dims)
    if out.suffix == ".png" or args.observed in HALVES:
        cli.check_shape(shape, model.n_dims)
    for_mask, for_model = np.random.SeedSequence(args.seed).spawn(2)
    observed = parse_observed(args.observed, x, shape, for_mask)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it is said below, in the command's words
        try:
            done = model.impute(x, observed, n_samples=args.n, method=args.method, rng=for_model)
        except (TypeError, ValueError) as error:
            raise ValueError(f"--data {args.data!r}: {_as_flags(str(error))}") from None
    if out.suffix == ".npy":
        reports.write_array(out, done.samples)
    else:
        from pyarsimple import plots

        assert shape is not None
        reports.write_figure(out, plots.completions(x, observed, done.samples, shape))
    _say(done, args)
    return cli.OK


def _as_flags(message: str) -> str:
    return message.replace("method='", "--method '").replace("observed must", "--observed must")


def _rows(args: argparse.Namespace, splits: dict[str, Any], picture: bool) -> Any:
    """The rows to complete."""
    import numpy as np

    from pyarsimple.reports import listed

    name = args.split or ("test" if "test" in splits else next(iter(splits)))
    if name not in splits:
        raise ValueError(f"--split {name}: {args.data!r} has only {listed([*splits])}")
    return np.asarray(splits[name][: args.rows or (10 if picture else None)])


def parse_observed(
    text: str, x: npt.NDArray[Any], shape: tuple[int, int] | None, rng: Any
) -> npt.NDArray[np.bool_]:
    """The mask (D,) or (N, D) that ``--observed`` asks for."""
    import numpy as np

    D = x.shape[1]
    name, _, number = text.partition(":")
    if text in HALVES and shape is not None:
        height, width = shape
        row, column = np.divmod(np.arange(D), width)
        return {
            "top": row < height // 2, "bottom": row >= height // 2,
            "left": column < width // 2, "right": column >= width // 2,
        }[text]  # fmt: skip
    if text.lower() == "nan":
        return np.asarray(~np.isnan(x.astype(np.float64)))
    try:
        if name == "random" and 0 <= float(number) <= 1:
            return np.random.default_rng(rng).random(x.shape) < float(number)
        if name == "first" and 0 <= int(number) <= D:
            return np.arange(D) < int(number)
    except ValueError:
        pass
    raise ValueError(
        "--observed must be top, bottom, left, right, random:P with P in 0..1, first:K with K in "
        f"0..{D}, or nan, got {text!r}"
    )


def _say(done: Imputation, args: argparse.Namespace) -> None:
    """What was done, how good it was, and where it is."""
    from pyarsimple import missing, reports

    n_samples, n, _ = done.samples.shape
    rows = f"{n:,} row{'s' * (n != 1)}"
    said = f"wrote {n_samples} completion{'s' * (n_samples != 1)} of {rows} to {args.out}: "
    said += f"{done.method} ({missing.listed_methods(done.methods)})"
    size = done.effective_sample_size[~done.exact]
    if len(size):
        said += f"; effective sample size {size.min():.1f} to {size.max():.1f}"
    print(textwrap.fill(said, reports.WIDTH, break_long_words=False, break_on_hyphens=False))
    small = int((size < missing.SMALL).sum())
    if small:
        said = (
            f"warning: an effective sample size below {missing.SMALL}, in {small} of {rows}: "
            "completions there are not what the model says; a model whose order begins with the "
            "observed variables, or one that was trained for all orders, is exact"
        )
        print(textwrap.fill(said, reports.WIDTH, break_on_hyphens=False), file=sys.stderr)


COMMAND = ("complete rows of which parts are missing", add_arguments, run, EXAMPLES)
