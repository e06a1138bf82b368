"""What an exercise is made of, and how an answer gets its grade.

An `Exercise` is a file with a hole, three hints and a row of stages. A stage judges one promise of
the answer (its shapes, its values, one of its gradients, its dependences, its cost) and says in one
line how it went; one that fails shows the smallest example that fails and the likely cause.
"""

from __future__ import annotations

import builtins
import hashlib
import linecache
import math
import re
import sys
import textwrap
import tokenize
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pyarsimple.exercises.answers import (
    Answer,
    Costly,
    NotDone,
    Wrong,
    describe_exception,
    message_of,
    printable,
    quiet,
    watched,
)

WIDTH = 80

#: How a stage ends.
RIGHT, COSTLY, WRONG, NOT_DONE, SKIPPED = "ok", "slow", "WRONG", "not done", "-"
NOT_JUDGED = "not judged: mend what is above first"


@dataclass(frozen=True)
class Stage:
    """One promise of an answer: ``judge`` returns a remark, or raises `Wrong` or `NotDone`.

    What follows the first line of the remark is a picture, shown beneath it.

    A ``gate`` that fails ends its group, for the rest could not be judged; a ``last`` stage is
    judged only if all before it are right.
    """

    name: str
    points: float
    judge: Callable[[Answer], str]
    group: str = ""
    gate: bool = False
    last: bool = False

    @property
    def title(self) -> str:
        """The name, with that of its group."""
        return f"{self.group}: {self.name}" if self.group else self.name


@dataclass(frozen=True)
class Exercise:
    """One rung of the ladder; ``docs/exercises.md`` says how to write one.

    Parameters
    ----------
    name : str
    title : str
        At most 60 characters: what is to be done.
    teaches : str
        At most 36 characters: what one learns by it.
    minutes : int
        How long it takes.
    template : str
        The file that the student gets.
    hints : tuple of str
        Three, each saying more than the one before.
    stages : tuple of Stage
        Their points add up to 10.
    solution : tuple
        The library's functions and classes that solve it.
    imports : str
        What they need.
    bug : str
        Of a bug hunt: which of its list it is.
    """

    name: str
    title: str
    teaches: str
    minutes: int
    template: str
    hints: tuple[str, str, str]
    stages: tuple[Stage, ...]
    solution: tuple[Any, ...]
    imports: str = ""
    bug: str = ""

    @property
    def file_name(self) -> str:
        """Of the file that the student fills in."""
        return self.name.replace("-", "_") + ".py"


def read_template(template: str) -> dict[str, Any]:
    """Run a template and return its names: the definition that stands in it is the grader's."""
    names: dict[str, Any] = {"__name__": "template"}
    exec(compile(template, "<template>", "exec", dont_inherit=True), names)
    return names


def seed_of(student: str) -> int:
    """A seed for a student; the empty name has seed 0."""
    return int.from_bytes(hashlib.sha256(student.encode()).digest()[:6], "big") if student else 0


# The grade.


@dataclass
class StageResult:
    """How a stage went: a line, and what stands beneath it."""

    title: str
    status: str
    score: float
    points: float
    remark: str = ""
    example: list[str] = field(default_factory=list)
    cause: str = ""
    picture: list[str] = field(default_factory=list)

    def line(self, width: int) -> str:
        """One line, of at most 80 columns."""
        remark = self.remark if self.status != SKIPPED else self.remark or NOT_JUDGED
        text = f"  {self.title.ljust(width)}  {self.status.ljust(8)}  {remark}"
        return text.rstrip() if len(text) <= WIDTH else text[: WIDTH - 3] + "..."

    def told(self) -> str:
        """The status and the remark, or that there is none."""
        if self.status == SKIPPED and not self.remark:
            return NOT_JUDGED
        return f"{self.status}: {self.remark}" if self.remark else self.status

    def detail(self, width: int = 0) -> str:
        """What stands beneath the line: what did not fit into it, the example and the cause."""
        lines = []
        if self.status != RIGHT and self.line(width).endswith("..."):
            lines += textwrap.wrap(
                self.remark, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 8
            )
        example = list(self.example)
        if example and example[0].startswith("line "):
            lines.append(f"      {example.pop(0)}"[:WIDTH])
        if example:
            lines += [] if self.status == COSTLY else ["      Smallest example that fails:"]
            lines += [f"        {line}"[:WIDTH] for line in example]
        if self.cause:
            end = "" if self.cause.endswith(("?", ".")) else "."
            lines += textwrap.wrap(
                f"Likely cause: {self.cause}{end}", WIDTH, initial_indent=" " * 6,
                subsequent_indent=" " * 8,
            )  # fmt: skip
        return "\n".join(lines + [f"        {line}" for line in self.picture])


