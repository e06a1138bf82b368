"""The benchmark of mixtures: resumes, averages probabilities, and never trains on the test rows."""

import copy
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

import pyarsimple
from pyarsimple.orders import OrderMixture

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks" / "mixtures.py").is_file():
    pytest.skip("the benchmarks are not here", allow_module_level=True)
sys.path.insert(0, str(ROOT))
likelihoods = importlib.import_module("benchmarks.likelihoods")
mixtures = importlib.import_module("benchmarks.mixtures")

COMMON = {
    "seed": 3, "dtype": "float64", "optimizer": {"name": "adam", "learning_rate": 0.01},
    "fit": {"batch_size": 10, "max_epochs": 3},
}  # fmt: skip
SETTINGS = {
    "nade/tiny": COMMON
    | {
        "label": "NADE, 4 units", "model": {"n_hidden": 4},
        "orders": ["natural", ["tree", 2], 5, "mutual-information"], "mix": [1, 2, 4],
    },
    "order-agnostic-made/tiny": COMMON
    | {
        "label": "MADE, masks", "model": {"hidden_sizes": [5], "n_masks": 4, "seed": 1},
        "order": "natural", "orders": [{"set": 0}, {"set": 3}, 7], "mix": [1, 3],
    },
    "orderless-nade/tiny": COMMON
    | {
        "label": "Orderless", "model": {"hidden_sizes": [5, 4]}, "initialize": True, "order": 0,
        "orders": [["dispersed", 0], ["dispersed", 1], 2], "mix": [1, 2],
        "then": {
            "seed": 4, "optimizer": {"name": "adam", "learning_rate": 0.02, "weight_decay": 0.1},
            "fit": {"batch_size": 10, "max_epochs": 2},
        },
    },
    "nade/tiny/random": COMMON
    | {"label": "random", "model": {"n_hidden": 4}, "orders": [1, 2], "mix": [1, 2]},
    "nade/other": COMMON
    | {"label": "NADE", "model": {"n_hidden": 4}, "orders": ["reverse"], "mix": [1]},
}  # fmt: skip
PUBLISHED = {
    "sources": {"paper": "A paper"},
    "data": {
        "tiny": {
            "rows": [
                {"model": "EoNADE", "source": "paper", "mark": "memory", "values": {"1": -3.5}},
                {"model": "NADE", "source": "paper", "mark": "read", "values": {"4": -3.25}},
            ],
            "to_reach": {"1": -0.1, "4": -100.0},
        }
    },
}


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    rows = {"train": 40, "valid": 20, "test": 30}
    return {
        split: (rng.random((n, 6)) < rng.random(6)).astype(np.uint8) for split, n in rows.items()
    }


@pytest.fixture
def main(data, tmp_path, monkeypatch):
    """The command on made-up data: the file of one of two data sets is missing."""
    listed = {
        "n_dims": 6,
        "rows": {split: len(x) for split, x in data.items()},
        "rows_sha256": {split: likelihoods.hash_rows(x) for split, x in data.items()},
        "origin": "made up for this test",
    }
    tables = {
        "mixtures_settings.json": SETTINGS,
        "mixtures_published.json": PUBLISHED,
        "likelihoods_data.json": {"files": {"tiny": listed, "other": listed}},
    }
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "tiny.npz", **data)
    monkeypatch.setattr(likelihoods, "read_json", lambda name: copy.deepcopy(tables[name]))

    def run(*arguments):
        folders = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
        return mixtures.main([*folders, "--no-progress", *arguments])

    return run


def results(tmp_path):
    return json.loads((tmp_path / "out" / "results.json").read_text())["cells"]


def test_table_and_files(main, tmp_path, capsys):
    assert main() == 1  # for a file is missing
    printed = capsys.readouterr()
    assert "other.npz is missing; its origin: made up for this test" in printed.err
    assert max(map(len, printed.out.splitlines())) <= 80
    lines = {line[:22].strip(): line for line in printed.out.splitlines()}
    assert "-3.50m" in lines["EoNADE"]
    found = results(tmp_path)
    assert set(found) == set(SETTINGS) - {"nade/other"}
    ladder = found["nade/tiny"]["ladder"]
    assert list(ladder) == ["1", "2", "4"]
    assert f"{ladder['4']['test']:.2f}*" in lines["NADE, 4 units, here"]
    assert f"{ladder['1']['test']:.2f}*" not in lines["NADE, 4 units, here"]
    table = (tmp_path / "out" / "settings.md").read_text()
    for order in ("natural", "tree from 2", "random 5", "mutual-information"):
        assert f"| nade/tiny | {order} | " in table
    for order in ("set 0", "set 3", "random 7"):
        assert f"| order-agnostic-made/tiny | {order} | " in table
    for order in ("dispersed 0", "dispersed 1, before", "random 2"):
        assert f"| orderless-nade/tiny | {order} | " in table
    assert "learning rate 0.01; then name adam, learning rate 0.02, weight decay 0.1 |" in table
    assert not list((tmp_path / "out").glob("*checkpoint*"))


