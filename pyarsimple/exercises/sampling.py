"""Ancestral sampling: with a state, tested by counting, and in one pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from pyarsimple import orders
from pyarsimple.activations import activate
from pyarsimple.autoregressive import fill_in
from pyarsimple.checks.sampler import pearson
from pyarsimple.conditionals import Bernoulli, bernoulli_log_p, sigmoid
from pyarsimple.density import all_rows, count_rows
from pyarsimple.exercises import nade_forward
from pyarsimple.exercises.answers import Answer, Array, Case, Function, Rng, Wrong, show
from pyarsimple.exercises.cases import Size, bits, cycle, numbers, sizes
from pyarsimple.exercises.grader import Exercise, Stage, read_template
from pyarsimple.exercises.stages import cost, known_cause, stages_of
from pyarsimple.models.fvsbn import FVSBNState, fvsbn_logits
from pyarsimple.models.nade import NADEState, nade_sample

ANCESTRAL = '''\
"""Exercise ancestral-sampling: draw from a model, and test the draws.

A sample is drawn one variable after the other, in the model's order: x_i
from p(x_i | x_<i), given what was drawn before. Variables that are known
beforehand are left as they are, and only made known to the state.

A state is what a model carries from one variable to the next:

    state.order          order[k] is the variable in position k
    state.outputs()      (N,) logits of p(x_i = 1 | x_<i) for the next variable
    state.advance(x_i)   makes the next variable known: x_i (N,), its values

Randomness comes from outside: entry [n, i] is 1 where uniforms[n, i] is
below p. So what you draw can be compared with what should be drawn. Whether
samples agree with the model's own probabilities is seen by counting: among N
of them, row v should come about N p(v) times. Pearson's statistic,

    the sum over all K rows v of (observed(v) - expected(v))^2 / expected(v)

is then about K - 1, give or take a few times the root of 2 K. The library's
own check of samplers calls the two functions that you write for this.

    letter    shape   what
    x         (N, D)  rows: variable i takes the values 0, ..., sizes[i] - 1
    sizes     (D,)    how many values each variable has: for bits 2, 2, ...
    observed  (K,)    how often each row came: K is the product of the sizes
    expected  (K,)    how often each row should have come, never 0

    pyarsimple exercises grade ancestral_sampling.py
    pyarsimple exercises hint ancestral-sampling
"""

import copy
import math
from itertools import product

import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "ancestral-sampling"

# The definition: every variable of every row from the very beginning.


def slow_fill_in(state, x, n_known, uniforms, conditional):
    result = x.copy()
    order = list(state.order)
    for position in range(n_known, len(order)):
        i = order[position]
        for n in range(len(x)):
            fresh = copy.deepcopy(state)
            for j in order[:position]:
                fresh.advance(result[:, j])
            p = 1 / (1 + math.exp(-fresh.outputs()[n]))
            result[n, i] = 1.0 if uniforms[n, i] < p else 0.0
    return result


def slow_count_rows(x, sizes):
    counts = []
    for v in product(*[range(size) for size in sizes]):
        counts.append(sum(tuple(row) == v for row in x.tolist()))
    return np.array(counts)


def slow_pearson(observed, expected):
    total = 0.0
    for o, e in zip(observed.tolist(), expected.tolist()):
        total += (o - e) ** 2 / e
    return total


# Your turn.


def fill_in(state, x, n_known, uniforms, conditional):
    """Return x (N, D) with the variables from position n_known on drawn.

    x         (N, D)  0.0 or 1.0; the first n_known variables of the order
                      are known, whatever stands in the others is to be drawn
    uniforms  (N, D)  numbers in [0, 1), one for each entry of x
    conditional       conditional.sample(logits, uniforms) gives bits, if you
                      would rather not write the comparison yourself

    About 6 lines: each variable is visited once. x must stay as it is.
    Bits: no error at all.
    """
    raise NotImplementedError("fill me in: fill_in, about 6 lines")


def count_rows(x, sizes):
    """How often each row comes among those of x, (K,): whole numbers, in the
    order of counting, for bits 0 0 0, 0 0 1, 0 1 0, ...: the last variable
    changes fastest. A row that never came counts 0.

    x may hold floats such as 1.0: fill_in returns them. About 2 lines.
    np.bincount counts whole numbers. No error at all.
    """
    raise NotImplementedError("fill me in: count_rows, about 2 lines")


def pearson(observed, expected):
    """Pearson's statistic of counts, a number.

    About 1 line. Error: 1e-12.
    """
    raise NotImplementedError("fill me in: pearson, about 1 line")
'''

ONE_PASS = '''\
"""Exercise one-pass-sampling: a sample from NADE for the price of a score.

