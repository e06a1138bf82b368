"""The command line: pyarsimple demo, train, evaluate, classify, sample, impute, anomaly ...

A command is a function that adds its arguments and a function that runs them. Whatever a user can
get wrong ends in one line on stderr and exit status 2; PYARSIMPLE_TRACEBACK=1 shows where it arose.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib.util
import inspect
import json
import math
import os
import re
import shutil
import sys
import textwrap
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pyarsimple import anomaly_command, check_command, classify_command, missing_command, orders
from pyarsimple.exercises import command as exercise_command
from pyarsimple.models import MODELS
from pyarsimple.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from pyarsimple.autoregressive import AutoregressiveModel
    from pyarsimple.datasets import Splits
    from pyarsimple.density import Density
    from pyarsimple.evaluation import Comparison, Score
    from pyarsimple.training import History

OK, FAILED, USAGE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 130, 141
SPLITS = ("train", "valid", "test")
MAX_SHUFFLED = 2**30  # bytes of data that are read into memory to hold out a random tenth

#: What the constructors and `fit` call their arguments, and what they are called here.
FLAGS = {
    "n_hidden": "--hidden", "hidden_sizes": "--hidden", "hidden": "--activation",
    "dropout": "--dropout", "direct": "--direct", "degrees": "--degrees", "dtype": "--dtype",
    "order": "--order", "learning_rate": "--learning-rate", "momentum": "--momentum",
    "nesterov": "--nesterov", "weight_decay": "--weight-decay", "batch_size": "--batch-size",
    "max_epochs": "--max-epochs",
    "patience": "--patience", "l2": "--l2", "schedule": "--schedule", "average": "--average",
    "max_grad_norm": "--max-grad-norm", "optimizer": "--optimizer", "binarize": "--binarize",
    "n_masks": "--masks", "redraw": "--redraw", "image_shape": "--image-shape",
    "conditional": "--conditional", "k": "--k", "n_components": "--components",
    "pseudocount": "--pseudocount", "restarts": "--restarts",
    "max_iterations": "--max-iterations", "tolerance": "--tolerance",
}  # fmt: skip


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and lays its help out for 80 columns."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Exit with status 2 and one line."""
        self.exit(USAGE, f"{self.prog}: error: {_one_line(message)} (see {self.prog} --help)\n")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        columns = min(80, shutil.get_terminal_size().columns)
        super().__init__(prog, width=columns - 2, max_help_position=26)


def _one_line(message: object) -> str:
    return " ".join(str(message).split())


def _whole(low: int) -> Callable[[str], int]:
    """A parser of whole numbers from ``low`` on."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(
                f"needs a whole number of at least {low}, got {text!r}"
            )
        return value

    return parse


def _image_shape(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"needs HEIGHTxWIDTH such as 28x28, got {text!r}")
    return int(match[1]), int(match[2])


def png(text: str) -> str:
    """The name of a picture's file."""
    if not text.endswith(".png"):
        raise argparse.ArgumentTypeError(f"needs a name that ends in .png, got {text!r}")
    return text


def _order(text: str) -> str:
    if text not in orders.NAMES and not text.endswith(".npy"):
        names = ", ".join(orders.NAMES)
        raise argparse.ArgumentTypeError(f"needs one of {names}, or a .npy file, got {text!r}")
    return text


# Arguments, as (flag, help, what argparse is told besides).

Arguments = tuple[tuple[str, str, dict[str, Any]], ...]

DATA: Arguments = (
    (
        "--data",
        ".npz (keys train, valid, test; or x), .npy, .csv, .csv.gz, .amat, IDX; or 'digits', the "
        "8x8 handwritten ones",
        {"required": True, "metavar": "FILE"},
    ),
    (
        "--binarize",
        "what makes bits of pixels 0..255: threshold (at 128), sample, or none; auto (the default) "
        "is threshold for IDX files",
        {"default": "auto", "choices": ["auto", "threshold", "sample", "none"], "metavar": "NAME"},
    ),
)
SEED: Arguments = (
    (
        "--seed",
        "all that is random follows from it (default: 0)",
        {"type": _whole(0), "default": 0, "metavar": "N"},
    ),
)
QUIET: Arguments = (("--quiet", "no progress bars", {"action": "store_true"}),)


def _add(parser: Any, arguments: Arguments) -> None:
    for flag, explanation, settings in arguments:
        parser.add_argument(flag, help=explanation, **settings)


def has_bars(args: argparse.Namespace) -> bool:
    """Whether to show progress: it is asked for, and tqdm is there."""
    return not args.quiet and importlib.util.find_spec("tqdm") is not None


# demo


DEMO: Arguments = (
    (
        "--out",
        "folder for what it writes (default: demo-output)",
        {"default": "demo-output", "metavar": "DIR"},
    ),
    *SEED,
    ("--quick", "two epochs a model: a test, not a result", {"action": "store_true"}),
    *QUIET,
)


def _add_demo(parser: Parser) -> None:
    _add(parser, DEMO)


