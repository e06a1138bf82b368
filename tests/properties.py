"""What must hold of every model, as plain functions that raise AssertionError.

The tests run them over the registry, and the planted bugs show that each can fail. D must be small:
most of them go through all of {0,1}^D.
"""

import copy
import sys

import definition
import numpy as np
import scipy.stats
from registry import (
    N,
    all_rows,
    changed,
    context_of,
    everything,
    in_float64,
    is_bits,
    is_discrete,
    real_units,
    rows,
    set_biases,
)

import pyarsimple
from pyarsimple import conditionals
from pyarsimple.models import MADE


def close(actual, wanted, tolerance, what):
    """The largest difference, relative to the largest entry; 0 against 0 is no difference."""
    actual, wanted = np.asarray(actual), np.asarray(wanted)
    assert actual.shape == wanted.shape, f"{what}: shape {actual.shape}, not {wanted.shape}"
    if actual.size == 0:
        return
    error, size = np.abs(actual - wanted).max(), np.abs(wanted).max()
    assert error <= tolerance * size, f"{what}: {error:.3g} away, largest entry {size:.3g}"


def same_bits(actual, wanted, what):
    assert actual.dtype == wanted.dtype, f"{what}: dtype {actual.dtype}, not {wanted.dtype}"
    assert actual.shape == wanted.shape, f"{what}: shape {actual.shape}, not {wanted.shape}"
    assert actual.tobytes() == wanted.tobytes(), f"{what}: not the same bits"


def rounding(model, in_double, in_single):
    return in_single if model.dtype == np.float32 else in_double


def defined(model, function, x=None):
    """A function of the definition, at each row of x, or at all of {0,1}^D."""
    params = {name: p.tolist() for name, p in model.params.items()}
    x, y = everything(model) if x is None else x, context_of(model)
    return np.array([function(model.name, params, model.config(), row + y) for row in x.tolist()])


# Probabilities.


def check_definition(model):
    """Probabilities are those of the textbook."""
    x = everything(model)
    tolerance = rounding(model, 1e-13, 1e-5)
    if is_bits(model):
        p = defined(model, definition.conditionals)
        close(model.conditionals(x), p, tolerance, "conditionals")
    log_p = defined(model, definition.log_conditionals)
    close(model.log_conditionals(x), log_p, tolerance, "log_conditionals")
    close(model.log_prob(x), log_p.sum(axis=1), tolerance, "log_prob")


def check_normalised(model):
    """The probabilities of all rows sum to one; of reals, each conditional integrates to one."""
    tolerance = 1e-5 if getattr(model, "dtype", None) == np.float32 else 1e-12
    if is_discrete(model):
        x = everything(model)
        log_p = model.log_prob(x)
        assert np.isfinite(log_p).all()
        total = np.exp(log_p).sum()
        assert abs(total - 1) < tolerance, f"probabilities sum to {total!r}"
        return
    for i in range(model.n_dims):
        values, width = _all_values(model, i)
        for row in rows(model, 3, seed=2):
            x = np.tile(row, (len(values), 1))
            x[:, i] = values
            total = np.exp(model.log_conditionals(x)[:, i].astype(np.float64)).sum() * width
            assert abs(total - 1) < 10 * tolerance + (1e-7 if width != 1 else 0), (
                f"the conditional of variable {i} sums or integrates to {total!r}"
            )


def _all_values(model, i):
    """All values of variable i, or so many of a real one that sums are integrals; their step."""
    values = model.conditional.of(i).values(1)
    if values is not None:
        return values[0], 1
    mean, std = real_units(model, i)
    width = std / 64
    return mean + width * np.arange(-64 * 64, 64 * 64 + 1), width


