"""Missing values: how probable what was observed is, and completions of what was not.

    p(x_o) = sum over x_m of p(x_o, x_m)             o observed, m missing
    p(x_m | x_o) = p(x_o, x_m) / p(x_o)

A product of conditionals in one order makes both easy for some patterns and hard for others. Only
missing variables on which an observed one depends, directly or through others, are in the way: the
*inner* ones. The rest is summed out by leaving its conditionals away, and drawn along the order.

    method        what it does                                             it is
    product       nothing is inner: the product of the observed ones'      exact
                  conditionals, as where they come first in the order
    closed-form   a formula that the model has for any pattern: of a       exact
                  Gaussian, a table or a mixture; in a chain or a tree
                  messages from one variable to the next
    order         the same, in another order, of a model that was          exact, of p in that order
                  trained for it
    enumeration   goes through all values of the inner variables           exact
    importance    draws the missing variables along the order, S times,    unbiased for p(x_o);
                  each with the weight w = product of the conditionals     completions are right as
                  of the observed ones; p(x_o) is the mean weight          S grows
    gibbs         draws inner variables anew, one after the other, each    right as the number of
                  given all others                                         sweeps grows

How good the last two are depends on the model and the pattern, so they say it for each row: an
*effective sample size*. For weights it is (sum w)^2 / sum w^2, between 1 and S. For Gibbs it is the
number of sweeps over the autocorrelation time of log p along the chains.

Since log is concave, the importance estimate of log p(x_o) is too low on average, by about half
the square of its standard error, and by more where the effective sample size is small.

`planning` says which method each row takes, `methods` what each does, `answers` puts them to work,
and `results` is what comes back.

References: Kong (1992), "A note on importance sampling using standardized weights", for the
effective sample size; Geman and Geman (1984) for Gibbs sampling; Geyer (1992), "Practical Markov
chain Monte Carlo", section 3.3, for where to stop summing autocorrelations.
"""

from __future__ import annotations

from pyarsimple.missing.answers import (
    complete_given,
    impute,
    impute_mixture,
    marginal,
    marginals_of,
)
from pyarsimple.missing.planning import check_method
from pyarsimple.missing.results import (
    EXACT,
    METHODS,
    SMALL,
    Imputation,
    Marginal,
    listed_methods,
)

__all__ = [
    "EXACT",
    "METHODS",
    "SMALL",
    "Imputation",
    "Marginal",
    "check_method",
    "complete_given",
    "impute",
    "impute_mixture",
    "listed_methods",
    "marginal",
    "marginals_of",
]
