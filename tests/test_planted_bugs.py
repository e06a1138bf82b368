"""Every check is seen to fail: bugs that people write, each beside the check that must catch it.

A bug is a function that breaks the library (``patch`` undoes it when the test ends) and returns a
model. The check named in its decorator must pass without the bug and fail with it. Checks in
``missed_by`` pass all the same: they show why the named one is needed.

The compiled twins have bugs of their own, in test_twins.py.
"""

import ast
import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import properties
import pytest
import registry
from properties import (
    check_any_order,
    check_backward,
    check_causality,
    check_completion,
    check_consistent,
    check_definition,
    check_full,
    check_future_blind,
    check_gradients,
    check_gradients_float32,
    check_inputs,
    check_leaves_alone,
    check_loss_of_all_orders,
    check_masked,
    check_members,
    check_mixture,
    check_mixture_completion,
    check_mixture_sampler,
    check_normalised,
    check_precision,
    check_rows_independent,
    check_sampler,
    check_seeds,
    check_sequential,
    check_training_gradients,
    check_uniforms,
)

from pyarsimple import FVSBN, MADE, NADE, autoregressive, orders
from pyarsimple.conditionals import Bernoulli, sigmoid
from pyarsimple.mixtures import OrderMixture
from pyarsimple.models import OrderlessNADE, fvsbn, made, nade, orderless_nade, untied_nade
from pyarsimple.models.made import MADEState
from pyarsimple.models.made_orders import OrderAgnosticMADE
from pyarsimple.models.nade import NADEState
from pyarsimple.models.orderless_nade import OrderlessState

pytestmark = pytest.mark.usefixtures("numpy_side")  # where a Python function can be replaced


@dataclass(frozen=True)
class Bug:
    plant: Any
    make: Any
    caught_by: Any
    missed_by: tuple


BUGS = []


def bug(make, caught_by, missed_by=()):
    """Declare a bug of a case of the registry, or of what ``make()`` makes."""
    if isinstance(make, str):
        case = make
        make = lambda: registry.make(case)  # noqa: E731

    def declare(plant):
        BUGS.append(Bug(plant, make, caught_by, missed_by))
        return plant

    return declare


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.plant.__name__)
def test_without_the_bug_the_check_passes(bug):
    bug.caught_by(bug.make())


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.plant.__name__)
def test_with_the_bug_the_check_fails(bug, monkeypatch):
    mutant = bug.plant(monkeypatch.setattr, bug.make)
    with pytest.raises(AssertionError):
        bug.caught_by(mutant)
    for check in bug.missed_by:
        check(mutant)


def test_every_check_is_seen_to_fail():
    checks = {name for name in vars(properties) if name.startswith("check_")}
    assert {bug.caught_by.__name__ for bug in BUGS} == checks


# Which variable sees which.


@bug("fvsbn-cycle", check_causality)
def mask_with_the_diagonal(patch, make):
    """``<=`` where ``<`` was meant: every variable sees itself."""
    patch(fvsbn, "precedes", lambda q, columns: orders.precedes(q) | np.eye(len(q), dtype=bool))
    return make()


@bug("fvsbn-cycle", check_causality, missed_by=(check_normalised, check_future_blind))
def mask_without_the_neighbour(patch, make):
    """The diagonal below the main one is masked as well."""

    def two_before(q, columns):
        position = orders.inverse(q)
        return position[np.newaxis, :] < position[:, np.newaxis] - 1

    patch(fvsbn, "precedes", two_before)
    return make()


@bug("fvsbn-cycle", check_future_blind)
def first_variable_sees_the_last(patch, make):
    """Far from the diagonal, where a test of the diagonal only does not look."""

    def leaky(q, columns):
        mask = orders.precedes(q)
        mask[q[0], q[-1]] = True
        return mask

    patch(fvsbn, "precedes", leaky)
    return make()


@bug(
    "made-cycle-tanh",
    check_causality,
    missed_by=(check_normalised, check_future_blind, check_gradients),
)
def all_masks_zero(patch, make):
    original = made.make_masks
    patch(made, "make_masks", lambda *args: [mask & False for mask in original(*args)])
    return make()


