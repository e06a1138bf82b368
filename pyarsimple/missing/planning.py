"""What is asked, and which method answers it for each row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyarsimple import orders
from pyarsimple._validation import check_table
from pyarsimple.autoregressive import Array, AutoregressiveModel, row_blocks
from pyarsimple.missing.results import Mask

#: Enumeration goes through so many values at most: unless told, and when asked to be exact.
MAX_VALUES = 2**12
MAX_VALUES_EXACT = 2**20
#: So many bytes are worked on at a time: caches are not much larger.
BLOCK = 2**24


# What is asked.


@dataclass(frozen=True)
class Task:
    """Rows of which some variables are known, and a model in one order."""

    model: AutoregressiveModel
    known: Array  # (N, D), in the model's dtype, 0 where nothing was observed
    observed: Mask  # (N, D)
    context: Array | None  # (N, C), features

    def __getitem__(self, rows: Any) -> Task:
        y = self.context
        return Task(
            self.model, self.known[rows], self.observed[rows], None if y is None else y[rows]
        )

    @property
    def n(self) -> int:
        """How many rows."""
        return len(self.known)

    def needed(self) -> Mask:
        """The observed variables, and all on which one of them depends, in some steps: (N, D)."""
        return needed(self.model, self.observed)

    def blocks(self, repeat: int) -> Iterator[tuple[Array, Array]]:
        """Row and number of each of ``repeat`` copies of all rows, a block at a time."""
        for part in row_blocks(self.n * repeat, self.model._bytes_per_row(), BLOCK):
            yield np.divmod(np.arange(part.start, part.stop), repeat)

    def log_joint(self, x: Array, rows: Array, needed: Mask) -> npt.NDArray[np.float64]:
        """log p of the needed variables of x, whose context is that of ``rows`` of the task."""
        result = np.empty(len(x))
        for part in row_blocks(len(x), self.model._bytes_per_row()):
            y = None if self.context is None else self.context[rows[part]]
            block, features = self.model._features(x[part], y)
            log_p = self.model.conditional.log_p(self.model._forward(features)[0], block)
            log_p = np.where(needed[rows[part]], log_p, 0)
            result[part] = log_p.sum(axis=1, dtype=np.float64)
        return result


def needed(model: AutoregressiveModel, observed: Mask) -> Mask:
    """The observed variables (N, D), and those on which they depend, directly or through others."""
    result = observed.copy()
    dependencies = model.dependencies()
    for i in model.order[::-1]:
        result |= result[:, [i]] & dependencies[i]
    return result


def make_task(
    model: Any, x: npt.ArrayLike, observed: npt.ArrayLike, context: npt.ArrayLike | None
) -> Task:
    """Check what was given."""
    model._check_params()
    known, mask = check_observed(x, observed, model)
    y = model._rows_of_context(context, len(known))
    known = np.ascontiguousarray(known, dtype=model.conditional.dtype_of_data(model.dtype))
    return Task(model, known, mask, y)


def check_observed(
    x: npt.ArrayLike, observed: npt.ArrayLike, model: Any, name: str = "x"
) -> tuple[Array, Mask]:
    """Check rows and mask; the rows (N, D) with 0 where nothing was observed, and the mask (N, D).

    Raises
    ------
    TypeError, ValueError
        If the mask is none, or what it calls observed cannot be.
    """
    D, conditional = model.n_dims, model.conditional
    table = check_table(
        x, D, f"{name} must be an array of {conditional._wanted()} of shape (N, {D})",
        conditional.dtype,
    )  # fmt: skip
    mask = np.asarray(observed)
    if mask.dtype != np.bool_ or mask.shape not in {(D,), table.shape}:
        raise ValueError(
            f"observed must be a boolean mask of shape ({D},) or {table.shape}, true where {name} "
            f"is known, got dtype {mask.dtype} and shape {mask.shape}"
        )
    mask = np.broadcast_to(mask, table.shape)
    known = np.zeros(table.shape, table.dtype)
    known[mask] = table[mask]
    return conditional.check(known, D, name), mask


# Which method each row takes.


class Part(NamedTuple):
    """Rows that take the same method, under the same view of the model."""

    method: str
    model: Any
    rows: Array


def plan(model: Any, observed: Mask, method: str) -> list[Part]:
    """What to do with each row: patterns are looked at once."""
    if not len(observed):
        return []
    patterns, of = np.unique(observed, axis=0, return_inverse=True)
    of = of.reshape(-1)
    inner = needed(model, patterns) & ~patterns
    parts: dict[tuple[str, int], list[Any]] = {}
    for k, pattern in enumerate(patterns):
        name, view = method, model
        if not inner[k].any():
            name = "product"  # whatever was asked for: nothing else is needed
        elif method in ("auto", "exact"):
            name, view = choose(model, pattern, inner[k], method)
        alone = k if name in ("order", "enumeration") else -1  # these go pattern by pattern
        parts.setdefault((name, alone), [view]).append(np.flatnonzero(of == k))
    return [
        Part(name, view, np.sort(np.concatenate(rows)))
        for (name, _), (view, *rows) in parts.items()
    ]


def choose(model: Any, observed: Mask, inner: Mask, method: str) -> tuple[str, Any]:
    """An exact method for a pattern (D,) with inner variables, and the view of the model it uses.

    Else importance, if it need not be exact.
    """
    if model._closed_form is not None:
        return "closed-form", model
    view = in_trained_order(model, observed)
    if view is not None:
        return "order", view
    values = inner_values(model, inner)
    limit = MAX_VALUES_EXACT if method == "exact" else MAX_VALUES
    count = 0
    if values is not None:
        count = int(min(np.prod([len(v) for v in values], dtype=np.float64), 2.0**62))
        if count <= limit:
            return "enumeration", model
    if method == "exact":
        why = f"would go through {count:.3g} values" if values else "cannot go through real values"
        raise ValueError(
            "observed must be the first variables of the model's order (a prefix of model.order) "
            f"to be exact here, where enumeration {why} (limit {limit:.3g}); use "
            "method='importance', or train a model with "
            "order=pyarsimple.orders.observed_first(observed), or one for all orders"
        )
    return "importance", model


def in_trained_order(model: Any, observed: Mask) -> Any:
    """The model in an order that begins with the observed variables (D,).

    None if it was not trained for one. A model that was trained for all orders has ``with_order``;
    of one that was trained for a number of them, ``members`` are views.
    """
    if not hasattr(model, "with_order") or getattr(model, "redraw", None) == "degrees":
        return None
    if getattr(model, "n_masks", None) is None:
        # As much as can be of the model's own order stays: a mixture's components differ by it.
        return model.with_order(orders.observed_first(observed, model.order))
    n_known = int(observed.sum())
    views = (view for view in model.members() if observed[view.order[:n_known]].all())
    return next(views, None)


def inner_values(model: AutoregressiveModel, inner: Mask) -> list[Array] | None:
    """The values of each inner variable (D,); None if one of them is real."""
    values = []
    for i in np.flatnonzero(inner):
        of = model.conditional.of(int(i)).values(1)
        if of is None:
            return None
        values += of
    return values


def check_method(method: str, allowed: tuple[str, ...]) -> None:
    """Refuse the name of no method."""
    if method not in allowed:
        raise ValueError(f"method must be one of {', '.join(allowed)}, got {method!r}")
