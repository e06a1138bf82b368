"""``pyarsimple impute`` and ``pyarsimple anomaly``: real runs, and one line for each mistake."""

import csv
import json

import numpy as np
import pytest

from pyarsimple import NADE, orders, plots
from pyarsimple.anomaly import AnomalyDetector
from pyarsimple.cli import main
from pyarsimple.missing_command import parse_observed

D = 12  # 3 x 4


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    splits = {
        name: (rng.random((n, D)) < 0.3).astype(np.uint8)
        for name, n in {"train": 50, "valid": 120, "test": 14}.items()
    }
    np.savez(folder / "bits.npz", **splits)
    np.save(folder / "ones.npy", np.ones((5, D), np.uint8))
    np.save(folder / "wide.npy", np.ones((5, D + 1), np.uint8))
    holes = splits["test"].astype(float)
    holes[rng.random(holes.shape) < 0.3] = np.nan
    np.save(folder / "holes.npy", holes)
    NADE(D, 5, rng=1).save(folder / "model.npz")
    NADE(D, 5, order=orders.reverse(D), context=2, rng=1).save(folder / "context.npz")
    return folder


def run(folder, line, monkeypatch):
    monkeypatch.chdir(folder)
    return main(line.split())


# impute


def test_impute_writes_an_array(files, monkeypatch, capsys):
    line = "impute model.npz --data bits.npz --observed bottom --image-shape 3x4 --out a.npy -n 3"
    assert run(files, line, monkeypatch) == 0
    done, x = np.load(files / "a.npy"), np.load(files / "bits.npz")["test"]
    assert done.shape == (3, 14, D)
    assert done.dtype == np.uint8
    assert (done[:, :, 4:] == x[:, 4:]).all()
    assert (done[0, :, :4] != done[1, :, :4]).any()
    assert "wrote 3 completions of 14 rows to a.npy: exact (14 rows by" in capsys.readouterr().out
    assert run(files, line.replace("a.npy", "b.npy"), monkeypatch) == 0
    assert (files / "a.npy").read_bytes() == (files / "b.npy").read_bytes()
    assert run(files, line + " --seed 1", monkeypatch) == 0
    assert (files / "a.npy").read_bytes() != (files / "b.npy").read_bytes()


def test_impute_says_which_method_and_how_good(files, monkeypatch, capsys):
    line = "impute model.npz --data bits.npz --observed random:0.5 --out a.npy --method importance"
    assert run(files, line, monkeypatch) == 0
    assert "effective sample size" in capsys.readouterr().out


def test_impute_fills_what_is_nan(files, monkeypatch):
    line = "impute model.npz --data holes.npy --observed nan --out full.npy -n 2"
    assert run(files, line, monkeypatch) == 0
    done, x = np.load(files / "full.npy"), np.load(files / "holes.npy")
    known = ~np.isnan(x)
    assert (done[:, known] == x[known]).all()
    assert set(np.unique(done)) == {0, 1}


def test_impute_draws_a_picture(files, monkeypatch):
    pytest.importorskip("matplotlib")
    line = "impute model.npz --data bits.npz --observed left --image-shape 3x4 --out a.png --rows 4"
    assert run(files, line, monkeypatch) == 0
    assert (files / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--data bits.npz --observed half --out a.npy --image-shape 3x4", "--observed must be top"),
        ("--data bits.npz --observed random:2 --out a.npy", "--observed must be top"),
        ("--data bits.npz --observed first:99 --out a.npy", "first:K with K in 0..12"),
        ("--data bits.npz --observed top --out a.npy", "product of 12, and no square fits"),
        ("--data bits.npz --observed top --out a.npy --image-shape 2x2", "of 12, got 2x2"),
        ("--data bits.npz --observed first:3 --out a.txt", "--out must end in .npy or .png"),
        ("--data bits.npz --observed first:3 --out no/a.npy", "no such folder"),
        ("--data wide.npy --observed first:3 --out a.npy", "model of 12 variables"),
        ("--data ones.npy --split test --observed first:3 --out a.npy", "--split test"),
        ("--data holes.npy --observed first:12 --out a.npy", "x must be an array of bits"),
    ],
)
def test_impute_refuses(files, monkeypatch, capsys, line, words):
    assert run(files, "impute model.npz " + line, monkeypatch) == 2
    said = capsys.readouterr().err
    assert said.startswith("pyarsimple impute: error: ")
    assert words in said
    assert said.count("\n") == 1


def test_neither_command_can_give_a_context(files, monkeypatch, capsys):
    for line in ("impute context.npz --data bits.npz --observed first:2 --out a.npy",
                 "anomaly context.npz --data bits.npz"):  # fmt: skip
        assert run(files, line, monkeypatch) == 2
        assert "is a model p(x | y)" in capsys.readouterr().err


def test_halves_of_an_image():
    x = np.zeros((2, 12))
    of = {name: parse_observed(name, x, (3, 4), 0) for name in ("top", "bottom", "left", "right")}
    assert of["top"].reshape(3, 4).tolist() == [[True] * 4, [False] * 4, [False] * 4]
    assert of["left"].reshape(3, 4).tolist() == [[True, True, False, False]] * 3
    assert (of["bottom"] == ~of["top"]).all()
    assert (of["right"] == ~of["left"]).all()
    assert parse_observed("first:5", x, None, 0).sum() == 5
    many = parse_observed("random:0.3", np.zeros((2000, 5)), None, 0)
    assert abs(many.mean() - 0.3) < 0.03


