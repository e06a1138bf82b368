from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pyarsimple.orders import Columns

Array = npt.NDArray[Any]
IntArray = npt.NDArray[np.intp]

SOURCE_HASH: str
CFLAGS: str
COMPILER: str

def set_num_threads(n: int) -> None: ...
def has_threads() -> bool: ...
def simd_levels() -> list[str]: ...
def simd_level() -> str: ...
def set_simd_level(name: str) -> None: ...
def exponential(x: Array) -> Array: ...
def bernoulli_log_p(logits: Array, x: Array) -> Array: ...
def bernoulli_d_logits(logits: Array, x: Array, scale: float) -> Array: ...
def adam_update_(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    t: int,
) -> None: ...
def average_update_(mean: Array, p: Array, rate: float) -> None: ...
def fvsbn_logits(
    x: Array, W: Array, b: Array, order: IntArray, columns: Columns | None = None
) -> Array: ...
def fvsbn_backward(
    d_logits: Array, x: Array, order: IntArray, columns: Columns | None = None
) -> tuple[Array, Array]: ...
def fvsbn_sample(
    x: Array, n_known: int, uniforms: Array, W: Array, b: Array, order: IntArray
) -> Array: ...
def nade_logits(
    x: Array,
    W: Array,
    c: Array,
    V: Array,
    b: Array,
    order: IntArray,
    hidden: str,
    keep: Array | None,
    columns: Columns | None = None,
) -> Array: ...
def nade_backward(
    d_logits: Array,
    x: Array,
    W: Array,
    c: Array,
    V: Array,
    order: IntArray,
    hidden: str,
    keep: Array | None,
    columns: Columns | None = None,
) -> tuple[Array, Array, Array, Array]: ...
def nade_sample(
    x: Array,
    n_known: int,
    uniforms: Array,
    W: Array,
    c: Array,
    V: Array,
    b: Array,
    order: IntArray,
    hidden: str,
) -> Array: ...
def masked_forward(
    h: Array,
    W: Array,
    sources: IntArray,
    targets: IntArray,
    transposed: bool,
    bias: Array | None = None,
    hidden: str | None = None,
    keep: Array | None = None,
    add_to: Array | None = None,
) -> Array: ...
def masked_backward(
    d: Array,
    W: Array,
    sources: IntArray,
    targets: IntArray,
    transposed: bool,
    h: Array,
    hidden: str,
    keep: Array | None,
) -> tuple[Array, Array]: ...
def masked_outer(
    h: Array, d: Array, sources: IntArray, targets: IntArray, transposed: bool
) -> Array: ...
def made_layers(
    x: Array,
    W: Sequence[Array],
    c: Sequence[Array],
    V: Array,
    b: Array,
    A: Array | None,
    order: IntArray,
    degrees: Sequence[IntArray],
    hidden: str,
    keeps: Sequence[Array] | None,
    columns: Columns | None = None,
) -> tuple[Array, list[Array]]: ...
def made_gradients(
    d_logits: Array,
    layers: Sequence[Array],
    W: Sequence[Array],
    V: Array,
    A: Array | None,
    order: IntArray,
    degrees: Sequence[IntArray],
    hidden: str,
    keeps: Sequence[Array] | None,
    columns: Columns | None = None,
) -> tuple[list[Array], list[Array], Array, Array, Array | None]: ...
def made_sample(
    x: Array,
    n_known: int,
    uniforms: Array,
    W: Sequence[Array],
    c: Sequence[Array],
    V: Array,
    b: Array,
    A: Array | None,
    order: IntArray,
    degrees: Sequence[IntArray],
    hidden: str,
) -> Array: ...
def alike(n: int) -> IntArray: ...
def layers_from(h: Array, W: Sequence[Array], c: Sequence[Array], hidden: str) -> list[Array]: ...
def hidden_layers(a: Array, W: Sequence[Array], c: Sequence[Array], hidden: str) -> list[Array]: ...
def dense_forward(
    x: Array,
    known: Array,
    W: Sequence[Array],
    U: Array,
    c: Sequence[Array],
    V: Array,
    b: Array,
    hidden: str,
) -> tuple[Array, list[Array]]: ...
def dense_backward(
    d_logits: Array,
    x: Array,
    known: Array,
    layers: Sequence[Array],
    W: Sequence[Array],
    V: Array,
    hidden: str,
) -> tuple[list[Array], Array, list[Array], Array, Array]: ...
