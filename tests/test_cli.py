"""The command line: real runs, exit statuses, one line for each mistake, 80 columns."""

import argparse
import importlib.util
import json
import os
import runpy
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pyarsimple
from pyarsimple import cli, datasets, evaluation, optimizers, orders, reports, storage, twins
from pyarsimple.baselines import MarkovChain
from pyarsimple.cli import main
from pyarsimple.models import MODELS
from pyarsimple.training import History

D = 16  # 4 x 4
SMALL = "--hidden 6 --max-epochs 3 --batch-size 20 --quiet"


def draw_bits(n, seed=0):
    """Rows in which neighbours are alike, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, D)) < 0.3
    x[:, 1:] ^= x[:, :-1] & (rng.random((n, D - 1)) < 0.7)
    return x.astype(np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Data files, good and bad, and a model trained on the good one."""
    folder = tmp_path_factory.mktemp("files")
    splits = {"train": draw_bits(120, 1), "valid": draw_bits(40, 2), "test": draw_bits(50, 3)}
    np.savez(folder / "bits.npz", **splits)
    np.savez(folder / "other.npz", **splits | {"train": draw_bits(120, 7)})
    np.save(folder / "only.npy", draw_bits(57, 4))
    np.savetxt(folder / "bits.csv", draw_bits(30, 5), fmt="%d", delimiter=",")
    np.save(folder / "wide.npy", np.zeros((30, D + 1), np.uint8))
    np.save(folder / "few.npy", draw_bits(9))
    (folder / "named.csv").write_text("?,b,c,d\n0,1,1,0\n" + "1,0,1,1\n" * 20)
    grey = draw_bits(5000, 6)
    grey[4500, 3] = 7
    np.save(folder / "grey.npy", grey)
    (folder / "cut.npz").write_bytes((folder / "bits.npz").read_bytes()[:200])
    (folder / "text.npz").write_text("no data\n")
    assert run(folder, f"train --model nade --data bits.npz --out trained {SMALL}") == 0
    whole = (folder / "trained/model.npz").read_bytes()
    (folder / "cut-model.npz").write_bytes(whole[: len(whole) // 2])
    return folder


def run(folder, line):
    """main() on a command line whose relative files lie in ``folder``."""
    args = shlex.split(line)
    known = {".npz", ".npy", ".csv", ".png"}
    for k, arg in enumerate(args):
        after_out = k and args[k - 1] == "--out"
        if not arg.startswith("/") and (Path(arg).suffix in known or after_out):
            args[k] = str(folder / arg)
    return main(args)


def spawn(*args, **settings):
    """The command in a process of its own, on the side that runs here."""
    env = os.environ | {
        "PYARSIMPLE_BACKEND": twins.active_backend(),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONWARNINGS": "ignore",  # of kernels that are missing
        "COLUMNS": "80",
    }
    command = [sys.executable, "-m", "pyarsimple", *map(str, args)]
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings
    )


def params_of(path):
    return pyarsimple.load(path).params


def assert_same_params(one, other):
    assert one.keys() == other.keys()
    for name, p in one.items():
        np.testing.assert_array_equal(p, other[name])


# Help and usage.


@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
@pytest.mark.parametrize("columns", ["80", "200"])
def test_help_fits_80_columns(command, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    assert main([*command.split(), "--help"]) == 0
    shown = capsys.readouterr()
    assert not shown.err
    assert max(map(len, shown.out.splitlines())) <= 80
    if command:
        assert "example" in shown.out
        summary = cli.COMMANDS[command][0]
        assert summary[1:] in " ".join(shown.out.split())


def test_examples_in_the_help_parse(capsys):
    parser = cli.make_parser()
    examples = []
    for command in cli.COMMANDS.values():
        text = command[3].replace("\\\n", " ")
        examples += [line.split()[1:] for line in text.splitlines() if line.startswith("  pyarsi")]
    assert len(examples) >= 10
    for example in examples:
        assert isinstance(parser.parse_args(example), argparse.Namespace)


def test_version(capsys):
    assert main(["--version"]) == 0
    name, version = capsys.readouterr().out.split(maxsplit=1)
    assert name == "pyarsimple"
    assert version[0].isdigit() or version == "not installed\n"


def test_help_imports_nothing_heavy():
    script = """if True:
        import sys
        from pyarsimple.cli import main
        main(["train", "--help"])
        heavy = {"matplotlib", "sklearn", "scipy.optimize", "tqdm", "pandas"} & set(sys.modules)
        assert not heavy, heavy
    """
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "ignore", "-c", script]
    subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)


