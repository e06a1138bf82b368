"""The benchmark's machinery: its referee, its statistics, its verdicts. No time is judged here."""

import ast
import copy
import importlib
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyarsimple.twins

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "benchmarks" / "runner.py").is_file():
    pytest.skip("the benchmarks are not here", allow_module_level=True)
sys.path.insert(0, str(ROOT))
names = ("__main__", "cases", "compare", "counts", "definition", "implementations", "inputs")
names += ("pictures", "processes", "promises", "referee", "report", "results", "runner", "stats")
b = {name: importlib.import_module(f"benchmarks.{name}") for name in (*names, "worker")}
main, Case = b["__main__"].main, b["cases"].Case
PEERS = ("torch", "jax")
PICTURE = b"the bytes of a picture"
BUILT = pyarsimple.twins.kernels is not None

TINY = {
    "nade": Case("", "grad", "nade", (), hidden=(5,), N=6, D=7, dtype="float64"),
    "fvsbn": Case("", "grad", "fvsbn", (), hidden=(), N=6, D=7, dtype="float64"),
    "made": Case("", "grad", "made", (), hidden=(6, 9), N=6, D=7, dtype="float64"),
}


class Absent:
    """A worker of a peer that is not installed, whether it is or not."""

    def __init__(self, name):
        self.name = name

    def tell(self, op, **arguments):
        pass

    def answer(self):
        raise b["processes"].NotHere(f"No module named {self.name!r}")

    def close(self):
        pass


def without_peers(implementation, *settings):
    if implementation in PEERS:
        return Absent(implementation)
    return b["processes"].Worker(implementation, *settings)


def run(profile, worker=without_peers, **settings):
    with b["runner"].Run(profile, worker=worker, say=lambda line: None, **settings) as state:
        return b["runner"].measure_all(state)


@pytest.fixture(scope="module")
def tiny():
    return run("tiny")


# The definition, by loops over single numbers, by enumeration, and by differences.


def scalar_log_prob(model, p, x, degrees):
    """log p(x) of one row, one number at a time."""
    D, total = len(x), 0.0
    for i in range(D):
        if model == "fvsbn":
            z = p["b"][i] + sum(p["W"][i, j] * x[j] for j in range(i))
        elif model == "nade":
            a = [p["c"][k] + sum(x[j] * p["W"][j, k] for j in range(i)) for k in range(5)]
            z = p["b"][i] + sum(p["V"][i, k] / (1 + np.exp(-a[k])) for k in range(5))
        else:
            h, below = list(x), [j + 1 for j in range(D)]  # x_j is seen by degrees above j
            for k, m in enumerate(degrees, 1):
                W, c = p[f"W{k}"], p[f"c{k}"]
                a = [c[t] + sum(h[s] * W[s, t] for s in range(len(h)) if below[s] <= m[t])
                     for t in range(len(m))]  # fmt: skip
                h, below = [max(v, 0) for v in a], list(m)
            z = p["b"][i] + sum(h[s] * p["V"][i, s] for s in range(len(h)) if below[s] <= i)
        q = 1 / (1 + np.exp(-z))
        total += np.log(q if x[i] else 1 - q)
    return total


@pytest.mark.parametrize("model", TINY)
def test_definition_is_right(model):
    inputs = b["inputs"].make_inputs(TINY[model], None)
    definition, p, degrees = b["definition"], inputs.params, inputs.degrees
    z = definition.logits(model, p, inputs.x, degrees)
    expected = [scalar_log_prob(model, p, x, degrees) for x in inputs.x]
    np.testing.assert_allclose(definition.log_prob(z, inputs.x), expected, rtol=1e-12)
    every = np.array(list(itertools.product((0.0, 1.0), repeat=7)))
    p_all = np.exp(definition.log_prob(definition.logits(model, p, every, degrees), every))
    assert p_all.sum() == pytest.approx(1, rel=1e-12)

    loss, grads = definition.loss_and_grads(model, p, inputs.x, degrees)
    assert loss == pytest.approx(-np.mean(expected), rel=1e-12)
    for name, array in p.items():
        for index in np.ndindex(array.shape):
            difference = []
            for step in (1e-5, -1e-5):
                moved = {k: v.copy() for k, v in p.items()}
                moved[name][index] += step
                difference.append(definition.loss_and_grads(model, moved, inputs.x, degrees)[0])
            slope = (difference[0] - difference[1]) / 2e-5
            assert grads[name][index] == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_definition_imports_nothing_of_the_library():
    program = "import benchmarks.definition, sys; sys.exit('pyarsimple' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


