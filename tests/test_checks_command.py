"""``pyarsimple check``: models of ours, and classes in files of the user's."""

import argparse
import json
import re

import numpy as np
import pytest

import pyarsimple as pa
from pyarsimple import check_command, checks

pytestmark = pytest.mark.once


def run(*words):
    parser = argparse.ArgumentParser()
    check_command.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["check", *map(str, words)])
    return args.run(args)


MINE = """
import numpy as np

class Mine:
    def __init__(self):
        self.n_dims = 4
        self.params = {"W": np.zeros((4, 4)), "b": np.zeros(4)}

    def logits(self, x):
        return x @ np.tril(self.params["W"], -1).T + self.params["b"]

    def conditionals(self, x):
        return 1 / (1 + np.exp(-self.logits(x)))

    def log_conditionals(self, x):
        p = self.conditionals(x)
        return np.log(np.where(x == 1, p, 1 - p))

    def log_prob(self, x):
        return self.log_conditionals(x).sum(axis=1)

    def nll_and_grads(self, x):
        d = (self.conditionals(x) - x) / len(x)
        return -self.log_prob(x).mean(), {"W": np.tril(d.T @ x, -1), "b": d.sum(axis=0)}

    def sample(self, n, *, rng=None):
        rng = np.random.default_rng(rng)
        x = np.zeros((n, 4))
        for i in range(4):
            x[:, i] = rng.random(n) < self.conditionals(x)[:, i]
        return x
"""


def write(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["nade", "made", "fvsbn"])
def test_our_models_pass(name, capsys):
    assert run(name, "--dims", 5, "--hidden", 4) == 0
    out, err = capsys.readouterr()
    assert not err
    assert max(map(len, out.splitlines())) <= 80
    assert out.strip().endswith(f"{name}: 6 checks passed")
    assert "FAILED" not in out


@pytest.mark.parametrize("words", ["categorical:3", "bernoulli,categorical:4,gaussian"])
@pytest.mark.parametrize("name", ["nade", "made", "fvsbn"])
def test_our_models_of_other_variables_pass(name, words, capsys):
    assert run(name, "--dims", 3, "--hidden", 4, "--conditional", words) == 0
    out, err = capsys.readouterr()
    assert not err
    assert max(map(len, out.splitlines())) <= 80
    assert out.strip().endswith(f"{name}: 6 checks passed")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nade", "--conditional", "cauchy"], "conditional must be"),
        (["nade", "--conditional", "2*gaussian"], "each of the 7 variables, got 2"),
        (["mine.py", "--conditional", "gaussian"], "a class of yours has values"),
    ],
)
def test_conditionals_that_cannot_be(words, message, capsys):
    assert run(*words) == 2
    out, err = capsys.readouterr()
    assert not out
    assert message in err


def test_a_class_in_a_file_passes(tmp_path, capsys):
    path = write(tmp_path, MINE)
    assert run(path) == 0
    out = capsys.readouterr().out
    assert "backward: skipped, there is no forward" in out
    assert "5 checks passed" in out
    assert max(map(len, out.splitlines()[:-1])) <= 80  # the last line begins with the path
    assert "parallel = sequential: no sequential view" in out


def only_conditionals(text):
    """The class MINE with p(x_i = 1 | x_<i) and its sampler, and nothing else."""
    begin, end = text.index("    def log_cond"), text.index("    def sample")
    return (text[:begin] + text[end:]).replace(
        '"W": np.zeros((4, 4))', '"W": 0.4 + np.eye(4, k=-2)'
    )


SAMPLERS = {
    "": ("", ""),
    "mirrored": ("rng.random(n) <", "rng.random(n) >"),
    "order": ("return x\n", "return x[:, [1, 2, 3, 0]]\n"),
}


@pytest.mark.parametrize("bug", SAMPLERS)
def test_conditionals_of_bits_are_enough_for_sums_and_samples(bug, tmp_path, capsys):
    path = write(tmp_path, only_conditionals(MINE.replace(*SAMPLERS[bug])))
    assert run(path) == (1 if bug else 0)
    out = capsys.readouterr().out
    assert "normalized: passed" in out
    assert f"sampler: {'FAILED' if bug else 'passed'}" in out
    assert "conditionals = exp(log_conditionals): no log_conditionals" in out
    assert re.search("log_prob = sum of log_conditionals:? +no log_prob", out)
    assert "no conditionals of bits" not in out


def test_conditionals_of_bits_that_look_ahead_do_not_sum_to_one(tmp_path, capsys):
    text = only_conditionals(MINE).replace('np.tril(self.params["W"], -1)', 'self.params["W"]')
    assert run(write(tmp_path, text)) == 1
    assert "normalized: FAILED" in capsys.readouterr().out


def test_conditionals_of_bits_are_probabilities(tmp_path, capsys):
    text = only_conditionals(MINE).replace("1 / (1 + np.exp(-self.logits(x)))", "self.logits(x)")
    assert run(write(tmp_path, text)) == 1
    assert "must be probabilities p(x_i = 1 | x_<i)" in " ".join(capsys.readouterr().out.split())


