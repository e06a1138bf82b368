"""Baselines: the models to beat, fitted to data in closed form (the mixture: by EM).

    model                 what a variable depends on         parameters of D bits
    IndependentBernoulli  nothing                            D
    MarkovChain           the k bits before it               2D - 1 for k = 1; near D 2^k
    ChowLiuTree           one other bit, the best choice     2D - 1
    BernoulliMixture      which of K kinds the row is of     K D + K - 1
    JointTable            everything before it               2^D - 1
    MultivariateGaussian  everything before it, linearly     D (D + 3) / 2   (of D real numbers)

They are products of conditionals like all models here, with the same two views, gradients, files
and samples. ``fit(x)`` sets the parameters and returns the model:

    tree = ChowLiuTree(x.shape[1]).fit(x)
"""

from __future__ import annotations

from pyarsimple.baselines.chow_liu import ChowLiuTree
from pyarsimple.baselines.gaussian import MultivariateGaussian
from pyarsimple.baselines.independent import IndependentBernoulli
from pyarsimple.baselines.joint import JointTable
from pyarsimple.baselines.markov import MarkovChain
from pyarsimple.baselines.mixture import BernoulliMixture

__all__ = [
    "BernoulliMixture",
    "ChowLiuTree",
    "IndependentBernoulli",
    "JointTable",
    "MarkovChain",
    "MultivariateGaussian",
]
