"""How far a student has come: a small JSON file in the student's own folder, and nowhere else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

FILE_NAME = "exercises-progress.json"


class ProgressError(ValueError):
    """The file of the progress cannot be used."""


def _path(folder: str | os.PathLike[str]) -> Path:
    return Path(folder, FILE_NAME)


def read(folder: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """What is known of each exercise: state, score, hints used, whether the solution was seen."""
    try:
        progress = json.loads(_path(folder).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (UnicodeDecodeError, json.JSONDecodeError):
        progress = None
    if not isinstance(progress, dict) or not all(isinstance(v, dict) for v in progress.values()):
        raise ProgressError(f"{_path(folder)} is damaged: delete it, and grade your files again")
    return progress


def record(folder: str | os.PathLike[str], name: str, **what: Any) -> None:
    """Add to what is known of an exercise; the file is replaced as a whole or not at all."""
    progress = read(folder)
    progress[name] = progress.get(name, {}) | what
    path = _path(folder)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(progress, indent=2) + "\n", encoding="utf-8")
    os.replace(new, path)
