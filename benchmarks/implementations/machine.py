"""The machine itself: multiply-adds that wait for nothing, on so many threads.

Their work is divided evenly and shares no data, so twice the threads should need half the time.
Where they do not, because two processors are halves of one core or others use them, no kernel can.
"""

import os

import numpy as np

from benchmarks import limits
from benchmarks.compiling import NoCompiler, Threads
from benchmarks.implementations import Task, Unsupported

ROUNDS = 1_000_000  # some milliseconds on one thread, beside which handing it out does not count


def start(name):
    """Nothing to prepare."""


def about():
    return {}


class MultiplyAdds(Task):
    def __init__(self, inputs):
        threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
        self.rounds = ROUNDS // threads
        self.sinks = np.zeros((threads, 64), inputs.dtype)
        try:
            self.peak = limits.load_peak(inputs.dtype)
        except NoCompiler as error:
            raise Unsupported(str(error)) from error
        self.pool = Threads(threads)

    def run(self):
        self.pool.run(lambda part: self.peak(self.rounds, self.sinks[part].ctypes.data))

    def result(self):
        """What x = x / 2 + 1 / 2 leads to, from each lane of each chain: 1."""
        numbers = self.peak(1, self.sinks.ctypes.data) / 2  # of a round, a multiply-add for each
        self.sinks[:] = 0
        self.run()
        return {"fixed_point": self.sinks[:, 0] / numbers}


TASKS = {("grad", "*", ""): MultiplyAdds, ("score", "*", ""): MultiplyAdds}