@bug(
    "nade-cycle",
    check_causality,
    missed_by=(check_normalised, check_future_blind, check_gradients, check_consistent),
)
def model_ignores_its_inputs(patch, make):
    original = NADE._forward
    patch(NADE, "_forward", lambda self, x, draw=None: original(self, np.zeros_like(x), draw))
    return make()


@bug("made-cycle-tanh", check_future_blind)
def unit_sees_one_variable_too_many(patch, make):
    """A unit of degree m counts positions from 1 on one side, and from 0 on the other."""
    original = made.make_masks

    def shifted(order, degrees, columns=None):
        masks = original(order, degrees, columns)
        masks[0] = orders.inverse(order)[:, np.newaxis] <= degrees[0]
        return masks

    patch(made, "make_masks", shifted)
    return make()


@bug("made-cycle-tanh", check_full, missed_by=(check_normalised, check_future_blind))
def unit_feeds_one_variable_too_few(patch, make):
    original = made.make_masks

    def shifted(order, degrees, columns=None):
        masks = original(order, degrees, columns)
        masks[-1] = degrees[-1] < orders.inverse(order)[:, np.newaxis]
        return masks

    patch(made, "make_masks", shifted)
    return make()


@bug("made-two-layers-direct", check_causality)
def hidden_layers_linked_the_wrong_way_round(patch, make):
    original = made.make_masks

    def reversed_between(order, degrees, columns=None):
        first, _, last = original(order, degrees, columns)
        return [first, degrees[0][:, np.newaxis] >= degrees[1], last]

    patch(made, "make_masks", reversed_between)
    return make()


def wide_made():
    model = MADE(10, (12, 12), hidden="tanh", degrees="random", rng=2)
    return registry.generic(model, 2)


@bug(wide_made, check_full, missed_by=(check_normalised, check_causality))
def random_degrees_that_cut_paths(patch, make):
    """Independent draws, as in the paper: some degree is missing, and its paths with it."""
    patch(made, "random_degrees", lambda H, D, rng, lowest: np.sort(rng.integers(1, D, H)))
    return make()


@bug("made-two-layers-direct", check_leaves_alone, missed_by=(check_definition, check_gradients))
def mask_written_into_the_weights(patch, make):
    """With one set of masks nobody notices; with several, the weights are gone after a round."""
    original = MADE._weights

    def multiply_in_place(self):
        for name, mask in self.masks().items():
            self.params[name] *= mask
        return original(self)

    patch(MADE, "_weights", multiply_in_place)
    return make()


@bug("made-three-layers-random", check_masked, missed_by=(check_causality, check_definition))
def gradient_where_a_mask_is(patch, make):
    """The loss does not depend on it, but an optimiser would move it."""

    def unmasked(d_logits, layers, W, V, A, order, degrees, hidden, keeps, columns):
        W, V, A = made.mask_weights(W, V, A, order, degrees)
        return made.made_backward(d_logits, layers, W, V, A, hidden, keeps)

    patch(made, "made_gradients", unmasked)
    return make()


@bug("fvsbn-cycle", check_masked)
def masked_weights_times_zero(patch, make):
    """``W * mask`` is not ``where(mask, W, 0)``: what is masked may be anything, NaN too."""

    def logits(x, W, b, order, columns):
        return x @ (W * orders.precedes(order)).T + b

    patch(fvsbn, "fvsbn_logits", logits)
    return make()


# Orders and their inverses: the same for the identity and for any swap.


def inverse_in_the_masks(patch, make):
    patch(orders, "inverse", lambda q: np.asarray(q))
    return make()


def inverse_in_the_sampler(patch, make):
    original = fvsbn.fvsbn_sample

    def confused(x, n_known, uniforms, W, b, order):
        return original(x, n_known, uniforms, W, b, orders.inverse(order))

    patch(fvsbn, "fvsbn_sample", confused)
    return make()


bug("fvsbn-cycle", check_definition, missed_by=(check_normalised,))(inverse_in_the_masks)
bug("fvsbn-cycle", check_sampler, missed_by=(check_definition,))(inverse_in_the_sampler)


