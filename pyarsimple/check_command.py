"""``pyarsimple check``: all checks on a model of ours, or on a class in a file of the user's.

The command line's parser calls `add_parser`, and `run` with what was parsed. Exit status: 0 if
every check passed, 1 if one failed, 2 for bad usage.
"""

from __future__ import annotations

import argparse
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pyarsimple.reports import make_folder, write_figure, write_text

DESCRIPTION = """\
Check gradients, dependences, normalisation, samples and consistency.

MODEL is nade, made or fvsbn, or a Python file with a class of yours. The class
is made without arguments. It has

  n_dims                 D, the number of variables

and any of the following; what it has is checked, the rest is skipped:

  params                 dict of live float64 arrays
  nll_and_grads(x)       mean negative log-likelihood, dict of its gradients
  forward(x)             (outputs (N, D), cache)
  backward(d, cache)     dict of gradients of sum(d * outputs)
  conditionals(x)        (N, D): p(x_i = 1 | x_<i)
  log_conditionals(x)    (N, D): log p(x_i | x_<i)
  log_prob(x)            (N,): log p(x), in nats
  sample(n, rng=...)     (n, D)
  start(n)               the sequential view: outputs(), advance(x_i)
  order                  order[k] is the variable in position k
  masks()                dict of boolean arrays: where a parameter is free
  dependencies()         (D, D) booleans: who is to depend on whom, if not
                         every variable on all before it
  values                 "bits" (the default), a number of classes, "reals",
                         or a list of these, one for each variable

FILE.py:NAME chooses a class where the file has several.

exit status: 0 all passed, 1 a check failed, 2 bad usage
"""

#: A class in a file is a model if it has one of these.
METHODS = ("nll_and_grads", "forward", "conditionals", "log_conditionals", "log_prob", "sample")


class UsageError(Exception):
    """What the user asked for cannot be done; the message is one clear line."""


