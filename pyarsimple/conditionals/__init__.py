"""Conditionals: what turns a model's outputs into probabilities, and nothing else does.

A model speaks *outputs*, real numbers for each variable, and does not know what they mean. A
conditional knows: it makes log p(x_i | x_<i) of them, the gradient of that, and a sample. It says
as well what a model reads of a variable (its *features*), and what data it takes.

    conditional            x_i             outputs of variable i         p(x_i | x_<i)
    Bernoulli()            a bit           logit                         sigmoid(+-logit)
    Categorical(K)         0, ..., K-1     K logits                      softmax(logits) at x_i
    Gaussian()             a real number   mean, raw                     N(x_i; mean, scale(raw))
    GaussianMixture(K)     a real number   K logits, K means, K raws     sum_k w_k N(x_i; ...)
    Mixed([c_0, c_1, ...]) each its own    each its own                  each its own
    Standardized(c, t)     reals in any    those of c                    that of c, as a density of
                           units                                         x_i in its own units

One file has one of them. All follow the same three rules.

**Logs from end to end.** Neither p nor a density is ever formed and then clipped or taken the log
of: log p is computed from outputs by functions that are exact for outputs of any size
(`functions`). A bit whose p is 1e-300 costs 690.8 nats, not the 16.1 of a p clipped at 1e-7.

**What must be positive is made positive by a function that does not explode.** The width of a
Gaussian is ``min_scale + softplus(raw)``: exponential where raw is small, linear where it is large,
never below a floor that is an option and has a meaning (`gaussian`).

**The gradient is the exact one of log p**, and most of it is a difference of two things that should
agree: p and x for bits, p and the one-hot x for classes, a weight and its share for mixtures.

Each value is drawn by one uniform number: by the inverse of the distribution function (a bit from
above: 1 where the number is below p), and for a mixture by that of the component that it falls to.
"""

from pyarsimple.conditionals.base import Conditional, from_config
from pyarsimple.conditionals.bernoulli import Bernoulli, bernoulli_d_logits, bernoulli_log_p
from pyarsimple.conditionals.categorical import (
    Categorical,
    categorical_d_logits,
    categorical_log_p,
    one_hot,
)
from pyarsimple.conditionals.functions import (
    log_sigmoid,
    log_softmax,
    log_sum_exp,
    sigmoid,
    softmax,
    softplus,
)
from pyarsimple.conditionals.gaussian import Gaussian
from pyarsimple.conditionals.mixed import Mixed
from pyarsimple.conditionals.mixture import GaussianMixture, mixture_gradient, mixture_log_p
from pyarsimple.conditionals.standardized import Standardized
from pyarsimple.conditionals.words import parse

__all__ = [
    "Bernoulli",
    "Categorical",
    "Conditional",
    "Gaussian",
    "GaussianMixture",
    "Mixed",
    "Standardized",
    "bernoulli_d_logits",
    "bernoulli_log_p",
    "categorical_d_logits",
    "categorical_log_p",
    "from_config",
    "log_sigmoid",
    "log_softmax",
    "log_sum_exp",
    "mixture_gradient",
    "mixture_log_p",
    "one_hot",
    "parse",
    "sigmoid",
    "softmax",
    "softplus",
]