def check_consistent(model):
    """The views of one distribution agree: loss, log_prob, log_conditionals, conditionals."""
    x = rows(model)
    tolerance = rounding(model, 1e-13, 1e-5)
    outputs, _ = model.forward(x)
    log_p, p = model.log_conditionals(x), model.conditionals(x)
    log_prob = model.log_prob(x)
    assert outputs.shape == (len(x), model.n_outputs)
    assert log_p.shape == x.shape
    assert outputs.dtype == log_p.dtype == model.dtype
    assert log_prob.shape == (len(x),)
    assert log_prob.dtype == np.float64
    close(log_prob, log_p.sum(axis=1, dtype=np.float64), tolerance, "sum of log_conditionals")
    if is_bits(model):
        assert p.shape == x.shape
        assert p.dtype == model.dtype
        close(np.exp(log_p), np.where(x == 1, p, 1 - p), tolerance, "exp(log_conditionals)")
        close(1 / (1 + np.exp(-outputs)), p, tolerance, "sigmoid(outputs)")
    else:
        _same_decoded(p, model.conditional.decode(outputs))
    nll, _ = model.nll_and_grads(x)
    assert isinstance(nll, float)
    close(nll, -log_prob.mean(), tolerance, "loss against -mean(log_prob)")
    same_bits(model.log_prob(x), log_prob, "log_prob when asked again")


def _same_decoded(p, wanted):
    """The same arrays in the same dicts and lists."""
    if isinstance(wanted, dict):
        assert list(p) == list(wanted)
        p, wanted = list(p.values()), list(wanted.values())
    if isinstance(wanted, list):
        for a, b in zip(p, wanted, strict=True):
            _same_decoded(a, b)
    else:
        same_bits(p, wanted, "conditionals")


def check_precision(model):
    """Nothing is clipped: exact where a probability is 1e-17, finite for logits of +-1000."""
    model = copy.deepcopy(model)
    x = everything(model)
    tolerance = rounding(model, 1e-12, 1e-4)
    for size in (40, 1000):
        set_biases(model, np.where(np.arange(model.n_dims) % 2, -size, size))
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            log_p, log_prob = model.log_conditionals(x), model.log_prob(x)
            nll, grads = model.nll_and_grads(x)
        wanted = defined(model, definition.log_conditionals, x)
        wanted[wanted > -1e-300] = 0  # what no float can hold
        error = np.abs(log_p - wanted)
        assert (error <= tolerance * np.abs(wanted)).all(), f"b = +-{size}: {error.max():.3g} away"
        close(log_prob, wanted.sum(axis=1), tolerance, f"log_prob, b = +-{size}")
        close(nll, -wanted.sum(axis=1).mean(), tolerance, f"loss, b = +-{size}")
        assert all(np.isfinite(g).all() for g in grads.values())


# Gradients.


def _relative_error(g, numeric):
    """Of the array, by its norm; 0/0 is no error, something where nothing should be is one of 1."""
    largest = max((np.abs(a).max() for a in (g, numeric) if a.size), default=0.0)
    if largest == 0:
        return 0.0
    g, numeric = g / largest, numeric / largest  # so that no square underflows
    return np.linalg.norm(g - numeric) / max(np.linalg.norm(g), np.linalg.norm(numeric))


def _check_grads(grads, numeric, params, tolerance):
    assert list(grads) == list(params), f"gradients of {list(grads)}, parameters {list(params)}"
    for name, g in grads.items():
        assert g.shape == params[name].shape, f"d{name} has shape {g.shape}"
        assert g.dtype == params[name].dtype, f"d{name} has dtype {g.dtype}"
        error = _relative_error(g, numeric[name])
        assert error < tolerance, f"d{name}: relative error {error:.3g}"


def central_differences(loss, params, step=1e-5):
    """(loss(p + step) - loss(p - step)) / (2 step), entry by entry, of every array of params."""
    numeric = {}
    for name, p in params.items():
        numeric[name] = np.zeros_like(p)
        for index in np.ndindex(p.shape):
            before = p[index]
            p[index] = before + step
            above = loss()
            p[index] = before - step
            below = loss()
            p[index] = before
            numeric[name][index] = (above - below) / (2 * step)
    return numeric


def check_gradients(model):
    """nll_and_grads gives the gradient of the loss that it gives: central differences."""
    x = rows(model)
    grads = model.nll_and_grads(x)[1]
    numeric = central_differences(lambda: model.nll_and_grads(x)[0], model.params)
    _check_grads(grads, numeric, model.params, 1e-6)