def _run_demo(args: argparse.Namespace) -> int:
    from pyarsimple import demo

    demo.run(args.out, seed=args.seed, quick=args.quick, progress=has_bars(args))
    return OK


# train

TRAIN: Arguments = (
    *DATA,
    ("--out", "folder for what it writes", {"required": True, "metavar": "DIR"}),
    (
        "--resume",
        "continue from DIR/checkpoint.npz; only --max-epochs, --patience and --threads may differ "
        "from before",
        {"action": "store_true"},
    ),
    ("--overwrite", "replace what is left of an earlier training", {"action": "store_true"}),
)
TRAIN_MODEL: Arguments = (
    (
        "--hidden",
        "hidden units: for nade a number, for made one a layer, such as 500 500, or none at all "
        "(default: 500)",
        {"nargs": "*", "type": _whole(1), "metavar": "H"},
    ),
    (
        "--activation",
        "of the hidden units: sigmoid, relu or, for made, tanh (default: nade sigmoid, made relu)",
        {"metavar": "NAME"},
    ),
    (
        "--dropout",
        "chance of each hidden unit to be dropped (default: 0)",
        {"type": float, "metavar": "P"},
    ),
    (
        "--direct",
        "made: links from inputs to outputs as well",
        {"action": "store_true", "default": None},
    ),
    (
        "--degrees",
        "made: of the hidden units, spread (the default) or random",
        {"choices": ["spread", "random"], "metavar": "NAME"},
    ),
    (
        "--order",
        "of the variables: natural (the default), reverse, random; of images rows, columns, snake, "
        "spiral, hilbert, dispersed; from the data mutual-information, tree; or a permutation in a "
        ".npy file",
        {"type": _order, "default": "natural", "metavar": "NAME"},
    ),
    (
        "--image-shape",
        "for an order of images, and for pictures, such as 28x28 (default: that of the data; for "
        "an order a square, too)",
        {"type": _image_shape, "metavar": "HxW"},
    ),
    (
        "--masks",
        "order-agnostic-made: how many sets of masks (default: a new one for each batch)",
        {"type": _whole(2), "metavar": "N"},
    ),
    (
        "--redraw",
        "order-agnostic-made: what its sets of masks differ in, order, degrees or both (the "
        "default)",
        {"choices": ["both", "order", "degrees"], "metavar": "NAME"},
    ),
    (
        "--k",
        "markov-chain: how many of the bits before it a bit depends on (default: 1)",
        {"type": _whole(0), "metavar": "K"},
    ),
    (
        "--components",
        "bernoulli-mixture: how many kinds of rows there are (default: 10)",
        {"type": _whole(1), "metavar": "K"},
    ),
    (
        "--conditional",
        "what the variables are: bernoulli (the default), categorical:K, gaussian or mixture:K "
        "(of K Gaussians; either may end in a floor of the scales, as gaussian:0.01); or one for "
        "each with commas between them, as in 3*bernoulli,categorical:5,gaussian",
        {"default": "bernoulli", "metavar": "NAME"},
    ),
    (
        "--standardize",
        "real columns: let the model see them with mean 0 and deviation 1; nats stay those of the "
        "data's own units",
        {"action": "store_true"},
    ),
    (
        "--dtype",
        "float64 (the default) or float32, which is faster",
        {"choices": ["float64", "float32"], "default": "float64", "metavar": "NAME"},
    ),
)
TRAIN_STEPS: Arguments = (
    (
        "--optimizer",
        "one of %(choices)s (default: adam)",
        {"choices": list(OPTIMIZERS), "default": "adam", "metavar": "NAME"},
    ),
    (
        "--learning-rate",
        "(default: that of the optimizer)",
        {"type": float, "metavar": "R"},
    ),
    ("--momentum", "sgd: in [0, 1) (default: 0)", {"type": float, "metavar": "M"}),
    ("--nesterov", "sgd: Nesterov's momentum", {"action": "store_true", "default": None}),
    (
        "--weight-decay",
        "adam: a step takes this share of each weight off, times its rate (default: 0)",
        {"type": float, "metavar": "S"},
    ),
    (
        "--batch-size",
        "rows a step (default: 100)",
        {"type": _whole(1), "default": 100, "metavar": "N"},
    ),
    ("--max-epochs", "(default: 100)", {"type": _whole(1), "default": 100, "metavar": "N"}),
    (
        "--patience",
        "stop after N epochs without a better validation likelihood; 0 never does (default: 10)",
        {"type": _whole(0), "default": 10, "metavar": "N"},
    ),
    (
        "--l2",
        "adds L/2 times the sum of squared weights to the loss (default: 0)",
        {"type": float, "default": 0.0, "metavar": "L"},
    ),
    (
        "--schedule",
        "of the learning rate: constant (the default), linear, cosine, step:EPOCHS (a tenth after "
        "each so many) or inverse:EPOCHS (1 / (1 + epoch/EPOCHS))",
        {"default": "constant", "metavar": "NAME"},
    ),
    ("--max-grad-norm", "scale longer gradients down to G", {"type": float, "metavar": "G"}),
    (
        "--average",
        "keep an exponential average of the parameters, of decay D such as 0.999",
        {"type": float, "metavar": "D"},
    ),
)
TRAIN_OWN: Arguments = (
    (
        "--pseudocount",
        "rows that are added to what is counted in the data, so that nothing is impossible "
        "(default: 1)",
        {"type": float, "metavar": "C"},
    ),
    (
        "--restarts",
        "bernoulli-mixture: EM starts so many times more, and the best is kept (default: 0)",
        {"type": _whole(0), "metavar": "N"},
    ),
    (
        "--max-iterations",
        "bernoulli-mixture: steps of EM in each start (default: 500)",
        {"type": _whole(1), "metavar": "N"},
    ),
    (
        "--tolerance",
        "bernoulli-mixture: a start ends with a step that gained less, in nats a row (default: "
        "1e-5)",
        {"type": float, "metavar": "T"},
    ),
)
THREADS: Arguments = (
    ("--threads", "for the kernels and BLAS", {"type": _whole(1), "metavar": "N"}),
)