The usual sampler runs the whole network for every variable, to use a single
column of the result: O(D^2 H) or worse. But NADE's activation is a sum that
grows by one row of W as each variable becomes known. Carry it along, and a
sample costs O(D H), as much as scoring one.

    letter   shape    what
    x        (N, D)   the first n_known variables of the order are known, the
                      others are to be drawn
    uniforms (N, D)   numbers in [0, 1): entry [n, i] is 1 where the uniform
                      is below p(x_i = 1 | x_<i)
    W, V     (D, H)   weights into and out of the hidden units
    c, b     (H,) (D,)  biases
    order    (D,)     order[k] is the variable in position k
    hidden            always "sigmoid" here (the library also has "relu")

    pyarsimple exercises grade one_pass_sampling.py
    pyarsimple exercises hint one-pass-sampling
"""

import math

import numpy as np

from pyarsimple.conditionals import sigmoid

EXERCISE = "one-pass-sampling"

# The definition: for each variable everything from the beginning.


def slow_nade_sample(x, n_known, uniforms, W, c, V, b, order, hidden):
    x = x.copy()
    for n in range(len(x)):
        for position in range(n_known, len(order)):
            i = order[position]
            logit = b[i]
            for k in range(len(c)):
                a = c[k] + sum(x[n, j] * W[j, k] for j in order[:position])
                logit += V[i, k] / (1 + math.exp(-a))
            p = 1 / (1 + math.exp(-logit))
            x[n, i] = 1.0 if uniforms[n, i] < p else 0.0
    return x


# Your turn.


def nade_sample(x, n_known, uniforms, W, c, V, b, order, hidden):
    """Return x (N, D) with the variables from position n_known on drawn.

    About 8 lines: one loop over the order. x must stay as it is. Bits: no
    error at all.
    """
    raise NotImplementedError("fill me in: nade_sample, about 8 lines")
'''

ANCESTRAL_HINTS = (
    "One loop over the positions of the order. Every variable is made known to the state, the "
    "drawn ones and those that were known; only the former are drawn. And a row is a number: for "
    "bits 1 0 1 is 5.",
    "for k, i in enumerate(state.order): if k >= n_known, x[:, i] = conditional.sample("
    "state.outputs(), uniforms[:, i]); then state.advance(x[:, i]). Begin with x = x.copy(). In "
    "the number of a row x_i is multiplied by all sizes after its own: for the sizes 2, 3, 4 it is "
    "12 x_0 + 4 x_1 + x_2.",
    "np.ravel_multi_index(tuple(x.astype(int).T), sizes) numbers the rows, and np.bincount("
    "numbers, minlength=math.prod(sizes)) counts them. Pearson's statistic is ((observed - "
    "expected) ** 2 / expected).sum().",
)

ONE_PASS_HINTS = (
    "Before the loop a = c in every row, (N, H). At each variable: its logit from a, its value, "
    "and then a is brought up to date.",
    "Known variables are not drawn, but they change a all the same: a += outer(x[:, i], W[i]).",
    "a = np.tile(c, (len(x), 1)); for k, i in enumerate(order): if k >= n_known: p = sigmoid("
    "sigmoid(a) @ V[i] + b[i]); x[:, i] = uniforms[:, i] < p; then "
    "a += np.multiply.outer(x[:, i], W[i]).",
)

_ancestral, _one_pass = read_template(ANCESTRAL), read_template(ONE_PASS)


# Ancestral sampling from a state.


def _fvsbn(rng: Rng, size: Size) -> tuple[Array, Array]:
    return numbers(rng, size.D, size.D, plain=size.plain), numbers(rng, size.D, plain=size.plain)


def _uniforms(rng: Rng, size: Size) -> Array:
    u = rng.random((size.N, size.D))
    return np.round(0.1 + 0.8 * u, 1) + 0.02 if size.plain else u  # never exactly p = 1/2


def _known_first(rng: Rng, size: Size, order: Array, n_known: int) -> Array:
    x = bits(rng, size)
    x[:, order[n_known:]] = 0
    return x


def _draws() -> Iterator[tuple[Size, Array, int]]:
    """Sizes, orders and numbers of known variables; many, for a bit says little."""
    for k, (size, order) in enumerate(sizes()):
        for repeat in range(3):
            size = size._replace(N=size.N if repeat < 2 else 5)
            yield size, order, min(size.D - 1, (k + repeat) % 3)
    for n_known in (0, 1, 2):
        yield Size(40, 6, 4, plain=False), cycle(6), n_known


def _fill_cases(rng: Rng) -> Iterator[Case]:
    for size, order, n_known in _draws():
        state = FVSBNState(size.N, *_fvsbn(rng, size), order)
        x = _known_first(rng, size, order, n_known)
        yield state, x, n_known, _uniforms(rng, size), Bernoulli()


def _filled(
    state: Any, x: Array, n_known: int, uniforms: Array, conditional: Any, **how: Any
) -> Array:
    """`fill_in` with the mistakes named in ``how``."""
    x = x.copy()
    for k, i in enumerate(state.order):
        to = {"positions": k, "inverse": int(orders.inverse(state.order)[k])}.get(how.get("to"), i)  # type: ignore[arg-type]
        known = k < n_known
        if not known or how.get("redraw"):
            z, u = state.outputs(), uniforms[:, to]
            p = z if how.get("logits") else sigmoid(z)
            u = np.full_like(u, 0.5) if how.get("likeliest") else u
            x[:, to] = u >= p if how.get("turned") else u < p
        if how.get("forget_known" if known else "forget"):
            state.advance(np.zeros(len(x)))
        elif not how.get("stay_known" if known else "stay"):
            state.advance(x[:, to])
    return x


#: Mistakes in drawing, whatever the model.
DRAWING: dict[str, dict[str, Any]] = {
    "1 and 0 are exchanged: an entry is 1 where its uniform is BELOW p": {"turned": True},
    "the uniform is compared with the logit: it must be compared with p = sigmoid(logit)":
        {"logits": True},
    "the likelier value is taken, and uniforms ignored: that is a mode, not a sample":
        {"likeliest": True},
    "column k is written in step k: in position k stands variable i = order[k]":
        {"to": "positions"},
    "known variables are drawn anew: before position n_known nothing is to be drawn":
        {"redraw": True},
}  # fmt: skip


def _suspect(**how: Any) -> Any:
    return lambda *args: _filled(*args, **how)


FILL = Function(
    "fill_in",
    ("x",),
    _ancestral["slow_fill_in"],
    _fill_cases,
    {cause: _suspect(**how) for cause, how in DRAWING.items()}
    | {
        "the inverse of the order is used: state.order[k] is the variable in position k":
            _suspect(to="inverse"),
        "the state is not told what was drawn: state.advance(x[:, i]) comes after the draw":
            _suspect(forget=True),
        "the state is not told the known variables: advance goes over all of the order":
            _suspect(forget_known=True),
        "the state never moves on: without state.advance it speaks of the first variable for ever":
            _suspect(stay=True, stay_known=True),
        "the state does not move on over the known variables: advance goes over all of the order":
            _suspect(stay_known=True),
    },
    fast=fill_in,
)  # fmt: skip


def _exact(W: Array, b: Array, order: Array) -> Array:
    """p of every row of bits, in the order of counting."""
    x = all_rows([2] * len(b)).astype(float)
    p: Array = np.exp(bernoulli_log_p(fvsbn_logits(x, W, b, order), x).sum(axis=1))
    return p


def _sampled(answer: Answer) -> str:
    """4000 draws of the student's function against the enumerated probabilities."""
    rng, order, n = answer.rng(), cycle(3), 4000
    W, b = numbers(rng, 3, 3, plain=False), 0.5 * numbers(rng, 3, plain=False)
    state = FVSBNState(n, W, b, order)
    x = answer.call("fill_in", state, np.zeros((n, 3)), 0, rng.random((n, 3)), Bernoulli())
    observed, expected = count_rows(np.asarray(x), [2, 2, 2]), n * _exact(W, b, order)
    statistic = pearson(observed, expected)
    if statistic > 60:  # seven degrees of freedom: once in 10^10
        shown = [*show("expected", np.round(expected)), *show("observed", observed)]
        cause = known_cause(
            answer, FILL, otherwise="the draws do not come from the model's conditionals"
        )
        raise Wrong(f"chi-square {statistic:.0f} for 7 degrees of freedom", shown, cause)
    return f"chi-square {statistic:.1f} with 7 degrees of freedom"