# The picture.


def test_completions_show_what_was_seen_and_what_was_drawn():
    pytest.importorskip("matplotlib")
    x = np.array([[1.0, 0, np.nan, 1]])
    observed = np.array([[True, True, False, False]])
    figure = plots.completions(x, observed, [[[1, 0, 1, 0]], [[1, 0, 0, 1]]], (2, 2))
    data, seen, drawn = (ax.images[0].get_array() for ax in figure.axes)
    black, blue, white = plots._SEEN, plots._DRAWN, np.ones(3)
    assert np.allclose(data[2, 2], black)  # the gap is 1 + 2 // 16 = 1
    assert np.allclose(data[1:3, 1:3].reshape(4, 3), [black, white, plots._HOLE, black])
    assert np.allclose(seen[1:3, 1:3].reshape(4, 3), [black, white, plots._HOLE, plots._HOLE])
    assert np.allclose(drawn[1:3, 1:3].reshape(4, 3), [black, white, blue, white])
    assert np.allclose(drawn[1:3, 4:6].reshape(4, 3), [black, white, white, blue])
    with pytest.raises(ValueError, match="completed must have shape"):
        plots.completions(x, observed, [[1, 0, 1, 0]], (2, 2))


# anomaly


def test_anomaly_counts_alarms(files, monkeypatch, capsys):
    from pyarsimple import load

    line = "anomaly model.npz --data bits.npz --false-alarm-rate 0.1 --two-sided --csv a.csv --json"
    assert run(files, line, monkeypatch) == 0
    found = json.loads(capsys.readouterr().out)
    data, model = np.load(files / "bits.npz"), load(files / "model.npz")
    detector = AnomalyDetector(model, false_alarm_rate=0.1, two_sided=True).fit(data["valid"])
    assert [found["low"], found["high"]] == list(detector.thresholds)
    assert found["n_valid"] == 120
    for split, of in found["splits"].items():
        alarms = detector.is_anomaly(data[split])
        assert of["alarms"] == alarms.sum() == of["too_unlikely"] + of["too_likely"]
        assert of["n"] == len(alarms)
        assert of["least_p_value"] == detector.p_value(data[split]).min()
    with open(files / "a.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 184
    test = [one for one in lines if one["split"] == "test"]
    assert [bool(int(one["alarm"])) for one in test] == detector.is_anomaly(data["test"]).tolist()
    assert [float(one["log_prob"]) for one in test] == pytest.approx(
        model.log_prob(data["test"]), abs=1e-6
    )


@pytest.mark.parametrize("options", ["", " --image-shape 3x4", " --split test --two-sided"])
def test_anomaly_draws_a_picture(files, monkeypatch, capsys, options):
    pytest.importorskip("matplotlib")
    seen = []
    draw = plots.anomalies
    monkeypatch.setattr(plots, "anomalies", lambda *a, **k: seen.append((a, k)) or draw(*a, **k))
    line = "anomaly model.npz --data bits.npz --false-alarm-rate 0.1 --picture p.png" + options
    assert run(files, line, monkeypatch) == 0
    assert "wrote a picture to p.png\n" in capsys.readouterr().out
    assert (files / "p.png").read_bytes().startswith(b"\x89PNG")
    ((log_p, thresholds), given) = seen[0]
    assert list(log_p) == (["test"] if "split" in options else ["train", "valid", "test"])
    assert np.isfinite(thresholds[1]) == ("two-sided" in options)
    assert given["image_shape"] == ((3, 4) if "shape" in options else None)
    assert (given["images"] is None) == ("shape" not in options)


def test_anomaly_refuses_a_shape_that_rows_have_not(files, monkeypatch, capsys):
    line = "anomaly model.npz --data bits.npz --picture q.png --image-shape 5x5"
    assert run(files, line, monkeypatch) == 2
    assert "--image-shape must have a product of 12, got 5x5" in capsys.readouterr().err
    assert not (files / "q.png").exists()


def test_anomaly_prints_a_table(files, monkeypatch, capsys):
    line = "anomaly model.npz --valid bits.npz --data ones.npy --false-alarm-rate 0.05"
    assert run(files, line, monkeypatch) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert "from 120 validation rows" in said
    assert said.splitlines()[4].split()[:2] == ["all", "5"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--data bits.npz --false-alarm-rate 0", "--false-alarm-rate must be a number above 0"),
        ("--data bits.npz --false-alarm-rate 0.001", "validation rows must have at least 999 rows"),
        ("--data ones.npy", "has no split 'valid'"),
        ("--data wide.npy --valid bits.npz", "--data 'wide.npy' has 13 columns"),
        ("--data bits.npz --valid wide.npy", "--valid 'wide.npy' has 13 columns"),
        ("--data ones.npy --valid bits.npz --split test --false-alarm-rate 0.1", "--split test"),
        ("--data holes.npy --valid bits.npz --false-alarm-rate 0.1", "x must be an array of bits"),
    ],
)
def test_anomaly_refuses(files, monkeypatch, capsys, line, words):
    assert run(files, "anomaly model.npz " + line, monkeypatch) == 2
    said = capsys.readouterr().err
    assert said.startswith("pyarsimple anomaly: error: ")
    assert words in said
    assert said.count("\n") == 1
