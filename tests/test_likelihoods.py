"""The benchmark of likelihoods: resumes, refuses other rows, and never trains on the test rows."""

import copy
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import pyarsimple

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks" / "likelihoods.py").is_file():
    pytest.skip("the benchmarks are not here", allow_module_level=True)
sys.path.insert(0, str(ROOT))
likelihoods = importlib.import_module("benchmarks.likelihoods")

COMMON = {"seed": 3, "dtype": "float64"}
ADAM = {"name": "adam", "learning_rate": 0.01}
SETTINGS = {
    "fvsbn/tiny": COMMON
    | {
        "order": "reverse",
        "model": {},
        "optimizer": {"name": "lbfgs", "n_iterations": 5},
        "fit": {"l2": 0.01, "max_epochs": 2},
    },
    "nade/tiny": COMMON
    | {
        "order": 7,
        "model": {"n_hidden": 4, "dropout": 0.2},
        "optimizer": ADAM,
        "fit": {"batch_size": 10, "max_epochs": 3, "schedule": "cosine", "average": 0.9},
    },
    "made/other": COMMON
    | {
        "order": "natural",
        "model": {"hidden_sizes": [5]},
        "optimizer": ADAM,
        "fit": {"batch_size": 10, "max_epochs": 3},
    },
}


def listed(data):
    return {
        "n_dims": data["train"].shape[1],
        "rows": {split: len(x) for split, x in data.items()},
        "rows_sha256": {split: likelihoods.hash_rows(x) for split, x in data.items()},
        "origin": "made up for this test",
    }


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    p = rng.random(6)
    rows = {"train": 40, "valid": 20, "test": 30}
    return {split: (rng.random((n, 6)) < p).astype(np.uint8) for split, n in rows.items()}


@pytest.fixture
def main(data, tmp_path, monkeypatch):
    """The command on made-up data: the file of one of two data sets is missing."""
    tables = {
        "likelihoods_settings.json": SETTINGS,
        "likelihoods_data.json": {"files": {"tiny": listed(data), "other": listed(data)}},
        "likelihoods_published.json": {
            "rows": [
                {
                    "model": "NADE",
                    "compare_with": "nade",
                    "cells": {"tiny": {"value": -3.21, "mark": "memory"}},
                }
            ],
            "to_reach": {"fvsbn": {"tiny": -100.0}, "nade": {"tiny": -0.1}, "made": {}},
        },
    }
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "tiny.npz", **data)
    monkeypatch.setattr(likelihoods, "read_json", lambda name: copy.deepcopy(tables[name]))

    def run(*arguments):
        folders = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
        return likelihoods.main([*folders, "--no-progress", *arguments])

    return run


def test_table_and_files(main, tmp_path, capsys):
    assert main() == 1  # for a file is missing
    printed = capsys.readouterr()
    assert "other.npz is missing; its origin: made up for this test" in printed.err
    assert max(map(len, printed.out.splitlines())) <= 80
    assert "-3.21m" in printed.out
    lines = {line[:12].strip(): line for line in printed.out.splitlines()}
    results = json.loads((tmp_path / "out" / "results.json").read_text())["cells"]
    assert set(results) == {"fvsbn/tiny", "nade/tiny"}
    assert f"{results['fvsbn/tiny']['test']:.2f}*" in lines["FVSBN, here"]
    assert f"{results['nade/tiny']['test']:.2f}" in lines["NADE, here"]
    assert "*" not in lines["NADE, here"]
    assert "nade/tiny" in (tmp_path / "out" / "settings.md").read_text()
    assert not list((tmp_path / "out").glob("*checkpoint*"))


def test_figures_are_those_of_the_kept_model(main, data, tmp_path):
    main("--only", "nade")
    result = json.loads((tmp_path / "out" / "nade-tiny.json").read_text())
    model = pyarsimple.load(tmp_path / "out" / "nade-tiny.npz")
    assert result["test"] == pytest.approx(model.log_prob(data["test"]).mean(), rel=1e-12)
    assert result["valid"] == pytest.approx(model.log_prob(data["valid"]).mean(), rel=1e-12)
    assert result["settings"] == SETTINGS["nade/tiny"]


def test_finished_cells_are_kept(main, monkeypatch):
    assert main("--only", "tiny") == 0
    monkeypatch.setattr(pyarsimple, "fit", lambda *_, **__: pytest.fail("trained again"))
    assert main("--only", "tiny") == 0


def test_other_settings_are_trained_anew(data, tmp_path):
    folder = likelihoods.Folder(tmp_path)
    settings = SETTINGS["nade/tiny"]
    first = likelihoods.run_cell("nade/tiny", settings, data, folder)
    noted = settings | {"chosen": "a note does not count"}
    assert likelihoods.run_cell("nade/tiny", noted, data, folder) == first
    other = likelihoods.run_cell("nade/tiny", settings | {"seed": 4}, data, folder)
    assert other["key"] != first["key"]
    assert other["test"] != first["test"]
    assert folder.finished("nade/tiny", settings) is None


