"""Promise: models survive pickle, copies and other processes, and threads may share one."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import joblib
import numpy as np
import properties
import pytest
import registry

ENOUGH = 4  # threads, and calls in each


def work(model, x, seed):
    nll, grads = model.nll_and_grads(x)
    loss, _ = model.training_loss_and_grads(x, rng=seed)
    results = [
        model.log_prob(x),
        model.log_conditionals(x),
        model.forward(x)[0],
        model.sample(50, rng=seed),
        *grads.values(),
    ]
    return [np.array([nll, loss]), *results]


def test_threads_may_share_a_model(model):
    xs = [registry.rows(model, n=40 + k, seed=k) for k in range(ENOUGH)]
    wanted = [work(model, x, seed) for seed, x in enumerate(xs)]
    barrier = Barrier(ENOUGH)

    def at_once(seed):
        barrier.wait(timeout=60)
        return [work(model, xs[seed], seed) for _ in range(ENOUGH)]

    with ThreadPoolExecutor(ENOUGH) as pool:
        for seed, results in enumerate(pool.map(at_once, range(ENOUGH))):
            for result in results:
                for array, alone in zip(result, wanted[seed], strict=True):
                    properties.same_bits(array, alone, "what a thread got")


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        *(
            lambda model, p=protocol: pickle.loads(pickle.dumps(model, p))
            for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)
def test_copies(model, copied):
    other = copied(model)
    assert type(other) is type(model)
    assert other.config() == model.config()
    assert not other.order.flags.writeable
    x = registry.rows(model)
    for array, wanted in zip(work(other, x, 3), work(model, x, 3), strict=True):
        properties.same_bits(array, wanted, "what the copy says")
    before = model.log_prob(x)
    for name, p in other.params.items():
        properties.same_bits(p, model.params[name], name)
        assert not np.shares_memory(p, model.params[name])
        p += 1
    properties.same_bits(model.log_prob(x), before, "log_prob of the original")
    assert (other.log_prob(x) != before).any()


@pytest.mark.slow
def test_processes_of_joblib():
    models = [registry.make(case) for case in registry.representatives()]
    calls = [joblib.delayed(model.log_prob)(registry.rows(model)) for model in models]
    calls += [joblib.delayed(model.sample)(9, rng=1) for model in models]
    results = joblib.Parallel(n_jobs=2)(calls)
    wanted = [model.log_prob(registry.rows(model)) for model in models]
    wanted += [model.sample(9, rng=1) for model in models]
    for result, alone in zip(results, wanted, strict=True):
        properties.same_bits(result, alone, "what another process says")


def test_read_only_parameters_can_be_scored(typical):
    """joblib hands large arrays over as read-only memory maps."""
    x = registry.rows(typical)
    wanted = work(typical, x, 0)
    for p in typical.params.values():
        p.flags.writeable = False
    for array, before in zip(work(typical, x, 0), wanted, strict=True):
        properties.same_bits(array, before, "with read-only parameters")


def test_a_model_that_keeps_its_batch_is_caught(monkeypatch):
    """The check above can fail: each thread writes its rows into the model, and reads another's."""
    model = registry.make("nade-cycle")
    original, barrier = type(model)._forward, Barrier(2)

    def keeps_its_batch(self, x, draw=None):
        self.x = x
        barrier.wait(timeout=60)
        return original(self, self.x, draw)

    xs = [registry.rows(model, seed=seed) for seed in range(2)]
    wanted = [model.log_prob(x) for x in xs]
    monkeypatch.setattr(type(model), "_forward", keeps_its_batch)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(model.log_prob, xs))
    assert any((a != b).any() for a, b in zip(results, wanted, strict=True))
