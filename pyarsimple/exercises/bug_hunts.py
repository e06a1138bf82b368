"""Bug hunts: files that run and are wrong. One bug each, to be mended and to be named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyarsimple.activations import activate, activate_slope
from pyarsimple.autoregressive import fill_in
from pyarsimple.conditionals import bernoulli_log_p
from pyarsimple.exercises import (
    bernoulli_loss,
    fvsbn,
    made_masks,
    nade_backward,
    nade_forward,
    sampling,
)
from pyarsimple.exercises.answers import Answer, Function, NotDone, Wrong
from pyarsimple.exercises.grader import Exercise, Stage, read_template
from pyarsimple.exercises.stages import extremes, stages_of
from pyarsimple.models.fvsbn import fvsbn_logits
from pyarsimple.models.made import make_masks
from pyarsimple.models.nade import nade_backward as nade_backward_solution
from pyarsimple.models.nade import nade_logits

#: What a bug may be called: the same list in every hunt, so that nothing can be guessed from it.
BUGS = {
    "sees-itself": "a conditional depends on its own variable",
    "one-step-late": "a conditional misses the variable just before its own",
    "not-accumulated": "of a sum over steps only one step is kept",
    "missing-slope": "the derivative of the hidden units is left out",
    "inverse-order": "an order stands where its inverse belongs, or vice versa",
    "clipped": "probabilities are clipped, so that small ones are wrong",
    "cut-paths": "a mask forbids dependences that the order allows",
    "mask-in-weights": "a mask is written into the caller's weights",
    "log-of-mean": "logs are averaged, or the log of a mean is taken",
    "sigmoid-twice": "a sigmoid is applied to what already is a probability",
}

_LIST = "\n".join(f"#   {name:17s} {what}" for name, what in BUGS.items())


def _template(number: int, title: str, story: str, imports: str, code: str) -> str:
    return f'''\
"""Exercise bug-hunt-{number}: {title}.

{story.strip()}

There is exactly one bug. Mend it where it stands, and name it: set BUG to
one of the names below. The file is graded for both.

    pyarsimple exercises grade bug_hunt_{number}.py
    pyarsimple exercises hint bug-hunt-{number}
"""

{imports}

EXERCISE = "bug-hunt-{number}"

{_LIST}

BUG = ""


{code.strip()}
'''


def _named(bug: str) -> Stage:
    def judge(answer: Answer) -> str:
        named = answer.names.get("BUG", "")
        if named == "":
            raise NotDone("BUG is empty: which one of the list is it?")
        if named not in BUGS:
            raise Wrong(f"BUG = {named!r} is not in the list", cause="a name was misspelt")
        if named != bug:
            raise Wrong(
                f"BUG = {named!r}: it is another one",
                cause="what was named is another bug than that of this file. Find an input for "
                "which the function is wrong, by hand, and follow it through the lines",
            )
        return f"{bug} it is"

    return Stage("named", 3, judge, group="bug")


def _mended(function: str, template: str, bug: str) -> Stage:
    """The function is no longer what it was: what it is now is judged by the stages after it."""
    before = read_template(template)[function].__code__

    def judge(answer: Answer) -> str:
        now = getattr(answer.names.get(function), "__code__", None)
        if now is None or (now.co_code, now.co_consts, now.co_names) != (
            before.co_code, before.co_consts, before.co_names,
        ):  # fmt: skip
            return f"{function} was changed"
        named = answer.names.get("BUG", "")
        if named == "":
            raise NotDone(f"{function} is as it was")
        cause = "the bug was named, and is still there"
        if named != bug:
            cause = "the bug is still there: it has to be found, named and mended"
        raise Wrong(f"{function} is as it was", cause=cause)

    return Stage("changed", 0, judge, group="function", gate=True)


def _hunt(
    number: int, bug: str, title: str, story: str, imports: str, code: str, function: Function,
    hints: tuple[str, str, str], solution: tuple[Any, ...], solution_imports: str, *,
    teaches: str, more: Callable[[Function], Stage] | None = None,
) -> Exercise:  # fmt: skip
    template = _template(number, title, story, imports, code)
    names = len(function.returns)
    points = 4.0 if more else 6.0
    stages = stages_of(function, [points / names] * names, "function")
    return Exercise(
        name=f"bug-hunt-{number}",
        title=title,
        teaches=teaches,
        minutes=20,
        template=template,
        hints=hints,
        stages=(
            _named(bug),
            _mended(function.name, template, bug),
            *stages,
            *([more(function)] if more else []),
        ),
        solution=solution,
        imports=solution_imports,
        bug=bug,
    )


HUNT_1 = _hunt(
    1,
    "sees-itself",
    "a NADE that is too good to be true",
    """