# The test of the draws.


def _count_cases(rng: Rng) -> Iterator[Case]:
    yield np.array([[0.0], [1.0], [1.0], [1.0]]), [2]
    yield np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), [2, 2]  # never 1 1
    yield rng.integers([1, 3], size=(5, 2)), [1, 3]
    yield rng.integers([2, 3], size=(12, 2)), [2, 3]
    yield np.repeat(rng.integers(2, size=(5, 4)), 4, axis=0).astype(float), [2, 2, 2, 2]
    yield rng.integers([3, 4, 5], size=(90, 3)), [3, 4, 5]


def _weighted(weights: Callable[[Array], Array]) -> Any:
    """Rows counted by wrong numbers, in which the variables have other weights."""

    def suspect(x: Array, sizes: Sequence[int]) -> Array:
        numbers = x.astype(int) @ weights(np.array(sizes))
        return np.bincount(numbers, minlength=math.prod(sizes))

    return suspect


COUNTS = Function(
    "count_rows",
    ("counts",),
    _ancestral["slow_count_rows"],
    _count_cases,
    {
        "rows are numbered from the wrong end: the last variable changes fastest, so it counts 1":
            lambda x, sizes: count_rows(x[:, ::-1], sizes[::-1]),
        "counted downwards: the first of all rows is that of zeros":
            lambda x, sizes: count_rows(x, sizes)[::-1],
        "these are frequencies, counts divided by the number of rows: whole numbers are wanted":
            lambda x, sizes: count_rows(x, sizes) / len(x),
        "each row is counted once, however often it comes":
            lambda x, sizes: np.minimum(count_rows(x, sizes), 1),
        "every variable is taken for a bit: variable i has sizes[i] values":
            _weighted(lambda sizes: 2 ** np.arange(len(sizes))[::-1]),
        "every variable is taken to have as many values as the first: variable i has sizes[i]":
            _weighted(lambda sizes: sizes[0] ** np.arange(len(sizes))[::-1]),
        "x_i is multiplied by the sizes of the wrong variables: those after its own are meant":
            _weighted(lambda sizes: np.cumprod(np.r_[1, sizes[:-1]])[::-1]),
    },
    fast=count_rows,
)  # fmt: skip


