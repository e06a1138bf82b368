"""The exercises: what the library solves, and what the grader says of right and wrong answers.

``tests/answers/NAME/`` holds answers to each exercise, written as students write them: ``right_*``
must get full marks, ``slow_*`` is right and told that it costs too much, ``wrong_*`` must be
rejected with the cause that stands in its first line. ``mistakes.txt`` has many more wrong ones, as
changes to the lines of ``right_plain.py``, each with a name and the cause that must be told; - is
for a mistake that nobody could name, and for which no cause must be told.
"""

import re
import textwrap
import zlib
from pathlib import Path

import numpy as np
import pytest

from pyarsimple.checks import check_autoregressive, check_gradients, differences, gradients
from pyarsimple.exercises import (
    bernoulli_loss,
    causality_check,
    chain_rule,
    fvsbn,
    grader,
    ladder,
    made_backward,
    made_masks,
    mixture,
    nade_backward,
    nade_forward,
    numeric_gradient,
    order_mixture,
    sampling,
    softmax,
    softplus,
)
from pyarsimple.exercises.answers import Answer, Wrong
from pyarsimple.exercises.counting import Counted, count
from pyarsimple.exercises.grader import grade_here, read_template, seed_of
from pyarsimple.exercises.texts import name_in, solution_of
from pyarsimple.exercises.traces import cause_of

pytestmark = pytest.mark.once

ANSWERS = Path(__file__).parent / "answers"
EXERCISES = list(ladder().values())
SEEDS = (0, seed_of("Ada"), seed_of("Radford"))

every_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.name)


def answers(kind):
    found = sorted(ANSWERS.glob(f"*/{kind}_*.py"))
    return pytest.mark.parametrize(
        "path", found, ids=[f"{path.parent.name}/{path.stem}" for path in found]
    )


def grade(path, seed=0):
    source = path.read_text()
    exercise = ladder()[name_in(source)]
    assert exercise.name == path.parent.name
    return grade_here(exercise, str(path), source, seed)


def mistakes():
    """Exercise, wrong answer and cause, from each mistakes.txt."""
    found = []
    for path in sorted(ANSWERS.glob("*/mistakes.txt")):
        right = (path.parent / "right_plain.py").read_text()
        for block in f"\n{path.read_text()}".split("\n== ")[1:]:
            head, _, changes = block.partition("\n")
            name, _, cause = head.partition(": ")
            wrong = changed(right, changes)
            found.append(
                pytest.param(path.parent.name, wrong, cause, id=f"{path.parent.name}/{name}")
            )
    return found


def changed(text, changes):
    """A text with lines replaced: - is what goes, + what comes, two blanks what stays."""
    for hunk in changes.strip("\n").split("\n...\n"):
        lines = hunk.split("\n")
        old = "".join(f"{line[2:]}\n" for line in lines if line[0] in " -")
        new = "".join(f"{line[2:]}\n" for line in lines if line[0] in " +")
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text if "import numpy" in text else f"import numpy as np\n{text}"


def cause_in(path):
    match = re.match(r"# cause: (.+)\n", path.read_text())
    assert match, "the first line of a wrong answer says what it must be told"
    return match[1]


def said(grade):
    """Everything that the student is told."""
    return " ".join(re.sub(r"\s+", " ", f"{s.remark} {s.cause}") for s in grade.stages)


# Answers.


@answers("right")
def test_right_answers_get_full_marks(path):
    for seed in SEEDS:
        result = grade(path, seed)
        assert result.state == "done", str(result)
        assert result.score == result.max_score == 10


@answers("wrong")
def test_wrong_answers_are_told_why(path):
    result = grade(path)
    assert result.state == "wrong", str(result)
    assert result.score < 10
    assert cause_in(path) in said(result), str(result)
    assert max(map(len, str(result).splitlines())) <= 80
    assert not re.search(r"\?\.$", str(result), re.MULTILINE)
    failed = [s for s in result.stages if s.status == "WRONG"]
    assert all(s.example or s.cause for s in failed), "a failure shows an example or a cause"


@answers("wrong")
def test_the_cause_does_not_depend_on_the_student(path):
    assert cause_in(path) in said(grade(path, seed_of("Geoffrey")))