@pytest.mark.parametrize(
    ("plant", "check"),
    [(inverse_in_the_masks, check_definition), (inverse_in_the_sampler, check_sampler)],
)
def test_only_a_cycle_tells_an_order_from_its_inverse(plant, check, monkeypatch):
    for order in (None, registry.SWAP[5], [4, 3, 2, 1, 0]):
        check(plant(monkeypatch.setattr, lambda q=order: registry.make("fvsbn-cycle", order=q)))


# Probabilities.


@bug(
    "fvsbn-cycle",
    check_definition,
    missed_by=(check_normalised, check_consistent, check_future_blind, check_gradients),
)
def sigmoid_applied_twice(patch, make):
    """In the model and again in the loss, with the gradient to match: still a density."""
    forward, backward = FVSBN._forward, FVSBN._backward

    def probabilities(self, x, draw=None):
        logits, cache = forward(self, x, draw)
        return sigmoid(logits), (sigmoid(logits), cache)

    def chain(self, d_outputs, cache):
        p, cache = cache
        return backward(self, d_outputs * p * (1 - p), cache)

    patch(FVSBN, "_forward", probabilities)
    patch(FVSBN, "_backward", chain)
    return make()


@bug("nade-cycle", check_precision, missed_by=(check_definition, check_normalised))
def probabilities_clipped(patch, make):
    def clipped(self, outputs, x):
        p = np.clip(sigmoid(outputs), 1e-7, 1 - 1e-7)
        return np.log(np.where(x == 1, p, 1 - p))

    patch(Bernoulli, "log_p", clipped)
    return make()


@bug("nade-cycle", check_precision, missed_by=(check_definition,))
def log_of_the_probability(patch, make):
    """Not clipped, but rounded: 1 - p is 0 long before log p is."""

    def by_way_of_p(self, outputs, x):
        p = sigmoid(outputs)
        with np.errstate(divide="ignore"):
            return np.log(np.where(x == 1, p, 1 - p))

    patch(Bernoulli, "log_p", by_way_of_p)
    return make()


# Mixtures over orders.


@bug(registry.mixture, check_normalised)
def logits_averaged_over_orders(patch, make):
    """Called a likelihood, and none: the order in which the average would be taken is no order."""

    def log_prob(self, x, context):
        logits = self.weights @ np.array([model.forward(x)[0] for model in self.models]).swapaxes(
            0, 1
        )
        return Bernoulli().log_p(logits, x).sum(axis=1)

    patch(OrderMixture, "_log_prob", log_prob)
    return make()


@bug(registry.mixture, check_normalised)
def log_probabilities_averaged(patch, make):
    """A geometric mean: below the mixture everywhere, by Jensen, so it sums to less than one."""

    def log_prob(self, x, context):
        return self.weights @ np.array([model.log_prob(x) for model in self.models])

    patch(OrderMixture, "_log_prob", log_prob)
    return make()


@bug(registry.mixture, check_normalised)
def weights_that_do_not_sum_to_one(patch, make):
    mixture = make()
    mixture.weights = np.array([5.0, 1, 2, 3])
    return mixture


@bug(registry.mixture, check_mixture, missed_by=(check_normalised,))
def weights_ignored(patch, make):
    mixture = make()
    patch(OrderMixture, "_log_prob", lambda self, x, context: np.log(
        np.mean([np.exp(model.log_prob(x)) for model in self.models], axis=0)
    ))  # fmt: skip
    return mixture


@bug(registry.mixture, check_mixture, missed_by=(check_normalised,))
def best_component_taken_for_the_mixture(patch, make):
    """The order that fits best on the whole is a density, but not this one."""

    def log_prob(self, x, context):
        return max((model.log_prob(x) for model in self.models), key=np.sum)

    patch(OrderMixture, "_log_prob", log_prob)
    return make()


@bug(registry.mixture, check_mixture_sampler, missed_by=(check_mixture,))
def component_drawn_without_the_weights(patch, make):
    original = OrderMixture._weights_given

    def uniform(self, *args):
        return np.ones_like(original(self, *args)) / len(self.models)

    patch(OrderMixture, "_weights_given", uniform)
    return make()


