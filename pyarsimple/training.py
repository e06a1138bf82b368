"""Training: epochs of steps on batches, early stopping, checkpoints that continue bit for bit.

`fit` is a loop over epochs. Everything that the loop carries from one epoch to the next is in a
`_Run`, and all of a `_Run` is in a checkpoint: what was interrupted and continued equals what was
not.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyarsimple import storage
from pyarsimple._validation import check_number, check_size, check_weight
from pyarsimple.autoregressive import (
    Array,
    AutoregressiveModel,
    Params,
    is_weight,
    row_blocks,
)
from pyarsimple.conditionals import Bernoulli
from pyarsimple.optimizers import (
    LBFGS,
    Optimizer,
    Schedule,
    average_update_,
    clip_by_norm,
    make_optimizer,
    make_schedule,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Callback = Callable[[AutoregressiveModel, "History"], object]

BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")


@contextlib.contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Let Ctrl-C wait until the body is done, so that an epoch is recorded and saved whole."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[Any] = []
    signal.signal(signal.SIGINT, lambda *args: came.append(args))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        before(*came[0])


class DivergenceError(ArithmeticError):
    """The training loss became infinite or NaN; the model has its best parameters so far.

    Attributes
    ----------
    history : History
        What happened until then.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


@dataclass
class History:
    """What happened in training: lists with one entry an epoch.

    Attributes
    ----------
    train_nll : list of float
        Mean of the training loss over the epoch's batches, in nats: with dropout a random loss, and
        measured while the parameters change. By L-BFGS, the loss of all rows after the epoch.
    valid_nll : list of float
        On the validation rows after the epoch, in nats; empty if there are none.
    learning_rate : list of float
        After the epoch's last step.
    seconds : list of float
        Since the start of training, checkpoints and validation included.
    best_epoch : int
        The epoch (from 1) whose parameters the model has; 0 for those that it started with.
    stopped : str
        Why training ended: "max_epochs", "patience", "callback", "converged", "interrupted",
        "diverged"; "" while it runs.
    """

    train_nll: list[float] = field(default_factory=list)
    valid_nll: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = ""

    @property
    def n_epochs(self) -> int:
        """How many epochs were completed."""
        return len(self.train_nll)

    def to_dict(self) -> dict[str, Any]:
        """As a plain dictionary, for JSON."""
        return asdict(self)

    def plot(self) -> Figure:
        """Draw the learning curves; a Matplotlib figure."""
        from pyarsimple import plots

        return plots.learning_curves({"": self})


class _Rows(NamedTuple):
    """Rows of data, and what belongs to each of them."""

    x: Array
    context: Array | None = None  # what the model's ``context=`` takes, a row each
    weight: Array | None = None  # (N,), mean 1 over the rows that count

    def counting(self) -> npt.NDArray[np.intp]:
        """The rows that count: those whose weight is not 0."""
        return np.arange(len(self.x)) if self.weight is None else np.flatnonzero(self.weight)

    def take(self, rows: Any) -> _Rows:
        """Some of the rows, by a slice or by their numbers."""
        return _Rows(*(None if a is None else a[rows] for a in self))  # type: ignore[arg-type]

    def keywords(self) -> dict[str, Array]:
        """For a loss: what there is, so that a model which overrides it need not know the rest."""
        belongings = {"context": self.context, "weight": self.weight}
        return {name: a for name, a in belongings.items() if a is not None}

    def nll(self, model: AutoregressiveModel) -> float:
        """The mean of the model's ``validation_nll`` over the rows that count, in nats."""
        nll = model.validation_nll(self.x, self.context)
        return float(np.average(nll, weights=self.weight))

    def name(self) -> str:
        """Shapes and checksums of the first rows, to tell these data from others."""
        parts = [f"{part} {_data_name(a)}" for part, a in self._asdict().items() if a is not None]
        return ", ".join(parts).removeprefix("x ")


def _copy(params: Params) -> Params:
    return {name: p.copy() for name, p in params.items()}


def _write(params: Params, values: Params) -> None:
    """Overwrite the live parameters in place."""
    for name, p in params.items():
        p[...] = values[name]