@pytest.mark.parametrize("seed", [0, seed_of("Geoffrey")])
@pytest.mark.parametrize(("name", "source", "cause"), mistakes())
def test_mistakes_are_told_and_none_that_was_not_made(name, source, cause, seed):
    result = grade_here(ladder()[name], "answer.py", source, seed)
    assert result.state == "wrong", str(result)
    assert max(map(len, str(result).splitlines())) <= 80
    if cause == "-":
        assert not [s.cause for s in result.stages if s.cause], str(result)
    else:
        assert cause in said(result), str(result)
    causes = {s.title: s.cause for s in result.stages if s.status == "WRONG"}
    for title, told in causes.items():
        group, _, stage = title.rpartition(": ")
        values = causes.get(f"{group}: values" if group else "values")
        if stage in ("dependences", "chi-square", "sums to one", "the V") and values is not None:
            assert told in (values, "") or values == "", str(result)


def test_what_suffers_from_wrong_values_names_no_cause_of_its_own():
    code = """
    def nade_logits(x, W, c, V, b, order, hidden, keep):
        a = np.tile(c, (len(x), 1))
        logits = np.empty_like(x)
        for i in order[::-1]:
            logits[:, i] = 1 / (1 + np.exp(-a)) @ V[i] + b[i]
            a = a + np.outer(x[:, i], W[i])
        return logits
    """
    result = in_exercise("nade-forward", textwrap.dedent(code))
    told = {s.title: s.cause for s in result.stages if s.status == "WRONG"}
    assert told == dict.fromkeys(("values", "dependences"), "order is walked from its end")
    assert "Likely cause: the same as of values." in str(result)
    # An answer whose values are wrong in no known way is told what the dependences show, no more.
    result = in_exercise(
        "nade-forward", textwrap.dedent(code).replace("+ b[i]", "- 0.3 * b[i] ** 2")
    )
    told = {s.title: s.cause for s in result.stages if s.status == "WRONG"}
    assert told["values"] == ""
    assert "wrong order" in told["dependences"]


