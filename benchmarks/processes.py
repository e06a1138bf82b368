"""The parent's side of a worker: starts it, pins it, asks it, and sees who used the processors."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Every library that the implementations use reads its number of threads from one of these.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "PYARSIMPLE_NUM_THREADS",
)


class WorkerError(RuntimeError):
    """A worker failed at what it was asked to do."""


class NotHere(WorkerError):
    """The implementation is not installed, or cannot do the task; the text says why."""


def choose_cores(n):
    """Processors to pin n threads to, one of each physical core first; empty if unknown."""
    try:
        usable = sorted(os.sched_getaffinity(0))
    except AttributeError:
        return []
    siblings = {}
    for core in usable:
        path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
        siblings.setdefault(path.read_text() if path.exists() else core, []).append(core)
    rounds = max(map(len, siblings.values()))
    ordered = [g[k] for k in range(rounds) for g in siblings.values() if k < len(g)]
    return ordered[:n]


class Worker:
    """A process that holds one implementation, with its threads on the first of ``cores``."""

    def __init__(self, implementation, threads, cores, log):
        own = cores[:threads]
        count = {name: str(threads) for name in THREAD_VARIABLES}
        environment = {k: v for k, v in os.environ.items() if k != "PYARSIMPLE_BACKEND"}
        if implementation == "numpy":
            environment["PYARSIMPLE_BACKEND"] = "numpy"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", implementation, ",".join(map(str, own))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT,
            env=environment | count,
        )  # fmt: skip
        self.name = f"{implementation}@{threads}"

    def ask(self, op, **arguments):
        """Give an order and wait for its answer."""
        self.tell(op, **arguments)
        return self.answer()

    def tell(self, op, **arguments):
        with contextlib.suppress(BrokenPipeError):  # it said why it left; or `answer` says so
            self.process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
            self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise WorkerError(f"{self.name} ended with status {code} and no answer")
        answer = json.loads(line)
        if "missing" in answer or "unsupported" in answer:
            raise NotHere(answer.get("missing") or answer["unsupported"])
        if "error" in answer:
            raise WorkerError(f"{self.name}: {answer['error']}")
        return answer

    def cpu_seconds(self):
        """What all threads of the worker have used so far; None where the system does not tell."""
        try:
            with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        """End the process at once: it has nothing to save, and some frameworks take seconds."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()


def busy_seconds(cores):
    """What everybody has used of these processors so far; None where the system does not tell."""
    wanted = {f"cpu{core}" for core in cores}
    try:
        with open("/proc/stat", encoding="ascii") as file:
            rows = [line.split() for line in file if line.startswith("cpu")]
    except OSError:
        return None
    # user, nice, system, idle, iowait, irq, softirq, steal
    ticks = [sum(map(int, r[1:4])) + sum(map(int, r[6:9])) for r in rows if r[0] in wanted]
    return sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else None