MISTAKES = {
    "": "required: COMMAND",
    "fly": "invalid choice: 'fly'",
    "train": "required: --model, --data, --out",
    "train --model rbm --data bits.npz --out x": "choose from",
    "train --model nade --data none.npz --out x": "none.npz': No such file",
    "train --model nade --data cut.npz --out x": "cannot load",
    "train --model nade --data text.npz --out x": "cannot load",
    "train --model nade --data grey.npy --out x": "train[4096:] must be an array of bits",
    "train --model nade --data bits.csv --out x --binarize threshold": "give --binarize none",
    "evaluate trained/model.npz --data bits.npz --binarize sample": "give --binarize none",
    "train --model nade --data few.npy --out x": "9 rows: too few",
    "train --model nade --data trained/model.npz --out x": "cannot load",
    "train --model nade --data bits.npz --out bits.csv": "--out needs a folder",
    "train --model nade --hidden 3 4 --data bits.npz --out x": "--hidden needs one number",
    "train --model nade --hidden 0 --data bits.npz --out x": "at least 1, got '0'",
    "train --model nade --hidden two --data bits.npz --out x": "whole number",
    "train --model fvsbn --hidden 3 --data bits.npz --out x": "--hidden has no meaning for fvsbn",
    "train --model nade --direct --data bits.npz --out x": "--direct has no meaning for nade",
    "train --model nade --activation tanh --data bits.npz --out x": "--activation must be one of",
    "train --model made --dropout 1 --data bits.npz --out x": "--dropout must be",
    "train --model nade --momentum .9 --data bits.npz --out x": "--momentum has no meaning",
    "train --model nade --order sorted --data bits.npz --out x": "needs one of natural, reverse,",
    "train --model nade --order spiral --image-shape 3x5 --data bits.npz --out x": (
        "--image-shape must be (height, width) with a product of 16 for the order 'spiral', got (3,"
    ),
    "train --model nade --order none.npy --data bits.npz --out x": "none.npy': No such file",
    "train --model nade --order wide.npy --data bits.npz --out x": "--order must be None or a perm",
    "train --model made --masks 4 --data bits.npz --out x": "--masks has no meaning for made",
    "train --model order-agnostic-made --masks 1 --data bits.npz --out x": "at least 2, got '1'",
    "train --model made --redraw both --data bits.npz --out x": "--redraw has no meaning for made",
    "train --model nade --learning-rate -1 --data bits.npz --out x": "--learning-rate must be",
    "train --model nade --average 2 --data bits.npz --out x": "--average must be",
    "train --model nade --max-epochs 0 --data bits.npz --out x": "at least 1",
    "train --model nade --schedule step --data bits.npz --out x": "--schedule must be",
    "train --model nade --schedule step:0 --data bits.npz --out x": "--schedule must be",
    "train --model fvsbn --optimizer lbfgs --average .9 --data bits.npz --out x": "--average",
    "train --model nade --data bits.npz --out x --resume": "holds no checkpoint.npz",
    "train --model nade --data bits.npz --out x --resume --overwrite": "contradict",
    "train --model nade --data bits.npz --out trained": "--overwrite",
    "evaluate": "required: MODEL.npz, --data",
    "evaluate none.npz --data bits.npz": "none.npz': No such file",
    "evaluate cut-model.npz --data bits.npz": "cannot read",
    "evaluate bits.npz --data bits.npz": "cannot read",
    "evaluate trained/model.npz --data wide.npy": "model.npz' is a model of 16 variables, but",
    "evaluate trained/model.npz --data grey.npy": "got 7 in row 4500, column 3",
    "evaluate trained/model.npz --data only.npy --split test": "has only train",
    "evaluate trained/model.npz --data bits.npz --split best": "invalid choice: 'best'",
    "sample trained/model.npz": "required: --out",
    "sample trained/model.npz --out x.npy -n 0": "at least 1",
    "sample trained/model.npz --out x.jpg": "--out must end in .npy or .png",
    "sample trained/model.npz --out none/x.npy": "none': no such folder",
    "sample trained/model.npz --out x.png --image-shape 3x5": "a product of 16, got 3x5",
    "sample trained/model.npz --out x.png --image-shape 16": "needs HEIGHTxWIDTH",
    "sample none.npz --out x.npy": "none.npz': No such file",
    "info none.npz": "none.npz': No such file",
    "info bits.csv": "cannot read",
    "demo --seed -1": "at least 0",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(line, files, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    before = sorted(files.rglob("*"))
    assert run(files, line) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("pyarsimple")
    assert ": error: " in shown.err
    assert MISTAKES[line] in shown.err
    assert shown.err.count("\n") == 1
    assert "Traceback" not in shown.err
    assert sorted(files.rglob("*")) == before  # and nothing is left behind


def test_resume_of_nothing_leaves_no_trace_and_a_traceback_can_be_asked_for(files, monkeypatch):
    monkeypatch.setenv("PYARSIMPLE_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError):
        run(files, "info none.npz")


def test_what_is_a_defect_of_ours_is_not_hidden(files, monkeypatch):
    def broken(args):
        raise KeyError("ours")

    monkeypatch.setitem(cli.COMMANDS, "info", (*cli.COMMANDS["info"][:2], broken, ""))
    with pytest.raises(KeyError, match="ours"):
        main(["info"])


def test_out_of_memory_is_one_line(monkeypatch, capsys):
    def huge(args):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setitem(cli.COMMANDS, "info", (*cli.COMMANDS["info"][:2], huge, ""))
    assert main(["info"]) == 2
    assert capsys.readouterr().err == (
        "pyarsimple info: error: out of memory: Unable to allocate 9 TiB\n"
    )


def test_a_broken_pipe_is_quiet():
    process = spawn("info")
    process.stdout.close()  # before anything is read
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == cli.BROKEN_PIPE


def test_python_m_pyarsimple_is_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pyarsimple", "--version"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("pyarsimple", run_name="__main__")
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("pyarsimple ")


def test_a_mistake_in_a_process_of_its_own(files):
    with spawn("info", files / "none.npz") as process:
        out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert err == f"pyarsimple info: error: '{files / 'none.npz'}': No such file or directory\n"


# train


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("independent", ""),
        ("markov-chain", "--k 3 --pseudocount 0.5 --order random"),
        ("chow-liu", ""),
        ("bernoulli-mixture", "--components 4 --restarts 2 --max-iterations 30 --tolerance 1e-3"),
        ("joint-table", "--pseudocount 0.1"),
        ("fvsbn", "--optimizer lbfgs --l2 1e-3"),
        ("fvsbn", "--optimizer sgd --learning-rate 0.1 --momentum 0.9 --nesterov"),
        ("nade", "--hidden 5 --activation relu --dropout 0.2 --order reverse --average 0.9"),
        ("made", "--hidden 7 6 --activation tanh --direct --degrees random --order random"),
        ("made", "--hidden --dtype float32 --schedule cosine --max-grad-norm 1"),
        ("untied-nade", "--hidden 5 --activation relu --order random --l2 1e-3"),
        ("orderless-nade", "--hidden 7 6 --activation tanh --order random --average 0.9"),
        ("orderless-nade", "--weight-decay 0.1 --order dispersed --image-shape 2x8"),
        ("order-agnostic-made", "--hidden 7 --masks 3 --redraw degrees --direct --order tree"),
        ("order-agnostic-made", "--hidden 7 6 --order hilbert --image-shape 2x8"),
        ("nade", "--schedule inverse:20 --optimizer adagrad --patience 0 --threads 1"),
    ],
)
def test_train_writes_a_model_that_scores_as_it_says(model, options, files, tmp_path, capsys):
    line = f"train --model {model} --data {files / 'bits.npz'} --out {tmp_path / 'new' / 'run'}"
    assert run(files, f"{line} {options} --max-epochs 3 --quiet") == 0
    shown = capsys.readouterr()
    assert not shown.err
    assert max(map(len, shown.out.splitlines())) <= 80
    out = tmp_path / "new" / "run"
    trained = pyarsimple.load(out / "model.npz")
    assert type(trained) is MODELS[model]
    found = json.loads((out / "history.json").read_text())
    with np.load(files / "bits.npz") as data:
        for split in data.files:
            score = evaluation.evaluate(trained, data[split])
            assert found["scores"][split]["nll"] == pytest.approx(score.nll, rel=1e-12)
            assert f"{split} {score.nll:.3f} +- {score.standard_error:.3f}" in shown.out
    assert found["n_params"] == trained.n_params
    names = {"model.npz", "history.json", "settings.json"}
    if hasattr(trained, "fit"):
        assert f"{model}: {trained.n_params:,} parameters, fitted in " in shown.out
    else:
        names |= {"checkpoint.npz", "learning_curves.png"}
        assert len(found["history"]["valid_nll"]) <= 3
    pytest.importorskip("matplotlib")
    assert {path.name for path in out.iterdir()} == names


def test_train_passes_every_setting_on(files, tmp_path, monkeypatch):
    seen = {}

    def fake(model, x_train, x_valid, **settings):
        seen.update(settings, model=model, x_train=x_train, x_valid=x_valid)
        return real(model, x_train, x_valid, **settings)

    real = pyarsimple.training.fit
    monkeypatch.setattr("pyarsimple.training.fit", fake)
    options = (
        "--optimizer sgd --learning-rate 0.2 --momentum 0.5 --nesterov --batch-size 7 "
        "--max-epochs 2 --patience 4 --l2 0.01 --schedule step:3 --max-grad-norm 2 --average 0.5 "
        "--hidden 5 --activation relu --dropout 0.25 --order random --dtype float32 --quiet"
    )
    out = tmp_path / "run"
    assert run(files, f"train --model nade --data bits.npz --out {out} {options}") == 0
    optimizer = seen.pop("optimizer")
    assert repr(optimizer) == repr(optimizers.SGD(0.2, momentum=0.5, nesterov=True))
    assert seen["schedule"] == optimizers.StepDecay(3)
    wanted = {"batch_size": 7, "max_epochs": 2, "patience": 4, "l2": 0.01, "max_grad_norm": 2,
              "average": 0.5, "progress": False, "resume": None}  # fmt: skip
    assert {name: seen[name] for name in wanted} == wanted
    config = seen["model"].config()
    assert config.pop("order") != list(range(D))
    assert config == {
        "n_dims": D, "n_hidden": 5, "hidden": "relu", "dropout": 0.25, "dtype": "float32",
        "conditional": {"name": "bernoulli"}, "context": 0,
    }  # fmt: skip
    assert len(seen["x_train"]) == 120
    assert len(seen["x_valid"]) == 40


def test_threads_hold_for_the_training_only(files, tmp_path, monkeypatch):
    seen = []
    real = pyarsimple.training.fit

    def fake(*args, **settings):
        seen.append(twins.get_num_threads())
        return real(*args, **settings)

    monkeypatch.setattr("pyarsimple.training.fit", fake)
    line = f"train --model fvsbn --data bits.npz --max-epochs 1 --quiet --out {tmp_path / 'run'}"
    before = twins.get_num_threads()
    assert run(files, f"{line} --threads 3") == 0
    assert seen[-1] == 3
    assert twins.get_num_threads() == before


def test_the_seed_decides_everything(files, tmp_path):
    line = f"train --model made --data only.npy --order random {SMALL}"
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run(files, f"{line} --seed {seed} --out {tmp_path / name}") == 0
    first, same, other = (pyarsimple.load(tmp_path / name / "model.npz") for name in "abc")
    assert_same_params(first.params, same.params)
    assert not np.array_equal(first.order, other.order)
    assert not np.array_equal(first.params["V"], other.params["V"])


def test_model_and_order_have_seeds_of_their_own():
    line = "train --model fvsbn --order random --data x.npy --out x"
    args = cli.make_parser().parse_args(line.split())
    x = np.zeros((1, D))
    base, other, turned = (cli.make_model(args, x, seeds) for seeds in ((1, 2), (3, 2), (1, 4)))
    np.testing.assert_array_equal(base.order, other.order)
    assert not np.array_equal(base.params["W"], other.params["W"])
    assert not np.array_equal(base.order, turned.order)


@pytest.mark.parametrize("name", orders.NAMES)
@pytest.mark.parametrize("shape", [None, "2x8"])
def test_orders_have_names(name, shape, files):
    line = f"train --model fvsbn --data bits.npz --out x --order {name}"
    args = cli.make_parser().parse_args(
        [*line.split(), *((shape and ["--image-shape", shape]) or [])]
    )
    with np.load(files / "bits.npz") as data:
        x = data["train"]
    made = cli.make_model(args, x, (1, 2), image_shape=None).order
    image_shape = (2, 8) if shape else (4, 4)
    wanted = orders.make(name, D, image_shape=image_shape, x=x, rng=2)
    assert made.tolist() == wanted.tolist()
    if shape is None:  # the data's own shape comes before a square
        made = cli.make_model(args, x, (1, 2), image_shape=(8, 2)).order
        assert made.tolist() == orders.make(name, D, image_shape=(8, 2), x=x, rng=2).tolist()


def test_an_order_is_read_from_a_file(files, tmp_path):
    order = np.roll(np.arange(D), 5)
    np.save(tmp_path / "order.npy", order)
    line = f"train --model fvsbn --data bits.npz --order {tmp_path / 'order.npy'} {SMALL}"
    line = line.replace("--hidden 6 ", "")
    assert run(files, f"{line} --out {tmp_path / 'run'}") == 0
    assert pyarsimple.load(tmp_path / "run" / "model.npz").order.tolist() == order.tolist()


def test_an_order_from_data_knows_which_columns_are_classes():
    """Of real columns by correlation, of classes by counting, as the conditional says."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(0, 3, 400), rng.normal(size=400), rng.random(400) < 0.3])
    x[:, 1] += (x[:, 0] == 1) * 4  # a class in the middle: no correlation shows it
    x[:, 2] = x[:, 2] != (x[:, 0] == 2)
    line = "train --model nade --data x.npy --out x --order tree "
    line += "--conditional categorical:3,gaussian,bernoulli"
    args = cli.make_parser().parse_args(line.split())
    made = cli.make_model(args, x, (1, 2)).order
    assert made.tolist() == orders.by_tree(x, discrete=[True, False, True]).tolist()
    assert made.tolist() != orders.by_tree(x).tolist()


@pytest.mark.parametrize("limit", [None, 0])
def test_a_tenth_is_held_out_and_said(limit, files, tmp_path, monkeypatch, capsys):
    if limit is not None:
        monkeypatch.setattr(cli, "MAX_SHUFFLED", limit)
    data = cli.hold_out(datasets.load_file(files / "only.npy"), 0)
    which = "a random" if limit is None else "the last"
    said = f"no 'valid' in the data: {which} tenth, 6 of 57 rows, is held out\n"
    assert capsys.readouterr().out == said
    x = np.load(files / "only.npy")
    together = np.concatenate([data.train, data.valid])
    assert (len(data.train), len(data.valid), data.test) == (51, 6, None)
    np.testing.assert_array_equal(np.sort(together, axis=0), np.sort(x, axis=0))
    assert np.array_equal(together, x) == (limit == 0)


def test_pixels_are_made_bits_if_asked(files, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (40, 9))
    np.save(tmp_path / "pixels.npy", x)
    line = f"train --model independent --data {tmp_path / 'pixels.npy'} --out {tmp_path / 'run'}"
    assert run(files, line) == 2
    assert run(files, f"{line} --binarize threshold") == 0
    scored = f"evaluate {tmp_path / 'run/model.npz'} --data {tmp_path / 'pixels.npy'}"
    assert run(files, f"{scored} --binarize threshold") == 0


def test_the_seed_decides_the_bits_that_are_sampled(tmp_path, capsys):
    np.save(tmp_path / "grey.npy", np.random.default_rng(0).integers(0, 256, (40, 9)))
    data = f"--data {tmp_path / 'grey.npy'} --binarize sample"
    found = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 5)):
        line = f"train --model independent {data} --seed {seed} --out {tmp_path / name}"
        assert run(tmp_path, line) == 0
        out = tmp_path / name
        found[name] = json.loads((out / "settings.json").read_text())["data"]
        nll = json.loads((out / "history.json").read_text())["scores"]["train"]["nll"]
        capsys.readouterr()
        line = f"evaluate {out / 'model.npz'} {data} --seed {seed} --json"
        assert run(tmp_path, line) == 0  # on the same bits
        scores = json.loads(capsys.readouterr().out)["splits"]["all"]["scores"]
        assert scores[name]["nll"] == pytest.approx(nll, rel=1e-12)
    assert found["a"] == found["b"] != found["c"]


def test_a_first_line_of_names_is_said(files, tmp_path, capsys):
    line = f"train --model independent --data named.csv --out {tmp_path / 'run'}"
    assert run(files, line) == 0
    assert capsys.readouterr().err == "named.csv: first line taken for names: ?, b, c, ...\n"


def test_what_has_no_effect_is_said(files, tmp_path, capsys):
    line = f"train --model independent --data bits.npz --out {tmp_path / 'run'} --overwrite"
    assert run(files, line) == 0
    assert "no effect" not in capsys.readouterr().out
    assert run(files, f"{line} --l2 1") == 0
    assert (
        "independent is not trained by gradients: --l2 has no effect\n" in capsys.readouterr().out
    )
    assert run(files, f"{line} --learning-rate 5 --average .9 --optimizer sgd --momentum .5") == 0
    shown = capsys.readouterr().out
    said = "--optimizer, --learning-rate, --momentum and --average have no effect"
    assert said in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80


def test_a_baseline_is_fitted_as_it_is_told(files, tmp_path, capsys):
    x = np.load(files / "bits.npz")["train"]
    line = f"train --data bits.npz --out {tmp_path / 'run'} --overwrite --model "

    def trained(options):
        assert run(files, line + options) == 0
        return pyarsimple.load(tmp_path / "run" / "model.npz")

    chain = trained("markov-chain --k 2 --pseudocount 0.25 --order reverse")
    wanted = MarkovChain(D, 2, order=orders.reverse(D)).fit(x, pseudocount=0.25)
    np.testing.assert_array_equal(chain.log_prob(x), wanted.log_prob(x))
    options = "bernoulli-mixture --components 3 --restarts {} --max-iterations {} --tolerance 1e-9"
    scores = [trained(options.format(*n)).log_prob(x).mean() for n in ((0, 1), (0, 50), (9, 50))]
    assert scores[0] < scores[1] < scores[2]
    assert trained(options.format(9, 50)).n_components == 3
    assert trained(options.format(9, 50)).log_prob(x).mean() == scores[2]  # of the same seed
    assert trained(options.format(9, 50) + " --seed 1").log_prob(x).mean() != scores[2]
    assert "bernoulli-mixture: EM on 120 rows ...\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("nade --k 2", "--k has no meaning for nade"),
        ("markov-chain --components 2", "--components has no meaning for markov-chain"),
        ("chow-liu --restarts 2", "--restarts has no meaning for chow-liu"),
        ("fvsbn --pseudocount 2", "--pseudocount has no meaning for fvsbn"),
        ("joint-table --pseudocount -1", "--pseudocount must be"),
        ("bernoulli-mixture --tolerance -1", "--tolerance must be"),
        ("bernoulli-mixture --dropout 0.5", "--dropout has no meaning for bernoulli-mixture"),
        ("gaussian --standardize", "--standardize has no meaning for gaussian"),
    ],
)
def test_settings_of_other_models_are_refused(files, tmp_path, capsys, options, message):
    line = f"train --data bits.npz --out {tmp_path / 'run'} --quiet --model {options}"
    assert run(files, line) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_one_epoch_is_no_epochs(files, tmp_path, capsys):
    line = f"train --model fvsbn --data bits.npz --quiet --out {tmp_path / 'run'} --overwrite"
    assert run(files, f"{line} --max-epochs 1") == 0
    assert "fvsbn: 1 epoch in " in capsys.readouterr().out
    assert run(files, f"{line} --max-epochs 2") == 0
    assert "fvsbn: 2 epochs in " in capsys.readouterr().out


@pytest.mark.parametrize("options", ["", "--average 0.9 --dropout 0.3 --schedule inverse:5"])
def test_resumed_equals_uninterrupted(options, files, tmp_path):
    line = f"train --model nade --data bits.npz --hidden 6 --quiet --patience 0 {options}"
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(files, f"{line} --max-epochs 5 --out {whole}") == 0
    assert run(files, f"{line} --max-epochs 2 --out {parts}") == 0
    first = json.loads((parts / "history.json").read_text())
    assert run(files, f"{line} --max-epochs 5 --out {parts} --resume") == 0
    assert_same_params(params_of(whole / "model.npz"), params_of(parts / "model.npz"))
    one, other = (json.loads((out / "history.json").read_text()) for out in (whole, parts))
    assert one["scores"] == other["scores"]
    assert one["history"]["train_nll"] == other["history"]["train_nll"]
    # It was continued, not done again: the clock of the first two epochs is still there.
    assert other["history"]["seconds"][:2] == first["history"]["seconds"]
    (parts / "settings.json").unlink()  # fit compares the settings too
    assert run(files, f"{line} --max-epochs 6 --out {parts} --resume") == 0
    assert run(files, f"{line} --max-epochs 6 --out {parts} --resume --batch-size 9") == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("--hidden 7", "--hidden was 6 and is 7 now"),
        ("--learning-rate 0.5", "--learning-rate was not given and is 0.5 now"),
        ("--seed 9", "--seed was 0 and is 9 now"),
        ("--data only.npy", "--data was train 120x16"),
        ("--data other.npz", "--data was train 120x16"),  # of the same shapes
        ("--order reverse", "--order was natural and is reverse now"),
        ("--image-shape 2x8", "--image-shape was not given and is 2x8 now"),
    ],
)
def test_resume_with_other_settings_is_refused(change, says, files, tmp_path, capsys):
    line = f"train --model nade --data bits.npz {SMALL} --out {tmp_path / 'run'}"
    assert run(files, line) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    capsys.readouterr()
    assert run(files, f"{line} --resume {change}") == 2
    shown = capsys.readouterr().err
    assert f"cannot --resume: {says}" in shown
    assert shown.count("\n") == 1
    assert {path: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


@pytest.mark.parametrize("name", ["checkpoint.npz", "settings.json"])
def test_resume_from_a_damaged_file_is_refused(name, files, tmp_path, capsys):
    line = f"train --model nade --data bits.npz {SMALL} --out {tmp_path / 'run'}"
    assert run(files, line) == 0
    path = tmp_path / "run" / name
    path.write_bytes(path.read_bytes()[:-30])
    assert run(files, f"{line} --resume") == 2
    assert f"cannot read {str(path)!r}" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["[1, 2]", "3", "null", '"text"', "[" * 100_000])
def test_resume_with_foreign_settings_is_one_line(content, files, tmp_path, capsys):
    line = f"train --model nade --data bits.npz {SMALL} --out {tmp_path / 'run'}"
    assert run(files, line) == 0
    path = tmp_path / "run" / "settings.json"
    path.write_text(content)
    capsys.readouterr()
    assert run(files, f"{line} --resume") == 2
    shown = capsys.readouterr().err
    assert f"cannot read {str(path)!r}" in shown
    assert shown.count("\n") == 1


def test_overwrite_replaces_an_earlier_training_but_not_for_a_mistake(files, tmp_path):
    out = tmp_path / "run"
    line = f"train --data bits.npz --out {out} --quiet --max-epochs 2"
    assert run(files, f"{line} --model nade --hidden 4") == 0
    assert run(files, f"{line} --model nade --average 7 --overwrite") == 2
    assert pyarsimple.load(out / "model.npz").n_hidden == 4
    assert run(files, f"{line} --model independent --overwrite") == 0
    assert pyarsimple.load(out / "model.npz").name == "independent"
    left = {path.name for path in out.iterdir()}
    assert left == {"model.npz", "history.json", "settings.json"}


def test_divergence_is_one_line_and_keeps_the_best(files, tmp_path, monkeypatch, capsys):
    real, calls = MODELS["nade"].training_loss_and_grads, []

    def diverge(self, x, rng):
        calls.append(len(x))
        loss, grads = real(self, x, rng)
        return (float("nan") if len(calls) > 13 else loss), grads  # six batches an epoch

    monkeypatch.setattr(MODELS["nade"], "training_loss_and_grads", diverge)
    out = tmp_path / "run"
    assert run(files, f"train --model nade --data bits.npz --out {out} {SMALL}") == cli.FAILED
    shown = capsys.readouterr().err
    assert "error: the loss became infinite or NaN in epoch 3" in shown
    assert shown.count("\n") == 1
    found = json.loads((out / "history.json").read_text())
    assert found["history"]["stopped"] == "diverged"
    with np.load(files / "bits.npz") as data:
        score = evaluation.evaluate(pyarsimple.load(out / "model.npz"), data["valid"])
    assert score.nll == pytest.approx(min(found["history"]["valid_nll"]), rel=1e-9)


def test_numbers_that_are_out_of_hand_still_fit(files, tmp_path, capsys):
    line = f"train --model fvsbn --optimizer sgd --learning-rate 1e90 --out {tmp_path / 'wild'}"
    assert run(files, f"{line} --data bits.npz --max-epochs 2 --quiet") == 0
    assert run(files, f"evaluate {tmp_path / 'wild/model.npz'} --data bits.npz") == 0
    shown = capsys.readouterr()
    assert not shown.err
    assert max(map(len, shown.out.splitlines())) <= 80


def test_ctrl_c_keeps_the_best_so_far(files, tmp_path):
    out = tmp_path / "run"
    process = spawn(
        "train", "--model", "nade", "--hidden", "8", "--data", files / "bits.npz", "--out", out,
        "--max-epochs", "1000000", "--patience", "0", "--quiet",
        # What runs in the background inherits that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    with process:
        try:
            deadline = time.monotonic() + 60
            while not (out / "checkpoint.npz").exists() and time.monotonic() < deadline:
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert error.startswith("interrupted: kept the best epoch")
    assert error.count("\n") == 1
    found = json.loads((out / "history.json").read_text())
    assert found["history"]["stopped"] == "interrupted"
    with np.load(files / "bits.npz") as data:
        score = evaluation.evaluate(pyarsimple.load(out / "model.npz"), data["valid"])
    assert score.nll == pytest.approx(min(found["history"]["valid_nll"]), rel=1e-9)
    n_epochs = len(found["history"]["valid_nll"]) + 2
    line = f"train --model nade --hidden 8 --data bits.npz --patience 0 --quiet --out {out}"
    assert run(files, f"{line} --resume --max-epochs {n_epochs}") == 0


def test_ctrl_c_before_the_first_epoch_keeps_nothing(files, tmp_path, monkeypatch, capsys):
    def interrupt(self, *args):
        if not fits.pop():
            raise KeyboardInterrupt

    fits = [False]
    monkeypatch.setattr(MODELS["nade"], "training_loss_and_grads", interrupt)
    out = tmp_path / "run"
    assert run(files, f"train --model nade --data bits.npz --out {out} {SMALL}") == 130
    said = "interrupted: no epoch was complete: nothing is kept; the same command starts anew\n"
    assert capsys.readouterr().err == said
    assert [path.name for path in out.iterdir()] == ["settings.json"]
    monkeypatch.undo()
    assert run(files, f"train --model nade --data bits.npz --out {out} {SMALL}") == 0


def test_ctrl_c_without_a_checkpoint_promises_no_continuation(files, tmp_path, monkeypatch, capsys):
    def fake(*args, max_epochs, **settings):
        nll = [9.0][:max_epochs]
        return History(nll, nll, nll, nll, best_epoch=len(nll), stopped="interrupted")

    monkeypatch.setattr("pyarsimple.training.fit", fake)
    line = f"train --model nade --data bits.npz --out {tmp_path / 'run'} {SMALL}"
    assert run(files, line) == 130
    shown = capsys.readouterr()
    assert "--resume" not in shown.err
    assert not shown.out
    monkeypatch.undo()
    assert run(files, line) == 0


def test_resume_is_advised_only_where_it_works(files, tmp_path, capsys):
    line = f"train --data bits.npz --out {tmp_path / 'run'} {SMALL}"
    for model, works in (("independent --overwrite", False), ("nade --overwrite", True)):
        wanted = f"{line} --model {model}"
        wanted = wanted if works else wanted.replace("--hidden 6 ", "")
        assert run(files, wanted) == 0
        capsys.readouterr()
        assert run(files, wanted.replace("--overwrite", "")) == 2
        assert ("--resume" in capsys.readouterr().err) == works


def test_the_bar_is_shown_unless_quiet(files, tmp_path, capsys):
    pytest.importorskip("tqdm")
    line = f"train --model fvsbn --data bits.npz --max-epochs 2 --out {tmp_path / 'run'}"
    assert run(files, line) == 0
    assert "fvsbn: 100%" in capsys.readouterr().err


def test_without_tqdm_there_is_no_bar_and_no_error(files, tmp_path, monkeypatch, capsys):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "tqdm" else real(n))
    monkeypatch.setitem(sys.modules, "tqdm", None)
    line = f"train --model fvsbn --data bits.npz --max-epochs 2 --out {tmp_path / 'run'}"
    assert run(files, line) == 0
    assert not capsys.readouterr().err


def test_without_matplotlib_there_is_no_picture_and_no_error(files, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    out = tmp_path / "run"
    assert run(files, f"train --model nade --data bits.npz --out {out} {SMALL}") == 0
    assert not (out / "learning_curves.png").exists()
    assert (out / "history.json").exists()


# evaluate


@pytest.fixture(scope="module")
def second(files):
    """Another model, in the way that train leaves it."""
    assert run(files, f"train --model made --data bits.npz --out second {SMALL}") == 0
    return files / "second/model.npz"


def test_evaluate_one(files, capsys):
    assert run(files, "evaluate trained/model.npz --data bits.npz") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "trained"
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith(cli.SPLITS)}
    model = pyarsimple.load(files / "trained/model.npz")
    with np.load(files / "bits.npz") as data:
        for split in data.files:
            s = evaluation.evaluate(model, data[split])
            shown = [f"{s.n}", f"{s.nll:.3f}", f"{s.standard_error:.3f}", f"{s.bits_per_dim:.4f}"]
            assert rows[split] == shown


def test_evaluate_several_as_json(files, second, capsys):
    line = "evaluate trained/model.npz second/model.npz --data bits.npz --split test valid --json"
    assert run(files, line) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["splits"]) == ["valid", "test"]
    models = {"trained": files / "trained/model.npz", "second": second}
    assert found["models"] == {name: str(path) for name, path in models.items()}
    with np.load(files / "bits.npz") as data:
        loaded = {name: pyarsimple.load(path) for name, path in models.items()}
        wanted = pyarsimple.compare(loaded, data["test"]).to_dict()
    assert found["splits"]["test"] == wanted
    assert len(wanted["differences"]) == 2


def test_evaluate_tables_fit_80_columns(files, second, tmp_path, capsys):
    long = tmp_path / ("a-model-of-a-very-long-name-" * 4 + ".npz")
    long.write_bytes(second.read_bytes())
    line = f"evaluate trained/model.npz {second} {long} --data bits.npz"
    assert run(files, line) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert shown.count("best") >= 3
    for split in cli.SPLITS:
        assert f"bits.npz, {split}\n" in shown


def test_evaluate_a_single_array_is_all(files, capsys):
    assert run(files, "evaluate trained/model.npz --data bits.csv --json") == 0
    assert list(json.loads(capsys.readouterr().out)["splits"]) == ["all"]
    assert run(files, "evaluate trained/model.npz --data bits.csv --split train --json") == 0
    assert list(json.loads(capsys.readouterr().out)["splits"]) == ["train"]


def test_evaluate_one_row_has_no_standard_error(files, tmp_path, capsys):
    np.save(tmp_path / "row.npy", draw_bits(1))
    assert run(files, f"evaluate trained/model.npz --data {tmp_path / 'row.npy'} --json") == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found["splits"]["all"]["scores"]["trained"]["standard_error"] is None
    assert run(files, f"evaluate trained/model.npz --data {tmp_path / 'row.npy'}") == 0
    assert capsys.readouterr().out.splitlines()[4].split()[3] == "-"


def test_names_of_models_are_short_and_different():
    assert cli.short_names(["runs/a/model.npz", "runs/b/model.npz", "c.npz"]) == ["a", "b", "c"]
    assert cli.short_names(["x/a.npz", "y/a.npz"]) == ["x/a.npz", "y/a.npz"]
    assert cli.short_names(["a.npz", "a.npz"]) == ["1: a.npz", "2: a.npz"]
    end = "/" + "n" * 40 + ".npz"
    for names in ([f"a{end}", f"b{end}"], ["a" * 50 + ".npz"]):
        short = cli.short_names(names)
        assert len(set(short)) == len(names)
        assert max(map(len, short)) <= 28


# sample and info


def test_sample_array(files, tmp_path, capsys):
    out = tmp_path / "x.npy"
    assert run(files, f"sample trained/model.npz -n 13 --seed 5 --out {out}") == 0
    x = np.load(out)
    model = pyarsimple.load(files / "trained/model.npz")
    np.testing.assert_array_equal(x, model.sample(13, rng=5))
    assert (x.shape, x.dtype) == ((13, D), np.uint8)
    assert run(files, f"sample trained/model.npz -n 13 --seed 6 --out {out}") == 0
    assert not np.array_equal(np.load(out), x)


@pytest.mark.parametrize("shape", ["", "--image-shape 2x8"])
def test_sample_picture(shape, files, tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    out = tmp_path / "x.png"
    assert run(files, f"sample trained/model.npz -n 9 --out {out} {shape}") == 0
    height, width = imread(out).shape[:2]
    assert (width > 2 * height) == bool(shape)


def test_sample_picture_needs_a_shape_where_no_square_fits(tmp_path, capsys):
    pyarsimple.FVSBN(6, rng=0).save(tmp_path / "m.npz")
    assert main(["sample", str(tmp_path / "m.npz"), "--out", str(tmp_path / "x.png")]) == 2
    assert "--image-shape must have a product of 6, and no square fits" in capsys.readouterr().err


def test_info_of_a_model(tmp_path, capsys):
    model = pyarsimple.MADE(6, (5, 4), order=[2, 0, 1, 5, 4, 3], hidden="tanh", direct=True, rng=0)
    model.save(tmp_path / "m.npz")
    assert main(["info", str(tmp_path / "m.npz")]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    facts = dict(line.split(maxsplit=1) for line in shown.splitlines() if " " in line)
    assert facts["model"] == "MADE"
    assert facts["hidden_sizes"] == "[5, 4]"
    assert facts["direct"] == "True"
    assert facts["parameters"] == str(model.n_params)
    assert facts["order"].startswith("2, 0, 1")
    for name, p in model.params.items():
        shape, free, low, _, high = facts[name].split()
        assert shape == "x".join(map(str, p.shape))
        p = p[model.masks()[name]] if name in model.masks() else p
        assert int(free) == p.size
        assert [float(low), float(high)] == pytest.approx([p.min(), p.max()], rel=6e-3)


def test_info_of_the_installation(capsys):
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    assert "numpy" in shown
    assert f"active: {twins.active_backend()}" in shown


# What the commands share.


def test_table_aligns_and_shows_what_is_missing():
    columns = (("model", ""), ("n", ",d"), ("nll", ".2f"))
    assert reports.table(columns, [["a", 1234, 1.005], ["long", 5, float("nan")]]) == (
        "model      n   nll\n------------------\na      1,234  1.00\nlong       5     -"
    )


def test_listed():
    assert [reports.listed(x) for x in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        "a", "a and b", "a, b and c",
    ]  # fmt: skip


def test_json_has_no_nan():
    text = reports.to_json({1: [float("inf"), (1.5, float("nan"))]})
    assert json.loads(text, parse_constant=pytest.fail) == {"1": [None, [1.5, None]]}


def test_files_are_whole_or_not_there(tmp_path):
    class Figure:
        def savefig(self, file, format):
            file.write(b"half")
            raise OSError("disk full")

    reports.write_text(tmp_path / "x.png", "good")
    with pytest.raises(OSError, match="disk full"):
        reports.write_figure(tmp_path / "x.png", Figure())
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    assert (tmp_path / "x.png").read_text() == "good"


def test_what_cannot_be_written_is_named_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("nope/x.txt", tmp_path / "nope" / "x.txt", "n" * 300):
        with pytest.raises(OSError, match=r"No such file|too long") as caught:
            reports.write_text(path, "text")
        assert caught.value.filename == str(path)
        assert caught.value.filename2 is None
        assert "tmp" not in str(caught.value).replace(str(tmp_path), "")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):  # the kind of the error is still there
        reports.write_text("nope/x.txt", "text")


def test_a_new_model_needs_no_change_here(files, tmp_path, monkeypatch):
    class Other(MODELS["nade"]):
        """A model that the command line has never heard of."""

        name = "other"

    monkeypatch.setitem(MODELS, "other", Other)
    out = tmp_path / "run"
    assert run(files, f"train --model other --data bits.npz --out {out} {SMALL}") == 0
    assert type(storage.load(out / "model.npz")).__name__ == "Other"


# Other variables than bits.


@pytest.fixture(scope="module")
def wine(tmp_path_factory):
    """Rows of a bit, a class and two reals in units of their own, with their dependences."""
    rng = np.random.default_rng(0)
    bit, kind = rng.integers(0, 2, 300), rng.integers(0, 3, 300)
    size = 50 + 20 * bit + 5 * rng.normal(size=300)
    x = np.column_stack([bit, kind, size, 0.001 * (size + rng.normal(size=300))])
    folder = tmp_path_factory.mktemp("wine")
    np.savez(folder / "wine.npz", train=x[:200], valid=x[200:250], test=x[250:])
    return folder


def test_train_takes_other_variables_than_bits(wine, tmp_path, capsys):
    out = tmp_path / "run"
    line = (
        f"train --model nade --hidden 5 --data wine.npz --out {out} --max-epochs 30 --quiet "
        "--batch-size 20 "
        "--conditional bernoulli,categorical:3,gaussian,mixture:2 --standardize"
    )
    assert run(wine, line) == 0
    assert "nats (densities, in the units of the data): train" in capsys.readouterr().out
    model = pyarsimple.load(out / "model.npz")
    data = np.load(wine / "wine.npz")
    z_std = model.conditional.transform.std
    np.testing.assert_allclose(z_std, [1, 1, *data["train"][:, 2:].std(axis=0)], rtol=1e-12)
    # Training starts near the independent model, and goes on to the dependences.
    independent = pyarsimple.FVSBN(4, conditional=model.conditional, rng=0)
    independent.initialize_from(data["train"])
    independent.params["W"][...] = 0
    assert model.log_prob(data["test"]).mean() > independent.log_prob(data["test"]).mean()

    assert run(wine, f"evaluate {out / 'model.npz'} --data wine.npz --split test") == 0
    assert "densities, in the units of the data\n" in capsys.readouterr().out
    assert run(wine, f"sample {out / 'model.npz'} -n 7 --out {tmp_path / 'x.npy'}") == 0
    samples = np.load(tmp_path / "x.npy")
    model.conditional.check(samples, 4)
    capsys.readouterr()
    assert run(wine, f"info {out / 'model.npz'}") == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--conditional", "--conditional"),
        ("--conditional poisson", "a conditional must be bernoulli"),
        ("--conditional gaussian,gaussian", "one entry for each of the 4 variables, got 2"),
        ("--conditional categorical:3", "classes"),
        ("--standardize", "--standardize has no meaning without real variables"),
        ("--model independent --conditional gaussian", "--conditional has no meaning for indep"),
        ("", "--binarize makes bits, for other numbers say what they are, such as --conditional"),
        ("--model markov-chain", "markov-chain is a model of bits"),
    ],
)
def test_wrong_variables_are_refused(wine, tmp_path, capsys, options, message):
    line = f"train --model nade --data wine.npz --out {tmp_path / 'run'} {options}"
    assert run(wine, line) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
