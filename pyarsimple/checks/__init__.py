"""Checks of density models, ours and anybody's: what is wrong, where, and probably why.

Every check takes a model or plain functions, and returns a `Report`: print it for a table, draw it
with ``plot()``, store it with ``to_json()``; it is true if all is well.
"""

from pyarsimple.checks.backward import BackwardReport, check_backward
from pyarsimple.checks.causality import AutoregressiveReport, Leak, check_autoregressive
from pyarsimple.checks.causes import Suspect, explain
from pyarsimple.checks.densities import (
    ConsistencyReport,
    NormalizedReport,
    check_consistent,
    check_normalized,
)
from pyarsimple.checks.gradients import (
    ArrayResult,
    GradientReport,
    check_gradients,
    generic_params,
)
from pyarsimple.checks.mistakes import known_mistakes
from pyarsimple.checks.models import at_context, parameters
from pyarsimple.checks.report import Cause, Item, Report
from pyarsimple.checks.sampler import Fit, SamplerReport, check_sampler
from pyarsimple.checks.suite import ModelReport, check_model

__all__ = [
    "ArrayResult",
    "AutoregressiveReport",
    "BackwardReport",
    "Cause",
    "ConsistencyReport",
    "Fit",
    "GradientReport",
    "Item",
    "Leak",
    "ModelReport",
    "NormalizedReport",
    "Report",
    "SamplerReport",
    "Suspect",
    "at_context",
    "check_autoregressive",
    "check_backward",
    "check_consistent",
    "check_gradients",
    "check_model",
    "check_normalized",
    "check_sampler",
    "explain",
    "generic_params",
    "known_mistakes",
    "parameters",
]
