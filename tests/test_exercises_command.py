"""``pyarsimple exercises``: list, start, grade, hint, solution, and the page for teachers."""

import argparse
import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyarsimple import check_command
from pyarsimple.exercises import command, ladder, progress
from pyarsimple.exercises.runner import Limits
from pyarsimple.exercises.texts import solution_of

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[1]
ANSWERS = Path(__file__).parent / "answers"


@pytest.fixture
def exercises(tmp_path, monkeypatch, capsys):
    """Run the command in an empty folder: exit status, what it printed, and its errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYARSIMPLE_STUDENT", raising=False)

    def run(*arguments):
        parser = argparse.ArgumentParser(prog="pyarsimple")
        command.add_parser(parser.add_subparsers())
        try:
            status = command.run(parser.parse_args(["exercises", *map(str, arguments)]))
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        wide = [line for line in out.splitlines() if len(line) > 80 and str(tmp_path) not in line]
        assert not wide or "--json" in arguments or "solution" in arguments, out
        return status, out, err

    return run


def known(folder="."):
    return progress.read(folder)


def test_list(exercises):
    status, out, _ = exercises()
    assert status == 0
    assert all(name in out for name in ladder())
    assert "0 of 22 done" in out
    assert out.count("  not done") == len(ladder())
    assert exercises("list")[1] == out


def test_start_grade_hint_solution(exercises, tmp_path):
    status, out, _ = exercises("start", "order-mixture")
    assert status == 0
    path = tmp_path / "order_mixture.py"
    assert path.read_text() == ladder()["order-mixture"].template
    assert "grade order_mixture.py" in out
    assert known()["order-mixture"]["state"] == "not done"

    status, out, _ = exercises("grade", path.name)
    assert status == 1
    assert "not done yet" in out

    path.write_text((ANSWERS / "order-mixture" / "wrong_best.py").read_text())
    status, out, _ = exercises("grade", path.name)
    assert status == 1
    assert "the best order is taken" in re.sub(r"\s+", " ", out)
    assert known()["order-mixture"]["state"] == "wrong"
    assert re.search(r"order-mixture .* wrong 1/10$", exercises()[1], re.MULTILINE)

    hints = ladder()["order-mixture"].hints
    for k in (1, 2, 3, 3):
        status, out, _ = exercises("hint", "order-mixture")
        assert status == 0
        assert out.count("Hint ") == k
        assert hints[k - 1].split()[0] in out
        assert known()["order-mixture"]["hints"] == k
    assert "There are no more" in out

    status, out, _ = exercises("solution", "order-mixture")
    assert out == solution_of(ladder()["order-mixture"])
    path.write_text(out)
    status, out, _ = exercises("grade", path)
    assert status == 0
    assert "10 of 10 points: right." in out
    assert known()["order-mixture"] == {
        "started": True, "state": "done", "score": 10, "hints": 3, "solution_seen": True,
    }  # fmt: skip
    assert re.search(r"order-mixture .* done \?\?\?$", exercises()[1], re.MULTILINE)
    assert {p.name for p in tmp_path.iterdir()} == {"order_mixture.py", progress.FILE_NAME}


def test_start_never_overwrites_unless_told_to(exercises, tmp_path):
    exercises("start", "softplus")
    (tmp_path / "softplus.py").write_text("my work")
    status, out, err = exercises("start", "softplus")
    assert (status, out) == (2, "")
    assert "--force" in err
    assert (tmp_path / "softplus.py").read_text() == "my work"
    assert exercises("start", "softplus", "--force")[0] == 0
    assert (tmp_path / "softplus.py").read_text() == ladder()["softplus"].template


def test_folders(exercises, tmp_path):
    folder = tmp_path / "student"
    folder.mkdir()
    assert exercises("start", "softplus", "--folder", folder)[0] == 0
    assert exercises("hint", "softplus", "--folder", folder)[0] == 0
    assert {p.name for p in folder.iterdir()} == {"softplus.py", progress.FILE_NAME}
    assert list(tmp_path.iterdir()) == [folder]
    assert exercises("grade", folder / "softplus.py")[0] == 1
    assert "not done ?" in exercises("list", "--folder", folder)[1]
    assert "not done ?" not in exercises("list")[1]


def test_json_is_what_gradescope_reads(exercises, tmp_path):
    path = tmp_path / "nade_forward.py"
    path.write_text((ANSWERS / "nade-forward" / "slow_quadratic.py").read_text())
    status, out, _ = exercises("grade", path, "--json", "--no-record")
    assert status == 0  # slow, but right
    results = json.loads(out)
    assert results["score"] == sum(test["score"] for test in results["tests"]) == 8
    assert results["execution_time"] > 0
    for test in results["tests"]:
        assert set(test) == {"name", "score", "max_score", "status", "output"}
        assert test["status"] in {"passed", "failed"}
        assert (test["status"] == "passed") == (test["score"] == test["max_score"])
    assert sum(test["max_score"] for test in results["tests"]) == 10
    assert "operations" in results["tests"][-1]["output"]
    assert not (tmp_path / progress.FILE_NAME).exists()


def test_a_slow_answer_is_right_and_told_so(exercises, tmp_path):
    path = tmp_path / "nade_backward.py"
    path.write_text((ANSWERS / "nade-backward" / "slow_quadratic.py").read_text())
    status, out, _ = exercises("grade", path)
    assert status == 0
    assert re.search(
        r"^  cost +slow +operations grow like D\^[12]\..: right, but D\^1 is", out, re.M
    )
    assert "D =  64: " in out
    assert "d_a of one step is that of the step after it plus one term" in re.sub(r"\s+", " ", out)
    assert "9 of 10 points: right." in out
    assert known(tmp_path)["nade-backward"]["state"] == "done"
    assert re.search(r"nade-backward .* done 9/10$", exercises("list")[1], re.MULTILINE)
    assert "1 of 22 done" in exercises("list")[1]


@pytest.mark.parametrize(
    ("state", "score", "told"),
    [
        ("done", 10, "done"),
        ("done", 7, "done 7/10"),
        ("wrong", 7.5, "wrong 7.5/10"),
        ("wrong", None, "wrong"),
        ("not done", 3, "not done"),
    ],
)
def test_the_list_shows_a_score_that_is_not_full(exercises, tmp_path, state, score, told):
    for name in ladder():
        what = {} if score is None else {"score": score}
        progress.record(tmp_path, name, state=state, hints=3, **what)
    lines = exercises("list")[1].splitlines()  # none of them wider than 80 columns
    assert sum(line.endswith(f"  {told} ???") for line in lines) == len(ladder())


def test_grading_ends_within_ten_seconds(exercises):
    """With two of them left for the start of Python and NumPy, which is not the answer's time."""
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    given = parser.parse_args(["exercises", "grade", "softplus.py"])
    assert Limits(given.seconds, given.megabytes) == Limits()
    assert Limits().seconds <= 10 - 2
    assert "default: 8)" in exercises("grade", "--help")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["not-there.py"], "cannot read not-there.py"),
        (["anonymous.py"], "does not say which exercise it answers"),
        (["anonymous.py", "--exercise", "no-such"], "does not say which exercise it answers"),
    ],
)
def test_gradescope_gets_a_file_for_bad_usage_too(exercises, tmp_path, arguments, message):
    (tmp_path / "anonymous.py").write_text("x = 1\n")
    status, out, err = exercises("grade", *arguments, "--json", "--no-record")
    assert status == 2
    assert message in err
    results = json.loads(out)
    assert results["score"] == 0
    assert message in results["output"]
    assert results["output"].startswith("error: ")


