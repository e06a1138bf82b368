"""The README: its example runs, its table is true, its links lead somewhere."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def python_blocks():
    return re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_two_commands_come_first():
    commands = [line.split() for line in README.splitlines() if line.startswith("    ")]
    assert [command[:2] for command in commands[:2]] == [["make", "demo"], ["make", "test"]]


def test_the_example_has_twelve_lines_and_ends_with_samples():
    pytest.importorskip("sklearn")
    (example,) = python_blocks()
    assert len(example.splitlines()) == 12
    shown, names = io.StringIO(), {}
    with contextlib.redirect_stdout(shown):
        exec(example, names)
    lines = shown.getvalue().splitlines()
    nats = float(re.match(r"([\d.]+) nats a digit", lines[0])[1])
    assert nats == pytest.approx(-names["log_p"].mean(), abs=0.006)
    assert nats < 18
    drawn = [[".#".index(mark) for mark in line] for line in lines[1:] if line]
    np.testing.assert_array_equal(np.reshape(drawn, (3, 64)), names["model"].sample(3, rng=0))


def test_the_table_of_models_is_true():
    rows = re.findall(r"^\| `(\w+)` \|.*?\[\w+\.py\]\((.*?)\) \| (\d+) \|", README, flags=re.M)
    import pyarsimple
    from pyarsimple.models import MODELS

    public = {model.__name__ for model in MODELS.values() if hasattr(pyarsimple, model.__name__)}
    assert {name for name, _, _ in rows} == public
    for name, path, lines in rows:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert f"class {name}(" in text
        assert len(text.splitlines()) == int(lines), f"{path} has another number of lines"


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing


def test_every_page_is_linked():
    index = README + (ROOT / "docs/derivations/README.md").read_text(encoding="utf-8")
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
    assert len(pages) > 15
    assert not [page.name for page in pages if f"{page.name})" not in index]


COMMANDS = re.findall(r"^    pyarsimple (.*)$", README, flags=re.MULTILINE)


@pytest.mark.slow
def test_the_commands_run_as_written_in_a_new_folder(tmp_path, monkeypatch, capsys):
    for package in ("matplotlib", "sklearn"):
        pytest.importorskip(package)
    from pyarsimple import cli

    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        quick = ["--quick"] if command.startswith("demo") else []
        assert cli.main([*shlex.split(command), *quick]) == 0
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    pictures = {path.name for path in tmp_path.glob("*.png")}
    assert pictures == {"samples.png", "completions.png", "alarms.png"}


def test_the_commands_exist():
    from pyarsimple import cli

    assert len(COMMANDS) >= 5
    for command in COMMANDS:
        name = shlex.split(command)[0]
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            assert cli.main([name, "--help"]) == 0
        assert f"pyarsimple {name}" in shown.getvalue()
