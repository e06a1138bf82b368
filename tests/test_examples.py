"""The examples: each script runs, and prints what the pages say that it prints."""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyarsimple import twins

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
PAGES = sorted((ROOT / "docs").glob("*.md"))

pytest.importorskip("sklearn")  # which has the digits that most of them are about
pytest.importorskip("matplotlib")

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
#: What a page shows of a script: its whole output.
SHOWN = re.compile(r"`python examples/(\w+\.py)` prints:\n\n```text\n(.*?)```", re.DOTALL)


@functools.cache
def output_of(script):
    """What a script prints; it runs once, in an empty folder."""
    import tempfile

    env = os.environ | {
        "PYARSIMPLE_BACKEND": twins.active_backend(),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "PYTHONWARNINGS": "ignore" if twins.kernels is None else "error",
        "MPLBACKEND": "Agg",
    }
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(ROOT / "examples" / script)], env=env, cwd=folder,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_it_runs(script):
    shown = output_of(script)
    assert shown.strip()
    assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize("script", SCRIPTS)
def test_it_begins_with_what_it_shows_and_how_to_run_it(script):
    text = (ROOT / "examples" / script).read_text()
    assert text.startswith('"""')
    assert f"    python examples/{script}" in text.split('"""')[1]


def agrees(one, two):
    """The same text, but for the last digits of its numbers, in which machines differ."""
    if NUMBER.sub("#", one).split() != NUMBER.sub("#", two).split():
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(two), strict=True)
    numbers = [(float(a), float(b)) for a, b in pairs]
    return all(abs(a - b) <= 0.1 + 0.05 * max(abs(a), abs(b)) for a, b in numbers)


def test_the_comparison_sees_what_matters():
    assert agrees("nade 16.40 nats", "nade  16.41 nats")
    assert agrees("0.05 -3.1", "0.06 -3.1")
    assert not agrees("nade 16.40 nats", "made 16.40 nats")
    assert not agrees("nade 16.40 nats", "nade 18.40 nats")
    assert not agrees("nade 16.40 nats", "nade -16.40 nats")
    assert not agrees("1 2", "1")


STATED = [(page.name, *found) for page in PAGES for found in SHOWN.findall(page.read_text())]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "script", "stated"), STATED, ids=[f"{page}-{script}" for page, script, _ in STATED]
)
def test_pages_show_what_it_prints(page, script, stated):
    shown = output_of(script)
    assert agrees(shown, stated), f"docs/{page}: {script} prints\n{shown}"


BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
USES = ["classification", "features", "scikit-learn"]


@pytest.mark.parametrize("page", USES)
def test_the_code_of_a_page_runs(page):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    assert BLOCK.findall(text)
    exec(compile("\n".join(BLOCK.findall(text)), page, "exec"), {"__name__": page})


@pytest.mark.parametrize("page", [*USES, "autoencoder"])
def test_links_lead_somewhere(page):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert links
    assert not [link for link in links if not (ROOT / "docs" / link).exists()]


def test_the_pages_that_show_something():
    assert {"autoencoder.md", "classification.md", "features.md", "scikit-learn.md"} <= {
        page for page, _, _ in STATED
    }