def _encode_rng(state: Any) -> Any:
    """A bit generator's state as JSON."""
    if isinstance(state, dict):
        return {key: _encode_rng(value) for key, value in state.items()}
    if isinstance(state, np.ndarray):
        return {"dtype": str(state.dtype), "values": state.tolist()}
    return state


#: The largest value of what is an index into a buffer, or a flag: NumPy believes these unchecked.
_RNG_LIMITS = {"pos": 624, "buffer_pos": 4, "has_uint32": 1, "uinteger": 2**32 - 1}


def _decode_rng(state: Any, model: Any, name: str = "rng") -> Any:
    """The state that JSON holds, in the form of ``model``, the state of a generator that is new."""
    if isinstance(model, dict):
        if not isinstance(state, dict) or state.keys() != model.keys():
            raise ValueError(f"{name} has other keys than {[*model]}")
        return {key: _decode_rng(state[key], model[key], key) for key in model}
    if isinstance(model, np.ndarray):
        limit = np.iinfo(model.dtype).max
        values = [_decode_rng(value, limit, name) for value in state["values"]]
        if len(values) != len(model) or any(value > limit for value in values):
            raise ValueError(f"{name} is not {len(model)} numbers of type {model.dtype}")
        return np.array(values, model.dtype)
    if isinstance(model, str):
        return model
    value = check_size(state, name, minimum=0)
    if value > _RNG_LIMITS.get(name, 2**128 - 1):
        raise ValueError(f"{name} is too large: {value}")
    return value


def _make_rng(state: dict[str, Any]) -> np.random.Generator:
    name = state.get("bit_generator")
    if name not in BIT_GENERATORS:
        raise ValueError(f"unknown bit generator {name!r}")
    bit_generator = getattr(np.random, name)()
    bit_generator.state = _decode_rng(state, bit_generator.state)
    return np.random.Generator(bit_generator)


def _checked_history(content: dict[str, Any]) -> History:
    """A history from JSON, if it can be one of a run that goes on."""
    history = History(**content)
    n = history.n_epochs
    for name in ("train_nll", "valid_nll", "learning_rate", "seconds"):
        entries = getattr(history, name)
        if not isinstance(entries, list) or not all(
            isinstance(v, (int, float)) and math.isfinite(v) for v in entries
        ):
            raise ValueError(f"history.{name} is not a list of finite numbers")
        if len(entries) != n and not (name == "valid_nll" and not entries):
            raise ValueError(f"history.{name} has {len(entries)} entries for {n} epochs")
    if not 0 <= check_size(history.best_epoch, "best_epoch", minimum=0) <= n:
        raise ValueError(f"best_epoch is {history.best_epoch} of {n}")
    if history.stopped not in {"", "converged"}:
        raise ValueError(f"stopped is {history.stopped!r}")
    return history


