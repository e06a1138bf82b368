"""What a check returns: a report, to be printed, drawn or stored, and true if all is well."""

from __future__ import annotations

import math
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pyarsimple.reports import WIDTH, fit_name, table, to_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Verdicts of one line of a report; `WRONG` is the only one that makes the report false.
OK, WRONG, KINK, SKIPPED = "ok", "WRONG", "kink", "skipped"


@dataclass(frozen=True)
class Cause:
    """A likely cause of a failure, and where to look.

    Attributes
    ----------
    kind : str
        A short name that programs can compare, such as ``"sign"``; each check lists its own.
    text : str
        One or two sentences for a person.
    array : str
        The parameter (or the function) that shows it, if there is one.
    index : tuple of int, optional
        The entry that shows it best.
    equation : str
        The line of the derivation to compare the code with.
    """

    kind: str
    text: str
    array: str = ""
    index: tuple[int, ...] | None = None
    equation: str = ""

    def __str__(self) -> str:
        lines = textwrap.wrap(f"likely cause: {self.text}", WIDTH, subsequent_indent="  ")
        where = show_entry(self.array, self.index)
        if where:
            lines += textwrap.wrap(f"  look at: {where}", WIDTH, subsequent_indent="    ")
        if self.equation:
            lines += textwrap.wrap(
                f"  equation: {self.equation}", WIDTH, subsequent_indent="    ",
                break_long_words=False,
            )  # fmt: skip
        return "\n".join(lines)


def show_entry(array: str, index: tuple[int, ...] | None) -> str:
    """An entry as code writes it: W[2, 3]."""
    return array if index is None else f"{array}[{', '.join(map(str, index))}]"


@dataclass
class Report(ABC):
    """The outcome of a check: true if nothing was found wrong.

    Attributes
    ----------
    causes : list of Cause
        What is wrong, the likeliest first; empty if the check passed.
    warnings : list of str
        Where the check could not see: it passes there without having tested anything.
    """

    causes: list[Cause] = field(default_factory=list, kw_only=True)
    warnings: list[str] = field(default_factory=list, kw_only=True)

    #: The name of the check, for the headline.
    check: ClassVar[str]

    @property
    @abstractmethod
    def passed(self) -> bool:
        """Whether nothing was found wrong."""

    @abstractmethod
    def summary(self) -> str:
        """What was found, in one line."""

    @abstractmethod
    def table(self) -> str:
        """What was measured, in lines of 80 columns at most."""

    @abstractmethod
    def plot(self) -> Figure:
        """Draw what was measured; matplotlib is imported only here."""

    @abstractmethod
    def _details(self) -> dict[str, Any]:
        """What `to_dict` adds to verdict, causes and warnings."""

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        blocks = [f"{self.check}: {'passed' if self.passed else 'FAILED'}, {self.summary()}"]
        blocks = ["\n".join(textwrap.wrap(blocks[0], WIDTH, subsequent_indent="  "))]
        if lines := self.table():
            blocks.append(lines)
        blocks += [str(cause) for cause in self.causes]
        blocks += [
            textwrap.fill(f"warning: {text}", WIDTH, subsequent_indent="  ")
            for text in self.warnings
        ]
        return "\n".join(blocks)

    def __repr__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        return f"<{type(self).__name__}: {verdict}, {self.summary()}>"

    @property
    def kinds(self) -> list[str]:
        """The kinds of all causes, the likeliest first: for programs."""
        return [cause.kind for cause in self.causes]

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain dictionaries, lists, strings and numbers."""
        head = {
            "check": self.check,
            "passed": self.passed,
            "summary": self.summary(),
            "causes": [plain(vars(cause)) for cause in self.causes],
            "warnings": list(self.warnings),
        }
        details: dict[str, Any] = plain(self._details())
        return head | details

    def to_json(self) -> str:
        """Return `to_dict` as JSON; what is infinite or NaN becomes null."""
        return to_json(self.to_dict())


@dataclass
class Item:
    """One line of a report: something measured, what it should have been, and the verdict."""

    name: str
    value: float | str | None
    wanted: float | str | None
    error: float | None
    verdict: str

    def row(self) -> list[Any]:
        """The cells of the line."""
        return [
            self.name,
            number(self.value),
            number(self.wanted),
            number(self.error),
            self.verdict,
        ]


ITEM_COLUMNS = [(title, "") for title in ("what", "value", "wanted", "error", "verdict")]


@dataclass(repr=False)
class ItemReport(Report):
    """A report that is a list of items."""

    items: list[Item]

    @property
    def passed(self) -> bool:
        """Whether no item is wrong."""
        return all(item.verdict != WRONG for item in self.items)

    def summary(self) -> str:
        """How many items were tested, and which are wrong."""
        tested = [item for item in self.items if item.verdict != SKIPPED]
        wrong = [item.name for item in tested if item.verdict == WRONG]
        return f"{len(tested)} things tested" + (f", wrong: {'; '.join(wrong)}" if wrong else "")

    def table(self) -> str:
        """One line for each item; text that is too long for it follows in a line of its own."""
        rows, notes = [item.row() for item in self.items], []
        for row in sorted(rows, key=lambda row: -len(row[1])):
            if _width(rows) <= WIDTH:
                break
            if len(row[1]) > len("wanted"):
                notes.append((row, f"{row[0]}: {row[1]}"))
                row[1] = "-"
        room = WIDTH - _width([["", *row[1:]] for row in rows])
        for row in rows:
            row[0] = fit_name(row[0], room + len("what"))
        said = [text for row in rows for moved, text in notes if moved is row]
        folded = [textwrap.fill(text, WIDTH, subsequent_indent="  ") for text in said]
        return "\n".join([table(ITEM_COLUMNS, rows), *folded])

    def plot(self) -> Figure:
        """One bar for each item: its error."""
        from pyarsimple.checks import pictures

        return pictures.items(self)

    def _details(self) -> dict[str, Any]:
        return {"items": [vars(item) for item in self.items]}


def _width(rows: list[list[Any]]) -> int:
    """How wide the table of these rows is."""
    return max(len(line) for line in table(ITEM_COLUMNS, rows).splitlines())


def number(value: float | str | None) -> str:
    """A number in few characters; text stays as it is."""
    if value is None or isinstance(value, str):
        return value or "-"
    if math.isnan(value):
        return "nan"
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.4f}" if 1e-2 <= abs(value) < 1e4 else f"{value:.1e}"


def plain(value: Any) -> Any:
    """Arrays and NumPy scalars as what JSON knows."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    return value.item() if isinstance(value, np.generic) else value


def some(names: Sequence[Any], most: int = 4) -> str:
    """A few of the names, and how many there are beyond."""
    shown = ", ".join(str(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
