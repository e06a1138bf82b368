"""The models, one file each, and the registry: what the command line, files and tests know."""

from __future__ import annotations

from pyarsimple.autoregressive import AutoregressiveModel
from pyarsimple.baselines import (
    BernoulliMixture,
    ChowLiuTree,
    IndependentBernoulli,
    JointTable,
    MarkovChain,
    MultivariateGaussian,
)
from pyarsimple.mixtures import OrderMixture
from pyarsimple.models.fvsbn import FVSBN
from pyarsimple.models.made import MADE
from pyarsimple.models.made_orders import OrderAgnosticMADE
from pyarsimple.models.nade import NADE
from pyarsimple.models.orderless_nade import OrderlessNADE
from pyarsimple.models.untied_nade import UntiedNADE

__all__ = [
    "FVSBN",
    "MADE",
    "MIXTURES",
    "MODELS",
    "NADE",
    "AutoregressiveModel",
    "OrderAgnosticMADE",
    "OrderlessNADE",
    "UntiedNADE",
]

#: Every model by its name: what the command line trains and what a file may hold.
MODELS: dict[str, type[AutoregressiveModel]] = {
    model.name: model
    for model in (
        IndependentBernoulli,
        FVSBN,
        UntiedNADE,
        NADE,
        MADE,
        OrderAgnosticMADE,
        OrderlessNADE,
        MarkovChain,
        ChowLiuTree,
        BernoulliMixture,
        JointTable,
        MultivariateGaussian,
    )
}

#: What is made of other models, by its name: a file may hold it too.
MIXTURES: dict[str, type[OrderMixture]] = {OrderMixture.name: OrderMixture}
