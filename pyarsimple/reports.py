"""What the command line writes: tables within 80 columns, and files that are whole or not there."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyarsimple import storage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 80


def fit_name(name: str, width: int) -> str:
    """A name in at most ``width`` columns: of a long one, such as a path, the end says most."""
    return name if len(name) <= width else "..." + name[3 - width :]


def table(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Any]]) -> str:
    """Text in columns: the first one to the left, numbers to the right.

    Parameters
    ----------
    columns : sequence of (title, format)
        Such as ``("nll", ".3f")``.
    rows : sequence of sequences
        One value a column; None and NaN are shown as "-".
    """
    cells = [[title for title, _ in columns]]
    for row in rows:
        cells.append([_cell(v, spec) for v, (_, spec) in zip(row, columns, strict=True)])
    widths = [max(len(line[k]) for line in cells) for k in range(len(columns))]
    lines = [
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in cells
    ]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([lines[0], rule, *lines[1:]])


def number(value: float, spec: str) -> str:
    """As ``spec`` says, but of what is huge the magnitude only."""
    return format(value, spec) if abs(value) < 1e9 else format(value, ".1e")


def _cell(value: Any, spec: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    return number(value, spec) if isinstance(value, float) else format(value, spec)


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def to_json(value: Any) -> str:
    """As JSON that every reader takes: what is infinite or NaN becomes null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all."""
    with storage.replacing(path) as file:
        file.write(text.encode())


def write_figure(path: str | os.PathLike[str], figure: Figure) -> None:
    """Write a picture to ``path`` as PNG, whole or not at all."""
    with storage.replacing(path) as file:
        figure.savefig(file, format="png")


def write_array(path: str | os.PathLike[str], array: npt.NDArray[Any]) -> None:
    """Write an array to ``path`` as NPY, whole or not at all."""
    with storage.replacing(path) as file:
        np.save(file, array)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Return the folder ``path``, made if it was not there."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(f"{os.fspath(path)!r} is a file; --out needs a folder") from None
    return folder
