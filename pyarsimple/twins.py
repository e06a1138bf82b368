"""Ties a NumPy function to its compiled twin, and decides which of the two runs.

The body of a function under ``@twin`` is plain NumPy, complete and correct by itself: it is the
definition. ``_kernels`` may hold a function of the same name with the same arguments and the same
results. Which side runs is one switch for the whole process:

    with pyarsimple.backend("numpy"):
        ...

Without the compiled module everything runs on the NumPy side.
"""

from __future__ import annotations

import functools
import importlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

import numpy as np

from pyarsimple._source_hash import source_hash

P = ParamSpec("P")
R = TypeVar("R")

BUILD_COMMAND = "python -m pip install ."
REBUILD_COMMAND = "python setup.py build_ext --inplace"

#: Every function that was declared to have a compiled twin, by name.
TWINS: dict[str, Callable[..., Any]] = {}


def _load_kernels() -> tuple[ModuleType | None, str]:
    """The compiled module and, if it is missing, why."""
    try:
        return importlib.import_module("pyarsimple._kernels"), ""
    except ImportError as error:
        return None, str(error)


kernels, _why_missing = _load_kernels()


def _missing_message() -> str:
    return (
        f"the compiled kernels of pyarsimple are missing ({_why_missing}); "
        f"build them with a C compiler and: {BUILD_COMMAND}"
    )


def kernels_are_stale() -> bool:
    """Whether the kernels' sources lie beside the compiled module and have changed since."""
    if kernels is None:
        return False
    folder = Path(__file__).parent
    return (folder / "_kernels.pyx").exists() and source_hash(folder) != kernels.SOURCE_HASH


def _warn(message: str) -> None:
    """Warn of the package as a whole: the place is of no interest, and no line is to be shown."""
    warnings.warn_explicit(message, UserWarning, filename="pyarsimple", lineno=1)


def _check_kernels_at_import() -> None:
    """Say once, visibly, that the kernels are missing or were built from other sources."""
    if kernels is None:
        if os.environ.get("PYARSIMPLE_REQUIRE_EXTENSION", "0") not in {"", "0"}:
            raise ImportError(f"PYARSIMPLE_REQUIRE_EXTENSION is set, but {_missing_message()}")
        if os.environ.get("PYARSIMPLE_BACKEND") != "numpy":  # who chose NumPy needs no warning
            _warn(f"pyarsimple runs in NumPy, slower: {_missing_message()}")
    elif kernels_are_stale():
        _warn(
            "pyarsimple's compiled kernels are older than their sources (_kernels.pyx was edited "
            f"and not rebuilt); rebuild them: {REBUILD_COMMAND}"
        )


def _check_backend(name: str) -> str:
    if name not in {"numpy", "compiled"}:
        raise ValueError(f"backend must be 'numpy' or 'compiled', got {name!r}")
    if name == "compiled" and kernels is None:
        raise RuntimeError(f"backend 'compiled' was asked for, but {_missing_message()}")
    return name


_check_kernels_at_import()
_active = _check_backend(
    os.environ.get("PYARSIMPLE_BACKEND") or ("numpy" if kernels is None else "compiled")
)


def active_backend() -> str:
    """The side that runs now: ``"numpy"`` or ``"compiled"``."""
    return _active


class backend:
    """Choose the side that runs, for the whole process; in a ``with`` statement, for its body.

    Parameters
    ----------
    name : {"numpy", "compiled"}
        ``"numpy"`` runs the definitions, ``"compiled"`` the kernels. The environment variable
        ``PYARSIMPLE_BACKEND`` sets the side at import.

    Raises
    ------
    RuntimeError
        If the compiled side is asked for and was not built.
    """

    def __init__(self, name: str) -> None:
        global _active
        self._before = _active
        _active = _check_backend(name)

    def __enter__(self) -> backend:
        return self

    def __exit__(self, *exc_info: object) -> None:
        global _active
        _active = self._before


def _check_num_threads(n: object, name: str) -> int:
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {n!r}")
    return int(n)


def _usable_cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        return os.cpu_count() or 1


def _initial_num_threads() -> int:
    text = os.environ.get("PYARSIMPLE_NUM_THREADS") or str(_usable_cpus())
    return _check_num_threads(int(text) if text.isdecimal() else text, "PYARSIMPLE_NUM_THREADS")


_num_threads = _initial_num_threads()
if kernels is not None:
    kernels.set_num_threads(_num_threads)


def get_num_threads() -> int:
    """How many threads the kernels may use."""
    return _num_threads


class set_num_threads:
    """Let the kernels use ``n`` threads; in a ``with`` statement, for its body only.

    Results do not depend on ``n``, not in a single bit. The default is the number of CPUs that the
    process may use, or the environment variable ``PYARSIMPLE_NUM_THREADS``. The NumPy side's
    threads are those of its BLAS, which threadpoolctl limits.

    Parameters
    ----------
    n : int
        At least 1.
    """

    def __init__(self, n: int) -> None:
        self._before = _num_threads
        self._set(_check_num_threads(n, "n"))

    @staticmethod
    def _set(n: int) -> None:
        global _num_threads
        _num_threads = n
        if kernels is not None:
            kernels.set_num_threads(n)

    def __enter__(self) -> set_num_threads:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._set(self._before)


def _contiguous(argument: Any) -> Any:
    """Kernels take C-contiguous arrays; what already is one passes unchanged."""
    if isinstance(argument, np.ndarray):
        return np.ascontiguousarray(argument)
    if isinstance(argument, list):
        return [_contiguous(entry) for entry in argument]
    return argument


def twin(function: Callable[P, R]) -> Callable[P, R]:
    """Declare that ``function``, a definition in NumPy, has a compiled twin of the same name.

    Arrays share one dtype (float32 or float64) but for index arrays.
    An in-place function (its name ends in ``_``) gets its arrays as they are, contiguous or not.
    """
    name = function.__name__
    in_place = name.endswith("_")
    compiled: Callable[..., R] | None = getattr(kernels, name, None)

    @functools.wraps(function)
    def either(*args: P.args, **kwargs: P.kwargs) -> R:
        if compiled is None or _active == "numpy":
            return function(*args, **kwargs)
        if in_place and not all(a.flags.c_contiguous for a in args if isinstance(a, np.ndarray)):
            return function(*args, **kwargs)  # a contiguous copy would not be updated
        return compiled(*map(_contiguous, args), **{k: _contiguous(v) for k, v in kwargs.items()})

    TWINS[name] = either
    return either