# The referee refuses what is wrong, before it is timed.


class Planted:
    """A worker in this process that answers with the right result, or a spoilt one."""

    def __init__(self, spoil=lambda result: None):
        self.spoil, self.timed, self.orders = spoil, [], []

    def ask(self, op, **arguments):
        self.orders.append(op)
        if op == "prepare":
            self.inputs = b["inputs"].Inputs.load(arguments["inputs"])
        if op == "check":
            result = right_result(self.inputs)
            self.spoil(result)
            np.savez(arguments["result"], **result)
        return {"seconds": [0.001]} if op == "time" else {"about": {}}

    def tell(self, op, **arguments):
        pass

    def answer(self):
        return {"about": {}}

    def cpu_seconds(self):
        return None

    def close(self):
        pass


def right_result(inputs):
    definition, i = b["definition"], inputs
    z = definition.logits(i.model, i.params, i.x, i.degrees)
    if i.kind == "score":
        return {"log_prob": definition.log_prob(z, i.x)}
    if i.kind == "sample":
        u, x = b["inputs"].uniforms(*i.x.shape), np.zeros(i.x.shape)
        for k in range(i.x.shape[1]):
            z = definition.logits(i.model, i.params, x, i.degrees)
            x[:, k] = u[:, k] < definition.sigmoid(z[:, k])
        return {"x": x}
    loss, grads = definition.loss_and_grads(i.model, i.params, i.x, i.degrees)
    result = {"loss": loss, **{f"grad.{k}": g for k, g in grads.items()}}
    if i.kind == "step":
        after = definition.adam_step(i.params, grads)
        result |= {f"param.{k}": p for k, p in after.items()}
    return result


def spoil(name, change):
    def spoilt(result):
        result[name] = change(np.array(result[name]))

    return spoilt


def flip_last(x):
    x[-1, -1] = 1 - x[-1, -1]
    return x


def no_last_row(g):
    g[-1] = 0
    return g


def leak(g):
    g[0, -1] = 1e-30  # no norm shows it; the last unit must not see the first variable
    return g


def ten_percent_more(p):
    return p + 1e-4 * np.sign(p)  # the step itself is of about 1e-3


PLANTS = {
    "a gradient without its last row": ("grad", spoil("grad.V", no_last_row)),
    "a gradient that is a thousandth too long": ("grad", spoil("grad.W1", lambda g: 1.001 * g)),
    "a gradient of the sum, not the mean": ("grad", spoil("grad.b", lambda g: 6 * g)),
    "a loss that is NaN": ("grad", spoil("loss", lambda v: v * np.nan)),
    "a gradient that is missing": ("grad", lambda result: result.pop("grad.c1")),
    "a gradient that leaks": ("grad", spoil("grad.V", leak)),
    "a gradient of the wrong shape": ("grad", spoil("grad.V", np.transpose)),
    "one score of the wrong sign": ("score", spoil("log_prob", lambda v: v * ([1] * 5 + [-1]))),
    "a sample with one bit wrong": ("sample", spoil("x", flip_last)),
    "samples of one's own luck": ("sample", spoil("x", lambda x: x[::-1])),
    "a step that is too long": ("step", spoil("param.V", ten_percent_more)),
    "a step that was not taken": ("step", spoil("param.b", np.zeros_like)),
}