def add_parser(subparsers: Any) -> None:
    """Add ``check`` to the subcommands of a parser."""
    parser = subparsers.add_parser(
        "check",
        help="check gradients, dependences, sums and samples of a model",
        description=DESCRIPTION,
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter  # keep the lines as they are
    add_arguments(parser)
    parser.set_defaults(run=run)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments and options of the command."""
    parser.add_argument("model", metavar="MODEL", help="nade, made, fvsbn, or FILE.py[:CLASS]")
    parser.add_argument("--dims", type=_positive, default=7, metavar="D",
                        help="variables of a model of ours (default: 7)")  # fmt: skip
    parser.add_argument("--hidden", type=_positive, default=11, metavar="H",
                        help="hidden units of a model of ours (default: 11)")  # fmt: skip
    parser.add_argument("--conditional", default="bernoulli", metavar="WORDS",
                        help="kind of the variables of a model of ours: bernoulli (the default), "
                             "categorical:K, gaussian, mixture:K, or one for each, such as "
                             "3*bernoulli,gaussian")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    parser.add_argument("--json", metavar="FILE", help="write the reports as JSON; - is the screen")
    parser.add_argument("--plots", metavar="DIR", help="write a picture of each report to a folder")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def run(args: argparse.Namespace) -> int:
    """Run the checks; return the exit status."""
    from pyarsimple.checks import check_model

    try:
        if args.seed < 0:
            raise UsageError(f"--seed must be at least 0, got {args.seed}")
        model = make_model(args.model, args.dims, args.hidden, args.seed, args.conditional)
        if getattr(model, "n_dims", None) is None:
            raise UsageError(
                f"{args.model}: class {type(model).__name__} has no n_dims, the number of "
                "variables D, without which nothing can be checked: set self.n_dims = D in __init__"
            )
        report = check_model(model, title=args.model, rng=args.seed)
    except UsageError as error:
        return _refuse(str(error))
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything at all
        return _raised(error, args.model)
    try:
        _write(report, args)
    except BrokenPipeError:  # as when piped into head: the command line knows what to do
        raise
    except OSError as error:
        return _refuse(str(error))
    if not report.reports:
        return _refuse(f"{args.model}: nothing to check: {'; '.join(report.skipped.values())}")
    return 0 if report else 1


def _refuse(message: str) -> int:
    print(f"pyarsimple check: {message}", file=sys.stderr)
    return 2


def _raised(error: Exception, name: str) -> int:
    """An exception during a check: a failure of the code under test, and where it happened."""
    frames = traceback.extract_tb(error.__traceback__)
    path = name.split(".py")[0] + ".py"
    theirs = [f for f in frames if Path(f.filename).name == Path(path).name] or list(frames)
    where = f"{Path(theirs[-1].filename).name}, line {theirs[-1].lineno}"
    print(f"{name}: FAILED: {type(error).__name__} in {where}: {error}")
    return 1


def _write(report: Any, args: argparse.Namespace) -> None:
    if args.json == "-":
        print(report.to_json(), end="")
    else:
        print(report)
    if args.json and args.json != "-":
        write_text(args.json, report.to_json())
    if args.plots:
        folder = make_folder(args.plots)
        for name, part in report.reports.items():
            write_figure(folder / f"{name}.png", part.plot())


def make_model(name: str, n_dims: int, n_hidden: int, seed: int, words: str = "bernoulli") -> Any:
    """A model of ours by its name, with an order that is not its own inverse, or the user's own."""
    from pyarsimple import FVSBN, MADE, NADE

    rng = np.random.default_rng(seed)
    if name in ("fvsbn", "nade", "made"):
        order = np.roll(rng.permutation(n_dims), 1)
        conditional = _conditional(words, n_dims)
        if name == "fvsbn":
            return FVSBN(n_dims, order=order, conditional=conditional, rng=rng)
        if name == "nade":
            return NADE(n_dims, n_hidden, order=order, conditional=conditional, rng=rng)
        # Two layers, each with a unit of every degree: no path is cut.
        sizes = (max(n_hidden, n_dims), max(n_hidden, n_dims) + 2)
        return MADE(n_dims, sizes, hidden="tanh", order=order, conditional=conditional, rng=rng)
    if words != "bernoulli":
        raise UsageError("--conditional is of nade, made and fvsbn; a class of yours has values")
    return load_class(name)()


def _conditional(words: str, n_dims: int) -> Any:
    """The conditional that the words name, for so many variables."""
    from pyarsimple.conditionals import parse

    try:
        conditional = parse(words)
        conditional.columns(n_dims)  # refuses another number of variables
    except ValueError as error:
        raise UsageError(f"--conditional: {error}") from None
    return conditional


def load_class(name: str) -> type:
    """The class that ``FILE.py`` or ``FILE.py:CLASS`` names."""
    file, _, wanted = name.rpartition(":") if ".py:" in name else (name, "", "")
    path = Path(file)
    if path.suffix != ".py":
        raise UsageError(
            f"MODEL must be nade, made, fvsbn or a file that ends in .py, got {name!r}"
        )
    if not path.is_file():
        raise UsageError(f"there is no file {file!r}")
    module = _import(path)
    if wanted:
        found = getattr(module, wanted, None)
        if not inspect.isclass(found):
            raise UsageError(f"{file} has no class {wanted!r}")
        return found
    models = [
        c for c in vars(module).values()
        if inspect.isclass(c) and c.__module__ == module.__name__
        and any(hasattr(c, method) for method in METHODS)
    ]  # fmt: skip
    if len(models) != 1:
        names = ", ".join(c.__name__ for c in models) or "none"
        raise UsageError(
            f"{file} must have one class with one of the methods {', '.join(METHODS)}; it has "
            f"{names}" + (f"; choose one, such as {file}:{models[0].__name__}" if models else "")
        )
    return models[0]


def _import(path: Path) -> ModuleType:
    """Run a file as a module of its own; its folder is on the path, as if it were run directly."""
    spec = importlib.util.spec_from_file_location(f"_checked_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look it up
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    return module
