"""Classification by Bayes' rule: a density of x for each class, and which of them x is likely from.

    p(y | x) = p(x | y) p(y) / sum_k p(x | k) p(k)

Logistic regression models p(y | x) directly, and nothing else. Here p(x | y) and p(y) are modelled,
and the rest is arithmetic. What that buys: an x of which parts are missing can be classified, since
p(x_seen | y) is a sum over what was not seen; the classifier knows an x that is like no class; and
each class is learnt by itself. What it costs: all of x has to be modelled, to answer a question
about y. With independent bits this is naive Bayes; with a NADE or a MADE the bits need not be
independent.

References: Ng and Jordan (2001), "On discriminative vs. generative classifiers"; Stanford's CS236,
lecture 3.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pyarsimple import storage
from pyarsimple._validation import check_number, check_weight
from pyarsimple.autoregressive import Array
from pyarsimple.conditionals import Categorical, log_softmax, log_sum_exp
from pyarsimple.datasets import as_labels
from pyarsimple.density import Density
from pyarsimple.training import History, train_model

#: Makes a model of n_dims variables: a class of `pyarsimple.models`, or any function.
MakeModel = Callable[..., Density]

#: The arrays that are the classifier's own.
COUNTS = ("class_count", "class_log_prior")

UNFITTED = "this GenerativeClassifier is not fitted yet: call fit(X, y) first"


def _check_observed(observed: npt.ArrayLike, x: Array) -> npt.NDArray[np.bool_]:
    """The mask for each row, (N, D)."""
    mask = np.asarray(observed)
    if mask.dtype != np.bool_ or x.ndim != 2 or mask.shape not in {x.shape, x.shape[1:]}:
        raise ValueError(
            f"observed must be a boolean mask of the shape of X, {x.shape}, or of one row of it, "
            f"got dtype {mask.dtype} and shape {mask.shape}"
        )
    return np.broadcast_to(mask, x.shape)


def leaves(whole: Any, parts: Callable[[Any], list[Any]]) -> Iterator[Any]:
    """What a whole is made of in the end: the parts of its parts, or itself if it has none."""
    of_whole = parts(whole)
    if not of_whole:
        yield whole
    for part in of_whole:
        yield from leaves(part, parts)


def from_a_file(n_dims: int, **settings: Any) -> Density:
    """Stand for the make_model of a classifier that comes from a file."""
    raise TypeError(
        "this classifier was loaded, and a file does not hold make_model: to fit anew, make a new "
        "GenerativeClassifier"
    )


class GenerativeClassifier:
    """One density for each class, and Bayes' rule.

    It has what scikit-learn asks of a classifier, and works in its ``Pipeline``, ``GridSearchCV``
    and ``clone``; scikit-learn itself is not needed.

    Parameters
    ----------
    make_model : callable
        ``make_model(n_dims)`` makes the density of a class: a model's class, or a function. If it
        has an argument ``rng``, it gets one, so that ``rng`` below decides what is random. Of a
        mixture (`OrderMixture`) each component is fitted by itself.
    shared : bool
        One model p(x | y) for all classes, y being its context, in place of a model for each: the
        classes share their weights. Then ``make_model`` must take ``context=`` as well.
    fit_prior : bool
        Take p(y) from the classes' shares of the training rows; else all classes are equally
        likely.
    class_prior : array_like, shape (K,), optional
        p(y) itself, in the order of ``classes_``.
    binarize : float, optional
        Features above it become 1 and others 0; None if X is what the models take already.
    fit_params : dict, optional
        Arguments of `pyarsimple.fit`, such as ``{"max_epochs": 30}``; or, of models in closed form,
        of their ``fit``, such as ``{"pseudocount": 0.5}``.
    rng : None, int, SeedSequence, BitGenerator or Generator
        As in SPEC 7.

    Attributes
    ----------
    classes_ : ndarray, shape (K,)
        The labels, sorted.
    class_count_ : ndarray, shape (K,)
        Training rows of each class, or their weight.
    class_log_prior_ : ndarray, shape (K,)
        log p(y).
    models_ : list of models
        One for each class, or the shared one.
    histories_ : list of History or None
        How the training of each model went, a mixture's components one after the other; None for
        those in closed form.

    Examples
    --------
    >>> from pyarsimple.baselines import IndependentBernoulli
    >>> X, y = [[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], ["a", "a", "b", "b"]
    >>> naive_bayes = GenerativeClassifier(IndependentBernoulli).fit(X, y)
    >>> naive_bayes.predict([[0, 0, 0]], observed=[True, False, True])
    array(['a'], dtype='<U1')
    """

    def __init__(
        self,
        make_model: MakeModel,
        *,
        shared: bool = False,
        fit_prior: bool = True,
        class_prior: npt.ArrayLike | None = None,
        binarize: float | None = None,
        fit_params: Mapping[str, Any] | None = None,
        rng: Any = None,
    ) -> None:
        self.make_model = make_model
        self.shared = shared
        self.fit_prior = fit_prior
        self.class_prior = class_prior
        self.binarize = binarize
        self.fit_params = fit_params
        self.rng = rng

    # Training.

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        X_valid: npt.ArrayLike | None = None,
        y_valid: npt.ArrayLike | None = None,
    ) -> Self:
        """Fit the density of each class to its rows.

        Parameters
        ----------
        X : array_like, shape (N, D)
        y : array_like, shape (N,)
            A label for each row: whole numbers or text.
        sample_weight : array_like, shape (N,), optional
            How much each row counts, in p(x | y) and in p(y).
        X_valid, y_valid : array_like, optional
            For early stopping, as in `pyarsimple.fit`. Each class needs a row.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as above.
        """
        x, labels = self._rows(X, y)
        weight = None if sample_weight is None else check_weight(sample_weight, len(x))
        self.classes_, index = np.unique(labels, return_inverse=True)
        K = len(self.classes_)
        self.class_count_ = np.bincount(index, weights=weight, minlength=K).astype(np.float64)
        if (self.class_count_ == 0).any():
            empty = self.classes_[self.class_count_ == 0].tolist()[0]
            raise ValueError(f"class {empty!r} has only rows of weight 0: leave them out")
        self.class_log_prior_ = self._log_prior()
        self.n_features_in_ = x.shape[1]
        valid = self._valid_rows(X_valid, y_valid)
        rng = np.random.default_rng(self.rng)
        if self.shared:
            settings = {"context": Categorical(K)}
            fitted = [self._fit_one(x, index, weight, *valid, rng, settings)]
        else:
            x_valid, index_valid = valid
            fitted = []
            for k in range(K):
                rows = index == k
                of_class = None if x_valid is None else x_valid[index_valid == k]
                w = None if weight is None else weight[rows]
                fitted.append(self._fit_one(x[rows], None, w, of_class, None, rng, {}))
        self.models_ = [model for model, _ in fitted]
        self.histories_ = [history for _, histories in fitted for history in histories]
        return self

    def _fit_one(
        self,
        x: Array,
        labels: Array | None,
        weight: Array | None,
        x_valid: Array | None,
        valid_labels: Array | None,
        rng: np.random.Generator,
        settings: dict[str, Any],
    ) -> tuple[Density, list[History | None]]:
        """One model and how its training went; ``labels`` are its contexts if it is shared."""
        model = self._make(x.shape[1], rng, settings)
        histories = []
        for part in leaves(model, lambda density: density.parts()):
            history = train_model(
                part, x, x_valid, context=labels, weight=weight, valid_context=valid_labels,
                rng=rng, **(self.fit_params or {}),
            )  # fmt: skip
            if history is not None and history.stopped == "interrupted":
                raise KeyboardInterrupt  # of one model; without the others there is no classifier
            histories.append(history)
        return model, histories

    def _make(self, n_dims: int, rng: np.random.Generator, settings: dict[str, Any]) -> Density:
        make = self.make_model
        if not callable(make):
            raise TypeError(
                "make_model must be a model's class, such as pyarsimple.NADE, or a function of "
                f"n_dims that makes a model, got {make!r:.200}"
            )
        takes = inspect.signature(make).parameters
        anything = any(p.kind is p.VAR_KEYWORD for p in takes.values())
        if settings and not anything and "context" not in takes:
            raise TypeError(
                "make_model must take context= for shared=True, such as "
                "functools.partial(pyarsimple.NADE, n_hidden=100)"
            )
        if anything or "rng" in takes:
            settings = settings | {"rng": rng}
        model = make(n_dims, **settings)
        if not isinstance(model, Density) or model.n_dims != n_dims:
            raise TypeError(
                f"make_model({n_dims}) must make a pyarsimple model of {n_dims} variables, got "
                f"{model!r:.200}"
            )
        return model

    def _rows(self, X: npt.ArrayLike, y: npt.ArrayLike, suffix: str = "") -> tuple[Array, Array]:
        """X, binarized if that is asked for, and a label for each row."""
        x, labels = self._x(X, f"X{suffix}"), as_labels(y, f"y{suffix}")
        if len(labels) != len(x):
            raise ValueError(f"X{suffix} has {len(x)} rows, but y{suffix} has {len(labels)} labels")
        if not len(x):
            raise ValueError(f"X{suffix} has no rows to learn from")
        return x, labels

    def _x(self, X: npt.ArrayLike, name: str = "X", observed: npt.ArrayLike | None = None) -> Array:
        """X, binarized if that is asked for; what is not observed may be anything."""
        x = np.asarray(X)
        if x.ndim != 2 or x.dtype.kind not in "biuf":
            raise ValueError(
                f"{name} must be numbers of shape (N, D), got {x.dtype} and shape {x.shape}"
            )
        if self.binarize is None:
            return x
        seen = True if observed is None else _check_observed(observed, x)
        if np.isnan(x, where=seen, out=np.zeros(x.shape, np.bool_)).any():
            raise ValueError(
                f"{name} contains NaN, which is neither above the threshold nor below it; for "
                "features that are missing pass a mask, observed="
            )
        bits: Array = x > self.binarize
        return bits

    def _valid_rows(
        self, X_valid: npt.ArrayLike | None, y_valid: npt.ArrayLike | None
    ) -> tuple[Array | None, Array | None]:
        """Validation rows and the numbers of their classes."""
        if X_valid is None or y_valid is None:
            if X_valid is not y_valid:
                raise ValueError("X_valid and y_valid go together: give both or neither")
            return None, None
        x, labels = self._rows(X_valid, y_valid, "_valid")
        known = np.isin(labels, self.classes_)
        if not known.all():
            raise ValueError(
                f"y_valid has the class {labels[~known].tolist()[0]!r}, which y has not"
            )
        missing = np.setdiff1d(self.classes_, labels).tolist()
        if missing and not self.shared:
            raise ValueError(
                f"X_valid must have a row of each class, but has none of {missing[0]!r}: split "
                "the rows class by class, or leave X_valid out"
            )
        return x, np.searchsorted(self.classes_, labels)

    def _log_prior(self) -> Array:
        K = len(self.classes_)
        if self.class_prior is not None:
            prior = np.asarray(self.class_prior, np.float64)
            if prior.shape != (K,) or not (prior >= 0).all() or not np.isclose(prior.sum(), 1):
                raise ValueError(
                    f"class_prior must be {K} probabilities that sum to 1, one for each of the "
                    f"classes, got {self.class_prior!r:.200}"
                )
        elif self.fit_prior:
            prior = self.class_count_ / self.class_count_.sum()
        else:
            prior = np.full(K, 1 / K)
        with np.errstate(divide="ignore"):  # of a class that cannot be
            log_prior: Array = np.log(prior)
        return log_prior

    # Bayes' rule.

    def joint_log_prob(self, X: npt.ArrayLike, observed: npt.ArrayLike | None = None) -> Array:
        """log p(x, y) = log p(x | y) + log p(y) for each class, (N, K), in nats.

        Parameters
        ----------
        X : array_like, shape (N, D)
        observed : array_like of bool, shape (D,) or (N, D), optional
            Which features are there, for all rows or for each. The others are not looked at but
            summed out: exactly where a model can, as a baseline always, and any other where no
            observed feature depends on one that is not; else by an estimate, of fixed seed.
            `pyarsimple.missing` says more.
        """
        if not hasattr(self, "models_"):
            raise ValueError(UNFITTED)
        x = self._x(X, observed=observed)
        if x.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {x.shape[1]} features, but GenerativeClassifier is expecting "
                f"{self.n_features_in_} features as input"
            )
        given: dict[str, Any] = {}
        if observed is not None:  # one seed: estimates repeat, and err alike for all classes
            given = {"observed": _check_observed(observed, x), "rng": 0}
        joint = np.empty((len(x), len(self.classes_)))
        for k in range(len(self.classes_)):
            model, y = (self.models_[0], k) if self.shared else (self.models_[k], None)
            joint[:, k] = model.log_prob(x, y, **given)
        return joint + self.class_log_prior_

    def log_prob(self, X: npt.ArrayLike, observed: npt.ArrayLike | None = None) -> Array:
        """log p(x) = log sum_k p(x | k) p(k), (N,), in nats: low where x is like no class."""
        return log_sum_exp(self.joint_log_prob(X, observed))

    def predict_log_proba(self, X: npt.ArrayLike, observed: npt.ArrayLike | None = None) -> Array:
        """log p(y | x), (N, K); columns as in ``classes_``; arguments as in `joint_log_prob`."""
        return log_softmax(self.joint_log_prob(X, observed))

    def predict_proba(self, X: npt.ArrayLike, observed: npt.ArrayLike | None = None) -> Array:
        """p(y | x), (N, K); columns as in ``classes_``; arguments as in `joint_log_prob`."""
        p: Array = np.exp(self.predict_log_proba(X, observed))
        return p

    def predict(self, X: npt.ArrayLike, observed: npt.ArrayLike | None = None) -> Array:
        """The likeliest class of each row, (N,); arguments as in `joint_log_prob`."""
        best = self.joint_log_prob(X, observed).argmax(axis=1)
        labels: Array = self.classes_[best]
        return labels

    def score(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        observed: npt.ArrayLike | None = None,
    ) -> float:
        """The share of rows whose class is predicted: the accuracy."""
        _, labels = self._rows(X, y)
        weight = None if sample_weight is None else check_weight(sample_weight, len(labels))
        return float(np.average(self.predict(X, observed) == labels, weights=weight))

    # What scikit-learn asks for.

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change arguments of the constructor."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"GenerativeClassifier has no parameter {name!r}, only {[*known]}")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """What kind of estimator this is; only scikit-learn calls this."""
        from sklearn.utils import ClassifierTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
        )

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        given = self.get_params().items()
        shown = [f"{k}={v!r}" for k, v in given if v is not defaults[k].default]
        return f"{type(self).__name__}({', '.join(shown)})"

    # Files.

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was fitted to ``path``, an ``.npz`` that `load` reads; not ``make_model``."""
        if not hasattr(self, "models_"):
            raise ValueError(UNFITTED)
        described = [storage._describe(model) for model in self.models_]
        header = {
            "classes": self.classes_.tolist(),
            "shared": bool(self.shared),
            "binarize": None if self.binarize is None else float(self.binarize),
            "parts": [content for content, _ in described],
        }
        arrays = {name: getattr(self, f"{name}_") for name in COUNTS}
        for k, (_, of_part) in enumerate(described):
            arrays |= {f"parts/{k}/{name}": p for name, p in of_part.items()}
        storage.write_file(path, "classifier", header, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a classifier that `save` wrote. It predicts; to fit anew, make a new one.

        Raises
        ------
        ValueError
            If the file is not such a classifier, or not an intact one. Nothing in it is executed.
        OSError
            If it is missing or cannot be read.
        """
        content, arrays = storage.read_file(path, "classifier", _check_content)
        self = cls(from_a_file, shared=content["shared"], binarize=content["binarize"])
        self.classes_ = np.asarray(content["classes"])
        self.class_count_, self.class_log_prior_ = (arrays.pop(name) for name in COUNTS)
        of_parts = storage._by_part(arrays, len(content["parts"]))
        with storage._refusing(path):
            parts = zip(content["parts"], of_parts, strict=True)
            self.models_ = [storage._make(*part) for part in parts]
        self.histories_ = [None] * len(self.models_)
        self.n_features_in_ = self.models_[0].n_dims
        return self


def _check_content(content: dict[str, Any], declared: dict[str, storage.Declared]) -> None:
    """Hold a file's header against its arrays, before any of them is read."""
    if set(content) != {"classes", "shared", "binarize", "parts"}:
        raise ValueError(f"its header must be that of a classifier, got {[*content]}")
    classes, shared, parts = (content[name] for name in ("classes", "shared", "parts"))
    known = np.asarray(classes)
    if not isinstance(classes, list) or known.ndim != 1 or known.dtype.kind not in "biuU":
        raise ValueError("its classes must be a list of whole numbers or of text")
    K = len(known)
    if not K or not (known[1:] > known[:-1]).all():
        raise ValueError("its classes must be sorted, each of them once")
    if content["binarize"] is not None:
        check_number(content["binarize"], "binarize", low=-np.inf)
    n = 1 if shared else K
    if not isinstance(shared, bool) or not isinstance(parts, list) or len(parts) != n:
        raise ValueError(f"it must have a model for each of its {K} classes, or one if shared")
    for name in COUNTS:
        if name not in declared or declared[name].shape != (K,):
            raise ValueError(f"its array {name!r} must hold {K} numbers")
    of_parts = {name: d for name, d in declared.items() if name not in COUNTS}
    for part, arrays in zip(parts, storage._by_part(of_parts, n), strict=True):
        storage._check_model(part, arrays)
    configs = [leaf["config"] for p in parts for leaf in leaves(p, lambda q: q.get("parts", []))]
    for config in configs:
        if config["n_dims"] != configs[0]["n_dims"]:
            raise ValueError("its models must have the same number of variables")
        if config.get("context", 0) != (Categorical(K).config() if shared else 0):
            raise ValueError("its models must be densities of x given a class")
