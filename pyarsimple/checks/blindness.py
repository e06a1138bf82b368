"""Where a gradient check cannot see: it would pass there whatever the code does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyarsimple.checks.report import OK, number, some

if TYPE_CHECKING:
    from pyarsimple.checks.causes import Evidence, Hints
    from pyarsimple.checks.gradients import ArrayResult

Array = npt.NDArray[Any]


def of_inputs(params: Mapping[str, Array], hints: Hints) -> list[str]:
    """Parameters, data and upstream gradients that hide mistakes."""
    found = []
    zero = [k for k, p in params.items() if p.size and not p.any()]
    if zero:
        found.append(
            f"all entries of {some(zero)} are zero: what they multiply is not tested, and "
            "rectifiers may sit at their kink; check at generic_params(params)"
        )
    same = [k for k, p in params.items() if p.size > 1 and p.any() and np.ptp(p) == 0]
    if same:
        found.append(f"all entries of {some(same)} are the same: indices mixed up would not show")
    return found + _of_data(hints.x) + _of_upstream(hints.upstream) + _of_rows(hints)


def _of_rows(hints: Hints) -> list[str]:
    if hints.rows == 1:
        return ["there is one row only: a factor N, or rows mixed up, would not show"]
    return []


def _of_data(x: Array | None) -> list[str]:
    if x is None or x.ndim != 2 or not len(x):
        return []
    found = []
    never = np.flatnonzero(~x.any(axis=0)).tolist()
    if never:
        found.append(
            f"x is 0 in every row of column {some(never)}: weights from there have gradient 0, "
            "right or wrong; use data in which each column takes several values"
        )
    constant = [j for j in np.flatnonzero(np.ptp(x, axis=0) == 0).tolist() if j not in never]
    if constant and len(x) > 1:
        found.append(f"x is the same in every row of column {some(constant)}")
    return found


def _of_upstream(upstream: Array | None) -> list[str]:
    if upstream is None or upstream.size < 2:
        return []
    if np.ptp(upstream) == 0:
        return [
            "the upstream gradient is the same everywhere (a loss that is a plain sum?): rows or "
            "columns mixed up, or an upstream that is ignored, would not show; use random numbers"
        ]
    if len(upstream) > 1 and np.ptp(upstream, axis=0).max() == 0:
        return ["the upstream gradient is the same for each row: rows mixed up would not show"]
    return []


def of_results(
    arrays: Mapping[str, ArrayResult], evidence: Mapping[str, Evidence], hints: Hints,
    tolerance: float,
) -> list[str]:  # fmt: skip
    """Entries, rows and columns that passed without having been tested."""
    found, dark = [], []
    alike = [k for k, a in arrays.items() if a.verdict == OK and _uniform(evidence[k].A)]
    if alike and hints.upstream is None:
        found.append(
            f"the gradient of {some(alike)} is the same for every output (in every entry, row or "
            "column): a loss that is a plain sum of the outputs hands down the same to each of "
            "them, so that mixed-up rows or columns, or an upstream that is ignored, would not "
            "show; weight the outputs with random numbers, as check_backward does"
        )
    for name, array in arrays.items():
        A = evidence[name].A
        if array.verdict != OK or not A.size:
            continue
        if not A.any():
            found.append(
                f"{name}: zero against zero in every entry that was tested: nothing is known"
            )
            continue
        if array.resolution > 10 * tolerance:
            found.append(
                f"{name}: rounding of the loss hides errors below {number(array.resolution)} of "
                "its gradient; subtract what is constant from the loss, or use the complex step"
            )
        dark += _dark_lines(name, evidence[name], hints)
    if dark:
        found.append(
            f"a gradient of 0, or too small to be tested, in {'; '.join(dark)}: is there a "
            "column of x that is never active, a dead or saturated unit, a weight never used? "
            "What is never used may be declared: masks= (or the model's masks()), True where a "
            "parameter is free"
        )
    return found


def _uniform(A: Array) -> bool:
    """Whether the entries of a vector, or the rows or columns of a matrix, are all the same."""
    if A.ndim > 2 or not A.any():
        return False
    near = 1e-12 * np.abs(A).max()
    axes = [axis for axis, size in enumerate(A.shape) if size > 1]
    return any(np.ptp(A, axis=axis).max() <= near for axis in axes)


def _dark_lines(name: str, e: Evidence, hints: Hints) -> list[str]:
    """Rows and columns whose whole gradient is below what would count as an error."""
    free = hints.masks.get(name)
    found = []
    for axis in range(e.A.ndim):
        others = tuple(k for k in range(e.A.ndim) if k != axis)
        dark = np.sqrt(np.sum(e.A**2, axis=others)) <= e.allowed
        if free is not None and free.shape == e.A.shape:
            dark &= free.any(axis=others)
        which = np.flatnonzero(dark).tolist()
        if which:
            line = ("row", "column")[axis] if e.A.ndim == 2 else "entry"
            found.append(f"{name}, {line} {some(which)}")
    return found