def check_gradients_float32(model):
    """Gradients in float32 are those in float64, to float32's rounding."""
    x = rows(model)
    grads = model.nll_and_grads(x)[1]
    exact = in_float64(model).nll_and_grads(x)[1]
    assert all(g.dtype == np.float32 for g in grads.values())
    _check_grads(grads, exact, model.params, 2e-6)


def check_training_gradients(model):
    """The gradient of the training loss is exact for its draw, which ``rng`` alone decides."""
    x = rows(model)
    loss, grads = model.training_loss_and_grads(x, rng=3)
    numeric = central_differences(lambda: model.training_loss_and_grads(x, rng=3)[0], model.params)
    _check_grads(grads, numeric, model.params, 1e-6)
    assert model.training_loss_and_grads(x, rng=3)[0] == loss
    differs = model.training_loss_and_grads(x, rng=4)[0] != loss
    assert differs == model.is_stochastic, "the draw does not come from rng"
    assert (loss == model.nll_and_grads(x)[0]) != model.is_stochastic


def check_loss_of_all_orders(model, n=200):
    """The training loss of a model for all orders is, on average, the mean of -log p over them."""
    x = rows(model)
    wanted = defined(model, definition.nll_over_orders, x).mean()
    rng = np.random.default_rng(9)
    losses = [model.training_loss_and_grads(np.tile(x, (20, 1)), rng=rng)[0] for _ in range(n)]
    error, deviation = np.mean(losses) - wanted, np.std(losses) / np.sqrt(n)
    assert abs(error) < 4 * deviation, f"{error:.3g} away, standard error {deviation:.3g}"
    assert deviation < 0.01 * wanted, f"standard error {deviation:.3g} of {wanted:.3g}"


class analytic:
    """The library's sigmoid and softplus as they are defined: for complex numbers too."""

    def __enter__(self):
        self.originals = {name: getattr(conditionals, name) for name in ("sigmoid", "softplus")}
        self.replaced = [
            (module, name)
            for path, module in sys.modules.items()
            for name, original in self.originals.items()
            if path.startswith("pyarsimple.") and getattr(module, name, None) is original
        ]
        defined = {
            "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
            "softplus": lambda z: np.log(1 + np.exp(z)),
        }
        for module, name in self.replaced:
            setattr(module, name, defined[name])
        return self

    def __exit__(self, *exc_info):
        for module, name in self.replaced:
            setattr(module, name, self.originals[name])


def complex_step(model, x, upstream):
    """Im(sum(upstream * outputs(p + i h))) / h: no subtraction, so exact to rounding."""
    params, numeric, step = model.params, {}, 1e-30
    try:
        with pyarsimple.backend("numpy"), analytic():
            model.params = {name: p.astype(complex) for name, p in params.items()}
            _, features = model._features(x, model._check_context(None, len(x)))
            for name, p in model.params.items():
                numeric[name] = np.zeros(p.shape)
                for index in np.ndindex(p.shape):
                    before = p[index]
                    p[index] = before + 1j * step
                    outputs, _ = model._forward(features.astype(complex))
                    p[index] = before
                    numeric[name][index] = (upstream * outputs).imag.sum() / step
    finally:
        model.params = params
    return numeric


def check_backward(model):
    """backward reverses forward for any upstream gradient: the complex step, to rounding."""
    x = rows(model)
    outputs, cache = model.forward(x)
    upstream = np.random.default_rng(5).normal(size=outputs.shape)
    grads = model.backward(upstream, cache)
    _check_grads(grads, complex_step(model, x, upstream), model.params, 1e-12)