def outcome_of(kind, planted):
    # MADE's step is judged by its free weights: where a mask is, anything may stand.
    case = Case("case", kind, "made", ("compiled",), hidden=(6, 9), N=6, D=7, dtype="float64")
    with b["runner"].Run("tiny", worker=lambda *_: planted) as state:
        return state.case(case)["contenders"]["compiled"]


@pytest.mark.parametrize("kind", ["grad", "score", "sample", "step"])
def test_right_result_is_timed(kind):
    planted = Planted()
    outcome = outcome_of(kind, planted)
    assert outcome["status"] == "ok"
    assert outcome["median"] == 0.001
    assert planted.orders == ["prepare", "check", "time", "forget"]


@pytest.mark.parametrize("plant", PLANTS)
def test_wrong_result_is_refused_and_not_timed(plant):
    kind, spoilt = PLANTS[plant]
    planted = Planted(spoilt)
    outcome = outcome_of(kind, planted)
    assert outcome["status"] == "refused"
    assert "is off by" in outcome["reason"]
    assert "median" not in outcome
    assert "time" not in planted.orders


def test_refused_implementation_makes_the_run_fail(tiny):
    assert b["runner"].went_wrong(tiny) == []
    results = copy.deepcopy(tiny)
    results["cases"][0]["contenders"]["blas"] |= {"status": "refused", "reason": "is off"}
    assert b["runner"].went_wrong(results) == [("nade_grad", "blas", "is off")]


# The implementations that are always here are right, in a process of their own.


def test_ours_are_right_and_peers_are_reported_missing(tiny):
    assert len(tiny["cases"]) == len(b["cases"].TABLE)
    for case in tiny["cases"]:
        for name, c in case["contenders"].items():
            here = c["implementation"] not in PEERS and (BUILT or c["implementation"] != "compiled")
            assert c["status"] == ("ok" if here else "missing"), (case["name"], name, c)
            assert ("median" in c) == here
    missing = [
        p for p in tiny["promises"] if any(m.startswith(PEERS) for m in p.get("missing", ()))
    ]
    assert len(missing) == 7  # each promise that is made against a peer
    assert all(p["reached"] is None and p["value"] is None for p in missing)
    text = b["report"].text(tiny)
    assert "MISSING: torch" in text
    assert "MISSING: jax" in text
    assert "NOT MEASURED" in text


@pytest.mark.slow
def test_quick_profile_is_right():
    """What the quick profile times, at its own sizes: checked, not timed."""
    results = run("quick", check_only=True)
    assert b["runner"].went_wrong(results) == []
    checked = [c for case in results["cases"] for c in case["contenders"].values()]
    assert sum(c["status"] == "ok" for c in checked) >= (40 if BUILT else 20)
    assert results["measures"]["same_bits"]["value"] is (True if BUILT else None)


def test_peers_gradients_of_an_fvsbn_are_right():
    case = next(c for c in b["cases"].TABLE if c.name == "fvsbn_grad")
    peers = [c for c in case.contenders if c.split(".")[0] in PEERS]
    assert {"torch.masked_weights", "torch.masked_grads"} <= set(peers)
    small = Case("x", "grad", "fvsbn", tuple(peers), hidden=(), N=4, D=9, dtype="float64")
    with b["runner"].Run("tiny", check_only=True) as state:
        outcome = state.case(small)["contenders"]
    here = {name: c for name, c in outcome.items() if c["status"] != "missing"}
    assert {c["status"] for c in here.values()} <= {"ok"}, here
    if len(here) < len(peers):
        pytest.skip("PyTorch or JAX is not installed")