def _pearson_cases(rng: Rng) -> Iterator[Case]:
    yield np.array([1, 3]), np.array([2.0, 2.0])
    yield np.array([0, 2, 1, 0]), np.array([0.375, 0.75, 0.375, 1.5])
    for K, n in ((4, 30), (6, 60), (16, 12)):  # the last has zeros
        p = rng.uniform(0.5, 2, K)
        yield rng.multinomial(n, np.full(K, 1 / K)), n * p / p.sum()


def _wrongly(formula: Callable[[Array, Array], Any]) -> Any:
    return lambda observed, expected: float(formula(observed, expected))


PEARSON = Function(
    "pearson",
    ("statistic",),
    _ancestral["slow_pearson"],
    _pearson_cases,
    {
        "frequencies are compared, not counts: the statistic is N times larger": _wrongly(
            lambda o, e: pearson(o, e) / o.sum()
        ),
        "divided by the observed counts, where the expected ones must stand": _wrongly(
            lambda o, e: ((o - e) ** 2 / o).sum()
        ),
        "divided by the observed counts, or by 1 where none came: the expected ones must stand "
        "there": _wrongly(lambda o, e: ((o - e) ** 2 / np.where(o, o, 1)).sum()),
        "rows that never came are left out: each adds what was expected of it": _wrongly(
            lambda o, e: pearson(o[o > 0], e[o > 0])
        ),
        "the square is missing: differences of either sign cancel": _wrongly(
            lambda o, e: ((o - e) / e).sum()
        ),
        "the absolute value stands where the square should": _wrongly(
            lambda o, e: (np.abs(o - e) / e).sum()
        ),
        "not divided by the expected counts": _wrongly(lambda o, e: ((o - e) ** 2).sum()),
        "divided by the sum of the expected counts: each square is divided by its own": _wrongly(
            lambda o, e: ((o - e) ** 2).sum() / e.sum()
        ),
        "these are absolute differences, neither squared nor divided by the expected counts":
            _wrongly(lambda o, e: np.abs(o - e).sum()),
        "divided by the square of the expected counts: (o - e)^2 / e is meant, not ((o - e) / e)^2":
            _wrongly(lambda o, e: ((o - e) ** 2 / e**2).sum()),
        "this is a mean over the rows, where the sum is meant": _wrongly(
            lambda o, e: pearson(o, e) / len(o)
        ),
        "this is the root of the statistic": _wrongly(lambda o, e: math.sqrt(pearson(o, e))),
    },
    fast=pearson,
)  # fmt: skip