def _add_train(parser: Parser) -> None:
    models = {"required": True, "choices": list(MODELS), "metavar": "NAME"}
    _add(parser, (("--model", "one of %(choices)s", models), *TRAIN))
    add_training(parser)


def add_training(parser: Parser) -> None:
    """Arguments of the model, of how it is trained, and of the run."""
    _add(parser.add_argument_group("model"), TRAIN_MODEL)
    _add(parser.add_argument_group("training"), TRAIN_STEPS)
    _add(parser.add_argument_group("fitting a baseline"), TRAIN_OWN)
    _add(parser.add_argument_group("run"), (*SEED, *THREADS, *QUIET))


def construct(kind: Callable[..., Any], what: str, options: dict[str, Any], **fixed: Any) -> Any:
    """Call ``kind`` with those options that were given; one that it does not take is an error."""
    return kind(**fixed, **given_to(kind, what, options))


def given_to(call: Callable[..., Any] | None, what: str, options: dict[str, Any]) -> dict[str, Any]:
    """Those options that were given; one that ``call`` does not take is an error."""
    takes = {} if call is None else inspect.signature(call).parameters
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in takes:
            raise ValueError(f"{FLAGS[name]} has no meaning for {what}")
    return given


#: What a model that is not trained by gradients takes for its ``fit``.
OWN = ("pseudocount", "restarts", "max_iterations", "tolerance")


def own_settings(args: argparse.Namespace, model: Any) -> dict[str, Any]:
    """What was given for the model's own ``fit``; of a model without one, that is an error."""
    options = {name: getattr(args, name) for name in OWN}
    return given_to(getattr(model, "fit", None), args.model, options)


def make_conditional(args: argparse.Namespace, x_train: Any) -> Any:
    """The conditional that the arguments ask for; None for bits."""
    from pyarsimple import conditionals

    conditional = conditionals.parse(args.conditional)
    if args.standardize:
        if conditional.values(x_train.shape[1]) is not None:
            raise ValueError("--standardize has no meaning without real variables: --conditional")
        return conditionals.Standardized.fit(conditional, x_train)
    return None if isinstance(conditional, conditionals.Bernoulli) else conditional


def make_order(
    args: argparse.Namespace, x_train: Any, conditional: Any, rng: Any, image_shape: Any
) -> Any:
    """The order that the arguments ask for, made by its name or read from a file."""
    import numpy as np

    n_dims = x_train.shape[1]
    if not args.order.endswith(".npy"):
        classes: Any = True
        if conditional is not None:
            conditional.columns(n_dims)  # refuses another number of variables
            classes = [conditional.of(i).values(1) is not None for i in range(n_dims)]
        shape = args.image_shape or image_shape or _square(n_dims)
        return orders.make(
            args.order, n_dims, image_shape=shape, x=x_train, discrete=classes, rng=rng
        )
    try:
        order = np.load(args.order, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"cannot read {args.order!r}: {error}") from None
    return orders.check_order(order, n_dims)


def make_model(
    args: argparse.Namespace,
    x_train: Any,
    seeds: Any,
    image_shape: tuple[int, int] | None = None,
) -> AutoregressiveModel:
    """The model that the arguments ask for, by what its constructor takes."""
    for_model, for_order = seeds
    n_dims = x_train.shape[1]
    kind = MODELS[args.model]
    takes = inspect.signature(kind).parameters
    if args.standardize and "conditional" not in takes:
        raise ValueError(f"--standardize has no meaning for {args.model}")
    options = {name: getattr(args, name) for name in ("dropout", "direct", "degrees")}
    options |= {"hidden": args.activation, "n_masks": args.masks, "redraw": args.redraw}
    options |= {"k": args.k, "n_components": args.components}
    options["conditional"] = make_conditional(args, x_train)
    if args.hidden is not None and "n_hidden" in takes:
        if len(args.hidden) != 1:
            raise ValueError(f"--hidden needs one number for {args.model}, got {len(args.hidden)}")
        options["n_hidden"] = args.hidden[0]
    elif args.hidden is not None:
        options["hidden_sizes"] = tuple(args.hidden)
    model: AutoregressiveModel = construct(
        kind, args.model, options, n_dims=n_dims, dtype=args.dtype, rng=for_model,
        order=make_order(args, x_train, options["conditional"], for_order, image_shape),
    )  # fmt: skip
    if options["conditional"] is not None:
        model.initialize_from(x_train)
    return model