def test_figures_are_those_of_the_kept_mixtures(main, data, tmp_path):
    main("--only", "tiny")
    for cell, result in results(tmp_path).items():
        file = tmp_path / "out" / f"{cell.replace('/', '-')}.mixture.npz"
        mixture = pyarsimple.load(file)
        assert isinstance(mixture, OrderMixture)
        n = max(map(int, result["ladder"]))
        assert len(mixture) == len(result["settings"]["orders"])
        mixture = OrderMixture(mixture.models[:n])
        for split in ("valid", "test"):
            log_prob = mixture.log_prob(data[split])
            assert result["ladder"][str(n)][split] == pytest.approx(log_prob.mean(), rel=1e-12)
        first = mixture.models[0].log_prob(data["test"])
        assert result["ladder"]["1"]["test"] == pytest.approx(first.mean(), rel=1e-12)
        whole = result["ladder"][str(n)]
        assert whole["test"] >= whole["mean_of_components"]  # Jensen
    # Every other component is the network as it was before it was trained on.
    orderless = pyarsimple.load(tmp_path / "out" / "orderless-nade-tiny.mixture.npz")
    networks = [orderless.models[k].params["W1"] for k in range(3)]
    before = pyarsimple.load(tmp_path / "out" / "orderless-nade-tiny-before.npz").params["W1"]
    assert (networks[1] == before).all()
    assert (networks[0] != before).any()
    assert (networks[0] == networks[2]).all()
    assert len(orderless.parts()) == 2
    made = pyarsimple.load(tmp_path / "out" / "order-agnostic-made-tiny.mixture.npz")
    assert len(made.parts()) == 1
    nade = pyarsimple.load(tmp_path / "out" / "nade-tiny.mixture.npz")
    assert len(nade.parts()) == 4
    assert nade.models[1].order[0] == 2
    assert (
        nade.models[3].order.tolist()
        == pyarsimple.orders.by_mutual_information(data["train"]).tolist()
    )


def test_what_is_finished_is_kept(main, monkeypatch, tmp_path):
    assert main("--only", "tiny") == 0
    before = results(tmp_path)
    monkeypatch.setattr(pyarsimple, "fit", lambda *_, **__: pytest.fail("trained again"))
    monkeypatch.setattr(pyarsimple.NADE, "log_prob", lambda *_: pytest.fail("scored again"))
    assert main("--only", "tiny") == 0
    assert {c: r["ladder"] for c, r in results(tmp_path).items()} == {
        c: r["ladder"] for c, r in before.items()
    }


def test_other_settings_are_not_taken_for_these(main, monkeypatch, tmp_path):
    assert main("--only", "tiny") == 0
    before = results(tmp_path)
    changed = copy.deepcopy(SETTINGS)
    changed["nade/tiny"]["orders"][1] = ["tree", 4]
    changed["order-agnostic-made/tiny"]["orders"][1] = {"set": 2}
    changed["orderless-nade/tiny"]["orders"][1] = ["dispersed", 7]
    read = likelihoods.read_json
    monkeypatch.setattr(
        likelihoods, "read_json",
        lambda name: copy.deepcopy(changed) if name == "mixtures_settings.json" else read(name),
    )  # fmt: skip
    assert main("--only", "tiny") == 0
    for cell, result in results(tmp_path).items():
        assert result["ladder"]["1"] == before[cell]["ladder"]["1"]
        if cell == "nade/tiny/random":
            assert result["ladder"] == before[cell]["ladder"]
            continue
        last = max(result["ladder"])
        assert result["ladder"][last]["test"] != before[cell]["ladder"][last]["test"]


def test_interrupted_and_resumed_equals_uninterrupted(main, tmp_path, monkeypatch):
    assert main("--only", "nade/tiny", "--out", str(tmp_path / "whole")) == 0
    whole = json.loads((tmp_path / "whole" / "results.json").read_text())["cells"]
    fit, calls = pyarsimple.fit, []

    def stop(model, history):
        calls.append(history.n_epochs)
        if len(calls) == 5:  # the second epoch of the second component
            raise KeyboardInterrupt

    monkeypatch.setattr(pyarsimple, "fit", lambda *a, **k: fit(*a, **k, callbacks=[stop]))
    assert main("--only", "nade/tiny") == 130
    assert (tmp_path / "out" / "nade-tiny-0.npz").exists()
    assert not (tmp_path / "out" / "nade-tiny-1.npz").exists()
    assert not (tmp_path / "out" / "results.json").exists()
    monkeypatch.setattr(pyarsimple, "fit", fit)
    assert main("--only", "nade/tiny") == 0
    assert results(tmp_path)["nade/tiny"]["ladder"] == whole["nade/tiny"]["ladder"]


