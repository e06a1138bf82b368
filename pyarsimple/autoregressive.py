"""What all models share: one product of conditionals, in two views.

    log p(x) = sum_i log p(x_i | x_<i)                      (the chain rule)

where x_<i are the variables that come before x_i in the model's order. A model supplies

- the parallel view, ``_forward`` and ``_backward``: all conditionals of given data at once;
- the sequential view, ``_start``: a state that is carried from one variable to the next;

and from these follow here, once for all models: scores, the loss and its gradient, samples and
completions. The two views agree to rounding, and cost the same.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pyarsimple import orders, storage
from pyarsimple._validation import check_dtype, check_size
from pyarsimple.conditionals import Bernoulli

Array = npt.NDArray[Any]
Params = dict[str, Array]

#: Scoring and sampling split their rows so that the arrays they make stay below this, in bytes.
MEMORY_LIMIT = 256 * 2**20


def row_blocks(n: int, bytes_per_row: int, limit: int | None = None) -> Iterator[slice]:
    """Split n rows into slices of at most ``limit`` bytes each, of one row at least."""
    step = max(1, (MEMORY_LIMIT if limit is None else limit) // max(1, bytes_per_row))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def draw_dropout(
    rng: np.random.Generator, shape: tuple[int, int], rate: float, dtype: Any
) -> Array:
    """A factor for each hidden unit of each example: 0 with probability ``rate``, or 1/(1-rate)."""
    keep: Array = (rng.random(shape) >= rate).astype(dtype)
    keep *= keep.dtype.type(1 / (1 - rate))
    return keep


class State(ABC):
    """The sequential view: N rows of which the first ``position`` variables of the order are known.

    ``outputs()`` gives what the model says of the next variable, ``advance(x_i)`` makes that
    variable known:

        state = model.start(n)
        for i in model.order:
            z = state.outputs()                        # (N,) logits of p(x_i = 1 | x_<i)
            x[:, i] = rng.random(n) < sigmoid(z)
            state.advance(x[:, i])
    """

    def __init__(self, order: Array, n: int, dtype: Any) -> None:
        self.order = order
        self.position = 0
        self._n = check_size(n, "n", minimum=0)
        self._dtype = dtype

    @property
    def variable(self) -> int:
        """The next variable: that of which ``outputs`` speaks."""
        if self.position == len(self.order):
            raise IndexError("every variable is known: there is no next one")
        return int(self.order[self.position])

    def outputs(self) -> Array:
        """The outputs of the next variable given the known ones, (N,)."""
        return self._outputs(self.variable)

    def advance(self, x_i: npt.ArrayLike) -> None:
        """Make the next variable known: x_i holds its value in each row, (N,)."""
        i = self.variable
        x_i = np.asarray(x_i)
        if x_i.shape != (self._n,):
            raise ValueError(f"x_i must hold one value a row, shape ({self._n},), got {x_i.shape}")
        if not ((x_i == 0) | (x_i == 1)).all():
            raise ValueError(f"x_i must be bits (0 or 1), got {x_i[(x_i != 0) & (x_i != 1)][0]}")
        self._advance(i, x_i.astype(self._dtype))
        self.position += 1

    @abstractmethod
    def _outputs(self, i: int) -> Array: ...

    @abstractmethod
    def _advance(self, i: int, x_i: Array) -> None: ...


def fill_in(state: State, x: Array, n_known: int, uniforms: Array, conditional: Bernoulli) -> Array:
    """Ancestral sampling: return x (N, D) with the variables from position n_known on drawn anew.

    ``uniforms`` (N, D) are numbers in [0, 1), one for each entry of x: all the randomness there is.
    """
    x = x.copy()
    for k, i in enumerate(state.order):
        if k >= n_known:
            x[:, i] = conditional.sample(state.outputs(), uniforms[:, i])
        state.advance(x[:, i])
    return x


class AutoregressiveModel(ABC):
    """A density over D variables as a product of conditionals. The models derive from it.

    Parameters
    ----------
    n_dims : int
        D, the number of variables.
    order : array_like of int, shape (D,), optional
        ``order[k]`` is the variable in position k; None is the natural order 0, 1, ..., D-1.
    dtype : {"float64", "float32"}
        Of the parameters and of the arithmetic.
    rng : None, int, SeedSequence, BitGenerator or Generator
        For the initial parameters, as in SPEC 7.

    Attributes
    ----------
    params : dict of str to ndarray
        The live parameters: write into them to change the model. Rows and columns that belong to
        variables are in the data's own order, whatever ``order`` is.
    order : ndarray of int, shape (D,)
        The variable in each position; read-only.
    """

    #: The model's name on the command line and in files; set by each model.
    name: ClassVar[str]

    def __init__(self, n_dims: int, *, order: npt.ArrayLike | None, dtype: Any, rng: Any) -> None:
        self.n_dims = check_size(n_dims, "n_dims")
        self.order = orders.check_order(order, self.n_dims)
        self.order.flags.writeable = False
        self.dtype = check_dtype(dtype)
        self.conditional = Bernoulli()
        self.params: Params = self._initial_params(np.random.default_rng(rng))
        self._shapes = {name: p.shape for name, p in self.params.items()}

    # What a model supplies.

    #: ``param_shapes(**model.config())``: the name and shape of every parameter; a static method.
    param_shapes: ClassVar[Callable[..., dict[str, tuple[int, ...]]]]

    @abstractmethod
    def _initial_params(self, rng: np.random.Generator) -> Params: ...

    @abstractmethod
    def _forward(self, x: Array, draw: Any = None) -> tuple[Array, Any]:
        """Outputs (N, D) and a cache for ``_backward``; x (N, D) has the model's dtype."""

    @abstractmethod
    def _backward(self, d_outputs: Array, cache: Any) -> Params: ...

    @abstractmethod
    def _start(self, n: int) -> State: ...

    def _fill_in(self, x: Array, n_known: int, uniforms: Array) -> Array:
        """As `fill_in`; a model overrides it to give it a compiled twin."""
        return fill_in(self._start(len(x)), x, n_known, uniforms, self.conditional)

    def _draw(self, n: int, rng: np.random.Generator) -> Any:
        """What is random in the training loss of n rows; None if nothing is."""
        return None

    def _bytes_per_row(self) -> int:
        """How much memory scoring or sampling one row takes, roughly."""
        return 4 * 8 * self.n_dims

    def masks(self) -> dict[str, npt.NDArray[np.bool_]]:
        """For each parameter that is masked, where it is free: what is false changes nothing."""
        return {}

    def dependencies(self) -> npt.NDArray[np.bool_]:
        """Which variable depends on which: (D, D), true at [i, j] where x_j matters to x_i."""
        return orders.precedes(self.order)

    def config(self) -> dict[str, Any]:
        """The settings from which the model can be made again, as the constructor takes them."""
        return {"n_dims": self.n_dims, "order": self.order.tolist(), "dtype": str(self.dtype)}

    # What follows for every model.

    @property
    def n_params(self) -> int:
        """How many parameters there are, without those that are masked."""
        masks = self.masks()
        return sum(int(masks[k].sum()) if k in masks else p.size for k, p in self.params.items())

    @property
    def is_stochastic(self) -> bool:
        """Whether the training loss is a random one (dropout)."""
        return self._draw(1, np.random.default_rng(0)) is not None

    def __repr__(self) -> str:
        settings = {
            k: v for k, v in self.config().items() if k not in ("n_dims", "order", "degrees")
        }
        if not np.array_equal(self.order, orders.natural(self.n_dims)):
            settings["order"] = "..."
        listed = "".join(f", {k}={v!r}" for k, v in settings.items())
        return f"{type(self).__name__}({self.n_dims}{listed})"

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.order.flags.writeable = False  # pickle and copy forget that

    def _check_params(self) -> None:
        """Refuse parameters that were replaced by what does not fit: kernels would read past it."""
        if self.params.keys() != self._shapes.keys():
            raise ValueError(f"params must have the keys {[*self._shapes]}, got {[*self.params]}")
        for name, shape in self._shapes.items():
            p = self.params[name]
            if not isinstance(p, np.ndarray) or p.shape != shape or p.dtype != self.dtype:
                got = f"{p.dtype} {p.shape}" if isinstance(p, np.ndarray) else type(p).__name__
                raise ValueError(
                    f"params[{name!r}] must be an array of {self.dtype}, shape {shape}, got {got}; "
                    f"write into it instead: params[{name!r}][...] = values"
                )

    def _features(self, x: Array) -> Array:
        return np.ascontiguousarray(x, dtype=self.dtype)

    def _check_rows(self, x: npt.ArrayLike) -> Array:
        """Check x and convert it, for a loss, which needs a row at least."""
        x = self.conditional.check(x, self.n_dims)
        if len(x) == 0:
            raise ValueError("x has no rows: the mean loss of no rows is not defined")
        return x

    def forward(self, x: npt.ArrayLike) -> tuple[Array, Any]:
        """All conditionals at once: the parallel view.

        Parameters
        ----------
        x : array_like of bits, shape (N, D)

        Returns
        -------
        outputs : ndarray, shape (N, D)
            Logits: ``outputs[n, i]`` is that of p(x_i = 1 | x_<i) for row n.
        cache
            What ``backward`` needs. It may share memory with x, so leave x as it is until then.

        Raises
        ------
        TypeError, ValueError
            If x is no array of bits with D columns.
        """
        self._check_params()
        x = self._features(self.conditional.check(x, self.n_dims))
        outputs, cache = self._forward(x)
        return outputs, (outputs.shape, cache)

    def backward(self, d_outputs: npt.ArrayLike, cache: Any) -> Params:
        """Reverse `forward`: gradients, keyed and shaped as ``params``, from those of the outputs.

        Parameters
        ----------
        d_outputs : array_like, shape (N, D)
            The gradient of a scalar with respect to the outputs.
        cache
            As `forward` returned it, of the same parameters.

        Returns
        -------
        dict of str to ndarray

        Raises
        ------
        ValueError
            If d_outputs has another shape than the outputs.
        """
        self._check_params()
        shape, cache = cache
        d_outputs = np.ascontiguousarray(d_outputs, dtype=self.dtype)
        if d_outputs.shape != shape:
            raise ValueError(
                f"d_outputs must have the shape of the outputs, {shape}, got {d_outputs.shape}"
            )
        return self._backward(d_outputs, cache)

    def start(self, n: int = 1) -> State:
        """Begin the sequential view: a `State` of n rows of which nothing is known yet."""
        self._check_params()
        return self._start(n)

    def _loss_and_grads(self, x: Array, draw: Any) -> tuple[float, Params]:
        self._check_params()
        x = self._features(x)
        outputs, cache = self._forward(x, draw)
        loss = -self.conditional.log_p(outputs, x).sum(axis=1, dtype=np.float64).mean()
        d_outputs = self.conditional.d_outputs(outputs, x, 1 / len(x))
        return float(loss), self._backward(d_outputs, cache)

    def nll_and_grads(self, x: npt.ArrayLike) -> tuple[float, Params]:
        """Mean negative log-likelihood of the rows of x, in nats, and its exact gradient.

        Parameters
        ----------
        x : array_like of bits, shape (N, D), N >= 1

        Returns
        -------
        nll : float
        grads : dict of str to ndarray
            Keys and shapes of ``params``; zero where a mask is.
        """
        return self._loss_and_grads(self._check_rows(x), None)

    def training_loss_and_grads(self, x: npt.ArrayLike, rng: Any = None) -> tuple[float, Params]:
        """Return the loss that training lowers and its gradient.

        The same as `nll_and_grads` unless the model has dropout: then units are dropped at random,
        from ``rng``, and the gradient is the exact one of the loss of that draw.
        """
        x = self._check_rows(x)
        return self._loss_and_grads(x, self._draw(len(x), np.random.default_rng(rng)))

    def _by_blocks(
        self,
        x: npt.ArrayLike,
        shape: tuple[int, ...],
        dtype: Any,
        score: Callable[[Array, Array], Array],
    ) -> Array:
        """score(outputs, features) of all rows, a block of rows at a time; (N, *shape)."""
        x = x if isinstance(x, np.ndarray) else self.conditional.check(x, self.n_dims)
        self._check_params()
        result = np.empty((len(x) if x.ndim else 0, *shape), dtype)
        for rows in row_blocks(len(result), self._bytes_per_row()):
            block = self.conditional.check(x[rows], self.n_dims, rows=range(rows.start, rows.stop))
            features = self._features(block)
            result[rows] = score(self._forward(features)[0], features)
        if not len(result):
            self.conditional.check(x, self.n_dims)
        return result

    def log_prob(self, x: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """log p(x) of each row, in nats.

        Parameters
        ----------
        x : array_like of bits, shape (N, D)
            A memory map is read a block at a time.

        Returns
        -------
        ndarray of float64, shape (N,)

        Raises
        ------
        TypeError, ValueError
            If x is no array of bits with D columns.
        """
        return self._by_blocks(
            x, (), np.float64,
            lambda outputs, x: self.conditional.log_p(outputs, x).sum(axis=1, dtype=np.float64),
        )  # fmt: skip

    def log_conditionals(self, x: npt.ArrayLike) -> Array:
        """log p(x_i | x_<i) of each entry, (N, D), in nats; columns in the data's own order."""
        return self._by_blocks(x, (self.n_dims,), self.dtype, self.conditional.log_p)

    def conditionals(self, x: npt.ArrayLike) -> Array:
        """p(x_i = 1 | x_<i) of each entry, (N, D); columns in the data's own order."""
        return self._by_blocks(
            x, (self.n_dims,), self.dtype, lambda outputs, x: self.conditional.decode(outputs)
        )

    def sample(
        self,
        n: int = 1,
        *,
        given: npt.ArrayLike | None = None,
        observed: npt.ArrayLike | None = None,
        rng: Any = None,
    ) -> npt.NDArray[np.uint8]:
        """Draw exact samples, one conditional at a time, at about the cost of scoring them.

        Parameters
        ----------
        n : int
            How many.
        given : array_like of bits, shape (D,) or (n, D), optional
            Rows to complete; what is not observed in them is ignored.
        observed : array_like of bool, shape (D,), optional
            Which variables of ``given`` are known. They must be the first ones of the order.
        rng : None, int, SeedSequence, BitGenerator or Generator
            As in SPEC 7.

        Returns
        -------
        ndarray of uint8, shape (n, D)

        Raises
        ------
        TypeError, ValueError
            If ``given`` and ``observed`` do not fit, or the observed variables are not a prefix of
            the order.
        """
        n = check_size(n, "n", minimum=0)
        self._check_params()
        rng = np.random.default_rng(rng)
        known, n_known = self._known(n, given, observed)
        x = np.empty((n, self.n_dims), np.uint8)
        for rows in row_blocks(n, self._bytes_per_row()):
            uniforms = rng.random((rows.stop - rows.start, self.n_dims))
            features = np.zeros(uniforms.shape, self.dtype)
            if known is not None:
                first = self.order[:n_known]
                features[:, first] = known[rows if len(known) == n else slice(None), first]
            x[rows] = self._fill_in(features, n_known, uniforms)
        return x

    def _known(
        self, n: int, given: npt.ArrayLike | None, observed: npt.ArrayLike | None
    ) -> tuple[Array | None, int]:
        """Check ``given`` and ``observed``; rows (1 or n, D) and how many variables are known."""
        if given is None and observed is None:
            return None, 0
        if given is None or observed is None:
            raise ValueError(
                "given and observed go together: the rows to complete, and a boolean mask of shape "
                f"({self.n_dims},) that says which variables of them are known"
            )
        observed = np.asarray(observed)
        if observed.dtype != np.bool_ or observed.shape != (self.n_dims,):
            raise ValueError(
                f"observed must be a boolean mask of shape ({self.n_dims},), got dtype "
                f"{observed.dtype} and shape {observed.shape}"
            )
        n_known = int(observed.sum())
        if not observed[self.order[:n_known]].all():
            raise ValueError(
                "observed must be the first variables of the model's order (a prefix of "
                "model.order), for then the rest can be drawn exactly; for other patterns train a "
                "model with order=pyarsimple.orders.observed_first(observed)"
            )
        if isinstance(given, np.ma.MaskedArray):
            raise TypeError("given must be a plain array, got a masked one: use observed=")
        try:
            given = np.asarray(given)
        except ValueError as error:  # a list of rows of unequal length
            raise ValueError(f"given must be an array of bits: {error}") from None
        if given.shape not in {(self.n_dims,), (n, self.n_dims)}:
            raise ValueError(
                f"given must have shape ({self.n_dims},) or (n, {self.n_dims}) = "
                f"({n}, {self.n_dims}), got {given.shape}"
            )
        rows = np.atleast_2d(given)
        # Only what is observed counts: the rest may be anything, a marker for missing included.
        known = np.zeros(rows.shape, rows.dtype)
        known[:, observed] = rows[:, observed]
        return self.conditional.check(known, self.n_dims, "given"), n_known

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to ``path``, an ``.npz`` that `pyarsimple.load` reads.

        A file that is there already is replaced only when the new one is complete.
        """
        storage.save_model(self, path)
