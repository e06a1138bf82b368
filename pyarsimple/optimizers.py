"""Optimisers: each turns gradients into a step, in place; and schedules for their step size.

What changes a gradient on its way to a step (momentum, clipping) belongs here, so that the
gradients which the models return are those of the loss which they return.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_number, check_size
from pyarsimple.autoregressive import is_weight
from pyarsimple.twins import twin

Array = npt.NDArray[Any]
Params = dict[str, Array]


class Optimizer:
    """Takes steps down a gradient. ``learning_rate`` is its step size, ``state`` its memory."""

    #: Names of the arrays, like the parameters, that make up the memory.
    slots: ClassVar[tuple[str, ...]] = ()

    #: What share of each weight a step takes off, over its step size; biases are let be.
    weight_decay: float = 0.0

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = check_number(learning_rate, "learning_rate")
        self.t = 0  # steps taken
        self.state: dict[str, Params] = {slot: {} for slot in self.slots}

    def __repr__(self) -> str:
        settings = {k: v for k, v in vars(self).items() if k not in ("t", "state")}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in settings.items())})"

    def fresh(self) -> Optimizer:
        """Return a copy with the same settings and an empty memory."""
        other = copy.copy(self)
        other.t, other.state = 0, {slot: {} for slot in self.slots}
        return other

    def update(self, params: Params, grads: Params, *, factor: float = 1.0) -> None:
        """Take a step: change each array of ``params`` in place.

        Parameters
        ----------
        params, grads : dict of str to ndarray
            Of the same keys and shapes.
        factor : float
            Multiplies the learning rate for this step; schedules use it.
        """
        if params.keys() != grads.keys():
            raise ValueError(
                f"grads must have the keys of params, {sorted(params)}, got {sorted(grads)}"
            )
        self.t += 1
        for name, p in params.items():
            g = np.asarray(grads[name], dtype=p.dtype)
            if g.shape != p.shape:
                raise ValueError(f"grads[{name!r}] must have shape {p.shape}, got {g.shape}")
            for slot in self.slots:
                if name not in self.state[slot]:
                    self.state[slot][name] = np.zeros_like(p)
            memory = [self.state[slot][name] for slot in self.slots]
            rate = self.learning_rate * factor
            if self.weight_decay and is_weight(name, p):
                p *= 1 - rate * self.weight_decay
            self._step(p, g, *memory, rate=rate)

    def _step(self, p: Array, g: Array, *memory: Array, rate: float) -> None:
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked for.

        v <- momentum v - rate g,    p <- p + v

    and with Nesterov's momentum p <- p + momentum v - rate g (Sutskever et al. 2013, in the form
    that keeps p at the look-ahead point).

    Parameters
    ----------
    learning_rate : float
    momentum : float
        In [0, 1).
    nesterov : bool
    """  # fmt: skip

    slots = ("velocity",)

    def __init__(
        self, learning_rate: float = 0.1, *, momentum: float = 0.0, nesterov: bool = False
    ) -> None:
        super().__init__(learning_rate)
        self.momentum = check_number(momentum, "momentum", high=1)
        self.nesterov = bool(nesterov)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs momentum above 0, got momentum=0")

    def _step(self, p: Array, g: Array, *memory: Array, rate: float) -> None:
        (v,) = memory
        v *= self.momentum
        v -= rate * g
        p += self.momentum * v - rate * g if self.nesterov else v


class AdaGrad(Optimizer):
    """Each entry's step is divided by the root of its sum of squared gradients.

        s <- s + g^2,    p <- p - rate g / (sqrt(s) + epsilon)

    Reference: Duchi, Hazan and Singer (2011).
    """

    slots = ("squares",)

    def __init__(self, learning_rate: float = 0.05, *, epsilon: float = 1e-8) -> None:
        super().__init__(learning_rate)
        self.epsilon = check_number(epsilon, "epsilon")

    def _step(self, p: Array, g: Array, *memory: Array, rate: float) -> None:
        (s,) = memory
        s += g * g
        p -= rate * g / (np.sqrt(s) + self.epsilon)


@twin
def adam_update_(
    p: Array, g: Array, m: Array, v: Array, learning_rate: float, beta1: float, beta2: float,
    epsilon: float, t: int,
) -> None:  # fmt: skip
    """Adam's step number t (from 1), in place in p, m and v."""
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g * g - v)
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    p -= learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)


@twin
def average_update_(mean: Array, p: Array, rate: float) -> None:
    """A step of a running average of parameters: mean <- mean + rate (p - mean), in place."""
    mean += rate * (p - mean)