def test_the_test_rows_change_no_component(main, data, tmp_path):
    main("--only", "nade/tiny")
    before = pyarsimple.load(tmp_path / "out" / "nade-tiny.mixture.npz")
    np.savez(tmp_path / "data" / "tiny.npz", **(data | {"test": 1 - data["test"]}))
    elsewhere = ["--out", str(tmp_path / "b"), "--accept-other-data"]
    assert main("--only", "nade/tiny", *elsewhere) == 0
    after = pyarsimple.load(tmp_path / "b" / "nade-tiny.mixture.npz")
    for one, other in zip(before.models, after.models, strict=True):
        assert (one.order == other.order).all()
        for name, p in one.params.items():
            np.testing.assert_array_equal(p, other.params[name])


def test_unknown_cell(main, capsys):
    assert main("--only", "nade/nothing") == 2
    assert "no cell, model or data set is called 'nade/nothing'" in capsys.readouterr().err


def test_a_network_for_all_orders_is_trained_once(data, tmp_path, monkeypatch):
    """And scored in each order, on no more validation rows than the settings want."""
    cell, settings = "orderless-nade/tiny", COMMON | {
        "label": "Deep NADE", "model": {"hidden_sizes": [6, 5]}, "order": "natural",
        "orders": [0, 1, "reverse"], "mix": [1, 3], "valid_rows": 12,
        "fit": {"batch_size": 10, "max_epochs": 3, "warmup": 1},
    }  # fmt: skip
    trained, fit, folder = [], pyarsimple.fit, likelihoods.Folder(tmp_path)
    monkeypatch.setattr(pyarsimple, "fit", lambda *a, **k: trained.append(k) or fit(*a, **k))
    result = mixtures.run_cell(cell, settings, data, folder, listed=True, progress=False)
    assert len(trained) == 1
    assert trained[0]["schedule"] == pyarsimple.optimizers.Cosine(3, warmup=1)
    mixture = mixtures.mixture_of(cell, settings, data, folder)
    assert len(mixture.parts()) == 1
    assert mixture.models[2].order.tolist() == [5, 4, 3, 2, 1, 0]
    for split, rows in (("valid", data["valid"][:12]), ("test", data["test"])):
        wanted = mixture.log_prob(rows).mean()
        assert result["ladder"]["3"][split] == pytest.approx(wanted, rel=1e-12)


def test_averages_are_of_probabilities():
    log_p = np.array([[-1.0, -3000.0], [-2.0, -3001.0]])
    wanted = [np.log((np.exp(-1) + np.exp(-2)) / 2), -3000 + np.log((1 + np.exp(-1)) / 2)]
    np.testing.assert_allclose(mixtures.averaged(log_p), wanted, rtol=1e-14)


def test_committed_tables_fit_together():
    settings = likelihoods.read_json("mixtures_settings.json")
    published = likelihoods.read_json("mixtures_published.json")
    files = likelihoods.read_json("likelihoods_data.json")["files"]
    assert set(published["data"]) <= set(files)
    for cell, values in settings.items():
        kind, name = cell.split("/")[:2]
        assert kind in pyarsimple.models.MODELS
        assert name in published["data"]
        assert max(values["mix"]) == len(values["orders"])
        likelihoods.make_optimizer(values)
        D = files[name]["n_dims"]
        for order in values["orders"]:
            if not isinstance(order, dict):
                made = likelihoods.make_order(order, np.eye(D, dtype=np.uint8))
                assert sorted(made.tolist()) == list(range(D))
    for of_data in published["data"].values():
        for row in of_data["rows"]:
            assert row["source"] in published["sources"]
            assert row["mark"] in likelihoods.MARKS


def test_committed_results_are_of_the_committed_settings():
    """Who changes a setting runs its cell again."""
    path = ROOT / "benchmarks" / "results" / "mixtures.json"
    if not path.is_file():
        pytest.skip("there are no results yet")
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    settings = likelihoods.read_json("mixtures_settings.json")
    page = (ROOT / "docs" / "orders.md").read_text(encoding="utf-8")
    for cell, result in found.items():
        assert likelihoods.used(result["settings"]) == likelihoods.used(settings[cell])
        for step in result["ladder"].values():
            assert f"{step['test']:.2f}" in page
