"""Who takes part: one module each, with the tasks that it can do.

A module has ``about()``, its versions, and ``TASKS``, from ``(kind, model, variant)`` to a class or
function that takes the `Inputs` and makes a `Task`; ``"*"`` stands for every model.
"""

import importlib

MODULES = {
    "compiled": "ours",
    "numpy": "ours",
    "torch": "with_torch",
    "jax": "with_jax",
    "blas": "blas",
    "machine": "machine",
}

#: Those that every run must have; the others are peers, and may be missing.
OURS = ("compiled", "numpy", "blas")


class Missing(Exception):
    """An implementation is not installed here."""


class Unsupported(Exception):
    """An implementation is here, but cannot do this task."""


class Task:
    """One computation, ready to run: ``run`` is timed, ``result`` is what the referee looks at."""

    def run(self):
        raise NotImplementedError

    def result(self):
        """Named arrays: what one run computes from the state that ``reset`` makes."""
        raise NotImplementedError

    def reset(self):
        """Back to the initial parameters; called before each round and before ``result``."""


def load(name):
    """The module of an implementation, or `Missing` with the reason."""
    module = importlib.import_module(f"{__name__}.{MODULES[name]}")
    try:
        module.start(name)
    except ImportError as error:
        raise Missing(str(error)) from error
    return module


def find_task(module, variant):
    """From a variant to a function that makes the task from inputs."""

    def make(inputs):
        for model in (inputs.model, "*"):
            if (inputs.kind, model, variant) in module.TASKS:
                return module.TASKS[inputs.kind, model, variant](inputs)
        what = f"{inputs.kind} of {inputs.model}" + (f", variant {variant!r}" if variant else "")
        raise Unsupported(f"{module.__name__.split('.')[-1]} has no {what}")

    return make