def check_masked(model):
    """What is masked changes nothing, not even as NaN, and has a gradient of exactly 0."""
    x = rows(model)
    before = model.log_prob(x), model.nll_and_grads(x), model.sample(5, rng=1)
    model = copy.deepcopy(model)
    for name, free in model.masks().items():
        assert free.shape == model.params[name].shape
        assert free.dtype == np.bool_
        grad = before[1][1][name]
        assert (grad[~free] == 0).all(), f"d{name} is not 0 where it is masked"
        model.params[name][~free] = np.nan
    same_bits(model.log_prob(x), before[0], "log_prob")
    same_bits(model.sample(5, rng=1), before[2], "samples")
    nll, grads = model.nll_and_grads(x)
    assert nll == before[1][0]
    for name, grad in grads.items():
        same_bits(grad, before[1][1][name], f"d{name}")
    free = {name: model.masks().get(name, np.ones(p.shape, bool)) for name, p in grads.items()}
    assert model.n_params == sum(int(mask.sum()) for mask in free.values())


# Causality.


def by_variable(model, x):
    """What each conditional says at each row: for each variable its outputs, (N, P_i)."""
    outputs, _ = model.forward(x)
    if model.columns is None:
        return [outputs[:, [i]] for i in range(model.n_dims)]
    return [outputs[:, model.columns.of(i)[1]] for i in range(model.n_dims)]


def observed_dependencies(model, x):
    """Which conditional changes in any bit when one variable is changed, at any of the rows x."""
    base = by_variable(model, x)
    found = np.zeros((model.n_dims, model.n_dims), bool)
    for j in range(model.n_dims):
        other = by_variable(model, changed(model, x, j))
        found[:, j] = [(a != b).any() for a, b in zip(other, base, strict=True)]
    return found


def check_future_blind(model):
    """Change x_i and all that come later at will: conditionals up to i are the same, to the bit."""
    x = everything(model)
    rng = np.random.default_rng(7)
    base = by_variable(model, x)
    order = list(model.order)
    for k in range(model.n_dims):
        up_to_k, from_k = order[: k + 1], order[k:]
        others = [x]
        for j in from_k:
            others[0] = changed(model, others[0], j)
        for _ in range(3):
            others.append(x.copy())
            others[-1][:, from_k] = rng.permuted(x, axis=0)[:, from_k]
        others += [changed(model, x, j) for j in from_k]
        for other in others:
            outputs = by_variable(model, other)
            for i in up_to_k:
                same_bits(
                    outputs[i], base[i],
                    f"conditional of variable {i} after a change from position {k} on",
                )  # fmt: skip


def check_causality(model):
    """The dependences are those of the definition: none too many, and none too few."""
    check_future_blind(model)
    wanted = np.array(definition.dependencies(model.name, model.config()))
    claimed = model.dependencies()
    assert claimed.dtype == np.bool_
    assert (claimed == wanted).all(), f"claimed\n{claimed}\nbut the definition says\n{wanted}"
    found = observed_dependencies(model, everything(model))
    assert (found == wanted).all(), f"found\n{found}\nbut the definition says\n{wanted}"


def check_full(model):
    """All that the order allows is there."""
    order = list(model.order)
    D = range(model.n_dims)
    triangle = np.array([[order.index(j) < order.index(i) for j in D] for i in D])
    found = observed_dependencies(model, everything(model))
    assert (found == triangle).all(), f"found\n{found}\nbut the order allows\n{triangle}"
    assert (model.dependencies() == triangle).all()


def check_rows_independent(model):
    """A row's probability is its own: other rows of the batch change nothing, to the bit."""
    x = rows(model)
    log_prob = model.log_prob(x)
    others = x
    for j in range(model.n_dims):
        others = np.where(
            np.arange(len(x))[:, np.newaxis] % 2 == 1, changed(model, others, j), others
        )
    same_bits(model.log_prob(others)[::2], log_prob[::2], "log_prob of rows that did not change")
    alone = np.concatenate([model.log_prob(row[np.newaxis]) for row in x])
    close(alone, log_prob, rounding(model, 1e-14, 1e-6), "log_prob of rows one at a time")


# The sequential view.


