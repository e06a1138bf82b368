"""The speeds that the library promises, each with the bar it must clear and the aim beyond it.

"Gradient" is loss and gradient together, "step" a whole training step with Adam.
"""

from dataclasses import dataclass

from benchmarks.cases import STEPS
from benchmarks.stats import ratio

MIB = 2**20


@dataclass(frozen=True)
class Ratio:
    """``measured`` is faster than the best of ``against``, or takes at most so many times as long.

    ``against`` names contenders, or implementations, of which the fastest variant counts. Without a
    bar it is there to be compared with the others.
    """

    text: str
    case: str
    against: tuple[str, ...]
    bar: float | None
    aim: float | None = None
    at_most: bool = False
    measured: str = "compiled"


@dataclass(frozen=True)
class Measure:
    """A measured number, of which at most (or at least) so much is allowed; or only an aim."""

    text: str
    measure: str
    unit: str
    bar: float | None
    aim: float | None = None
    at_most: bool = True


PEERS = ("torch", "jax")

PROMISES = (
    Ratio("NADE gradient, against PyTorch and JAX", "nade_grad", PEERS, 30, 60),
    Ratio("NADE score, against PyTorch and JAX", "nade_score", PEERS, 9, 18),
    Ratio("NADE gradient, against three sgemm", "nade_grad", ("blas",), 3.3, 2,
          at_most=True),
    Ratio("NADE gradient, rows of 1, against PyTorch", "nade_grad_ones", ("torch",), 12, 20),
    Ratio("MADE 500, step, against PyTorch", "made_step", ("torch",), 1.7, 2.5),
    Ratio("MADE 2000-2000, step, against PyTorch", "made_step_deep", ("torch",), 1.7,
          2.5),
    Ratio("FVSBN gradient, against PyTorch", "fvsbn_grad", ("torch",), 1.7, 3),
    Ratio("MADE images, against D passes of PyTorch", "made_sample", ("torch",), 300,
          700),
    Ratio("MADE images, against scoring them", "made_sample", ("compiled.score",), 3, 1.5,
          at_most=True),
    Ratio("NADE images, against scoring them", "nade_sample", ("compiled.score",), 3, 1.5,
          at_most=True),
    Ratio("FVSBN images, against scoring them", "fvsbn_sample", ("compiled.score",), 3, 1.5,
          at_most=True),
    Ratio("Adam, against NumPy expressions", "adam", ("numpy",), 3),
    Measure("Adam, share of memory's bandwidth", "adam_share_of_bandwidth", "%", None, 90,
            at_most=False),
    Measure("Adam, temporary arrays", "adam_temporary_memory", "KiB", 16),
    Ratio("NADE gradient, threads against 1", "nade_grad", ("compiled@1",), 1.8),
    Ratio("- the machine itself, in those rounds", "nade_grad", ("machine@1",), None,
          measured="machine"),
    Ratio("NADE score, threads against 1", "nade_score", ("compiled@1",), 1.8),
    Ratio("- the machine itself, in these rounds", "nade_score", ("machine@1",), None,
          measured="machine"),
    Measure("NADE, same bits for 1, 2, 3, 5 threads", "same_bits", "", 1, at_most=False),
    Measure("NADE gradient, 1000 rows, extra memory", "nade_grad_extra_memory", "MiB", 64),
    Measure("import, beyond that of NumPy", "import_seconds", "ms", 100),
    Ratio("NADE score of one row, against NumPy", "nade_score_one", ("numpy",), 1),
    Ratio("NADE gradient of one row, against NumPy", "nade_grad_one", ("numpy",), 1),
    Ratio("MADE gradient of one row, against NumPy", "made_grad_one", ("numpy",), 1),
    Ratio("FVSBN gradient of one row, against NumPy", "fvsbn_grad_one", ("numpy",), 1),
)  # fmt: skip

SCALE = {"%": 100, "MiB": 1 / MIB, "KiB": 1 / 1024, "ms": 1e3, "": 1}


