"""Promise: each compiled twin gives what its definition in NumPy gives.

One walk over all twins: whoever declares a new one has to say here how to draw inputs for it. The
machinery itself runs without kernels too, on twins made up for the purpose.
"""

import importlib
import inspect
import os
import pkgutil
import types
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from properties import close

import pyarsimple
from pyarsimple import twins
from pyarsimple.models.made import make_masks, random_degrees
from pyarsimple.orders import Columns, precedes
from pyarsimple.twins import TWINS

for module in pkgutil.iter_modules(pyarsimple.__path__, "pyarsimple."):
    if not module.name.endswith(("__main__", "_kernels")):
        importlib.import_module(module.name)  # each may declare twins

required = os.environ.get("PYARSIMPLE_REQUIRE_EXTENSION", "0") not in {"", "0"}
needs_kernels = pytest.mark.skipif(
    twins.kernels is None and not required, reason="the kernels are not built"
)

TOLERANCE = {"float64": 1e-12, "float32": 2e-5}
GRADIENT_TOLERANCE = {"float64": 1e-11, "float32": 1e-4}

# How to draw the arguments of each twin. Sizes lie on both sides of what a vector register, a tile
# of examples, a run of positions or a block of hidden units holds.

dims = st.sampled_from([1, 2, 3, 5, 8, 13, 17, 40, 97])
widths = st.sampled_from([1, 2, 3, 7, 8, 15, 16, 33, 64, 131])
counts = st.sampled_from([0, 1, 2, 3, 7, 9, 16, 19, 35, 70])


class Source:
    """Arrays of one dtype, from sizes and a seed that hypothesis draws."""

    def __init__(self, draw, dtype):
        self.draw, self.dtype = draw, dtype
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def real(self, *shape, scale=1.0):
        return (scale * self.rng.normal(size=shape)).astype(self.dtype)

    def bits(self, *shape):
        """Of any density, none and all included: kernels may skip what is 0."""
        density = self.draw(st.sampled_from([0.0, 0.13, 0.5, 0.9, 1.0]))
        return (self.rng.random(shape) < density).astype(self.dtype)

    def order(self, D):
        return self.rng.permutation(D).astype(np.intp)

    def keep(self, *shape):
        if self.draw(st.booleans()):
            return None
        return ((self.rng.random(shape) < 0.6) / 0.6).astype(self.dtype)

    def columns(self, D, *, bits):
        """None for bits, or those of variables with several features and outputs, and a context."""
        if bits or self.draw(st.booleans()):
            return None
        features, outputs = (np.append(0, self.rng.integers(low, 4, D).cumsum()) for low in (0, 1))
        return Columns(features, outputs, self.draw(st.integers(0, 3)))

    def features(self, N, D, columns):
        """x (N, F): bits, or if there are columns perhaps real numbers; F and P."""
        F, P = (D, D) if columns is None else (columns.n_inputs, columns.n_outputs)
        real = columns is not None and self.draw(st.booleans())
        return self.real(N, F) if real else self.bits(N, F), F, P

    def fvsbn(self, *, bits=False):
        N, D = self.draw(counts), self.draw(dims)
        columns = self.columns(D, bits=bits)
        x, F, P = self.features(N, D, columns)
        W, order = self.real(P, F), self.order(D)
        W[~precedes(order, columns)] = np.nan
        return x, W, self.real(P), order, columns

    def nade(self, *, bits=False):
        N, D, H = self.draw(counts), self.draw(dims), self.draw(widths)
        columns = self.columns(D, bits=bits)
        x, F, P = self.features(N, D, columns)
        if not bits and self.draw(st.booleans()):  # a few numbers of another kind among the rest
            x = np.where(self.rng.random((N, F)) < 0.03, self.real(N, F), x)
        scale = self.draw(st.sampled_from([0.1, 1.0, 2.0]))
        W, c = self.real(F, H, scale=scale), self.real(H)
        V, b = self.real(P, H, scale=scale / np.sqrt(H)), self.real(P)
        hidden = self.draw(st.sampled_from(["sigmoid", "relu"]))
        return x, W, c, V, b, self.order(D), hidden, columns

    def known(self, x):
        """How many variables are known, and a uniform number for each entry."""
        return self.draw(st.integers(0, x.shape[1])), self.rng.random(x.shape)


