"""The tables of a run, within 80 columns."""

import textwrap

WIDTH = 80
DISTURBED = 0.05  # the share of the cores that others may use before a figure is doubtful


def table(rows, *, right=()):
    """Lines of aligned columns; ``right`` says which columns are numbers."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(w) if k in right else cell.ljust(w)
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def duration(seconds):
    """Three digits and a unit."""
    for unit, size in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 1000 * size else f"{seconds:.0f} s"
    return f"{seconds * 1e9:.3g} ns"


def number(value):
    """Three digits, without an exponent."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def wrap(text, indent="  "):
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")


def _size(n_bytes):
    return f"{n_bytes // 2**20} MiB" if n_bytes >= 2**20 else f"{n_bytes // 1024} KiB"


def _heading(results):
    m, about = results["machine"], results["implementations"]
    caches = ", ".join(
        f"L{c['level']} {_size(c['bytes'])}" for c in m["caches"] if c["type"] != "Instruction"
    )
    kernels = about.get("compiled", {}).get("about", {}).get("kernels", {})
    versions = ", ".join(f"{k} {v}" for k, v in results["versions"].items() if v)
    loads = m["load_before"], m["load_after"]
    load = [f"{x[0]:.2f}" if x else "unknown" for x in loads]
    tiny = results["profile"] == "tiny" and not results["check_only"]
    busy = loads[0] and loads[0][0] > 0.5 * m["processors"]
    facts = (
        f"processor: {m['cpu']}, {m['processors']} processors; {caches or 'caches unknown'}",
        f"threads: {results['threads']}, pinned to processors {m['pinned_to'] or 'none'}",
        f"kernels: {kernels.get('SIMD level', 'not built')}, {kernels.get('compiler', '')} "
        f"{kernels.get('compiler flags', '')}",
        f"BLAS: {'; '.join(about.get('blas', {}).get('about', {}).get('pools', ['not asked']))}",
        f"bits: {results['data']}",
        f"versions: {versions}",
        f"load of the machine before and after: {', '.join(load)}",
    )
    title = f"{results['profile']} profile, {results['started']}, {results['seconds']:.0f} s"
    lines = [title, *(line for fact in facts for line in wrap(fact))]
    if busy:
        lines.append("THE MACHINE WAS BUSY WITH OTHER WORK: the times below say little")
    if tiny:
        lines.append("TINY SIZES, to try the machinery: the times below say nothing")
    return lines


def _missing(results):
    absent = {k: v for k, v in results["implementations"].items() if not v["available"]}
    lines = [
        line
        for name, entry in absent.items()
        for line in wrap(f"MISSING: {name}, in every case below ({entry['reason']})")
    ]
    for case in results["cases"]:
        for name, c in case["contenders"].items():
            if c["status"] != "ok" and c["implementation"] not in absent:
                lines += wrap(f"{c['status'].upper()}: {case['name']}, {name}: {c['reason']}")
    return lines


def _times(case):
    """A table of a case's contenders: times, and how many times longer than the library's."""
    timed = {k: c for k, c in case["contenders"].items() if "median" in c}
    if not timed:
        return []
    sizes = case["sizes"]
    hidden = "-".join(map(str, sizes["H"])) or "none"
    title = (
        f"{case['name']}: N {sizes['N']}, D {sizes['D']}, H {hidden}, {case['dtype']}, "
        f"ones {case['share_of_ones']:.0%}"
    )
    busy = []
    if _was_disturbed(case):
        busy.append(f"  (others used {case['processors_used_by_others']:.0%} of the cores)")
    base = timed.get("compiled") or timed.get("compiled@1") or next(iter(timed.values()))
    rows = [("", "median", "quartiles", "", "calls", "ratio")]
    for name, c in sorted(timed.items(), key=lambda item: item[1]["median"]):
        low, high = duration(c["lower_quartile"]), duration(c["upper_quartile"])
        ratio = f"{number(c['median'] / base['median'])} x"
        rows.append((f"  {name}", duration(c["median"]), low, high, str(c["n_calls"]), ratio))
    return [title, *busy, *table(rows, right={1, 2, 3, 4, 5}), ""]


