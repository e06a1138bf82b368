"""Bits, classes and reals in one row: a conditional for each variable.

Nothing new is computed. Variables whose conditionals are alike (classes of any number among them)
are handed to one conditional together, with their columns of the outputs, so the cost is that of a
few calls, not of D.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyarsimple.conditionals.base import Array, Conditional, Scale, from_config, per_entry
from pyarsimple.conditionals.categorical import Categorical
from pyarsimple.orders import Columns


class Group(NamedTuple):
    """Variables that one conditional speaks for, and their columns."""

    conditional: Conditional
    variables: npt.NDArray[np.intp]
    features: npt.NDArray[np.intp]
    outputs: npt.NDArray[np.intp]

    def of(self, outputs: Array, x: Array) -> tuple[Array, Array]:
        """What belongs to these variables, in C order."""
        return outputs.take(self.outputs, axis=1), x.take(self.variables, axis=1)


class Mixed(Conditional):
    """A conditional for each variable.

    Parameters
    ----------
    conditionals : sequence of Conditional, of length D
        The entries are for one variable each; one object may stand in several places.
    """

    name = "mixed"
    dtype = np.dtype(np.float64)

    def __init__(self, conditionals: Iterable[Conditional]) -> None:
        self.conditionals = tuple(conditionals)
        if not self.conditionals:
            raise ValueError("conditionals must have one entry for each variable, got none")
        for i, c in enumerate(self.conditionals):
            if not isinstance(c, Conditional) or c.name in ("mixed", "standardized"):
                raise TypeError(
                    "conditionals must hold a conditional of one variable for each, such as "
                    f"Bernoulli(), got {c!r:.200} in place {i}; to standardise: "
                    "Standardized(Mixed([...]), transform)"
                )
            c.columns(1)  # refuses one of several variables
        self._columns = self._make_columns()
        self._groups = self._make_groups()

    def config(self) -> dict[str, Any]:
        """The name and the settings of each."""
        return {"name": self.name, "conditionals": [c.config() for c in self.conditionals]}

    @classmethod
    def _from_settings(cls, settings: dict[str, Any]) -> Mixed:
        return cls(**settings | {"conditionals": map(from_config, settings["conditionals"])})

    def __repr__(self) -> str:
        return f"Mixed({list(self.conditionals)!r})"

    def _make_columns(self) -> Columns:
        """Those of the entries, one behind the other."""
        each = [c.columns(1) for c in self.conditionals]
        features = np.cumsum([0] + [columns.n_inputs for columns in each])
        outputs = np.cumsum([0] + [columns.n_outputs for columns in each])
        return Columns(features.astype(np.intp), outputs.astype(np.intp))

    def _make_groups(self) -> list[Group]:
        """The variables that can be computed together."""
        alike: dict[Any, list[int]] = {}
        for i, c in enumerate(self.conditionals):
            alike.setdefault("classes" if isinstance(c, Categorical) else c, []).append(i)
        return [
            Group(
                _together([self.conditionals[i] for i in variables]),
                np.array(variables, np.intp),
                _columns_of(variables, self._columns.features),
                _columns_of(variables, self._columns.outputs),
            )
            for variables in alike.values()
        ]

    def values(self, n_dims: int) -> list[Array] | None:
        """Those of each variable, or None if any is real."""
        self.columns(n_dims)
        values = []
        for c in self.conditionals:
            one = c.values(1)
            if one is None:
                return None
            values += one
        return values

    def columns(self, n_dims: int) -> Columns:
        """Those that each variable's conditional wants."""
        if n_dims != len(self.conditionals):
            raise ValueError(
                f"conditionals must have one entry for each of the {n_dims} variables, got "
                f"{len(self.conditionals)}"
            )
        return self._columns

    def of(self, i: int) -> Conditional:
        """That of variable i."""
        return self.conditionals[i]

    def _wanted(self) -> str:
        return "mixed data, as each column's conditional wants them,"

    def _allowed(self, x: Array) -> npt.NDArray[np.bool_]:
        good = np.empty(x.shape, np.bool_)
        for g in self._groups:
            good[:, g.variables] = g.conditional._allowed(x[:, g.variables])
        return good

    def _remedy(self, i: int) -> str:
        c = self.conditionals[i]
        return f"this column takes {c._wanted()}: {c._remedy(0)}"

    def features(self, x: Array) -> Array:
        """What each conditional has a model read: (N, F), in the dtype of x."""
        result = np.empty((len(x), self._columns.n_inputs), x.dtype)
        for g in self._groups:
            result[:, g.features] = g.conditional.features(x[:, g.variables])
        return result

    def log_p(self, outputs: Array, x: Array) -> Array:
        """log p(x_i | x_<i), (N, D), in nats: log densities where a variable is real."""
        result = np.empty(x.shape, outputs.dtype)
        for g in self._groups:
            result[:, g.variables] = g.conditional.log_p(*g.of(outputs, x))
        return result

    def d_outputs(self, outputs: Array, x: Array, scale: Scale) -> Array:
        """The gradient of ``-(scale * log_p(outputs, x)).sum()``, (N, P)."""
        scale = per_entry(scale, x, outputs.dtype)
        result = np.empty_like(outputs)
        for g in self._groups:
            d = g.conditional.d_outputs(*g.of(outputs, x), scale[:, g.variables])
            result[:, g.outputs] = d
        return result

    def decode(self, outputs: Array) -> list[Any]:
        """A list: for each variable what its own conditional decodes to, of shapes (N, 1, ...)."""
        starts = self._columns.outputs
        return [
            c.decode(outputs[:, starts[i] : starts[i + 1]]) for i, c in enumerate(self.conditionals)
        ]

    def sample(self, outputs: Array, uniforms: Array) -> Array:
        """A value from each distribution: (N, D), float64, classes as whole numbers."""
        x = np.empty(uniforms.shape, self.dtype)
        for g in self._groups:
            x[:, g.variables] = g.conditional.sample(*g.of(outputs, uniforms))
        return x

    def independent_outputs(self, x: Array) -> npt.NDArray[np.float64]:
        """Those of each variable's conditional."""
        result = np.empty(self._columns.n_outputs)
        for g in self._groups:
            result[g.outputs] = g.conditional.independent_outputs(x[:, g.variables])
        return result


def _columns_of(variables: list[int], offsets: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The columns of these variables, one after the other."""
    return np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in variables])


def _together(conditionals: list[Conditional]) -> Conditional:
    """One conditional that does for several variables what these do for one each."""
    if not isinstance(conditionals[0], Categorical):
        return conditionals[0]  # they are equal
    return Categorical([int(c.sizes(1)[0]) for c in conditionals if isinstance(c, Categorical)])