def bernoulli_log_p(s):
    shape = s.draw(counts), s.draw(dims)
    return [s.real(*shape, scale=s.draw(st.sampled_from([0.1, 3.0, 300.0]))), s.bits(*shape)]


def bernoulli_d_logits(s):
    return [*bernoulli_log_p(s), s.draw(st.sampled_from([1.0, 1 / 7, -2.5]))]


def fvsbn_logits(s):
    return list(s.fvsbn())


def fvsbn_backward(s):
    x, _, b, order, columns = s.fvsbn()
    return [s.real(len(x), len(b)), x, order, columns]


def fvsbn_sample(s):
    x, W, b, order, _ = s.fvsbn(bits=True)
    return [x, *s.known(x), W, b, order]


def nade_logits(s):
    x, W, c, *rest, columns = s.nade()
    return [x, W, c, *rest, s.keep(len(x), len(c)), columns]


def nade_backward(s):
    x, W, c, V, b, *rest, columns = s.nade()
    return [s.real(len(x), len(b)), x, W, c, V, *rest, s.keep(len(x), len(c)), columns]


def nade_sample(s):
    x, *rest, _ = s.nade(bits=True)
    return [x, *s.known(x), *rest]


def made(s, *, bits=False):
    """From x to columns; what is masked is NaN, for it is not looked at."""
    N, D = s.draw(counts), s.draw(dims)
    columns = s.columns(D, bits=bits)
    x, F, P = s.features(N, D, columns)
    sizes = s.draw(st.lists(widths, max_size=3))
    order = s.order(D)
    degrees = [random_degrees(H, D, s.rng) for H in sizes]
    if s.draw(st.booleans()):  # as given by a user: in no order, and with degree 0 among them
        degrees = [s.rng.integers(0, D, H).astype(np.intp) for H in sizes]
    shapes = list(zip([F, *sizes], sizes, strict=False))
    W = [s.real(*shape, scale=1 / np.sqrt(max(shape[0], 1))) for shape in shapes]
    V = s.real(P, [F, *sizes][-1])
    A = s.real(P, F) if s.draw(st.booleans()) else None
    masks = [*make_masks(order, degrees, columns), precedes(order, columns)]
    for weights, mask in zip([*W, V, A], masks, strict=True):
        if weights is not None:
            weights[~mask] = np.nan
    hidden = s.draw(st.sampled_from(["relu", "tanh", "sigmoid"]))
    return x, W, [s.real(H) for H in sizes], V, s.real(P), A, order, degrees, hidden, columns


def made_sample(s):
    x, *weights, _ = made(s, bits=True)
    return [x, *s.known(x), *weights]


def keeps(s, N, c):
    """A factor for each hidden unit of each layer, or None."""
    drawn = [s.keep(N, len(bias)) for bias in c]
    return None if any(keep is None for keep in drawn) else drawn


def made_layers(s):
    x, *weights, columns = made(s)
    return [x, *weights, keeps(s, len(x), weights[1]), columns]


def made_gradients(s):
    x, W, c, V, b, A, order, degrees, hidden, columns = made(s)
    settings = [order, degrees, hidden, keeps(s, len(x), c), columns]
    _, layers = TWINS["made_layers"].__wrapped__(x, W, c, V, b, A, *settings)
    return [s.real(len(x), len(b)), layers, W, V, A, *settings]