def make_schedule(text: str) -> Any:
    """What `fit` takes, from a name, or from a name, a colon and a number of epochs."""
    from pyarsimple.optimizers import InverseTime, StepDecay

    name, colon, epochs = text.partition(":")
    if not colon and name in {"constant", "linear", "cosine"}:
        return None if name == "constant" else name
    kinds: dict[str, Callable[[float], Any]] = {"step": StepDecay, "inverse": InverseTime}
    try:
        value = float(epochs)
    except ValueError:
        value = math.nan
    if name not in kinds or not 0 < value < math.inf:
        raise ValueError(
            "--schedule must be constant, linear, cosine, step:EPOCHS or inverse:EPOCHS, such as "
            f"inverse:20, got {text!r}"
        )
    return kinds[name](value)


def streams(args: argparse.Namespace) -> Any:
    """Seeds from ``--seed`` for: model, order, split, fit, bits."""
    import numpy as np

    return np.random.SeedSequence(args.seed).spawn(5)


def load_data(args: argparse.Namespace) -> Splits:
    """The data of ``--data``; what was taken for names of columns is said."""
    from pyarsimple import datasets, reports

    try:
        data = datasets.load_file(
            args.data, binarize=args.binarize, label=getattr(args, "label", None),
            rng=streams(args)[-1],
        )  # fmt: skip
    except ValueError as error:
        raise ValueError(str(error).replace("binarize='none'", "give --binarize none")) from error
    if data.names is not None:
        shown = [reports.fit_name(name, 12) for name in data.names[:3]]
        shown += ["..."] if len(data.names) > 3 else []
        print(f"{data.name}: first line taken for names: {', '.join(shown)}", file=sys.stderr)
    return data


def say_what_has_no_effect(args: argparse.Namespace) -> None:
    """Name the flags of training that were given for a model with a ``fit`` of its own."""
    from pyarsimple import reports

    given = [
        flag for flag, _, settings in TRAIN_STEPS
        if getattr(args, flag[2:].replace("-", "_")) != settings.get("default")
    ]  # fmt: skip
    if given:
        have = f"ha{'s' if len(given) == 1 else 've'} no effect"
        said = f"{args.model} is not trained by gradients: {reports.listed(given)} {have}"
        print(textwrap.fill(said, reports.WIDTH, break_on_hyphens=False))


def hold_out(data: Splits, rng: Any) -> Splits:
    """The data, with a tenth of train held out for validation where there is no such split."""
    from pyarsimple import datasets

    if data.valid is not None:
        return data
    n = len(data.train)
    if n < 10:
        raise ValueError(f"{data.name} has {n} rows: too few to hold out a tenth for validation")
    # A random tenth, but where that would read into memory what may not fit there.
    shuffle = data.train.nbytes <= MAX_SHUFFLED
    train, valid = datasets.split(data.train, (0.9, 0.1), shuffle=shuffle, rng=rng)
    print(
        f"no 'valid' in the data: {'a random' if shuffle else 'the last'} tenth, {len(valid):,} of "
        f"{n:,} rows, is held out"
    )
    return replace(data, train=train, valid=valid)


def fingerprint(data: Splits, model: AutoregressiveModel) -> str:
    """Check all rows; return what tells these data from others: shapes and a checksum."""
    checksum = 0
    for split, x in data.items():
        for start in range(0, len(x), 4096):
            name = f"{split}[{start}:]" if start else split
            try:
                rows = model.conditional.check(x[start : start + 4096], model.n_dims, name)
            except ValueError as error:
                raise ValueError(_with_remedy(str(error), model)) from None
            checksum = zlib.crc32(rows.astype(model.conditional.dtype).tobytes(), checksum)
    shapes = ", ".join(f"{split} {x.shape[0]}x{x.shape[1]}" for split, x in data.items())
    return f"{shapes}, checksum {checksum:08x}"


def _with_remedy(message: str, model: AutoregressiveModel) -> str:
    """What is wrong with the rows, and what the command line has for rows that are no bits."""
    from pyarsimple.conditionals import Bernoulli

    if not isinstance(model.conditional, Bernoulli):
        return message
    message = message.split("; binarize")[0]
    if "conditional" not in inspect.signature(type(model)).parameters:
        return f"{message}; {model.name} is a model of bits"
    return (
        f"{message}; of pixels 0..255 --binarize makes bits, for other numbers say what they are, "
        "such as --conditional categorical:5, or mixture:10 with --standardize"
    )


#: What `fit` takes as it stands.
FIT = ("batch_size", "max_epochs", "l2", "max_grad_norm", "average")
#: What may change between a training and its continuation, or is no setting at all.
NO_SETTINGS = (
    "command", "run", "out", "resume", "overwrite", "quiet", "threads", "max_epochs", "patience",
)  # fmt: skip