nade_logits is the forward pass of a NADE, as in exercise nade-forward: the
logit of variable i may depend on the variables before i in the order only.
Training with it goes wonderfully. On the test set too the likelihood rises,
far above that of any published model. The samples are noise.
""",
    "import numpy as np\n\nfrom pyarsimple.conditionals import sigmoid",
    '''
def nade_logits(x, W, c, V, b, order, hidden, keep):
    """Logits (N, D) from x (N, D), W and V (D, H), c (H,), b (D,).
    hidden is "sigmoid" and keep None."""
    logits = np.empty_like(x)  # (N, D)
    a = np.tile(c, (len(x), 1))  # (N, H)
    for i in order:
        a += np.multiply.outer(x[:, i], W[i])
        h = sigmoid(a)
        logits[:, i] = h @ V[i] + b[i]
    return logits
''',
    nade_forward.LOGITS,
    (
        "A likelihood that is too good: does the model see what it is to predict?",
        "Take D = 1. The only logit must be the same for x = 0 and x = 1. Is it?",
        "In the loop x_i is added to a before the logit of i is computed: move that line down.",
    ),
    (activate, nade_logits),
    nade_forward.EXERCISE.imports,
    teaches="a score that is too good to be true",
)

HUNT_2 = _hunt(
    2,
    "not-accumulated",
    "a NADE that learns, but not well",
    """
nade_backward is the backward pass of a NADE, as in exercise nade-backward.
With it the loss falls, and comes to rest well above that of the authors'.
The gradients of V and b agree with differences. So does that of W, when D
is 1 or 2.
""",
    "import numpy as np\n\nfrom pyarsimple.conditionals import sigmoid",
    '''
def nade_backward(d_logits, x, W, c, V, order, hidden, keep):
    """Gradients (dW, dc, dV, db) from d_logits (N, D); W and V are (D, H).
    hidden is "sigmoid" and keep None."""
    a = np.tile(c, (len(x), 1))  # (N, H)
    states = []
    for i in order:
        states.append(sigmoid(a))
        a += np.multiply.outer(x[:, i], W[i])

    dW, dV = np.zeros_like(W), np.zeros_like(V)
    d_a = np.zeros_like(a)  # (N, H)
    for i, h in zip(order[::-1], states[::-1]):
        dW[i] = x[:, i] @ d_a
        dV[i] = d_logits[:, i] @ h
        d_h = np.multiply.outer(d_logits[:, i], V[i])
        d_a = d_h * h * (1 - h)
    return dW, d_a.sum(axis=0), dV, d_logits.sum(axis=0)
''',
    nade_backward.GRADIENTS,
    (
        "W[i] is used by every variable after i, not only by the next one.",
        "Follow d_a through two rounds of the second loop: what is left of the first round?",
        "d_a is set anew in each round; it should be added to: +=.",
    ),
    (activate, activate_slope, nade_backward_solution),
    nade_backward.EXERCISE.imports,
    teaches="a model that learns, but not well",
)

HUNT_3 = _hunt(
    3,
    "inverse-order",
    "a sampler that passed its tests",
    """
fill_in draws from a model, as in exercise ancestral-sampling: order[k] is
the variable in position k. It was tested with the natural order, with the
reversed one, and with two variables exchanged, and all was well. Then came
a random order of five variables, and the chi-square test failed.
""",
    "import numpy as np",
    '''
def fill_in(state, x, n_known, uniforms, conditional):
    """Return x (N, D) with the variables from position n_known on drawn.
    state.outputs() are the next variable's logits, state.advance(x_i) makes
    it known; conditional.sample(logits, uniforms) gives bits."""
    x = x.copy()
    for k, i in enumerate(np.argsort(state.order)):
        if k >= n_known:
            x[:, i] = conditional.sample(state.outputs(), uniforms[:, i])
        state.advance(x[:, i])
    return x
''',
    sampling.FILL,
    (
        "Which permutations are their own inverse? The orders of the tests were.",
        "Write down np.argsort([1, 2, 0]): the variable in position k, or the position of k?",
        "The loop must run over state.order itself.",
    ),
    (fill_in,),
    "import numpy as np\n\nfrom pyarsimple.autoregressive import as_columns",
    teaches="a sampler that passed its tests",
)

HUNT_4 = _hunt(
    4,
    "clipped",
    "a log-likelihood with a floor",
    """
