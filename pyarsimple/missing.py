"""Missing values: how probable what was observed is, and completions of what was not.

    p(x_o) = sum over x_m of p(x_o, x_m)             o observed, m missing
    p(x_m | x_o) = p(x_o, x_m) / p(x_o)

A product of conditionals in one order makes both easy for some patterns and hard for others. Only
missing variables on which an observed one depends, directly or through others, are in the way: the
*inner* ones. The rest is summed out by leaving its conditionals away, and drawn along the order.

    method        what it does                                             it is
    product       nothing is inner: the product of the observed ones'      exact
                  conditionals, as where they come first in the order
    closed-form   a formula of the model for sums or integrals over any variables:   exact
                  a Gaussian's, a table's, a mixture's; in a chain or a tree
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

References: Kong (1992), "A note on importance sampling using standardized weights", for the
effective sample size; Geman and Geman (1984) for Gibbs sampling; Geyer (1992), "Practical Markov
chain Monte Carlo", section 3.3, for where to stop summing autocorrelations.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pyarsimple import orders
from pyarsimple._validation import check_size, check_table
from pyarsimple.autoregressive import Array, AutoregressiveModel, as_columns, row_blocks
from pyarsimple.conditionals.standardized import are_real

Mask = npt.NDArray[np.bool_]

METHODS = ("auto", "exact", "importance", "gibbs")
#: The methods of a row that are exact.
EXACT = ("product", "closed-form", "order", "enumeration")

#: Enumeration goes through so many values at most: unless told, and when asked to be exact.
MAX_VALUES = 2**12
MAX_VALUES_EXACT = 2**20
#: An effective sample size below this is said to be small.
SMALL = 10
N_PARTICLES = 1000
#: So many bytes are worked on at a time: caches are not much larger.
BLOCK = 2**24
N_SWEEPS = 100


def log_sum_exp(a: Array, axis: int) -> Array:
    """log(sum(exp(a))) along an axis, without overflow."""
    result: Array = np.logaddexp.reduce(a, axis=axis)
    return result


def listed_methods(methods: Array) -> str:
    """How many rows each method was used for, such as "2 rows by product, 1 row by order"."""
    counts = Counter(methods.tolist())
    return ", ".join(f"{n} row{'s' * (n != 1)} by {name}" for name, n in counts.items())


class _ByMethod:
    """What results have in common: a method for each row."""

    methods: Array

    @property
    def exact(self) -> Mask:
        """Whether each row's method is exact, (N,)."""
        return np.isin(self.methods, EXACT)

    @property
    def method(self) -> str:
        """What was done: "exact", "importance" or "gibbs"; "mixed" where rows differ."""
        found = {"exact" if name in EXACT else str(name) for name in self.methods}
        return found.pop() if len(found) == 1 else "mixed" if found else "exact"


@dataclass(frozen=True, repr=False)
class Imputation(_ByMethod):
    """Completed rows, and how they came about.

    Attributes
    ----------
    samples : ndarray, shape (n_samples, N, D)
        Completions of each row; what was observed is in all of them as it was given.
    methods : ndarray of str, shape (N,)
        Of each row: product, closed-form, order or enumeration, which are exact, or importance, or
        gibbs.
    effective_sample_size : ndarray, shape (N,)
        Exact: n_samples, for all draws are independent. Importance: how many of the particles
        count, between 1 and their number; where it is not well above n_samples, completions are
        copies of each other. Gibbs: how many independent draws one chain's sweeps are worth,
        between 1 and their number; a completion is the end of a chain, and all chains are
        independent but for their start.
    """

    samples: Array
    methods: Array
    effective_sample_size: npt.NDArray[np.float64]

    def __repr__(self) -> str:
        n_samples, n, D = self.samples.shape
        ess = ""
        if not self.exact.all():
            low = self.effective_sample_size[~self.exact]
            ess = f"; effective sample size {low.min():.1f} to {low.max():.1f}"
        return (
            f"<Imputation of {n} rows of {D}, {n_samples} sample{'s' * (n_samples != 1)} each: "
            f"{self.method} ({listed_methods(self.methods)}{ess})>"
        )


