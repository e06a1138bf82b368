"""What the benchmark ran on: processor, caches, system, versions, load."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from benchmarks.compiling import compiler_version
from benchmarks.processes import ROOT

PACKAGES = ("pyarsimple", "numpy", "scipy", "cython", "torch", "jax", "jaxlib", "threadpoolctl")


def _read(path, default=None):
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return default


def _run(*command):
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


def cpu_name():
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return _run("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor() or "unknown"


def caches():
    """The caches that the first processor sees, as [{level, type, bytes, shared_by}]."""
    units = {"K": 1024, "M": 1024**2, "G": 1024**3}
    found = []
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        size = _read(index / "size", "0")
        n_bytes = int(size[:-1]) * units[size[-1]] if size[-1] in units else int(size)
        found.append({
            "level": int(_read(index / "level", "0")), "type": _read(index / "type", "unknown"),
            "bytes": n_bytes, "shared_by": _read(index / "shared_cpu_list", "unknown"),
        })  # fmt: skip
    return found


def last_cache_bytes():
    return max((c["bytes"] for c in caches()), default=32 * 2**20)


def memory_bytes():
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def load():
    """The load averages over 1, 5 and 15 minutes; None where the system has none."""
    try:
        return list(os.getloadavg())
    except (AttributeError, OSError):
        return None


def versions():
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def commit():
    """The library's commit, marked where files differ from it; None outside a checkout."""
    name = _run("git", "rev-parse", "HEAD")
    if name and _run("git", "status", "--porcelain", "--untracked-files=no", "pyarsimple"):
        name += " and changes"
    return name


def describe(cores):
    frequency = _read("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
    return {
        "cpu": cpu_name(),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "pinned_to": cores,
        "max_frequency_hz": int(frequency) * 1000 if frequency else None,
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "caches": caches(),
        "memory_bytes": memory_bytes(),
        "system": platform.platform(),
        "compiler_here": compiler_version(),
        "load_before": load(),
    }
