"""Puts a run's figures into a page.

What stands between ``<!-- begin: promises -->`` and ``<!-- end: promises -->`` is written anew.
"""

import json
import re
import shutil

from benchmarks import report, results
from benchmarks.steps.__main__ import lines as lines_of_steps

MARKED = re.compile(r"(<!-- begin: (\w+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)
PICTURES = ("ratios.png", "roofline.png", "sweeps.png")


def blocks(run):
    """The text of each block, by name, from the files of a folder."""
    values = results.load(run / "results.json")
    made = {name: part(values) for name, part in report.PARTS.items()}
    steps = run / "steps.json"
    if steps.exists():
        saved = json.loads(steps.read_text(encoding="utf-8"))
        for kind, times in saved["seconds"].items():
            made[f"steps_{kind}"] = lines_of_steps(kind, times)
    return made


def fill(page, run):
    """Fill the page's blocks and copy the pictures beside it; what was filled, what was not."""
    made, filled, left = blocks(run), [], []

    def new(match):
        start, name, end = match.groups()
        if not made.get(name):
            left.append(name)
            return match.group()
        filled.append(name)
        return start + "```text\n" + "\n".join(made[name]).rstrip() + "\n```\n" + end

    text = MARKED.sub(new, page.read_text(encoding="utf-8"))
    page.write_text(text, encoding="utf-8")
    for name in PICTURES:
        if (run / name).exists():
            folder = page.parent / "images"
            folder.mkdir(exist_ok=True)
            shutil.copyfile(run / name, folder / f"benchmark-{name}")
    return filled, left