@bug(registry.mixture, check_mixture_sampler, missed_by=(check_mixture,))
def samples_in_the_order_of_their_components(patch, make):
    """Each row is as it should be, and yet they are no independent draws."""

    def sorted_rows(self, n=1, *, rng=None, **given):
        rng = np.random.default_rng(rng)
        chosen = np.sort(rng.choice(len(self.models), n, p=self.weights))
        return np.concatenate([
            model.sample(int((chosen == k).sum()), rng=rng) for k, model in enumerate(self.models)
        ])  # fmt: skip

    patch(OrderMixture, "sample", sorted_rows)
    return make()


@bug(registry.with_one_start, check_mixture_completion, missed_by=(check_mixture_sampler,))
def component_drawn_as_if_nothing_were_known(patch, make):
    """What was observed says something of the component, too."""
    patch(OrderMixture, "_weights_given", lambda self, *args: self.weights[np.newaxis])
    return make()


@bug("agnostic-cycle-tanh", check_any_order, missed_by=(check_definition, check_sampler))
def asked_in_the_inverse_order(patch, make):
    original = OrderAgnosticMADE.with_order

    def confused(self, order, degrees=None):
        view = original(self, order, degrees)
        view.__dict__["_made"] = original(self, orders.inverse(order), degrees)
        return view

    patch(OrderAgnosticMADE, "with_order", confused)
    patch(OrderAgnosticMADE, "_forward", lambda self, x, draw=None: (
        MADE._forward(self.__dict__.get("_made", self), x)
    ))  # fmt: skip
    return make()


@bug("agnostic-four-masks", check_any_order)
def parameters_copied_for_each_order(patch, make):
    """Training the view would train nothing else, and a file would hold each of them."""
    original = OrderAgnosticMADE.with_order

    def with_copies(self, order, degrees=None):
        view = original(self, order, degrees)
        view.__dict__ |= copy.deepcopy({k: v for k, v in vars(self).items() if k == "params"})
        return view

    patch(OrderAgnosticMADE, "with_order", with_copies)
    return make()


@bug("agnostic-four-masks", check_members, missed_by=(check_definition, check_any_order))
def set_of_masks_drawn_anew_whenever_asked(patch, make):
    """What was trained is never seen again."""
    original = OrderAgnosticMADE.mask_set
    rng = np.random.default_rng(0)

    def drawn(self, k):
        return original(self, int(rng.integers(1, 100)) if k else 0)

    patch(OrderAgnosticMADE, "mask_set", drawn)
    return make()


@bug("agnostic-four-masks", check_members, missed_by=(check_masked, check_training_gradients))
def masks_of_the_own_set_only(patch, make):
    """Weights that other sets need are held to be masked: no decay, no L-BFGS, not counted."""
    patch(OrderAgnosticMADE, "masks", MADE.masks)
    return make()


@bug("agnostic-cycle-tanh", check_training_gradients, missed_by=(check_gradients, check_backward))
def gradient_through_the_own_masks(patch, make):
    """Drawn for the loss, and forgotten on the way back."""

    def backward(self, d_outputs, cache):
        return MADE._backward(self, d_outputs, cache[1])

    patch(OrderAgnosticMADE, "_backward", backward)
    return make()


@bug("agnostic-four-masks", check_leaves_alone, missed_by=(check_definition, check_gradients))
def masks_of_each_batch_written_into_the_weights(patch, make):
    """After a round of all sets there is nothing left."""
    original = OrderAgnosticMADE._draw

    def draw(self, n, rng):
        member, keeps = original(self, n, rng)
        for name, mask in MADE.masks(member).items():
            self.params[name] *= mask
        return member, keeps

    patch(OrderAgnosticMADE, "_draw", draw)
    return make()


@bug("nade-cycle", check_rows_independent)
def rows_that_leak_into_one_another(patch, make):
    original = NADE._forward

    def centred(self, x, draw=None):
        logits, cache = original(self, x, draw)
        return logits - logits.mean(axis=0) + self.params["b"], cache

    patch(NADE, "_forward", centred)
    return make()