def limit(results, dtype, name):
    """A limit of the machine, or None."""
    return results["limits"].get(dtype, {}).get(name, {}).get("value")


def _limits(results):
    units = {
        "fma": ("multiply-add peak", "GFLOP/s"),
        "gemm": ("matrix product", "GFLOP/s"),
        "exponentials": ("exponentials, the kernels'", "G/s"),
        "numpy_exponentials": ("exponentials, NumPy's", "G/s"),
        "bandwidth": ("memory", "GB/s"),
    }
    rows, notes = [("", "", "", "")], []
    for group, entries in results["limits"].items():
        for name, entry in entries.items():
            title, unit = units[name]
            value = number(entry["value"] and entry["value"] / 1e9)
            rows.append((f"  {title}", group if group != "memory" else "", value, unit))
            if entry["value"] is None:
                notes += wrap(f"{title} not measured: {entry['reason']}")
    if len(rows) == 1:
        return []
    title = f"limits of this machine, {results['threads']} threads"
    return [title, *table(rows[1:], right={2}), *notes]


def shares(results, case):
    """The share of each limit that the library's kernel needed in its time; None if unknown."""
    mine = case["contenders"].get("compiled", {})
    if "median" not in mine or mine["threads"] != results["threads"]:
        return None
    needs, dtype = case["needs"], case["dtype"]
    rates = {
        "fma": (needs["flops"], limit(results, dtype, "fma")),
        "gemm": (needs["flops"], limit(results, dtype, "gemm")),
        "exponentials": (needs["exponentials"], limit(results, dtype, "exponentials")),
        "bandwidth": (needs["bytes"], limit(results, "memory", "bandwidth")),
    }
    return {k: amount / mine["median"] / r if r else None for k, (amount, r) in rates.items()}


def _shares(results):
    def percent(value):
        return "-" if value is None else f"{value:.0%}"

    columns = ("fma", "exponentials", "bandwidth")
    rows = [("", "multiply-adds", "exponentials", "memory", "of gemm")]
    for case in results["cases"]:
        if case["bits"] == "synthetic" or not (found := shares(results, case)):
            continue
        rows.append((f"  {case['name']}", *(percent(found[k]) for k in columns),
                     percent(found["gemm"])))  # fmt: skip
    if len(rows) == 1 or not results["limits"]:
        return []
    return ["share of the limits that the compiled kernels need in their time",
            *table(rows, right={1, 2, 3, 4})]  # fmt: skip


def _was_disturbed(entry):
    return (entry.get("processors_used_by_others") or 0) > DISTURBED


def _verdict(promise):
    if promise["value"] is None:
        return "NOT MEASURED"
    if promise["aim_reached"]:
        return "aim reached"
    if promise["bar"] is None:
        return "" if promise["aim"] is None else "below aim"
    return "reached" if promise["reached"] else "NOT REACHED"


def _promises(results):
    rows, notes = [("measured", "bar", "aim", "")], []
    for p in results["promises"]:
        sign = "<=" if p["at_most"] else ">="
        unit = {"times": "x", "": ""}.get(p["unit"], f" {p['unit']}")
        measured = f"{number(p['value'])}{unit if p['value'] is not None else ''}"
        aim = "" if p["aim"] is None else number(p["aim"])
        bar = "" if p["bar"] is None else f"{sign} {number(p['bar'])}"
        rows.append((measured, bar, aim, _verdict(p)))
        if p.get("reason") or p.get("missing"):
            why = p.get("reason") or f"without {', '.join(p['missing'])}"
            notes += wrap(f"{p['text']}: {why}")
    if len(rows) == 1:
        return []
    disturbed = [p["text"] for p in results["promises"] if _was_disturbed(p)]
    if disturbed:
        notes += wrap(f"{len(disturbed)} of these ratios were measured while others used the cores "
                      f"(more than {DISTURBED:.0%} of them): measure again", "")  # fmt: skip
    figures = table(rows, right={0, 1, 2})
    room = WIDTH - 2 - max(map(len, figures))
    texts = ["promise", *(p["text"] for p in results["promises"])]
    texts = [textwrap.shorten(t, room, placeholder=" ...") for t in texts]
    return [*(f"{t:{room}}  {f}" for t, f in zip(texts, figures, strict=True)), *notes]


