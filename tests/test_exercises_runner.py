"""The process in which answers run: whatever they do is reported as it is, and harms nothing."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyarsimple.exercises import ladder, runner
from pyarsimple.exercises.answers import InputRead
from pyarsimple.exercises.grader import grade_here, not_reached, seed_of
from pyarsimple.exercises.runner import Limits, grade_file
from pyarsimple.exercises.texts import solution_of

pytestmark = pytest.mark.once

EXERCISE = ladder()["order-mixture"]
HEAD = 'import os, sys, time\nimport numpy as np\nEXERCISE = "order-mixture"\n'
RIGHT = "    return np.logaddexp.reduce(log_p, axis=0) - np.log(len(log_p))\n"


def graded(tmp_path, code, *, seconds=30.0, **limits):
    path = tmp_path / "order_mixture.py"
    path.write_text(HEAD + code)
    return grade_file(EXERCISE, path, limits=Limits(seconds, **limits))


def function(body):
    return "def mixture_over_orders(log_p):\n    " + body.replace("\n", "\n    ") + "\n"


def failure(grade):
    return next(s for s in grade.stages if s.status == "WRONG")


def test_a_right_answer(tmp_path):
    path = tmp_path / "answer.py"
    path.write_text(solution_of(EXERCISE))
    grade = grade_file(EXERCISE, path, student="Ada")
    assert (grade.state, grade.score) == ("done", 10), str(grade)
    assert 0 < grade.seconds < 60
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "name",
    [
        "nade-forward/slow_scalars",
        "nade-backward/wrong_last_step",
        "made-masks/wrong_first_loose",
        "causality-check/wrong_tolerance",
        "ancestral-sampling/right_enumerate",
        "bug-hunt-6/wrong_alias",
    ],
)
def test_the_process_says_what_grading_here_says(name):
    path = Path(__file__).parent / "answers" / f"{name}.py"
    exercise = ladder()[path.parent.name]
    here = grade_here(exercise, str(path), seed=seed_of("Ada"))
    assert str(grade_file(exercise, path, student="Ada")) == str(here)


def test_the_template(tmp_path):
    path = tmp_path / "answer.py"
    path.write_text(EXERCISE.template)
    assert grade_file(EXERCISE, path).state == "not done"


def test_what_was_right_before_the_end_keeps_its_points(tmp_path):
    body = "if log_p.shape == (2, 1) and log_p[0, 0] < -4000: os._exit(0)\n" + RIGHT.strip()
    grade = graded(tmp_path, function(body))
    assert [s.status for s in grade.stages] == ["ok", "ok", "WRONG", "-"]
    assert grade.score == 6


@pytest.mark.parametrize(
    ("code", "remark", "cause"),
    [
        ("os._exit(0)", "ended from within (status 0)", "os._exit()"),
        ("os.abort()", "crashed (SIGABRT)", ""),
        ("import ctypes; ctypes.string_at(0)", "crashed (SIGSEGV)", "memory"),
        ("sys.exit(3)", "calls exit()", "return the result"),
        ("input('?')", "reads standard input", "input()"),
        ("sys.stdin.read()", "reads standard input", "input()"),
        ("for line in sys.stdin: pass", "reads standard input", "input()"),
        ("return bytearray(10**11)", "more memory", "without end"),
        ("os.close(1); os.closerange(3, 100); return 1", "ended from within", ""),
    ],
)
def test_ends_and_crashes(tmp_path, code, remark, cause):
    stage = failure(graded(tmp_path, function(code)))
    assert remark in stage.remark
    assert cause in stage.cause


def test_the_same_while_the_file_is_loaded(tmp_path):
    grade = graded(tmp_path, "os._exit(0)\n")
    assert "ended from within" in failure(grade).remark
    assert grade.score == 0


@pytest.mark.parametrize("body", ["while True:\n    log_p = log_p + 1", "time.sleep(1000)"])
def test_endless_loops_are_ended_and_shown(tmp_path, body):
    started = time.monotonic()
    stage = failure(graded(tmp_path, function(body), seconds=1.5))
    assert time.monotonic() - started < 30
    assert stage.remark == "takes more than 1.5 seconds"
    assert any(body.splitlines()[-1].strip() in line or "while" in line for line in stage.example)


@pytest.mark.parametrize(
    ("why", "before", "status"),
    [("time", "ok", "slow"), ("printing", "ok", "WRONG"), ("time", "WRONG", "WRONG")],
)
def test_an_answer_too_slow_to_be_counted_is_slow_and_not_wrong(why, before, status):
    exercise = ladder()["nade-forward"]
    stages = not_reached(exercise)
    for stage in stages:
        stage.status = "ok"
    stages[1].status = before
    stages[-1].status, stages[-1].remark = "WRONG", "takes more than 8 seconds"
    runner._only_slow(exercise, stages, why)
    assert stages[-1].status == status
    assert stages[-1].remark.startswith("right, but" if status == "slow" else "takes more")


def test_warnings_of_the_library_are_not_the_answers(tmp_path):
    code = "import warnings\nwarnings.warn('mine')\n" + function("print('here')\nreturn log_p[0]")
    printed = graded(tmp_path, code).printed
    assert printed.startswith("here")
    assert "Warning" not in printed


def test_endless_printing(tmp_path):
    stage = failure(graded(tmp_path, function("while True: print('again ' * 100)")))
    assert stage.remark == "prints without end"


def test_what_starts_processes_is_ended_with_them(tmp_path):
    code = (
        "import subprocess\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    )
    started = time.monotonic()
    grade = graded(tmp_path, code + "\n" + function(RIGHT.strip()))
    assert grade.state == "done"
    assert time.monotonic() - started < 40


def test_printing_is_shown_if_the_answer_is_wrong(tmp_path):
    grade = graded(tmp_path, function("print('here', log_p.shape)\nreturn log_p.mean(axis=0)"))
    assert "Your code printed:" in str(grade)
    assert "here (1, 1)" in str(grade)
    grade = graded(tmp_path, function("print('here')\n" + RIGHT.strip()))
    assert "here" not in str(grade)


def test_printing_results_does_not_forge_them(tmp_path):
    forged = json.dumps({"title": "values", "status": "ok", "score": 10, "points": 10})
    grade = graded(tmp_path, f"print({forged!r})\nprint('x end')\n" + function("return log_p[0]"))
    assert grade.state == "wrong"
    assert grade.score < 5


def test_threads_left_behind_do_not_matter(tmp_path):
    code = "import threading\nthreading.Thread(target=time.sleep, args=[500]).start()\n"
    assert graded(tmp_path, code + function(RIGHT.strip())).state == "done"


def test_files_of_the_student_are_neither_imported_nor_written(tmp_path):
    (tmp_path / "numpy.py").write_text("raise ImportError('the wrong numpy')")
    (tmp_path / "random.py").write_text("raise ImportError('the wrong random')")
    code = "open('left-behind.txt', 'w').write('x')\n" + function(RIGHT.strip())
    assert graded(tmp_path, code).state == "done"
    assert not (tmp_path / "left-behind.txt").exists()
    assert not Path("left-behind.txt").exists()


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00 no text", b"x = '\x00'\n", b"# coding: nothing\n"]
)
def test_files_that_are_no_python(tmp_path, content):
    path = tmp_path / "answer.py"
    path.write_bytes(content)
    grade = grade_file(EXERCISE, path)
    assert grade.state == "wrong"
    assert grade.stages[0].title == "runs"


def test_the_seed_of_a_student_reaches_the_process(tmp_path):
    path = tmp_path / "order_mixture.py"
    path.write_text(HEAD + function("print(log_p[0, 0])\nreturn log_p.mean(axis=0)"))
    printed = [grade_file(EXERCISE, path, student=s).printed for s in ("Ada", "Ada", "Grace")]
    assert printed[0] == printed[1] != printed[2]


def test_memory_is_limited_by_what_was_asked(tmp_path):
    body = "a = np.ones(80_000_000)\n" + RIGHT.strip()  # 640 MB
    assert "more memory" in failure(graded(tmp_path, function(body), megabytes=512)).remark


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_out_of_time_while_memory_grows_is_told_as_both(tmp_path):
    body = "kept = [np.empty(90_000_000)]\nwhile True: time.sleep(0.01)"  # 720 MB of 1024
    stage = failure(graded(tmp_path, function(body), seconds=1.5, megabytes=1024))
    assert re.fullmatch(r"takes more than 1.5 seconds, and 0\.[789] GB of memory", stage.remark)
    assert stage.cause.endswith("does a list or an array grow in it?")
    assert "while True" in stage.example[0]


def test_the_environment_of_the_caller_is_left_alone(tmp_path):
    before = dict(os.environ)
    graded(tmp_path, "os.environ['X_OF_AN_ANSWER'] = '1'\n" + function(RIGHT.strip()))
    assert dict(os.environ) == before


def test_the_child_in_this_process(tmp_path, monkeypatch):
    monkeypatch.setattr("faulthandler.enable", lambda file: file.close())
    monkeypatch.setattr("faulthandler.dump_traceback_later", lambda *args, **kwargs: None)
    path = tmp_path / "answer.py"
    path.write_text(solution_of(EXERCISE))
    job = {"exercise": EXERCISE.name, "path": str(path), "seed": 1, "nonce": "word", "seconds": 9}
    runner.work(job | {"trace": tmp_path / "trace", "results": tmp_path / "results"})
    lines = (tmp_path / "results").read_text().splitlines()
    assert lines[0] == 'word "start"'
    assert lines[-1] == 'word "end"'
    events = [json.loads(line.removeprefix("word ")) for line in lines[1:-1]]
    assert [e["status"] for e in events] == ["ok"] * len(EXERCISE.stages)


def test_lines_without_the_word_are_not_believed(tmp_path):
    forged = {"title": "values", "status": "ok", "score": 10, "points": 10}
    path = tmp_path / "results"
    path.write_text(f'guess {json.dumps(forged)}\nguess "end"\nword "start"\n')
    stages, finished = runner._read_results(EXERCISE, {"results": path, "nonce": "word"})
    assert not finished
    assert all(stage.status == "-" for stage in stages)


def test_input_says_that_it_was_read():
    nothing = runner._NoInput()
    for read in (nothing.read, nothing.readline, nothing.readlines, lambda: next(iter(nothing))):
        with pytest.raises(InputRead):
            read()


def test_grading_works_from_anywhere(tmp_path):
    path = tmp_path / "answer.py"
    path.write_text(solution_of(EXERCISE))
    code = (
        "from pyarsimple.exercises import ladder\n"
        "from pyarsimple.exercises.runner import grade_file\n"
        "print(grade_file(ladder()['order-mixture'], 'answer.py').state)"
    )
    root = str(Path(__file__).parents[1])
    env = os.environ | {"PYTHONPATH": root, "PYARSIMPLE_BACKEND": "numpy"}
    out = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout == "done\n"