def test_missing_module_is_missing_not_a_failure(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(b["implementations"].Missing, match="torch"):
        b["implementations"].load("torch")


@pytest.mark.parametrize("started", [[(2,), (1,)], [(1,), (2,)], [(2, 1)], [(1, 2)], [(1,)]])
def test_what_the_results_say_comes_from_workers_with_the_runs_threads(monkeypatch, started):
    class Saying(Planted):
        def __init__(self, implementation, threads, *_):
            super().__init__()
            self.threads = threads

        def answer(self):
            return {"about": {"threads": self.threads}}

    monkeypatch.setattr(b["runner"], "choose_cores", lambda n: [])  # so that there are 2 threads
    with b["runner"].Run("tiny", worker=Saying) as state:
        for together in started:
            state.start_workers([b["cases"].Contender("blas", "", n) for n in together])
    assert state.about == {"blas": {"threads": max(map(max, started))}}


def test_slow_call_is_not_repeated(monkeypatch):
    def timed(seconds_of_call):
        clock, n = [0.0], []

        def run():
            clock[0] += seconds_of_call
            n.append(1)

        monkeypatch.setattr(b["worker"].time, "perf_counter", lambda: clock[0])
        monkeypatch.setattr(b["worker"].time, "perf_counter_ns", lambda: round(clock[0] * 1e9))
        monkeypatch.setattr(b["worker"].gc, "freeze", lambda: None)  # this process goes on
        worker = b["worker"].Worker("blas")
        worker.tasks["it"] = b["implementations"].Task()
        worker.tasks["it"].run = run
        return worker.time("it", seconds=0.05, warm=0.02)["seconds"], len(n)

    seconds, n = timed(0.75)
    assert (seconds, n) == ([0.75], 1)
    seconds, n = timed(0.01)  # two to warm up
    assert (seconds, n) == ([pytest.approx(0.01, rel=1e-6)] * 5, 7)
    seconds, n = timed(0.1)
    assert (seconds, n) == ([pytest.approx(0.1, rel=1e-6)], 2)


def test_worker_that_dies_is_a_failure_with_its_name(tmp_path):
    with open(tmp_path / "log", "w+", encoding="utf-8") as log:
        worker = b["processes"].Worker("numpy", 1, [], log)
        worker.ask("hello")
        worker.process.kill()
        with pytest.raises(b["processes"].WorkerError, match="numpy@1 ended with status"):
            worker.ask("hello")
        worker.close()


# Statistics, by numbers that one can do in one's head.


def test_summary():
    s = b["stats"].summary([[4, 2], [1], [3, 5]])
    assert s == {"median": 3, "lower_quartile": 2, "upper_quartile": 4, "n_calls": 5}


def test_ratio_is_that_of_the_medians_and_its_quartiles_are_of_the_rounds():
    r = b["stats"].ratio([[2, 2], [4], [6], [8], [90]], [[1], [2], [2], [2], [3]])
    assert r["median"] == 2.5  # of 2 2 4 6 8 90, 5; of 1 2 2 2 3, 2
    assert r["lower_quartile"] == 2  # of 2 2 3 4 30
    assert r["upper_quartile"] == 4


def test_relative_error():
    error = b["stats"].relative_error
    assert error([3, 4.5], [3, 4]) == pytest.approx(0.1, rel=1e-12)
    assert error([0, 0], [0, 0]) == 0
    assert error([0, 1e-9], [0, 0]) == np.inf
    assert error([1, np.nan], [1, 2]) == np.inf
    assert error([1, 2, 3], [1, 2]) == np.inf


def test_counts_of_a_small_nade():
    x = np.array([[1, 0, 0], [0, 1, 1]], np.float32)  # a bit in the last place changes nothing
    params = {"W": np.ones((3, 5), np.float32), "b": np.ones(3, np.float32)}
    inputs = b["inputs"].Inputs("grad", "nade", "float32", (5,), x, params)
    needs = b["counts"].counts(inputs)
    assert needs["flops"] == 2 * 5 * (3 * 6 + 2 * 2)  # three products; W and dW after two ones
    assert needs["exponentials"] == 5 * (2 + 2) + 6
    assert needs["bytes"] == 4 * (2 * 18 + 6)


def test_counts_leave_masked_weights_out():
    inputs = b["inputs"].make_inputs(TINY["fvsbn"], None)
    assert b["counts"].counts(inputs)["flops"] == 2 * 6 * 21 * 2  # 21 of the 49 weights are free


# Verdicts.


def verdicts(mine, peer, yardstick):
    contenders = {
        "compiled": {"seconds": [[mine]], "median": mine},
        "torch.loop": {"seconds": [[peer]], "median": peer},
        "torch.cumsum": {"seconds": [[2 * peer]], "median": 2 * peer},
        "jax.scan": {"status": "missing"},
        "blas": {"seconds": [[yardstick]], "median": yardstick},
        "compiled@1": {"seconds": [[2 * mine]], "median": 2 * mine},
        "machine": {"seconds": [[1.0]], "median": 1.0},
        "machine@1": {"seconds": [[1.5]], "median": 1.5},
    }
    results = {"cases": [{"name": "nade_grad", "contenders": contenders}]}
    results |= {"check_only": False, "measures": {}, "limits": {}}
    return b["promises"].judge(results)


def test_promises_are_judged_against_the_best_of_the_peers():
    peers, gemm, threads, machine = verdicts(mine=2.0, peer=90.0, yardstick=1.0)
    assert peers["value"] == 45
    assert peers["against"] == "torch.loop"
    assert peers["missing"] == ["jax.scan"]
    assert (peers["reached"], peers["aim_reached"]) == (True, False)
    assert gemm["value"] == 2
    assert (gemm["reached"], gemm["aim_reached"]) == (True, True)
    assert threads["value"] == 2
    assert threads["reached"]
    assert (machine["value"], machine["reached"], machine["bar"]) == (1.5, None, None)
    assert [p["reached"] for p in verdicts(mine=2.0, peer=58.0, yardstick=0.6)][:2] == [False] * 2


# Comparing two runs.


def scaled(results, factor, *, only=None):
    results = copy.deepcopy(results)
    for case in results["cases"]:
        for name, c in case["contenders"].items():
            if "median" in c and (only is None or name == only):
                c["seconds"] = [[factor * s for s in r] for r in c["seconds"]]
                for key in ("median", "lower_quartile", "upper_quartile"):
                    c[key] *= factor
    return results


def compared(tmp_path, before, after, *more):
    for name, results in (("a", before), ("b", after)):
        b["results"].save(results, tmp_path / f"{name}.json")
    return main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), *more])


