"""The questions: how probable is what was observed, and what may stand where nothing was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_size
from pyarsimple.autoregressive import Array, row_blocks
from pyarsimple.conditionals import log_sum_exp, softmax
from pyarsimple.conditionals.standardized import are_real
from pyarsimple.missing import methods as by
from pyarsimple.missing import planning, results
from pyarsimple.missing.planning import Task, check_method, make_task, plan
from pyarsimple.missing.results import (
    EXACT,
    METHODS,
    Imputation,
    Marginal,
    Mask,
    _least_exact,
    warn_if_small,
)

N_PARTICLES = 1000
N_SWEEPS = 100


def marginal(
    model: Any,
    x: npt.ArrayLike,
    observed: npt.ArrayLike,
    *,
    method: str = "auto",
    n_particles: int = N_PARTICLES,
    context: npt.ArrayLike | None = None,
    rng: Any = None,
) -> Marginal:
    """log p(x_observed) of each row; see ``AutoregressiveModel.marginal``."""
    check_method(method, METHODS[:3])
    n_particles = check_size(n_particles, "n_particles", minimum=2)
    task = make_task(model, x, observed, context)
    rng = np.random.default_rng(rng)
    methods = np.empty(task.n, "<U11")
    log_prob, error, size = np.empty(task.n), np.zeros(task.n), np.full(task.n, np.inf)
    for name, view, rows in plan(model, task.observed, method):
        some = replace(task[rows], model=view)
        methods[rows] = name
        if name == "enumeration":
            inner = (some.needed() & ~some.observed)[0]
            for block in row_blocks(some.n, 8 * planning.MAX_VALUES):
                _, log_p = by.enumerate_log_p(some[block], inner)
                log_prob[rows[block]] = log_sum_exp(log_p)
        elif name == "closed-form":
            log_prob[rows], _ = view._closed_form(some.known, some.observed, None)
        elif name == "importance":
            for block in row_blocks(some.n, n_particles * view._bytes_per_row()):
                _, log_w = by.draw_particles(some[block], n_particles, rng)
                here = rows[block]
                log_prob[here] = log_sum_exp(log_w) - np.log(n_particles)
                size[here] = by.effective_size(log_w)
                # The relative variance of the mean weight, S/(S-1) for that of a sample.
                spread = (n_particles / size[here] - 1) / (n_particles - 1)
                error[here] = np.sqrt(np.maximum(spread, 0))
        else:
            log_prob[rows] = some.log_joint(some.known, np.arange(some.n), some.observed)
    result = Marginal(log_prob, error, methods, size)
    warn_if_small(result, f"of {n_particles} particles", "estimates are too low, and uncertain")
    return result


def impute(
    model: Any,
    x: npt.ArrayLike,
    observed: npt.ArrayLike,
    *,
    n_samples: int = 1,
    method: str = "auto",
    n_particles: int | None = None,
    n_sweeps: int = N_SWEEPS,
    context: npt.ArrayLike | None = None,
    rng: Any = None,
) -> Imputation:
    """Complete rows; see ``AutoregressiveModel.impute``."""
    check_method(method, METHODS)
    n_samples = check_size(n_samples, "n_samples")
    n_sweeps = check_size(n_sweeps, "n_sweeps")
    if n_particles is None:
        n_particles = max(N_PARTICLES, 10 * n_samples)
    n_particles = check_size(n_particles, "n_particles")
    task = make_task(model, x, observed, context)
    rng = np.random.default_rng(rng)
    samples = np.empty((task.n, n_samples, model.n_dims), model.conditional.dtype)
    methods = np.empty(task.n, "<U11")
    size = np.full(task.n, float(n_samples))
    for name, view, rows in plan(model, task.observed, method):
        some = replace(task[rows], model=view)
        done = complete(some, name, n_samples, n_particles, n_sweeps, method == "auto", rng)
        samples[rows], methods[rows], size[rows] = done
    given = np.asarray(x)  # what is known comes back as it was, not rounded to the model's dtype
    samples = samples.transpose(1, 0, 2)
    samples[:, task.observed] = given[task.observed]
    result = Imputation(samples, methods, size)
    warn_if_small(
        result, f"of {n_particles} particles or {n_sweeps} sweeps",
        "completions are not what the model says",
    )  # fmt: skip
    return result


def complete(
    task: Task,
    name: str,
    n_samples: int,
    n_particles: int,
    n_sweeps: int,
    may_change: bool,
    rng: np.random.Generator,
) -> tuple[Array, Array, Array]:
    """Samples (N, n_samples, D), methods (N,) and effective sample sizes (N,) of a part's rows."""
    D, wanted = task.model.n_dims, task.needed()
    x = np.repeat(task.known[:, np.newaxis], n_samples, axis=1)  # (N, n_samples, D)
    methods, size = np.full(task.n, name, "<U11"), np.full(task.n, float(n_samples))
    inner = wanted & ~task.observed
    if name == "closed-form":
        each = task[np.repeat(np.arange(task.n), n_samples)]
        assert task.model._closed_form is not None
        _, drawn = task.model._closed_form(each.known, each.observed, rng)
        return drawn.reshape(x.shape), methods, size
    if name == "enumeration":
        for block in row_blocks(task.n, 8 * planning.MAX_VALUES):
            grid, log_p = by.enumerate_log_p(task[block], inner[0])
            x[block] = np.where(inner[0], grid[by.resample(log_p, n_samples, rng)], x[block])
    elif name in ("importance", "gibbs"):
        for block in row_blocks(task.n, n_particles * task.model._bytes_per_row()):
            particles, log_w = by.draw_particles(task[block], n_particles, rng)
            chosen = by.resample(log_w, n_samples, rng)
            x[block] = np.take_along_axis(particles, chosen[:, :, np.newaxis], axis=1)
            size[block] = by.effective_size(log_w)
        discrete = ~(inner & are_real(task.model.conditional, D)).any(axis=1)
        if name == "gibbs" and not discrete.all():
            raise ValueError(
                "method='gibbs' needs missing variables of countable values: given all others, "
                "the distribution of a real one has no closed form; use method='importance'"
            )
        few = (size < results.SMALL) & discrete & may_change
        again = np.ones(task.n, bool) if name == "gibbs" else few
        rows = np.flatnonzero(again)
        if rows.size:
            chains = task[np.repeat(rows, n_samples)]
            start = x[rows].reshape(-1, D)
            ends, trace = by.gibbs(chains, np.repeat(inner[rows], n_samples, axis=0), start,
                                n_sweeps, rng)  # fmt: skip
            x[rows] = ends.reshape(-1, n_samples, D)
            size[rows] = by.effective_sweeps(trace.reshape(n_sweeps, -1, n_samples))
            methods[rows] = "gibbs"
    repeated = task[np.repeat(np.arange(task.n), n_samples)]
    known = np.repeat(wanted, n_samples, axis=0)
    drawn = by.draw_rest(repeated, x.reshape(-1, D), known, rng)
    return drawn.reshape(-1, n_samples, D), methods, size