def check_sequential(model):
    """Stepped through the variables, the state gives the outputs of the parallel view."""
    x = everything(model)
    outputs = by_variable(model, x)
    state = model.start(len(x))
    tolerance = rounding(model, 1e-13, 1e-5)
    for k, i in enumerate(model.order):
        assert (state.position, state.variable) == (k, i)
        step = state.outputs()
        assert step.shape == (outputs[i].shape if outputs[i].shape[1] > 1 else (len(x),))
        assert step.dtype == model.dtype
        close(step.reshape(outputs[i].shape), outputs[i], tolerance, f"outputs at position {k}")
        same_bits(state.outputs(), step, f"outputs at position {k} when asked again")
        state.advance(x[:, i])
    assert state.position == model.n_dims


def _p_value(counts, p):
    """Of a chi-square test; cells in which fewer than 5 are expected are pooled."""
    expected = p / p.sum() * counts.sum()
    rare = expected < 5
    observed = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    keep = expected > 0
    if keep.sum() < 2:
        return 1.0
    return scipy.stats.chisquare(observed[keep], expected[keep]).pvalue


def _counts(model, samples):
    """How often each row of `everything` was drawn."""
    sizes = [len(values) for values in model.conditional.values(model.n_dims)]
    codes = np.ravel_multi_index(samples.astype(np.intp).T, sizes)
    return np.bincount(codes, minlength=np.prod(sizes))


def _check_ranks(model, samples, variables):
    """Where each value lies in its own conditional, by the definition, is uniform.

    A value that has a probability of its own may lie anywhere in the stretch that belongs to it.
    """
    rng = np.random.default_rng(17)
    above = defined(model, definition.cumulatives, samples)
    log_p = defined(model, definition.log_conditionals, samples)
    for i in variables:
        ranks = above[:, i]
        if model.conditional.of(i).values(1) is not None:
            ranks = ranks - rng.random(len(samples)) * np.exp(log_p[:, i])
        p_value = scipy.stats.kstest(ranks, "uniform").pvalue
        assert p_value > 1e-4, f"variable {i}: Kolmogorov-Smirnov p = {p_value:.2g}"


def check_sampler(model, n=6000):
    """Samples are as frequent as the definition says that they are probable."""
    samples = model.sample(n, rng=11)
    assert samples.shape == (n, model.n_dims)
    assert samples.dtype == model.conditional.dtype
    if not is_discrete(model):
        _check_ranks(model, samples[:700], range(model.n_dims))
        return
    counts = _counts(model, samples)
    p = np.exp(defined(model, definition.log_prob))
    p_value = _p_value(counts, p)
    assert p_value > 1e-4, f"chi-square: p = {p_value:.2g}"


def check_completion(model, n=4000):
    """Given a prefix of the order, the rest is as frequent as its exact conditional probability."""
    D = model.n_dims
    x = everything(model)
    joint = np.exp(defined(model, definition.log_prob)) if is_discrete(model) else None
    for n_known in range(D + 1):
        observed = np.zeros(D, bool)
        observed[model.order[:n_known]] = True
        given = np.where(observed, rows(model)[n_known % N], np.nan)  # NaN: looked at by nobody
        samples = model.sample(
            n if joint is not None else 300, given=given, observed=observed, rng=n_known
        )
        assert (samples[:, observed] == given[observed]).all(), "what is given has been changed"
        if joint is None:
            _check_ranks(model, samples, model.order[n_known:])
            continue
        agrees = (x[:, observed] == given[observed]).all(axis=1)
        p_value = _p_value(_counts(model, samples), np.where(agrees, joint, 0))
        assert p_value > 1e-4, f"{n_known} known: chi-square p = {p_value:.2g}"


def check_uniforms(model):
    """A bit is 1 just where its uniform number is below the conditional of the bits before it."""
    x = model.sample(3000, rng=13)
    uniforms = np.random.default_rng(13).random(x.shape)
    p = model.conditionals(x).astype(np.float64)
    near = np.abs(uniforms - p) < rounding(model, 1e-13, 1e-6)
    assert ((x == (uniforms < p)) | near).all()
    assert near.mean() < 0.01


def _global_state():
    return repr(np.random.get_state())  # noqa: NPY002


