"""One run: starts the workers, has every result checked, lets them take turns, gathers it all."""

import random
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks import cases, implementations, limits, machine, measures, promises
from benchmarks.counts import counts
from benchmarks.inputs import load_bits, make_inputs
from benchmarks.processes import NotHere, Worker, WorkerError, busy_seconds, choose_cores
from benchmarks.referee import Referee
from benchmarks.results import SCHEMA_VERSION
from benchmarks.stats import summary

REST = 0.03  # seconds after a turn: by then thread pools have stopped to spin and sleep
WARM = 0.02  # seconds of work before a turn is timed


class Run:
    """The state of a run: its workers, its folder for passing arrays, and what came out so far."""

    def __init__(self, profile, *, threads=2, data=None, only=(), check_only=False, say=print,
                 worker=Worker):  # fmt: skip
        self.cores = choose_cores(threads)
        self.threads = min(threads, len(self.cores)) if self.cores else threads
        self.profile_name, self.profile = profile, cases.make_profile(profile, self.threads)
        self.only, self.check_only, self.say = only, check_only, say
        self.rows, self.data_note = load_bits(data)
        self._make_worker, self.workers, self.missing, self.about = worker, {}, {}, {}

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
        self.log = open(self.folder / "log", "w+", encoding="utf-8")
        return self

    def __exit__(self, *_):
        for worker in self.workers.values():
            worker.close()
        self.log.close()
        shutil.rmtree(self.folder)

    def start_workers(self, contenders):
        """Start all processes that are not there yet, at once; importing takes them seconds."""
        wanted = dict.fromkeys((c.implementation, c.threads) for c in contenders)
        new = [key for key in wanted if key not in self.workers and key[0] not in self.missing]
        started = {key: self.new_worker(*key) for key in new}
        for worker in started.values():
            worker.tell("hello")
        for key, worker in started.items():
            try:
                about = worker.answer()["about"]
                self.workers[key] = worker
                if key[1] == self.threads:
                    self.about[key[0]] = about
                else:
                    self.about.setdefault(key[0], about)
            except NotHere as reason:
                self.missing[key[0]] = str(reason)
                worker.close()

    def new_worker(self, implementation, threads):
        return self._make_worker(implementation, threads, self.cores, self.log)

    def selected_cases(self):
        def wanted(case):
            return not self.only or any(word in case.name for word in self.only)

        return [case for case in self.profile.cases if wanted(case)]

    def case(self, case):
        """Check and time all contenders of a case."""
        contenders = {c: cases.Contender.parse(c, self.threads) for c in case.contenders}
        self.start_workers(contenders.values())
        inputs, outcome = make_inputs(case, self.rows), {}
        path = str(self.folder / "inputs.npz")
        for size in dict.fromkeys(c.size for c in contenders.values()):
            own = inputs if size is None else make_inputs(case.resized(*size), self.rows)
            own.save(path)
            referee = Referee(own)
            outcome |= {
                name: self._check(name, contender, path, referee)
                for name, contender in contenders.items() if contender.size == size
            }  # fmt: skip
        ready = {k: c for k, c in contenders.items() if outcome[k]["status"] == "ok"}
        disturbance = {} if self.check_only else self._take_turns(case, ready, outcome)
        for name in ready:
            self._worker(contenders[name]).ask("forget", task=name)
        return {
            "name": case.name, "kind": case.kind, "model": case.model, "sizes": case.sizes,
            "dtype": case.dtype, "bits": case.bits, "share_of_ones": float(inputs.x.mean()),
            "needs": counts(inputs), "yardstick": cases.YARDSTICK, **disturbance,
            "contenders": outcome,
        }  # fmt: skip

    def _worker(self, contender):
        if contender.implementation in self.missing:
            raise NotHere(self.missing[contender.implementation])
        return self.workers[contender.implementation, contender.threads]

    def _check(self, name, contender, path, referee):
        """Prepare a contender and compare its result with the definition; refused if wrong."""
        outcome = {"implementation": contender.implementation, "variant": contender.variant,
                   "threads": contender.threads}  # fmt: skip
        result = str(self.folder / "result.npz")
        try:
            worker = self._worker(contender)
            worker.ask("prepare", task=name, variant=contender.variant, inputs=path)
            worker.ask("check", task=name, result=result)
        except NotHere as reason:
            return outcome | {"status": "missing", "reason": str(reason)}
        except WorkerError as error:
            return outcome | {"status": "failed", "reason": str(error)}
        with np.load(result) as file:
            errors = referee.errors(dict(file))
        reason = referee.refusal(errors)
        worst = max(errors.values())
        outcome["relative_error"] = worst if np.isfinite(worst) else None
        return outcome | ({"status": "refused", "reason": reason} if reason else {"status": "ok"})

    def _take_turns(self, case, contenders, outcome):
        """Round by round, in a new order each time; only one works, the others sleep."""
        rounds = {name: [] for name in contenders}
        shuffle = random.Random(0).shuffle
        order = list(contenders)
        elsewhere = []
        for _ in range(self.profile.rounds_of(case)):
            shuffle(order)
            for name in order:
                seconds, others = self._turn(name, self._worker(contenders[name]))
                rounds[name].append(seconds)
                elsewhere += [others] if others is not None else []
        for name, seconds in rounds.items():
            outcome[name] |= {"seconds": seconds, **summary(seconds)}
        return {"processors_used_by_others": float(np.mean(elsewhere)) if elsewhere else None}

    def _turn(self, name, worker):
        """The times of a contender's calls; the share of its cores that others used meanwhile."""
        cores = self.cores
        before = busy_seconds(cores), worker.cpu_seconds(), time.perf_counter()
        answer = worker.ask("time", task=name, seconds=self.profile.seconds, warm=WARM)
        after = busy_seconds(cores), worker.cpu_seconds(), time.perf_counter()
        time.sleep(REST)
        if None in before or None in after:
            return answer["seconds"], None
        busy, own, wall = (b - a for a, b in zip(before, after, strict=True))
        return answer["seconds"], max(0.0, busy - own) / (wall * len(cores))

    def ask_limit(self, implementation, what, **settings):
        """Put a question to an implementation's worker: a value, or None and the reason."""
        contender = cases.Contender(implementation, "", self.threads)
        self.start_workers([contender])
        try:
            return self._worker(contender).ask("measure", what=what, **settings)
        except NotHere as reason:
            return {"value": None, "reason": str(reason)}


