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
        gc.freeze()  # what the framework made stays: to look through it takes PyTorch 0.2 s a turn
        self.tasks = {}

    def hello(self):
        return {"about": self.implementation.about()}

    def prepare(self, task, variant, inputs):
        task_of = implementations.find_task(self.implementation, variant)
        self.tasks[task] = task_of(Inputs.load(inputs))
        return {}

    def check(self, task, result):
        np.savez(result, **self.tasks[task].result())
        return {}

    def time(self, task, seconds, warm, max_calls=200):
        """Warm up (a thread pool that slept is slow at first), then time each call.

        Of a slow task the first call is the time: what it compiles, the check has compiled.
        """
        run = self.tasks[task].run
        self.tasks[task].reset()
        gc.collect()
        gc.disable()
        try:
            start, last = time.perf_counter(), 0.0
            while not last or time.perf_counter() - start < warm:
                last = time_call(run)
                if last > SLOW:
                    return {"seconds": [last]}
            n_calls = int(min(max_calls, max(1, seconds / last)))
            return {"seconds": [time_call(run) for _ in range(n_calls)]}
        finally:
            gc.enable()

    def measure(self, what, **settings):
        return {"value": getattr(self.implementation, f"measure_{what}")(**settings)}

    def forget(self, task):
        self.tasks.pop(task, None)
        return {}


def time_call(run):
    before = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - before) / 1e9


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
