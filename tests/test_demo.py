"""The demo writes what it says, and its table is what the saved models score."""

import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest

import pyarsimple
from pyarsimple import datasets, demo, demo_uses, evaluation
from pyarsimple.cli import main
from pyarsimple.training import History

for package in ("matplotlib", "sklearn", "tqdm"):
    pytest.importorskip(package)

MODELS = ("independent", "fvsbn", "nade", "made")
USES = ("completions", "anomalies", "classes")
PICTURES = (
    "samples.png", "learning_curves.png", "conditionals.png", *(f"{use}.png" for use in USES),
)  # fmt: skip
SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def data():
    return datasets.digits()


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The folder and the text of a quick run."""
    out, text = tmp_path_factory.mktemp("demo") / "a" / "folder", io.StringIO()
    with contextlib.redirect_stdout(text):
        assert main(["demo", "--out", str(out), "--quick", "--quiet"]) == 0
    return out, text.getvalue()


@pytest.fixture(scope="module")
def results(quick):
    return json.loads((quick[0] / "results.json").read_text(encoding="utf-8"))


def table_of(text):
    """The rows of numbers of the demo's table, by the model's title."""
    lines = text.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("---")) + 1
    rows = [line.rsplit(maxsplit=7) for line in lines[start : start + len(MODELS)]]
    return {title: [float(cell.replace(",", "")) for cell in cells] for title, *cells in rows}


def test_writes_exactly_what_it_says(quick):
    out, text = quick
    names = {*PICTURES, "results.json", *(f"{model}.npz" for model in MODELS)}
    assert {path.name for path in out.iterdir()} == names
    said = text[text.index("Wrote to") :].splitlines()
    assert said[0] == f"Wrote to {out}:"
    assert {line.split()[0] for line in said[1:]} == names


def test_fits_80_columns(quick):
    lines = quick[1].replace(str(quick[0]), "DIR").splitlines()
    assert max(map(len, lines)) <= 80


def test_json_agrees_with_the_saved_models(quick, results, data):
    out, _ = quick
    assert tuple(results["models"]) == MODELS
    assert results["rows"] == {"train": 1197, "valid": 300, "test": 300}
    for name, found in results["models"].items():
        assert found["file"] == f"{name}.npz"
        model = pyarsimple.load(out / found["file"])
        assert found["n_params"] == model.n_params
        for split, x in data.items():
            score = evaluation.evaluate(model, x)
            assert found[split] == pytest.approx(dataclasses.asdict(score), rel=1e-12)
            log_prob = model.log_prob(x)
            assert found[split]["nll"] == pytest.approx(-log_prob.mean(), rel=1e-12)
        error = np.std(log_prob, ddof=1) / np.sqrt(300)
        assert found["test"]["standard_error"] == pytest.approx(error, rel=1e-9)
        bits = found["test"]["nll"] / np.log(2) / 64
        assert found["test"]["bits_per_dim"] == pytest.approx(bits, rel=1e-12)


def test_table_agrees_with_json(quick, results):
    table = table_of(quick[1])
    assert list(table) == [found["title"] for found in results["models"].values()]
    for found in results["models"].values():
        n_params, seconds, *nll, error, bits = table[found["title"]]
        assert n_params == found["n_params"]
        assert seconds == pytest.approx(found["seconds"], abs=0.051)
        assert nll == pytest.approx([found[split]["nll"] for split in SPLITS], abs=0.00501)
        assert error == pytest.approx(found["test"]["standard_error"], abs=0.00501)
        assert bits == pytest.approx(found["test"]["bits_per_dim"], abs=0.000501)


def test_differences_are_paired(quick, results, data):
    log_prob = {m: pyarsimple.load(quick[0] / f"{m}.npz").log_prob(data.test) for m in MODELS}
    pairs = {(d["a"], d["b"]): d for d in results["test_differences"]}
    assert len(pairs) == len(MODELS) * (len(MODELS) - 1)
    difference = log_prob["made"] - log_prob["nade"]  # nll(nade) - nll(made)
    found = pairs["nade", "made"]
    assert found["mean"] == pytest.approx(difference.mean(), rel=1e-9)
    error = difference.std(ddof=1) / np.sqrt(300)
    assert found["standard_error"] == pytest.approx(error, rel=1e-9)


def test_pictures_are_pictures(quick):
    from matplotlib.image import imread

    for name in PICTURES:
        pixels = imread(quick[0] / name)
        assert min(pixels.shape[:2]) > 300
        assert pixels[..., :3].std() > 0.05


def test_history_is_that_of_the_training(results):
    for name, found in results["models"].items():
        if name == "independent":
            assert found["history"] is None
        else:
            history = found["history"]
            assert len(history["valid_nll"]) == demo.QUICK_EPOCHS
            best = history["valid_nll"][history["best_epoch"] - 1]
            assert best == min(history["valid_nll"])
            assert found["valid"]["nll"] == pytest.approx(best, rel=1e-9)


def train(recipe, data, seed):
    return demo.train(recipe, data, np.random.SeedSequence(seed), quick=True, progress=False)


@pytest.mark.parametrize("recipe", demo.RECIPES[1:], ids=lambda recipe: recipe.model)
def test_training_follows_from_the_seed_and_never_sees_the_test_split(recipe, data):
    hidden = dataclasses.replace(data, test=1 - data.test)
    one, same, other = train(recipe, data, 0), train(recipe, hidden, 0), train(recipe, data, 1)
    for name, p in one.model.params.items():
        np.testing.assert_array_equal(p, same.model.params[name])
    assert one.scores["test"] != same.scores["test"]
    assert one.scores["valid"] != other.scores["valid"]


def test_the_seed_decides_the_training_too(data, monkeypatch):
    seen = []

    def fake(model, *splits, rng, **settings):
        seen.append(np.random.default_rng(rng).random())
        return History(stopped="interrupted")

    monkeypatch.setattr(demo, "fit", fake)
    for seed in (0, 0, 1):
        with pytest.raises(KeyboardInterrupt):
            train(demo.RECIPES[1], data, seed)
    assert seen[0] == seen[1] != seen[2]


def test_uses_say_what_is_true(quick, results, data):
    out, text = quick
    best = min(MODELS, key=lambda name: results["models"][name]["valid"]["nll"])
    model = pyarsimple.load(out / f"{best}.npz")
    completions, anomalies, classes = (results["uses"][use] for use in USES)
    assert completions["seen"] == ["upper half"] * 4 + ["left half"] * 4
    assert model.marginal(data.test[:4], np.arange(64) < 32).exact.all()
    assert all(size == 8 for size in completions["effective_sample_sizes"][:4])  # as many as drawn
    log_p = model.log_prob(data.test)
    assert anomalies["threshold"] == np.sort(log_p[:150])[7 - 1]  # k = 0.05 (150 + 1), rounded down
    new = anomalies["alarms"]["digits, new"]
    assert new == pytest.approx((log_p[150:] < anomalies["threshold"]).mean())
    inverted = model.log_prob(1 - data.test[150:])
    assert anomalies["alarms"]["inverted"] == (inverted < anomalies["threshold"]).mean() == 1
    accuracy = classes["accuracy_by_rows_of_pixels_seen"]
    assert list(accuracy) == ["1", "2", "4", "8"]
    assert 0.1 < accuracy["1"] < accuracy["8"]
    told = " ".join(text.split())
    assert f"Alarms where log p < {anomalies['threshold']:.1f} nats: {new:.1%} of new" in told
    assert f"{accuracy['4']:.1%} (4 of 8), {accuracy['8']:.1%} (8 of 8)." in told


def test_the_seed_decides_the_classifier(data):
    labelled = {name: (x[:200], y[:200]) for name, x, y in data.labelled()}

    def accuracy(seed):
        rng = np.random.SeedSequence(seed)
        used = demo_uses.classify(labelled, (8, 8), rng, max_epochs=1)
        return used.found["accuracy_by_rows_of_pixels_seen"]

    assert accuracy(0) == accuracy(0) != accuracy(1)


def test_each_model_has_a_bar(data, capsys):
    for recipe in demo.RECIPES:
        demo.train(recipe, data, np.random.SeedSequence(0), quick=True, progress=True)
        shown = capsys.readouterr().err
        assert recipe.title in shown
        assert "100%" in shown
    labelled = {name: (x, y) for name, x, y in data.labelled()}
    rng = np.random.SeedSequence(0)
    demo_uses.classify(labelled, (8, 8), rng, max_epochs=1, progress="digits")
    shown = capsys.readouterr().err
    assert "digits: 100%" in shown
    assert "10/10" in shown


def test_a_folder_that_is_there_is_used_and_its_other_files_are_left(quick, tmp_path, monkeypatch):
    (tmp_path / "results.json").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr(demo, "RECIPES", demo.RECIPES[:2])
    found = demo.run(tmp_path, quick=True, progress=False)
    assert json.loads((tmp_path / "results.json").read_text()) == found
    assert (tmp_path / "notes.txt").read_text() == "mine"
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*PICTURES, "results.json", "independent.npz", "fvsbn.npz", "notes.txt"}


def test_out_that_is_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert main(["demo", "--out", str(tmp_path / "file"), "--quick"]) == 2
    error = capsys.readouterr().err
    assert "needs a folder" in error
    assert error.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_interrupted(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(demo, "fit", lambda *args, **settings: History(stopped="interrupted"))
    assert main(["demo", "--out", str(tmp_path), "--quiet"]) == 130
    assert capsys.readouterr().err == "pyarsimple demo: interrupted\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_reaches_its_targets(tmp_path):
    with contextlib.redirect_stdout(io.StringIO()):
        found = demo.run(tmp_path, progress=False)
    nll = {name: model["test"]["nll"] for name, model in found["models"].items()}
    assert nll["independent"] < 25.25
    assert nll["fvsbn"] < 18.2
    assert nll["nade"] < 16.6
    assert nll["made"] < 16.6
    alarms = found["uses"]["anomalies"]["alarms"]
    assert alarms["digits, new"] < 0.1
    assert alarms["noise, on as often"] > 0.9
    assert found["uses"]["classes"]["accuracy_by_rows_of_pixels_seen"]["8"] > 0.9
