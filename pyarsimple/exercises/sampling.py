"""Ancestral sampling: with a state and its chi-square, and in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyarsimple import orders
from pyarsimple.activations import activate
from pyarsimple.autoregressive import fill_in
from pyarsimple.conditionals import Bernoulli, bernoulli_log_p, sigmoid
from pyarsimple.density import all_rows
from pyarsimple.exercises import nade_forward
from pyarsimple.exercises.answers import Answer, Array, Case, Function, Rng, Wrong, show
from pyarsimple.exercises.cases import Size, bits, cycle, numbers, sizes
from pyarsimple.exercises.grader import Exercise, Stage, read_template
from pyarsimple.exercises.solutions import chi_square
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
below p. So what you draw can be compared with what should be drawn. That a
sampler agrees with the model's own probabilities is tested by chi-square:

    the sum over all rows v of {0,1}^D of (count(v) - n p(v))^2 / (n p(v))

which for n true samples is about 2^D - 1, give or take a few times 2^(D/2).

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


def slow_chi_square(x, p):
    n, D = x.shape
    total = 0.0
    for v, p_v in zip(product([0, 1], repeat=D), p):
        count = sum(tuple(row) == v for row in x.astype(int).tolist())
        total += (count - n * p_v) ** 2 / (n * p_v)
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


def chi_square(x, p):
    """The statistic of samples x (n, D), given p (2**D,), the probability of
    each row in the order of counting: 0 0 0, 0 0 1, 0 1 0, ...

    About 4 lines. np.bincount counts whole numbers. Error: 1e-12.
    """
    raise NotImplementedError("fill me in: chi_square, about 4 lines")
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
    "drawn ones and those that were known; only the former are drawn.",
    "for k, i in enumerate(state.order): if k >= n_known, x[:, i] = conditional.sample("
    "state.outputs(), uniforms[:, i]); then state.advance(x[:, i]). Begin with x = x.copy().",
    "The number of a row is x @ [4, 2, 1] for D = 3: x.astype(int) @ (2 ** np.arange(D)[::-1]). "
    "counts = np.bincount(numbers, minlength=2 ** D); ((counts - n * p) ** 2 / (n * p)).sum().",
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
    p = _exact(W, b, order)
    statistic = chi_square(np.asarray(x), p)
    if statistic > 60:  # seven degrees of freedom: once in 10^10
        shown = [*show("p true", p), *show("drawn ", _frequencies(np.asarray(x)))]
        cause = known_cause(
            answer, FILL, otherwise="the draws do not come from the model's conditionals"
        )
        raise Wrong(f"chi-square {statistic:.0f} for 7 degrees of freedom", shown, cause)
    return f"chi-square {statistic:.1f} with 7 degrees of freedom"


def _frequencies(x: Array) -> Array:
    index = x.astype(int) @ (2 ** np.arange(x.shape[1])[::-1])
    return np.bincount(index, minlength=2 ** x.shape[1]) / len(x)


def _chi_cases(rng: Rng) -> Iterator[Case]:
    yield np.array([[0.0], [1.0], [1.0], [1.0]]), np.array([0.5, 0.5])
    yield np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]), np.array([0.125, 0.25, 0.125, 0.5])
    for D in (2, 3):
        p = rng.uniform(0.5, 2, 2**D)
        yield rng.integers(2, size=(30, D)).astype(float), p / p.sum()
    p = rng.uniform(0.5, 2, 16)
    yield np.repeat(rng.integers(2, size=(3, 4)), 4, axis=0).astype(float), p / p.sum()


def _counted(x: Array, p: Array) -> tuple[int, Array, Array]:
    return len(x), _frequencies(x) * len(x), p


def _pearson(formula: Any) -> Any:
    return lambda x, p: float(formula(*_counted(x, p)))


CHI = Function(
    "chi_square",
    ("statistic",),
    _ancestral["slow_chi_square"],
    _chi_cases,
    {
        "rows are numbered from the wrong end: the last bit changes fastest, so it counts 1":
            lambda x, p: chi_square(x[:, ::-1], p),
        "frequencies are compared, not counts: the statistic is n times larger": _pearson(
            lambda n, counts, p: ((counts / n - p) ** 2 / p).sum()
        ),
        "divided by the counts, where the expected n p must stand": _pearson(
            lambda n, counts, p: ((counts - n * p) ** 2 / np.where(counts, counts, 1)).sum()
        ),
        "rows that were never drawn are left out: they add n p each": _pearson(
            lambda n, counts, p: ((counts - n * p) ** 2 / (n * p))[counts > 0].sum()
        ),
        "the square is missing: differences of either sign cancel": _pearson(
            lambda n, counts, p: ((counts - n * p) / (n * p)).sum()
        ),
        "the absolute value stands where the square should": _pearson(
            lambda n, counts, p: (np.abs(counts - n * p) / (n * p)).sum()
        ),
        "not divided by n p": _pearson(lambda n, counts, p: ((counts - n * p) ** 2).sum()),
        "this is a mean over the rows of {0,1}^D, where the sum is meant": _pearson(
            lambda n, counts, p: ((counts - n * p) ** 2 / (n * p)).mean()
        ),
        "this is the root of the statistic": _pearson(
            lambda n, counts, p: np.sqrt(((counts - n * p) ** 2 / (n * p)).sum())
        ),
        "divided by p, where n p must stand": _pearson(
            lambda n, counts, p: ((counts - n * p) ** 2 / p).sum()
        ),
        "1 is added to each count: a count may be 0": _pearson(
            lambda n, counts, p: ((counts + 1 - n * p) ** 2 / (n * p)).sum()
        ),
    },
    fast=chi_square,
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
        *stages_of(CHI, 3, "chi_square"),
    ),
    solution=(fill_in, chi_square),
    imports="import numpy as np\n\nfrom pyarsimple.autoregressive import as_columns",
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
