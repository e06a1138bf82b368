"""The command ``pyarsimple exercises``: list, start, grade, hint, solution."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import textwrap
import tokenize
from pathlib import Path
from typing import Any

from pyarsimple.exercises import ladder, progress
from pyarsimple.exercises.grader import WIDTH, Exercise
from pyarsimple.exercises.runner import Limits, grade_file
from pyarsimple.exercises.texts import name_in, solution_of

OK, NOT_RIGHT, USAGE = 0, 1, 2

DESCRIPTION = """\
Write the library yourself, piece by piece. Each exercise is one file with a
hole; it is graded on this machine in seconds, without a network.

  pyarsimple exercises                     the list, and how far you are
  pyarsimple exercises start softplus      writes softplus.py for you to fill in
  pyarsimple exercises grade softplus.py   what is right, what is not, and why
  pyarsimple exercises hint softplus       the next of three hints
  pyarsimple exercises solution softplus   the library's own code
"""

EPILOG = """\
Progress is kept in exercises-progress.json: grade writes it beside the file
that it grades, the others where they are run (or in --folder).
The answer runs in a process of its own with limits on time and memory. That
guards against accidents; it is no sandbox: grade untrusted code elsewhere.
Exit status: 0 all right, 1 not right yet, 2 bad usage.
"""


class UsageError(Exception):
    """What the user asked for cannot be done; the message is one line."""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command to the subparsers of ``pyarsimple``."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "exercises", help="exercises that grade themselves", description=DESCRIPTION, epilog=EPILOG
    )
    if parser.formatter_class is argparse.HelpFormatter:  # it would fill the paragraphs above
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    folder: dict[str, Any] = {
        "default": ".", "metavar": "DIR", "help": "the student's folder (default: here)"
    }  # fmt: skip

    add = actions.add_parser(
        "list",
        help="what there is, and how far you are",
        description="The exercises: what each teaches, how long it takes, how far you are.",
    )
    add.add_argument("--folder", **folder)

    add = actions.add_parser(
        "start",
        help="write the file of an exercise",
        description="Write the file of an exercise: contract, definition, and a hole to fill in.",
    )
    add.add_argument("name", metavar="NAME", help="an exercise, as the list calls it")
    add.add_argument("--folder", **folder)
    add.add_argument("--force", action="store_true", help="replace a file that is there already")

    add = actions.add_parser(
        "grade", help="grade a file",
        description="Grade a file; the outcome is recorded in exercises-progress.json beside it.",
    )  # fmt: skip
    add.add_argument("file", metavar="FILE", help="your answer")
    add.add_argument("--exercise", metavar="NAME", help="if the file does not say which it answers")
    add.add_argument(
        "--student", metavar="NAME", default=os.environ.get("PYARSIMPLE_STUDENT", ""),
        help="changes the data that is graded on (default: $PYARSIMPLE_STUDENT)",
    )  # fmt: skip
    add.add_argument("--json", action="store_true", help="as Gradescope's results.json")
    add.add_argument("--seconds", type=_positive, default=Limits.seconds,
                     help="limit of time (default: %(default)g)")  # fmt: skip
    add.add_argument("--megabytes", type=_positive, default=Limits.megabytes,
                     help="limit of memory (default: %(default)g)")  # fmt: skip
    add.add_argument("--no-record", action="store_true",
                     help="do not write exercises-progress.json beside the file")  # fmt: skip

    add = actions.add_parser(
        "hint",
        help="the next of three hints",
        description="Print the next of three hints, each of which says more than the one before.",
    )
    add.add_argument("name", metavar="NAME", help="an exercise, as the list calls it")
    add.add_argument("--folder", **folder)

    add = actions.add_parser(
        "solution",
        help="the library's own code",
        description="Print the library's own code, as a file that can be graded.",
    )
    add.add_argument("name", metavar="NAME", help="an exercise, as the list calls it")
    add.add_argument("--folder", **folder)
    parser.set_defaults(run=run)
    return parser


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"needs a number above 0, got {text!r}")
    return value


def run(args: argparse.Namespace) -> int:
    """Run the command; the exit status."""
    action = {
        "start": _start, "grade": _grade, "hint": _hint, "solution": _solution
    }.get(args.action, _list)  # fmt: skip
    try:
        return action(args)
    except BrokenPipeError:  # as when piped into head: the command line knows what to do
        raise
    except (UsageError, progress.ProgressError, OSError) as error:
        if getattr(args, "json", False):  # Gradescope wants a file whatever happens
            print(json.dumps({"score": 0, "output": f"error: {error}"}, indent=2))
        print(f"pyarsimple exercises: error: {error}", file=sys.stderr)
        return USAGE


def _exercise(name: str) -> Exercise:
    key = name.removesuffix(".py").replace("_", "-")
    if key not in ladder():
        near = difflib.get_close_matches(key.lower(), ladder(), n=1)
        meant = f"; did you mean {near[0]}?" if near else "; the list: pyarsimple exercises"
        raise UsageError(f"no exercise {name!r}{meant}")
    return ladder()[key]


def _list(args: argparse.Namespace) -> int:
    known = progress.read(getattr(args, "folder", "."))
    rows = [("exercise", "teaches", "min", "state")]
    for exercise in ladder().values():
        row = known.get(exercise.name, {})
        state = str(row.get("state", "not done"))
        score = row.get("score", 10)  # of 10, and worth a word where they are not all there
        state += f" {score:g}/10" if state in ("done", "wrong") and score != 10 else ""
        state += f" {'?' * int(row.get('hints', 0))}"
        rows.append((exercise.name, exercise.teaches, str(exercise.minutes), state.strip()))
    wide = [max(len(row[k]) for row in rows) for k in range(3)]
    for name, teaches, minutes, state in rows:
        line = f"{name:{wide[0]}}  {teaches:{wide[1]}} {minutes:>{wide[2]}}  {state}"
        print(line.rstrip())
    done = sum(known.get(name, {}).get("state") == "done" for name in ladder())
    print(f"\n{done} of {len(ladder())} done. A ? is a hint that was used.")
    if not done:
        print("Begin with: pyarsimple exercises start softplus")
    return OK


def _start(args: argparse.Namespace) -> int:
    exercise = _exercise(args.name)
    path = Path(args.folder, exercise.file_name)
    try:
        with open(path, "w" if args.force else "x", encoding="utf-8") as file:
            file.write(exercise.template)
    except FileExistsError:
        raise UsageError(f"{path} is there already; --force replaces it, with your work") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    before = progress.read(args.folder).get(exercise.name, {})
    progress.record(args.folder, exercise.name, started=True, state=before.get("state", "not done"))
    print(f"{exercise.title}: about {exercise.minutes} minutes.")
    print(f"Fill in {path}, then:\n  pyarsimple exercises grade {path}")
    return OK


def _grade(args: argparse.Namespace) -> int:
    path = Path(args.file)
    try:
        with tokenize.open(path) as file:
            source = file.read()
    except (SyntaxError, UnicodeDecodeError):
        source = ""  # the grader will say what is wrong with it
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    name = args.exercise or name_in(source) or path.stem
    if name.replace("_", "-") not in ladder():
        raise UsageError(
            f'{path} does not say which exercise it answers: it needs a line EXERCISE = "...", or '
            "use --exercise NAME"
        )
    exercise = _exercise(name)
    limits = Limits(args.seconds, int(args.megabytes))
    grade = grade_file(exercise, path, student=args.student, limits=limits)
    if args.json:
        print(json.dumps(grade.gradescope(), indent=2))
    else:
        coding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(str(grade).encode(coding, "backslashreplace").decode(coding))
    if not args.no_record:
        try:
            progress.record(path.parent, exercise.name, state=grade.state, score=grade.score)
        except (OSError, progress.ProgressError) as error:
            print(f"progress was not recorded: {error}", file=sys.stderr)
    return OK if grade.state == "done" else NOT_RIGHT


def _hint(args: argparse.Namespace) -> int:
    exercise = _exercise(args.name)
    used = int(progress.read(args.folder).get(exercise.name, {}).get("hints", 0))
    shown = min(used + 1, len(exercise.hints))
    for k, hint in enumerate(exercise.hints[:shown], 1):
        text = f"Hint {k} of {len(exercise.hints)}: {hint}"
        print(textwrap.fill(text, WIDTH, subsequent_indent="  ", break_on_hyphens=False))
    if used >= len(exercise.hints):
        print(f"There are no more. Ours: pyarsimple exercises solution {exercise.name}")
    progress.record(args.folder, exercise.name, hints=shown)
    return OK


def _solution(args: argparse.Namespace) -> int:
    exercise = _exercise(args.name)
    print(solution_of(exercise), end="")
    progress.record(args.folder, exercise.name, solution_seen=True)
    return OK