def check_seeds(model):
    """``rng`` and nothing else decides a sample, and NumPy's global state is not touched."""
    n = 200
    before = _global_state()
    first = model.sample(n, rng=1)
    same_bits(model.sample(n, rng=1), first, "samples of one seed")
    same_bits(model.sample(n, rng=np.random.default_rng(1)), first, "samples of a Generator")
    assert (model.sample(n, rng=2) != first).any(), "another seed, the same samples"
    rng = np.random.default_rng(1)
    assert (model.sample(n, rng=rng) != model.sample(n, rng=rng)).any(), "a Generator stood still"
    assert (model.sample(n) != model.sample(n)).any(), "two calls without rng, the same samples"
    assert _global_state() == before, "NumPy's global random state was touched"


# Orders and mixtures over them.


def check_any_order(model):
    """Asked in any order it is the density that the textbook says, with the same parameters."""
    D = model.n_dims
    own = model.log_prob(all_rows(D))
    for order in (range(D), range(D)[::-1], np.roll(range(D), 1), model.order):
        view = model.with_order(order)
        assert view.order.tolist() == list(order)
        assert all(p is model.params[name] for name, p in view.params.items())
        check_definition(view)
        check_sampler(view, n=2000)
    same_bits(model.log_prob(all_rows(D)), own, "log_prob of the model itself")


def check_members(model):
    """Sets of masks have numbers; the model's own is 0, and each is the same when asked again."""
    n = 4 if model.n_masks is None else model.n_masks
    D = model.n_dims
    members = model.members(n)
    same_bits(members[0].log_prob(all_rows(D)), model.log_prob(all_rows(D)), "log_prob of set 0")
    free = {name: mask & False for name, mask in model.masks().items()}
    for k, member in enumerate(members):
        check_definition(member)
        again = model.member(k)
        assert again.config() == member.config(), f"set {k} is another one when asked again"
        same_bits(again.log_prob(all_rows(D)), member.log_prob(all_rows(D)), f"log_prob of {k}")
        for name, mask in MADE.masks(member).items():
            free[name] |= mask
    for name, mask in free.items():
        assert (mask <= model.masks()[name]).all(), f"{name}: free in a set, but not in masks()"
        if model.n_masks is not None:
            assert (mask == model.masks()[name]).all(), f"{name}: free in no set"


def _defined_mixture(mixture):
    """Probabilities of all of {0,1}^D: the average of those that the definition gives."""
    p = [np.exp(defined(model, definition.log_prob)) for model in mixture.models]
    return mixture.weights @ p


def check_mixture(mixture):
    """It averages the probabilities of its components, as the definition gives them."""
    x = all_rows(mixture.n_dims)
    log_prob = mixture.log_prob(x)
    assert log_prob.dtype == np.float64
    close(log_prob, np.log(_defined_mixture(mixture)), 1e-13, "log_prob")
    same_bits(mixture.log_prob(x), log_prob, "log_prob when asked again")


def check_mixture_sampler(mixture, n=6000):
    """Samples are as frequent as the average says that they are probable, and each by itself."""
    samples = mixture.sample(n, rng=11)
    codes = samples @ (1 << np.arange(mixture.n_dims)[::-1])
    p = _defined_mixture(mixture)
    counts = np.bincount(codes, minlength=len(p))
    assert _p_value(counts, p) > 1e-4, "chi-square"
    pairs = np.bincount(len(p) * codes[::2] + codes[1::2], minlength=len(p) ** 2)
    assert _p_value(pairs, np.outer(p, p).ravel()) > 1e-4, "chi-square of neighbouring rows"


def check_mixture_completion(mixture, n=4000):
    """Given what every component has first, the rest has its exact conditional probability."""
    D = mixture.n_dims
    x, joint = all_rows(D), _defined_mixture(mixture)
    found = 0
    for n_known in range(D + 1):
        observed = np.zeros(D, bool)
        observed[mixture.models[0].order[:n_known]] = True
        if not all(observed[model.order[:n_known]].all() for model in mixture.models):
            continue
        found += 1
        given = np.where(observed, rows(mixture)[n_known % N], np.nan)
        samples = mixture.sample(n, given=given, observed=observed, rng=n_known)
        assert (samples[:, observed] == given[observed]).all(), "what is given has been changed"
        agrees = (x[:, observed] == given[observed]).all(axis=1)
        counts = np.bincount(samples @ (1 << np.arange(D)[::-1]), minlength=2**D)
        p_value = _p_value(counts, np.where(agrees, joint, 0))
        assert p_value > 1e-4, f"{n_known} known: chi-square p = {p_value:.2g}"
    assert found > 2, "no pattern but none and all"