@bug("fvsbn-cycle-float32", check_consistent)
def log_prob_in_single_precision(patch, make):
    original = FVSBN.log_prob
    patch(FVSBN, "log_prob", lambda self, x: original(self, x).astype(np.float32))
    return make()


@bug("nade-dropout", check_consistent)
def dropout_when_scoring(patch, make):
    original = NADE._forward

    def always(self, x, draw=None):
        return original(self, x, self._draw(len(x), np.random.default_rng()))

    patch(NADE, "_forward", always)
    return make()


# Gradients.


def altered(cls, alter):
    """A bug that alters the gradients which cls._backward returns."""

    def plant(patch, make):
        original = cls._backward

        def backward(self, d_outputs, cache):
            grads = original(self, d_outputs, cache)
            alter(self, grads, d_outputs, cache, original)
            return grads

        patch(cls, "_backward", backward)
        return make()

    return plant


def alteration(case, caught_by, missed_by=()):
    def declare(alter):
        plant = altered(type(registry.make(case)), alter)
        plant.__name__ = alter.__name__
        bug(case, caught_by, missed_by)(plant)
        return alter

    return declare


@alteration("nade-cycle", check_gradients)
def gradient_clipped(self, grads, d_outputs, cache, original):
    for g in grads.values():
        np.clip(g, -0.02, 0.02, out=g)


@alteration("nade-cycle", check_gradients)
def gradient_times_a_heuristic(self, grads, d_outputs, cache, original):
    grads["V"] *= 1 / np.sqrt(self.n_dims)


@alteration("nade-cycle", check_gradients)
def hidden_bias_forgotten(self, grads, d_outputs, cache, original):
    grads["c"][:] = 0


@alteration("fvsbn-cycle", check_gradients)
def bias_forgotten(self, grads, d_outputs, cache, original):
    grads["b"][:] = 0


@alteration("nade-cycle", check_backward)
def last_variable_dropped(self, grads, d_outputs, cache, original):
    grads["V"][self.order[-1]] = 0


@alteration("nade-cycle", check_backward)
def first_variable_dropped(self, grads, d_outputs, cache, original):
    grads["V"][self.order[0]] = 0


@alteration("nade-cycle", check_gradients)
def only_the_last_step_of_a_shared_weight(self, grads, d_outputs, cache, original):
    of_last = np.zeros_like(d_outputs)
    of_last[:, self.order[-1]] = d_outputs[:, self.order[-1]]
    grads["c"][:] = original(self, of_last, cache)["c"]


@alteration("nade-cycle", check_gradients)
def shifted_by_one_variable(self, grads, d_outputs, cache, original):
    grads["W"][self.order] = np.roll(grads["W"][self.order], 1, axis=0)


@alteration("fvsbn-cycle", check_gradients)
def transposed(self, grads, d_outputs, cache, original):
    grads["W"][:] = grads["W"].T.copy()


@alteration("made-two-layers-direct", check_backward)
def upstream_taken_for_uniform(self, grads, d_outputs, cache, original):
    uniform = np.broadcast_to(d_outputs.mean(axis=0), d_outputs.shape)
    grads |= original(self, np.ascontiguousarray(uniform), cache)


@alteration("nade-cycle-float32", check_gradients_float32)
def half_precision_on_the_way(self, grads, d_outputs, cache, original):
    if self.dtype == np.float32:
        for g in grads.values():
            g[...] = g.astype(np.float16)


@bug("nade-cycle", check_gradients, missed_by=(check_backward,))
def divided_by_the_batch_twice(patch, make):
    original = Bernoulli.d_outputs

    def again(self, outputs, x, scale):
        return original(self, outputs, x, scale) / len(x)

    patch(Bernoulli, "d_outputs", again)
    return make()


@bug("nade-cycle", check_backward)
def slope_of_the_sigmoid_missing(patch, make):
    patch(nade, "activate_slope", lambda h, hidden: np.ones_like(h))
    return make()


