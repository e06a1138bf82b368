"""JAX, written as a good user of it would: every task is one jitted function.

NADE is a ``lax.scan`` along the variables. Variants: ``checkpoint`` computes each step's hidden
units again on the way back, rather than keeping them; in ``states`` the scan gives activations
only, and the rest is computed for all variables at once; ``cumsum`` needs no scan.
"""

import os

import numpy as np

from benchmarks import definition
from benchmarks.implementations import Task
from benchmarks.inputs import SEED, uniforms

jax = None
jnp = None


def start(name):
    global jax, jnp
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp


def about():
    import jaxlib

    return {
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "devices": [str(d) for d in jax.devices()],
    }


def nade_scan(p, x, masks, remember=True):
    def step(a, inputs):
        x_i, W_i, V_i = inputs
        return a + x_i[:, None] * W_i, jax.nn.sigmoid(a) @ V_i

    a = jnp.broadcast_to(p["c"], (len(x), len(p["c"])))
    step = step if remember else jax.checkpoint(step)
    return jax.lax.scan(step, a, (x.T, p["W"], p["V"]))[1].T + p["b"]


def nade_checkpoint(p, x, masks):
    return nade_scan(p, x, masks, remember=False)


def nade_cumsum(p, x, masks):
    terms = x.T[:-1, :, None] * p["W"][:-1, None]  # (D-1, N, H)
    first = jnp.broadcast_to(p["c"], (1, len(x), len(p["c"])))
    a = jnp.cumsum(jnp.concatenate([first, terms]), 0)
    return jnp.einsum("dnh,dh->nd", jax.nn.sigmoid(a), p["V"]) + p["b"]


def nade_states(p, x, masks):
    """The scan only adds up activations; all else is done for all variables at once."""
    a = jnp.broadcast_to(p["c"], (len(x), len(p["c"])))
    _, a = jax.lax.scan(lambda a, t: (a + t[0][:, None] * t[1], a), a, (x.T, p["W"]))
    return jnp.einsum("dnh,dh->nd", jax.nn.sigmoid(a), p["V"]) + p["b"]


def fvsbn(p, x, masks):
    return x @ (p["W"] * masks["W"]).T + p["b"]


def made(p, x, masks):
    h = x
    for k in range(1, len(p) // 2):
        h = jax.nn.relu(h @ (p[f"W{k}"] * masks[f"W{k}"]) + p[f"c{k}"])
    return h @ (p["V"] * masks["V"]).T + p["b"]


def nll(z, x):
    return (jax.nn.softplus(z) - x * z).sum(1)


def adam(p, grads, m, v, t):
    b1, b2 = definition.BETA1, definition.BETA2
    tree = jax.tree.map
    m = tree(lambda m, g: m + (1 - b1) * (g - m), m, grads)
    v = tree(lambda v, g: v + (1 - b2) * (g * g - v), v, grads)
    rate, correction = definition.LEARNING_RATE / (1 - b1**t), 1 / (1 - b2**t)

    def move(p, m, v):
        return (p - rate * m / (jnp.sqrt(v * correction) + definition.EPSILON)).astype(p.dtype)

    return tree(move, p, m, v), m, v


class JaxTask(Task):
    def __init__(self, inputs):
        jax.config.update("jax_enable_x64", inputs.dtype == "float64")
        self.x = jnp.asarray(inputs.x)
        masks = definition.masks(inputs.model, inputs.x.shape[1], inputs.degrees)
        self.masks = {k: jnp.asarray(M.astype(inputs.dtype)) for k, M in masks.items()}
        self.first = {k: jnp.asarray(p) for k, p in inputs.params.items()}
        self.p = dict(self.first)


def grad_task(logits):
    class Grad(JaxTask):
        def __init__(self, inputs):
            super().__init__(inputs)
            self.f = jax.jit(jax.value_and_grad(lambda p, x, m: nll(logits(p, x, m), x).mean()))

        def run(self):
            return jax.block_until_ready(self.f(self.p, self.x, self.masks))

        def result(self):
            loss, grads = self.run()
            return {"loss": loss, **{f"grad.{k}": np.asarray(g) for k, g in grads.items()}}

    return Grad


def score_task(logits):
    class Score(JaxTask):
        def __init__(self, inputs):
            super().__init__(inputs)
            self.f = jax.jit(lambda p, x, m: -nll(logits(p, x, m), x))

        def run(self):
            return jax.block_until_ready(self.f(self.p, self.x, self.masks))

        def result(self):
            return {"log_prob": np.asarray(self.run())}

    return Score


class Step(JaxTask):
    """A whole training step; the old parameters' memory is given away for the new ones."""

    def __init__(self, inputs):
        super().__init__(inputs)

        def step(p, m, v, t, x, masks):
            loss, grads = jax.value_and_grad(lambda p: nll(made(p, x, masks), x).mean())(p)
            p, m, v = adam(p, grads, m, v, t)
            return loss, p, m, v

        self.f = jax.jit(step, donate_argnums=(0, 1, 2))

    def reset(self):
        self.p = {k: p.copy() for k, p in self.first.items()}
        self.m = {k: jnp.zeros_like(p) for k, p in self.first.items()}
        self.v = {k: jnp.zeros_like(p) for k, p in self.first.items()}
        self.t = 0

    def run(self):
        self.t += 1
        t = np.asarray(self.t, self.x.dtype)
        loss, self.p, self.m, self.v = self.f(self.p, self.m, self.v, t, self.x, self.masks)
        return jax.block_until_ready((loss, self.p))[0]

    def result(self):
        self.reset()
        loss = self.run()
        grads = {f"grad.{k}": np.asarray(m) / (1 - definition.BETA1) for k, m in self.m.items()}
        return {"loss": loss, **grads, **{f"param.{k}": np.asarray(p) for k, p in self.p.items()}}


class MadeSample(JaxTask):
    """A forward pass of the whole network for each variable, all of them in one compiled loop."""

    def __init__(self, inputs):
        super().__init__(inputs)
        self.key = jax.random.key(SEED)

        @jax.jit
        def sample(p, masks, u):
            p = {k: p[k] * masks[k] if k in masks else p[k] for k in p}
            ones = {k: jnp.ones((), p[k].dtype) for k in masks}

            def step(i, x):
                return x.at[:, i].set(u[:, i] < jax.nn.sigmoid(made(p, x, ones)[:, i]))

            return jax.lax.fori_loop(0, u.shape[1], step, jnp.zeros(u.shape, p["b"].dtype))

        self.f = sample
        self.draw()  # compiled here, not in the first call that is timed

    def draw(self):
        return jax.random.uniform(self.key, self.x.shape, self.x.dtype)

    def run(self, u=None):
        u = self.draw() if u is None else u
        return jax.block_until_ready(self.f(self.p, self.masks, u))

    def result(self):
        return {"x": np.asarray(self.run(jnp.asarray(uniforms(*self.x.shape))))}


TASKS = {
    ("grad", "nade", "scan"): grad_task(nade_scan),
    ("grad", "nade", "checkpoint"): grad_task(nade_checkpoint),
    ("grad", "nade", "states"): grad_task(nade_states),
    ("grad", "nade", "cumsum"): grad_task(nade_cumsum),
    ("score", "nade", "scan"): score_task(nade_scan),
    ("score", "nade", "states"): score_task(nade_states),
    ("score", "nade", "cumsum"): score_task(nade_cumsum),
    ("grad", "fvsbn", ""): grad_task(fvsbn),
    ("step", "made", ""): Step,
    ("sample", "made", ""): MadeSample,
}
