"""The command line, ``python -m benchmarks [run | report | compare | page]``; see ``--help``."""

import argparse
import sys
from pathlib import Path

from benchmarks import compare, report, results, runner

COMMANDS = ("run", "report", "compare", "page")


def parser():
    top = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Speed of pyarsimple, its peers and this machine."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar=" | ".join(COMMANDS))
    run = commands.add_parser("run", help="measure (the default)")
    run.add_argument("--profile", choices=("quick", "full", "tiny"), default="quick",
                     help="quick is under a minute; tiny only tries the machinery")  # fmt: skip
    run.add_argument("--out", metavar="DIR", default="bench-output",
                     help="where results.json, report.txt and the pictures go")  # fmt: skip
    run.add_argument("--data", metavar="FOLDER", help="with binarized_mnist.npz; else the bits are "
                     "drawn, as many of them 1")  # fmt: skip
    run.add_argument("--only", nargs="+", metavar="WORD", default=(),
                     help="only cases whose name has one of these words")  # fmt: skip
    run.add_argument("--threads", type=int, default=2)
    run.add_argument("--check-only", action="store_true",
                     help="compare every result with the definition, and time nothing")  # fmt: skip
    shown = commands.add_parser("report", help="tables and pictures of a run")
    shown.add_argument("results", metavar="RESULTS.json")
    shown.add_argument("--out", metavar="DIR", help="where pictures go; none without it")
    compared = commands.add_parser("compare", help="is the second run slower than the first?")
    compared.add_argument("before", metavar="A.json")
    compared.add_argument("after", metavar="B.json")
    compared.add_argument("--fail-above", type=compare.parse_share, default=0.1, metavar="10%",
                          help="exit with status 1 if anything is slower by more")  # fmt: skip
    filled = commands.add_parser("page", help="put a run's figures and pictures into a page")
    filled.add_argument("page", type=Path, metavar="PAGE.md")
    filled.add_argument("folder", type=Path, metavar="DIR", help="of a run, with results.json")
    return top


def fail(error):
    print(f"python -m benchmarks: error: {error}", file=sys.stderr)
    return 2


def draw(values, folder):
    """The pictures, where Matplotlib is installed."""
    try:
        from benchmarks import pictures
    except ImportError as error:
        print(f"no pictures: {error}", file=sys.stderr)
        return
    for path in pictures.draw(values, folder):
        print(f"written: {path}", file=sys.stderr)


def command_run(args):
    folder = Path(args.out)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run = runner.Run(
            args.profile, threads=args.threads, data=args.data, only=args.only,
            check_only=args.check_only, say=lambda line: print(line, file=sys.stderr),
        )  # fmt: skip
    except (OSError, ValueError, KeyError) as error:
        return fail(error)
    if not run.selected_cases():
        return fail(f"no case is named like {' '.join(args.only)}")
    with run:
        values = runner.measure_all(run)
        wrong = runner.went_wrong(values)
        if wrong:
            runner.show_log(run)
    results.save(values, folder / "results.json")
    shown = report.text(values)
    (folder / "report.txt").write_text(shown, encoding="utf-8")
    print(shown)
    if not args.check_only:
        draw(values, folder)
    for case, name, reason in wrong:
        print(f"WRONG: {case}, {name}: {reason}", file=sys.stderr)
    return 1 if wrong else 0


def command_report(args):
    values = results.load(args.results)
    print(report.text(values))
    if args.out:
        Path(args.out).mkdir(parents=True, exist_ok=True)
        draw(values, Path(args.out))
    return 0


def command_compare(args):
    lines, failures = compare.compare(
        results.load(args.before), results.load(args.after), args.fail_above
    )
    print("\n".join(lines))
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


def command_page(args):
    from benchmarks import page

    if not args.page.is_file():
        return fail(f"{args.page}: no such page")
    filled, left = page.fill(args.page, args.folder)
    print(f"filled: {', '.join(filled)}; left as they were: {', '.join(left) or 'none'}")
    return 0


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] not in {*COMMANDS, "-h", "--help"}:
        arguments.insert(0, "run")
    args = parser().parse_args(arguments)
    try:
        return globals()[f"command_{args.command}"](args)
    except results.BadResults as error:
        return fail(error)


if __name__ == "__main__":
    sys.exit(main())