@dataclass(frozen=True, repr=False)
class Marginal(_ByMethod):
    """Marginal log-probabilities of what was observed, and how they came about.

    Attributes
    ----------
    log_prob : ndarray of float64, shape (N,)
        log p(x_observed) of each row, in nats.
    standard_error : ndarray, shape (N,)
        Of log_prob, in nats: 0 where it is exact. An estimate, itself too low where the effective
        sample size is small.
    methods : ndarray of str, shape (N,)
        Of each row: product, closed-form, order or enumeration, which are exact, or importance.
    effective_sample_size : ndarray, shape (N,)
        How many of the particles count; infinite where it is exact.
    """

    log_prob: npt.NDArray[np.float64]
    standard_error: npt.NDArray[np.float64]
    methods: Array
    effective_sample_size: npt.NDArray[np.float64]

    def __repr__(self) -> str:
        error = ""
        if not self.exact.all():
            error = f"; standard error up to {self.standard_error.max():.2g} nats"
        return (
            f"<Marginal of {len(self.log_prob)} rows: {self.method} "
            f"({listed_methods(self.methods)}{error})>"
        )


# What it works on.


@dataclass(frozen=True)
class Task:
    """Rows of which some variables are known, and a model in one order."""

    model: AutoregressiveModel
    known: Array  # (N, D), in the model's dtype, 0 where nothing was observed
    observed: Mask  # (N, D)
    context: Array | None  # (N, C), features

    def __getitem__(self, rows: Any) -> Task:
        y = self.context
        return Task(
            self.model, self.known[rows], self.observed[rows], None if y is None else y[rows]
        )

    @property
    def n(self) -> int:
        """How many rows."""
        return len(self.known)

    def needed(self) -> Mask:
        """The observed variables, and all on which one of them depends, in some steps: (N, D)."""
        return needed(self.model, self.observed)

    def blocks(self, repeat: int) -> Iterator[tuple[Array, Array]]:
        """Row and number of each of ``repeat`` copies of all rows, a block at a time."""
        for part in row_blocks(self.n * repeat, self.model._bytes_per_row(), BLOCK):
            yield np.divmod(np.arange(part.start, part.stop), repeat)

    def log_joint(self, x: Array, rows: Array, needed: Mask) -> npt.NDArray[np.float64]:
        """log p of the needed variables of x, whose context is that of ``rows`` of the task."""
        result = np.empty(len(x))
        for part in row_blocks(len(x), self.model._bytes_per_row()):
            y = None if self.context is None else self.context[rows[part]]
            block, features = self.model._features(x[part], y)
            log_p = self.model.conditional.log_p(self.model._forward(features)[0], block)
            log_p = np.where(needed[rows[part]], log_p, 0)
            result[part] = log_p.sum(axis=1, dtype=np.float64)
        return result


def needed(model: AutoregressiveModel, observed: Mask) -> Mask:
    """The observed variables (N, D), and those on which they depend, directly or through others."""
    result = observed.copy()
    dependencies = model.dependencies()
    for i in model.order[::-1]:
        result |= result[:, [i]] & dependencies[i]
    return result