def check_folder(args: argparse.Namespace, settings: dict[str, Any]) -> None:
    """Refuse to lose an earlier training, or to continue it with other settings."""
    out = Path(args.out)
    left = [name for name in ("model.npz", "checkpoint.npz") if (out / name).exists()]
    if not args.resume:
        if left and not args.overwrite:
            resume = "continue it with --resume, " if "checkpoint.npz" in left else ""
            raise ValueError(
                f"{args.out!r} holds {left[0]} of an earlier training: {resume}replace it with "
                "--overwrite, or choose another --out"
            )
        return
    if "checkpoint.npz" not in left:
        raise ValueError(f"nothing to --resume: {args.out!r} holds no checkpoint.npz")
    path = out / "settings.json"
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return  # fit compares too, if less legibly
    except (ValueError, RecursionError) as error:
        raise ValueError(f"cannot read {os.fspath(path)!r}: it is no JSON ({error})") from None
    if not isinstance(before, dict):
        raise ValueError(f"cannot read {os.fspath(path)!r}: it holds no settings")
    for name, value in settings.items():
        if before.get(name) != value:
            flag = "--" + name.replace("_", "-")
            raise ValueError(
                f"cannot --resume: {flag} was {_shown(before.get(name))} and is {_shown(value)} "
                "now; use the same, or train anew with --overwrite or in another --out"
            )


def begin_folder(args: argparse.Namespace, settings: dict[str, Any]) -> Path:
    """The folder, with nothing of an earlier training in it unless that is continued."""
    from pyarsimple import reports

    out = reports.make_folder(args.out)
    if not args.resume:
        for name in ("model.npz", "checkpoint.npz", "history.json", "learning_curves.png"):
            (out / name).unlink(missing_ok=True)
    reports.write_text(out / "settings.json", reports.to_json(settings))
    return out


def _shown(value: Any) -> str:
    """A setting as it is typed."""
    if isinstance(value, list):
        return " ".join(map(str, value)) or "no number"
    return "not given" if value is None else str(value)


def _run_train(args: argparse.Namespace) -> int:
    from pyarsimple.training import fit, train_model

    if args.resume and args.overwrite:
        raise ValueError("--resume and --overwrite contradict each other: give one of them")
    for_model, for_order, for_split, for_fit, _ = streams(args)
    training = {
        "schedule": make_schedule(args.schedule),
        "optimizer": make_optimizer(args),
        "patience": args.patience or None,
        "rng": for_fit,
        **{name: getattr(args, name) for name in FIT},
    }
    data = load_data(args)
    model = make_model(args, data.train, (for_model, for_order), data.image_shape)
    settings = {k: v for k, v in vars(args).items() if k not in NO_SETTINGS}
    settings["image_shape"] = args.image_shape and "x".join(map(str, args.image_shape))
    settings["data"] = fingerprint(data, model)
    check_folder(args, settings)
    own = own_settings(args, model)
    if hasattr(model, "fit"):
        say_what_has_no_effect(args)
        if "restarts" in inspect.signature(model.fit).parameters and not args.quiet:
            print(f"{args.model}: EM on {len(data.train):,} rows ...", file=sys.stderr, flush=True)
        started = time.perf_counter()
        train_model(model, data.train, rng=for_fit, **own)
        seconds = time.perf_counter() - started
        out = begin_folder(args, settings)
        print(f"{args.model}: {model.n_params:,} parameters, fitted in {seconds:.2f} s")
        _finish(args, model, None, data, out)
        return OK
    data = hold_out(data, for_split)
    # No epoch: this finds what is wrong before anything is written or replaced.
    fit(model, data.train, data.valid, **{**training, "max_epochs": 0})
    out = begin_folder(args, settings)
    with _threads(args.threads):
        return _train(args, model, data, out, training)


def make_optimizer(args: argparse.Namespace) -> Any:
    """The optimizer that the arguments ask for, by what its constructor takes."""
    names = ("learning_rate", "momentum", "nesterov", "weight_decay")
    options = {name: getattr(args, name) for name in names}
    return construct(OPTIMIZERS[args.optimizer], args.optimizer, options)


def _train(
    args: argparse.Namespace,
    model: AutoregressiveModel,
    data: Splits,
    out: Path,
    training: dict[str, Any],
) -> int:
    """Train, write what came of it, and say so; however training ended."""
    from pyarsimple.training import DivergenceError, fit

    checkpoint = out / "checkpoint.npz"
    error = None
    try:
        history = fit(
            model, data.train, data.valid, progress=args.model if has_bars(args) else False,
            checkpoint=checkpoint, resume=checkpoint if args.resume else None, **training,
        )  # fmt: skip
    except DivergenceError as divergence:
        history, error = divergence.history, divergence
    interrupted = history.stopped == "interrupted"
    # Without a checkpoint nothing can be continued: then the same command has to work again.
    if history.n_epochs and (checkpoint.exists() or not interrupted):
        _finish(args, model, history, data, out)
    if error is not None:
        print(f"pyarsimple train: error: {_as_flags(_one_line(error))}", file=sys.stderr)
        return FAILED
    if not interrupted:
        return OK
    kept = "no epoch was complete: nothing is kept; the same command starts anew"
    if checkpoint.exists():
        kept = f"kept the best epoch, {history.best_epoch}; --resume continues"
    print(f"interrupted: {kept}", file=sys.stderr)
    return INTERRUPTED


