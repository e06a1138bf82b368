"""The library itself, on its compiled or its NumPy side, through its public interface."""

import time
import tracemalloc
from dataclasses import replace

import numpy as np

from benchmarks import definition
from benchmarks.implementations import Missing, Task, Unsupported
from benchmarks.inputs import SEED, Inputs

pyarsimple = None


def start(name):
    """Import the library on the side that is asked for; threads come from the environment."""
    global pyarsimple
    import pyarsimple
    import pyarsimple.optimizers

    try:
        pyarsimple.backend(name)
    except RuntimeError as error:
        raise Missing(str(error)) from error


def about():
    config = pyarsimple.show_config("dicts")
    config.pop("environment")
    return config


def make_model(inputs):
    """The library's model with the parameters of the case."""
    D = inputs.x.shape[1]
    if inputs.model == "fvsbn":
        model = pyarsimple.FVSBN(D, dtype=inputs.dtype)
    elif inputs.model == "nade":
        model = pyarsimple.NADE(D, inputs.hidden[0], dtype=inputs.dtype)
    else:
        model = pyarsimple.MADE(D, inputs.hidden, degrees=inputs.degrees, dtype=inputs.dtype)
    for name, p in inputs.params.items():
        model.params[name][...] = p
    return model


class Grad(Task):
    def __init__(self, inputs):
        self.x, self.model = inputs.x, make_model(inputs)

    def run(self):
        return self.model.nll_and_grads(self.x)

    def result(self):
        loss, grads = self.run()
        return {"loss": loss, **{f"grad.{k}": g for k, g in grads.items()}}


class Score(Task):
    def __init__(self, inputs):
        self.x, self.model = inputs.x, make_model(inputs)

    def run(self):
        return self.model.log_prob(self.x)

    def result(self):
        return {"log_prob": self.run()}


class Step(Task):
    """A whole training step: loss, gradient, and Adam's update."""

    def __init__(self, inputs):
        self.x, self.model, self.first = inputs.x, make_model(inputs), inputs.params
        self.adam = pyarsimple.optimizers.Adam(definition.LEARNING_RATE)

    def reset(self):
        self.adam = self.adam.fresh()
        for name, p in self.first.items():
            self.model.params[name][...] = p

    def run(self):
        loss, self.grads = self.model.training_loss_and_grads(self.x)
        self.adam.update(self.model.params, self.grads)
        return loss

    def result(self):
        self.reset()
        loss = self.run()
        params = {f"param.{k}": p for k, p in self.model.params.items()}
        return {"loss": loss, **{f"grad.{k}": g for k, g in self.grads.items()}, **params}


class Sample(Task):
    def __init__(self, inputs):
        self.n, self.model = len(inputs.x), make_model(inputs)

    def run(self):
        return self.model.sample(self.n, rng=SEED)

    def result(self):
        return {"x": self.run()}


class ScoreSamples(Sample):
    """Scoring the very images that the model drew."""

    def __init__(self, inputs):
        super().__init__(inputs)
        self.x = super().run()

    def run(self):
        return self.model.log_prob(self.x)

    def result(self):
        return {"x": self.x, "log_prob": self.run()}


class Adam(Task):
    """Adam's update alone; the gradients are the parameters in another order."""

    def __init__(self, inputs):
        self.first, self.grads = inputs.params, gradients_for_adam(inputs.params)
        self.params = {k: p.copy() for k, p in self.first.items()}
        self.adam = pyarsimple.optimizers.Adam(definition.LEARNING_RATE)

    def reset(self):
        self.adam = self.adam.fresh()
        for name, p in self.first.items():
            self.params[name][...] = p

    def run(self):
        self.adam.update(self.params, self.grads)

    def result(self):
        self.reset()
        self.run()
        return {f"param.{k}": p for k, p in self.params.items()}


def gradients_for_adam(params):
    """Some gradients, none of them 0: the parameters themselves, backwards."""
    return {k: np.ascontiguousarray(p.ravel()[::-1]).reshape(p.shape) for k, p in params.items()}


TASKS = {
    ("grad", "*", ""): Grad,
    ("score", "*", ""): Score,
    ("step", "*", ""): Step,
    ("sample", "*", ""): Sample,
    ("sample", "*", "score"): ScoreSamples,
    ("adam", "*", ""): Adam,
}


# What is measured besides time. Each is asked of a process that has done nothing else.


def _memory(field):
    """VmHWM (the high-water mark) or VmRSS (what is in use now) of this process, in bytes."""
    with open("/proc/self/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields[field].split()[0]) * 1024


def measure_extra_memory(inputs):
    """How far a gradient lifts the memory above what was in use before, in bytes; Linux only."""
    inputs = Inputs.load(inputs)
    task = Grad(inputs)
    Grad(replace(inputs, x=inputs.x[:1])).run()  # from here on threads and code are there
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # lowers the high-water mark to what is in use now
    except OSError as error:
        raise Unsupported(f"this system does not tell how high memory rose: {error}") from error
    before = _memory("VmRSS")
    task.run()
    return _memory("VmHWM") - before


def measure_adam_temporaries(inputs):
    """The most memory, in bytes, that arrays made during one of Adam's updates took."""
    task = Adam(Inputs.load(inputs))
    task.reset()
    task.run()  # the first makes the means, which stay
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    task.run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak - before


def measure_same_bits(inputs, threads):
    """Whether a NADE's loss, gradients and scores have the same bits for each number of threads."""
    inputs, seen = Inputs.load(inputs), set()
    for n in threads:
        with pyarsimple.set_num_threads(n):
            results = Grad(inputs).result() | Score(inputs).result()
        seen.add(b"".join(np.asarray(r).tobytes() for _, r in sorted(results.items())))
    return len(seen) == 1


def measure_exponentials(seconds, dtype="float32"):
    """Exponentials a second, of numbers that lie in the second-level cache, on all threads."""
    x = np.linspace(-20, 20, 16384).astype(dtype)
    compiled = pyarsimple.twins.active_backend() == "compiled"
    exponential = pyarsimple.twins.kernels.exponential if compiled else np.exp
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < seconds:
        before = time.perf_counter()
        for _ in range(10):
            exponential(x)
        best = min(best, time.perf_counter() - before)
    return 10 * x.size / best


def at_level(task, level):
    """The same task with the kernels of a lower SIMD level, where this machine has it."""

    class AtLevel(task):
        def __init__(self, inputs):
            super().__init__(inputs)
            self.kernels = pyarsimple.twins.kernels
            if self.kernels is None or level not in self.kernels.simd_levels():
                raise Unsupported(f"no SIMD level {level} here")

        def run(self):
            before = self.kernels.simd_level()
            self.kernels.set_simd_level(level)
            try:
                return super().run()
            finally:
                self.kernels.set_simd_level(before)

    return AtLevel


for _level in ("baseline", "avx2", "avx512"):
    TASKS["grad", "*", _level] = at_level(Grad, _level)
    TASKS["score", "*", _level] = at_level(Score, _level)