def test_conditionals_of_classes_say_nothing_of_the_sum():
    class Classes:
        n_dims, values = 3, 3

        def conditionals(self, x):
            return np.stack([np.cumsum(x, axis=1) - x] * 3, axis=-1)

    report = checks.check_model(Classes())
    assert report.skipped["normalized"] == "there is no log_prob or log_conditionals"


def test_long_items_fit_into_80_columns():
    items = [checks.report.Item(f"{'long ' * 20}name", "W, " * 40, "wanted", 0.1, "WRONG"),
             checks.report.Item("short", 0.5, 0.25, 0.25, "ok")]  # fmt: skip
    report = checks.densities.ConsistencyReport(items)
    lines = report.table().splitlines()
    assert max(map(len, lines)) <= 80
    assert "W, W, " in report.table()


def test_a_class_without_n_dims_is_bad_usage(tmp_path, capsys):
    path = write(tmp_path, MINE.replace("self.n_dims", "self.D"))
    assert run(path) == 2
    out, err = capsys.readouterr()
    assert not out
    assert "class Mine has no n_dims" in err
    assert "set self.n_dims = D in __init__" in err
    assert len(err.splitlines()) == 1


BUGS = {
    "gradients": ('"b": d.sum(axis=0)', '"b": d.mean(axis=0)'),
    "autoregressive": ('np.tril(self.params["W"], -1)', 'np.tril(self.params["W"])'),
    "normalized": ("np.where(x == 1, p, 1 - p)", "np.where(x == 1, p, 0.5)"),
    "sampler": ("rng.random(n) <", "rng.random(n) >"),
    "consistent": ("-self.log_prob(x).mean()", "-self.log_prob(x).sum()"),
}


@pytest.mark.parametrize("check", BUGS)
def test_a_bug_in_a_file_is_found_by_its_check(check, tmp_path, capsys):
    assert MINE.count(BUGS[check][0]) == 1
    path = write(tmp_path, MINE.replace(*BUGS[check]))
    assert run(path, "--json", "-") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] is False
    assert report["reports"][check]["passed"] is False
    assert report["reports"][check]["causes"]


def test_json_and_pictures_are_written(tmp_path, capsys):
    file, folder = tmp_path / "report.json", tmp_path / "pictures"
    assert run("fvsbn", "--json", file, "--plots", folder) == 0
    assert json.loads(file.read_text())["passed"] is True
    assert {p.stem for p in folder.iterdir()} == set(checks.suite.NEEDS)
    assert "checks passed" in capsys.readouterr().out


def test_several_classes_need_a_name(tmp_path, capsys):
    path = write(tmp_path, MINE + "\nclass Other(Mine):\n    pass\n")
    assert run(path) == 2
    assert "it has Mine, Other; choose one" in capsys.readouterr().err
    assert run(f"{path}:Other") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["resnet"], "MODEL must be nade, made, fvsbn or a file"),
        (["missing.py"], "there is no file"),
        (["nade", "--seed", "-1"], "--seed must be at least 0"),
        (["fvsbn", "--json", "no/such/folder/report.json"], "No such file"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "it has none"),
        ("import nothing_of_that_name", "cannot be imported: ModuleNotFoundError"),
        ("def f(:", "cannot be imported: SyntaxError"),
        ("class A:\n    n_dims = 3\n    sample = None\n    def forward(self): pass\n"
         "class B:\n    n_dims = 3", "FAILED"),
        ("class A:\n    n_dims = 3\n    def sample(self, n, *, rng=None): 1", "nothing to check"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_checked(text, message, tmp_path, capsys):
    status = run(write(tmp_path, text))
    out, err = capsys.readouterr()
    assert message in out + err
    assert status == (1 if message == "FAILED" else 2)
    assert run(f"{tmp_path / 'mine.py'}:Absent") == 2


def test_an_exception_in_the_users_code_is_a_failure_with_its_line(tmp_path, capsys):
    path = write(tmp_path, MINE.replace("d = (self.conditionals(x) - x) / len(x)", "d = 1 / 0"))
    assert run(path) == 1
    out = capsys.readouterr().out
    assert "FAILED: ZeroDivisionError in mine.py, line 23: " in out


@pytest.mark.parametrize("words", [[], ["nade", "--dims", "0"], ["nade", "--dims", "x"]])
def test_arguments_that_do_not_parse(words, capsys):
    with pytest.raises(SystemExit) as caught:
        run(*words)
    assert caught.value.code == 2
    capsys.readouterr()


def test_help_has_the_contract(capsys):
    with pytest.raises(SystemExit) as caught:
        run("--help")
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for word in ("n_dims", "nll_and_grads(x)", "sample(n, rng=...)", "exit status", "FILE.py"):
        assert word in out
    assert max(map(len, out.splitlines())) <= 80


def test_check_model_leaves_the_parameters_alone():
    model = pa.NADE(4, 3, rng=0)
    before = {k: p.copy() for k, p in model.params.items()}
    report = checks.check_model(model)
    assert report, report
    for k, p in before.items():
        np.testing.assert_array_equal(model.params[k], p)
    assert not checks.ModelReport("nothing")
    assert "nothing checked" in str(checks.ModelReport("nothing"))