@bug("nade-cycle-relu", check_gradients)
def slope_of_a_unit_that_is_off(patch, make):
    """``h >= 0`` holds for every output of a rectifier."""
    patch(nade, "activate_slope", lambda h, hidden: (h >= 0).astype(h.dtype))
    return make()


@bug("made-dropout", check_training_gradients, missed_by=(check_gradients, check_backward))
def gradient_of_another_draw(patch, make):
    original = MADE._backward

    def redrawn(self, d_outputs, cache):
        layers, draw = cache
        if draw is not None:
            draw = self._draw(len(d_outputs), np.random.default_rng(0))
        return original(self, d_outputs, (layers, draw))

    patch(MADE, "_backward", redrawn)
    return make()


@bug("nade-dropout-relu", check_training_gradients, missed_by=(check_gradients,))
def dropout_from_a_seed_of_its_own(patch, make):
    original = NADE._draw
    patch(NADE, "_draw", lambda self, n, rng: original(self, n, np.random.default_rng(0)))
    return make()


# All orders at once.


@bug(
    "orderless-cycle-tanh", check_loss_of_all_orders,
    missed_by=(check_training_gradients, check_definition),
)  # fmt: skip
def loss_without_its_factor(patch, make):
    """The sum over what is not known, without D / (D - d + 1): orders' ends count too little."""
    original = OrderlessNADE._given

    def unscaled(self, *args):
        *inputs, factor = original(self, *args)
        return *inputs, (factor > 0).astype(factor.dtype)

    patch(OrderlessNADE, "_given", unscaled)
    return make()


@bug("orderless-cycle-tanh", check_loss_of_all_orders, missed_by=(check_training_gradients,))
def factor_off_by_one(patch, make):
    """D / (D - d), d the number of the next variable from 1: one too few are left."""
    original = OrderlessNADE._given

    def shifted(self, x, known, context):
        *inputs, factor = original(self, x, known, context)
        left = self.n_dims - known.sum(axis=1, keepdims=True)
        return *inputs, (factor * left / np.maximum(left - 1, 1)).astype(factor.dtype)

    patch(OrderlessNADE, "_given", shifted)
    return make()


@bug("orderless-cycle-tanh", check_loss_of_all_orders, missed_by=(check_training_gradients,))
def split_off_by_one(patch, make):
    """At least one variable is known: the first one of an order is never learnt."""
    original = orderless_nade.draw_known

    def one_more(n, n_dims, rng, split):
        known = original(n, n_dims, rng, split)
        known[~known.any(axis=1), rng.integers(n_dims)] = True
        return known

    patch(orderless_nade, "draw_known", one_more)
    return make()


@bug("orderless-one-layer-relu", check_loss_of_all_orders)
def balanced_without_its_weights(patch, make):
    """Drawn by another distribution, but weighted as if by the uniform one."""
    original = orderless_nade.loss_factors
    patch(orderless_nade, "loss_factors", lambda n_dims, split: original(n_dims, "uniform"))
    return make()


@bug("orderless-H1", check_loss_of_all_orders, missed_by=(check_training_gradients,))
def one_probability_for_every_row(patch, make):
    """A fair coin for each variable: the number of known ones is binomial, not uniform."""

    def fair(n, n_dims, rng, split):
        known = rng.random((n, n_dims)) < 0.5
        known[np.arange(n), rng.integers(n_dims, size=n)] = False
        return known

    patch(orderless_nade, "draw_known", fair)
    return make()


@bug(
    "orderless-cycle-tanh", check_definition,
    missed_by=(check_normalised, check_sequential, check_causality, check_full),
)  # fmt: skip
def mask_not_read(patch, make):
    """A 0 and an unknown variable look alike: a worse density, but a density."""
    weights = OrderlessNADE._weights

    def without_mask(self):
        W, U, *others = weights(self)
        return W, np.zeros_like(U), *others

    patch(OrderlessNADE, "_weights", without_mask)
    return make()


