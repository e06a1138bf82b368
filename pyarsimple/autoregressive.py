"""What all models share: one product of conditionals, in two views.

    log p(x) = sum_i log p(x_i | x_<i)                      (the chain rule)

where x_<i are the variables that come before x_i in the model's order. A model supplies

- the parallel view, ``_forward`` and ``_backward``: all conditionals of given data at once;
- the sequential view, ``_start``: a state that is carried from one variable to the next;

and from these follow here, once for all models: scores, the loss and its gradient, samples and
completions. The two views agree to rounding, and cost the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from pyarsimple import orders
from pyarsimple._validation import check_dtype, check_size, check_weight
from pyarsimple.conditionals import Bernoulli, Categorical, Conditional, from_config
from pyarsimple.density import Density

if TYPE_CHECKING:
    from pyarsimple import missing

Array = npt.NDArray[Any]
Params = dict[str, Array]

#: Scoring and sampling split their rows so that the arrays they make stay below this, in bytes.
MEMORY_LIMIT = 256 * 2**20


def row_blocks(n: int, bytes_per_row: int, limit: int | None = None) -> Iterator[slice]:
    """Split n rows into slices of at most ``limit`` bytes each, of one row at least."""
    step = max(1, (MEMORY_LIMIT if limit is None else limit) // max(1, bytes_per_row))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def put_rows(result: Any, part: Any, rows: slice, n: int) -> Any:
    """Write some of n rows into arrays, or dicts and lists of them; None: makes them first."""
    if isinstance(part, dict):
        return {k: put_rows(result and result[k], p, rows, n) for k, p in part.items()}
    if isinstance(part, list):
        return [put_rows(result and result[k], p, rows, n) for k, p in enumerate(part)]
    result = np.empty((n, *part.shape[1:]), part.dtype) if result is None else result
    result[rows] = part
    return result


def draw_dropout(
    rng: np.random.Generator, shape: tuple[int, int], rate: float, dtype: Any
) -> Array:
    """A factor for each hidden unit of each example: 0 with probability ``rate``, or 1/(1-rate)."""
    keep: Array = (rng.random(shape) >= rate).astype(dtype)
    keep *= keep.dtype.type(1 / (1 - rate))
    return keep


def is_bias(name: str) -> bool:
    """Whether a parameter of this name is a bias: b, c, or c1, c2, ... of several layers."""
    return name == "b" or name.rstrip("0123456789") == "c"


def is_weight(name: str, p: Array) -> bool:
    """Whether a parameter is a matrix of weights: what decays, if anything does."""
    return p.ndim > 1 and not is_bias(name)


_DEFAULTS: dict[str, Any] = {"conditional": Bernoulli(), "context": 0}


def check_conditional(conditional: Conditional | dict[str, Any] | None) -> Conditional:
    """A conditional from what a constructor takes: one, the settings of one, or None for bits."""
    if conditional is None:
        return Bernoulli()
    if isinstance(conditional, dict):
        return from_config(conditional)
    if not isinstance(conditional, Conditional):
        raise TypeError(
            "conditional must be one of pyarsimple.conditionals, such as Gaussian(), got "
            f"{conditional!r:.200}"
        )
    return conditional


def check_context(context: int | Categorical | dict[str, Any]) -> int | Categorical:
    """How many features a context has, or of which classes it is one."""
    if isinstance(context, dict):
        context = from_config(context)  # type: ignore[assignment]
    if isinstance(context, Categorical):
        context.columns(1)  # one variable
        return context
    return check_size(context, "context", minimum=0)


def make_columns(
    n_dims: int, conditional: Conditional, context: int | Categorical
) -> orders.Columns | None:
    """Which columns belong to which variable; None for bits without context: one each."""
    columns = conditional.columns(n_dims)
    if isinstance(conditional, Bernoulli) and context == 0:
        return None
    n_context = context if isinstance(context, int) else context.columns(1).n_inputs
    return columns._replace(n_context=n_context)


def columns_of(
    *, n_dims: int, conditional: Any = None, context: Any = 0, **config: Any
) -> orders.Columns:
    """The columns of a model with these settings: for ``param_shapes``."""
    columns = make_columns(n_dims, check_conditional(conditional), check_context(context))
    return orders.one_each(n_dims) if columns is None else columns


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

    def __init__(
        self, order: Array, n: int, dtype: Any, conditional: Conditional | None = None
    ) -> None:
        self.order = order
        self.position = 0
        self.conditional = Bernoulli() if conditional is None else conditional
        self._n = check_size(n, "n", minimum=0)
        self._dtype = dtype

    @property
    def variable(self) -> int:
        """The next variable: that of which ``outputs`` speaks."""
        if self.position == len(self.order):
            raise IndexError("every variable is known: there is no next one")
        return int(self.order[self.position])

    def outputs(self) -> Array:
        """The outputs of the next variable given the known ones: (N,), or (N, P) if P > 1."""
        z = self._outputs(self.variable)
        return z[:, 0] if z.ndim == 2 and z.shape[1] == 1 else z

    def advance(self, x_i: npt.ArrayLike) -> None:
        """Make the next variable known: x_i holds its value in each row, (N,)."""
        i = self.variable
        x_i = np.asarray(x_i)
        if x_i.shape != (self._n,):
            raise ValueError(f"x_i must hold one value a row, shape ({self._n},), got {x_i.shape}")
        one = self.conditional.of(i)
        x_i = one.check(x_i[:, np.newaxis], 1, "x_i")  # (N, 1)
        x_i = x_i.astype(one.dtype_of_data(np.dtype(self._dtype)))
        self._advance(i, one.features(x_i).astype(self._dtype, copy=False))
        self.position += 1

    @abstractmethod
    def _outputs(self, i: int) -> Array:
        """The outputs of variable i, (N, P_i)."""

    @abstractmethod
    def _advance(self, i: int, x_i: Array) -> None:
        """Take in the features of variable i, (N, F_i)."""


def as_columns(z: Array) -> Array:
    """(N, P) from outputs (N,) or (N, P)."""
    return z[:, np.newaxis] if z.ndim == 1 else z


def fill_in(
    state: State, x: Array, n_known: int, uniforms: Array, conditional: Conditional
) -> Array:
    """Ancestral sampling: return x (N, D) with the variables from position n_known on drawn anew.

    ``uniforms`` (N, D) are numbers in [0, 1), one for each entry of x: all the randomness there is.
    """
    x = x.copy()
    for k, i in enumerate(state.order):
        if k >= n_known:
            z = state.outputs()  # (N,), or (N, P_i)
            x[:, [i]] = conditional.of(i).sample(as_columns(z), uniforms[:, [i]])
        state.advance(x[:, i])
    return x


class AutoregressiveModel(Density):
    """A density over D variables as a product of conditionals. The models derive from it.

    Parameters
    ----------
    n_dims : int
        D, the number of variables.
    order : array_like of int, shape (D,), optional
        ``order[k]`` is the variable in position k; None is the natural order 0, 1, ..., D-1.
    conditional : from `pyarsimple.conditionals`, optional
        What kind of variables these are, and what the outputs say of each; None is `Bernoulli()`.
    context : int or Categorical
        Of a conditional density p(x | y): how many features y has that every variable sees, or
        `Categorical(K)` if y is one of K classes; 0 if there is none.
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

    def __init__(
        self,
        n_dims: int,
        *,
        order: npt.ArrayLike | None,
        dtype: Any,
        rng: Any,
        conditional: Conditional | dict[str, Any] | None = None,
        context: int | Categorical | dict[str, Any] = 0,
    ) -> None:
        self.n_dims = check_size(n_dims, "n_dims")
        self.order = orders.check_order(order, self.n_dims)
        self.order.flags.writeable = False
        self.dtype = check_dtype(dtype)
        self.conditional = check_conditional(conditional)
        self.context = check_context(context)
        self.columns = make_columns(self.n_dims, self.conditional, self.context)
        self.params: Params = self._initial_params(np.random.default_rng(rng))
        self._shapes = {name: p.shape for name, p in self.params.items()}

    # What a model supplies.

    #: ``param_shapes(**model.config())``: the name and shape of every parameter; a static method.
    param_shapes: ClassVar[Callable[..., dict[str, tuple[int, ...]]]]

    @abstractmethod
    def _initial_params(self, rng: np.random.Generator) -> Params: ...

    @abstractmethod
    def _forward(self, x: Array, draw: Any = None) -> tuple[Array, Any]:
        """Outputs (N, P) and a cache for ``_backward``; x (N, F) are features."""

    @abstractmethod
    def _backward(self, d_outputs: Array, cache: Any) -> Params: ...

    @abstractmethod
    def _start(self, n: int, context: Array | None) -> State:
        """The state of n rows; ``context`` (n, C) are the context's features."""

    def _fill_in_bits(self, x: Array, n_known: int, uniforms: Array) -> Array:
        """As `fill_in`, for bits without a context; a model overrides it by a compiled twin."""
        return fill_in(self._start(len(x), None), x, n_known, uniforms, self.conditional)

    def _fill_in(self, x: Array, n_known: int, uniforms: Array, context: Array | None) -> Array:
        if self.columns is None:
            return self._fill_in_bits(x, n_known, uniforms)
        state = self._start(len(x), context)
        return fill_in(state, x, n_known, uniforms, self.conditional)

    def _draw(self, n: int, rng: np.random.Generator) -> Any:
        """What is random in the training loss of n rows; None if nothing is."""
        return None

    def _bytes_per_row(self) -> int:
        """How much memory scoring or sampling one row takes, roughly."""
        return 4 * 8 * (self.n_inputs + self.n_outputs)

    def masks(self) -> dict[str, npt.NDArray[np.bool_]]:
        """For each parameter that is masked, where it is free: what is false changes nothing."""
        return {}

    def dependencies(self) -> npt.NDArray[np.bool_]:
        """Which variable depends on which: (D, D), true at [i, j] where x_j matters to x_i."""
        return orders.precedes(self.order)

    def config(self) -> dict[str, Any]:
        """The settings from which the model can be made again, as the constructor takes them."""
        return {"n_dims": self.n_dims, "order": self.order.tolist(), "dtype": str(self.dtype)}

    def _config_of_columns(self) -> dict[str, Any]:
        """The settings of a model that takes ``conditional`` and ``context``."""
        context = self.context if isinstance(self.context, int) else self.context.config()
        return {"conditional": self.conditional.config(), "context": context}

    def _hidden(self, x: Array) -> Array:
        """The hidden units (N, H) of features x (N, F), for `features`; a model overrides it."""
        raise TypeError(
            f"{type(self).__name__} has no hidden units that all variables share, and so no "
            "features; make them with NADE, MADE or OrderlessNADE"
        )

    #: ``_closed_form(known, observed, rng)``, if the model has a formula for any pattern of missing
    #: values: log p(x_o) of each row, (N,), and the rows (N, D), completed if there is a generator.
    _closed_form: ClassVar[Callable[..., tuple[Array, Array]] | None] = None

    # What follows for every model.

    @property
    def n_outputs(self) -> int:
        """How many outputs there are: one for each bit, more for what needs more to be told."""
        return self.n_dims if self.columns is None else self.columns.n_outputs

    @property
    def n_inputs(self) -> int:
        """How many features the network reads, those of the context included."""
        return self.n_dims if self.columns is None else self.columns.n_inputs

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
            k: v
            for k, v in self.config().items()
            if k not in ("n_dims", "order", "degrees", "parents")
        }
        if "conditional" in settings:
            settings |= {"conditional": self.conditional, "context": self.context}
            settings = {k: v for k, v in settings.items() if v != _DEFAULTS.get(k, ...)}
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

    def _features(self, x: Array, context: Array | None) -> tuple[Array, Array]:
        """x in its dtype, and what the network reads: features (N, F), those of the context last.

        x has been checked, and ``context`` is as `_check_context` returns it.
        """
        with np.errstate(over="ignore"):
            x = np.ascontiguousarray(x, dtype=self.conditional.dtype_of_data(self.dtype))
            features = x if self.columns is None else self._as_read(self.conditional.features(x))
        if context is None:
            return x, features
        context = np.broadcast_to(context, (len(x), context.shape[1]))
        return x, np.concatenate([features, context], axis=1)

    def _as_read(self, features: Array) -> Array:
        """Features (N, F) in the model's dtype, if that can hold them."""
        features = features.astype(self.dtype, copy=False)
        if self.dtype == np.float32 and not np.isfinite(features).all():
            raise ValueError(
                "x must fit into float32, the model's dtype, but has entries that are too large: "
                "standardise it (pyarsimple.conditionals.Standardized), or make the model with "
                "dtype='float64'"
            )
        return features

    def _check_context(self, context: npt.ArrayLike | None, n: int) -> Array | None:
        """The context's features, in the model's dtype: one row, or n of them."""
        wanted = self._wanted_context(n)
        if wanted is None:
            if context is not None:
                raise ValueError(
                    "context was given, but the model has none: make it with context=, the number "
                    "of features that every variable sees, or Categorical(n_classes)"
                )
            return None
        if context is None:
            raise ValueError(
                f"context is missing: the model is p(x | context), which must be {wanted}"
            )
        y = np.asarray(context)
        if isinstance(self.context, int):
            y = y[np.newaxis] if y.ndim == 1 else y
            good = y.dtype.kind in "biuf" and y.ndim == 2 and y.shape[1] == self.context
            good = good and bool(np.isfinite(y).all())
        else:
            y = y.reshape(-1, 1) if y.ndim <= 1 else y
            good = y.ndim == 2 and y.shape[1] == 1
            if good:
                y = self.context.features(self.context.check(y, 1, "context").astype(self.dtype))
        if not good or len(y) not in {1, n}:
            raise ValueError(f"context must be {wanted}, got dtype {y.dtype} and shape {y.shape}")
        return np.ascontiguousarray(y, dtype=self.dtype)

    def _wanted_context(self, n: int) -> str | None:
        if not isinstance(self.context, int):
            K = self.context.columns(1).n_inputs
            return f"class labels of shape ({n},), each in 0..{K - 1}, or one label for all rows"
        if self.context:
            return (
                f"finite numbers of shape ({n}, {self.context}), or ({self.context},) for all rows"
            )
        return None

    def _check_rows(self, x: npt.ArrayLike) -> Array:
        """Check x and convert it, for a loss, which needs a row at least."""
        x = self.conditional.check(x, self.n_dims)
        if len(x) == 0:
            raise ValueError("x has no rows: the mean loss of no rows is not defined")
        return x

    def forward(self, x: npt.ArrayLike, context: npt.ArrayLike | None = None) -> tuple[Array, Any]:
        """All conditionals at once: the parallel view.

        Parameters
        ----------
        x : array_like of bits, or of what the model's conditional takes, shape (N, D)
        context : array_like, shape (N, C), optional
            If the model has one: features that every variable sees, or class labels (N,).

        Returns
        -------
        outputs : ndarray, shape (N, P)
            For bits P is D and these are logits: ``outputs[n, i]`` is that of p(x_i = 1 | x_<i)
            for row n. Else each variable has as many columns as its conditional needs.
        cache
            What ``backward`` needs. It may share memory with x, so leave x as it is until then.

        Raises
        ------
        TypeError, ValueError
            If x is no array of bits with D columns.
        """
        self._check_params()
        x = self.conditional.check(x, self.n_dims)
        _, features = self._features(x, self._check_context(context, len(x)))
        outputs, cache = self._forward(features)
        return outputs, (outputs.shape, cache)

    def backward(self, d_outputs: npt.ArrayLike, cache: Any) -> Params:
        """Reverse `forward`: gradients, keyed and shaped as ``params``, from those of the outputs.

        Parameters
        ----------
        d_outputs : array_like, shape (N, P)
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

    def start(self, n: int = 1, context: npt.ArrayLike | None = None) -> State:
        """Begin the sequential view: a `State` of n rows of which nothing is known yet."""
        self._check_params()
        return self._start(check_size(n, "n", minimum=0), self._rows_of_context(context, n))

    def _rows_of_context(self, context: npt.ArrayLike | None, n: int) -> Array | None:
        y = self._check_context(context, n)
        return None if y is None else np.broadcast_to(y, (n, y.shape[1]))

    def _loss_and_grads(
        self, x: Array, draw: Any, context: npt.ArrayLike | None, weight: npt.ArrayLike | None
    ) -> tuple[float, Params]:
        self._check_params()
        x, features = self._features(x, self._check_context(context, len(x)))
        outputs, cache = self._forward(features, draw)
        log_p = self.conditional.log_p(outputs, x).sum(axis=1, dtype=np.float64)  # (N,)
        if weight is None:
            d_outputs = self.conditional.d_outputs(outputs, x, 1 / len(x))
            return float(-log_p.mean()), self._backward(d_outputs, cache)
        share = check_weight(weight, len(x))
        share = share / share.sum()
        scale = share.astype(self.dtype)[:, np.newaxis]
        d_outputs = self.conditional.d_outputs(outputs, x, scale)
        return float(-(share @ log_p)), self._backward(d_outputs, cache)

    def nll_and_grads(
        self,
        x: npt.ArrayLike,
        context: npt.ArrayLike | None = None,
        weight: npt.ArrayLike | None = None,
    ) -> tuple[float, Params]:
        """Mean negative log-likelihood of the rows of x, in nats, and its exact gradient.

        Parameters
        ----------
        x : array_like of bits, shape (N, D), N >= 1
            Or of what the model's conditional takes.
        context : array_like, optional
            As in `forward`.
        weight : array_like, shape (N,), optional
            How much each row counts in the mean: at least 0, and not all 0.

        Returns
        -------
        nll : float
        grads : dict of str to ndarray
            Keys and shapes of ``params``; zero where a mask is.
        """
        return self._loss_and_grads(self._check_rows(x), None, context, weight)

    def training_loss_and_grads(
        self,
        x: npt.ArrayLike,
        rng: Any = None,
        context: npt.ArrayLike | None = None,
        weight: npt.ArrayLike | None = None,
    ) -> tuple[float, Params]:
        """Return the loss that training lowers and its gradient.

        The same as `nll_and_grads` unless the model has dropout: then units are dropped at random,
        from ``rng``, and the gradient is the exact one of the loss of that draw.
        """
        x = self._check_rows(x)
        draw = self._draw(len(x), np.random.default_rng(rng))
        return self._loss_and_grads(x, draw, context, weight)

    def _by_blocks(
        self,
        x: npt.ArrayLike,
        context: npt.ArrayLike | None,
        score: Callable[[Array, Array], Any],
        forward: Callable[[Array], Array] | None = None,
    ) -> Any:
        """score(outputs, x) of all rows, a block of rows at a time; ``forward`` gives outputs."""
        forward = forward or (lambda features: self._forward(features)[0])
        x = x if isinstance(x, np.ndarray) else self.conditional.check(x, self.n_dims)
        self._check_params()
        n = len(x) if x.ndim else 0
        y = self._check_context(context, n)
        result = None
        for rows in [*row_blocks(n, self._bytes_per_row())] or [slice(0, 0)]:
            block = x[rows] if x.ndim else x
            block = self.conditional.check(block, self.n_dims, rows=range(rows.start, rows.stop))
            block, features = self._features(block, y if y is None or len(y) == 1 else y[rows])
            result = put_rows(result, score(forward(features), block), rows, n)
        return result

    def log_prob(
        self,
        x: npt.ArrayLike,
        context: npt.ArrayLike | None = None,
        *,
        observed: npt.ArrayLike | None = None,
        rng: Any = None,
    ) -> npt.NDArray[np.float64]:
        """log p(x) of each row, in nats.

        Parameters
        ----------
        x : array_like of bits, shape (N, D)
            Or of what the model's conditional takes; of reals it is a log-density. A memory map is
            read a block at a time.
        context : array_like, optional
            As in `forward`: then this is log p(x | context).
        observed : array_like of bool, shape (D,) or (N, D), optional
            Which variables are known: then this is the marginal log-probability of those, exact
            where it can be, and otherwise an estimate. `marginal` says which, and how good.
        rng : None, int, SeedSequence, BitGenerator or Generator
            For that estimate, as in SPEC 7.

        Returns
        -------
        ndarray of float64, shape (N,)

        Raises
        ------
        TypeError, ValueError
            If x is no array of bits with D columns.
        """
        if observed is not None:
            return self.marginal(x, observed, context=context, rng=rng).log_prob
        result: npt.NDArray[np.float64] = self._by_blocks(
            x, context,
            lambda outputs, x: self.conditional.log_p(outputs, x).sum(axis=1, dtype=np.float64),
        )  # fmt: skip
        return result

    def validation_nll(
        self, x: npt.ArrayLike, context: npt.ArrayLike | None = None
    ) -> npt.NDArray[np.float64]:
        """What training compares epochs by, of each row in nats: -log_prob(x).

        A model whose exact probabilities are dear gives a cheaper figure that goes up and down
        with it.
        """
        return -self.log_prob(x, context)

    def log_conditionals(self, x: npt.ArrayLike, context: npt.ArrayLike | None = None) -> Array:
        """log p(x_i | x_<i) of each entry, (N, D), in nats; columns in the data's own order."""
        result: Array = self._by_blocks(x, context, self.conditional.log_p)
        return result

    def conditionals(self, x: npt.ArrayLike, context: npt.ArrayLike | None = None) -> Any:
        """What each conditional says: of bits p(x_i = 1 | x_<i), (N, D).

        Columns are in the data's own order. Of other variables it is what the conditional's
        ``decode`` gives, such as ``{"mean": (N, D), "scale": (N, D)}`` of Gaussians.
        """
        return self._by_blocks(x, context, lambda outputs, x: self.conditional.decode(outputs))

    def features(self, x: npt.ArrayLike, context: npt.ArrayLike | None = None) -> Array:
        """What the hidden units make of each row: a representation of x, for other tasks.

        Of NADE these are the units after the last variable, when all of x has been seen; of
        OrderlessNADE those of the last layer when all of x is known; of MADE those of the last
        layer, of which each has seen as many variables as its degree says.

        Parameters
        ----------
        x : array_like of bits, shape (N, D)
            Or of what the model's conditional takes.
        context : array_like, optional
            As in `forward`.

        Returns
        -------
        ndarray, shape (N, H)

        Raises
        ------
        TypeError
            If the model has no hidden units that all variables share.
        """
        return np.asarray(self._by_blocks(x, context, lambda h, x: h, self._hidden))

    def initialize_from(self, x: npt.ArrayLike) -> Self:
        """Start near the independent model fitted to x (N, D).

        The biases of the outputs become its outputs; what else leads to the outputs is made ten
        times smaller.
        """
        x = self._check_rows(x)
        bias = self.conditional.independent_outputs(x)
        if "b" not in self.params or self.params["b"].shape != bias.shape:
            raise TypeError(f"{type(self).__name__} has no biases of its outputs to start from")
        for name in ("V", "A") if "V" in self.params else ("W",):
            if name in self.params:
                self.params[name] *= self.dtype.type(0.1)
        self.params["b"][...] = bias
        return self

    def sample(
        self,
        n: int = 1,
        *,
        given: npt.ArrayLike | None = None,
        observed: npt.ArrayLike | None = None,
        method: str = "auto",
        context: npt.ArrayLike | None = None,
        rng: Any = None,
    ) -> Array:
        """Draw exact samples, one conditional at a time, at about the cost of scoring them.

        Parameters
        ----------
        n : int
            How many.
        given : array_like of bits, shape (D,) or (n, D), optional
            Rows to complete; what is not observed in them is ignored.
        observed : array_like of bool, shape (D,) or (n, D), optional
            Which variables of ``given`` are known. Where they are the first ones of the order
            completions are exact, at the cost of a sample; of other patterns see `impute`, which
            says how good they are.
        method : {"auto", "exact", "importance", "gibbs"}
            For other patterns, as in `impute`; "exact" refuses what cannot be exact.
        context : array_like, optional
            As in `forward`: one row for all samples, or n of them.
        rng : None, int, SeedSequence, BitGenerator or Generator
            As in SPEC 7.

        Returns
        -------
        ndarray, shape (n, D)
            Of uint8 for bits, else of the conditional's ``dtype``.

        Raises
        ------
        TypeError, ValueError
            If ``given`` and ``observed`` do not fit, or the method does not fit the pattern.
        """
        from pyarsimple import missing

        n = check_size(n, "n", minimum=0)
        missing.check_method(method, missing.METHODS)
        self._check_params()
        rng = np.random.default_rng(rng)
        known, n_known = None, 0
        if given is not None or observed is not None:
            known, mask = self._check_given(n, given, observed)
            n_known = self._n_known(mask) if method in ("auto", "exact") else -1
            if n_known < 0:
                return missing.complete_given(
                    self, n, known, mask, method=method, context=context, rng=rng
                )
        y = self._rows_of_context(context, n)
        x = np.empty((n, self.n_dims), self.conditional.dtype)
        for rows in row_blocks(n, self._bytes_per_row()):
            uniforms = rng.random((rows.stop - rows.start, self.n_dims))
            block = np.zeros(uniforms.shape, self.conditional.dtype_of_data(self.dtype))
            if known is not None:
                first = self.order[:n_known]
                block[:, first] = known[rows if len(known) == n else slice(None), first]
            x[rows] = self._fill_in(block, n_known, uniforms, None if y is None else y[rows])
        return x

    def _check_given(
        self, n: int, given: npt.ArrayLike | None, observed: npt.ArrayLike | None
    ) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Check ``given`` and ``observed``; rows (1 or n, D), and the mask, (D,) or (n, D)."""
        if given is None or observed is None:
            raise ValueError(
                "given and observed go together: the rows to complete, and a boolean mask of shape "
                f"({self.n_dims},) that says which variables of them are known"
            )
        observed = np.asarray(observed)
        shapes = {(self.n_dims,), (n, self.n_dims)}
        if observed.dtype != np.bool_ or observed.shape not in shapes:
            raise ValueError(
                f"observed must be a boolean mask of shape ({self.n_dims},) or (n, {self.n_dims}) "
                f"= ({n}, {self.n_dims}), got dtype {observed.dtype} and shape {observed.shape}"
            )
        if isinstance(given, np.ma.MaskedArray):
            raise TypeError("given must be a plain array, got a masked one: use observed=")
        try:
            given = np.asarray(given)
        except ValueError as error:  # a list of rows of unequal length
            raise ValueError(f"given must be an array of bits: {error}") from None
        if given.shape not in shapes:
            raise ValueError(
                f"given must have shape ({self.n_dims},) or (n, {self.n_dims}) = "
                f"({n}, {self.n_dims}), got {given.shape}"
            )
        rows = np.atleast_2d(given)
        if observed.ndim == 2:
            rows = np.broadcast_to(rows, observed.shape)
        # Only what is observed counts: the rest may be anything, a marker for missing included.
        mask = np.broadcast_to(observed, rows.shape)
        known = np.zeros(rows.shape, rows.dtype)
        known[mask] = rows[mask]
        return self.conditional.check(known, self.n_dims, "given"), observed

    def _n_known(self, observed: npt.NDArray[np.bool_]) -> int:
        """How many variables of the order a mask (D,) begins with; -1 if it has others too."""
        n_known = int(observed.sum())
        is_prefix = observed.ndim == 1 and bool(observed[self.order[:n_known]].all())
        return n_known if is_prefix else -1

    def impute(
        self,
        x: npt.ArrayLike,
        observed: npt.ArrayLike,
        *,
        n_samples: int = 1,
        method: str = "auto",
        n_particles: int | None = None,
        n_sweeps: int = 100,
        context: npt.ArrayLike | None = None,
        rng: Any = None,
    ) -> missing.Imputation:
        """Complete rows of which any variables are missing, and say how well.

        Parameters
        ----------
        x : array_like of bits, shape (N, D)
            Or of what the model's conditional takes. What is not observed is ignored: it may be
            NaN.
        observed : array_like of bool, shape (D,) or (N, D)
            Which variables are known, the same in all rows or in each row.
        n_samples : int
            How many completions of each row.
        method : {"auto", "exact", "importance", "gibbs"}
            "exact" raises an error where nothing exact is affordable. "auto" is exact where that is
            possible without going through more than 4096 values a row, then importance sampling,
            and Gibbs sampling from its result on where its effective sample size is below 10 and
            the missing variables in question are discrete.
        n_particles : int, optional
            Of importance sampling, for each row; None: 1000, or ten times n_samples.
        n_sweeps : int
            Of Gibbs sampling. The chains start from particles.
        context : array_like, optional
            As in `forward`.
        rng : None, int, SeedSequence, BitGenerator or Generator
            As in SPEC 7.

        Returns
        -------
        Imputation
            ``samples`` (n_samples, N, D), ``method``, ``methods`` (N,) and
            ``effective_sample_size`` (N,). See `pyarsimple.missing` for what they mean.

        Warns
        -----
        UserWarning
            If the effective sample size of a row is below 10.
        """
        from pyarsimple import missing

        return missing.impute(
            self, x, observed, n_samples=n_samples, method=method, n_particles=n_particles,
            n_sweeps=n_sweeps, context=context, rng=rng,
        )  # fmt: skip

    def marginal(
        self,
        x: npt.ArrayLike,
        observed: npt.ArrayLike,
        *,
        method: str = "auto",
        n_particles: int = 1000,
        context: npt.ArrayLike | None = None,
        rng: Any = None,
    ) -> missing.Marginal:
        """The marginal log-probability of what was observed, and how exact it is.

        Parameters
        ----------
        x, observed, n_particles, context, rng
            As in `impute`.
        method : {"auto", "exact", "importance"}
            As in `impute`. The importance estimate of p is unbiased, and so that of log p is too
            low on average.

        Returns
        -------
        Marginal
            ``log_prob`` (N,), ``standard_error`` (N,), ``method``, ``methods`` (N,) and
            ``effective_sample_size`` (N,).

        Warns
        -----
        UserWarning
            If the effective sample size of a row is below 10.
        """
        from pyarsimple import missing

        return missing.marginal(
            self, x, observed, method=method, n_particles=n_particles, context=context, rng=rng
        )