@dataclass
class _Run:
    """Everything that training carries from one epoch to the next."""

    model: AutoregressiveModel
    optimizer: Optimizer | LBFGS
    rng: np.random.Generator
    average: Params | None  # the averaged parameters, if asked for
    best: Params  # what the model ends with
    masks: dict[str, npt.NDArray[np.bool_]]
    best_nll: float = math.inf
    history: History = field(default_factory=History)

    def evaluate(self, valid: _Rows) -> float:
        """Validation loss of the averaged parameters, or else of the live ones."""
        if self.average is None:
            return valid.nll(self.model)
        live = _copy(self.model.params)
        _write(self.model.params, self.average)
        try:
            return valid.nll(self.model)
        finally:
            _write(self.model.params, live)

    def end_epoch(
        self, train_nll: float, valid_nll: float | None, rate: float, seconds: float
    ) -> None:
        """Record the epoch; keep its parameters if they are the best, or if nothing can tell."""
        self.history.train_nll.append(train_nll)
        self.history.learning_rate.append(rate)
        self.history.seconds.append(seconds)
        if valid_nll is not None:
            self.history.valid_nll.append(valid_nll)
        if valid_nll is None or valid_nll < self.best_nll:
            self.best = _copy(self.model.params if self.average is None else self.average)
            self.best_nll = math.inf if valid_nll is None else valid_nll
            self.history.best_epoch = self.history.n_epochs

    # A checkpoint is all of the above, and the settings, so that it is not continued with others.

    def save(self, path: str | os.PathLike[str], settings: dict[str, str]) -> None:
        """Write a checkpoint."""
        arrays = {f"params/{k}": p for k, p in self.model.params.items()}
        arrays |= {f"best/{k}": p for k, p in self.best.items()}
        arrays |= {f"average/{k}": p for k, p in (self.average or {}).items()}
        steps = 0
        if isinstance(self.optimizer, Optimizer):
            steps = self.optimizer.t
            for slot, memory in self.optimizer.state.items():
                arrays |= {f"optimizer/{slot}/{k}": p for k, p in memory.items()}
        header = {
            "settings": settings,
            "history": self.history.to_dict(),
            "best_nll": repr(self.best_nll),  # JSON has no infinity
            "steps": steps,
            "rng": _encode_rng(self.rng.bit_generator.state),
        }
        storage.write_file(path, "checkpoint", header, arrays)

    def restore(self, path: str | os.PathLike[str], settings: dict[str, str]) -> None:
        """Take everything from a checkpoint; nothing is changed if it does not fit."""
        header, arrays = storage.read_file(path, "checkpoint")
        try:
            saved = dict(header["settings"])
            history = _checked_history(header["history"])
            best_nll, steps = (
                float(header["best_nll"]),
                check_size(header["steps"], "steps", minimum=0),
            )
            if math.isnan(best_nll):
                raise ValueError("best_nll is NaN")
            rng = _make_rng(header["rng"])
        except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise ValueError(f"{os.fspath(path)!r} is a damaged checkpoint: {error!r}") from None
        for name in settings:
            if saved.get(name) != settings[name]:
                raise ValueError(
                    f"cannot resume from {os.fspath(path)!r}: {name} was {saved.get(name)} and is "
                    f"{settings[name]} now; use the same, or train anew without resume"
                )
        groups: dict[str, Params] = {"params/": self.model.params, "best/": self.best}
        if self.average is not None:
            groups["average/"] = self.average
        if isinstance(self.optimizer, Optimizer) and steps:
            for slot in self.optimizer.slots:
                memory = {k: np.zeros_like(p) for k, p in self.model.params.items()}
                groups[f"optimizer/{slot}/"] = self.optimizer.state[slot] = memory
        wanted = {
            g + k: (p.shape, p.dtype) for g, group in groups.items() for k, p in group.items()
        }
        if {k: (a.shape, a.dtype) for k, a in arrays.items()} != wanted:
            raise ValueError(f"{os.fspath(path)!r} is a damaged checkpoint: its arrays do not fit")
        for prefix, group in groups.items():
            _write(group, {k: arrays[prefix + k] for k in group})
        if isinstance(self.optimizer, Optimizer):
            self.optimizer.t = steps
        self.history, self.best_nll, self.rng = history, best_nll, rng


@dataclass(frozen=True)
class _Settings:
    """The settings of an epoch, checked."""

    batch_size: int
    l2: float
    schedule: Schedule
    max_grad_norm: float | None
    decay: float | None


#: Bytes of a weight that are taken at once, so that what is computed from them stays in a cache.
CACHE = 2**18


def _add_l2(run: _Run, grads: Params, l2: float) -> float:
    """Add the gradient of l2/2 * (sum of squared free weights) and return that penalty."""
    penalty = 0.0
    for name, p in run.model.params.items():
        if l2 and is_weight(name, p):
            g = grads[name]
            for rows in row_blocks(len(p), p[:1].nbytes, CACHE):
                weights = p[rows]
                if name in run.masks:
                    weights = np.where(run.masks[name][rows], weights, 0)
                penalty += 0.5 * l2 * float(np.square(weights).sum())
                g[rows] += l2 * weights
    return penalty


def _update_average(run: _Run, decay: float) -> None:
    """average <- d average + (1 - d) params, with a smaller d at first, when little is known."""
    assert run.average is not None
    assert isinstance(run.optimizer, Optimizer)
    d = min(decay, (1 + run.optimizer.t) / (10 + run.optimizer.t))
    for name, mean in run.average.items():
        average_update_(mean, run.model.params[name], 1 - d)