@contextlib.contextmanager
def _threads(n: int | None) -> Iterator[None]:
    """Limit kernels and BLAS to n threads; None leaves them alone."""
    with contextlib.ExitStack() as stack:
        if n is not None:
            from pyarsimple.twins import set_num_threads

            stack.enter_context(set_num_threads(n))
            with contextlib.suppress(ImportError):  # without it the BLAS has its own way
                from threadpoolctl import threadpool_limits

                stack.enter_context(threadpool_limits(n))
        yield


def _finish(
    args: argparse.Namespace,
    model: AutoregressiveModel,
    history: History | None,
    data: Splits,
    out: Path,
) -> None:
    """Write the model, its history and its picture; print its scores."""
    from pyarsimple import plots, reports
    from pyarsimple.evaluation import evaluate

    model.save(out / "model.npz")
    scores = {name: evaluate(model, x) for name, x in data.items()}
    found = {
        "model": args.model,
        "data": args.data,
        "n_params": model.n_params,
        "scores": {name: asdict(score) for name, score in scores.items()},
        "history": history.to_dict() if history is not None else None,
    }
    reports.write_text(out / "history.json", reports.to_json(found))
    if history is not None:
        with contextlib.suppress(ImportError):  # without Matplotlib there is no picture
            curves = plots.learning_curves({args.model: history})
            reports.write_figure(out / "learning_curves.png", curves)
        print(
            f"{args.model}: {history.n_epochs} epoch{'s' * (history.n_epochs != 1)} in "
            f"{history.seconds[-1]:.1f} s, stopped by {history.stopped}; kept epoch "
            f"{history.best_epoch}"
        )
    real = model.conditional.values(model.n_dims) is None
    shown = "nats" + (" (densities, in the units of the data): " if real else ": ")
    shown += ", ".join(_scored(name, score) for name, score in scores.items())
    wrapped = textwrap.fill(shown, reports.WIDTH, break_long_words=False, break_on_hyphens=False)
    print(wrapped.replace("\N{NO-BREAK SPACE}", " "))


def _scored(name: str, score: Score) -> str:
    """A split's score, in one piece."""
    from pyarsimple.reports import number

    said = f"{name} {number(score.nll, '.3f')} +- {number(score.standard_error, '.3f')}"
    return said.replace(" ", "\N{NO-BREAK SPACE}")


# evaluate


EVALUATE: Arguments = (
    ("models", "one model, or several to compare", {"nargs": "+", "metavar": "MODEL.npz"}),
    *DATA,
    (
        "--split",
        "any of train, valid and test (default: all that the data have)",
        {"nargs": "+", "choices": SPLITS, "metavar": "NAME"},
    ),
    ("--json", "print JSON instead of tables", {"action": "store_true"}),
    (
        "--seed",
        "of --binarize sample, as it was for train (default: 0)",
        {"type": _whole(0), "default": 0, "metavar": "N"},
    ),
)


def _add_evaluate(parser: Parser) -> None:
    _add(parser, EVALUATE)


def short_names(paths: Sequence[str], width: int = 28) -> list[str]:
    """A short name for each path, all of them different: of its file, or of its folder."""
    from pyarsimple.reports import fit_name

    files = [Path(path).resolve() for path in paths]
    names = [file.parent.name if file.stem == "model" else file.stem for file in files]
    if len(set(names)) < len(names):
        names = list(paths)
    names = [fit_name(name, width) for name in names]
    if len(set(names)) < len(names):
        names = [f"{k}: {fit_name(name, width - 4)}" for k, name in enumerate(names, 1)]
    return names


def _run_evaluate(args: argparse.Namespace) -> int:
    from pyarsimple import reports, storage
    from pyarsimple.evaluation import compare

    names = short_names(args.models)
    models = {name: storage.load(path) for name, path in zip(names, args.models, strict=True)}
    data = load_data(args)
    for path, model in zip(args.models, models.values(), strict=True):
        if model.n_dims != data.n_dims:
            raise ValueError(
                f"{path!r} is a model of {model.n_dims} variables, but --data {args.data!r} has "
                f"{data.n_dims} columns"
            )
    splits = dict(data.items())
    for name in args.split or ():
        if name not in splits:
            raise ValueError(f"--split {name}: {args.data!r} has only {reports.listed([*splits])}")
    if args.split:
        splits = {name: x for name, x in splits.items() if name in args.split}
    elif len(splits) == 1:
        splits = {"all": data.train}
    found = {}
    for name, x in splits.items():
        try:
            found[name] = compare(models, x)
        except (TypeError, ValueError) as error:
            raise ValueError(f"--data {args.data!r}, {name}: {error}") from None
    real = [m.conditional.values(m.n_dims) is None for m in models.values()]
    if args.json:
        files = dict(zip(names, args.models, strict=True))
        scored = {name: comparison.to_dict() for name, comparison in found.items()}
        print(reports.to_json({"data": args.data, "models": files, "splits": scored}), end="")
    elif len(models) == 1:
        print(_one_table(names[0], found))
    else:
        print("\n\n".join(f"{data.name}, {name}\n\n{c}" for name, c in found.items()))
    if any(real) and not args.json:
        print("of real variables: densities, in the units of the data")
    return OK