def orderless(s):
    """From W to hidden, and how many rows, features and outputs there are."""
    N, D, (F, P) = s.draw(counts), s.draw(dims), s.draw(st.tuples(dims, dims))
    sizes = [F, *s.draw(st.lists(widths, min_size=1, max_size=3))]
    W = [s.real(*shape, scale=1 / np.sqrt(shape[0])) for shape in pairwise(sizes)]
    c, U = [s.real(H) for H in sizes[1:]], s.real(D, sizes[1], scale=1 / np.sqrt(D))
    V, b = s.real(P, sizes[-1], scale=1 / np.sqrt(sizes[-1])), s.real(P)
    hidden = s.draw(st.sampled_from(["sigmoid", "relu", "tanh"]))
    x = s.real(N, F) if s.draw(st.booleans()) else s.bits(N, F)
    return x, s.bits(N, D), W, U, c, V, b, hidden


def hidden_layers(s):
    x, _, W, _, c, *_, hidden = orderless(s)
    return [s.real(len(x), len(c[0])), W, c, hidden]


def dense_forward(s):
    return list(orderless(s))


def dense_backward(s):
    x, known, W, U, c, V, b, hidden = orderless(s)
    _, layers = TWINS["dense_forward"].__wrapped__(x, known, W, U, c, V, b, hidden)
    d_logits = s.real(len(x), len(b)) * s.bits(len(x), len(b))
    return [d_logits, x, known, layers, W, V, hidden]


def adam_update_(s):
    shape = tuple(s.draw(st.lists(dims, min_size=1, max_size=2)))
    p, g, m = s.real(*shape), s.real(*shape), s.real(*shape)
    return [p, g, m, abs(s.real(*shape)), 0.01, 0.9, 0.999, 1e-8, s.draw(st.integers(1, 1000))]


def average_update_(s):
    shape = tuple(s.draw(st.lists(dims, min_size=1, max_size=2)))
    return [s.real(*shape), s.real(*shape), s.draw(st.floats(0, 1))]


INPUTS = {
    function.__name__: function
    for function in (
        bernoulli_log_p, bernoulli_d_logits, fvsbn_logits, fvsbn_backward, fvsbn_sample,
        nade_logits, nade_backward, nade_sample, made_layers, made_gradients, made_sample,
        hidden_layers, dense_forward, dense_backward,
        adam_update_, average_update_,
    )
}  # fmt: skip


def describe(a):
    if isinstance(a, list):
        return [describe(entry) for entry in a]
    return f"{a.dtype}{a.shape}" if isinstance(a, np.ndarray) else a


class Arguments(list):
    """Printed by its shapes: what hypothesis shows of a failure."""

    def __repr__(self):
        return repr([describe(a) for a in self])


@st.composite
def inputs(draw, name, dtype):
    return Arguments(INPUTS[name](Source(draw, dtype)))


# How to compare.


def copies(args, *, writeable):
    """Copies of the arrays, those in lists too; read-only ones show that nothing is written to."""

    def copy(a):
        if isinstance(a, list):
            return [copy(entry) for entry in a]
        if not isinstance(a, np.ndarray):
            return a
        a = a.copy()
        a.flags.writeable = writeable
        return a

    return [copy(a) for a in args]


def assert_close(actual, wanted, tolerance, what):
    if isinstance(wanted, (tuple, list)):
        assert len(actual) == len(wanted)
        for k, (a, w) in enumerate(zip(actual, wanted, strict=True)):
            assert_close(a, w, tolerance, f"{what}[{k}]")
    elif wanted is None:
        assert actual is None
    else:
        assert actual.dtype == wanted.dtype, what
        assert isinstance(actual, np.ndarray)
        close(actual, wanted, tolerance, what)


def assert_same_samples(name, compiled, args, tolerance):
    """Bits are equal, but in rows where a uniform number lies within rounding of its p."""
    body, (x, n_known, uniforms, *rest) = TWINS[name].__wrapped__, args
    low = body(x, n_known, uniforms - tolerance, *rest)
    clear = (low == body(x, n_known, uniforms + tolerance, *rest)).all(axis=1)
    assert (~clear).sum() <= 2 + 0.1 * len(x), "too few rows are left to compare"
    samples = compiled(*copies(args, writeable=False))
    assert samples.dtype == x.dtype
    assert samples.shape == x.shape
    wrong = np.flatnonzero((samples != low).any(axis=1) & clear)
    assert not len(wrong), f"{name}: rows {wrong} differ"