def judge(results):
    """What became of each promise, in a run; of those whose case was not run, nothing is said."""
    by_name = {case["name"]: case for case in results["cases"]}
    judged = []
    for promise in PROMISES:
        if isinstance(promise, Measure):
            judged += _judge_measure(promise, _value(promise.measure, results, by_name))
        elif promise.case in by_name and not results["check_only"]:
            case = by_name[promise.case]
            others = {"processors_used_by_others": case.get("processors_used_by_others")}
            judged.append(_judge_ratio(promise, case["contenders"]) | others)
    return judged + _growth(by_name)


def _verdict(value, bar, aim, at_most):
    if value is None:
        return {"reached": None, "aim_reached": None}
    clears = (lambda limit: value <= limit) if at_most else (lambda limit: value >= limit)
    return {
        "reached": None if bar is None else clears(bar),
        "aim_reached": None if aim is None else clears(aim),
    }


def _entry(promise, value, unit, **more):
    return {
        "text": promise.text, "value": value, "unit": unit, "at_most": promise.at_most,
        "bar": promise.bar, "aim": promise.aim, **more,
        **_verdict(value, promise.bar, promise.aim, promise.at_most),
    }  # fmt: skip


def _judge_ratio(promise, contenders):
    """Against the fastest of those that took part; who is missing stands beside it."""

    def belongs(name):
        default_threads = "@" not in name
        return name in promise.against or (
            default_threads and name.split(".")[0] in promise.against
        )

    rivals = [name for name in contenders if belongs(name)]
    timed = [name for name in rivals if "median" in contenders[name]]
    if contenders[promise.measured].get("threads") == 1 and promise.against[0].endswith("@1"):
        return _entry(promise, None, "times", case=promise.case, reason="the run has one thread")
    absent = [name for name in rivals if name not in timed]
    mine = contenders[promise.measured]
    if not timed or "median" not in mine:
        why = f"not timed: {', '.join(absent if 'median' in mine else [promise.measured])}"
        return _entry(promise, None, "times", case=promise.case, reason=why, missing=absent)
    best = min(timed, key=lambda name: contenders[name]["median"])
    pair = mine["seconds"], contenders[best]["seconds"]
    r = ratio(*(pair if promise.at_most else pair[::-1]))
    return _entry(
        promise, r["median"], "times", case=promise.case, against=best, missing=absent,
        lower_quartile=r["lower_quartile"], upper_quartile=r["upper_quartile"],
    )  # fmt: skip


def _value(name, results, by_name):
    """A measure of a run: {"value": ..., "reason": ...}, or None if it was not asked for."""
    if name != "adam_share_of_bandwidth":
        return results["measures"].get(name)
    adam = by_name.get("adam", {"contenders": {}})
    bandwidth = results["limits"].get("memory", {}).get("bandwidth", {}).get("value")
    median = adam["contenders"].get("compiled", {}).get("median")
    if not bandwidth or not median:
        return None
    return {"value": adam["needs"]["bytes"] / median / bandwidth}


def _judge_measure(promise, measured):
    if measured is None:
        return []
    if measured["value"] is None:
        return [_entry(promise, None, promise.unit, reason=measured["reason"])]
    return [_entry(promise, measured["value"] * SCALE[promise.unit], promise.unit)]


def _growth(by_name):
    """How the time grows with each size: that of four times the size, over four times the time.

    1 is linear. Both sizes took turns in the same rounds, so that no drift counts.
    """
    judged = []
    for kind in ("grad", "score"):
        for letter, values in STEPS.items():
            for small, large in zip(values, values[2:], strict=False):
                case = by_name.get(f"nade_{kind}_{letter}{large}", {"contenders": {}})
                pair = ("compiled", f"compiled[{letter}={small}]")
                both = [case["contenders"].get(name, {}) for name in pair]
                if not all("median" in c for c in both):
                    continue
                r = ratio(*(c["seconds"] for c in both))
                text = f"NADE {kind}, {letter} from {small} to {large}: over linear"
                entry = _entry(
                    Measure(text, "", "", 1.15), r["median"] * small / large, "times",
                    lower_quartile=r["lower_quartile"] * small / large,
                    upper_quartile=r["upper_quartile"] * small / large,
                )  # fmt: skip
                others = {"processors_used_by_others": case.get("processors_used_by_others")}
                judged.append(entry | others)
    return judged