def _epoch_of_batches(run: _Run, train: _Rows, settings: _Settings) -> tuple[float, float]:
    """One pass over the rows in a new random order; mean training loss and last learning rate."""
    model, optimizer = run.model, run.optimizer
    assert isinstance(optimizer, Optimizer)
    rows = run.rng.permutation(train.counting())
    n, done = len(rows), run.history.n_epochs
    total, factor = 0.0, 1.0
    for start in range(0, n, settings.batch_size):
        some = rows[start : start + settings.batch_size]
        batch = train.take(some)
        x = model.conditional.check(batch.x, model.n_dims, "x_train", rows=some)
        loss, grads = model.training_loss_and_grads(x, run.rng, **batch.keywords())
        if batch.weight is not None:  # a batch counts by its weight, as the epoch adds it up
            share = float(batch.weight.mean())
            loss *= share
            grads = {name: g * g.dtype.type(share) for name, g in grads.items()}
        if not math.isfinite(loss):
            return loss, optimizer.learning_rate * factor
        _add_l2(run, grads, settings.l2)
        if settings.max_grad_norm is not None:
            clip_by_norm(grads, settings.max_grad_norm)
        factor = float(settings.schedule(done + start / n))
        optimizer.update(model.params, grads, factor=factor)
        if settings.decay is not None:
            _update_average(run, settings.decay)
        total += loss * len(x)
    return total / n, optimizer.learning_rate * factor


def _epoch_of_lbfgs(run: _Run, train: _Rows, settings: _Settings) -> tuple[float, bool]:
    """Some iterations of L-BFGS on all rows; mean loss, and whether it has converged."""
    from scipy.optimize import minimize

    model, optimizer = run.model, run.optimizer
    assert isinstance(optimizer, LBFGS)
    counting, nll = train.counting(), math.nan
    n = len(counting)

    free = {
        name: run.masks.get(name, np.ones(p.shape, np.bool_)) for name, p in model.params.items()
    }

    def pack(arrays: Params) -> Array:
        return np.concatenate([arrays[name][free[name]] for name in free]).astype(np.float64)

    def unpack(theta: Array) -> None:
        start = 0
        for name, mask in free.items():
            model.params[name][mask] = theta[start : (start := start + int(mask.sum()))]

    def objective(theta: Array) -> tuple[float, Array]:
        nonlocal nll
        unpack(theta)
        nll, mean = 0.0, {name: np.zeros_like(p) for name, p in model.params.items()}
        for rows in row_blocks(n, model._bytes_per_row()):
            # A slice of an array without weights is a view of it: nothing is copied.
            block = train.take(rows if n == len(train.x) else counting[rows])
            loss, grads = model.nll_and_grads(block.x, **block.keywords())
            share = (len(block.x) if block.weight is None else float(block.weight.sum())) / n
            nll += share * loss
            for name, g in grads.items():
                mean[name] += share * g
        value = nll + _add_l2(run, mean, settings.l2)
        return value, pack(mean)

    result = minimize(
        objective,
        pack(model.params),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": optimizer.n_iterations, "maxcor": optimizer.memory},
    )
    objective(result.x)  # leaves the best point in the model, and its loss in nll
    return nll, bool(result.success) and result.nit < optimizer.n_iterations


def _check_data(x: npt.ArrayLike, model: AutoregressiveModel, name: str) -> Array:
    """An array with the model's columns; its values are checked when they are read."""
    if not isinstance(x, np.ndarray) or x.ndim != 2:
        x = model.conditional.check(x, model.n_dims, name)
    model.conditional.check(x[:1], model.n_dims, name)
    if not len(x):
        raise ValueError(f"{name} has no rows")
    return x


def _check_values(x: Array, model: AutoregressiveModel, name: str) -> None:
    for rows in row_blocks(len(x), 8 * model.n_dims):
        model.conditional.check(x[rows], model.n_dims, name, rows=range(rows.start, rows.stop))


