"""What all tests share: profiles for hypothesis, the models of the registry, and a header.

Profiles: ``ci`` (the default) draws the same examples each time; ``PYARSIMPLE_HYPOTHESIS=explore``
draws new ones, and more of them.
"""

import os
import warnings

import pytest
from hypothesis import HealthCheck, settings

with warnings.catch_warnings():
    # Without its kernels the package warns at import, which would be an error here: the header
    # below says it instead. (That it warns is tested in a process of its own.)
    warnings.simplefilter("ignore")
    import pyarsimple.twins

import registry

settings.register_profile(
    "ci",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "explore", settings.get_profile("ci"), derandomize=False, max_examples=300
)
settings.load_profile(os.environ.get("PYARSIMPLE_HYPOTHESIS", "ci"))


def pytest_report_header(config):
    return f"pyarsimple: the {pyarsimple.twins.active_backend()} side"


@pytest.fixture(params=list(registry.CASES))
def model(request):
    """Every configuration of the registry, one after the other."""
    return registry.make(request.param)


@pytest.fixture(params=registry.bit_cases())
def bits_model(request):
    """Every configuration for bits without a context."""
    return registry.make(request.param)


@pytest.fixture(params=registry.representatives())
def typical(request):
    """One configuration of each class: for what does not depend on the configuration."""
    return registry.make(request.param)


@pytest.fixture
def numpy_side():
    """Run the test on the NumPy side, whichever is chosen for the others."""
    with pyarsimple.backend("numpy"):
        yield


@pytest.fixture(autouse=True)
def side_is_left_alone():
    """No test may leave the other side, or another number of threads, to those that follow."""
    before = pyarsimple.twins.active_backend(), pyarsimple.twins.get_num_threads()
    yield
    assert (pyarsimple.twins.active_backend(), pyarsimple.twins.get_num_threads()) == before