def test_gradescope_gets_a_file_for_whatever_is_handed_in(exercises, tmp_path):
    for content in ("", "def softplus(z:\n", "raise SystemExit(0)\n", "\x00"):
        (tmp_path / "softplus.py").write_text(content)
        status, out, _ = exercises("grade", "softplus.py", "--json", "--no-record")
        assert status == 1
        results = json.loads(out)
        assert results["score"] == 0
        assert sum(test["max_score"] for test in results["tests"]) == 10
        assert {test["status"] for test in results["tests"]} == {"failed"}


def test_an_endless_loop_ends_through_the_command_line(tmp_path):
    path = tmp_path / "order_mixture.py"
    code = "import time\ndef mixture_over_orders(log_p):\n    while True: time.sleep(0.01)\n"
    path.write_text(f'EXERCISE = "order-mixture"\n{code}')
    run = subprocess.run(
        [sys.executable, "-m", "pyarsimple", "exercises", "grade", str(path)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert run.returncode == 1, run.stderr
    assert "takes more than 8 seconds" in run.stdout  # the limit, with the start under ten
    assert "while True: time.sleep(0.01)" in run.stdout
    assert "0 of 10 points: not right yet." in run.stdout
    assert known(tmp_path)["order-mixture"] == {"state": "wrong", "score": 0}


def test_the_seed_of_a_student(exercises, tmp_path, monkeypatch):
    path = tmp_path / "fvsbn_forward.py"
    path.write_text((ANSWERS / "fvsbn-forward" / "wrong_no_bias.py").read_text())
    plain, ada = exercises("grade", path), exercises("grade", path, "--student", "Ada")
    assert plain != ada
    monkeypatch.setenv("PYARSIMPLE_STUDENT", "Ada")
    assert exercises("grade", path) == ada


def test_which_exercise_a_file_answers(exercises, tmp_path):
    right = (ANSWERS / "order-mixture" / "right_pairs.py").read_text()
    anonymous = right.replace('EXERCISE = "order-mixture"', "")
    (tmp_path / "mine.py").write_text(right)
    assert exercises("grade", "mine.py")[0] == 0
    (tmp_path / "mine.py").write_text(anonymous)
    status, _, err = exercises("grade", "mine.py")
    assert status == 2
    assert "--exercise" in err
    assert exercises("grade", "mine.py", "--exercise", "order_mixture")[0] == 0
    (tmp_path / "order_mixture.py").write_text(anonymous)
    assert exercises("grade", "order_mixture.py")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["start", "no-such"], "no exercise 'no-such'"),
        (["hint", "no-such"], "no exercise 'no-such'"),
        (["solution", "no-such"], "no exercise 'no-such'; the list: pyarsimple exercises"),
        (["start", "Softplu"], "no exercise 'Softplu'; did you mean softplus?"),
        (["start", "softplus", "--folder", "not/there"], "cannot write"),
        (["grade", "not-there.py"], "cannot read not-there.py"),
        (["grade", "."], "cannot read"),
        (["grade", "x.py", "--seconds", "0"], "above 0"),
        (["grade", "x.py", "--megabytes", "many"], "above 0"),
        (["grade"], "required"),
        (["fly"], "invalid choice"),
    ],
)
def test_bad_usage(exercises, arguments, message):
    status, out, err = exercises(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [["exercises"], ["check", "fvsbn"]])