def _with_belongings(
    model: AutoregressiveModel,
    x: Array,
    context: npt.ArrayLike | None,
    weight: npt.ArrayLike | None,
    prefix: str = "",
) -> _Rows:
    """The rows with their contexts and weights, one of each a row."""
    features = model._check_context(context, len(x))
    if features is not None and len(features) != len(x):
        raise ValueError(
            f"{prefix}context must have a row for each of the {len(x)} rows of data, got 1"
        )
    # Labels stay labels, for the model makes features of them, a batch at a time.
    y = features if isinstance(model.context, int) else np.atleast_1d(np.asarray(context))
    if weight is None:
        return _Rows(x, y)
    w = check_weight(weight, len(x), f"{prefix}weight")
    return _Rows(x, y, w / w[w > 0].mean())


def _bar(progress: bool | str, max_epochs: int, done: int) -> Any:
    """A progress bar by tqdm, or None."""
    if progress is False:
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        raise ImportError(
            'progress needs tqdm: pip install "pyarsimple[demo]", or pass progress=False'
        ) from None
    title = progress if isinstance(progress, str) else None
    layout = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"  # in 80 columns
    return tqdm(total=max_epochs, initial=done, desc=title, dynamic_ncols=True, bar_format=layout)


def fit(
    model: AutoregressiveModel,
    x_train: npt.ArrayLike,
    x_valid: npt.ArrayLike | None = None,
    *,
    context: npt.ArrayLike | None = None,
    valid_context: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
    valid_weight: npt.ArrayLike | None = None,
    optimizer: str | Optimizer | LBFGS = "adam",
    batch_size: int = 100,
    max_epochs: int = 100,
    patience: int | None = 10,
    l2: float = 0.0,
    schedule: str | Schedule | None = None,
    max_grad_norm: float | None = None,
    average: float | None = None,
    rng: Any = None,
    progress: bool | str = False,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    callbacks: Sequence[Callback] = (),
) -> History:
    """Train a model to give its data a high likelihood.

    With ``x_valid`` the model ends with the parameters of its best epoch, without with those of its
    last. Ctrl-C ends training in the same way, with what is best so far.

    Parameters
    ----------
    model : FVSBN, NADE, MADE, ...
        Its parameters are changed in place.
    x_train, x_valid : array_like of bits, shape (N, D)
        Of ``x_train`` only a batch at a time is read, so it may be a memory map larger than memory.
    context, valid_context : array_like, shape (N, C) or (N,), optional
        Of a model with a ``context``: the features or class labels of each row.
    weight, valid_weight : array_like, shape (N,), optional
        How much each row counts in the loss: a weight of 2 is as good as the row twice, and one of
        0 as none. Weights are relative to their mean.
    optimizer : {"adam", "sgd", "adagrad", "lbfgs"} or instance from `pyarsimple.optimizers`
        Starts with an empty memory; an instance is left as it was.
    batch_size : int
        Rows a step; the last batch of an epoch may be smaller. Unused by L-BFGS.
    max_epochs : int
    patience : int, optional
        Stop after so many epochs without a better validation likelihood; None never stops so.
    l2 : float
        Adds l2/2 times the sum of the squared weights (biases are free) to the loss.
    schedule : {"constant", "linear", "cosine"} or function, optional
        From how many epochs have been done to a factor on the learning rate.
    max_grad_norm : float, optional
        Gradients of a larger joint norm are scaled down to it.
    average : float, optional
        Decay in (0, 1) of an exponential average of the parameters, such as 0.999, which is then
        what is validated and kept.
    rng : None, int, SeedSequence, BitGenerator or Generator
        For the order of the rows, and for dropout or masks that are drawn, as in SPEC 7.
    progress : bool or str
        Show a bar (needs tqdm), with the string as its title.
    checkpoint : path, optional
        Written after each epoch, and whole at any time.
    resume : path, optional
        A checkpoint to continue from: the same settings and data are needed (of the data, shapes
        and the first rows are compared; of a schedule that is a function, its code), but
        ``max_epochs``, ``patience`` and the callbacks may change. Parameters and ``rng`` are taken
        from it.
    callbacks : sequence of functions
        Each is called as ``callback(model, history)`` after an epoch; a true result stops training.
        With ``average`` the model has its latest parameters then, not the averaged ones.

    Returns
    -------
    History

    Raises
    ------
    DivergenceError
        If the loss becomes infinite or NaN; the model then has its best parameters so far.
    TypeError, ValueError
        If an argument is not as above.

    Notes
    -----
    With an average of decay d, the decay of step t is min(d, (1 + t)/(10 + t)), so that the average
    does not hang on to the initial parameters.
    """
    if not isinstance(model, AutoregressiveModel):
        raise TypeError(f"model must be a pyarsimple model, got {type(model).__name__}")
    x_train = _check_data(x_train, model, "x_train")
    if x_valid is not None:
        x_valid = _check_data(x_valid, model, "x_valid")
        _check_values(x_valid, model, "x_valid")
    elif valid_context is not None or valid_weight is not None:
        raise ValueError("valid_context and valid_weight belong to x_valid, which was not given")
    max_epochs = check_size(max_epochs, "max_epochs", minimum=0)
    if patience is not None:
        patience = check_size(patience, "patience")
    settings = _Settings(
        batch_size=check_size(batch_size, "batch_size"),
        l2=check_number(l2, "l2"),
        schedule=make_schedule(schedule, max_epochs),
        max_grad_norm=None
        if max_grad_norm is None
        else check_number(max_grad_norm, "max_grad_norm", open_low=True),
        decay=None if average is None else check_number(average, "average", high=1, open_low=True),
    )
    optimizer = make_optimizer(optimizer)
    if isinstance(optimizer, LBFGS):
        _check_lbfgs(model, settings, schedule)

    train = _with_belongings(model, x_train, context, weight)
    valid = None
    if x_valid is not None:
        valid = _with_belongings(model, x_valid, valid_context, valid_weight, "valid_")

    run = _Run(
        model=model,
        optimizer=optimizer,
        rng=np.random.default_rng(rng),
        average=None if average is None else _copy(model.params),
        best=_copy(model.params),
        masks=model.masks(),
    )
    identity = _identity(run, settings, train, valid)
    if resume is not None:
        run.restore(resume, identity)
    return _train(
        run, train, valid, settings, max_epochs, patience, progress, callbacks,
        None if checkpoint is None else lambda: run.save(checkpoint, identity),
    )  # fmt: skip


