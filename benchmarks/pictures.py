"""The pictures of a run: the roofline, each promise's ratio beside its bar, and the sweeps."""

import numpy as np
from matplotlib.figure import Figure

from benchmarks.cases import STEPS
from benchmarks.report import limit

COLORS = {"compiled": "C0", "numpy": "C1", "torch": "C2", "jax": "C3", "blas": "0.5",
          "machine": "0.7"}  # fmt: skip


def draw(results, folder):
    """Draw what the run has figures for; the paths."""
    made = []
    for name, picture in (("roofline", roofline), ("ratios", ratios), ("sweeps", sweeps)):
        figure = picture(results)
        if figure is not None:
            made.append(folder / f"{name}.png")
            figure.savefig(made[-1], bbox_inches="tight", dpi=120, metadata={"Software": None})
    return made


def roofline(results):
    """Work done a second over work for each byte; the roofs are this machine's."""
    bandwidth = limit(results, "memory", "bandwidth")
    peak = limit(results, "float32", "fma") or limit(results, "float32", "gemm")
    points = [case for case in results["cases"] if _is_point(case)]
    if not (bandwidth and peak and points):
        return None
    figure = Figure(figsize=(8, 5))
    axes = figure.subplots()
    x = np.geomspace(0.1, 1000, 200)
    axes.loglog(x, np.minimum(peak, bandwidth * x) / 1e9, "k", label="multiply-adds and memory")
    gemm = limit(results, "float32", "gemm")
    if gemm:
        axes.axhline(gemm / 1e9, color="0.5", ls=":", label="best matrix product")
    rate = limit(results, "float32", "exponentials")
    for k, case in enumerate(points):
        needs, median = case["needs"], case["contenders"]["compiled"]["median"]
        intensity = needs["flops"] / needs["bytes"]
        axes.plot(intensity, needs["flops"] / median / 1e9, "o", color=f"C{k % 10}",
                  label=case["name"])  # fmt: skip
        if rate and needs["exponentials"]:  # the same units make both: their times add up
            bound = needs["flops"] / peak + needs["exponentials"] / rate
            bound = max(bound, needs["bytes"] / bandwidth)
            axes.plot(intensity, needs["flops"] / bound / 1e9, "_", ms=14, color=f"C{k % 10}")
    axes.plot([], [], "k_", ms=14, label="its roof with its exponentials")
    axes.set(xlabel="floating-point operations needed for each byte of compulsory traffic",
             ylabel="GFLOP/s that are needed", title=_subtitle(results))  # fmt: skip
    axes.legend(fontsize=8, bbox_to_anchor=(1, 1), loc="upper left")
    axes.grid(alpha=0.3)
    return figure


def _is_point(case):
    mine = case["contenders"].get("compiled", {})
    return (
        "median" in mine and case["dtype"] == "float32" and case["bits"] != "synthetic"
        and case["sizes"]["N"] > 1 and not case["name"].endswith(("_threads", "_simd"))
    )  # fmt: skip


def ratios(results):
    """Each promise that is a ratio: measured, with quartiles, beside bar and aim."""
    shown = [p for p in results["promises"] if p["value"] is not None and "against" in p]
    if not shown:
        return None
    figure = Figure(figsize=(8, 0.42 * len(shown) + 1))
    axes = figure.subplots()
    for y, p in enumerate(reversed(shown)):
        color = "C2" if p["aim_reached"] or (p["reached"] and p["aim"] is None) else "C0"
        color = {True: color, False: "C3", None: "0.7"}[p["reached"]]
        axes.barh(y, p["value"], color=color, alpha=0.8, height=0.6)
        axes.plot([p["lower_quartile"], p["upper_quartile"]], [y, y], "k", lw=1)
        if p["bar"] is not None:
            axes.plot(p["bar"], y, "k|", ms=16, mew=2)
        if p["aim"] is not None:
            axes.plot(p["aim"], y, "k*", ms=7)
    texts = [p["text"] + (" (at most)" if p["at_most"] else "") for p in reversed(shown)]
    axes.set_yticks(range(len(shown)), texts, fontsize=8)
    axes.set(xscale="log", xlabel="times; | the bar, * the aim, line: quartiles",
             title=_subtitle(results))  # fmt: skip
    axes.grid(alpha=0.3, axis="x")
    return figure


def sweeps(results):
    """Time over each of N, D and H; a thin line is linear growth through the library's middle."""
    by_name = {case["name"]: case for case in results["cases"]}
    kinds = [k for k in ("score", "grad") if f"nade_{k}_N{STEPS['N'][0]}" in by_name]
    if not kinds:
        return None
    figure = Figure(figsize=(9, 3 * len(kinds)))
    axes = figure.subplots(len(kinds), 3, sharey="row", squeeze=False)
    for row, kind in zip(axes, kinds, strict=True):
        for panel, (letter, values) in zip(row, STEPS.items(), strict=True):
            _sweep(panel, [by_name[f"nade_{kind}_{letter}{v}"] for v in values], values)
            panel.set(xlabel=letter)
        row[0].set(ylabel=f"NADE {kind}, ms")
    handles = axes[0, -1].get_legend_handles_labels()
    figure.legend(*handles, fontsize=8, ncols=5, loc="upper center", bbox_to_anchor=(0.5, 0))
    figure.suptitle(_subtitle(results), fontsize=10)
    figure.tight_layout()
    return figure


def _sweep(panel, cases, values):
    for name in cases[0]["contenders"]:
        c = [case["contenders"].get(name, {}) for case in cases]
        if all("median" in each for each in c):
            medians = [1e3 * each["median"] for each in c]
            panel.loglog(values, medians, ".-", color=COLORS[c[0]["implementation"]], label=name)
            if name == "compiled":
                middle = len(values) // 2
                linear = [medians[middle] * v / values[middle] for v in values]
                panel.loglog(values, linear, "k", lw=0.6, zorder=1, label="linear in the size")
    panel.set_xticks(values, [str(v) for v in values], fontsize=7)
    panel.minorticks_off()
    panel.grid(alpha=0.3)


def _subtitle(results):
    return f"{results['machine']['cpu']}, {results['threads']} threads, float32"
