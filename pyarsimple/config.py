"""Says what runs here: versions, the backend, how the kernels were built, BLAS and threads."""

from __future__ import annotations

import os
from typing import Any

from pyarsimple import twins

OPTIONAL = ("cython", "scikit-learn", "matplotlib", "tqdm", "threadpoolctl", "joblib")


def version(package: str) -> str:
    """Return the version of an installed package, or that it is not installed."""
    from importlib import metadata  # slow to import, and seldom needed

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _kernels() -> dict[str, Any]:
    if twins.kernels is None:
        return {"built": "no; build them with: " + twins.BUILD_COMMAND}
    return {
        "built": "yes, but from other sources than those here; rebuild: " + twins.REBUILD_COMMAND
        if twins.kernels_are_stale()
        else "yes",
        "compiler": twins.kernels.COMPILER,
        "compiler flags": twins.kernels.CFLAGS,
        "SIMD level": twins.kernels.simd_level(),
        "SIMD levels here": ", ".join(twins.kernels.simd_levels()),
        "threads": twins.get_num_threads() if twins.kernels.has_threads() else "1 (built without)",
    }


def _thread_pools() -> list[str]:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return ['unknown; pip install "pyarsimple[demo]" for threadpoolctl']
    import numpy as np

    np.ones((2, 2)) @ np.ones((2, 2))  # the BLAS is loaded with NumPy, and is at work now
    return [
        f"{pool['internal_api']} {pool['version'] or ''}, {pool['num_threads']} threads".replace(
            " ,", ","
        )
        for pool in threadpool_info()
    ] or ["none found"]


def _config() -> dict[str, dict[str, Any]]:
    import platform

    variables = {k: v for k, v in sorted(os.environ.items()) if k.startswith("PYARSIMPLE_")}
    return {
        "versions": {
            "pyarsimple": version("pyarsimple"),
            "python": platform.python_version(),
            "platform": platform.platform(),
            **{package: version(package) for package in ("numpy", "scipy", *OPTIONAL)},
        },
        "backend": {"active": twins.active_backend()},
        "kernels": _kernels(),
        "BLAS and threads": {str(n): pool for n, pool in enumerate(_thread_pools())},
        "environment": variables or {"PYARSIMPLE_*": "none set"},
    }


def show_config(mode: str = "stdout") -> dict[str, dict[str, Any]] | None:
    """Print versions, backend, compiler flags and SIMD level of the kernels, BLAS and threads.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        Print, or return the same as dictionaries.
    """
    if mode not in {"stdout", "dicts"}:
        raise ValueError(f"mode must be 'stdout' or 'dicts', got {mode!r}")
    config = _config()
    if mode == "dicts":
        return config
    for title, entries in config.items():
        print(title)
        for key, value in entries.items():
            print(f"  {key}: {value}" if not key.isdigit() else f"  {value}")
    return None
