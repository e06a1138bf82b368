"""GaussianMixture: a real number a variable, from a weighted sum of K Gaussians.

    p(x_i | x_<i) = sum_k w_k N(x_i; mean_k, scale_k)
    w = softmax(logits),        scale_k = min_scale + softplus(raw_k)

The outputs of a variable are K logits, then K means, then K raws. (With it, NADE is the RNADE of
Uria et al., 2013, and MADE is the MADE-MoG of Papamakarios et al., 2017.) In logs,

    log_joint_k = log w_k - z_k^2 / 2 - log(scale_k) - log(2 pi) / 2,   z_k = (x_i - mean_k)/scale_k
    log p = log sum_k exp(log_joint_k)

with a log-sum-exp, so that far from all components, where each N() is 0 in floating point, log p is
exact all the same. The gradient is written with the shares r = softmax(log_joint): r_k is the part
of p(x_i) that component k has (docs/derivations/gaussian-mixture.md):

    d(-log p)/d logits_k     = w_k - r_k
    d(-log p)/d mean_k       = -r_k z_k / scale_k
    d(-log p)/d log(scale_k) = r_k (1 - z_k^2)
    d(-log p)/d raw_k        = r_k (1 - z_k^2) t_k,                     t = d log(scale) / d raw

Unlike the code of the RNADE paper, which multiplies the gradient of each mean by its scale to make
steps of a better size, this is the gradient: steps are the optimiser's business.

Reference: B. Uria, I. Murray, H. Larochelle, RNADE: The real-valued neural autoregressive
density-estimator, NIPS 2013.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple._validation import check_size
from pyarsimple.conditionals.base import Array, Scale, per_entry, rows_needed
from pyarsimple.conditionals.functions import log_softmax, log_sum_exp, softmax
from pyarsimple.conditionals.gaussian import HALF_LOG_2_PI, MIN_SCALE, Real, standard_normal
from pyarsimple.orders import Columns

#: Of outputs so many bytes are worked on at a time.
CACHE = 2**19


def log_joint(logits: Array, mean: Array, scale: Array, x: Array) -> tuple[Array, Array, Array]:
    """log(w_k N(x; mean_k, scale_k)), log w_k and z_k; (..., K) each, and so all but x (...)."""
    log_w = log_softmax(logits)
    with np.errstate(over="ignore"):  # what is too far for a float has log p = -inf
        z = (x[..., np.newaxis] - mean) / scale
        log_bells = -0.5 * z**2 - np.log(scale) - HALF_LOG_2_PI
    return log_w + log_bells, log_w, z


def mixture_log_p(logits: Array, mean: Array, scale: Array, x: Array) -> Array:
    """log sum_k w_k N(x; mean_k, scale_k), (...), from (..., K) each and x (...)."""
    return log_sum_exp(log_joint(logits, mean, scale, x)[0])


def mixture_gradient(
    logits: Array, mean: Array, scale: Array, x: Array
) -> tuple[Array, Array, Array]:
    """The gradient of -sum(log p) with respect to logits, mean and log(scale), (..., K) each."""
    joint, log_w, z = log_joint(logits, mean, scale, x)
    w, r = np.exp(log_w), softmax(joint)
    rz = r * z  # 0 where r is, however far away: z**2 alone may be infinite
    return w - r, -rz / scale, r - rz * z


class GaussianMixture(Real):
    """A mixture of K Gaussians a variable. Outputs: K logits, K means, K raws.

    Parameters
    ----------
    n_components : int
        K.
    min_scale : float, at least 1e-12
        The smallest standard deviation a component can have, in units of the data; as in
        `Gaussian`, and more needed here: a component is free to sit upon a single value.
    """

    name = "mixture"

    def __init__(self, n_components: int, *, min_scale: float = MIN_SCALE) -> None:
        self.n_components = check_size(n_components, "n_components")
        super().__init__(min_scale=min_scale)

    def config(self) -> dict[str, Any]:
        """The name and the settings."""
        return super().config() | {"n_components": self.n_components}

    def __repr__(self) -> str:
        return f"GaussianMixture({self.n_components}, min_scale={self.min_scale!r})"

    def columns(self, n_dims: int) -> Columns:
        """One feature, the number itself, and 3 K outputs each."""
        i = np.arange(n_dims + 1, dtype=np.intp)
        return Columns(i, 3 * self.n_components * i)

    def _parts(self, outputs: Array) -> tuple[Array, Array, Array]:
        """Logits, means and raws, (N, D, K) each; views."""
        N, P = outputs.shape
        parts = outputs.reshape(N, P // (3 * self.n_components), 3, self.n_components)
        return parts[:, :, 0], parts[:, :, 1], parts[:, :, 2]

    def _blocks(self, outputs: Array) -> Iterator[slice]:
        """Rows, so many at a time that their (N, D, K) arrays stay in the processor's cache."""
        step = max(1, CACHE // max(1, outputs[:1].nbytes))
        return (slice(start, start + step) for start in range(0, len(outputs), step))

    def log_p(self, outputs: Array, x: Array) -> Array:
        """Log densities log p(x_i | x_<i), (N, D), in nats."""
        result = np.empty(x.shape, outputs.dtype)
        for rows in self._blocks(outputs):
            logits, mean, raw = self._parts(outputs[rows])
            result[rows] = mixture_log_p(logits, mean, self.scale(raw), x[rows])
        return result

    def d_outputs(self, outputs: Array, x: Array, scale: Scale) -> Array:
        """The gradient of ``-(scale * log_p(outputs, x)).sum()``, (N, 3 K D)."""
        factor = per_entry(scale, x, outputs.dtype)[..., np.newaxis]
        result = np.empty_like(outputs, order="C")
        for rows in self._blocks(outputs):
            logits, mean, raw = self._parts(outputs[rows])
            s = self.scale(raw)
            gradient = mixture_gradient(logits, mean, s, x[rows])
            of_raw = 1, 1, self.d_log_scale(raw, s)
            for d, of_one, t in zip(self._parts(result[rows]), gradient, of_raw, strict=True):
                d[...] = factor[rows] * of_one * t
        return result

    def decode(self, outputs: Array) -> dict[str, Array]:
        """``weights``, ``means`` and ``scales`` of the components, (N, D, K) each."""
        logits, means, raw = self._parts(outputs)
        return {"weights": softmax(logits), "means": means.copy(), "scales": self.scale(raw)}

    def sample(self, outputs: Array, uniforms: Array) -> Array:
        """A number from the component that the uniform number falls into.

        The components divide [0, 1) between them, each a stretch as long as its weight. Where in
        its stretch the uniform number lies, from 0 to 1, is a uniform number again, and makes a
        normal one. So the result grows with the uniform number within a component only.
        """
        of = self.decode(outputs.astype(np.float64))
        ends = of["weights"].cumsum(axis=2)  # (N, D, K)
        u = uniforms * ends[:, :, -1]  # which rounding keeps from being 1
        k = (ends <= u[..., np.newaxis]).sum(axis=2)[..., np.newaxis]  # (N, D, 1)
        end, w, mean, scale = (
            np.take_along_axis(a, k, axis=2).squeeze(axis=2)
            for a in (ends, of["weights"], of["means"], of["scales"])
        )
        x: Array = mean + scale * standard_normal((u - (end - w)) / w)
        return x

    def independent_outputs(self, x: Array) -> npt.NDArray[np.float64]:
        """Components of equal weight, one for each of K equal parts of the sorted column.

        Each has its part's mean, and its standard deviation or, where that is more, half the
        distance between neighbouring means: then neighbours overlap and leave no hole.
        """
        x = np.sort(rows_needed(x), axis=0)
        N, D = x.shape
        K = self.n_components
        # A row that a boundary runs through is in both parts, so that none is empty.
        parts = [x[N * k // K : -(-N * (k + 1) // K)] for k in range(K)]
        means = np.stack([part.mean(axis=0) for part in parts], axis=1)  # (D, K)
        scales = np.stack([part.std(axis=0) for part in parts], axis=1)
        if K > 1:
            scales = np.maximum(scales, 0.5 * np.gradient(means, axis=1))
        return np.stack([np.zeros((D, K)), means, self.raw(scales)], axis=1).ravel()
