"""The models, one file each, and the registry: what the command line, files and tests know."""

from __future__ import annotations

from pyarsimple.autoregressive import AutoregressiveModel
from pyarsimple.baselines import IndependentBernoulli
from pyarsimple.models.fvsbn import FVSBN
from pyarsimple.models.made import MADE
from pyarsimple.models.nade import NADE

__all__ = ["FVSBN", "MADE", "MODELS", "NADE", "AutoregressiveModel"]

#: Every model by its name: what the command line trains and what a file may hold.
MODELS: dict[str, type[AutoregressiveModel]] = {
    model.name: model for model in (IndependentBernoulli, FVSBN, NADE, MADE)
}