def check_twin(name, compiled, dtype, **how):
    """Draw arguments by hypothesis, and compare ``compiled`` with the NumPy body of ``name``."""
    body = TWINS[name].__wrapped__
    tolerance = (GRADIENT_TOLERANCE if name.endswith(("_backward", "_gradients")) else TOLERANCE)[
        dtype
    ]

    @settings(max_examples=40, **how)
    @given(inputs(name, dtype))
    def compare(args):
        if name.endswith("_sample"):
            assert_same_samples(name, compiled, args, tolerance)
        elif name.endswith("_"):
            mine, its = copies(args, writeable=True), copies(args, writeable=True)
            assert body(*mine) is None
            assert compiled(*its) is None
            for k, (a, w) in enumerate(zip(its, mine, strict=True)):
                if isinstance(w, np.ndarray):
                    assert_close(a, w, tolerance, f"{name}, argument {k}")
        else:
            wanted = body(*copies(args, writeable=False))
            assert_close(compiled(*copies(args, writeable=False)), wanted, tolerance, name)

    compare()


# The walk.


@needs_kernels
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", TWINS)
def test_compiled_equals_numpy(name, dtype):
    check_twin(name, getattr(twins.kernels, name), dtype)


@needs_kernels
@pytest.mark.parametrize("name", TWINS)
def test_signatures_agree(name):
    body = inspect.signature(TWINS[name].__wrapped__)
    assert list(inspect.signature(getattr(twins.kernels, name)).parameters) == list(body.parameters)


@needs_kernels
def test_the_kernels_are_what_runs():
    """With the compiled side chosen, no NumPy body is called; and the other way round."""
    assert set(TWINS) <= set(dir(twins.kernels))
    model = pyarsimple.NADE(6, 5, rng=0)
    x = model.sample(9, rng=0)
    with pyarsimple.backend("compiled"):
        assert twins.active_backend() == "compiled"
        compiled = model.log_prob(x)
    with pyarsimple.backend("numpy"):
        assert twins.active_backend() == "numpy"
        np.testing.assert_allclose(compiled, model.log_prob(x), rtol=1e-13)


@needs_kernels
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_uniform_number_that_equals_p_draws_a_zero(dtype):
    """1 where the uniform number is *below* p: at p = 1/2 exactly, on both sides."""
    D, H = 5, 3
    x, order = np.zeros((2, D), dtype), np.arange(D)
    uniforms = np.full((2, D), [[0.5], [np.nextafter(0.5, 0)]])
    W, V, b, c = (np.zeros(shape, dtype) for shape in ((D, H), (D, H), D, H))
    A, first = np.zeros((D, D), dtype), np.zeros((D, H), dtype)
    for side in ("numpy", "compiled"):
        with pyarsimple.backend(side):
            for samples in (
                TWINS["nade_sample"](x, 0, uniforms, W, c, V, b, order, "relu"),
                TWINS["fvsbn_sample"](x, 0, uniforms, A, b, order),
                TWINS["made_sample"](
                    x, 0, uniforms, [first], [c], V, b, None, order, [np.array([1, 2, 4])], "tanh"
                ),
            ):
                assert samples.tolist() == [[0] * D, [1] * D]


def test_every_twin_has_inputs():
    assert set(INPUTS) == set(TWINS)


@pytest.mark.parametrize("name", TWINS)
def test_bodies_agree_with_themselves(name):
    """The comparison passes what is right: each body against itself, on either dtype."""
    for dtype in ("float64", "float32"):
        check_twin(name, TWINS[name].__wrapped__, dtype, phases=[Phase.generate])


