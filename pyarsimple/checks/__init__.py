"""Checks of density models, ours and anybody's: what is wrong, where, and probably why.

Every check takes a model or plain functions, and returns a `Report`: print it for a table, draw it
with ``plot()``, store it with ``to_json()``; it is true if all is well.
"""

from pyarsimple.checks.backward import check_backward
from pyarsimple.checks.causes import Suspect
from pyarsimple.checks.gradients import (
    ArrayResult,
    GradientReport,
    check_gradients,
    generic_params,
)
from pyarsimple.checks.mistakes import known_mistakes
from pyarsimple.checks.report import Cause, Item, Report

__all__ = [
    "ArrayResult",
    "Cause",
    "GradientReport",
    "Item",
    "Report",
    "Suspect",
    "check_backward",
    "check_gradients",
    "generic_params",
    "known_mistakes",
]