def test_compare_says_what_became_slower(tiny, tmp_path, capsys):
    assert compared(tmp_path, tiny, tiny) == 0
    assert compared(tmp_path, tiny, scaled(tiny, 1.2, only="numpy")) == 1
    assert "nade_grad numpy is slower by 20.0%" in capsys.readouterr().out
    assert compared(tmp_path, tiny, scaled(tiny, 1.2, only="numpy"), "--fail-above", "25%") == 0
    assert compared(tmp_path, tiny, scaled(tiny, 1.2)) == 0  # the yardstick is slower too
    assert compared(tmp_path, tiny, scaled(tiny, 0.5, only="numpy")) == 0
    assert compared(tmp_path, tiny, scaled(tiny, 0.5, only="blas")) == 1


def test_compare_notices_what_is_gone(tiny, tmp_path, capsys):
    fewer = copy.deepcopy(tiny)
    del fewer["cases"][0]["contenders"]["numpy"]
    assert compared(tmp_path, tiny, fewer) == 1
    assert "nade_grad numpy was measured before, and is not now" in capsys.readouterr().out
    assert compared(tmp_path, fewer, tiny) == 0
    assert compared(tmp_path, tiny, fewer | {"profile": "quick"}) == 0
    assert compared(tmp_path, tiny, tiny | {"cases": []}) == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "Expecting"),
        ("[]", "no results"),
        ("{}", "no schema_version"),
        ('{"schema_version": 2}', "version 2 of the format; this benchmark reads version 1"),
        ('{"schema_version": 1}', "lacks 'profile'"),
        (None, "No such file"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, capsys, text, complaint):
    path = tmp_path / "bad.json"
    if text is not None:
        path.write_text(text)
    assert main(["report", str(path)]) == 2
    assert complaint in capsys.readouterr().err


# The file, the tables, the pictures, the command.


