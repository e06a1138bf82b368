"""What must hold of every model, as plain functions that raise AssertionError.

The tests run them over the registry, and the planted bugs show that each can fail. D must be small:
most of them go through all of {0,1}^D.
"""

import copy
import sys

import definition
import numpy as np
import scipy.stats
from registry import N, all_rows, in_float64, rows

import pyarsimple
from pyarsimple import conditionals


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
    x = all_rows(model.n_dims) if x is None else x
    return np.array([function(model.name, params, model.config(), row) for row in x.tolist()])


# Probabilities.


def check_definition(model):
    """Probabilities are those of the textbook."""
    x = all_rows(model.n_dims)
    tolerance = rounding(model, 1e-13, 1e-5)
    p = defined(model, definition.conditionals)
    close(model.conditionals(x), p, tolerance, "conditionals")
    log_p = defined(model, definition.log_conditionals)
    close(model.log_conditionals(x), log_p, tolerance, "log_conditionals")
    close(model.log_prob(x), log_p.sum(axis=1), tolerance, "log_prob")


def check_normalised(model):
    """The probabilities of all of {0,1}^D sum to one."""
    log_p = model.log_prob(all_rows(model.n_dims))
    assert np.isfinite(log_p).all()
    total = np.exp(log_p).sum()
    tolerance = 1e-5 if getattr(model, "dtype", None) == np.float32 else 1e-12
    assert abs(total - 1) < tolerance, f"probabilities sum to {total!r}"


def check_consistent(model):
    """The views of one distribution agree: loss, log_prob, log_conditionals, conditionals."""
    x = rows(model)
    tolerance = rounding(model, 1e-13, 1e-5)
    outputs, _ = model.forward(x)
    log_p, p = model.log_conditionals(x), model.conditionals(x)
    log_prob = model.log_prob(x)
    for array in (outputs, log_p, p):
        assert array.shape == x.shape
        assert array.dtype == model.dtype
    assert log_prob.shape == (len(x),)
    assert log_prob.dtype == np.float64
    close(log_prob, log_p.sum(axis=1, dtype=np.float64), tolerance, "sum of log_conditionals")
    close(np.exp(log_p), np.where(x == 1, p, 1 - p), tolerance, "exp(log_conditionals)")
    close(1 / (1 + np.exp(-outputs)), p, tolerance, "sigmoid(outputs)")
    nll, _ = model.nll_and_grads(x)
    assert isinstance(nll, float)
    close(nll, -log_prob.mean(), tolerance, "loss against -mean(log_prob)")
    same_bits(model.log_prob(x), log_prob, "log_prob when asked again")


def check_precision(model):
    """Nothing is clipped: exact where a probability is 1e-17, finite for logits of +-1000."""
    model = copy.deepcopy(model)
    x = all_rows(model.n_dims)
    tolerance = rounding(model, 1e-12, 1e-4)
    for size in (40, 1000):
        model.params["b"][:] = np.where(np.arange(model.n_dims) % 2, -size, size)
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


class analytic:
    """The library's sigmoid as 1 / (1 + exp(-z)), which holds for complex numbers too."""

    def __enter__(self):
        self.replaced = [
            module
            for name, module in sys.modules.items()
            if name.startswith("pyarsimple.")
            and getattr(module, "sigmoid", None) is conditionals.sigmoid
        ]
        self.original = conditionals.sigmoid
        for module in self.replaced:
            module.sigmoid = lambda z: 1 / (1 + np.exp(-z))
        return self

    def __exit__(self, *exc_info):
        for module in self.replaced:
            module.sigmoid = self.original


def complex_step(model, x, upstream):
    """Im(sum(upstream * outputs(p + i h))) / h: no subtraction, so exact to rounding."""
    params, numeric, step = model.params, {}, 1e-30
    try:
        with pyarsimple.backend("numpy"), analytic():
            model.params = {name: p.astype(complex) for name, p in params.items()}
            for name, p in model.params.items():
                numeric[name] = np.zeros(p.shape)
                for index in np.ndindex(p.shape):
                    before = p[index]
                    p[index] = before + 1j * step
                    outputs, _ = model._forward(x.astype(complex))
                    p[index] = before
                    numeric[name][index] = (upstream * outputs).imag.sum() / step
    finally:
        model.params = params
    return numeric


def check_backward(model):
    """backward reverses forward for any upstream gradient: the complex step, to rounding."""
    x = rows(model)
    upstream = np.random.default_rng(5).normal(size=x.shape)
    _, cache = model.forward(x)
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


def observed_dependencies(model, x):
    """Which conditional changes in any bit when one variable is changed, at any of the rows x."""
    base = model.conditionals(x)
    found = np.zeros((model.n_dims, model.n_dims), bool)
    for j in range(model.n_dims):
        changed = x.copy()
        changed[:, j] = 1 - changed[:, j]
        found[:, j] = (model.conditionals(changed) != base).any(axis=0)
    return found


def check_future_blind(model):
    """Change x_i and all that come later at will: conditionals up to i are the same, to the bit."""
    x = all_rows(model.n_dims)
    rng = np.random.default_rng(7)
    base = model.conditionals(x)
    order = list(model.order)
    for k in range(model.n_dims):
        up_to_k, from_k = order[: k + 1], order[k:]
        others = [np.where(np.isin(range(model.n_dims), from_k), 1 - x, x)]
        for _ in range(3):
            others.append(x.copy())
            others[-1][:, from_k] = rng.integers(0, 2, (len(x), len(from_k)))
        for j in from_k:
            others.append(x.copy())
            others[-1][:, j] = 1 - x[:, j]
        for other in others:
            same_bits(
                model.conditionals(other)[:, up_to_k], base[:, up_to_k],
                f"conditionals up to position {k} after a change from there on",
            )  # fmt: skip


