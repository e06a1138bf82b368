"""Every model as a scikit-learn estimator: `AutoregressiveDensity`, and `AutoregressiveFeatures`.

    density = AutoregressiveDensity("nade", hidden_sizes=200, random_state=0).fit(X)
    density.score_samples(X)        # log p(x) of each row, in nats

They work in ``Pipeline``, ``GridSearchCV`` and ``clone`` as scikit-learn's own do. This module
needs scikit-learn, which the rest of the library does not: pip install "pyarsimple[sklearn]".
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pyarsimple import orders
from pyarsimple._validation import check_number, check_weight
from pyarsimple.autoregressive import Array, AutoregressiveModel, check_conditional
from pyarsimple.conditionals import Bernoulli, Conditional
from pyarsimple.conditionals.standardized import are_real
from pyarsimple.models import MODELS
from pyarsimple.optimizers import LBFGS, OPTIMIZERS, Optimizer
from pyarsimple.training import train_model

try:
    from sklearn.base import (
        BaseEstimator,
        ClassNamePrefixFeaturesOutMixin,
        DensityMixin,
        TransformerMixin,
    )
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        f"pyarsimple.estimators needs scikit-learn 1.6 or newer ({error}): "
        'pip install "pyarsimple[sklearn]"'
    ) from error


def make_rng(random_state: Any) -> np.random.Generator:
    """A generator from what scikit-learn takes for a random_state, or from what SPEC 7 does.

    None is a new seed each time: NumPy's global state is neither used nor changed.
    """
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**32, size=4, dtype=np.uint32))
    return np.random.default_rng(random_state)


class AutoregressiveDensity(DensityMixin, BaseEstimator):  # type: ignore[misc]
    """A density of the rows of X, by any model of this library.

    Parameters
    ----------
    model : str or class
        "nade", "made", "fvsbn", "independent" or any other name of ``pyarsimple.models.MODELS``; or
        a model's class.
    hidden_sizes : int or sequence of int
        Hidden units, a number for each layer. Unused by models that have none.
    activation : str, optional
        Of the hidden units, "sigmoid", "relu" or, for MADE, "tanh"; None is the model's own.
    dropout : float
        The chance of each hidden unit to be dropped in training. Unused by models that have none.
    conditional : from `pyarsimple.conditionals`, optional
        What kind of variables these are; None is the model's own, bits for most.
    order : None, str or array_like of int, shape (D,)
        Of the variables: a permutation, or a name that `pyarsimple.orders.make` knows, such as
        "random", "spiral" or "mutual-information". Orders from data learn from the rows of X, the
        sample weights included.
    image_shape : (int, int), optional
        Height and width, for orders of images such as "spiral"; unused for others.
    binarize : float, optional
        If the variables are bits: what is above it becomes 1, and the rest 0. None if X holds bits.
        Unused for other variables.
    model_params : dict, optional
        Further arguments of the model's constructor, such as ``{"direct": True}``.
    optimizer : {"adam", "sgd", "adagrad", "lbfgs"} or instance from `pyarsimple.optimizers`
    learning_rate : float, optional
        None is the optimizer's own.
    batch_size, max_epochs : int
    patience : int, optional
        Training stops after so many epochs without a better likelihood on the validation rows.
    validation_fraction : float, optional
        The share of the rows that is set aside for that; None trains on all rows to the last epoch.
        Models in closed form are fitted to all rows.
    l2 : float
        Adds l2/2 times the sum of the squared weights to the loss.
    fit_params : dict, optional
        Further arguments of `pyarsimple.fit`, such as ``{"schedule": "cosine"}``; or, of models in
        closed form, of their ``fit``, such as ``{"pseudocount": 0.5}``. For these the six arguments
        above are unused.
    random_state : None, int, RandomState, or what SPEC 7 takes
        For the initial parameters, the validation rows and the training.

    Attributes
    ----------
    model_ : model
        The density: `pyarsimple` says what else it can do.
    history_ : History or None
        How training went; None for closed form.
    n_iter_ : int
        Epochs of training; 1 for closed form.
    n_features_in_ : int
        D.
    feature_names_in_ : ndarray of str, shape (D,)
        If X was a table with names.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import cross_val_score
    >>> X, _ = load_digits(return_X_y=True)
    >>> density = AutoregressiveDensity("fvsbn", binarize=8, max_epochs=5, random_state=0)
    >>> cross_val_score(density, X, cv=3).shape  # log-likelihoods in nats, of each third
    (3,)
    """

    def __init__(
        self,
        model: str | type[AutoregressiveModel] = "nade",
        *,
        hidden_sizes: int | Sequence[int] = 100,
        activation: str | None = None,
        dropout: float = 0.0,
        conditional: Conditional | None = None,
        order: str | npt.ArrayLike | None = None,
        image_shape: tuple[int, int] | None = None,
        binarize: float | None = 0.0,
        model_params: Mapping[str, Any] | None = None,
        optimizer: str | Optimizer | LBFGS = "adam",
        learning_rate: float | None = None,
        batch_size: int = 100,
        max_epochs: int = 100,
        patience: int | None = 10,
        validation_fraction: float | None = 0.1,
        l2: float = 0.0,
        fit_params: Mapping[str, Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.hidden_sizes = hidden_sizes
        self.activation = activation
        self.dropout = dropout
        self.conditional = conditional
        self.order = order
        self.image_shape = image_shape
        self.binarize = binarize
        self.model_params = model_params
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.l2 = l2
        self.fit_params = fit_params
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: Any = None, sample_weight: Any = None) -> Self:
        """Train the model on the rows of X.

        Parameters
        ----------
        X : array_like, shape (N, D)
        y : ignored
        sample_weight : array_like, shape (N,), optional
            How much each row counts; one of weight 0 is as if it were not there.
        """
        X = validate_data(self, X)
        rng = make_rng(self.random_state)
        kind, settings = self._settings()
        conditional = check_conditional(settings.get("conditional") or kind(1).conditional)
        x, weight = self._rows(np.asarray(X), conditional), None
        if sample_weight is not None:
            weight = check_weight(sample_weight, len(x), "sample_weight")
            x, weight = x[weight > 0], weight[weight > 0]
        order = self._order(x, weight, conditional, rng)
        self.model_: AutoregressiveModel = kind(
            x.shape[1], **({"order": order} | settings), rng=rng
        )
        if hasattr(self.model_, "fit"):  # closed form
            self.history_ = train_model(
                self.model_, x, weight=weight, rng=rng, **(self.fit_params or {})
            )
        else:
            self.history_ = self._train(x, weight, rng)
        self.n_iter_ = 1 if self.history_ is None else self.history_.n_epochs
        return self

    def _settings(self) -> tuple[Any, dict[str, Any]]:
        """The model's class and its settings; parameters that it does not know are left out."""
        kind = MODELS.get(self.model) if isinstance(self.model, str) else self.model
        if not (isinstance(kind, type) and issubclass(kind, AutoregressiveModel)):
            raise ValueError(
                f"model must be one of {', '.join(MODELS)}, or a model's class, got {self.model!r}"
            )
        sizes = self.hidden_sizes
        sizes = (sizes,) if isinstance(sizes, (int, np.integer)) else tuple(sizes)
        takes = inspect.signature(kind).parameters
        if "n_hidden" in takes and len(sizes) != 1:
            raise ValueError(
                f"hidden_sizes must be one number for {kind.name}, got {self.hidden_sizes!r}"
            )
        common = {
            "n_hidden": sizes[0] if sizes else None, "hidden_sizes": sizes,
            "hidden": self.activation, "dropout": self.dropout, "conditional": self.conditional,
        }  # fmt: skip
        if self.conditional is not None and "conditional" not in takes:
            raise ValueError(f"conditional must be None for {kind.name}, whose kind is fixed")
        given = {name: v for name, v in common.items() if name in takes and v is not None}
        return kind, given | dict(self.model_params or {})

    def _order(
        self, x: Array, weight: Array | None, conditional: Conditional, rng: np.random.Generator
    ) -> Any:
        """The order as models take it, made from its name."""
        if not isinstance(self.order, str):
            return self.order
        D = x.shape[1]
        return orders.make(
            self.order, D, image_shape=self.image_shape, x=x, weight=weight,
            discrete=~are_real(conditional, D), rng=rng,
        )  # fmt: skip

    def _rows(self, X: Array, conditional: Conditional) -> Array:
        """The rows as the model takes them."""
        if self.binarize is None or not isinstance(conditional, Bernoulli):
            return X
        threshold = check_number(self.binarize, "binarize", low=-np.inf)
        bits: Array = threshold < X
        return bits

    def _train(self, x: Array, weight: Array | None, rng: np.random.Generator) -> Any:
        """Train on all rows, or on all but those that are set aside to stop by."""
        settings: dict[str, Any] = {
            "optimizer": self._optimizer(), "batch_size": self.batch_size, "l2": self.l2,
            "max_epochs": self.max_epochs, "patience": self.patience,
        }  # fmt: skip
        rows, held = np.arange(len(x)), None
        if self.validation_fraction is not None:
            fraction = check_number(
                self.validation_fraction, "validation_fraction", high=1, open_low=True
            )
            n = max(1, round(fraction * len(x)))
            if len(x) - n < 1:
                raise ValueError(
                    f"no row is left to train on: n_samples = {len(x)}, of which {n} "
                    "is set aside for validation; pass validation_fraction=None"
                )
            rows = rng.permutation(len(x))
            rows, held = rows[n:], rows[:n]
        if weight is not None:
            settings["weight"] = weight[rows]
            settings["valid_weight"] = None if held is None else weight[held]
        x_valid = None if held is None else x[held]
        settings |= dict(self.fit_params or {})
        return train_model(self.model_, x[rows], x_valid, rng=rng, **settings)

    def _optimizer(self) -> str | Optimizer | LBFGS:
        if self.learning_rate is None:
            return self.optimizer
        kind: Any = OPTIMIZERS.get(self.optimizer) if isinstance(self.optimizer, str) else None
        if kind is None or "learning_rate" not in inspect.signature(kind).parameters:
            raise ValueError(
                "learning_rate goes with an optimizer's name that has one, 'adam', 'sgd' or "
                f"'adagrad', got the optimizer {self.optimizer!r}"
            )
        made: Optimizer = kind(learning_rate=self.learning_rate)
        return made

    def _fitted_rows(self, X: npt.ArrayLike) -> Array:
        check_is_fitted(self)
        return self._rows(validate_data(self, X, reset=False), self.model_.conditional)

    def score_samples(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """log p(x) of each row, (N,), in nats; of real variables a log-density."""
        x = self._fitted_rows(X)
        return self.model_.log_prob(x)

    def score(self, X: npt.ArrayLike, y: Any = None) -> float:
        """Mean of log p(x) over the rows, in nats."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Array:
        """Draw rows, exactly: (n_samples, D)."""
        check_is_fitted(self)
        return self.model_.sample(n_samples, rng=make_rng(random_state))


class AutoregressiveFeatures(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    AutoregressiveDensity,
):
    """The density's hidden units as features: a transformer, for models that have them.

    It is `AutoregressiveDensity` with a ``transform``: parameters, attributes and other methods are
    the same. ``BernoulliRBM`` is what scikit-learn itself has of this kind.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> classifier = make_pipeline(AutoregressiveFeatures(binarize=8), LogisticRegression())
    """

    def fit(self, X: npt.ArrayLike, y: Any = None, sample_weight: Any = None) -> Self:
        """Train the model on the rows of X; as in `AutoregressiveDensity`."""
        super().fit(X, y, sample_weight)
        nothing = np.zeros((0, self.n_features_in_))
        self._n_features_out = self.model_.features(nothing).shape[1]
        return self

    def transform(self, X: npt.ArrayLike) -> Array:
        """The hidden units of each row, (N, H), as ``model.features`` gives them."""
        x = self._fitted_rows(X)
        return self.model_.features(x)
