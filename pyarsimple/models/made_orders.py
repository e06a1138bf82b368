"""MADE trained with many orders and masks: one network, asked in any order.

    loss = -mean over a batch of log p(x; order, m),     order and degrees m drawn for each batch

The masks of MADE follow from the order of the variables and the degrees m of the hidden units (see
made.py), so both can be drawn anew for each batch: *order-agnostic* training draws orders,
*connectivity-agnostic* training draws degrees. One set of weights then serves all orders. Each
order gives a density of its own. A MADE that was trained for one order alone is better than any of
them; but the average of the probabilities of several, an `OrderMixture`, can be better than that.

A *set of masks* (an order and degrees) has a number, and is made from the model's seed and that
number whenever it is needed. Set 0 is the model's own: its ``order`` and ``degrees``, in which it
scores and samples. The masks are never written into the weights: a weight that one set masks is
free in another.

    option        value     batches see
    n_masks       K         one of the sets 0..K-1, each as often
                  None      a new set each: any order, any degrees
    redraw        both      sets that differ in order and degrees
                  order     sets that differ in the order
                  degrees   sets that differ in the degrees

Cost: as MADE's. A mixture of K orders costs K times as much.

Unlike the paper, which goes through its K sets in turn, a batch takes one of them at random, so
that nothing needs to be remembered between calls; and every degree is present where a layer has the
units for it (see made.py).

Reference: Germain et al. (2015), "MADE: Masked autoencoder for distribution estimation",
arXiv:1502.03509, on order-agnostic and connectivity-agnostic training.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from pyarsimple import orders
from pyarsimple._validation import check_size
from pyarsimple.autoregressive import Array, Params
from pyarsimple.conditionals import Categorical, Conditional
from pyarsimple.models.made import MADE, random_degrees
from pyarsimple.orders import positions

REDRAW = ("both", "order", "degrees")
#: Numbers of sets, where there is no end of them.
ENDLESS = 2**63


class OrderAgnosticMADE(MADE):
    """MADE for many orders. See the module's docstring for what training does.

    Parameters
    ----------
    n_dims, hidden_sizes, hidden, degrees, direct, dropout, conditional, context, order, dtype, rng
        As in `MADE`. ``order`` and ``degrees`` are the model's own: the first set of masks.
    n_masks : int, optional
        How many sets of masks there are; None draws a new one for each batch.
    redraw : {"both", "order", "degrees"}
        What the sets differ in.
    seed : int, optional
        From which the sets are made; None takes one from ``rng``.

    Attributes
    ----------
    params : dict
        As MADE's. Free is a weight that any of the sets leaves free.
    """

    name = "order-agnostic-made"

    def __init__(
        self,
        n_dims: int,
        hidden_sizes: Sequence[int] = (500,),
        *,
        n_masks: int | None = None,
        redraw: str = "both",
        seed: int | None = None,
        hidden: str = "relu",
        degrees: str | Sequence[npt.ArrayLike] = "spread",
        direct: bool = False,
        dropout: float = 0.0,
        conditional: Conditional | None = None,
        context: int | Categorical = 0,
        order: npt.ArrayLike | None = None,
        dtype: Any = "float64",
        rng: Any = None,
    ) -> None:
        self.n_masks = None if n_masks is None else check_size(n_masks, "n_masks", minimum=2)
        if redraw not in REDRAW:
            raise ValueError(f"redraw must be one of {', '.join(REDRAW)}, got {redraw!r}")
        self.redraw = redraw
        rng = np.random.default_rng(rng)
        drawn = int(rng.integers(2**32))  # in any case: with or without a seed, the same weights
        self.seed = drawn if seed is None else check_size(seed, "seed", minimum=0)
        super().__init__(
            n_dims, hidden_sizes, hidden=hidden, degrees=degrees, direct=direct, dropout=dropout,
            conditional=conditional, context=context, order=order, dtype=dtype, rng=rng,
        )  # fmt: skip

    # Sets of masks, by their number.

    def mask_set(self, k: int) -> tuple[Array, list[Array]]:
        """Order and degrees of set k; set 0 is the model's own."""
        order, degrees = self.order, self.degrees
        if k:
            rng = np.random.default_rng([self.seed, k])
            if self.redraw != "degrees":
                order = orders.random(self.n_dims, rng=rng)
            if self.redraw != "order":
                D, lowest = self.n_dims, self._lowest
                degrees = [random_degrees(H, D, rng, lowest) for H in self.hidden_sizes]
                degrees = [rng.permutation(m) for m in degrees]  # they come sorted
        return order, degrees

    @property
    def _lowest(self) -> int:
        """The lowest degree that is drawn: 0 where units may see the context alone."""
        return 0 if self.columns is not None and self.columns.n_context else 1

    def with_order(
        self, order: npt.ArrayLike | None, degrees: Sequence[npt.ArrayLike] | None = None
    ) -> Self:
        """The same network asked in another order: a view that shares ``params``.

        Parameters
        ----------
        order : array_like of int, shape (D,), or None
            None is the natural order.
        degrees : list of array_like of int, optional
            Of the hidden units; None leaves them as they are.

        Returns
        -------
        model
            Of the same class and settings; its set 0 is the order that was asked for, the others
            are the same. Training it trains this one.
        """
        view = copy.copy(self)
        view.order = orders.check_order(order, self.n_dims)
        view.order.flags.writeable = False
        if isinstance(degrees, str):
            raise TypeError(f"degrees must be arrays, one for each hidden layer, got {degrees!r}")
        if degrees is not None:
            unused = np.random.default_rng(0)
            view.degrees = self._make_degrees(degrees, self.n_dims, self._lowest, unused)
        return view

    def member(self, k: int) -> Self:
        """The view of set k."""
        return self.with_order(*self.mask_set(k))

    def members(self, n: int | None = None) -> list[Self]:
        """Views of the first n sets of masks, for `OrderMixture(model.members(n))`.

        Parameters
        ----------
        n : int, optional
            At most ``n_masks``, which is what None means; it must be given where there is no end of
            sets.
        """
        if n is None and self.n_masks is None:
            raise ValueError("n must be given: with n_masks=None there is no end of sets of masks")
        n = self.n_masks if n is None else check_size(n, "n")
        assert n is not None
        if self.n_masks is not None and n > self.n_masks:
            raise ValueError(f"n must be at most n_masks = {self.n_masks}, got {n}")
        return [self.member(k) for k in range(n)]

    # What differs from MADE.

    def config(self) -> dict[str, Any]:
        """The settings from which the model can be made again, as the constructor takes them."""
        return super().config() | {
            "n_masks": self.n_masks, "redraw": self.redraw, "seed": self.seed
        }  # fmt: skip

    def masks(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Where W1, W2, ..., V and A are free in one of the sets at least."""
        if self.n_masks is None:
            return self._masks_of_all()
        free = super().masks()
        for k in range(1, self.n_masks):
            for name, mask in MADE.masks(self.member(k)).items():
                free[name] |= mask
        return free

    def _masks_of_all(self) -> dict[str, npt.NDArray[np.bool_]]:
        """Where some order and some degrees leave a weight free.

        Each mask compares the position or degree of what a weight comes from with that of what it
        leads to. So it is free in some set if it is with the earliest that the one and the latest
        that the other can be.
        """
        earliest, latest = positions(self.order, self.columns)  # of inputs (F,), of outputs (P,)
        if self.redraw != "degrees":
            earliest, latest = np.minimum(earliest, 0), np.full_like(latest, self.n_dims - 1)
        low = high = self.degrees
        if self.redraw != "order":
            low = [np.minimum(m, min(self._lowest, self.n_dims - 1)) for m in self.degrees]
            high = [np.full_like(m, self.n_dims - 1) for m in self.degrees]
        j, i = positions(orders.natural(self.n_dims), self.columns)  # the variables themselves
        direct = (earliest < latest[:, np.newaxis]) & (j != i[:, np.newaxis])  # (P, F)
        free = {"V": low[-1] <= latest[:, np.newaxis] if low else direct}
        if high:
            free["W1"] = earliest[:, np.newaxis] < high[0]
        for k in range(1, len(high)):
            free[f"W{k + 1}"] = low[k - 1][:, np.newaxis] <= high[k]
        return free | {"A": direct} if self.direct else free

    def _draw(self, n: int, rng: np.random.Generator) -> Any:
        keeps = super()._draw(n, rng)
        if self._all_alike():
            return None if keeps is None else (self, keeps)
        return self.member(int(rng.integers(self.n_masks or ENDLESS))), keeps

    def _all_alike(self) -> bool:
        """Whether there is but one set of masks, whatever is drawn: one order, one degree."""
        orders_differ = self.redraw != "degrees" and self.n_dims > 1
        degrees_differ = self.redraw != "order" and self.n_dims - self._lowest > 1
        return not orders_differ and not (degrees_differ and self.hidden_sizes)

    def _forward(self, x: Array, draw: Any = None) -> tuple[Array, Any]:
        member, keeps = draw or (self, None)
        outputs, cache = MADE._forward(member, x, keeps)
        return outputs, (member, cache)

    def _backward(self, d_outputs: Array, cache: Any) -> Params:
        member, cache = cache
        return MADE._backward(member, d_outputs, cache)