@bug("orderless-cycle-tanh", check_loss_of_all_orders, missed_by=(check_training_gradients,))
def values_of_the_unknown_read(patch, make):
    """The mask is read, but nothing is hidden by it: the network learns to copy."""
    original = OrderlessNADE._given

    def revealing(self, x, known, context):
        x, _, mask, factor = original(self, x, known, context)
        return x, x.copy(), mask, factor

    patch(OrderlessNADE, "_given", revealing)
    return make()


@bug("orderless-cycle-tanh", check_definition, missed_by=(check_normalised, check_gradients))
def walk_along_the_inverse(patch, make):
    """Forward and backward alike: a density, in another order than was asked for."""
    for name in ("orderless_logits", "orderless_backward"):
        original = getattr(orderless_nade, name)

        def inverted(*args, original=original):
            *others, order, hidden, columns = args
            return original(*others, orders.inverse(order), hidden, columns)

        patch(orderless_nade, name, inverted)
    return make()


@bug("orderless-cycle-tanh", check_backward)
def layers_above_get_the_last_step_only(patch, make):
    """``=`` where ``+=`` is meant: each step of the walk has its part in every layer."""
    original = orderless_nade.hidden_layers_backward

    def overwriting(d_h, layers, W, hidden, dW, dc):
        for k in range(1, len(W)):
            dW[k][...] = 0
        return original(d_h, layers, W, hidden, dW, dc)

    patch(orderless_nade, "hidden_layers_backward", overwriting)
    return make()


@bug("orderless-cycle-tanh", check_sequential, missed_by=(check_definition, check_gradients))
def state_forgets_the_mask(patch, make):
    original = OrderlessState.__init__

    def forgetful(self, *args):
        original(self, *args)
        self.U = np.zeros_like(self.U)

    patch(OrderlessState, "__init__", forgetful)
    return make()


# Networks that are not tied.


@bug("untied-cycle", check_definition, missed_by=(check_normalised, check_backward))
def network_of_the_position(patch, make):
    """Network k for the k-th variable of the order: W, c and V of another variable."""
    original = untied_nade.networks

    def by_position(order, columns):
        return [(k, *rest) for k, (_, *rest) in enumerate(original(order, columns))]

    patch(untied_nade, "networks", by_position)
    return make()


@bug("untied-cycle", check_causality)
def networks_that_read_themselves(patch, make):
    original = untied_nade.networks

    def one_more(order, columns):
        return [(i, np.append(read, i), z) for i, read, z in original(order, columns)]

    patch(untied_nade, "networks", one_more)
    return make()


# Samples.


@bug("nade-cycle", check_sampler, missed_by=(check_definition, check_gradients))
def sampler_one_step_late(patch, make):
    """Each variable is drawn before the one just drawn has reached the activation."""
    original = NADEState._advance

    def late(self, i, x_i):
        if hasattr(self, "waiting"):
            original(self, *self.waiting)
        self.waiting = i, x_i

    patch(NADEState, "_advance", late)
    return make()


@bug("made-two-layers-direct", check_sequential, missed_by=(check_definition, check_gradients))
def cached_sampler_without_direct_links(patch, make):
    original = MADEState.__init__

    def forgetful(self, *args):
        original(self, *args)
        self.A = None

    patch(MADEState, "__init__", forgetful)
    return make()


@bug("made-degrees-given", check_sequential)
def units_of_degree_zero_forgotten(patch, make):
    original = MADEState._pass_on
    patch(MADEState, "_pass_on", lambda self, m: original(self, m) if m else None)
    return make()


@bug("nade-cycle", check_sampler, missed_by=(check_sequential, check_definition))
def bits_thresholded(patch, make):
    """The most probable value, not a sample."""
    patch(Bernoulli, "sample", lambda self, outputs, uniforms: outputs > 0)
    return make()


@bug("nade-cycle", check_sampler)
def bits_inverted(patch, make):
    patch(Bernoulli, "sample", lambda self, outputs, uniforms: uniforms > sigmoid(outputs))
    return make()


@bug("nade-cycle", check_uniforms, missed_by=(check_sampler,))
def uniform_numbers_with_ten_bits(patch, make):
    """Too coarse for a chi-square of a few thousand samples to see."""
    original = Bernoulli.sample

    def coarse(self, outputs, uniforms):
        return original(self, outputs, np.floor(uniforms * 1024) / 1024)

    patch(Bernoulli, "sample", coarse)
    return make()


