"""Mixtures over orders: several models of the same data, whose probabilities are averaged.

    p(x) = sum_k w_k p_k(x)            w_k = 1/K unless given
    log p(x) = log sum_k exp(log w_k + log p_k(x))

Each p_k is a product of conditionals in an order of its own. What is averaged are probabilities of
whole rows. The average of logits, or of conditionals, belongs to no distribution: its
"probabilities" need not sum to one over {0,1}^D, for each is conditional on other variables.

By Jensen's inequality log p(x) is at least the mean of the log p_k(x), so the mixture is at least
as good as its average component; it gains where the components err on different rows. It never
falls behind its best component by more than log K nats.

A mixture has no order and no conditionals: p(x_i | x_<i) has no simple form under it, for what
comes before i is not the same in each component.

References: Uria, Murray and Larochelle (2014), "A deep and tractable density estimator",
arXiv:1310.1757 (EoNADE); Germain et al. (2015), arXiv:1502.03509.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from pyarsimple import orders as orders_
from pyarsimple._validation import check_size
from pyarsimple.autoregressive import AutoregressiveModel, row_blocks
from pyarsimple.conditionals import log_sum_exp
from pyarsimple.density import Array, Density, Params

if TYPE_CHECKING:
    from pyarsimple import missing
    from pyarsimple.conditionals import Categorical, Conditional

#: What belongs to one order, and so to the components only.
_OF_ONE_ORDER = (
    "conditionals", "log_conditionals", "forward", "backward", "start", "order", "dependencies",
    "nll_and_grads", "training_loss_and_grads",
)  # fmt: skip


def mixture_over_orders(log_p: Array) -> Array:
    """log of the mean probability, (N,), from log p(x) under each of M orders, (M, N)."""
    log_mean: Array = log_sum_exp(log_p.T) - np.log(len(log_p))
    return log_mean


class OrderMixture(Density):
    """A mixture of models of the same variables. See the module's docstring for the equations.

    Parameters
    ----------
    models : sequence of densities
        Of the same variables and context. They are not copied: train one further, and the mixture
        follows.
    weights : array_like of float, shape (K,), optional
        How much each component counts, above 0; they are divided by their sum. None: all alike.

    Attributes
    ----------
    models : tuple
        The components.
    weights : ndarray, shape (K,)
        They sum to one; read-only.
    """

    name = "order-mixture"

    def __init__(self, models: Sequence[Density], weights: npt.ArrayLike | None = None) -> None:
        self.models = _check_models(models)
        self._given = None if weights is None else _check_weights(weights, len(self.models))
        w = np.array(self._given or np.ones(len(self.models)))
        w /= w.max()  # their sum may be too large for a float
        self.weights: Array = w / w.sum()
        self.weights.flags.writeable = False
        self.n_dims = self.models[0].n_dims
        self.params: Params = {}  # none of its own
        self._parts, self._views = _find_parts(self.models)

    @classmethod
    def from_orders(
        cls,
        model: Any,
        orders: int | Iterable[npt.ArrayLike],
        weights: npt.ArrayLike | None = None,
        *,
        rng: Any = None,
    ) -> Self:
        """One model that was trained for all orders, asked in several of them.

        Parameters
        ----------
        model : OrderAgnosticMADE, OrderlessNADE, ...
            Any that has ``with_order(order)``. Its parameters are shared, and saved once.
        orders : iterable of permutations, or int
            The orders, or how many to draw at random by ``rng``.
        weights : array_like of float, optional
            As in `OrderMixture`.
        rng : None, int, SeedSequence, BitGenerator or Generator
            As in SPEC 7.

        Raises
        ------
        TypeError
            If the model was trained for one order: in others its parameters mean nothing. Train a
            model for each order then, and mix them by ``OrderMixture(models)``.
        """
        if not hasattr(model, "with_order"):
            raise TypeError(
                f"model must be one that was trained for all orders (it has with_order), got "
                f"{type(model).__name__}, which was trained for one; train a model for each order "
                "and use OrderMixture(models)"
            )
        if isinstance(orders, (int, np.integer)):
            n, rng = check_size(orders, "orders"), np.random.default_rng(rng)
            orders = [orders_.random(model.n_dims, rng=rng) for _ in range(n)]
        return cls([model.with_order(order) for order in orders], weights)

    # What it is made of.

    @property
    def conditional(self) -> Conditional:  # type: ignore[override]
        """What kind of variables these are: that of every component."""
        return self.models[0].conditional

    @property
    def context(self) -> int | Categorical:  # type: ignore[override]
        """That of every component."""
        return self.models[0].context

    @property
    def n_params(self) -> int:
        """Those of the components, but what several of them share is counted once."""
        return sum(part.n_params for part in self._parts)

    def parts(self) -> list[Density]:
        """The components without those that are views of another: they share its parameters."""
        return list(self._parts)

    def config(self) -> dict[str, Any]:
        """The weights as they were given, and of which part each component is what view."""
        return {"weights": self._given, "views": [[k, dict(view)] for k, view in self._views]}

    @classmethod
    def from_parts(cls, parts: Sequence[Any], weights: Any, views: Any) -> Self:
        """Make it again from its `parts` and its `config`.

        Raises
        ------
        ValueError
            If a view is of no part, or is one that the part cannot give.
        """
        models = []
        for view in views if isinstance(views, list) else [None]:
            match view:
                case [int(k), dict(changes)] if 0 <= k < len(parts):
                    models.append(_view(parts[k], changes))
                case _:
                    raise ValueError(
                        "views must be a list of [part, settings], one for each component, got "
                        f"{views!r:.200}"
                    )
        mixture = cls(models, weights)
        if list(map(id, mixture.parts())) != list(map(id, parts)):
            raise ValueError("views must use each part, first the first, and no two alike")
        return mixture

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self._parts[:2])) + ", ..." * (len(self._parts) > 2)
        return f"<OrderMixture of {len(self.models)} components: {shown}>"

    def __len__(self) -> int:
        return len(self.models)

    def __getattr__(self, name: str) -> Any:
        if name in _OF_ONE_ORDER:
            raise AttributeError(
                f"a mixture has no {name}: it is no product of conditionals in one order. Ask its "
                "components, mixture.models; its log_prob is of whole rows"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.weights.flags.writeable = False  # pickle and copy forget that

    def _bytes_per_row(self) -> int:
        sizes = [m._bytes_per_row() for m in self.models if hasattr(m, "_bytes_per_row")]
        return max(sizes, default=8 * self.n_dims) + 4 * 8 * len(self.models)

    # Probabilities.

    def log_prob(
        self,
        x: npt.ArrayLike,
        context: npt.ArrayLike | None = None,
        *,
        observed: npt.ArrayLike | None = None,
        rng: Any = None,
    ) -> npt.NDArray[np.float64]:
        """log p(x) of each row, in nats: the logarithm of the average probability.

        Parameters
        ----------
        x : array_like of bits, shape (N, D)
            Or of what the components take. A memory map is read a block at a time, once for all
            components.
        context : array_like, optional
            If the components have one.
        observed, rng
            For the marginal probability of some variables, as in `AutoregressiveModel.log_prob`.

        Returns
        -------
        ndarray of float64, shape (N,)

        Raises
        ------
        TypeError, ValueError
            If x is not what the components take.
        """
        if observed is not None:
            return self.marginal(x, observed, context=context, rng=rng).log_prob
        x = x if isinstance(x, np.ndarray) else self.conditional.check(x, self.n_dims)
        n = len(x) if x.ndim == 2 else 0
        if n == 0:
            return self._log_prob(x, context)  # which says what is wrong with it, if anything is
        result = np.empty(n)
        for rows in row_blocks(n, self._bytes_per_row()):
            block = self.conditional.check(
                x[rows], self.n_dims, rows=range(rows.start, rows.stop)
            )  # errors are to name the row of x
            result[rows] = self._log_prob(block, self._rows_of(context, n, rows))
        return result

    def _log_prob(self, x: Array, context: Any) -> npt.NDArray[np.float64]:
        """log_prob of a block."""
        shares = len(self.models) * self.weights  # how many of K equal ones each component has
        pairs = zip(np.log(shares), self.models, strict=True)
        return mixture_over_orders(
            np.stack([log_share + model.log_prob(x, context) for log_share, model in pairs])
        )

    def _rows_of(self, context: npt.ArrayLike | None, n: int, rows: Any) -> Any:
        """Some rows of the context of n rows; one that is the same for all rows as it is."""
        if context is None:
            return None
        y = np.asarray(context)
        one_a_row = y.ndim >= (2 if isinstance(self.context, int) else 1) and len(y) == n
        return y[rows] if one_a_row else y

    # Samples.

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
        """Draw exact samples: a component for each row, by the weights, and the row from it.

        Parameters
        ----------
        n : int
            How many.
        given, observed, method : optional
            Rows to complete, as `AutoregressiveModel.sample` takes them. The weights of the
            components become those given what was observed. Exact where each component is: see
            `impute`, and `starting_with` for those components of whose order it is a prefix.
        context : array_like, optional
            One row for all samples, or n of them.
        rng : None, int, SeedSequence, BitGenerator or Generator
            As in SPEC 7.

        Returns
        -------
        ndarray, shape (n, D)

        Raises
        ------
        TypeError, ValueError
            If ``given`` and ``observed`` do not fit, or not to every component.
        """
        n = check_size(n, "n", minimum=0)
        rng = np.random.default_rng(rng)
        bounds = np.cumsum(self._weights_given(n, given, observed, method, context, rng), axis=1)
        uniforms, chosen = rng.random(n), np.zeros(n, np.intp)
        for k in range(len(self.models) - 1):
            chosen += uniforms >= bounds[:, k]
        how = {} if given is None else {"method": method}
        x = np.empty((n, self.n_dims), self.conditional.dtype)
        for k, model in enumerate(self.models):
            rows = np.flatnonzero(chosen == k)
            if rows.size or n == 0:  # of no rows: the arguments are checked all the same
                x[rows] = model.sample(
                    rows.size,
                    given=_rows_given(given, n, rows),
                    observed=_rows_given(observed, n, rows),
                    context=self._rows_of(context, n, rows),
                    rng=rng,
                    **how,
                )
        return x

    def _weights_given(
        self, n: int, given: Any, observed: Any, method: str, context: Any, rng: Any
    ) -> Array:
        """The weights of the components given what was observed of each row: w_k p_k(x_observed).

        With nothing observed they are the same for all rows: (1, K).
        """
        from pyarsimple import missing

        if given is None and observed is None:
            prior: Array = self.weights[np.newaxis]
            return prior
        for model in self.models:
            if not isinstance(model, AutoregressiveModel):
                raise TypeError(
                    f"given needs components with conditionals, got {type(model).__name__}"
                )
        first: Any = self.models[0]
        known, mask = first._check_given(n, given, observed)  # (1 or n, D)
        if context is not None:
            known = np.broadcast_to(known, (n, self.n_dims))  # each with its own context
        method = "auto" if method == "gibbs" else method
        _, p = missing.marginals_of(self, known, mask, method=method, context=context, rng=rng)
        return p

    def marginal(
        self, x: npt.ArrayLike, observed: npt.ArrayLike, **settings: Any
    ) -> missing.Marginal:
        """The marginal log-probability of what was observed, and how exact it is.

        Arguments and result are those of `AutoregressiveModel.marginal`. Each component takes the
        method that suits its order; the method of a row is that of the least exact of them.
        """
        from pyarsimple import missing

        return missing.marginals_of(self, x, observed, **settings)[0]

    def impute(
        self, x: npt.ArrayLike, observed: npt.ArrayLike, **settings: Any
    ) -> missing.Imputation:
        """Complete rows of which any variables are missing, and say how well.

        Arguments and result are those of `AutoregressiveModel.impute`. A component is drawn by its
        probability given what was observed, and completes the row by the method that suits its
        order.
        """
        from pyarsimple import missing

        return missing.impute_mixture(self, x, observed, **settings)

    def starting_with(self, observed: npt.ArrayLike) -> OrderMixture:
        """The mixture of those components whose orders begin with the observed variables.

        In each of them, and so in their mixture, the marginal probability of what was observed is
        a product of its first conditionals, and the rest is drawn exactly. It is another
        distribution than the whole mixture: the others are left out, and the weights rescaled.

        Parameters
        ----------
        observed : array_like of bool, shape (D,)

        Raises
        ------
        ValueError
            If there is no such component.
        """
        observed = np.asarray(observed)
        if observed.dtype != np.bool_ or observed.shape != (self.n_dims,):
            raise ValueError(
                f"observed must be a boolean mask of shape ({self.n_dims},), got dtype "
                f"{observed.dtype} and shape {observed.shape}"
            )
        n_known = int(observed.sum())
        fit = [
            k for k, model in enumerate(self.models)
            if isinstance(model, AutoregressiveModel) and observed[model.order[:n_known]].all()
        ]  # fmt: skip
        if not fit:
            raise ValueError(
                "observed is a prefix of the order of no component; of a model that was trained "
                "for all orders ask one that it is: "
                "model.with_order(pyarsimple.orders.observed_first(observed))"
            )
        return OrderMixture([self.models[k] for k in fit], self.weights[fit])


def _rows_given(given: npt.ArrayLike | None, n: int, rows: Array) -> Any:
    """Some of n rows to complete; one row that is the same for all as it is."""
    if given is None:
        return None
    x = np.asarray(given)
    return x[rows] if x.ndim == 2 and len(x) == n else x


# Checks.


def _check_models(models: Sequence[Density]) -> tuple[Density, ...]:
    """The components, if they are densities of the same variables."""
    if isinstance(models, Density) or not isinstance(models, Iterable):
        raise TypeError(
            "models must be a sequence of models, got "
            f"{type(models).__name__}; for one model in many orders use OrderMixture.from_orders"
        )
    models = tuple(models)
    if not models:
        raise ValueError("models must hold at least one model, got none")
    for k, model in enumerate(models):
        if not isinstance(model, Density):
            raise TypeError(f"models[{k}] must be a model, got {type(model).__name__}")
        for what in ("n_dims", "conditional", "context"):
            one, first = getattr(model, what), getattr(models[0], what)
            if one != first:
                raise ValueError(
                    "models must be of the same variables: models[0] has "
                    f"{what} {first!r}, models[{k}] has {one!r}"
                )
    return models


def _check_weights(weights: npt.ArrayLike, n: int) -> list[float]:
    """The weights as floats, if they are n numbers above 0."""
    w = np.asarray(weights)
    if w.dtype.kind not in "iuf" or w.shape != (n,):
        raise ValueError(
            f"weights must be numbers of shape ({n},), one for each component, got dtype "
            f"{w.dtype} and shape {w.shape}"
        )
    w = w.astype(np.float64)
    if not (w > 0).all() or not w.max() < np.inf:
        raise ValueError(
            "weights must be finite and above 0; leave components that do not count out"
        )
    if not (w / w.max() > 0).all():
        raise ValueError("weights are too different: next to the largest, one of them is 0")
    return [float(value) for value in w]


# Views: components that share the parameters of another, in an order of their own.

#: The settings in which a view may differ: the arguments of ``with_order``.
_VIEWED = ("order", "degrees")


def _find_parts(
    models: tuple[Density, ...],
) -> tuple[list[Density], list[tuple[int, dict[str, Any]]]]:
    """The models whose parameters are their own, and each model as a view of one of those."""
    parts: list[Density] = []
    views = []
    for model in models:
        for k, part in enumerate(parts):
            changes = _difference(model, part)
            if changes is not None:
                views.append((k, changes))
                break
        else:
            views.append((len(parts), {}))
            parts.append(model)
    return parts, views


def _difference(model: Density, part: Density) -> dict[str, Any] | None:
    """The settings in which a view differs from its part; None if it is no view of it."""
    if model is part:
        return {}
    if type(model) is not type(part) or not hasattr(part, "with_order"):
        return None
    shared = model.params.keys() == part.params.keys() and all(
        map(operator.is_, model.params.values(), part.params.values())
    )
    if not shared:
        return None
    before, after = part.config(), model.config()
    changes = {name: after[name] for name in after if after[name] != before[name]}
    return changes if changes.keys() <= set(_VIEWED) else None


def _view(part: Any, changes: dict[str, Any]) -> Any:
    """What `_difference` found, made again."""
    if not changes:
        return part
    if not hasattr(part, "with_order") or not changes.keys() <= set(_VIEWED):
        raise ValueError(
            f"a view of {type(part).__name__} cannot differ in {', '.join(map(repr, changes))}"
        )
    return part.with_order(**({"order": part.order} | changes))