# Sampling from NADE in one pass.


def _nade_cases(rng: Rng) -> Iterator[Case]:
    for size, order, n_known in _draws():
        _, D, H, plain = size
        W, V = 2 * numbers(rng, D, H, plain=plain), numbers(rng, D, H, plain=plain)
        c, b = numbers(rng, H, plain=plain), 0.5 * numbers(rng, D, plain=plain)
        x = _known_first(rng, size, order, n_known)
        yield x, n_known, _uniforms(rng, size), W, c, V, b, order, "sigmoid"


def _nade_suspect(**how: Any) -> Any:
    def suspect(
        x: Array, n_known: int, uniforms: Array, W: Array, c: Array, V: Array, b: Array,
        order: Array, hidden: str,
    ) -> Array:  # fmt: skip
        state = NADEState(len(x), W, c, V, b, order, hidden)
        return _filled(state, x, n_known, uniforms, None, **how)

    return suspect


def _from_logits(logits: Any) -> Any:
    """A sampler whose conditionals are those of a wrong forward pass."""

    def suspect(
        x: Array, n_known: int, uniforms: Array, W: Array, c: Array, V: Array, b: Array,
        order: Array, hidden: str,
    ) -> Array:  # fmt: skip
        x = x.copy()
        for i in order[n_known:]:
            x[:, i] = uniforms[:, i] < sigmoid(logits(x, W, c, V, b, order, hidden, None)[:, i])
        return x

    return suspect


def _carries_p(*, drawn: bool) -> Any:
    """The activation takes p where it should take the bit; and so does x, if nothing is drawn."""

    def suspect(
        x: Array, n_known: int, uniforms: Array, W: Array, c: Array, V: Array, b: Array,
        order: Array, hidden: str,
    ) -> Array:  # fmt: skip
        x, a = x.copy(), np.tile(c, (len(x), 1))
        for k, i in enumerate(order):
            p = x[:, i].copy()
            if k >= n_known:
                p = sigmoid(sigmoid(a) @ V[i] + b[i])
                x[:, i] = uniforms[:, i] < p if drawn else p
            a += np.multiply.outer(p, W[i])
        return x

    return suspect


SAMPLE = Function(
    "nade_sample",
    ("x",),
    _one_pass["slow_nade_sample"],
    _nade_cases,
    {cause: _nade_suspect(**how) for cause, how in DRAWING.items()}
    | {cause: _from_logits(logits) for cause, logits in nade_forward.OF_THE_SUM.items()}
    | {
        "a is not brought up to date with what was drawn: add x_i W[i] after the draw, not before":
            _nade_suspect(forget=True),
        "a misses the known variables: they are not drawn, but they count":
            _nade_suspect(forget_known=True),
        "p is added to a where the bit that was drawn belongs": _carries_p(drawn=True),
        "these are probabilities: an entry is 1 where its uniform is below p, and else 0":
            _carries_p(drawn=False),
    },
    fast=nade_sample,
)  # fmt: skip


ANCESTRAL_EXERCISE = Exercise(
    name="ancestral-sampling",
    title="draw from a model, and test the draws by chi-square",
    teaches="sampling, and counts against p",
    minutes=30,
    template=ANCESTRAL,
    hints=ANCESTRAL_HINTS,
    stages=(
        *stages_of(FILL, 4, "fill_in"),
        Stage("chi-square", 1, _sampled, group="fill_in"),
        *stages_of(COUNTS, 1, "count_rows"),
        *stages_of(PEARSON, 1, "pearson"),
    ),
    solution=(fill_in, count_rows, pearson),
    imports="import math\n\nimport numpy as np\n\nfrom pyarsimple.autoregressive import as_columns",
)

ONE_PASS_EXERCISE = Exercise(
    name="one-pass-sampling",
    title="a sample from NADE for the price of a score",
    teaches="a state that is carried on",
    minutes=20,
    template=ONE_PASS,
    hints=ONE_PASS_HINTS,
    stages=(
        *stages_of(SAMPLE, 6),
        cost(
            SAMPLE, 3,
            cause="the activation of every variable is summed from nothing: carry it along, and "
            "add x_i W[i] when x_i is known",
        ),
    ),
    solution=(activate, NADEState, nade_sample),
    imports="import numpy as np\n\nfrom pyarsimple.autoregressive import State, fill_in\n"
    "from pyarsimple.conditionals import Bernoulli, sigmoid\n"
    "from pyarsimple.orders import one_each",
)  # fmt: skip
