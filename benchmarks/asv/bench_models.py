"""The models: what training, scoring and drawing cost."""

import numpy as np

import pyarsimple
from pyarsimple import optimizers

MODELS = {
    "fvsbn": lambda dtype: pyarsimple.FVSBN(784, dtype=dtype, rng=0),
    "nade-500": lambda dtype: pyarsimple.NADE(784, 500, dtype=dtype, rng=0),
    "made-500": lambda dtype: pyarsimple.MADE(784, (500,), dtype=dtype, rng=0),
    "made-2000-2000": lambda dtype: pyarsimple.MADE(784, (2000, 2000), dtype=dtype, rng=0),
}


def bits(n, dtype):
    """As many ones as in binarized MNIST."""
    return (np.random.default_rng(0).random((n, 784)) < 0.13).astype(dtype)


class Models:
    """A batch of 100, on each side where it is there."""

    params = (list(MODELS), ["float32", "float64"], ["compiled", "numpy"])
    param_names = ("model", "dtype", "backend")
    timeout = 300

    def setup(self, name, dtype, backend):
        try:
            self.side = pyarsimple.backend(backend)
        except RuntimeError as error:
            raise NotImplementedError from error  # asv's word for: skip this one
        self.model = MODELS[name](dtype)
        self.model.params["b"] -= 1.9  # images of as many ones
        self.x = bits(100, dtype)
        self.adam = optimizers.Adam()

    def teardown(self, name, dtype, backend):
        self.side.__exit__()

    def time_log_prob(self, name, dtype, backend):
        self.model.log_prob(self.x)

    def time_nll_and_grads(self, name, dtype, backend):
        self.model.nll_and_grads(self.x)

    def time_training_step(self, name, dtype, backend):
        _, grads = self.model.training_loss_and_grads(self.x)
        self.adam.update(self.model.params, grads)

    def time_sample(self, name, dtype, backend):
        self.model.sample(100, rng=0)


class OneRow:
    """A batch of one: what a call costs beside its arithmetic."""

    params = (["fvsbn", "nade-500", "made-500"],)
    param_names = ("model",)

    def setup(self, name):
        self.model, self.x = MODELS[name]("float32"), bits(1, "float32")

    def time_log_prob(self, name):
        self.model.log_prob(self.x)

    def time_nll_and_grads(self, name):
        self.model.nll_and_grads(self.x)


class Memory:
    """The most memory that a process with a gradient of 1000 rows takes."""

    params = (["nade-500", "made-500"],)
    param_names = ("model",)

    def setup(self, name):
        self.model, self.x = MODELS[name]("float32"), bits(1000, "float32")

    def peakmem_nll_and_grads(self, name):
        self.model.nll_and_grads(self.x)


class Import:
    """What ``import pyarsimple`` takes, NumPy and SciPy included."""

    def timeraw_import(self):
        return "import pyarsimple"
