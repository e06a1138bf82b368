"""The pages on checking: every block runs, and prints what the page says that it prints."""

import ast
import contextlib
import io
import re
from pathlib import Path

import pytest

from pyarsimple import checks
from pyarsimple.checks.causes import GENERAL
from pyarsimple.checks.mistakes import MISTAKES, UPSTREAM

pytestmark = pytest.mark.once

DOCS = Path(__file__).resolve().parents[1] / "docs"
FINDERS = ("causes", "backward")  # they return kind, text, equation
PAGES = ["how-to-check-a-gradient.md", "how-to-check-causality.md"]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def blocks(text):
    return [(m[1], m[2], text[: m.start()].count("\n") + 1) for m in BLOCK.finditer(text)]


def settled(text):
    """The text without what another machine may round differently."""
    text = re.sub(r"#+", "#", text)  # bars of rounding errors
    # Of an array that is right, which entry is worst is decided by rounding.
    text = re.sub(r"^(\w+ +\(.*?\)) .* ok$", r"\1 ok", text, flags=re.MULTILINE)
    return re.split(r"(\d+(?:\.\d+)?e-\d\d)", text)


def agrees(one, two):
    """The same text; numbers below a thousandth, which are errors, to two digits of exponent."""
    a, b = settled(one), settled(two)
    if len(a) != len(b):
        return False
    for k, (p, q) in enumerate(zip(a, b, strict=True)):
        number = k % 2 and max(float(p), float(q)) < 1e-3
        if number and max(float(p), float(q)) > 300 * min(float(p), float(q)) + 1e-8:
            return False
        if not number and p != q:
            return False
    return True


def test_the_comparison_sees_what_matters():
    assert agrees("W (6, 5) (0, 1) 1.0e-02 ok", "W (6, 5) (3, 2) 2.0e-03 ok")
    assert agrees("error 9e-11", "error 3e-10")
    assert agrees("h = 1e-05 error 9e-11 #", "h = 1e-05 error 3e-10 ##")
    assert not agrees("error 9e-05", "error 9e-09")
    assert not agrees("c (5,) (4,) 8.2e-02 WRONG", "c (5,) (3,) 8.2e-02 WRONG")
    assert not agrees("a 8.2e-02 WRONG", "a 8.1e-02 WRONG")
    assert not agrees("passed", "FAILED")


def run(code, namespace, where):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, where, "exec"), namespace)
    return printed.getvalue()


@pytest.mark.parametrize("page", PAGES)
def test_every_block_prints_what_stands_below_it(page):
    text = (DOCS / page).read_text()
    assert len(blocks(text)) == text.count("```python") > 8
    assert text.count("```text") == sum(expected is not None for _, expected, _ in blocks(text))
    namespace = {"__name__": "page"}
    for code, expected, line in blocks(text):
        printed = run("\n" * line + code, namespace, page)
        assert agrees(printed, expected or ""), f"{page}, line {line}: it prints\n{printed}"


@pytest.mark.parametrize("broken", [False, True])
def test_the_block_for_pytorch(broken):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    page = (DOCS / "how-to-check-a-gradient.md").read_text()
    [code] = re.findall(r"^```py\n(.*?)^```\n", page, re.MULTILINE | re.DOTALL)

    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            return z.clone()

        @staticmethod
        def backward(ctx, d):
            return 2 * d

    class Layer(torch.nn.Linear):
        def forward(self, x):
            return Doubled.apply(super().forward(x)) if broken else super().forward(x)

    module = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), Layer(7, 3))
    namespace = {"torch": torch, "checks": checks, "module": module, "batch": torch.randn(9, 5)}
    report = run(code, namespace, "PyTorch")
    assert ("FAILED" if broken else "passed, 4 arrays") in report
    assert report.count("2 times the right one") == broken
    assert "warning" not in report


def kinds(path):
    """The kinds of cause that a file of the checks can report, as its source names them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Cause", "Mistake"):
            found |= words(node.args[:1])
        elts = getattr(getattr(node, "value", None), "elts", [])
        if isinstance(node, ast.Return) and len(elts) == 3 and path.stem in FINDERS:
            found |= words(elts[:1])  # kind, text, equation
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "readings":
            found |= words(node.value.keys)
    return found


def words(nodes):
    values = [c.value for n in nodes for c in ast.walk(n) if isinstance(c, ast.Constant)]
    return {v for v in values if isinstance(v, str) and re.fullmatch("[a-z][a-zN0-9D-]+", v)}


def test_every_cause_has_an_equation():
    folder = DOCS.parent / "pyarsimple" / "checks"
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.name}, line {getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Cause":
                named = [k.value for k in node.keywords if k.arg == "equation"]
                [equation] = named or node.args[4:] or [ast.Constant("")]
                assert getattr(equation, "value", "computed"), where
            elts = getattr(getattr(node, "value", None), "elts", [])
            if isinstance(node, ast.Return) and len(elts) == 3 and path.stem in FINDERS:
                empty = any(getattr(c, "value", None) == "" for c in ast.walk(elts[2]))
                assert not empty or words(elts[:1]) <= set(GENERAL), where
    assert all(mistake.equation for each in MISTAKES.values() for mistake in each.values())
    assert all(mistake.equation for mistake in UPSTREAM.values())


def test_every_kind_of_cause_stands_on_a_page():
    folder = DOCS.parent / "pyarsimple" / "checks"
    reported = {kind for path in folder.glob("*.py") for kind in kinds(path)}
    assert {"columns", "float32-inside", "random-gradient", "not-finite"} <= reported
    assert len(reported) > 50
    told = set(re.findall(r"`([\w-]+)`", "".join((DOCS / page).read_text() for page in PAGES)))
    assert reported <= told, reported - told
