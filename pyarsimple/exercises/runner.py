"""Grades an answer in a process of its own, within limits of time, memory and output.

The parent believes only lines of a file that is not the answer's standard output, and of those only
the ones that begin with a word that it made up for this one grading. So whatever the answer does
(print, exit, crash, run for ever) is noticed and reported. This protects against accidents. It is
no sandbox: code that means harm has all the rights of who grades it, and can forge its grade.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from pyarsimple.exercises import ladder
from pyarsimple.exercises.answers import InputRead
from pyarsimple.exercises.grader import (
    COSTLY,
    RIGHT,
    SKIPPED,
    WRONG,
    Exercise,
    Grade,
    StageResult,
    not_reached,
    results_of,
    seed_of,
)

#: Starting Python and importing NumPy is not the answer's time.
START_SECONDS = 60.0
PRINT_LIMIT = 2_000_000  # characters
KEPT = 4_000  # characters of them that may be shown


@dataclass(frozen=True)
class Limits:
    """What an answer may use."""

    seconds: float = 8.0  # with the start of Python it stays under ten
    megabytes: int = 2048


# The parent's side.


def grade_file(
    exercise: Exercise,
    path: str | os.PathLike[str],
    *,
    student: str = "",
    limits: Limits | None = None,
) -> Grade:
    """Grade the answer in a file, in a process of its own.

    Parameters
    ----------
    exercise : Exercise
    path : path
        The student's file.
    student : str
        A name, which changes the data that the answer is graded on.
    limits : Limits, optional
        Eight seconds and two gigabytes unless given.

    Returns
    -------
    Grade
    """
    limits = limits or Limits()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="exercise-") as folder:
        job = {
            "exercise": exercise.name,
            "path": os.path.abspath(path),
            "seed": seed_of(student),
            "nonce": secrets.token_hex(16),
            "results": os.path.join(folder, "results"),
            "trace": os.path.join(folder, "trace"),
            **asdict(limits),
        }
        work = Path(folder, "work")  # a file that the answer writes without a folder goes there
        work.mkdir()
        child = _Child(job, work)
        why = child.wait(limits.seconds)
        stages, finished = _read_results(exercise, job)
        if not finished:
            _blame(stages, *_why_ended(why, child, job, limits))
            _only_slow(exercise, stages, why)
    seconds = time.monotonic() - started
    return Grade(exercise.name, exercise.title, stages, seconds, child.printed())


class _Child:
    """The process in which the answer runs, and what it prints."""

    def __init__(self, job: dict[str, Any], folder: Path) -> None:
        # Where this package is found may be known to this process only; the folder of the
        # student's file must not be searched: there may be a numpy.py in it.
        root = str(Path(__file__).parents[2])
        code = f"import sys; sys.path.append({root!r})"
        code += "; from pyarsimple.exercises import runner; runner.main()"
        quiet = {"PYARSIMPLE_BACKEND": "numpy", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
                 "PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "utf-8:replace"}  # fmt: skip
        self._results = Path(job["results"])
        self._head: list[str] = []
        self._n_printed = 0
        self.megabytes = 0.0  # its memory when it was ended, where the system tells
        # Warnings of the library's own import are nothing that the answer printed.
        command = [sys.executable, "-P", "-W", "ignore", "-c", code]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            cwd=folder, env=os.environ | quiet, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(job).encode())
            self.process.stdin.close()
        self._reader = threading.Thread(target=self._read, args=[self.process.stdout], daemon=True)
        self._reader.start()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            for block in iter(lambda: pipe.read1(65536), b""):  # type: ignore[attr-defined]
                if self._n_printed < KEPT:
                    self._head.append(block.decode(errors="replace"))
                self._n_printed += len(block)

    def printed(self) -> str:
        """The beginning of what the answer printed."""
        return "".join(self._head)[:KEPT]

    def wait(self, seconds: float) -> str:
        """Wait for the end, or bring it about; why: "", "time", "start" or "printing"."""
        begun, deadline, why = False, time.monotonic() + START_SECONDS, ""
        try:
            while self.process.poll() is None and not why:
                if not begun and self._results.exists():
                    begun, deadline = True, time.monotonic() + seconds
                if self._n_printed > PRINT_LIMIT:
                    why = "printing"
                elif time.monotonic() > deadline:
                    why = "time" if begun else "start"
                    self.megabytes = _memory_of(self.process.pid)
                time.sleep(0.01)
        finally:
            self._kill()
        return why

    def _kill(self) -> None:
        """End the process and what it has started; nothing of it may outlive the grading."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()
        self._reader.join(timeout=1)