def _one_table(name: str, found: dict[str, Comparison]) -> str:
    from pyarsimple.reports import table

    columns = (("split", ""), ("rows", ",d"), ("nll", ".3f"), ("s.e.", ".3f"), ("bits/dim", ".4f"))
    scores = {split: comparison.scores[name] for split, comparison in found.items()}
    rows = [[k, s.n, s.nll, s.standard_error, s.bits_per_dim] for k, s in scores.items()]
    return f"{name}\n\n{table(columns, rows)}\nnll: mean negative log-likelihood in nats"


# sample


SAMPLE: Arguments = (
    ("model", "as train writes it", {"metavar": "MODEL.npz"}),
    ("-n", "how many samples (default: 100)", {"type": _whole(1), "default": 100, "metavar": "N"}),
    (
        "--out",
        ".npy for an array (N, D), .png for a picture",
        {"required": True, "metavar": "FILE"},
    ),
    *SEED,
    (
        "--image-shape",
        "of the picture, such as 28x28 (default: a square)",
        {"type": _image_shape, "metavar": "HxW"},
    ),
)


def _add_sample(parser: Parser) -> None:
    _add(parser, SAMPLE)


def _run_sample(args: argparse.Namespace) -> int:
    from pyarsimple import reports, storage

    out = Path(args.out)
    if out.suffix not in {".npy", ".png"}:
        raise ValueError(f"--out must end in .npy or .png, got {args.out!r}")
    if not out.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(out.parent))
    model = storage.load(args.model)
    shape = args.image_shape or _square(model.n_dims)
    if out.suffix == ".png":
        check_shape(shape, model.n_dims)
    x = model.sample(args.n, rng=args.seed)
    if out.suffix == ".npy":
        reports.write_array(out, x)
    else:
        from pyarsimple import plots

        assert shape is not None
        columns = math.ceil(math.sqrt(args.n))
        picture = plots.samples({"": x}, shape, rows=math.ceil(args.n / columns), columns=columns)
        reports.write_figure(out, picture)
    print(f"wrote {args.n} samples to {args.out}")
    return OK


def _square(n_dims: int) -> tuple[int, int] | None:
    side = math.isqrt(n_dims)
    return (side, side) if side * side == n_dims else None


def check_shape(shape: tuple[int, int] | None, n_dims: int) -> None:
    """Refuse a shape of images that the rows do not have."""
    if shape is None or math.prod(shape) != n_dims:
        given = f"got {shape[0]}x{shape[1]}" if shape else "and no square fits"
        raise ValueError(f"--image-shape must have a product of {n_dims}, {given}")


# info


INFO: Arguments = (
    (
        "model",
        "a model's file; without it, how this installation is built",
        {"nargs": "?", "metavar": "MODEL.npz"},
    ),
)


def _add_info(parser: Parser) -> None:
    _add(parser, INFO)


def _run_info(args: argparse.Namespace) -> int:
    if args.model is None:
        from pyarsimple.config import show_config

        show_config()
        return OK
    from pyarsimple import storage

    model = storage.load(args.model)
    _show_model(model)
    for k, part in enumerate(model.parts()):
        print(f"\npart {k}")
        _show_model(part)
    return OK


def _show_model(model: Density) -> None:
    """Print the settings of a model, and what its arrays are like."""
    from pyarsimple import reports
    from pyarsimple.autoregressive import AutoregressiveModel

    config = model.config()
    facts: dict[str, Any] = {"model": type(model).__name__}
    facts |= {k: v for k, v in config.items() if k not in ("order", "degrees", "views")}
    if "conditional" in config:
        described = repr(model.conditional)
        facts["conditional"] = textwrap.shorten(described, reports.WIDTH - 14, placeholder=" ...")
        facts["context"] = repr(model.context)
    if isinstance(model, AutoregressiveModel):
        natural = (model.order == orders.natural(model.n_dims)).all()
        order = "natural" if natural else ", ".join(map(str, model.order))
        facts["order"] = textwrap.shorten(order, reports.WIDTH - 14, placeholder=" ...")
    else:
        facts |= {"n_dims": model.n_dims, "components": len(config["views"])}
    for name, value in (facts | {"parameters": f"{model.n_params:,}"}).items():
        print(f"{name:<14}{value}")
    if not isinstance(model, AutoregressiveModel):
        return
    columns = (
        ("array", ""),
        ("shape", ""),
        ("free", ",d"),
        ("min", ".3g"),
        ("mean", ".3g"),
        ("max", ".3g"),
    )
    masks, rows = model.masks(), []
    for name, p in model.params.items():
        free = p[masks[name]] if name in masks else p.ravel()
        spread = [float(f()) for f in (free.min, free.mean, free.max)] if free.size else [None] * 3
        rows.append([name, "x".join(map(str, p.shape)), free.size, *spread])
    print(f"\n{reports.table(columns, rows)}")


