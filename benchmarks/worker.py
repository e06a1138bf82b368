"""One implementation in a process of its own: takes orders on standard input, one JSON a line.

    {"op": "hello"}                                    -> what it is: versions, threads
    {"op": "prepare", "task": ID, "variant": V, "inputs": FILE}
    {"op": "check", "task": ID, "result": FILE}        -> runs once, writes its result
    {"op": "time", "task": ID, "seconds": S, "warm": S} -> the time of each call
    {"op": "measure", "what": NAME, ...}               -> a limit of the machine, and the like
    {"op": "forget", "task": ID}

The worker sleeps between orders: it only reads. Whatever the frameworks print goes to standard
error, so that the answers stay clean.
"""

import gc
import json
import os
import sys
import time
import traceback

import numpy as np

from benchmarks import implementations
from benchmarks.inputs import Inputs

SLOW = 0.25  # seconds of a call beside which a cold thread pool does not count


class Worker:
    def __init__(self, implementation):
        self.implementation = implementations.load(implementation)
        self.tasks = {}
        self.cost = {}  # seconds of a call, when it was last run
        self.timed = set()

    def hello(self):
        return {"about": self.implementation.about()}

    def prepare(self, task, variant, inputs):
        task_of = implementations.find_task(self.implementation, variant)
        self.tasks[task] = task_of(Inputs.load(inputs))
        return {}

    def check(self, task, result):
        start = time.perf_counter()
        np.savez(result, **self.tasks[task].result())
        self.cost[task] = time.perf_counter() - start
        return {}

    def time(self, task, seconds, warm, max_calls=200):
        """Warm up (a thread pool that slept is slow at first), then time each call."""
        run = self.tasks[task].run
        self.tasks[task].reset()
        if not (task in self.timed and self.cost[task] > SLOW):
            start = time.perf_counter()
            while time.perf_counter() - start < warm:
                before = time.perf_counter()
                run()
                self.cost[task] = time.perf_counter() - before
        self.timed.add(task)
        n_calls = int(min(max_calls, max(1, seconds / max(self.cost[task], 1e-9))))
        gc.collect()
        gc.disable()
        try:
            times = []
            for _ in range(n_calls):
                before = time.perf_counter_ns()
                run()
                times.append((time.perf_counter_ns() - before) / 1e9)
        finally:
            gc.enable()
        return {"seconds": times}

    def measure(self, what, **settings):
        return {"value": getattr(self.implementation, f"measure_{what}")(**settings)}

    def forget(self, task):
        self.tasks.pop(task, None)
        return {}


def serve(worker, orders, answers):
    for line in orders:
        order = json.loads(line)
        try:
            answer = getattr(worker, order.pop("op"))(**order)
        except implementations.Unsupported as error:
            answer = {"unsupported": str(error)}
        except Exception as error:  # noqa: BLE001 (the parent decides what a failure means)
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, cores = sys.argv[1], [int(core) for core in sys.argv[2].split(",") if core]
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)  # before a framework counts its cores
    try:
        worker = Worker(name)
    except implementations.Missing as error:
        answers.write(json.dumps({"missing": str(error)}) + "\n")
        answers.flush()
        return
    serve(worker, sys.stdin, answers)


if __name__ == "__main__":
    main()