def check_observed(
    x: npt.ArrayLike, observed: npt.ArrayLike, model: Any, name: str = "x"
) -> tuple[Array, Mask]:
    """Check rows and mask; the rows (N, D) with 0 where nothing was observed, and the mask (N, D).

    Raises
    ------
    TypeError, ValueError
        If the mask is none, or what it calls observed cannot be.
    """
    D, conditional = model.n_dims, model.conditional
    table = check_table(
        x, D, f"{name} must be an array of {conditional._wanted()} of shape (N, {D})",
        conditional.dtype,
    )  # fmt: skip
    mask = np.asarray(observed)
    if mask.dtype != np.bool_ or mask.shape not in {(D,), table.shape}:
        raise ValueError(
            f"observed must be a boolean mask of shape ({D},) or {table.shape}, true where {name} "
            f"is known, got dtype {mask.dtype} and shape {mask.shape}"
        )
    mask = np.broadcast_to(mask, table.shape)
    known = np.zeros(table.shape, table.dtype)
    known[mask] = table[mask]
    return conditional.check(known, D, name), mask


def in_trained_order(model: Any, observed: Mask) -> Any:
    """The model in an order that begins with the observed variables (D,).

    None if it was not trained for one. A model that was trained for all orders has ``with_order``;
    of one that was trained for a number of them, ``members`` are views.
    """
    if not hasattr(model, "with_order") or getattr(model, "redraw", None) == "degrees":
        return None
    if getattr(model, "n_masks", None) is None:
        return model.with_order(orders.observed_first(observed))
    n_known = int(observed.sum())
    views = (view for view in model.members() if observed[view.order[:n_known]].all())
    return next(views, None)


def inner_values(model: AutoregressiveModel, inner: Mask) -> list[Array] | None:
    """The values of each inner variable (D,); None if one of them is real."""
    values = []
    for i in np.flatnonzero(inner):
        of = model.conditional.of(int(i)).values(1)
        if of is None:
            return None
        values += of
    return values


# Which method each row takes.


class Part(NamedTuple):
    """Rows that take the same method, under the same view of the model."""

    method: str
    model: Any
    rows: Array


def plan(model: Any, observed: Mask, method: str) -> list[Part]:
    """What to do with each row: patterns are looked at once."""
    if not len(observed):
        return []
    patterns, of = np.unique(observed, axis=0, return_inverse=True)
    of = of.reshape(-1)
    inner = needed(model, patterns) & ~patterns
    parts: dict[tuple[str, int], list[Any]] = {}
    for k, pattern in enumerate(patterns):
        name, view = method, model
        if not inner[k].any():
            name = "product"  # whatever was asked for: nothing else is needed
        elif method in ("auto", "exact"):
            name, view = choose(model, pattern, inner[k], method)
        alone = k if name in ("order", "enumeration") else -1  # these go pattern by pattern
        parts.setdefault((name, alone), [view]).append(np.flatnonzero(of == k))
    return [
        Part(name, view, np.sort(np.concatenate(rows)))
        for (name, _), (view, *rows) in parts.items()
    ]


def choose(model: Any, observed: Mask, inner: Mask, method: str) -> tuple[str, Any]:
    """An exact method for a pattern (D,) with inner variables, and the view of the model it uses.

    Else importance, if it need not be exact.
    """
    if model._closed_form is not None:
        return "closed-form", model
    view = in_trained_order(model, observed)
    if view is not None:
        return "order", view
    values = inner_values(model, inner)
    limit = MAX_VALUES_EXACT if method == "exact" else MAX_VALUES
    count = 0
    if values is not None:
        count = int(min(np.prod([len(v) for v in values], dtype=np.float64), 2.0**62))
        if count <= limit:
            return "enumeration", model
    if method == "exact":
        why = f"would go through {count:.3g} values" if values else "cannot go through real values"
        raise ValueError(
            "observed must be the first variables of the model's order (a prefix of model.order) "
            f"to be exact here, where enumeration {why} (limit {limit:.3g}); use "
            "method='importance', or train a model with "
            "order=pyarsimple.orders.observed_first(observed), or one for all orders"
        )
    return "importance", model


def check_method(method: str, allowed: tuple[str, ...]) -> None:
    """Refuse the name of no method."""
    if method not in allowed:
        raise ValueError(f"method must be one of {', '.join(allowed)}, got {method!r}")


# The methods.