def train_model(
    model: AutoregressiveModel,
    x_train: npt.ArrayLike,
    x_valid: npt.ArrayLike | None = None,
    *,
    weight: npt.ArrayLike | None = None,
    rng: Any = None,
    **settings: Any,
) -> History | None:
    """Fit a model in the way that it has: by its own ``fit``, in closed form, or else by `fit`.

    Models of other variables than bits begin with ``initialize_from(x_train)``. Closed form leaves
    out validation rows, and settings of None.

    Returns
    -------
    History or None
        None of what has no epochs.
    """
    closed_form = getattr(model, "fit", None)
    if closed_form is None:
        if not isinstance(model.conditional, Bernoulli):
            model.initialize_from(x_train)
        return fit(model, x_train, x_valid, weight=weight, rng=rng, **settings)
    settings = {name: v for name, v in settings.items() if v is not None}
    if weight is not None:
        settings["weight"] = weight
    if "rng" in inspect.signature(closed_form).parameters:
        settings["rng"] = rng
    closed_form(x_train, **settings)
    return None


def _identity(run: _Run, settings: _Settings, train: _Rows, valid: _Rows | None) -> dict[str, str]:
    """What must be the same for a checkpoint to be continued, as text that an error can quote."""
    config = json.dumps(run.model.config(), sort_keys=True).encode()
    return {
        "model": f"{run.model!r} ({_digest(config)})",
        "optimizer": repr(run.optimizer),
        **{name: _name_of(value) for name, value in vars(settings).items()},
        "x_train": train.name(),
        "x_valid": "None" if valid is None else valid.name(),
    }


def _digest(content: bytes) -> str:
    import hashlib  # takes long

    return hashlib.sha256(content).hexdigest()[:12]


def _data_name(x: Array) -> str:
    first = np.ascontiguousarray(x[:100], dtype=np.float64)
    return f"{x.shape} ({_digest(first.tobytes())})"