@pytest.mark.parametrize(
    ("name", "code", "remark", "cause"),
    [
        ("fvsbn-backward", "def fvsbn_backward(d, x, o): return d.sum(0), d.T @ x",
         "the results are in another order", "return (dW, db), in this order"),
        ("made-backward",
         "def made_backward(d, layers, W, V, A, hidden, keeps):\n"
         "    dW = [np.zeros_like(w) for w in W][::-1]\n"
         "    dc = [np.zeros(w.shape[1]) for w in W][::-1]\n"
         "    dA = None if A is None else d.T @ layers[0]\n"
         "    return dW, dc, d.T @ layers[-1], d.sum(0), dA",
         "the arrays of dW are in reverse", "the first layer must come first"),
        ("chain-rule", "def all_rows(s): return np.ones((np.prod(s) - 1, len(s)), int)",
         "rows has shape", "axis 0 of rows is one too short"),
        ("softplus", "def softplus(z): return np.logaddexp(0, z).astype('float16')",
         "softplus is float16", "work with float64"),
        ("softplus", "def softplus(z): return [[1.0], [1.0, 2.0]]", "forms no array", "differ"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_form_of_results(name, code, remark, cause):
    result = in_exercise(name, code)
    assert remark in said(result), str(result)
    assert cause in said(result), str(result)


def test_an_error_in_one_function_does_not_cascade_into_the_next():
    code = "def softplus(z): return np.abs(z)\ndef log_sigmoid(z): return -softplus(-z)"
    result = in_exercise("softplus", code)
    wrong = {s.title for s in result.stages if s.status == "WRONG"}
    assert wrong == {"softplus: values", "softplus: extremes"}
    assert result.score == 10 - 2 - 2


@answers("slow")
def test_slow_answers_are_right_and_told_so(path):
    result = grade(path)
    assert result.state == "done", str(result)
    assert 5 < result.score < 10
    costly = [s for s in result.stages if s.status == "slow"]
    assert [s.title for s in costly] == ["cost"]
    assert cause_in(path) in costly[0].cause
    assert "right, but D^1 is enough" in costly[0].remark


@every_exercise
def test_there_are_answers_enough(exercise):
    folder = ANSWERS / exercise.name
    assert len(list(folder.glob("right_*.py"))) >= 2
    wrong = list(folder.glob("wrong_*.py"))
    assert len(wrong) >= 4
    assert len({cause_in(path) for path in wrong}) >= 4 - (exercise.bug != "")


# Templates and solutions.


@every_exercise
def test_the_librarys_own_code_is_the_solution(exercise):
    source = solution_of(exercise)
    result = grade_here(exercise, "solution.py", source)
    assert result.state == "done", str(result)
    assert result.score == 10
    assert name_in(source) == exercise.name
    assert "@twin" not in source


@every_exercise
def test_the_template_is_not_done(exercise):
    result = grade_here(exercise, exercise.file_name, exercise.template)
    assert result.state == "not done", str(result)
    assert result.score == 0
    assert "WRONG" not in str(result)


@every_exercise
def test_the_template_is_what_a_student_can_read(exercise):
    lines = exercise.template.splitlines()
    assert max(map(len, lines)) <= 79
    assert name_in(exercise.template) == exercise.name
    assert f"pyarsimple exercises grade {exercise.file_name}" in exercise.template
    assert f"pyarsimple exercises hint {exercise.name}" in exercise.template
    if not exercise.bug:
        assert "# The definition" in exercise.template
        assert "# Your turn" in exercise.template
        holes = re.findall(r'NotImplementedError\("fill me in: (\w+)', exercise.template)
        for hole in holes:
            assert callable(read_template(exercise.template)[f"slow_{hole}"])
            budget = re.search(rf"def {hole}\(.*?About \d+ lines?", exercise.template, re.DOTALL)
            assert budget, f"{hole} has a budget of lines"
            assert "rror" in read_template(exercise.template)[hole].__doc__
        assert holes


@every_exercise
def test_what_is_said_of_an_exercise(exercise):
    assert len(exercise.hints) == len(set(exercise.hints)) == 3
    assert sum(stage.points for stage in exercise.stages) == 10
    assert len(exercise.title) <= 60
    assert len(exercise.teaches) <= 36
    assert 10 <= exercise.minutes <= 60
    assert any(stage.gate for stage in exercise.stages)


def test_the_ladder():
    names = list(ladder())
    assert len(names) >= 14 + 4
    assert sum(name.startswith("bug-hunt-") for name in names) >= 4
    assert names[0] == "softplus"


# The grader.


def test_seeds_change_the_data_and_nothing_else():
    assert seed_of("") == 0
    assert seed_of("Ada") != seed_of("Grace")
    path = ANSWERS / "fvsbn-forward" / "wrong_transposed.py"
    first, second = grade(path, seed_of("Ada")), grade(path, seed_of("Grace"))
    examples = [[s.example for s in g.stages if s.status == "WRONG"] for g in (first, second)]
    assert examples[0] != examples[1]
    assert first.score == second.score
    assert str(grade(path, seed_of("Ada"))) == str(first)


def test_the_smallest_example_is_shown():
    text = str(grade(ANSWERS / "fvsbn-forward" / "wrong_diagonal.py"))
    assert "x = [[1]]" in text  # one row, one variable
    text = str(grade(ANSWERS / "fvsbn-forward" / "wrong_tril.py"))
    assert "order = [1, 2, 0]" in text  # an order bug does not show before


def test_partial_credit():
    result = grade(ANSWERS / "nade-backward" / "wrong_dc_forgotten.py")
    assert {s.title for s in result.stages if s.status == "WRONG"} == {"dc"}
    assert result.score == 10 - 2 - 1  # dc, and the cost of what is wrong is not counted
    assert result.stages[-1].status == "-"


def test_the_hunted_bug_must_be_mended_and_named():
    hunt = ladder()["bug-hunt-1"]
    named = hunt.template.replace('BUG = ""', f'BUG = "{hunt.bug}"')
    assert grade_here(hunt, "a.py", named).score == 3
    mended = solution_of(hunt).replace(f'BUG = "{hunt.bug}"', 'BUG = ""')
    result = grade_here(hunt, "a.py", mended)
    assert (result.score, result.state) == (7, "not done")


@pytest.mark.parametrize(
    ("bug", "told"),
    [
        ("sees-itself", "the bug was named, and is still there"),
        ("clipped", "the bug is still there: it has to be found, named and mended"),
        ("sees-himself", "the bug is still there: it has to be found, named and mended"),
    ],
)
def test_a_hunted_bug_that_is_still_there_is_named_only_if_it_was(bug, told):
    hunt = ladder()["bug-hunt-1"]
    assert hunt.bug == "sees-itself"
    result = grade_here(hunt, "a.py", hunt.template.replace('BUG = ""', f'BUG = "{bug}"'))
    assert result.stages[1].cause == told


def in_exercise(name, code):
    return grade_here(
        ladder()[name], "answer.py", f'EXERCISE = "{name}"\nimport numpy as np\n{code}'
    )


@pytest.mark.parametrize(
    ("code", "remark"),
    [
        ("def mixture_over_orders(log_p): pass", "returns None"),
        ("def mixture_over_orders(log_p): return 'text'", "has dtype"),
        ("def mixture_over_orders(log_p): return [[1], [1, 2]]", "forms no array"),
        ("def mixture_over_orders(log_p): return log_p", "has shape (1, 1), not (1,)"),
        ("def mixture_over_orders(): return 1", "TypeError"),
        ("def mixture_over_orders(log_p): exit()", "calls exit()"),
        ("def mixture_over_orders(log_p): return mixture_over_orders(log_p)", "RecursionError"),
        ("def mixture_over_orders(log_p): return np.empty(10**14)", "more memory"),
        ("def mixture_over_orders(log_p): return undefined", "NameError"),
        ("mixture_over_orders = 3", "has no function mixture_over_orders"),
        ("def other(log_p): pass", "has no function mixture_over_orders"),
        ("1 +", "SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError"),
        ("raise SystemExit(0)", "calls exit()"),
        ("np.exp = np.log", "replaces numpy.exp"),
        ("import builtins\nbuiltins.max = min", "replaces builtins.max"),
        ("def mixture_over_orders(log_p): np.exp = np.log; return 1", "replaces numpy.exp"),
        ("def mixture_over_orders(log_p): np.seterr(all='raise'); return log_p[0]", "cases differ"),
        (
            "import warnings\nwarnings.simplefilter('error')\nnp.seterr(all='raise')\n"
            "def mixture_over_orders(log_p): return np.exp(-1e9) + log_p[0]",
            "cases differ",
        ),
        (
            "class Odd(np.ndarray):\n    def __array_ufunc__(self, *a, **k): raise OSError('odd')\n"
            "def mixture_over_orders(log_p): return log_p[0].view(Odd)",
            "cannot be judged: OSError",
        ),
    ],
)
def test_mishaps_are_reported_as_what_they_are(code, remark):
    result = in_exercise("order-mixture", code)
    assert result.state == "wrong"
    assert result.score <= 3  # for what is right all the same
    assert remark in said(result), str(result)
    assert np.exp(0.0) == 1
    assert max(1, 2) == 2


def test_integers_that_cut_decimals_are_noticed():
    code = "def mixture_over_orders(log_p): return np.zeros(log_p.shape[1], int)"
    assert "whole numbers" in said(in_exercise("order-mixture", code))


def test_infinite_differences_are_not_equal_and_equal_infinities_are():
    SOFTPLUS = softplus.SOFTPLUS
    nan, inf = np.array([np.nan]), np.array([np.inf])
    assert SOFTPLUS.excess(nan, np.ones(1)) == np.inf
    assert SOFTPLUS.excess(inf, np.ones(1)) == np.inf
    assert SOFTPLUS.excess(inf, inf) == 0
    assert SOFTPLUS.excess(np.zeros(1), np.zeros(1)) == 0
    assert SOFTPLUS.excess(np.full(1, 1e-300), np.zeros(1)) == np.inf


@pytest.mark.parametrize("name", ["nade-forward", "nade-backward", "one-pass-sampling"])
def test_work_is_counted_in_numpy_and_in_python(name):
    """Of the same growth the count must say the same, however the code is written."""
    told = []
    for path in sorted((ANSWERS / name).glob("right_*.py")):
        cost = next(s for s in grade(path).stages if s.title == "cost")
        told.append(float(re.search(r"D\^(\S+),", cost.remark)[1]))
    assert max(told) < 1.3
    for path in (ANSWERS / name).glob("slow_*.py"):
        cost = next(s for s in grade(path).stages if s.title == "cost")
        assert float(re.search(r"D\^([\d.]+)", cost.remark)[1]) > 1.5


@pytest.mark.parametrize(
    ("work", "least", "most"),
    [
        (lambda a, b: a + b, 12, 12),
        (lambda a, b: np.exp(a), 12, 12),
        (lambda a, b: a @ b.T, 3 * 3 * 4, 3 * 3 * 4),
        (lambda a, b: np.dot(a, b.T), 3 * 3 * 4, 3 * 3 * 4),
        (lambda a, b: a.dot(b.T), 3 * 3 * 4, 3 * 3 * 4),
        (lambda a, b: np.einsum("ij,kj->ik", a, b), 3 * 3 * 4, 3 * 3 * 4),
        (lambda a, b: np.multiply.outer(a[0], b[0]), 16, 16),
        (lambda a, b: a.sum(axis=0), 12, 12),
        (lambda a, b: np.cumsum(a, axis=0), 12, 24),
        (lambda a, b: a.cumsum(), 12, 12),
        (lambda a, b: np.where(a > 0, a, b), 24, 60),
        (lambda a, b: np.concatenate([a, b]), 24, 24),
        (lambda a, b: np.add(a, b, out=a), 12, 12),
        (lambda a, b: a.__iadd__(b), 12, 12),
        (lambda a, b: a.T[::-1].reshape(2, 6), 0, 0),
        (lambda a, b: np.transpose(a), 0, 0),
        (lambda a, b: np.empty_like(a), 0, 0),
        (lambda a, b: np.linalg.norm(a), 12, 40),
        (lambda a, b: np.tile(a, (5, 1)), 60, 120),
    ],
)
def test_operations_are_counted(work, least, most):
    a, b = np.arange(12.0).reshape(3, 4), np.ones((3, 4))
    counted = [array.copy().view(Counted) for array in (a, b)]
    Counted.tally = 0
    result = work(*counted)
    assert least <= Counted.tally <= most
    np.testing.assert_array_equal(np.asarray(result).shape, np.asarray(work(a, b)).shape)
    if Counted.tally:
        wanted = work(np.arange(12.0).reshape(3, 4), b)
        np.testing.assert_allclose(np.asarray(result), wanted, rtol=1e-12)


def test_what_was_counted_stays_counted():
    """Results are arrays that count as well, those of out= too; scalars are left to the trace."""
    a = np.ones((3, 4)).view(Counted)
    for result in (a + 1, a.sum(axis=0), a[0], np.stack([a, a]), np.divmod(a, 2)[0]):
        assert isinstance(result, Counted)
    plain = np.zeros((3, 4))
    plain += a
    assert plain[0, 0] == 1
    assert not isinstance(a.sum(), np.ndarray)


def test_a_loop_over_scalars_is_counted(tmp_path):
    path = str(tmp_path / "answer.py")
    names = {}
    source = "def f(x):\n    total = 0.0\n    for v in x.tolist():\n        total += v\n"
    exec(compile(source, path, "exec"), names)
    few, many = (count(names["f"], (np.ones(n),), path) for n in (10, 1000))
    assert 50 < many / few < 110


# Suspects, and what is fast.


every_function = pytest.mark.parametrize(
    "function",
    [
        softplus.SOFTPLUS, softplus.LOG_SIGMOID, bernoulli_loss.LOG_P, bernoulli_loss.D_LOGITS,
        chain_rule.ALL_ROWS, chain_rule.LOG_P, fvsbn.LOGITS, fvsbn.GRADIENTS, nade_forward.LOGITS,
        nade_backward.GRADIENTS, numeric_gradient.GRADIENT, numeric_gradient.STEP, made_masks.MASKS,
        made_masks.DEGREES, made_backward.GRADIENTS, sampling.FILL, sampling.COUNTS,
        sampling.PEARSON, sampling.SAMPLE, softmax.LOG_P, softmax.D_LOGITS, mixture.GRADIENT,
        order_mixture.MIXTURE,
    ],
    ids=lambda function: function.name,
)  # fmt: skip


@every_function
def test_what_is_fast_is_what_is_right(function):
    assert function.fast is not None
    answer = Answer({function.name: function.fast}, "fast.py", seed=3)
    for outcome in answer.outcomes(function):
        assert outcome.error is None
        for key, wanted in outcome.wanted.items():
            if wanted is not None:
                assert function.close(outcome.got[key], wanted), key


SPOILERS = {
    "noise": lambda a, rng: a + rng.normal(0, 0.1, a.shape) * np.maximum(1, np.abs(a)),
    "random": lambda a, rng: rng.normal(size=a.shape),
    "nonlinear": lambda a, rng: np.sin(3 * a + 1),
    "mixed": lambda a, rng: rng.permutation(a.ravel()).reshape(a.shape) * 1.1 + 0.01,
}


@pytest.mark.parametrize("spoiler", SPOILERS)
@pytest.mark.parametrize("seed", range(3))
@every_function
def test_what_is_wrong_in_no_known_way_is_told_no_cause(function, spoiler, seed):
    """Whatever the suspects are, they must not agree with an answer that made another mistake."""

    def spoilt(a, rng):
        if a is None:
            return None
        if isinstance(a, list):
            return [spoilt(v, rng) for v in a]
        a = np.asarray(a)
        wrong = SPOILERS[spoiler](a.astype(float), rng)
        if np.isin(a, (0, 1)).all():  # bits and masks stay what they are
            return np.where(rng.random(a.shape) < 0.3, 1 - a, a).astype(a.dtype)
        return np.round(wrong).astype(a.dtype) if a.dtype.kind in "iu" else wrong

    def answer_of(*case):
        right = function.quick(*case)
        rng = np.random.default_rng([seed, zlib.crc32(repr(right).encode())])
        return (
            tuple(spoilt(a, rng) for a in right) if isinstance(right, tuple) else spoilt(right, rng)
        )

    answer = Answer({function.name: answer_of}, "answer.py", seed=seed)
    with np.errstate(all="ignore"):
        outcomes = answer.outcomes(function)
        assert all(outcome.error is None for outcome in outcomes)
        for name in function.returns:
            assert cause_of(function, outcomes, name, answer) == ""


@every_function
def test_every_suspect_is_wrong_and_unlike_the_others(function):
    """A suspect that is right accuses nobody; two that agree cannot both be the cause."""
    for cause, suspect in function.suspects.items():
        with np.errstate(all="ignore"):
            answer = Answer({function.name: suspect}, "suspect.py", seed=5)
            outcomes = answer.outcomes(function)
        wrong = [
            name for name in function.returns
            if any(
                outcome.got.get(key) is not None and not function.close(outcome.got[key], wanted)
                for outcome in outcomes
                for key, wanted in outcome.wanted.items()
                if (key == name or key.startswith(f"{name}[")) and wanted is not None
            )
        ]  # fmt: skip
        forms = [outcome.error for outcome in outcomes if outcome.error is not None]
        assert wrong or forms, cause
        assert not [form.remark for form in forms if "Error" in form.remark], cause
        if not forms:
            assert {cause_of(function, outcomes, name) for name in wrong} == {cause}


EXTREMES = [
    (bernoulli_loss.LOG_P, "bernoulli-loss", "log_p: extremes"),
    (bernoulli_loss.LOG_P, "bug-hunt-4", "function: extremes"),
    (softmax.LOG_P, "softmax-conditionals", "log_p: extremes"),
    (softmax.D_LOGITS, "softmax-conditionals", "d_logits: extremes"),
    (mixture.GRADIENT, "mixture-gradient", "extremes"),
    (order_mixture.MIXTURE, "order-mixture", "extremes"),
]


@pytest.mark.parametrize(("function", "exercise", "title"), EXTREMES)
def test_what_is_unstable_is_right_but_at_extremes(function, exercise, title):
    stage = next(s for s in ladder()[exercise].stages if s.title == title)
    assert function.unstable
    for cause, formula in function.unstable.items():
        answer = Answer({function.name: formula}, "answer.py", seed=5)
        for name in function.returns:
            assert cause_of(function, answer.outcomes(function), name) == ""
        with np.errstate(all="ignore"), pytest.raises(Wrong) as wrong:
            stage.judge(answer)
        assert wrong.value.cause == cause


@pytest.mark.parametrize("factor", [0, 1.01, np.inf, np.nan])
@pytest.mark.parametrize(("function", "exercise", "title"), EXTREMES)
def test_what_is_wrong_at_extremes_in_another_way_is_told_no_formula(
    function, exercise, title, factor
):
    def answer_of(*case):
        right = function.quick(*case)
        if max(np.abs(v).max() for v in case if isinstance(v, np.ndarray)) < 35:
            return right
        return tuple(factor * a for a in right) if isinstance(right, tuple) else factor * right

    stage = next(s for s in ladder()[exercise].stages if s.title == title)
    with np.errstate(all="ignore"), pytest.raises(Wrong) as wrong:
        stage.judge(Answer({function.name: answer_of}, "answer.py", seed=5))
    assert wrong.value.remark == "not exact here"
    assert wrong.value.cause not in function.unstable


def test_find_leaks_agrees_with_the_librarys_check():
    rng = np.random.default_rng(0)
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        W = np.where(rng.random((4, 4)) < 0.6, rng.normal(size=(4, 4)), 0)
        model = lambda x, W=W: (x[:, np.newaxis] * W).sum(axis=2)  # noqa: E731
        report = check_autoregressive(model, 4, order, allow_cuts=True)
        leaks = {(leak.i, leak.j[0]) for leak in report.leaks}
        assert causality_check.find_leaks(model, 4, np.array(order), rng) == leaks


@pytest.mark.parametrize(
    ("module", "name"), [(gradients, "numeric_gradient"), (differences, "best_step")]
)
def test_the_check_of_gradients_runs_the_solution(monkeypatch, module, name):
    function, calls = getattr(module, name), []
    assert function in numeric_gradient.EXERCISE.solution
    monkeypatch.setattr(module, name, lambda *args: calls.append(args) or function(*args))
    v = {"v": np.array([0.5, 1.5])}
    assert check_gradients(lambda p: (np.sum(p["v"] ** 3), {"v": 3 * p["v"] ** 2}), v)
    assert calls


# What an answer raises, prints and calls cannot harm the grade.


def test_the_definition_is_no_answer():
    exercise = ladder()["softplus"]
    ours = "softplus = slow_softplus\n\n\ndef log_sigmoid(z):\n    return slow_log_sigmoid(z)\n"
    result = grade_here(exercise, "answer.py", exercise.template + "\n\n" + ours)
    assert result.score == 0
    assert "this calls the definition: write it yourself" in str(result)
    assert "return slow_log_sigmoid(z)" in str(result)


@pytest.mark.parametrize(
    ("raised", "shown"),
    [
        (r"ValueError('\ud800')", r"ValueError: \ud800"),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        (r"ValueError('\x1b[31m')", r"ValueError: \x1b[31m"),
    ],
)
def test_whatever_is_raised_is_told_with_its_line(raised, shown):
    source = f"def mixture_over_orders(log_p):\n    raise {raised}\n"
    result = grade_here(ladder()["order-mixture"], "answer.py", source)
    failed = next(s for s in result.stages if s.status == "WRONG")
    assert failed.remark == shown
    assert failed.example[0] == f"line 2: raise {raised}"
    str(result).encode()
    assert "\x1b" not in str(result)


@pytest.mark.parametrize("name", ["one_random", "eight_random", "sixty_four_random"])
def test_a_causality_check_with_few_rows_fails_for_every_student(name):
    path = ANSWERS / "causality-check" / f"wrong_{name}.py"
    for student in range(20):
        large = grade(path, student).stages[-1]
        assert (large.title, large.status) == ("24 variables", "WRONG")


def test_a_causality_check_with_a_thousand_rows_passes_for_every_student():
    for student in range(20):
        assert grade(ANSWERS / "causality-check" / "right_blocks.py", student).state == "done"


def test_a_cause_that_is_a_question_ends_as_one():
    result = in_exercise("order-mixture", "def mixture_over_orders(log_p): return log_p[7]")
    assert re.search(r"over\s+variables\?$", str(result), re.MULTILINE)


def test_the_page_for_teachers_knows_every_word_of_a_stage_and_every_kind_of_answer():
    page = (ANSWERS.parents[1] / "docs" / "exercises.md").read_text()
    for word in (grader.RIGHT, grader.WRONG, grader.COSTLY, grader.NOT_DONE, grader.SKIPPED):
        assert f"| `{word}` |" in page
    kinds = {path.name.split("_")[0] for path in ANSWERS.glob("*/*.py")}
    assert kinds == {"right", "wrong", "slow"}
    assert all(f"| `{kind}_*.py` |" in page for kind in kinds)