def follow(task: Task, uniforms: Array) -> tuple[Array, npt.NDArray[np.float64]]:
    """Walk along the order: draw what is unknown, and weigh what is known.

    Returns
    -------
    x : ndarray, shape (N, D)
        What was known, and draws from the conditionals elsewhere.
    log_w : ndarray, shape (N,)
        The sum of the conditional log-probabilities of what was known.
    """
    model, x, log_w = task.model, task.known.copy(), np.zeros(task.n)
    state = model._start(task.n, task.context)
    for i in map(int, model.order):
        z, one, known = as_columns(state.outputs()), model.conditional.of(i), task.observed[:, i]
        if not known.all():
            x[~known, i] = one.sample(z[~known], uniforms[~known, i : i + 1])[:, 0]
        if known.any():
            log_w[known] += one.log_p(z[known], x[known, i : i + 1])[:, 0]
        state.advance(x[:, i])
    return x, log_w


def enumerate_log_p(task: Task, inner: Mask) -> tuple[Array, npt.NDArray[np.float64]]:
    """All values of the inner variables (M, D), and log p(x_o, each of them), (N, M)."""
    values = inner_values(task.model, inner)
    assert values is not None
    grid = np.zeros((int(np.prod([len(v) for v in values])), task.model.n_dims), task.known.dtype)
    digits = np.unravel_index(np.arange(len(grid)), [len(v) for v in values])
    for i, v, digit in zip(np.flatnonzero(inner), values, digits, strict=True):
        grid[:, i] = v[digit]
    wanted = task.needed()
    log_p = np.empty(task.n * len(grid))
    done = 0
    for rows, numbers in task.blocks(len(grid)):
        x = np.where(inner, grid[numbers], task.known[rows])
        log_p[done : done + len(x)] = task.log_joint(x, rows, wanted)
        done += len(x)
    return grid, log_p.reshape(task.n, len(grid))


def draw_particles(
    task: Task, n_particles: int, rng: np.random.Generator
) -> tuple[Array, npt.NDArray[np.float64]]:
    """Particles (N, S, D) and their log-weights (N, S)."""
    particles = np.empty((task.n * n_particles, task.model.n_dims), task.known.dtype)
    log_w = np.empty(len(particles))
    done = 0
    for rows, _ in task.blocks(n_particles):
        part = slice(done, done + len(rows))
        uniforms = rng.random((len(rows), task.model.n_dims))
        particles[part], log_w[part] = follow(task[rows], uniforms)
        done += len(rows)
    return particles.reshape(task.n, n_particles, -1), log_w.reshape(task.n, n_particles)