def test_a_second_part_trains_the_finished_cell_on(data, tmp_path):
    """As two calls of fit would; the first part is kept, and not trained again."""
    then = {"seed": 9, "optimizer": {"name": "sgd"}, "fit": {"batch_size": 8, "max_epochs": 2}}
    settings = SETTINGS["nade/tiny"]
    both = likelihoods.run_cell(
        "nade/tiny", settings | {"then": then}, data, likelihoods.Folder(tmp_path / "both")
    )

    folder = likelihoods.Folder(tmp_path / "first")
    first = likelihoods.run_cell("nade/tiny", settings, data, folder)
    model = pyarsimple.load(folder.files("nade/tiny")[1])
    pyarsimple.fit(
        model, data["train"], data["valid"], optimizer="sgd", batch_size=8, max_epochs=2, rng=10
    )
    assert both["test"] == pytest.approx(model.log_prob(data["test"]).mean(), rel=1e-12)
    assert both["test"] != first["test"]
    assert both["epochs"] == 2

    again = likelihoods.Folder(tmp_path / "both")
    before = again.finished("nade/tiny/before", settings)
    assert before["test"] == first["test"]
    assert both["seconds"] > before["seconds"]
    other = settings | {"then": then | {"seed": 1}}
    assert likelihoods.run_cell("nade/tiny", other, data, again)["test"] != both["test"]
    assert again.finished("nade/tiny/before", settings) == before


def test_interrupted_and_resumed_equals_uninterrupted(main, data, tmp_path, monkeypatch):
    whole = likelihoods.run_cell(
        "nade/tiny", SETTINGS["nade/tiny"], data, likelihoods.Folder(tmp_path / "whole")
    )
    fit = pyarsimple.fit

    def stop(model, history):
        if history.n_epochs == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(pyarsimple, "fit", lambda *a, **k: fit(*a, **k, callbacks=[stop]))
    assert main("--only", "nade/tiny") == 130
    assert len(list((tmp_path / "out").glob("nade-tiny.*.checkpoint.npz"))) == 1
    assert not (tmp_path / "out" / "nade-tiny.json").exists()
    monkeypatch.setattr(pyarsimple, "fit", fit)
    assert main("--only", "nade/tiny") == 0
    resumed = json.loads((tmp_path / "out" / "nade-tiny.json").read_text())
    assert resumed["test"] == whole["test"]
    assert resumed["epochs"] == 3


def test_the_test_rows_change_no_parameter(data, tmp_path):
    """What is trained, and when it stops, rests on the training and validation rows alone."""
    other = data | {"test": 1 - data["test"]}
    for cell, settings in SETTINGS.items():
        models = []
        for name, rows in (("a", data), ("b", other)):
            folder = likelihoods.Folder(tmp_path / name)
            likelihoods.run_cell(cell, settings, rows, folder)
            models.append(pyarsimple.load(folder.files(cell)[1]))
        for name, p in models[0].params.items():
            np.testing.assert_array_equal(p, models[1].params[name])


def test_other_rows_are_refused_or_marked(main, data, tmp_path, capsys):
    data["valid"][0, 0] ^= 1
    np.savez(tmp_path / "data" / "tiny.npz", **data)
    assert main("--only", "fvsbn/tiny") == 1
    assert "valid are not the rows of the published" in capsys.readouterr().err
    assert not (tmp_path / "out" / "fvsbn-tiny.json").exists()
    assert main("--only", "fvsbn/tiny", "--accept-other-data") == 0
    line = next(s for s in capsys.readouterr().out.splitlines() if s.startswith("FVSBN, here"))
    assert line.split()[2].endswith("x")
    assert "*" not in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": np.zeros((40, 6))}, "cannot be read"),
        (dict.fromkeys(("train", "valid", "test"), np.zeros((3, 6), np.uint8)), "has shape"),
    ],
)
def test_other_files_are_refused(data, tmp_path, content, message):
    np.savez(tmp_path / "tiny.npz", **content)
    with pytest.raises(likelihoods.DataError, match=message):
        likelihoods.load_data(tmp_path, "tiny", listed(data))


def test_unknown_cell(main, capsys):
    assert main("--only", "nade/nothing") == 2
    assert "no cell, model or data set is called 'nade/nothing'" in capsys.readouterr().err


def test_committed_tables_fit_together():
    """Every cell has settings that make a model, a figure to reach, and a file to read."""
    settings = likelihoods.read_json("likelihoods_settings.json")
    files = likelihoods.read_json("likelihoods_data.json")["files"]
    published = likelihoods.read_json("likelihoods_published.json")
    assert set(settings) == {f"{kind}/{name}" for kind in likelihoods.MODELS for name in files}
    for cell, values in settings.items():
        kind, name = cell.split("/")
        assert name in published["to_reach"][kind]
        small = dict(values["model"])
        if "n_hidden" in small:
            small["n_hidden"] = 3
        if "hidden_sizes" in small:
            small["hidden_sizes"] = [3] * len(small["hidden_sizes"])
        x = np.zeros((1, files[name]["n_dims"]), np.uint8)
        likelihoods.make_model(kind, values | {"model": small}, x)
        likelihoods.make_optimizer(values)
        assert {"batch_size", "l2", "max_epochs", "patience"} & set(values["fit"])
    for row in published["rows"]:
        assert row["source"] in published["sources"]
        assert {cell["mark"] for cell in row["cells"].values()} <= set(published["marks"])


def test_committed_results_are_of_the_committed_settings():
    """Who changes a setting runs its cell again."""
    path = ROOT / "benchmarks" / "results" / "likelihoods.json"
    results = json.loads(path.read_text(encoding="utf-8"))["cells"]
    settings = likelihoods.read_json("likelihoods_settings.json")
    page = (ROOT / "docs" / "likelihoods.md").read_text(encoding="utf-8")
    for cell, result in results.items():
        assert likelihoods.used(result["settings"]) == likelihoods.used(settings[cell])
        assert f"{result['test']:.2f}" in page
