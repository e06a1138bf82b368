"""The files of an exercise: the one with a hole, and the one with our solution."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pyarsimple
from pyarsimple.exercises.grader import Exercise


def solution_of(exercise: Exercise) -> str:
    """The solution as a file that can be graded: the library's own code, word by word.

    Only the decorator that ties a function to its compiled twin is left out.
    """
    parts = [_header(exercise)]
    for item in exercise.solution:
        source = inspect.getsource(inspect.unwrap(item))
        parts.append(re.sub(r"^@twin\n", "", source).rstrip())
    return "\n\n\n".join(parts) + "\n"


def _header(exercise: Exercise) -> str:
    root = Path(pyarsimple.__file__).parent.parent
    files = dict.fromkeys(_file_of(item, root) for item in exercise.solution)
    lines = [
        f"# {exercise.name}: the library's own code, from",
        *(f"#   {file}" for file in files),
        "from __future__ import annotations\n",
        exercise.imports or "import numpy as np",
        f'\nEXERCISE = "{exercise.name}"',
    ]
    if exercise.bug:
        lines.append(f'BUG = "{exercise.bug}"')
    return "\n".join(lines)


def _file_of(item: Any, root: Path) -> str:
    path = Path(inspect.getsourcefile(inspect.unwrap(item)) or "")
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def name_in(source: str) -> str | None:
    """The name of the exercise that a file says it answers, read without running it."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        found = re.search(r'^EXERCISE *= *["\']([\w-]+)["\']', source, re.MULTILINE)
        return found[1] if found else None
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [t.id for t in node.targets if isinstance(t, ast.Name)]
            if names == ["EXERCISE"] and isinstance(node.value.value, str):
                return node.value.value
    return None