@bug("fvsbn-cycle", check_completion, missed_by=(check_sampler, check_uniforms))
def what_is_given_pasted_on_top(patch, make):
    """Drawn as if nothing were known; then the known values are written over the sample."""
    original = FVSBN._fill_in

    def paste(self, x, n_known, uniforms, context):
        first = self.order[:n_known]
        samples = original(self, x, 0, uniforms, context)
        samples[:, first] = x[:, first]
        return samples

    patch(FVSBN, "_fill_in", paste)
    return make()


def resampled(seed):
    """A bug in what ``sample`` does with its rng."""

    def plant(patch, make):
        original = autoregressive.AutoregressiveModel.sample

        def sample(self, n=1, *, rng=None, **settings):
            return original(self, n, rng=seed(rng), **settings)

        patch(autoregressive.AutoregressiveModel, "sample", sample)
        return make()

    return plant


for name, seed in {
    "same_draw_at_each_call": lambda rng: 0 if rng is None else rng,
    "seed_ignored": lambda rng: None,
    "every_seed_the_same": lambda rng: 0,
    "generator_stands_still": copy.deepcopy,
    "global_state_used": lambda rng: np.random.randint(2**31) if rng is None else rng,  # noqa: NPY002
}.items():
    plant = resampled(seed)
    plant.__name__ = name
    bug("fvsbn-cycle", check_seeds)(plant)


# Manners.


@bug("fvsbn-cycle", check_leaves_alone)
def parameters_changed_by_scoring(patch, make):
    original = FVSBN._forward

    def bounded(self, x, draw=None):
        np.clip(self.params["W"], -1, 1, out=self.params["W"])
        return original(self, x, draw)

    patch(FVSBN, "_forward", bounded)
    model = make()
    model.params["W"][0, 0] = 2  # masked: no probability depends on it
    return model


@bug("fvsbn-cycle", check_leaves_alone)
def callers_array_used_as_scratch(patch, make):
    original = FVSBN._forward

    def scratch(self, x, draw=None):
        results = original(self, x, draw)
        x *= 0
        return results

    patch(FVSBN, "_forward", scratch)
    return make()


@bug("nade-cycle", check_leaves_alone)
def cache_kept_in_the_model(patch, make):
    original = NADE._forward

    def keep(self, x, draw=None):
        self.last = original(self, x, draw)
        return self.last

    patch(NADE, "_forward", keep)
    return make()


@bug("fvsbn-cycle", check_inputs, missed_by=(check_definition,))
def arithmetic_in_the_type_of_the_data(patch, make):
    """1 - 2 x is 255 for an unsigned 1."""
    patch(FVSBN, "_features", lambda self, x, context: (x, x))
    return make()


# Tolerances.

COMPARISONS = {
    "assert_allclose": 2, "allclose": 2, "isclose": 2, "assert_almost_equal": 2,
    "assert_array_almost_equal": 2, "assert_approx_equal": 2, "approx": 1,
}  # fmt: skip


def positional_tolerances(source):
    """Lines on which a tolerance is given by position.

    The third argument of ``assert_allclose(a, b, 4)`` is a relative tolerance of 400%.
    """
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (
            isinstance(node, ast.Call)
            and len(node.args) > COMPARISONS.get(getattr(node.func, "attr", None), 99)
        )
        or (
            isinstance(node, ast.Call)
            and len(node.args) > COMPARISONS.get(getattr(node.func, "id", None), 99)
        )
    ]


def test_tolerances_by_position_are_found():
    source = "assert_allclose(a, b, 4)\nnp.isclose(a, b, rtol=4)\npytest.approx(a, 0.1)\n"
    assert positional_tolerances(source) == [1, 3]


@pytest.mark.parametrize("path", sorted(Path(__file__).parent.glob("*.py")), ids=lambda p: p.name)
def test_tolerances_are_given_by_keyword(path):
    assert positional_tolerances(path.read_text(encoding="utf-8")) == []
