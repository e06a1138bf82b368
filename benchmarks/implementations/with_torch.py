"""PyTorch, written as a good user of it would.

NADE has three variants. ``loop`` walks along the variables; W and V are unbound into rows once, for
indexing them row by row would make a gradient of the size of W in each of the D steps. ``cumsum``
makes all D activations at once, as a cumulative sum; ``chunks`` does so for 50 hidden units at a
time, which need less memory.

The masks of FVSBN and MADE are multiplied into the weights in each step (``masked_weights``), or
the weights start masked and their gradients are masked, with which Adam leaves the weights masked
(``masked_grads``).
Adam is the fused one, the fastest here; ``default_adam`` is the one that a user gets unasked.
"""

import os

import numpy as np

from benchmarks import definition
from benchmarks.implementations import Task
from benchmarks.implementations.ours import gradients_for_adam
from benchmarks.inputs import uniforms

torch = None
F = None


def start(name):
    global torch, F
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])  # the first imports for over a second


def about():
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "CPU capability": torch.backends.cpu.get_cpu_capability(),
        "MKL": torch.backends.mkl.is_available(),
        "oneDNN": torch.backends.mkldnn.is_available(),
    }


# NADE


def nade_loop(p, x):
    a = p["c"].expand(len(x), -1)  # (N, H)
    columns = x.t().contiguous().unsqueeze(2).unbind(0)  # D of (N, 1)
    logits = []
    for x_i, W_i, V_i in zip(columns, p["W"].unbind(0), p["V"].unbind(0), strict=True):
        logits.append(torch.sigmoid(a) @ V_i)
        a = torch.addcmul(a, x_i, W_i)
    return torch.stack(logits, 1) + p["b"]


def nade_cumsum(p, x):
    terms = x.t()[:-1].unsqueeze(2) * p["W"][:-1].unsqueeze(1)  # (D-1, N, H)
    a = torch.cumsum(torch.cat([p["c"].expand(1, len(x), -1), terms]), 0)  # (D, N, H)
    return torch.bmm(torch.sigmoid(a), p["V"].unsqueeze(2)).squeeze(2).t() + p["b"]


def nade_chunks(p, x, width=50):
    logits = p["b"].expand(len(x), -1)
    for k in range(0, len(p["c"]), width):
        part = {"c": p["c"][k : k + width], "b": 0.0}
        part |= {name: p[name][:, k : k + width] for name in ("W", "V")}
        logits = logits + nade_cumsum(part, x)
    return logits


def nade_loop_in_place(p, x):
    """For scores: nothing is kept for a gradient, so one activation suffices."""
    a = p["c"].expand(len(x), -1).clone()
    h, logits = torch.empty_like(a), torch.empty(x.shape[1], len(x), dtype=x.dtype)
    columns = x.t().contiguous().unsqueeze(2)
    for i in range(x.shape[1]):
        torch.sigmoid(a, out=h)
        torch.mv(h, p["V"][i], out=logits[i])
        a.addcmul_(columns[i], p["W"][i])
    return logits.t() + p["b"]


# The dense networks with masks


# ``masks`` is empty where the weights come masked.


def fvsbn(p, x, masks):
    return F.linear(x, p["W"] * masks["W"] if masks else p["W"], p["b"])


def made(p, x, masks):
    weights = {k: p[k] * masks[k] if k in masks else p[k] for k in p}
    h = x
    for k in range(1, len(p) // 2):
        h = torch.relu(torch.addmm(p[f"c{k}"], h, weights[f"W{k}"]))
    return F.linear(h, weights["V"], p["b"])


def mean_nll(logits, x):
    return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)


class TorchTask(Task):
    def __init__(self, inputs):
        self.first = inputs.params
        self.x = torch.from_numpy(inputs.x)
        D = inputs.x.shape[1]
        masks = definition.masks(inputs.model, D, inputs.degrees)
        self.masks = {k: torch.from_numpy(M.astype(inputs.dtype)) for k, M in masks.items()}
        self.p = {k: torch.from_numpy(p.copy()).requires_grad_() for k, p in self.first.items()}
        self.names, self.leaves = list(self.p), list(self.p.values())

    def arrays(self):
        return {k: p.detach().numpy() for k, p in self.p.items()}

    def mask_weights(self):
        with torch.no_grad():
            for k, M in self.masks.items():
                self.p[k].mul_(M)


class Grad(TorchTask):
    def run(self):
        loss = mean_nll(self.logits(), self.x)
        return loss, torch.autograd.grad(loss, self.leaves)

    def result(self):
        loss, grads = self.run()
        named = {f"grad.{k}": g.numpy() for k, g in zip(self.names, grads, strict=True)}
        return {"loss": loss.item(), **named}


