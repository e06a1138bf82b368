"""``pyarsimple classify``: real runs, and one line for each mistake."""

import csv
import json
import sys
import warnings

import numpy as np
import pytest

import pyarsimple
from pyarsimple import datasets, plots
from pyarsimple.classification import GenerativeClassifier
from pyarsimple.cli import main

D = 8
RNG = np.random.default_rng(2)
SHARES = RNG.uniform(0.1, 0.9, (3, D))


def draw(n, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    return (rng.random((n, D)) < SHARES[y]).astype(np.uint8), np.array(["ant", "bee", "c,t"])[y]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (x, y), (x_valid, y_valid), (x_test, y_test) = draw(150, 1), draw(60, 2), draw(70, 3)
    whole = {"train": x, "valid": x_valid, "test": x_test}
    labels = {"y_train": y, "y_valid": y_valid, "y_test": y_test}
    np.savez(folder / "all.npz", **whole, **labels)
    np.savez(folder / "two.npz", train=x, test=x_test, y_train=y, y_test=y_test)
    np.savez(folder / "bare.npz", **whole)
    np.savez(folder / "odd.npz", train=x, y_train=np.where(y == "bee", "wasp", y))
    np.savez(folder / "wide.npz", train=np.hstack([x, x]), y_train=y)
    np.savez(folder / "tested.npz", train=x, test=x_test, y_test=y_test)
    np.savez(folder / "lone.npz", train=x, y_train=np.where(np.arange(150) == 3, "dog", y))
    numbers = np.unique(y, return_inverse=True)[1]
    table = np.column_stack([x[:, :2], numbers + 4, x[:, 2:]])
    np.savetxt(folder / "table.csv", table, fmt="%d", delimiter=",", comments="",
               header="a,b,kind,c,d,e,f,g,h")  # fmt: skip
    run(folder, "--model independent --data all.npz --out bayes")
    return folder


def run(folder, line, *, quiet=True):
    """The exit status of the command; relative paths lie in the folder."""
    words = line.split()
    for k, word in enumerate(words):
        is_path = word.endswith((".npz", ".csv", ".png")) or (k and words[k - 1] == "--out")
        words[k] = str(folder / word) if is_path else word
    return main(["classify", *words, *(["--quiet"] if quiet else [])])


def test_naive_bayes(files, tmp_path, capsys):
    assert run(files, f"--model independent --data all.npz --out {tmp_path}/out") == 0
    shown = capsys.readouterr()
    assert not shown.err
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == [
        "classifier.npz", "confusion.png", "results.json", "settings.json",
    ]  # fmt: skip
    classifier = GenerativeClassifier.load(out / "classifier.npz")
    data = datasets.load_file(files / "all.npz")
    found = json.loads((out / "results.json").read_text())
    assert found["classes"] == ["ant", "bee", "c,t"]
    assert found["n_params"] == 3 * D
    for name, x, y in data.labelled():
        split, log_p = found["splits"][name], classifier.predict_log_proba(x)
        assert split["accuracy"] == classifier.score(x, y)
        truth = np.searchsorted(classifier.classes_, y)
        assert split["nats"] == pytest.approx(-log_p[np.arange(len(y)), truth].mean(), rel=1e-12)
        for (i, j), count in np.ndenumerate(split["confusion"]):
            a, b = classifier.classes_[[i, j]]
            assert count == ((y == a) & (classifier.predict(x) == b)).sum()
        assert f"{name:<5}  {len(x):>4}    {split['accuracy']:.4f}" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    from sklearn.naive_bayes import BernoulliNB

    x, y = data.train, data.y_train
    theirs = BernoulliNB().fit(x, y).predict_log_proba(data.test)
    np.testing.assert_allclose(classifier.predict_log_proba(data.test), theirs, rtol=1e-9)


@pytest.mark.parametrize(
    "model",
    [
        "fvsbn --optimizer lbfgs --l2 0.1",
        "nade --hidden 5 --activation relu --dropout 0.2 --order random",
        "made --hidden 9 --degrees random --dtype float32 --equal-priors --learning-rate 0.02",
    ],
)
def test_other_models_learn_too(model, files, tmp_path, capsys):
    line = f"--model {model} --data two.npz --out {tmp_path}/out --max-epochs 30 --batch-size 10"
    assert run(files, line) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("no labels of 'valid': ")
    splits = json.loads((tmp_path / "out/results.json").read_text())["splits"]
    assert splits["train"]["n"] + splits["valid"]["n"] == 150  # each row in one of them
    assert 13 <= splits["valid"]["n"] <= 15
    classifier = GenerativeClassifier.load(tmp_path / "out/classifier.npz")
    x, y = draw(400, 9)
    assert classifier.score(x, y) > 0.6
    equal = np.allclose(classifier.class_log_prior_, -np.log(3))
    assert equal == ("--equal-priors" in model)
    orders = {tuple(m.order) for m in classifier.models_}
    assert len(orders) == 1


@pytest.mark.parametrize("model", ["nade --hidden 5", "made --hidden 9"])
def test_shared_weights(model, files, tmp_path):
    line = f"--model {model} --shared --data all.npz --out {tmp_path}/out --max-epochs 40"
    assert run(files, f"{line} --batch-size 10 --learning-rate 0.01") == 0
    classifier = GenerativeClassifier.load(tmp_path / "out/classifier.npz")
    assert len(classifier.models_) == 1
    x, y = draw(400, 9)
    assert classifier.score(x, y) > 0.6


def test_a_seed_decides_all(files, tmp_path):
    line = "--model nade --hidden 4 --data two.npz --max-epochs 2 --seed"
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run(files, f"{line} {seed} --out {tmp_path}/{name}") == 0
    a, b, c = ((tmp_path / name / "classifier.npz").read_bytes() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize("label", ["kind", "3", "-7"])
def test_a_column_of_labels(label, files, tmp_path):
    line = f"--model independent --data table.csv --label {label} --out {tmp_path}/out"
    assert run(files, line) == 0
    classifier = GenerativeClassifier.load(tmp_path / "out/classifier.npz")
    assert classifier.classes_.tolist() == [4, 5, 6]
    x, _ = draw(150, 1)
    again = GenerativeClassifier.load(files / "bayes/classifier.npz")
    np.testing.assert_array_equal(classifier.predict_proba(x), again.predict_proba(x))


def test_a_classifier_is_used_on_other_data(files, tmp_path, capsys):
    path = files / "bayes/classifier.npz"
    assert run(files, f"{path} --data all.npz --predictions {tmp_path}/p.csv") == 0
    shown = capsys.readouterr().out
    assert "wrote the classes of 280 rows" in shown
    assert f"{'train':<5}  {150:>4}" in shown
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    classifier = GenerativeClassifier.load(path)
    data = datasets.load_file(files / "all.npz")
    x = np.concatenate([x for _, x in data.items()])
    assert [row["class"] for row in rows] == classifier.predict(x).tolist()
    p = classifier.predict_proba(x).max(axis=1)
    np.testing.assert_allclose([float(row["probability"]) for row in rows], p, rtol=1e-5)
    assert [row["split"] for row in rows] == ["train"] * 150 + ["valid"] * 60 + ["test"] * 70


def drawn(monkeypatch, name):
    """What is given to a function of `plots`, which draws it all the same."""
    seen, draw = [], getattr(plots, name)
    monkeypatch.setattr(plots, name, lambda *a: seen.append(a) or draw(*a))
    return seen


def test_pictures_show_what_was_found(files, tmp_path, monkeypatch):
    confusions, posteriors = drawn(monkeypatch, "confusion"), drawn(monkeypatch, "posteriors")
    line = f"--model nade --hidden 3 --order random --max-epochs 2 --out {tmp_path}/out"
    assert run(files, f"{line} --data all.npz --image-shape 2x4") == 0
    out = tmp_path / "out"
    for name in ("confusion.png", "posteriors.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    (counts, classes), *_ = confusions
    found = json.loads((out / "results.json").read_text())
    assert counts == {name: split["confusion"] for name, split in found["splits"].items()}
    assert classes == found["classes"]
    classifier, x, y, seen, shape = posteriors[0]
    assert y.tolist() == ["ant", "bee", "c,t"]
    data = datasets.load_file(files / "all.npz")
    assert all((data.y_test[(data.test == row).all(axis=1)] == label).any()
               for row, label in zip(x, y, strict=True))  # fmt: skip
    assert shape == (2, 4)
    assert [*seen] == [f"{percent}% of the pixels" for percent in ("12.5", "25", "50", "100")]
    order = classifier.models_[0].order
    for n, mask in zip((1, 2, 4, 8), seen.values(), strict=True):
        assert set(np.flatnonzero(mask)) == set(order[:n])  # so that all are exact
        assert all(model.marginal(x, mask).exact.all() for model in classifier.models_)


def test_a_picture_of_poor_estimates_is_said_to_be_one(files, tmp_path, monkeypatch, capsys):
    def poor(*args):
        warnings.warn("the effective sample size is below 10", stacklevel=2)
        return plots.new_figure(1, 1)

    monkeypatch.setattr(plots, "posteriors", poor)
    line = f"--model independent --data all.npz --image-shape 2x4 --out {tmp_path}/out"
    assert run(files, line) == 0
    said = capsys.readouterr().err
    assert said.startswith("warning: some bars of posteriors.png rest on an effective sample size")
    assert max(map(len, said.splitlines())) <= 80


def test_a_picture_of_other_data(files, tmp_path, monkeypatch, capsys):
    confusions = drawn(monkeypatch, "confusion")
    line = f"{files}/bayes/classifier.npz --data two.npz --picture {tmp_path}/p.png"
    assert run(files, line) == 0
    assert f"wrote a picture to {tmp_path}/p.png\n" in capsys.readouterr().out
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    (counts, _), *_ = confusions
    assert {name: np.sum(matrix) for name, matrix in counts.items()} == {"train": 150, "test": 70}
    assert run(files, line.replace("two", "bare")) == 2
    assert "has no labels" in capsys.readouterr().err


def test_without_matplotlib_there_are_no_pictures_and_no_error(files, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    line = f"--model independent --data all.npz --out {tmp_path}/out --image-shape 2x4"
    assert run(files, line) == 0
    assert not list((tmp_path / "out").glob("*.png"))


def test_data_without_labels_are_classified_too(files, tmp_path, capsys):
    line = f"{files}/bayes/classifier.npz --data bare.npz"
    assert run(files, f"{line} --predictions {tmp_path}/p.csv") == 0
    assert "accuracy" not in capsys.readouterr().out
    assert run(files, line) == 2
    assert "has no labels" in capsys.readouterr().err


def test_an_earlier_classifier_is_not_lost(files, tmp_path, capsys):
    line = f"--model independent --data all.npz --out {tmp_path}/out"
    assert run(files, line) == 0
    assert run(files, line) == 2
    assert "replace it with --overwrite" in capsys.readouterr().err
    assert run(files, f"{line} --overwrite") == 0


def test_what_has_no_effect_is_said(files, tmp_path, capsys):
    line = f"--model independent --data all.npz --out {tmp_path}/out --l2 3"
    assert run(files, line) == 0
    assert "not trained by gradients: --l2 has no effect" in capsys.readouterr().out


def test_ctrl_c_leaves_no_half_a_classifier(files, tmp_path, monkeypatch, capsys):
    calls = []

    def interrupt(self, x, *args, **kwargs):
        calls.append(x)
        raise KeyboardInterrupt

    monkeypatch.setattr(pyarsimple.NADE, "training_loss_and_grads", interrupt)
    assert run(files, f"--model nade --data all.npz --out {tmp_path}/out") == 130
    assert len(calls) == 1
    assert not (tmp_path / "out").exists()


def test_divergence_is_a_failure(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        pyarsimple.NADE, "training_loss_and_grads", lambda self, x, rng: (np.nan, {})
    )
    assert run(files, f"--model nade --data all.npz --out {tmp_path}/out") == 1
    assert "the loss became infinite or NaN" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--data all.npz --out x", "--model is needed to train"),
        ("--model nade --data all.npz", "--out is needed to train"),
        ("--model nada --data all.npz --out x", "invalid choice: 'nada'"),
        ("--model nade --data bare.npz --out x", "has no labels: name the column"),
        ("--model nade --data tested.npz --out x", "y_train is needed"),
        ("--model nade --data lone.npz --out x", "class dog has 1 row: too few"),
        ("--model nade --data table.csv --label size --out x", "label must name a column"),
        ("--model nade --data table.csv --label 0 --out x", "needs a name or a number from 1"),
        ("--model nade --data table.csv --label 10 --out x", "must be one of the 9 columns"),
        ("--model nade --data table.csv --label a --out x", "must be an array of bits"),
        ("--model nade --hidden 2 3 --data all.npz --out x", "--hidden needs one number"),
        ("--model independent --shared --data all.npz --out x", "takes no context"),
        ("--model nade --data all.npz --out x --predictions p.csv", "goes with the file"),
        ("--model nade --data all.npz --out x --picture p.png", "goes with the file"),
        ("bayes/classifier.npz --data all.npz --picture p.jpg", "a name that ends in .png"),
        ("--model nade --data all.npz --out x --image-shape 3x3", "product of 8, got 3x3"),
        ("bayes/classifier.npz --data all.npz --model nade", "--model has no meaning"),
        ("bayes/classifier.npz --data all.npz --l2 1", "--l2 has no meaning"),
        ("bayes/classifier.npz --data all.npz --shared", "--shared has no meaning"),
        ("bayes/classifier.npz --data wide.npz", "rows of 8 variables, but"),
        ("bayes/classifier.npz --data odd.npz", "label wasp is none of the classifier's classes"),
        ("all.npz --data all.npz", "cannot read"),
        ("nowhere.npz --data all.npz", "No such file"),
    ],
)
def test_mistakes_are_one_line(line, message, files, capsys):
    assert run(files, line) == 2
    shown = capsys.readouterr()
    said = shown.err.splitlines()
    assert message in said[-1]
    assert len(said) == 1 + ("table.csv" in line and "first line taken" in said[0])
    assert not (files / "x").exists()
