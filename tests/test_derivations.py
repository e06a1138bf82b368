"""The derivations: every block of every page runs, and compares both sides of its equations."""

import ast
import re
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).resolve().parents[1] / "docs" / "derivations").glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DERIVED = [page for page in PAGES if page.name != "README.md"]


def code_of(page):
    """The blocks of a page as one file, in which each line stands where it does on the page."""
    text = page.read_text()
    lines = [""] * (text.count("\n") + 1)
    for match in BLOCK.finditer(text):
        first = text[: match.start(1)].count("\n")
        block = match[1].splitlines()
        lines[first : first + len(block)] = block
    return "\n".join(lines) + "\n"


def run(page, change=lambda code: code):
    exec(compile(change(code_of(page)), str(page), "exec"), {"__name__": page.stem})


def test_the_pages_that_there_are():
    names = {page.stem for page in DERIVED}
    assert names >= {"bernoulli", "categorical", "gaussian", "gaussian-mixture"}
    assert names >= {"fvsbn", "untied-nade", "nade", "made", "orderless-nade"}
    index = (PAGES[0].parent / "README.md").read_text()
    assert all(f"({page.name})" in index for page in DERIVED)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_both_sides_of_every_equation_agree(page):
    run(page)


@pytest.mark.parametrize("page", DERIVED, ids=lambda page: page.stem)
def test_equations_are_numbered_and_comparisons_have_tolerances(page):
    text = page.read_text()
    prose = BLOCK.sub("", text)
    stated = set(re.findall(r"^    .*?\s\((\d+)\)$", prose, re.MULTILINE))
    assert stated == {str(k + 1) for k in range(len(stated))}
    calls = [node for node in ast.walk(ast.parse(code_of(page))) if isinstance(node, ast.Call)]
    compared = [c for c in calls if "assert" in ast.unparse(c.func)]
    assert len(compared) >= 5
    assert all("rtol" in ast.unparse(c) or "atol" in ast.unparse(c)
               for c in compared if "allclose" in ast.unparse(c.func))  # fmt: skip


@pytest.mark.parametrize(
    ("page", "right", "wrong"),
    [
        ("bernoulli", "(p - x) / N", "(x - p) / N"),
        ("fvsbn", "M * (d_logits.T @ x)", "M * (x.T @ d_logits)"),
        ("untied-nade", "x[:, before].T @ d_a", "x[:, before].T @ (d_a / H)"),
        ("nade", "d_a = d_h * h * (1 - h) + d_a", "d_a = d_h * h * (1 - h)"),
        ("made", "(d_a_2 @ W[1].T) * (1 - h_1**2)", "(d_a_2 @ W[1].T) * h_1 * (1 - h_1)"),
        ("orderless-nade", "loss = D / (D - d + 1)", "loss = D / (D - d + 2)"),
        ("orderless-nade", "+ m @ U", "+ x @ U"),
        ("orderless-nade", "1 / (n * q[n])", "1 / q[n]"),
        ("categorical", "(p - one_hot) / N", "p / N"),
        ("categorical", "W[i, x[:, i]]", "W[i, 0]"),
        ("gaussian", "(1 - z**2) * t / N", "(1 - z**2) / N"),
        ("gaussian", "(mean - x) / s**2 / N", "(mean - x) / s / N"),
        ("gaussian", "log_p_x - np.log(u).sum()", "log_p_x + np.log(u).sum()"),
        ("gaussian-mixture", "by_hand = np.stack([w - r,", "by_hand = np.stack([-r,"),
        ("gaussian-mixture", "-r * z / s,", "-r * z,"),
    ],
)
def test_a_wrong_equation_is_noticed(page, right, wrong):
    path = next(p for p in DERIVED if p.stem == page)
    assert right in code_of(path)
    with pytest.raises(AssertionError):
        run(path, lambda code: code.replace(right, wrong))