def arrays_in(a):
    if isinstance(a, (tuple, list)):
        return [array for entry in a for array in arrays_in(entry)]
    return [] if a is None else [a]


def off_by_a_bit(name):
    """The body, wrong in one place: a flipped bit of the last row, or one entry by 1e-9."""
    body = TWINS[name].__wrapped__

    def wrong(*args):
        result = body(*args)
        place = args[0] if name.endswith("_") else arrays_in(result)[-1]
        if place is args[0] and name == "made_layers":  # x, where there is no hidden layer
            place = result[0]
        if place.size and name.endswith("_sample"):
            place[-1, -1] = 1 - place[-1, -1]
        elif place.size:
            place[(-1,) * place.ndim] += 1e-9 + 1e-9 * np.abs(place).max()
        return result

    return wrong


def too_short(name):
    """The body, blind to the last row of x: what an off-by-one in a loop's bound does."""
    body = TWINS[name].__wrapped__

    def wrong(*args):
        args = copies(args, writeable=True)
        for a in args[:3]:
            if isinstance(a, np.ndarray) and a.ndim == 2 and len(a) > 1:
                a[-1] = a[-2]
        return body(*args)

    return wrong


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("mistake", [off_by_a_bit, too_short])
def test_a_compiled_twin_that_is_wrong_in_one_place_is_caught(name, mistake):
    if mistake is too_short and name.endswith("_"):
        return  # its arguments are its results
    with pytest.raises(AssertionError):
        check_twin(name, mistake(name), "float64", phases=[Phase.generate])


# The wrapper, on twins made up for the purpose.


@pytest.fixture
def declare(monkeypatch):
    """Declare a twin with a compiled side that is given, and run on that side."""

    def declare(function, **compiled):
        monkeypatch.setattr(twins, "kernels", types.SimpleNamespace(**compiled))
        return twins.twin(function)

    monkeypatch.setattr(twins, "TWINS", {})
    monkeypatch.setattr(twins, "_active", "compiled")
    return declare


def test_the_side_is_chosen_at_each_call(declare, monkeypatch):
    def f(x):
        """Say numpy."""
        return "numpy"

    either = declare(f, f=lambda x: "compiled")
    assert {"f": either} == twins.TWINS
    assert either.__wrapped__ is f
    assert either.__doc__ == "Say numpy."
    assert either(1) == "compiled"
    monkeypatch.setattr(twins, "_active", "numpy")
    assert either(1) == "numpy"


def test_a_twin_that_the_kernels_lack_runs_in_numpy(declare):
    def f(x):
        return "numpy"

    assert declare(f)(1) == "numpy"


def test_kernels_get_contiguous_arrays(declare):
    def f(x, list_of_arrays, nothing, word):
        raise AssertionError

    seen = []
    either = declare(f, f=lambda *args: seen.append(args))
    a = np.arange(12.0).reshape(3, 4)
    either(a[::2, ::3], [a.T, a], None, "relu")
    x, arrays, nothing, word = seen[0]
    assert x.flags.c_contiguous
    assert (x == a[::2, ::3]).all()
    assert arrays[0].flags.c_contiguous
    assert (arrays[0] == a.T).all()
    assert arrays[1] is a  # what is contiguous is passed as it is
    assert nothing is None
    assert word == "relu"


def test_in_place_twins_never_work_on_a_copy(declare):
    def add_one_(x, by):
        x += by

    def compiled(x, by):
        assert x.flags.c_contiguous
        x += by
        used.append(x)

    used = []
    either = declare(add_one_, add_one_=compiled)
    a = np.zeros((4, 6))
    either(a, 1.0)
    assert (a == 1).all()
    assert len(used) == 1
    either(a[:, ::2], 1.0)  # not contiguous: the body does it
    assert (a[:, ::2] == 2).all()
    assert (a[:, 1::2] == 1).all()
    assert len(used) == 1
