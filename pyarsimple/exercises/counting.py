"""Counts the work of a function: what NumPy does for it, and the steps of its own Python code.

Arrays of class `Counted` add the size of every operation to a tally, and a trace counts the
bytecodes that run in the student's file, so that neither a large product nor a loop over scalars is
free. The unit is rough; only how the count grows with a size is judged.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

_FREE = {
    "transpose", "reshape", "ravel", "shape", "ndim", "size", "broadcast_to", "expand_dims",
    "squeeze", "atleast_1d", "atleast_2d", "swapaxes", "moveaxis", "empty_like", "may_share_memory",
    "shares_memory", "iscomplexobj", "can_cast", "result_type", "copyto", "array_equal",
}  # fmt: skip


class Counted(np.ndarray[Any, Any]):
    """An array whose operations are added to ``Counted.tally``."""

    tally = 0

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Run the operation on plain arrays, and count it."""
        plain = [_plain(a) for a in inputs]
        out = kwargs.get("out")
        if out is not None:
            kwargs["out"] = tuple(_plain(a) for a in out)
        result = getattr(ufunc, method)(*plain, **kwargs)
        work = max(_size(result), *map(_size, plain))
        if ufunc.signature is not None and method == "__call__":  # matmul and its like
            work = max(1, _size(result)) * np.shape(plain[0])[-1]
        Counted.tally += work
        if out is not None:
            return out[0] if len(out) == 1 else out
        return _counted(result)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Run the function on plain arrays, and count it."""
        plain, plain_kwargs = _plain(args), _plain(kwargs)
        result = func(*plain, **plain_kwargs)
        if func.__name__ not in _FREE:
            Counted.tally += _work(func.__name__, plain, result)
        if isinstance(kwargs.get("out"), Counted):
            return kwargs["out"]
        return _counted(result)

    def dot(self, other: Any, out: Any = None) -> Any:
        """As ``@``: the method would not be counted."""
        return np.dot(self, other) if out is None else np.dot(self, other, out=out)


def _work(name: str, args: Any, result: Any) -> int:
    if name == "einsum" and isinstance(args[0], str):
        sizes: dict[str, int] = {}
        for labels, array in zip(args[0].split("->")[0].split(","), args[1:], strict=False):
            sizes |= dict(zip(labels.strip(), np.shape(array), strict=False))
        return math.prod(sizes.values())
    if name in {"dot", "inner", "tensordot"} and np.ndim(args[0]) and np.ndim(args[1]):
        return max(1, _size(result)) * int(np.shape(args[0])[-1])
    return max(_size(result), _size(args))


def _size(value: Any) -> int:
    if isinstance(value, (tuple, list)):
        return sum(map(_size, value))
    return value.size if isinstance(value, np.ndarray) else 1


def _plain(value: Any) -> Any:
    if isinstance(value, Counted):
        return value.view(np.ndarray)
    if isinstance(value, (tuple, list)):
        return type(value)(map(_plain, value))
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def _counted(value: Any) -> Any:
    if type(value) is np.ndarray and value.dtype.kind in "biuf":
        return value.view(Counted)
    if isinstance(value, (tuple, list)):
        return type(value)(map(_counted, value))
    return value


def count(function: Callable[..., Any], args: tuple[Any, ...], path: str) -> int:
    """How much work ``function(*args)`` is; bytecodes are counted in the file ``path``."""
    steps = 0

    def local(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal steps
        steps += event in {"opcode", "line"}
        return local

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename != path:
            return None
        frame.f_trace_opcodes = True
        return local

    arrays = [_counted(a.copy()) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a
              for a in args]  # fmt: skip
    before = sys.gettrace()
    # Python 3.13 sees a function's opcodes only from its second traced call on.
    for _ in range(2 if sys.version_info >= (3, 13) else 1):
        Counted.tally = steps = 0
        sys.settrace(trace)
        try:
            function(*arrays)
        finally:
            sys.settrace(before)
    return max(1, Counted.tally + steps)