# Manners.


def _everything(model, x):
    model.log_prob(x)
    model.log_conditionals(x)
    model.conditionals(x)
    _, cache = model.forward(x)
    model.backward(np.ones((len(x), model.n_outputs)), cache)
    model.nll_and_grads(x)
    model.training_loss_and_grads(x, rng=0)
    observed = np.zeros(model.n_dims, bool)
    observed[model.order[: model.n_dims // 2]] = True
    model.sample(len(x), rng=0, given=x, observed=observed)
    state = model.start(len(x))
    for i in model.order:
        state.outputs()
        state.advance(x[:, i])


def check_leaves_alone(model):
    """Neither the parameters nor the caller's array are written to; the model keeps nothing."""
    x = np.ascontiguousarray(rows(model), dtype=model.dtype)
    copies = x.copy(), {name: p.copy() for name, p in model.params.items()}
    arrays = {name: id(p) for name, p in model.params.items()}
    attributes = set(vars(model))
    _everything(model, x)
    same_bits(x, copies[0], "x")
    assert {name: id(p) for name, p in model.params.items()} == arrays
    for name, p in model.params.items():
        same_bits(p, copies[1][name], f"params[{name!r}]")
    assert set(vars(model)) == attributes, "the model has kept something"


def check_inputs(model):
    """Bits are bits, and classes are classes, in whatever array they come."""
    x = rows(model)
    wide = np.zeros((2 * len(x), 3 * model.n_dims), x.dtype)
    wide[::2, ::3] = x
    locked = x.astype(np.float64)
    locked.flags.writeable = False
    forms = {
        "float64": x.astype(np.float64),
        "F-ordered": np.asfortranarray(x, dtype=model.dtype),
        "strided": wide[::2, ::3],
        "backwards": np.ascontiguousarray(x[::-1, ::-1], dtype=model.dtype)[::-1, ::-1],
        "big-endian": x.astype(">f8"),
        "read-only": locked,
        "list": x.tolist(),
        "tuple": tuple(map(tuple, x.tolist())),
    }
    whole = {
        "int8": x.astype(np.int8),
        "uint8": x.astype(np.uint8),
        "uint64": x.astype(np.uint64),
        "float16": x.astype(np.float16),
        "float32": x.astype(np.float32),
    }
    bits = {"bool": x.astype(bool), "list of bool": x.astype(bool).tolist()}
    forms |= whole if is_discrete(model) else {}
    forms |= bits if is_bits(model) else {}
    wanted = _results(model, x)
    for form, y in forms.items():
        for name, result in _results(model, y).items():
            same_bits(result, wanted[name], f"{name} of {form}")


def _results(model, x):
    outputs, cache = model.forward(x)
    nll, grads = model.nll_and_grads(x)
    upstream = np.linspace(-1, 2, outputs.size).reshape(outputs.shape)
    back = model.backward(upstream, cache)
    return {
        "outputs": outputs,
        "log_prob": model.log_prob(x),
        "log_conditionals": model.log_conditionals(x),
        **_arrays("conditionals", model.conditionals(x)),
        "nll": np.array(nll),
        "training loss": np.array(model.training_loss_and_grads(x, rng=0)[0]),
        **{f"d{name}": g for name, g in grads.items()},
        **{f"backward d{name}": g for name, g in back.items()},
    }


def _arrays(name, found):
    """What `conditionals` returns as arrays with names."""
    if isinstance(found, dict):
        return {f"{name} {key}": a for key, a in found.items()}
    if isinstance(found, list):
        return {k: a for i, one in enumerate(found) for k, a in _arrays(f"{name} {i}", one).items()}
    return {name: found}
