"""The methods: a walk along the order, enumeration, importance sampling, Gibbs sampling."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pyarsimple import orders
from pyarsimple.autoregressive import Array, as_columns, row_blocks
from pyarsimple.conditionals import softmax
from pyarsimple.density import all_rows
from pyarsimple.missing.planning import Task, inner_values
from pyarsimple.missing.results import Mask


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


def enumerate_log_p(task: Task, inner: Mask) -> tuple[Array, npt.NDArray[np.float64]]:
    """All values of the inner variables (M, D), and log p(x_o, each of them), (N, M)."""
    values = inner_values(task.model, inner)
    assert values is not None
    which = all_rows([len(v) for v in values])  # value number which[m, i] of inner variable i
    grid = np.zeros((len(which), task.model.n_dims), task.known.dtype)
    for i, v, number in zip(np.flatnonzero(inner), values, which.T, strict=True):
        grid[:, i] = v[number]
    wanted = task.needed()
    log_p = np.empty(task.n * len(grid))
    done = 0
    for rows, numbers in task.blocks(len(grid)):
        x = np.where(inner, grid[numbers], task.known[rows])
        log_p[done : done + len(x)] = task.log_joint(x, rows, wanted)
        done += len(x)
    return grid, log_p.reshape(task.n, len(grid))


# Importance sampling.


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


def effective_size(log_w: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How many of S equal weights a row's weights (N, S) are worth: between 1 and S."""
    size = 1 / np.square(softmax(log_w)).sum(axis=1)
    impossible = ~np.isfinite(log_w.max(axis=1))
    return np.where(impossible, 1, np.clip(size, 1, log_w.shape[1]))


def resample(
    log_w: npt.NDArray[np.float64], n_samples: int, rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """Numbers of particles, (N, n_samples), drawn by their weights (N, S)."""
    bounds = np.cumsum(softmax(log_w), axis=1)
    uniforms = rng.random((len(log_w), n_samples)) * bounds[:, -1:]
    chosen = [np.searchsorted(b, u, side="right") for b, u in zip(bounds, uniforms, strict=True)]
    return np.array(chosen, np.intp).reshape(uniforms.shape)


# Gibbs sampling.


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