def _name_of(value: Any) -> str:
    """The repr, or a function's name and code where that would show an address."""
    text = repr(value)
    if " at 0x" not in text:
        return text
    code = getattr(value, "__code__", None)
    content = repr((code.co_code, code.co_consts, code.co_names)) if code else ""
    name = getattr(value, "__qualname__", type(value).__name__)
    return f"{name} ({_digest(content.encode())})"


def _check_lbfgs(model: AutoregressiveModel, settings: _Settings, schedule: object) -> None:
    if model.is_stochastic:
        raise ValueError(
            "optimizer 'lbfgs' needs a loss that is not random, but the model's is (dropout, or "
            "masks that are drawn); make it with dropout=0 and for one order, or use 'adam'"
        )
    for name, value in (
        ("schedule", schedule),
        ("max_grad_norm", settings.max_grad_norm),
        ("average", settings.decay),
    ):
        if value is not None:
            raise ValueError(f"{name} has no meaning for optimizer 'lbfgs': leave it None")


def _epoch(
    run: _Run, train: _Rows, valid: _Rows | None, settings: _Settings
) -> tuple[float, float | None, float, bool]:
    """Losses, learning rate and whether training has converged, after an epoch; all is finite."""
    converged = False
    with np.errstate(over="ignore", invalid="ignore"):  # divergence has an error of its own
        if isinstance(run.optimizer, LBFGS):
            train_nll, converged = _epoch_of_lbfgs(run, train, settings)
            rate = run.optimizer.learning_rate
        else:
            train_nll, rate = _epoch_of_batches(run, train, settings)
        valid_nll = run.evaluate(valid) if valid is not None else None
        # The epoch's last step had no loss yet to tell whether it went too far.
        last_nll = run.evaluate(train.take(train.counting()[: settings.batch_size]))
    if not all(math.isfinite(nll or 0.0) for nll in (train_nll, valid_nll, last_nll)):
        run.history.stopped = "diverged"
        raise DivergenceError(_divergence(run, rate), run.history)
    return train_nll, valid_nll, rate, converged


def _train(
    run: _Run,
    train: _Rows,
    valid: _Rows | None,
    settings: _Settings,
    max_epochs: int,
    patience: int | None,
    progress: bool | str,
    callbacks: Sequence[Callback],
    save: Callable[[], None] | None,
) -> History:
    """The loop over epochs; whatever ends it, the model gets its best parameters."""
    history = run.history
    elapsed = history.seconds[-1] if history.seconds else 0.0
    started = time.perf_counter()
    bar = _bar(progress, max_epochs, history.n_epochs)
    try:
        while not history.stopped:
            history.stopped = _why_stop(run, max_epochs, patience)
            if history.stopped:
                break
            train_nll, valid_nll, rate, converged = _epoch(run, train, valid, settings)
            with _ctrl_c_waits():
                run.end_epoch(train_nll, valid_nll, rate, elapsed + time.perf_counter() - started)
                history.stopped = "converged" if converged else ""
                if save is not None:
                    save()
            if bar is not None:
                losses = {"train": f"{train_nll:.2f}"}
                if valid_nll is not None:
                    losses["valid"] = f"{valid_nll:.2f}"
                bar.set_postfix(losses, refresh=False)
                bar.update()
            answers = [callback(run.model, history) for callback in callbacks]
            if any(answers):
                history.stopped = "callback"
    except KeyboardInterrupt:
        history.stopped = "interrupted"
    finally:
        _write(run.model.params, run.best)
        if bar is not None:
            bar.total = bar.n  # stopped early is done, too
            bar.refresh()
            bar.close()
    return history


def _why_stop(run: _Run, max_epochs: int, patience: int | None) -> str:
    if run.history.n_epochs >= max_epochs:
        return "max_epochs"
    waited = run.history.n_epochs - run.history.best_epoch
    return "patience" if patience is not None and waited >= patience else ""


def _divergence(run: _Run, rate: float) -> str:
    best = run.history.best_epoch
    return (
        f"the loss became infinite or NaN in epoch {run.history.n_epochs + 1} at learning rate "
        f"{rate:g}; try a smaller learning_rate, max_grad_norm=5 or a warm-up in the schedule. The "
        f"model has the parameters {f'of epoch {best}' if best else 'that it started with'}"
    )