def check_causality(model):
    """The dependences are those of the definition: none too many, and none too few."""
    check_future_blind(model)
    wanted = np.array(definition.dependencies(model.name, model.config()))
    claimed = model.dependencies()
    assert claimed.dtype == np.bool_
    assert (claimed == wanted).all(), f"claimed\n{claimed}\nbut the definition says\n{wanted}"
    found = observed_dependencies(model, all_rows(model.n_dims))
    assert (found == wanted).all(), f"found\n{found}\nbut the definition says\n{wanted}"


def check_full(model):
    """All that the order allows is there."""
    order = list(model.order)
    D = range(model.n_dims)
    triangle = np.array([[order.index(j) < order.index(i) for j in D] for i in D])
    found = observed_dependencies(model, all_rows(model.n_dims))
    assert (found == triangle).all(), f"found\n{found}\nbut the order allows\n{triangle}"
    assert (model.dependencies() == triangle).all()


def check_rows_independent(model):
    """A row's probability is its own: other rows of the batch change nothing, to the bit."""
    x = rows(model)
    log_prob = model.log_prob(x)
    others = x.copy()
    others[1::2] = 1 - others[1::2]
    same_bits(model.log_prob(others)[::2], log_prob[::2], "log_prob of rows that did not change")
    alone = np.concatenate([model.log_prob(row[np.newaxis]) for row in x])
    close(alone, log_prob, rounding(model, 1e-14, 1e-6), "log_prob of rows one at a time")


# The sequential view.


def check_sequential(model):
    """Stepped through the variables, the state gives the outputs of the parallel view."""
    x = all_rows(model.n_dims)
    outputs, _ = model.forward(x)
    state = model.start(len(x))
    tolerance = rounding(model, 1e-13, 1e-5)
    for k, i in enumerate(model.order):
        assert (state.position, state.variable) == (k, i)
        step = state.outputs()
        assert step.shape == (len(x),)
        assert step.dtype == model.dtype
        close(step, outputs[:, i], tolerance, f"outputs at position {k}")
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


def check_sampler(model, n=6000):
    """Samples are as frequent as the definition says that they are probable."""
    samples = model.sample(n, rng=11)
    assert samples.shape == (n, model.n_dims)
    assert samples.dtype == np.uint8
    assert samples.max() <= 1
    codes = samples @ (1 << np.arange(model.n_dims)[::-1])
    counts = np.bincount(codes, minlength=2**model.n_dims)
    p = np.exp(defined(model, definition.log_prob))
    p_value = _p_value(counts, p)
    assert p_value > 1e-4, f"chi-square: p = {p_value:.2g}"


def check_completion(model, n=4000):
    """Given a prefix of the order, the rest is as frequent as its exact conditional probability."""
    D = model.n_dims
    x = all_rows(D)
    joint = np.exp(defined(model, definition.log_prob))
    for n_known in range(D + 1):
        observed = np.zeros(D, bool)
        observed[model.order[:n_known]] = True
        given = np.where(observed, rows(model)[n_known % N], np.nan)  # NaN: looked at by nobody
        samples = model.sample(n, given=given, observed=observed, rng=n_known)
        assert (samples[:, observed] == given[observed]).all(), "what is given has been changed"
        agrees = (x[:, observed] == given[observed]).all(axis=1)
        codes = samples @ (1 << np.arange(D)[::-1])
        counts = np.bincount(codes, minlength=2**D)
        p_value = _p_value(counts, np.where(agrees, joint, 0))
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


# Manners.


def _everything(model, x):
    model.log_prob(x)
    model.log_conditionals(x)
    model.conditionals(x)
    _, cache = model.forward(x)
    model.backward(np.ones(x.shape), cache)
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
    """Bits are bits, in whatever array they come."""
    x = rows(model)
    wide = np.zeros((2 * len(x), 3 * model.n_dims), np.int16)
    wide[::2, ::3] = x
    locked = x.astype(np.float64)
    locked.flags.writeable = False
    forms = {
        "bool": x.astype(bool),
        "int8": x.astype(np.int8),
        "uint8": x.astype(np.uint8),
        "uint64": x.astype(np.uint64),
        "float16": x.astype(np.float16),
        "float32": x.astype(np.float32),
        "float64": x.astype(np.float64),
        "big-endian": x.astype(">f8"),
        "F-ordered": np.asfortranarray(x, dtype=model.dtype),
        "strided": wide[::2, ::3],
        "backwards": np.ascontiguousarray(x[::-1, ::-1], dtype=model.dtype)[::-1, ::-1],
        "read-only": locked,
        "list": x.tolist(),
        "list of bool": x.astype(bool).tolist(),
        "tuple": tuple(map(tuple, x.tolist())),
    }
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
        "conditionals": model.conditionals(x),
        "nll": np.array(nll),
        "training loss": np.array(model.training_loss_and_grads(x, rng=0)[0]),
        **{f"d{name}": g for name, g in grads.items()},
        **{f"backward d{name}": g for name, g in back.items()},
    }
