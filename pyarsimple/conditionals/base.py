"""What every conditional can do, and how it is described, compared and read from a file."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_table
from pyarsimple.orders import Columns

Array = npt.NDArray[Any]
Scale = float | Array

#: Every conditional by its name in files.
NAMES: dict[str, type[Conditional]] = {}


class Conditional(ABC):
    """How the D variables of a model are distributed, each given those before it.

    One object speaks for all variables of a model. It holds settings, no parameters, and is not
    changed once it is made; two of the same settings are equal.

    Shapes: x (N, D); features (N, F) and outputs (N, P), variable after variable in the data's own
    order, F_i features and P_i outputs for variable i. `columns` says where each variable's are.
    """

    #: Its name in files and on the command line.
    name: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in vars(cls):
            NAMES[cls.name] = cls

    # What it says of data.

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Of samples, and the smallest that data need in a file."""

    @abstractmethod
    def values(self, n_dims: int) -> list[Array] | None:
        """The values that each variable can take, one array each; None if any is real."""

    @abstractmethod
    def columns(self, n_dims: int) -> Columns:
        """Which features and which outputs belong to which of n_dims variables."""

    @abstractmethod
    def of(self, i: int) -> Conditional:
        """The conditional of variable i alone, for data of one column."""

    def check(
        self,
        x: npt.ArrayLike,
        n_dims: int,
        name: str = "x",
        *,
        rows: Sequence[int] | Array | None = None,
    ) -> Array:
        """Return the data as an array (N, n_dims), or say what is wrong with them.

        The array is the caller's own where that is possible; it is never written to. Errors give
        row numbers as in ``rows``, if x is made of those rows of a larger array.

        Raises
        ------
        TypeError
            If x is not numeric or boolean.
        ValueError
            If x does not have two axes and ``n_dims`` columns, or has values that cannot be.
        """
        self.columns(n_dims)  # refuses another number of variables than it was made for
        wanted = f"{name} must be an array of {self._wanted()} of shape (N, {n_dims})"
        x = check_table(x, n_dims, wanted, self.dtype)
        good = self._allowed(x)
        if not good.all():
            row, column = np.argwhere(~good)[0]
            number = row if rows is None else rows[row]
            raise ValueError(
                f"{wanted}, got {x[row, column]} in row {number}, column {column}; "
                f"{self._remedy(column)}"
            )
        return x

    @abstractmethod
    def _wanted(self) -> str:
        """What data it takes, in words."""

    @abstractmethod
    def _allowed(self, x: Array) -> npt.NDArray[np.bool_]:
        """Which entries of x (N, D), numbers of any dtype, can be."""

    @abstractmethod
    def _remedy(self, i: int) -> str:
        """What to do about an entry of variable i that cannot be."""

    def dtype_of_data(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """In what a model of this dtype is to hold x: by default in its own."""
        return dtype

    def features(self, x: Array) -> Array:
        """What a model reads of the data: (N, F), in the dtype of x. By default x itself."""
        return x

    # What it makes of outputs.

    @abstractmethod
    def log_p(self, outputs: Array, x: Array) -> Array:
        """log p(x_i | x_<i), (N, D), in nats: of a probability, or for reals of a density."""

    @abstractmethod
    def d_outputs(self, outputs: Array, x: Array, scale: Scale) -> Array:
        """The gradient of ``-(scale * log_p(outputs, x)).sum()`` with respect to outputs, (N, P).

        Parameters
        ----------
        outputs : ndarray, shape (N, P)
        x : ndarray, shape (N, D)
            In the dtype of the outputs.
        scale : float or ndarray that broadcasts to (N, D)
            1 / N for a mean over rows; an array weighs rows or entries.
        """

    @abstractmethod
    def decode(self, outputs: Array) -> Any:
        """The parameters of the distributions, in a form that can be plotted."""

    @abstractmethod
    def sample(self, outputs: Array, uniforms: Array) -> Array:
        """A value from each distribution: (N, D), in `dtype`.

        Parameters
        ----------
        outputs : ndarray, shape (N, P)
        uniforms : ndarray, shape (N, D)
            Numbers in [0, 1), all the randomness there is: one makes one value. The arithmetic is
            in float64 whatever the dtype of the outputs.
        """

    @abstractmethod
    def independent_outputs(self, x: Array) -> npt.NDArray[np.float64]:
        """The outputs (P,) that fit x (N, D) best when no variable depends on another.

        A model starts from them by putting them into its biases. Classes and bits are counted from
        1, so that what was never seen is not held to be impossible.
        """

    # Settings.

    def config(self) -> dict[str, Any]:
        """The settings as JSON can hold them; `from_config` makes an equal conditional of them."""
        return {"name": self.name}

    @classmethod
    def _from_settings(cls, settings: dict[str, Any]) -> Conditional:
        """Make one of its `config` without the name."""
        return cls(**settings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Conditional) and self.config() == other.config()

    def __hash__(self) -> int:
        return hash(json.dumps(self.config()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def from_config(config: dict[str, Any]) -> Conditional:
    """Make a conditional from what its ``config()`` returned.

    Raises
    ------
    ValueError
        If config is not such a dictionary.
    """
    if not isinstance(config, dict) or config.get("name") not in [*NAMES]:
        raise ValueError(
            f"a conditional must be a dictionary whose name is one of {', '.join(NAMES)}, got "
            f"{config!r:.200}"
        )
    settings = {key: value for key, value in config.items() if key != "name"}
    try:
        return NAMES[config["name"]]._from_settings(settings)
    except (TypeError, KeyError) as error:
        raise ValueError(
            f"these are no settings of a conditional: {config!r:.200} ({error})"
        ) from None


def per_entry(scale: Scale, x: Array, dtype: np.dtype[Any]) -> Array:
    """``scale`` as a read-only view (N, D), however it was given."""
    return np.broadcast_to(np.asarray(scale, dtype), x.shape)


def rows_needed(x: Array) -> Array:
    """x in float64, if there is a row to learn from."""
    if not len(x):
        raise ValueError("x has no rows: a mean and a width cannot be learnt from none")
    return x.astype(np.float64)