def nade_grad_task(logits):
    class NadeGrad(Grad):
        def logits(self):
            return logits(self.p, self.x)

    return NadeGrad


class FvsbnGrad(Grad):
    """With masked weights."""

    def logits(self):
        return fvsbn(self.p, self.x, self.masks)


class FvsbnMaskedGrad(Grad):
    def __init__(self, inputs):
        super().__init__(inputs)
        self.mask_weights()

    def logits(self):
        return fvsbn(self.p, self.x, {})

    def run(self):
        loss, grads = super().run()
        grads[self.names.index("W")].mul_(self.masks["W"])
        return loss, grads


def score_task(logits):
    class Score(TorchTask):
        def run(self):
            with torch.inference_mode():
                z = logits(self.p, self.x)
                return -F.binary_cross_entropy_with_logits(z, self.x, reduction="none").sum(1)

        def result(self):
            return {"log_prob": self.run().numpy()}

    return Score


def make_adam(leaves, kind):
    settings = {"fused": True} if kind == "fused" else {}
    betas = (definition.BETA1, definition.BETA2)
    return torch.optim.Adam(
        leaves, definition.LEARNING_RATE, betas, eps=definition.EPSILON, **settings
    )


def step_task(masking, adam="fused"):
    class Step(TorchTask):
        def reset(self):
            with torch.no_grad():
                for k, p in self.first.items():
                    self.p[k].copy_(torch.from_numpy(p))
            if masking == "grads":
                self.mask_weights()
            self.adam = make_adam(self.leaves, adam)

        def run(self):
            self.adam.zero_grad(set_to_none=True)
            masks = self.masks if masking == "weights" else {}
            loss = mean_nll(made(self.p, self.x, masks), self.x)
            loss.backward()
            if masking == "grads":
                for k, M in self.masks.items():
                    self.p[k].grad.mul_(M)
            self.adam.step()
            return loss

        def result(self):
            self.reset()
            loss = self.run()
            grads = {f"grad.{k}": p.grad.numpy() for k, p in self.p.items()}
            params = {f"param.{k}": p for k, p in self.arrays().items()}
            return {"loss": loss.item(), **grads, **params}

    return Step


class MadeSample(TorchTask):
    """The usual way: a forward pass of the whole network for each variable."""

    def __init__(self, inputs):
        super().__init__(inputs)
        self.mask_weights()

    def run(self, u=None):
        with torch.inference_mode():
            u = torch.rand(self.x.shape) if u is None else u
            x = torch.zeros_like(self.x)
            for i in range(x.shape[1]):
                x[:, i] = u[:, i] < torch.sigmoid(made(self.p, x, {})[:, i])
            return x

    def result(self):
        return {"x": self.run(torch.from_numpy(uniforms(*self.x.shape))).numpy()}


def adam_task(kind):
    class Adam(TorchTask):
        def __init__(self, inputs):
            super().__init__(inputs)
            for k, g in gradients_for_adam(inputs.params).items():
                self.p[k].grad = torch.from_numpy(np.ascontiguousarray(g))

        def reset(self):
            with torch.no_grad():
                for k, p in self.first.items():
                    self.p[k].copy_(torch.from_numpy(p))
            self.adam = make_adam(self.leaves, kind)

        def run(self):
            self.adam.step()

        def result(self):
            self.reset()
            self.run()
            return {f"param.{k}": p for k, p in self.arrays().items()}

    return Adam


TASKS = {
    ("grad", "nade", "loop"): nade_grad_task(nade_loop),
    ("grad", "nade", "cumsum"): nade_grad_task(nade_cumsum),
    ("grad", "nade", "chunks"): nade_grad_task(nade_chunks),
    ("score", "nade", "loop"): score_task(nade_loop_in_place),
    ("score", "nade", "cumsum"): score_task(nade_cumsum),
    ("score", "nade", "chunks"): score_task(nade_chunks),
    ("grad", "fvsbn", "masked_weights"): FvsbnGrad,
    ("grad", "fvsbn", "masked_grads"): FvsbnMaskedGrad,
    ("step", "made", "masked_weights"): step_task("weights"),
    ("step", "made", "masked_grads"): step_task("grads"),
    ("step", "made", "default_adam"): step_task("grads", "default"),
    ("sample", "made", ""): MadeSample,
    ("adam", "*", "fused"): adam_task("fused"),
    ("adam", "*", "default"): adam_task("default"),
}