def test_results_follow_the_schema(tiny):
    results = b["results"]
    results.check(json.loads(json.dumps(tiny)))
    for change, complaint in (
        ({"threads": 0}, "threads must be at least 1"),
        ({"profile": "slow"}, "profile must be one of"),
        ({"seconds": "long"}, "seconds must be number, got str"),
        ({"check_only": 1}, "check_only must be boolean, got int"),
        ({"extra": 1}, "unknown 'extra'"),
        ({"cases": [{}]}, r"cases\[0\] lacks 'name'"),
    ):
        with pytest.raises(results.BadResults, match=complaint):
            results.check(tiny | change)


def test_saving_leaves_no_half_written_file(tiny, tmp_path):
    path = tmp_path / "results.json"
    b["results"].save(tiny, path)
    with pytest.raises(ValueError, match="JSON"):
        b["results"].save(tiny | {"seconds": float("inf")}, path)
    assert b["results"].load(path) == json.loads(json.dumps(tiny))


def test_report_fits_80_columns(tiny, tmp_path, capsys):
    b["results"].save(tiny, tmp_path / "results.json")
    assert main(["report", str(tmp_path / "results.json"), "--out", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for promise in tiny["promises"]:
        assert promise["text"][:30] in text
    assert ("roofline.png" in {p.name for p in tmp_path.iterdir()}) == BUILT
    assert (tmp_path / "ratios.png").exists() == BUILT


def test_report_says_what_others_disturbed(tiny):
    quiet, busy = copy.deepcopy(tiny), copy.deepcopy(tiny)
    for results, share in ((quiet, 0.01), (busy, 0.4)):
        for entry in results["cases"] + results["promises"]:
            entry["processors_used_by_others"] = share
        results["machine"]["load_before"] = [0.0, 0.0, 0.0] if results is quiet else [99.0] * 3
    assert "others used" not in b["report"].text(quiet)
    assert "BUSY" not in b["report"].text(quiet)
    assert "others used 40% of the cores" in b["report"].text(busy)
    assert "measured while others used the cores" in b["report"].text(busy)
    assert "THE MACHINE WAS BUSY" in b["report"].text(busy)


def test_one_thread_is_not_compared_with_itself(tiny):
    alone = copy.deepcopy(tiny)
    alone["cases"][0]["contenders"]["compiled"]["threads"] = 1
    judged = {p["text"]: p for p in b["promises"].judge(alone)}
    assert judged["NADE gradient, threads against 1"]["reason"] == "the run has one thread"


def test_the_machines_own_work_is_checked(monkeypatch):
    inputs = b["inputs"].make_inputs(TINY["nade"], None)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    task = importlib.import_module("benchmarks.implementations.machine").MultiplyAdds(inputs)
    result, referee = task.result(), b["referee"].Referee(inputs)
    assert result["fixed_point"].shape == (2,)
    assert not referee.refusal(referee.errors(result))
    assert referee.refusal(referee.errors({"fixed_point": np.array([1.0, 0.0])}))


def test_growth_is_measured_within_a_case():
    def case(kind, letter, large, seconds, small):
        names = "compiled", f"compiled[{letter}={large // 4}]"
        contenders = {
            name: {"median": s, "seconds": [[s], [s]]}
            for name, s in zip(names, (seconds, small), strict=True)
        }
        return {"name": f"nade_{kind}_{letter}{large}", "contenders": contenders}

    cases = [case("grad", "N", 100, 4.4, 1.0), case("score", "H", 2000, 10.0, 2.0)]
    results = {"cases": cases, "check_only": True, "measures": {}, "limits": {}}
    grad, score = b["promises"].judge(results)
    assert "N from 25 to 100" in grad["text"]
    assert (grad["value"], grad["reached"]) == (pytest.approx(1.1, rel=1e-12), True)
    assert "H from 500 to 2000" in score["text"]
    assert (score["value"], score["reached"]) == (pytest.approx(1.25, rel=1e-12), False)


def test_a_contender_of_another_size_is_checked_at_that_size():
    case = Case("x", "grad", "nade", ("compiled", "compiled[D=5]", "blas[H=3]"), N=4, D=20)
    with b["runner"].Run("tiny", worker=without_peers, check_only=True) as state:
        outcome = state.case(case)["contenders"]
    assert [c["status"] for c in outcome.values()] == ["ok"] * 3
    with pytest.raises(ValueError, match="a contender is"):
        b["cases"].Contender.parse("compiled[K=3]", 2)


def swept():
    """A run with sweeps over threads and dtypes, in whole seconds."""

    def case(name, **medians):
        contenders = {k: {"median": float(s), "implementation": k.partition("@")[0]}
                      for k, s in medians.items() if s}  # fmt: skip
        return {"name": name, "kind": "grad", "bits": "data", "contenders": contenders}

    threads = {"compiled@1": 8, "jax.scan@1": 3, "compiled@2": 4, "jax.scan@2": None, "blas": 1}
    cases = [
        case("nade_grad", compiled=2, blas=1),
        case("nade_grad_threads", **threads),
        case("nade_grad_float64", compiled=5, numpy=7),
    ]
    return {"threads": 2, "cases": cases}


def test_threads_and_dtypes_stand_beside_each_other():
    rows = [line.split() for line in b["report"].PARTS["threads"](swept())]
    assert rows == [
        ["threads", "1", "thread", "2", "threads", "times", "as", "fast"],
        ["nade_grad", "compiled", "8", "s", "4", "s", "2", "x"],
        ["jax.scan", "3", "s", "-", "-"],
        [],
        ["dtypes", "float32", "float64", "times", "as", "long"],
        ["nade_grad", "compiled", "2", "s", "5", "s", "2.5", "x"],
        ["numpy", "-", "7", "s", "-"],
        [],
    ]
    assert not any(row[:1] == ["threads"] for row in map(
        str.split, b["report"].PARTS["threads"](swept() | {"threads": 1})))  # fmt: skip


def test_line_of_linear_growth_goes_through_the_middle():
    pytest.importorskip("matplotlib")
    pictures = importlib.import_module("benchmarks.pictures")
    cases = []
    for letter, values in b["cases"].STEPS.items():
        for k, v in enumerate(values):
            contenders = {
                name: {"median": seconds, "implementation": name}
                for name, seconds in (("compiled", (k + 1) * 1e-3), ("blas", 1e-4))
            }
            cases.append({"name": f"nade_grad_{letter}{v}", "contenders": contenders})
    figure = pictures.sweeps({"cases": cases, "threads": 2, "machine": {"cpu": "a processor"}})
    for axes, values in zip(figure.axes, b["cases"].STEPS.values(), strict=True):
        ours, linear, blas = (line.get_ydata() for line in axes.lines)
        np.testing.assert_allclose(ours, [1, 2, 3, 4, 5], rtol=1e-12)
        np.testing.assert_allclose(linear, [0.75, 1.5, 3, 6, 12], rtol=1e-12)
        assert len(blas) == len(values)


def test_page_takes_a_run(tiny, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("A\n<!-- begin: promises -->\nold\n<!-- end: promises -->\nB\n"
                    "<!-- begin: growth -->\nstays\n<!-- end: growth -->\n")  # fmt: skip
    b["results"].save(tiny, tmp_path / "results.json")
    (tmp_path / "ratios.png").write_bytes(PICTURE)
    for _ in range(2):  # a second time changes nothing
        assert main(["page", str(page), str(tmp_path)]) == 0
        text = page.read_text()
        assert "old" not in text
        assert text.count("promise ") == 1
        assert "stays" in text
        assert text.startswith("A\n<!-- begin: promises -->\n```text\n")
    assert "filled: promises; left as they were: growth" in capsys.readouterr().out
    assert (tmp_path / "images" / "benchmark-ratios.png").read_bytes() == PICTURE
    assert main(["page", str(tmp_path / "none.md"), str(tmp_path)]) == 2


def test_command_checks_and_writes(tmp_path, capsys):
    arguments = ["--profile", "tiny", "--only", "fvsbn_grad_one", "--out", str(tmp_path)]
    assert main(arguments) == 0
    results = b["results"].load(tmp_path / "results.json")
    assert [case["name"] for case in results["cases"]] == ["fvsbn_grad_one"]
    assert (tmp_path / "report.txt").read_text() in capsys.readouterr().out
    assert main([*arguments[:2], "--only", "nothing", "--out", str(tmp_path)]) == 2
    assert main(["--data", str(tmp_path), "--out", str(tmp_path)]) == 2


def test_bits_come_from_the_folder_if_one_is_given(tmp_path):
    rows = np.random.default_rng(0).integers(2, size=(120, 784)).astype(np.uint8)
    np.savez(tmp_path / "binarized_mnist.npz", train=rows)
    loaded, note = b["inputs"].load_bits(tmp_path)
    assert "rows of train" in note
    x = b["inputs"].draw_bits(b["cases"].TABLE[0], loaded)
    assert {r.tobytes() for r in x} <= {r.tobytes() for r in rows}
    drawn, note = b["inputs"].load_bits(None)
    assert drawn is None
    assert "synthetic" in note
    assert b["inputs"].draw_bits(b["cases"].TABLE[0], None).mean() == pytest.approx(0.13, abs=0.01)
    np.savez(tmp_path / "binarized_mnist.npz", train=rows[:, :700])
    with pytest.raises(ValueError, match=r"shape \(n, 784\)"):
        b["inputs"].load_bits(tmp_path)


def test_every_promise_is_about_a_case_that_is_there():
    by_name = {case.name: case for case in b["cases"].TABLE}
    for promise in b["promises"].PROMISES:
        if isinstance(promise, b["promises"].Ratio):
            contenders = by_name[promise.case].contenders
            for rival in promise.against:
                assert any(c == rival or c.split(".")[0] == rival for c in contenders)


def test_full_profile_sweeps_sizes_threads_and_dtypes():
    full = b["cases"].make_profile("full", 2)
    grads = [c for c in full.cases if (c.kind, c.model) == ("grad", "nade")]
    assert {c.N for c in grads} >= {25, 50, 100, 200, 400}
    assert {c.D for c in grads} >= {196, 392, 784, 1568, 3136}
    assert {c.hidden for c in grads} >= {(125,), (250,), (500,), (1000,), (2000,)}
    assert {c.dtype for c in grads} == {"float32", "float64"}
    assert any({"compiled@1", "compiled@2"} <= set(c.contenders) for c in grads)
    assert len({c.name for c in full.cases}) == len(full.cases)
    assert all("torch.cumsum" in c.contenders for c in full.table if c.name == "nade_grad")


def test_little_programs_are_built_with_the_flags_of_the_kernels(tmp_path):
    compiling = importlib.import_module("benchmarks.compiling")
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    (flags,) = (
        ast.literal_eval(node.value) for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "FLAGS"
    )  # fmt: skip
    assert set(compiling.FLAGS) == set(flags["unix"]) - {"-g0", "-pthread"}
    if not compiling.shutil.which("cc"):
        pytest.skip("no C compiler")
    used = compiling.build(ROOT / "benchmarks" / "limits.c", tmp_path)[1]
    assert "associative" not in used  # it would take each multiply-add apart


@pytest.mark.skipif(not BUILT, reason="the steps end with the library's kernel")
def test_steps_are_right(tmp_path, monkeypatch, capsys):
    compiling = importlib.import_module("benchmarks.compiling")
    if not compiling.shutil.which("cc"):
        pytest.skip("no C compiler")
    steps = importlib.import_module("benchmarks.steps.__main__")
    monkeypatch.setattr(steps, "choose_cores", lambda n: [])  # do not pin the process of the tests
    assert steps.main(["--tiny", "--rounds", "1", "--out", str(tmp_path)]) == 0
    seconds = json.loads((tmp_path / "steps.json").read_text())["seconds"]
    assert set(seconds) == {"scoring", "gradient"}
    assert "the library's kernel" in capsys.readouterr().out
