"""What hidden units compute: h = g(a), and the slope g'(a), which every g here can tell from h."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple.conditionals import sigmoid

Array = npt.NDArray[Any]


def activate(a: Array, hidden: str) -> Array:
    """h = g(a), of the same shape; ``hidden`` is "sigmoid", "relu" or "tanh"."""
    if hidden == "relu":
        return np.maximum(a, 0)
    h: Array = np.tanh(a) if hidden == "tanh" else sigmoid(a)
    return h


def activate_slope(h: Array, hidden: str) -> Array:
    """g'(a), from h = g(a); that of the rectifier is 0 at its kink."""
    if hidden == "relu":
        return (h > 0).astype(h.dtype)
    return 1 - h * h if hidden == "tanh" else h * (1 - h)