def _growth(results):
    """The sweeps: time for each N D H, against that of the middle size."""
    lines = []
    for kind in ("grad", "score"):
        rows = [(f"nade_{kind}", "time", "ps each N D H", "against sgemm", "parameters")]
        for case in results["cases"]:
            c = case["contenders"]
            if case["bits"] != "synthetic" or case["kind"] != kind or "median" not in c["compiled"]:
                continue
            s, mine = case["sizes"], c["compiled"]["median"]
            each = mine / (s["N"] * s["D"] * s["H"][0]) * 1e12
            sgemm = mine / c["blas"]["median"] if "median" in c["blas"] else None
            size = case["name"].removeprefix(f"nade_{kind}_")
            megabytes = f"{8 * s['D'] * s['H'][0] / 2**20:.2g} MiB"
            rows.append((f"  {size}", duration(mine), number(each), f"{number(sgemm)} x",
                         megabytes))  # fmt: skip
        lines += [*table(rows, right={1, 2, 3, 4}), ""] if len(rows) > 1 else []
    return lines


def _threads(results):
    """The sweeps over threads and over dtypes: each contender's times beside each other."""
    by_name = {case["name"]: case for case in results["cases"]}
    counts = range(1, results["threads"] + 1)
    of_threads, of_dtypes = [], []
    for name, case in by_name.items():
        work, _, swept = name.rpartition("_")
        if swept == "threads" and len(counts) > 1:
            for c in dict.fromkeys(c.partition("@")[0] for c in case["contenders"] if "@" in c):
                of_threads.append((work, c, [_median(case, f"{c}@{n}") for n in counts]))
        if swept == "float64":
            pair = by_name.get(work), case
            of_dtypes += [(work, c, [_median(p, c) for p in pair]) for c in case["contenders"]]
    heads = [f"{n} thread{'s' if n > 1 else ''}" for n in counts]
    return [
        *_side_by_side(["threads", "", *heads, "times as fast"], of_threads, lambda a, b: a / b),
        *_side_by_side(["dtypes", "", "float32", "float64", "times as long"], of_dtypes,
                       lambda a, b: b / a),
    ]  # fmt: skip


def _median(case, contender):
    return case["contenders"].get(contender, {}).get("median") if case else None


def _side_by_side(heads, measured, ratio):
    """A table of times in columns; after them, the ratio of the first and the last."""
    rows, before = [heads], None
    for work, contender, times in measured:
        if any(times):
            both = times[0] and times[-1]
            shown = [duration(t) if t else "-" for t in times]
            shown.append(f"{number(ratio(times[0], times[-1]))} x" if both else "-")
            rows.append([f"  {work}" if work != before else "", contender, *shown])
            before = work
    right = set(range(2, len(heads)))
    return [*table(rows, right=right), ""] if len(rows) > 1 else []


def _all_times(results):
    return [line for case in results["cases"] for line in _times(case)]


#: The parts of a report, in their order.
PARTS = {
    "heading": _heading,
    "missing": _missing,
    "limits": _limits,
    "times": _all_times,
    "growth": _growth,
    "threads": _threads,
    "shares": _shares,
    "promises": _promises,
}


def text(results):
    """All tables of a run."""
    blocks = [part(results) for part in PARTS.values()]
    return "\n\n".join("\n".join(block).rstrip() for block in blocks if block) + "\n"