@dataclass
class Grade:
    """What the grader has to say of one answer."""

    exercise: str
    title: str
    stages: list[StageResult]
    seconds: float = 0.0
    printed: str = ""

    def __post_init__(self) -> None:
        for stage in self.stages:  # what comes from the answer must not steer the terminal
            stage.remark, stage.cause = printable(stage.remark), printable(stage.cause)
            stage.example = [printable(line) for line in stage.example]
            stage.picture = [printable(line) for line in stage.picture]
        self.printed = printable(self.printed)

    @property
    def score(self) -> float:
        """Points, of `max_score`."""
        return math.fsum(s.score for s in self.stages)

    @property
    def max_score(self) -> float:
        """Points of a perfect answer."""
        return math.fsum(s.points for s in self.stages)

    @property
    def state(self) -> str:
        """``"done"``, ``"not done"`` or ``"wrong"``; an answer that is slow is done."""
        statuses = {s.status for s in self.stages}
        if WRONG in statuses:
            return "wrong"
        return "not done" if statuses - {RIGHT, COSTLY} else "done"

    def __str__(self) -> str:
        width = max(len(s.title) for s in self.stages)
        lines = [f"{self.exercise}: {self.title}", ""]
        told: dict[str, str] = {}
        for stage in self.stages:
            lines.append(stage.line(width))
            detail = stage.detail(width)
            if stage.cause and stage.cause in told:
                detail = f"      Likely cause: the same as of {told[stage.cause]}."
            told.setdefault(stage.cause, stage.title)
            if detail:
                lines += ["", detail, ""]
        lines += [] if lines[-1] == "" else [""]
        if self.printed and self.state != "done":
            shown = self.printed.splitlines()
            lines += ["  Your code printed:", *(f"    {s}"[:WIDTH] for s in shown[:8])]
            lines += [f"    ... and {len(shown) - 8} lines more"] if len(shown) > 8 else []
            lines.append("")
        verdict = {"done": "right", "wrong": "not right yet", "not done": "not done yet"}
        lines.append(f"  {self.score:g} of {self.max_score:g} points: {verdict[self.state]}.")
        return "\n".join(lines)

    def gradescope(self) -> dict[str, Any]:
        """The grade in the form of Gradescope's ``results.json``."""
        return {
            "score": self.score,
            "execution_time": round(self.seconds, 3),
            "output": f"{self.title}: {self.score:g} of {self.max_score:g} points",
            "output_format": "text",
            "test_output_format": "text",
            "tests": [
                {
                    "name": s.title
                    if s.title.startswith(f"{self.exercise}: ")
                    else f"{self.exercise}: {s.title}",
                    "score": s.score,
                    "max_score": s.points,
                    "status": "passed" if s.status == RIGHT else "failed",
                    "output": "\n".join(filter(None, [s.told(), s.detail()])),
                }
                for s in self.stages
            ],
            "extra_data": {"exercise": self.exercise, "state": self.state},
        }


def not_reached(exercise: Exercise) -> list[StageResult]:
    """Every stage of an exercise, before it has been judged."""
    return [StageResult(stage.title, SKIPPED, 0, stage.points) for stage in exercise.stages]


# Judging.


def load(path: str, source: str | None = None, seed: int = 0) -> Answer:
    """Run a student's file, in this process."""
    if source is None:
        with tokenize.open(path) as file:
            source = file.read()
    lines = source.splitlines(keepends=True)
    linecache.cache[path] = (len(source), None, lines, path)  # so that lines can be quoted
    module = types.ModuleType("answer")
    module.__file__ = path
    sys.modules["answer"] = module  # dataclasses look there
    with watched(path), quiet():
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
    return Answer(module.__dict__, path, seed)


