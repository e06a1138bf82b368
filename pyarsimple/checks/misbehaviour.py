"""What is wrong with a function under test before any of its numbers is compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pyarsimple.checks.report import Cause, show_entry, some

if TYPE_CHECKING:
    from pyarsimple.checks.gradients import _Loss

Array = npt.NDArray[Any]

#: Causes that make every comparison meaningless: nothing more is diagnosed after them.
DECISIVE = frozenset(
    {
        "params-modified", "random-loss", "random-gradient", "accumulated", "params-ignored",
        "float32", "float32-inside",
    }
)  # fmt: skip

IN_FLOAT64 = "x.astype(float64), never .astype(float32)"


def of_function(
    loss: _Loss, value: Any, answered: Mapping[str, Any], grads: dict[str, Array],
    given: dict[str, Array],
) -> list[Cause]:  # fmt: skip
    """What is wrong with the answer before any of its numbers is compared."""
    found = []
    changed = [k for k, p in loss.params.items() if not np.array_equal(p, given[k])]
    if changed:
        found.append(
            Cause(
                "params-modified",
                f"the call changed the parameters it was given ({some(changed)}): a mask or an "
                "update written into them? Work on copies.",
                changed[0], equation="W_masked = W * M, not W *= M",
            )
        )  # fmt: skip
    if not np.isfinite(value):
        found.append(
                Cause(
                    "not-finite", f"the loss is {value}: log of 0, or an overflow?", "loss",
                    equation="log(sigmoid(a)) = -logaddexp(0, -a)",
                )
            )  # fmt: skip
        return found
    single = [name for name in usable(loss.params, grads) if is_float32(answered[name])]
    if is_float32(value):
        found.append(float32_cause("the loss is"))
    elif single:
        found.append(float32_cause(f"the gradient of {some(single)} is", single[0]))
    for name, p in loss.params.items():
        found += misshapen(name, p, grads)
    found += _unsteady(loss, value, grads) + _ignored(loss, value, grads)
    return found + ([] if found else _single_inside(loss, value, grads))


def _single_inside(loss: _Loss, value: Any, grads: dict[str, Array]) -> list[Cause]:
    """Loss and gradients that are float32 numbers to the last bit, here and at another point."""
    rng = np.random.default_rng(0)
    moved = {
        k: p + loss.sizes[k] * rng.uniform(1e-3, 1e-2, p.shape) for k, p in loss.params.items()
    }
    if not _is_single(value, grads):
        return []
    there, answered = loss.call(moved)
    if not np.isfinite(there) or not _is_single(there, answered) or float(there).is_integer():
        return []
    text = (
        "loss and gradients are float32 numbers, bit for bit: the code computes in float32 inside, "
        "which leaves seven digits; compute in float64"
    )
    return [Cause("float32-inside", text, "loss", equation=IN_FLOAT64)]


def _is_single(value: Any, grads: Mapping[str, Any]) -> bool:
    """Whether rounding to float32 changes no bit of the loss and of any gradient."""
    if np.iscomplexobj(value):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return all(
            np.isrealobj(v) and np.array_equal(v, np.asarray(v).astype(np.float32))
            for v in (value, *grads.values())
        )


def is_float32(value: Any) -> bool:
    """Whether a number or an array has seven digits or fewer."""
    return np.asarray(value).dtype in (np.float32, np.float16)


def float32_cause(what: str, array: str = "loss") -> Cause:
    """What is said of such an answer: ``what`` is "the loss is", say."""
    return Cause(
        "float32",
        f"{what} float32, though the parameters are float64: something inside converts, and "
        "leaves seven digits; use float64 throughout for the check",
        array,
        equation=IN_FLOAT64,
    )


def misshapen(name: str, p: Array, grads: dict[str, Array]) -> list[Cause]:
    """A gradient that is missing, of the wrong shape, or not finite."""
    if name not in grads:
        others = [
            k for k in grads if k in (f"d{name}", f"d_{name}", f"{name}_grad", f"grad_{name}")
        ]
        hint = f"; is it the one called {others[0]!r}?" if others else ""
        kind = "bias" if p.ndim <= 1 else "weight"
        return [
            Cause(
                "forgotten",
                f"there is no gradient for {name}: the {kind} was forgotten{hint}",
                name,
                equation=_of_its_shape(name, p),
            )
        ]
    shape = grads[name].shape
    if shape != p.shape:
        turned = shape == p.shape[::-1]
        text = f"the gradient of {name} has shape {shape}, {name} itself {p.shape}"
        text += ": transposed" if turned else "; a sum over the rows forgotten, or one too many?"
        kind = "transposed" if turned else "shape"
        return [Cause(kind, text, name, None, _of_its_shape(name, p))]
    if not np.isfinite(grads[name]).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(grads[name]))[0])
        text = f"the gradient of {name} is {grads[name][index]} at {show_entry(name, index)}"
        text += ": 0/0, log of 0 or an overflow?"
        equation = "d log(p) / da = 1 - p for p = sigmoid(a): nothing to divide by"
        return [Cause("not-finite", text, name, index, equation)]
    return []


def _of_its_shape(name: str, p: Array) -> str:
    """The usual gradient of a bias, or of a weight of a layer."""
    if p.ndim <= 1:
        return f"d{name} = d_a.sum(axis=0)"
    return f"d{name} = x.T @ d_a for a = x @ {name}: of the shape of {name}"


def extra(params: Mapping[str, Array], grads: Mapping[str, Array]) -> list[str]:
    """A warning of gradients that belong to no parameter."""
    names = [repr(k) for k in grads if k not in params]
    if not names:
        return []
    return [
        f"the gradients have {some(names)}, which params has not: not checked (a name that is "
        "spelt in two ways, or a parameter left out of params?)"
    ]


def usable(params: Mapping[str, Array], grads: Mapping[str, Array]) -> list[str]:
    """The arrays whose gradients can be compared at all."""
    return [
        k for k, p in params.items()
        if k in grads and grads[k].shape == p.shape and np.isfinite(grads[k]).all()
    ]  # fmt: skip


def _unsteady(loss: _Loss, value: Any, grads: dict[str, Array]) -> list[Cause]:
    """A second call that does not answer as the first did."""
    again, second = loss.call({k: p.copy() for k, p in loss.params.items()})
    if abs(again - value) > 1e-10 * max(abs(value), abs(again)):
        return [
            Cause(
                "random-loss",
                f"two calls with the same parameters gave the losses {value:.12g} and {again:.12g}"
                ": fix what is random (dropout, an order, a batch) for the check; keep no state",
                "loss",
                equation="loss(params) = loss(params), in every bit",
            )
        ]
    for name in usable(loss.params, grads):
        first, then = grads[name], np.array(second[name])
        near = 1e-9 * float(np.linalg.norm(first))
        if np.allclose(first, then, rtol=1e-6, atol=near):
            continue
        text = f"a second call with the same parameters gave another gradient of {name}"
        third = loss.call({k: p.copy() for k, p in loss.params.items()})[1]
        if np.allclose(third[name] - then, then - first, rtol=1e-6, atol=near):
            text += ", a third one larger by as much again"
            if np.allclose(then, 2 * first, rtol=1e-6, atol=0):
                text = text.replace("another gradient of", "twice the gradient of")
            text += ": it is added to the one of the call before; start from zeros"
            return [Cause("accumulated", text, name, equation=f"d{name} = zeros_like({name})")]
        text += (
            ", and the third call shows no growth by a constant step: something in the "
            "backward pass is random (dropout, noise), or keeps a state; fix it for the check"
        )
        equation = f"d{name}(params) = d{name}(params), in every call"
        return [Cause("random-gradient", text, name, equation=equation)]
    return []


def _ignored(loss: _Loss, value: Any, grads: dict[str, Array]) -> list[Cause]:
    """A loss that does not look at the parameters that it is given."""
    rng = np.random.default_rng(0)
    moved = {k: p + loss.sizes[k] * rng.uniform(0.1, 1, p.shape) for k, p in loss.params.items()}
    if loss.at(moved) != value or not any(g.any() for g in grads.values()):
        return []
    text = (
        "the loss does not change with the parameters: does the function read the ones it is given?"
    )
    equation = "loss(params) is computed from params, not from self.params"
    return [Cause("params-ignored", text, "loss", equation=equation)]