def _memory_of(pid: int) -> float:
    """The most memory that a process has had, in megabytes; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        found = re.search(r"VmPeak:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0
    return 0


def _read_results(exercise: Exercise, job: dict[str, Any]) -> tuple[list[StageResult], bool]:
    """The stages that were judged, then the others; and whether the child got to its end."""
    stages: list[StageResult] = []
    finished = False
    with contextlib.suppress(FileNotFoundError):
        for line in Path(job["results"]).read_text(errors="replace").splitlines():
            nonce, _, message = line.partition(" ")
            if nonce == job["nonce"]:
                event = json.loads(message)
                finished |= event == "end"
                if isinstance(event, dict):
                    stages.append(StageResult(**event))
    n_judged = len(stages) - (bool(stages) and stages[0].title == "runs")
    return stages + not_reached(exercise)[n_judged:], finished


def _blame(stages: list[StageResult], remark: str, example: list[str], cause: str) -> None:
    """Write why the process ended to the stage that it was at."""
    at = next((s for s in stages if s.status == SKIPPED and not s.remark), stages[-1])
    at.status, at.remark, at.example, at.cause = WRONG, remark, example, cause
    at.score = 0


def _only_slow(exercise: Exercise, stages: list[StageResult], why: str) -> None:
    """An answer that is right and runs out of time where its cost is counted is slow, not wrong."""
    *before, at = stages
    is_cost = exercise.stages[-1].last and len(stages) == len(exercise.stages)
    if why == "time" and is_cost and at.status == WRONG and {s.status for s in before} == {RIGHT}:
        at.status, at.remark = COSTLY, f"right, but {at.remark} for large sizes"


def _why_ended(
    why: str, child: _Child, job: dict[str, Any], limits: Limits
) -> tuple[str, list[str], str]:
    where, code = _last_line(job), child.process.returncode
    if why == "time":
        remark = f"takes more than {limits.seconds:g} seconds"
        cause = "a loop that never ends, or far too much work: look at the line above"
        if child.megabytes > limits.megabytes / 2:
            remark += f", and {child.megabytes / 1024:.1f} GB of memory"
            cause = "a loop that never ends: does a list or an array grow in it?"
        return remark, where, cause if where else ""
    if why == "printing":
        return "prints without end", where, "a print() in a loop that never ends"
    if why == "start":
        return "the grading process does not start", [], "the machine is too busy: try again"
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return (
            f"the process crashed ({name})", where,
            "memory that does not belong to the code was touched (ctypes?), a recursion went too "
            "deep, or memory ran out",
        )  # fmt: skip
    return (
        f"the process was ended from within (status {code})", where,
        "os._exit() or its like ends grading with it: return the result instead",
    )  # fmt: skip


def _last_line(job: dict[str, Any]) -> list[str]:
    """The line of the student's file that was running last, if the child could still write it."""
    try:
        trace = Path(job["trace"]).read_text(errors="replace")
        source = Path(job["path"]).read_text(errors="replace").splitlines()
    except OSError:
        return []
    found = re.search(rf'File "{re.escape(job["path"])}", line (\d+)', trace)
    if found is None or int(found[1]) > len(source):
        return []
    return [f"line {found[1]}: {source[int(found[1]) - 1].strip()}"]


# The child's side.


class _NoInput:
    """Standard input that says so when it is read."""

    def read(self, size: int = -1) -> str:
        raise InputRead

    readline = readlines = __next__ = read

    def __iter__(self) -> _NoInput:
        return self


def main() -> None:
    """Read a job from standard input and grade it."""
    job = json.loads(sys.stdin.buffer.read())
    sys.stdin = _NoInput()
    limit_memory(job["megabytes"])
    work(job)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(0)  # threads, or functions for the end, that the answer left behind do not matter


def work(job: dict[str, Any]) -> None:
    """Grade an answer, and write every stage as soon as it is judged."""
    exercise = ladder()[job["exercise"]]
    trace = open(job["trace"], "w")  # noqa: SIM115  (open until the process ends)
    faulthandler.enable(trace)
    faulthandler.dump_traceback_later(max(0.1, 0.9 * job["seconds"]), file=trace)
    results = os.open(job["results"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def write(event: Any) -> None:
        os.write(results, f"{job['nonce']} {json.dumps(event)}\n".encode())

    write("start")
    for stage in results_of(exercise, job["path"], seed=job["seed"]):
        write(asdict(stage))
    write("end")


def limit_memory(megabytes: int) -> None:
    """Let the process have so much memory and no more, where the system can do that."""
    try:
        import resource
    except ImportError:  # Windows
        return
    size = megabytes * 2**20
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