def _line(case):
    """A line of progress: who was how fast."""
    parts = []
    for name, c in case["contenders"].items():
        if c["status"] != "ok":
            parts.append(f"{name} {c['status'].upper()}")
        elif "median" in c:
            parts.append(f"{name} {1e3 * c['median']:.3g}")
        else:
            parts.append(f"{name} within {c['relative_error']:.0e}")
    unit = " ms: " if any("median" in c for c in case["contenders"].values()) else ": "
    return f"{case['name']}{unit}{', '.join(parts)}"


def measure_all(run):
    """A whole run, as the dictionary that becomes the JSON file."""
    started, start = datetime.now(UTC), time.perf_counter()
    selected, description = run.selected_cases(), machine.describe(run.cores)
    everyone = [cases.Contender.parse(c, run.threads) for case in selected for c in case.contenders]
    run.start_workers(everyone)
    limit_values, extra = {}, {}
    if not run.check_only and not run.only:
        dtypes = sorted({case.dtype for case in selected})
        seconds, last = run.profile.limits_seconds, machine.last_cache_bytes()
        limit_values = limits.measure(run.ask_limit, run.threads, seconds, dtypes, last)
    if not run.only:
        extra = measures.measure(run)
    timed = []
    for case in selected:
        timed.append(run.case(case))
        run.say(_line(timed[-1]))
    present = {name: {"available": True, "about": about} for name, about in run.about.items()}
    absent = {name: {"available": False, "reason": why} for name, why in run.missing.items()}
    results = {
        "schema_version": SCHEMA_VERSION,
        "profile": run.profile_name,
        "check_only": run.check_only,
        "started": started.isoformat(timespec="seconds"),
        "seconds": time.perf_counter() - start,
        "threads": run.threads,
        "data": run.data_note,
        "commit": machine.commit(),
        "machine": description | {"load_after": machine.load()},
        "versions": machine.versions(),
        "implementations": present | absent,
        "limits": limit_values,
        "measures": extra,
        "cases": timed,
    }
    return results | {"promises": promises.judge(results)}


def went_wrong(results):
    """Contenders that were refused or failed: (case, contender, reason)."""
    return [
        (case["name"], name, c["reason"])
        for case in results["cases"]
        for name, c in case["contenders"].items()
        if c["status"] in {"refused", "failed"}
        or (c["status"] == "missing" and c["implementation"] in implementations.OURS
            and results["implementations"].get(c["implementation"], {}).get("available"))
    ]  # fmt: skip


def show_log(run):
    """What the workers wrote to standard error: tracebacks of those that failed."""
    run.log.seek(0)
    sys.stderr.write(run.log.read())
