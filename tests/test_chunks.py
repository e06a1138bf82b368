"""Promise: large inputs are taken in chunks under a memory limit, and nobody notices."""

import tracemalloc

import numpy as np
import properties
import pytest
import registry

from pyarsimple import MADE, NADE, autoregressive
from pyarsimple.autoregressive import row_blocks


@pytest.fixture(params=[1, 1000, 3000])
def tiny_limit(request, monkeypatch):
    """A row, or a few rows, at a time."""
    monkeypatch.setattr(autoregressive, "MEMORY_LIMIT", request.param)


def results(model, x):
    observed = np.zeros(model.n_dims, bool)
    observed[model.order[: model.n_dims // 2]] = True
    return {
        "log_prob": model.log_prob(x),
        "log_conditionals": model.log_conditionals(x),
        **properties._arrays("conditionals", model.conditionals(x)),
    }, {
        "samples": model.sample(len(x), rng=5),
        "completions": model.sample(len(x), rng=5, given=x, observed=observed),
        "completions of one": model.sample(len(x), rng=5, given=x[0], observed=observed),
    }


def test_row_blocks():
    assert list(row_blocks(7, 10, 30)) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert list(row_blocks(6, 10, 39)) == [slice(0, 3), slice(3, 6)]
    assert list(row_blocks(2, 1000, 30)) == [slice(0, 1), slice(1, 2)]  # a row at least
    assert list(row_blocks(0, 10, 30)) == []
    assert list(row_blocks(5, 0, 30)) == [slice(0, 5)]
    assert list(row_blocks(5, 10)) == [slice(0, 5)]  # under the limit of the module


def test_chunks_make_no_difference(model, monkeypatch):
    x = registry.rows(model, n=37)
    scores, samples = results(model, x)
    for limit in (1, 1000, 3000):
        monkeypatch.setattr(autoregressive, "MEMORY_LIMIT", limit)
        scores_now, samples_now = results(model, x)
        for name, value in scores_now.items():
            tolerance = properties.rounding(model, 1e-13, 1e-6)
            properties.close(value, scores[name], tolerance, name)
        for name, value in samples_now.items():
            if registry.is_discrete(model):
                properties.same_bits(value, samples[name], name)
            else:  # reals show how the products of the NumPy side were rounded
                properties.close(
                    value, samples[name], properties.rounding(model, 1e-12, 1e-4), name
                )


def test_the_rows_are_really_split(typical, monkeypatch):
    sizes = []
    forward = typical._forward
    monkeypatch.setattr(typical, "_forward", lambda x: sizes.append(len(x)) or forward(x))
    monkeypatch.setattr(autoregressive, "MEMORY_LIMIT", 4 * typical._bytes_per_row())
    typical.log_prob(registry.rows(typical, n=10))
    assert sizes == [4, 4, 2]


@pytest.mark.usefixtures("tiny_limit")
@pytest.mark.parametrize("case", ["nade-cycle", "nade-cycle-relu", "nade-dropout"])
def test_gradients_in_chunks(case):
    model = registry.make(case)
    properties.check_gradients(model)
    properties.check_training_gradients(model)


@pytest.mark.usefixtures("tiny_limit")
def test_errors_count_the_rows_of_the_whole(typical):
    x = registry.rows(typical, n=30)
    x[23, 2] = 2
    for method in (typical.log_prob, typical.log_conditionals, typical.conditionals):
        with pytest.raises(ValueError, match="got 2 in row 23, column 2"):
            method(x)


@pytest.mark.usefixtures("tiny_limit")
def test_no_rows_and_bad_shapes(typical):
    D = typical.n_dims
    assert typical.log_prob(np.zeros((0, D))).shape == (0,)
    assert typical.sample(0).shape == (0, D)
    for shape in ((0, D + 1), (7, D + 1), (7,), (), (2, 3, D)):
        with pytest.raises(ValueError, match="x must be an array of bits"):
            typical.log_prob(np.zeros(shape))


def peak(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "make",
    [
        lambda: registry.MODELS["fvsbn"](200, rng=0),
        lambda: NADE(20, 400, rng=0),
        lambda: MADE(20, (300, 100), rng=0),
    ],
    ids=["fvsbn", "nade", "made"],
)
def test_memory_stays_under_the_limit(make, monkeypatch, numpy_side):
    """On the NumPy side, for what C allocates is not counted here."""
    model, n = make(), 2000
    D = model.n_dims
    x = np.zeros((n, D), np.uint8)
    x[::3, ::2] = 1
    limit = 2**20
    without = peak(lambda: model.log_prob(x))
    monkeypatch.setattr(autoregressive, "MEMORY_LIMIT", limit)
    # What comes out is not part of the limit, nor are copies of the weights; and the limit is met
    # roughly, by a factor below 2.
    extra = 2 * sum(p.nbytes for p in model.params.values())
    assert peak(lambda: model.log_prob(x)) < 2 * limit + extra + 8 * n < without
    assert peak(lambda: model.conditionals(x)) < 2 * limit + extra + 8 * D * n
    assert peak(lambda: model.sample(n, rng=0)) < 2 * limit + extra + 2 * D * n


def test_memory_map_is_read_a_block_at_a_time(tmp_path, monkeypatch):
    """Of 6 MB on disk, no more than a block is in memory at any time."""
    mapped = np.memmap(tmp_path / "x", np.uint8, "w+", shape=(150_000, 40))
    model = registry.generic(registry.MODELS["fvsbn"](40), 0)
    monkeypatch.setattr(autoregressive, "MEMORY_LIMIT", 2**20)
    assert peak(lambda: model.log_prob(mapped)) < 3 * 2**20 + 8 * len(mapped)
