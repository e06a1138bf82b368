"""Autoregressive density models from scratch: exact probabilities, exact samples, fast kernels."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pyarsimple.config import show_config
from pyarsimple.evaluation import compare
from pyarsimple.models import FVSBN, MADE, NADE, OrderAgnosticMADE, OrderlessNADE, UntiedNADE
from pyarsimple.storage import load
from pyarsimple.training import fit
from pyarsimple.twins import backend, set_num_threads

if TYPE_CHECKING:
    from pyarsimple import (
        anomaly,
        autoencoder,
        baselines,
        checks,
        classification,
        conditionals,
        datasets,
        missing,
        optimizers,
        orders,
        plots,
        transforms,
    )

_SUBMODULES = (
    "anomaly", "autoencoder", "baselines", "checks", "classification", "conditionals",
    "datasets", "missing", "optimizers", "orders", "plots", "transforms",
    "estimators",  # not in __all__: it needs scikit-learn
)  # fmt: skip

__all__ = [
    "FVSBN",
    "MADE",
    "NADE",
    "OrderAgnosticMADE",
    "OrderlessNADE",
    "UntiedNADE",
    "anomaly",
    "autoencoder",
    "backend",
    "baselines",
    "checks",
    "classification",
    "compare",
    "conditionals",
    "datasets",
    "fit",
    "load",
    "missing",
    "optimizers",
    "orders",
    "plots",
    "set_num_threads",
    "show_config",
    "transforms",
]


def __getattr__(name: str) -> Any:
    """Import a submodule when it is first used (SPEC 1)."""
    if name in _SUBMODULES:
        return importlib.import_module(f"pyarsimple.{name}")
    if name == "__version__":
        from pyarsimple.config import version

        return version("pyarsimple")
    raise AttributeError(f"module 'pyarsimple' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