def test_a_pipe_that_nobody_reads_is_no_error(words, monkeypatch):
    class Pipe(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(32, "Broken pipe")

    parser = argparse.ArgumentParser()
    actions = parser.add_subparsers()
    command.add_parser(actions)
    check_command.add_parser(actions)
    args = parser.parse_args(words)
    monkeypatch.setattr(sys, "stdout", Pipe())
    with pytest.raises(BrokenPipeError):  # for the command line to end quietly
        args.run(args)


def test_a_broken_file_is_graded_and_not_a_traceback(exercises, tmp_path):
    (tmp_path / "softplus.py").write_text("def softplus(z):\nreturn z\n")
    status, out, err = exercises("grade", "softplus.py")
    assert status == 1
    assert "line 2: return z" in out
    assert err == ""


@pytest.mark.parametrize("content", ["{", "[]", '{"softplus": 3}', "\x00"])
def test_a_damaged_progress_is_said(exercises, tmp_path, content):
    (tmp_path / progress.FILE_NAME).write_text(content)
    status, _, err = exercises()
    assert status == 2
    assert "is damaged" in err


def test_a_grade_does_not_depend_on_a_progress_that_cannot_be_written(exercises, tmp_path):
    (tmp_path / progress.FILE_NAME).write_text("{")
    (tmp_path / "mine.py").write_text(solution_of(ladder()["order-mixture"]))
    status, out, err = exercises("grade", "mine.py")
    assert status == 0
    assert "right." in out
    assert "was not recorded" in err


def test_limits_can_be_set(exercises, tmp_path):
    (tmp_path / "order_mixture.py").write_text("while True: pass\n")
    status, out, _ = exercises("grade", "order_mixture.py", "--seconds", "0.5")
    assert status == 1
    assert "takes more than 0.5 seconds" in out
    assert "line 1: while True: pass" in out


def test_help(exercises):
    status, out, _ = exercises("--help")
    assert status == 0
    assert "no sandbox" in re.sub(r"\s+", " ", out)


@pytest.mark.parametrize("action", ["list", "start", "grade", "hint", "solution"])
def test_help_of_an_action(exercises, action):
    status, out, _ = exercises(action, "--help")  # which looks at the width, too
    assert status == 0
    assert re.search(r"\n\n[A-Z].*\.\n\n", out), "a sentence says what it does"
    assert not re.search(r"^  (NAME|FILE)$", out, re.MULTILINE), "each argument is explained"


# The page for teachers.


PAGE = (ROOT / "docs" / "exercises.md").read_text()


def test_the_table_of_the_page_is_the_ladder():
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+) \| (.*) \|$", PAGE, re.MULTILINE)
    assert rows == [(e.name, str(e.minutes), e.teaches) for e in ladder().values()]


def test_the_example_of_the_page_is_what_is_printed():
    from pyarsimple.exercises.grader import grade_here

    path = ANSWERS / "fvsbn-forward" / "wrong_diagonal.py"
    text = str(grade_here(ladder()["fvsbn-forward"], str(path)))
    example = next(b for b in re.findall(r"^```text\n(.*?)^```", PAGE, re.M | re.S) if "WRONG" in b)
    assert example.strip() in text


def test_the_python_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, output = re.search(
        r"^```python\n(.*?)^```\n```text\n(.*?)^```", PAGE, re.M | re.S
    ).groups()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "exercises.md", "exec"), {})
    assert printed.getvalue() == output
