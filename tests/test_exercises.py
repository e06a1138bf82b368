"""The exercises: what the library solves, and what the grader says of right and wrong answers.

``tests/answers/NAME/`` holds answers to each exercise, written as students write them: ``right_*``
must get full marks, ``slow_*`` is right and told that it costs too much, ``wrong_*`` must be
rejected with the cause that stands in its first line.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from pyarsimple.checks import check_autoregressive
from pyarsimple.exercises import ladder
from pyarsimple.exercises.grader import grade_here, read_template, seed_of
from pyarsimple.exercises.texts import name_in, solution_of

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
    failed = [s for s in result.stages if s.status == "WRONG"]
    assert all(s.example or s.cause for s in failed), "a failure shows an example or a cause"


@answers("wrong")
def test_the_cause_does_not_depend_on_the_student(path):
    assert cause_in(path) in said(grade(path, seed_of("Geoffrey")))


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
        assert holes


@every_exercise
def test_what_is_said_of_an_exercise(exercise):
    assert len(exercise.hints) == len(set(exercise.hints)) == 3
    assert sum(stage.points for stage in exercise.stages) == 10
    assert len(exercise.title) <= 60
    assert len(exercise.teaches) <= 38
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
    ],
)
def test_mishaps_are_reported_as_what_they_are(code, remark):
    result = in_exercise("order-mixture", code)
    assert result.state == "wrong"
    assert result.score == 0
    assert remark in said(result), str(result)
    assert np.exp(0.0) == 1
    assert max(1, 2) == 2


def test_integers_that_cut_decimals_are_noticed():
    code = "def mixture_over_orders(log_p): return np.zeros(log_p.shape[1], int)"
    assert "whole numbers" in said(in_exercise("order-mixture", code))


def test_infinite_differences_are_not_equal_and_equal_infinities_are():
    function = next(iter(EXERCISES[0].stages)).judge.__closure__
    assert function is not None  # the stage knows its Function
    from pyarsimple.exercises.softplus import SOFTPLUS

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
        assert float(re.search(r"D\^([\d.]+)", cost.remark)[1]) > 1.6


# Solutions that the library does not have elsewhere, against definitions and other means.


def test_find_leaks_agrees_with_the_librarys_check():
    from pyarsimple.exercises.solutions import find_leaks

    rng = np.random.default_rng(0)
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        W = np.where(rng.random((4, 4)) < 0.6, rng.normal(size=(4, 4)), 0)
        model = lambda x, W=W: (x[:, np.newaxis] * W).sum(axis=2)  # noqa: E731
        report = check_autoregressive(model, 4, order, allow_cuts=True)
        leaks = {(leak.i, leak.j[0]) for leak in report.leaks}
        assert find_leaks(model, 4, np.array(order), rng) == leaks


def test_mixture_log_p_is_that_of_scipy():
    from scipy.special import logsumexp
    from scipy.stats import norm

    from pyarsimple.exercises.solutions import mixture_log_p

    rng = np.random.default_rng(0)
    log_w, mean, log_s = rng.normal(size=(3, 5, 4))
    x = rng.normal(size=5)
    log_bells = norm.logpdf(x[:, np.newaxis], mean, np.exp(log_s))
    wanted = logsumexp(log_w - logsumexp(log_w, axis=1, keepdims=True) + log_bells, axis=1)
    np.testing.assert_allclose(mixture_log_p(log_w, mean, log_s, x), wanted, rtol=1e-12)
