"""What the implementations work on: bits and parameters, drawn from fixed seeds."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SHARE_OF_ONES = 0.13  # of binarized MNIST
SEED = 0


@dataclass
class Inputs:
    """One case's data, in its dtype: the same arrays for every implementation."""

    kind: str
    model: str
    dtype: str
    hidden: tuple[int, ...]
    x: np.ndarray  # (N, D)
    params: dict[str, np.ndarray]
    degrees: list[np.ndarray] = field(default_factory=list)  # of MADE's hidden layers

    def save(self, path):
        arrays = {f"param.{k}": p for k, p in self.params.items()}
        arrays |= {f"degrees.{k}": m for k, m in enumerate(self.degrees)}
        labels = {"kind": self.kind, "model": self.model, "dtype": self.dtype}
        np.savez(path, x=self.x, hidden=np.array(self.hidden), **labels, **arrays)

    @classmethod
    def load(cls, path):
        with np.load(path) as file:
            a = dict(file)
        params = {k.removeprefix("param."): p for k, p in a.items() if k.startswith("param.")}
        degrees = [a[f"degrees.{k}"] for k in range(sum(k.startswith("degrees.") for k in a))]
        labels = (str(a[k]) for k in ("kind", "model", "dtype"))
        return cls(*labels, tuple(map(int, a["hidden"])), a["x"], params, degrees)


def load_bits(folder):
    """Rows of binarized MNIST (n, 784) and a note that says which; None without a folder."""
    if folder is None:
        return None, f"synthetic: independent bits, {SHARE_OF_ONES:.0%} of them 1"
    path = Path(folder) / "binarized_mnist.npz"
    with np.load(path, allow_pickle=False) as file:
        rows = file["train"]
    if rows.ndim != 2 or rows.shape[1] != 784 or not ((rows == 0) | (rows == 1)).all():
        raise ValueError(f"{path.name}: train must be bits of shape (n, 784), got {rows.shape}")
    return rows, f"{path.name}: rows of train, {rows.mean():.1%} of the bits are 1"


def draw_bits(case, rows):
    """The bits of a case (N, D): rows of the data where it has such, else synthetic ones."""
    rng = np.random.default_rng(SEED)
    if case.bits == "ones":
        return np.ones((case.N, case.D), np.uint8)
    if case.bits == "data" and rows is not None and rows.shape[1] == case.D:
        return rows[rng.permutation(len(rows))[: case.N]]
    return (rng.random((case.N, case.D)) < SHARE_OF_ONES).astype(np.uint8)


def draw_params(case, x):
    """Parameters that are nowhere 0, with output biases that make ones about as frequent as in x.

    Masked entries are drawn like the others: who reads one is found out by the check.
    """
    rng = np.random.default_rng(SEED + 1)
    D, hidden = case.D, case.hidden
    if case.model == "fvsbn":
        shapes = {"W": (D, D)}
    elif case.model == "nade":
        shapes = {"W": (D, hidden[0]), "c": (hidden[0],), "V": (D, hidden[0])}
    else:
        shapes, widths = {}, (D, *hidden)
        for k, size in enumerate(hidden, 1):
            shapes |= {f"W{k}": (widths[k - 1], size), f"c{k}": (size,)}
        shapes["V"] = (D, hidden[-1])
    params = {k: rng.normal(0, 1 / np.sqrt(2 * shape[-1]), shape) for k, shape in shapes.items()}
    share = np.clip(x.mean(axis=0), 0.02, 0.98)
    params["b"] = np.log(share / (1 - share)) + rng.normal(0, 0.1, D)
    return {k: p.astype(case.dtype) for k, p in params.items()}


def make_inputs(case, rows):
    """All that the implementations need for a case."""
    x = draw_bits(case, rows)
    degrees = []
    if case.model == "made":  # spread evenly over 1..D-1, ascending
        degrees = [1 + np.arange(H) * (case.D - 1) // H for H in case.hidden]
    params, x = draw_params(case, x), x.astype(case.dtype)
    return Inputs(case.kind, case.model, case.dtype, case.hidden, x, params, degrees)


def uniforms(N, D):
    """The randomness of a sample, as a library that is given ``rng=SEED`` draws it."""
    return np.random.default_rng(SEED).random((N, D))