def judge(exercise: Exercise, answer: Answer) -> Iterator[StageResult]:
    """Judge every stage, in order."""
    failed_groups: set[str] = set()
    all_right = True
    before = _everybodys()
    for stage in exercise.stages:
        result = StageResult(stage.title, SKIPPED, 0, stage.points)
        if stage.group not in failed_groups and (all_right or not stage.last):
            _judge_one(stage, answer, result, before)
            if stage.gate and result.status != RIGHT:
                failed_groups.add(stage.group)
        all_right &= result.status == RIGHT
        yield result


def _judge_one(
    stage: Stage, answer: Answer, result: StageResult, before: Mapping[Any, Any]
) -> None:
    try:
        try:
            with quiet():
                result.remark, *result.picture = stage.judge(answer).split("\n")
        finally:
            check_everybodys(before)  # first of all, for it makes every other verdict doubtful
        result.status, result.score = RIGHT, stage.points
    except NotDone as hole:
        result.status, result.remark = NOT_DONE, str(hole)
    except Wrong as wrong:
        result.status = COSTLY if isinstance(wrong, Costly) else WRONG
        result.remark, result.example, result.cause = wrong.remark, wrong.example, wrong.cause
    except BaseException as error:  # noqa: BLE001  (whatever an answer returns, there is a grade)
        result.status = WRONG
        result.remark = (
            f"what it returns cannot be judged: {type(error).__name__}: {message_of(error)}"
        )
        result.cause = "something else than plain numbers and arrays was returned"


def _everybodys() -> dict[tuple[types.ModuleType, str], Any]:
    """What belongs to everybody and must stay as it is while an answer is judged."""
    from pyarsimple import conditionals, orders

    modules = (np, np.linalg, np.random, builtins, math, conditionals, orders)
    return {(m, k): v for m in modules for k, v in vars(m).items() if not k.startswith("_")}


def check_everybodys(before: Mapping[tuple[types.ModuleType, str], Any]) -> None:
    """Raise `Wrong` if the answer changed NumPy, the built-ins or the library; put them back."""
    changed = [(m, k) for (m, k), v in before.items() if vars(m).get(k) is not v]
    for m, k in changed:
        setattr(m, k, before[m, k])
    if changed:
        m, k = changed[0]
        raise Wrong(
            f"the code replaces {m.__name__}.{k}",
            cause=f"an assignment to {m.__name__}.{k} changes it for the grader too: give your own "
            "function a name of its own",
        )


def grade_here(exercise: Exercise, path: str, source: str | None = None, seed: int = 0) -> Grade:
    """Grade an answer in this process: for tests, and for answers that are trusted."""
    stages = list(results_of(exercise, path, source, seed))
    return Grade(exercise.name, exercise.title, stages)


def results_of(
    exercise: Exercise, path: str, source: str | None = None, seed: int = 0
) -> Iterator[StageResult]:
    """Load an answer and judge it; a file that does not even run fails a stage of its own."""
    before = _everybodys()
    try:
        answer = load(path, source, seed)
        check_everybodys(before)
        close_definitions(exercise, answer)
    except (Wrong, NotDone) as problem:
        yield failed_to_run(problem)
        yield from not_reached(exercise)
        return
    except (SyntaxError, ValueError) as error:  # ValueError: a null byte, or an odd encoding
        yield failed_to_run(Wrong(*describe_exception(error, path)))
        yield from not_reached(exercise)
        return
    yield from judge(exercise, answer)


def close_definitions(exercise: Exercise, answer: Answer) -> None:
    """Let the definitions in the student's file raise: an answer must not return what they do."""
    for name in re.findall(r"^def (slow_\w+)", exercise.template, re.MULTILINE):
        function = answer.names.get(name)
        if isinstance(function, types.FunctionType) and not function.__code__.co_freevars:
            function.__code__ = _closed.__code__  # whatever other names it was given


def _closed(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("this calls the definition: write it yourself")


def failed_to_run(problem: Wrong | NotDone) -> StageResult:
    """The stage that stands first where an answer does not run at all."""
    if isinstance(problem, NotDone):
        return StageResult("runs", NOT_DONE, 0, 0, str(problem))
    return StageResult("runs", WRONG, 0, 0, problem.remark, problem.example, problem.cause)