def complete_given(
    model: Any,
    n: int,
    known: Array,
    observed: Mask,
    *,
    method: str,
    context: npt.ArrayLike | None,
    rng: Any,
) -> Array:
    """n completions, (n, D): of one known row (1, D) n of it, else one of each of n rows."""
    if len(known) == 1 and observed.ndim == 1 and n and _is_one(model, context):
        done = impute(model, known, observed, n_samples=n, method=method, context=context, rng=rng)
        drawn: Array = done.samples[:, 0]
        return drawn
    known = np.broadcast_to(known, (n, model.n_dims))
    done = impute(model, known, observed, method=method, context=context, rng=rng)
    one_each: Array = done.samples[0]
    return one_each


def _is_one(model: Any, context: npt.ArrayLike | None) -> bool:
    """Whether a context is the same for all rows."""
    y = np.asarray(0 if context is None else context)
    return y.ndim < (2 if isinstance(model.context, int) else 1) or len(y) == 1


# Mixtures over orders: each component takes the method that suits its own order.


def marginals_of(
    mixture: Any, x: npt.ArrayLike, observed: npt.ArrayLike, **settings: Any
) -> tuple[Marginal, Array]:
    """The marginal of a mixture, and the posterior probabilities of its components, (N, K)."""
    for model in mixture.models:
        if not hasattr(model, "marginal"):
            raise TypeError(
                f"observed needs components that have marginals, got {type(model).__name__}"
            )
    rng = np.random.default_rng(settings.pop("rng", None))
    parts = [model.marginal(x, observed, rng=rng, **settings) for model in mixture.models]
    joint = np.log(mixture.weights) + np.stack([part.log_prob for part in parts], axis=1)
    posterior = softmax(joint)
    error = np.stack([part.standard_error for part in parts], axis=1)
    size = np.stack([part.effective_sample_size for part in parts], axis=1)
    with np.errstate(divide="ignore"):
        size_of_all = 1 / (posterior**2 / size).sum(axis=1)
    result = Marginal(
        log_sum_exp(joint),
        np.sqrt(np.square(posterior * error).sum(axis=1)),
        _least_exact([part.methods for part in parts]),
        size_of_all,
    )
    return result, posterior


def impute_mixture(
    mixture: Any,
    x: npt.ArrayLike,
    observed: npt.ArrayLike,
    *,
    n_samples: int = 1,
    method: str = "auto",
    context: npt.ArrayLike | None = None,
    rng: Any = None,
    **settings: Any,
) -> Imputation:
    """Complete rows: a component by its probability given what was observed, and the rest by it."""
    n_samples = check_size(n_samples, "n_samples")
    rng = np.random.default_rng(rng)
    how = {"method": "auto" if method == "gibbs" else method, "context": context, "rng": rng}
    found, posterior = marginals_of(mixture, x, observed, **how)
    n = len(posterior)
    chosen = by.resample(np.log(posterior), n_samples, rng) if n else np.zeros((0, n_samples), int)
    rows, mask = np.asarray(x), np.broadcast_to(observed, np.shape(x))
    samples = np.empty((n_samples, n, mixture.n_dims), mixture.conditional.dtype)
    methods, size = found.methods.copy(), np.full(n, np.inf)
    for k, model in enumerate(mixture.models):
        mine = np.flatnonzero((chosen == k).any(axis=1))
        if not mine.size:
            continue
        done = model.impute(
            rows[mine], mask[mine], n_samples=n_samples, method=method, rng=rng,
            context=mixture._rows_of(context, n, mine), **settings,
        )  # fmt: skip
        is_mine = chosen[mine] == k  # (rows, n_samples)
        samples[:, mine] = np.where(is_mine.T[:, :, np.newaxis], done.samples, samples[:, mine])
        methods[mine] = _least_exact([methods[mine], done.methods])
        size[mine] = np.minimum(
            size[mine], np.where(done.exact, np.inf, done.effective_sample_size)
        )
    # Of components that are estimated, those that were not chosen are in the posterior too.
    size = np.where(
        np.isin(methods, EXACT), n_samples, np.minimum(size, found.effective_sample_size)
    )
    return Imputation(samples, methods, size)