class Adam(Optimizer):
    """Steps by a running mean of the gradient over the root of a running mean of its square.

        m <- m + (1 - beta1)(g - m),    v <- v + (1 - beta2)(g^2 - v)
        p <- p - rate m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)

    With ``weight_decay`` each weight is first multiplied by 1 - rate weight_decay (biases are not).
    That is AdamW: unlike a penalty in the loss (``l2`` of `fit`), whose gradient is divided by the
    root as all of it is, it takes the same share of every weight. Masked weights decay too, which
    changes no probability.

    Reference: Kingma and Ba (2015), arXiv:1412.6980, algorithm 1; Loshchilov and Hutter (2019),
    "Decoupled weight decay regularization", arXiv:1711.05101, for weight_decay.
    """

    slots = ("m", "v")

    def __init__(
        self,
        learning_rate: float = 1e-3,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(learning_rate)
        self.weight_decay = check_number(weight_decay, "weight_decay")
        self.beta1 = check_number(beta1, "beta1", high=1)
        self.beta2 = check_number(beta2, "beta2", high=1)
        self.epsilon = check_number(epsilon, "epsilon")

    def _step(self, p: Array, g: Array, *memory: Array, rate: float) -> None:
        m, v = memory
        adam_update_(p, g, m, v, rate, self.beta1, self.beta2, self.epsilon, self.t)


@dataclass(frozen=True)
class LBFGS:
    """L-BFGS on all of the data at once, by SciPy: for losses that are not random.

    The FVSBN's loss is convex, and this finds its minimum. An epoch is a run of ``n_iterations``
    that starts without memory, so that training can be continued after any epoch.

    Parameters
    ----------
    n_iterations : int
        Iterations an epoch.
    memory : int
        How many past steps approximate the curvature.

    References
    ----------
    Liu and Nocedal (1989); `scipy.optimize.minimize` with ``method="L-BFGS-B"``.
    """

    n_iterations: int = 20
    memory: int = 10
    learning_rate: ClassVar[float] = 1.0  # its line search chooses the step

    def __post_init__(self) -> None:
        """Check the settings."""
        check_size(self.n_iterations, "n_iterations")
        check_size(self.memory, "memory")


OPTIMIZERS: dict[str, Callable[[], Optimizer | LBFGS]] = {
    "adam": Adam,
    "sgd": SGD,
    "adagrad": AdaGrad,
    "lbfgs": LBFGS,
}


def make_optimizer(optimizer: str | Optimizer | LBFGS) -> Optimizer | LBFGS:
    """An optimiser with an empty memory, from a name or from an instance that is left alone."""
    if isinstance(optimizer, str) and optimizer in OPTIMIZERS:
        return OPTIMIZERS[optimizer]()
    if isinstance(optimizer, LBFGS):
        return optimizer
    if isinstance(optimizer, Optimizer):
        return optimizer.fresh()
    raise ValueError(
        f"optimizer must be one of {', '.join(OPTIMIZERS)} or an instance from "
        f"pyarsimple.optimizers, got {optimizer!r}"
    )


def clip_by_norm(grads: Params, max_norm: float) -> float:
    """Scale all of ``grads``, in place, so that their joint norm is at most ``max_norm``.

    Returns the norm that they had.
    """
    norm = math.sqrt(sum(float(np.square(g).sum()) for g in grads.values()))
    if norm > max_norm:
        for g in grads.values():
            g *= max_norm / norm
    return norm


# Schedules: the factor on the learning rate, from how many epochs are done (a fraction counts).


class Schedule(Protocol):
    """Anything that maps epochs done to a factor on the learning rate."""

    def __call__(self, epoch: float, /) -> float:
        """Return the factor."""
        ...


@dataclass(frozen=True)
class Constant:
    """Always 1."""

    def __call__(self, epoch: float, /) -> float:
        """The factor."""
        return 1.0


@dataclass(frozen=True)
class Linear:
    """From 1 down to 0 in n_epochs, after ``warmup`` epochs of rising from 0."""

    n_epochs: float
    warmup: float = 0.0

    def __call__(self, epoch: float, /) -> float:
        """The factor."""
        if epoch < self.warmup:
            return epoch / self.warmup
        return max(0.0, 1 - (epoch - self.warmup) / max(self.n_epochs - self.warmup, 1e-12))


@dataclass(frozen=True)
class Cosine:
    """From 1 down to 0 in n_epochs along half a cosine, after ``warmup`` epochs of rising."""

    n_epochs: float
    warmup: float = 0.0

    def __call__(self, epoch: float, /) -> float:
        """The factor."""
        linear = Linear(self.n_epochs, self.warmup)(epoch)
        return linear if epoch < self.warmup else 0.5 * (1 - math.cos(math.pi * linear))


@dataclass(frozen=True)
class StepDecay:
    """Multiplied by ``factor`` after each ``every`` epochs."""

    every: float
    factor: float = 0.1

    def __post_init__(self) -> None:
        """Check the settings."""
        check_number(self.every, "every", open_low=True)
        check_number(self.factor, "factor")

    def __call__(self, epoch: float, /) -> float:
        """The factor."""
        return float(self.factor ** (epoch // self.every))


@dataclass(frozen=True)
class InverseTime:
    """1 / (1 + epoch / half_life), the schedule of the NADE paper's stochastic gradient descent."""

    half_life: float

    def __post_init__(self) -> None:
        """Check the settings."""
        check_number(self.half_life, "half_life", open_low=True)

    def __call__(self, epoch: float, /) -> float:
        """The factor."""
        return 1 / (1 + epoch / self.half_life)


def make_schedule(schedule: str | Schedule | None, max_epochs: int) -> Schedule:
    """A schedule from its name ("constant", "linear", "cosine"), itself, or None (constant)."""
    if schedule is None or schedule == "constant":
        return Constant()
    if schedule == "linear":
        return Linear(max_epochs)
    if schedule == "cosine":
        return Cosine(max_epochs)
    if callable(schedule):
        return schedule
    raise ValueError(
        "schedule must be None, 'constant', 'linear', 'cosine' or a function from epochs done to a "
        f"factor, got {schedule!r}"
    )