# All of them.

Command = tuple[str, Callable[[Parser], None], Callable[[argparse.Namespace], int], str]

COMMANDS: dict[str, Command] = {
    "demo": (
        "train three models on real digits and use them: tables, pictures",
        _add_demo, _run_demo,
        "Under a minute on two cores, and no download.\n\n"
        "example:\n"
        "  pyarsimple demo --out demo-output",
    ),
    "train": (
        "train a model on a file of data",
        _add_train, _run_train,
        "Writes to DIR: model.npz, the best model; history.json, its likelihoods and\n"
        "curves; learning_curves.png; checkpoint.npz and settings.json, for --resume.\n"
        "Ctrl-C keeps the best model so far. Without a validation split in FILE, a\n"
        "tenth of its rows is held out. Baselines (independent, markov-chain, chow-liu,\n"
        "bernoulli-mixture, joint-table, gaussian) are fitted to the train rows at once.\n\n"
        "examples:\n"
        "  pyarsimple train --model nade --activation relu --dropout 0.5 --l2 1e-3 \\\n"
        "      --data digits --out runs/nade\n"
        "  pyarsimple train --model made --hidden 500 500 --dropout 0.5 \\\n"
        "      --data bits.npz --out runs/made --average 0.999 --patience 30\n"
        "  pyarsimple train --model fvsbn --optimizer lbfgs --l2 1e-3 \\\n"
        "      --data table.csv --out runs/fvsbn\n"
        "  pyarsimple train --model made --hidden 100 --conditional mixture:10 \\\n"
        "      --standardize --order random --data reals.csv --out runs/reals\n"
        "  pyarsimple train --model bernoulli-mixture --components 30 --restarts 3 \\\n"
        "      --data bits.npz --out runs/mixture",
    ),
    "evaluate": (
        "score data under one model, or compare several",
        _add_evaluate, _run_evaluate,
        "Likelihoods are exact. Differences between models are paired: what is hard in\n"
        "a row for both of them cancels.\n\n"
        "examples:\n"
        "  pyarsimple evaluate runs/nade/model.npz --data digits\n"
        "  pyarsimple evaluate runs/*/model.npz --data digits --split test --json",
    ),
    "classify": classify_command.COMMAND,
    "sample": (
        "draw from a model, exactly",
        _add_sample, _run_sample,
        "examples:\n"
        "  pyarsimple sample runs/nade/model.npz -n 1000 --out samples.npy\n"
        "  pyarsimple sample runs/nade/model.npz --out samples.png --image-shape 8x8",
    ),
    "impute": missing_command.COMMAND,
    "anomaly": anomaly_command.COMMAND,
    "info": (
        "say what a model file holds, or how this installation is built",
        _add_info, _run_info,
        "examples:\n  pyarsimple info runs/nade/model.npz\n  pyarsimple info",
    ),
}  # fmt: skip


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: Any, *args: Any) -> None:
        from pyarsimple.config import version

        print(f"pyarsimple {version('pyarsimple')}")
        parser.exit()


def make_parser() -> Parser:
    """The parser of the whole command line."""
    parser = Parser(
        prog="pyarsimple",
        description="Autoregressive density models (FVSBN, NADE, MADE): train, score, sample.",
        epilog="'pyarsimple COMMAND --help' explains a command. To begin with:\n  pyarsimple demo",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, title="commands"
    )
    for name, (summary, add_arguments, run, epilog) in COMMANDS.items():
        command = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=epilog
        )
        add_arguments(command)
        command.set_defaults(run=run)
    for more in (check_command, exercise_command):  # commands with a file of their own
        more.add_parser(commands)
    return parser


def _as_flags(message: str) -> str:
    """An error about an argument of the library, said of the flag that set it."""
    name, space, rest = message.partition(" ")
    return f"{FLAGS[name]}{space}{rest}" if name in FLAGS else message


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Without the program's name; by default those of the process.
    """
    parser = make_parser()
    prog = parser.prog
    try:
        try:
            args = parser.parse_args(argv)
            prog = f"{parser.prog} {args.command}"
            status: int = args.run(args)
        except SystemExit as end:  # --help, --version, or bad usage
            status = int(end.code or 0)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # as when piped into head: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor shall the last flush
        return BROKEN_PIPE
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (OSError, ValueError, TypeError, ImportError, MemoryError, RuntimeError) as error:
        if os.environ.get("PYARSIMPLE_TRACEBACK", "0") not in {"", "0"}:
            raise
        print(f"{prog}: error: {_describe(error)}", file=sys.stderr)
        return USAGE


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fspath(error.filename)!r}: {_one_line(error.strerror)}"
    if isinstance(error, MemoryError):
        return _one_line(f"out of memory: {error}")
    return _as_flags(_one_line(error)) or type(error).__name__