def share(log_w: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Weights (N, S) that sum to one; all alike where all of a row's are 0."""
    top = log_w.max(axis=1, keepdims=True)
    w = np.exp(np.where(np.isfinite(top), log_w - np.where(np.isfinite(top), top, 0), 0))
    result: npt.NDArray[np.float64] = w / w.sum(axis=1, keepdims=True)
    return result


def effective_size(log_w: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How many of S equal weights a row's weights (N, S) are worth: between 1 and S."""
    size = 1 / np.square(share(log_w)).sum(axis=1)
    impossible = ~np.isfinite(log_w.max(axis=1))
    return np.where(impossible, 1, np.clip(size, 1, log_w.shape[1]))


def resample(
    log_w: npt.NDArray[np.float64], n_samples: int, rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Numbers of particles, (N, n_samples), drawn by their weights (N, S)."""
    bounds = np.cumsum(share(log_w), axis=1)
    uniforms = rng.random((len(log_w), n_samples)) * bounds[:, -1:]
    chosen = [np.searchsorted(b, u, side="right") for b, u in zip(bounds, uniforms, strict=True)]
    return np.array(chosen, np.intp).reshape(uniforms.shape)


def sweep(task: Task, inner: Mask, x: Array, log_p: Array, rng: np.random.Generator) -> None:
    """Draw each inner variable anew given all others, in place; log_p is kept up to date."""
    wanted = task.needed()
    for i in np.flatnonzero(inner.any(axis=0)):
        rows = np.flatnonzero(inner[:, i])
        (values,) = task.model.conditional.of(int(i)).values(1) or [np.zeros(1)]
        table = np.empty((len(rows), len(values)))  # log p with each value in place of x_i
        for k, value in enumerate(values):
            changed = rows[x[rows, i] != value]
            other = x[changed].copy()
            other[:, i] = value
            here = x[rows, i] == value
            table[here, k] = log_p[rows[here]]
            table[~here, k] = task.log_joint(other, changed, wanted)
        chosen = resample(table, 1, rng)[:, 0]
        x[rows, i] = values[chosen]
        log_p[rows] = table[np.arange(len(rows)), chosen]


def gibbs(
    task: Task, inner: Mask, x: Array, n_sweeps: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Sweeps from x (N, D) on: where they end, and log p after each, (n_sweeps, N)."""
    x = x.copy()
    log_p = task.log_joint(x, np.arange(task.n), task.needed())
    trace = np.empty((n_sweeps, task.n))
    for t in range(n_sweeps):
        sweep(task, inner, x, log_p, rng)
        trace[t] = log_p
    return x, trace


def effective_sweeps(trace: Array) -> npt.NDArray[np.float64]:
    """How many independent draws a chain's sweeps are worth, from (T, N, C): C chains a row.

    Deviations are from the mean over all chains of a row: chains that stay apart count as one that
    hardly moves. A chain that does not move at all counts as one draw.
    """
    T = len(trace)
    deviation = trace - trace.mean(axis=(0, 2), keepdims=True)
    variance = np.square(deviation).mean(axis=(0, 2))  # (N,)
    moves = variance > 1e-20
    variance = np.where(moves, variance, 1)

    def correlation(lag: int) -> Array:
        product = deviation[: T - lag] * deviation[lag:]
        result: Array = product.sum(axis=0).mean(axis=1) / T / variance
        return result

    time, positive = np.full(len(variance), -1.0), moves
    for lag in range(0, T - 1, 2):
        pair = correlation(lag) + correlation(lag + 1)
        positive = positive & (pair > 0)  # once it turns negative, the rest is noise
        if not positive.any():
            break
        time += np.where(positive, 2 * pair, 0)
    return np.where(moves, np.clip(T / np.maximum(time, 1 / T), 1, T), 1.0)


def draw_rest(task: Task, x: Array, known: Mask, rng: np.random.Generator) -> Array:
    """Draw what is not known along the order; x (N, D) in the model's dtype."""
    model, D = task.model, task.model.n_dims
    position = orders.inverse(model.order)
    n_known = known.sum(axis=1)
    is_prefix = np.where(known, position, -1).max(axis=1, initial=-1) < n_known
    counts = np.where(is_prefix, n_known, -1)
    result = np.empty_like(x, dtype=np.result_type(x.dtype, model.conditional.dtype))
    for count in np.unique(counts):
        rows = np.flatnonzero(counts == count)
        for part in row_blocks(len(rows), model._bytes_per_row()):
            some = rows[part]
            uniforms = rng.random((len(some), D))
            y = None if task.context is None else task.context[some]
            if count >= 0:
                result[some] = model._fill_in(x[some], int(count), uniforms, y)
            else:
                result[some], _ = follow(Task(model, x[some], known[some], y), uniforms)
    return result


# All together.


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
            for block in row_blocks(some.n, 8 * MAX_VALUES):
                _, log_p = enumerate_log_p(some[block], inner)
                log_prob[rows[block]] = log_sum_exp(log_p, axis=1)
        elif name == "closed-form":
            log_prob[rows], _ = view._closed_form(some.known, some.observed, None)
        elif name == "importance":
            for block in row_blocks(some.n, n_particles * view._bytes_per_row()):
                _, log_w = draw_particles(some[block], n_particles, rng)
                here = rows[block]
                log_prob[here] = log_sum_exp(log_w, axis=1) - np.log(n_particles)
                size[here] = effective_size(log_w)
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
        for block in row_blocks(task.n, 8 * MAX_VALUES):
            grid, log_p = enumerate_log_p(task[block], inner[0])
            x[block] = np.where(inner[0], grid[resample(log_p, n_samples, rng)], x[block])
    elif name in ("importance", "gibbs"):
        for block in row_blocks(task.n, n_particles * task.model._bytes_per_row()):
            particles, log_w = draw_particles(task[block], n_particles, rng)
            chosen = resample(log_w, n_samples, rng)
            x[block] = np.take_along_axis(particles, chosen[:, :, np.newaxis], axis=1)
            size[block] = effective_size(log_w)
        discrete = ~(inner & are_real(task.model.conditional, D)).any(axis=1)
        if name == "gibbs" and not discrete.all():
            raise ValueError(
                "method='gibbs' needs missing variables of countable values: given all others, "
                "the distribution of a real one has no closed form; use method='importance'"
            )
        again = np.ones(task.n, bool) if name == "gibbs" else (size < SMALL) & discrete & may_change
        rows = np.flatnonzero(again)
        if rows.size:
            chains = task[np.repeat(rows, n_samples)]
            start = x[rows].reshape(-1, D)
            ends, trace = gibbs(chains, np.repeat(inner[rows], n_samples, axis=0), start,
                                n_sweeps, rng)  # fmt: skip
            x[rows] = ends.reshape(-1, n_samples, D)
            size[rows] = effective_sweeps(trace.reshape(n_sweeps, -1, n_samples))
            methods[rows] = "gibbs"
    repeated = task[np.repeat(np.arange(task.n), n_samples)]
    known = np.repeat(wanted, n_samples, axis=0)
    drawn = draw_rest(repeated, x.reshape(-1, D), known, rng)
    return drawn.reshape(-1, n_samples, D), methods, size


# Mixtures over orders: each component takes the method that suits its own order.


def _least_exact(methods: list[Array]) -> Array:
    """The method of each row that is furthest from a product of conditionals, (N,)."""
    ranks = [*EXACT, *METHODS[2:]]
    return np.array([max(row, key=ranks.index) for row in zip(*methods, strict=True)], "<U11")


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
    posterior = share(joint)
    error = np.stack([part.standard_error for part in parts], axis=1)
    size = np.stack([part.effective_sample_size for part in parts], axis=1)
    with np.errstate(divide="ignore"):
        size_of_all = 1 / (posterior**2 / size).sum(axis=1)
    result = Marginal(
        log_sum_exp(joint, axis=1),
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
    chosen = resample(np.log(posterior), n_samples, rng) if n else np.zeros((0, n_samples), int)
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


def make_task(
    model: Any, x: npt.ArrayLike, observed: npt.ArrayLike, context: npt.ArrayLike | None
) -> Task:
    """Check what was given."""
    model._check_params()
    known, mask = check_observed(x, observed, model)
    y = model._rows_of_context(context, len(known))
    known = np.ascontiguousarray(known, dtype=model.conditional.dtype_of_data(model.dtype))
    return Task(model, known, mask, y)


def warn_if_small(result: Imputation | Marginal, of: str, what: str) -> None:
    """Say so if the effective sample size of some rows is small."""
    small = ~result.exact & (result.effective_sample_size < SMALL)
    if small.any():
        least = result.effective_sample_size[small].min()
        warnings.warn(
            f"the effective sample size is below {SMALL} ({of}) in {small.sum()} of {len(small)} "
            f"rows, {least:.1f} at worst: {what} there; use more, or a model whose order begins "
            "with the observed variables (pyarsimple.orders.observed_first)",
            UserWarning,
            stacklevel=4,
        )


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
