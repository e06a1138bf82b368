"""Is the library slower than it was? Two runs, compared by ratios to a yardstick of their own.

A time by itself says little: the machine may differ, or be busy. So each time is first divided by
that of the yardstick (matrix products of the case's size), which took turns with it in its own run.
"""

from benchmarks.report import duration, number, table, wrap
from benchmarks.stats import ratio

IMPLEMENTATIONS = ("compiled", "numpy")  # the library's; a peer's speed is not its fault


def parse_share(text):
    """0.1 from ``10%`` or ``0.1``."""
    value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= value < float("inf"):
        raise ValueError(f"a share must be at least 0%, got {text!r}")
    return value


def relative_times(results):
    """(case, contender) -> how many times the yardstick's time it took, and its own time."""
    times = {}
    for case in results["cases"]:
        yardstick = case["contenders"].get(case["yardstick"], {})
        if "median" not in yardstick:
            continue
        for name, c in case["contenders"].items():
            if c["implementation"] in IMPLEMENTATIONS and "median" in c:
                r = ratio(c["seconds"], yardstick["seconds"])
                times[case["name"], name] = r | {"seconds": c["median"]}
    return times


def compare(before, after, fail_above):
    """The lines of the comparison, and what is slower by more than ``fail_above``, or gone.

    What only one of the runs measured counts as gone if both ran the same profile.
    """
    old, new = relative_times(before), relative_times(after)
    common = [key for key in old if key in new]
    if not common:
        return ["the two runs have no case in common"], ["nothing was compared"]
    rows, failures = [("", "before", "after", "times yardstick", "", "change")], []
    for key in common:
        a, b = old[key], new[key]
        change = b["median"] / a["median"] - 1
        name = " ".join(key)
        rows.append((name, duration(a["seconds"]), duration(b["seconds"]), number(a["median"]),
                     number(b["median"]), f"{change:+.1%}"))  # fmt: skip
        if change > fail_above:
            failures.append(f"{name} is slower by {change:.1%}")
    gone = [" ".join(key) for key in old if key not in new]
    if before["profile"] == after["profile"]:
        failures += [f"{name} was measured before, and is not now" for name in gone]
    elif gone:
        rows.append((f"({len(gone)} more before, of another profile)", "", "", "", "", ""))
    return _caveats(before, after) + table(rows, right={1, 2, 3, 4, 5}), failures


def _caveats(before, after):
    """Where the two runs differ in more than the library."""
    lines = []
    for what, a, b in (
        ("processors", before["machine"]["cpu"], after["machine"]["cpu"]),
        ("threads", before["threads"], after["threads"]),
        ("bits", before["data"], after["data"]),
        ("NumPy", before["versions"]["numpy"], after["versions"]["numpy"]),
    ):
        if a != b:
            lines += wrap(f"note: the runs differ in {what}: {a} / {b}", "")
    return lines