bernoulli_log_p is log p(x_i | x_<i) of bits from logits, as in exercise
bernoulli-loss. It is never infinite, it gives no warning, and all tests
with logits between -10 and 10 pass. But on one data set a bad model scores
better than it should, and nobody can tell by how much.
""",
    "import numpy as np\n\nfrom pyarsimple.conditionals import sigmoid, softplus",
    '''
def bernoulli_log_p(logits, x):
    """log p(x_i | x_<i), (N, D), from logits and bits (N, D)."""
    p = sigmoid(logits)
    p = np.maximum(np.minimum(p, 1 - 1e-12), 1e-12)
    return x * np.log(p) + (1 - x) * np.log(1 - p)
''',
    bernoulli_loss.LOG_P,
    (
        "What is the smallest log p that this function can return?",
        "p between 1e-12 and 1 - 1e-12 means log p above -27.6, whatever the logit is.",
        "Do not form p at all: log p = -softplus((1 - 2 * x) * logits).",
    ),
    (bernoulli_log_p,),
    bernoulli_loss.EXERCISE.imports,
    teaches="a likelihood with a floor",
    more=lambda function: extremes(function, bernoulli_loss.EXTREME, 2, "function"),
)

HUNT_5 = _hunt(
    5,
    "cut-paths",
    "a MADE that is causal, and worse than it should be",
    """
make_masks makes the masks of a MADE, as in exercise made-masks. Every test
for leaks passes: no variable sees itself or a later one. Still the model is
worse than it should be, and with two variables it is no better than
independent bits.
""",
    "import numpy as np\n\nfrom pyarsimple.orders import inverse, precedes",
    '''
def make_masks(order, degrees):
    """Masks of W_1 (D, H_1), W_2 (H_1, H_2), ..., V (D, H_last), true where
    a weight is free; degrees are 1..D-1, positions count from 0."""
    position = inverse(order)  # (D,)
    if not degrees:
        return [precedes(order)]
    masks = [position[:, np.newaxis] < degrees[0]]
    for m, n in zip(degrees[:-1], degrees[1:]):
        masks.append(m[:, np.newaxis] <= n)
    masks.append(degrees[-1] < position[:, np.newaxis])
    return masks
''',
    made_masks.MASKS,
    (
        "A model without any dependence passes all tests for leaks. Which of them are missing?",
        "D = 2, one unit of degree 1: it sees the variable in position 0. May it feed position 1?",
        "A unit of degree m has seen positions 0..m-1 and may feed m: <= in the last mask.",
    ),
    (make_masks,),
    made_masks.EXERCISE.imports,
    teaches="a model that is causal, and poor",
)

HUNT_6 = _hunt(
    6,
    "mask-in-weights",
    "an FVSBN that forgets the other orders",
    """
fvsbn_logits gives the logits of an FVSBN, as in exercise fvsbn-forward. One
W is trained for several orders in turn: each uses the entries of W that it
allows. The logits are right, whenever they are looked at. Yet after a round
through two opposite orders all of W is zero.
""",
    "import numpy as np\n\nfrom pyarsimple.orders import precedes",
    '''
def fvsbn_logits(x, W, b, order):
    """Logits (N, D) from x (N, D), W (D, D) and b (D,)."""
    W *= precedes(order)
    return x @ W.T + b
''',
    fvsbn.LOGITS,
    (
        "The logits are right. What else does a call of the function do?",
        "W is the caller's array. Compare it before and after the call.",
        "W *= mask writes into W; W = np.where(mask, W, 0) makes a new array.",
    ),
    (fvsbn_logits,),
    fvsbn.FORWARD_EXERCISE.imports,
    teaches="a model that forgets",
)

HUNTS = (HUNT_1, HUNT_2, HUNT_3, HUNT_4, HUNT_5, HUNT_6)
