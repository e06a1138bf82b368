"""Promise: one switch chooses the side, and what is missing or stale is said, with the remedy."""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import pyarsimple
from pyarsimple import _source_hash, config, twins

ROOT = Path(pyarsimple.__file__).parents[1]
BLOCKED = "import sys; sys.modules['pyarsimple._kernels'] = None; "
built = pytest.mark.skipif(twins.kernels is None, reason="the kernels are not built")


def python(code, **variables):
    """Run in a fresh interpreter, with none of the caller's settings but ``variables``."""
    env = {k: v for k, v in os.environ.items() if not re.match("PYARSIMPLE_|COV|PYTHON", k)}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=env | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


def output(code, **variables):
    result = python(code, **variables)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def error(code, **variables):
    result = python(code, **variables)
    assert result.returncode == 1, result.stdout
    return result.stderr.strip().splitlines()[-1]


# The switch.


def test_switch_lasts_until_it_is_thrown_again(monkeypatch):
    monkeypatch.setattr(twins, "_active", "numpy")
    monkeypatch.setattr(twins, "kernels", types.SimpleNamespace())
    pyarsimple.backend("compiled")
    assert twins.active_backend() == "compiled"
    pyarsimple.backend("numpy")
    assert twins.active_backend() == "numpy"


def test_switch_as_a_context_manager(monkeypatch):
    monkeypatch.setattr(twins, "_active", "numpy")
    monkeypatch.setattr(twins, "kernels", types.SimpleNamespace())
    with pyarsimple.backend("compiled") as switch:
        assert isinstance(switch, pyarsimple.backend)
        assert twins.active_backend() == "compiled"
        with pytest.raises(AssertionError), pyarsimple.backend("numpy"):
            assert twins.active_backend() == "compiled"
        assert twins.active_backend() == "compiled"
    assert twins.active_backend() == "numpy"


@pytest.mark.parametrize("name", ["cython", "", None, 1])
def test_there_are_two_sides(name):
    before = twins.active_backend()
    with pytest.raises(ValueError, match="backend must be 'numpy' or 'compiled', got "):
        pyarsimple.backend(name)
    assert twins.active_backend() == before


def test_asking_for_missing_kernels_is_an_error(monkeypatch):
    monkeypatch.setattr(twins, "kernels", None)
    monkeypatch.setattr(twins, "_why_missing", "No module named 'pyarsimple._kernels'")
    monkeypatch.setattr(twins, "_active", "numpy")
    with pytest.raises(RuntimeError, match="python -m pip install") as caught:
        pyarsimple.backend("compiled")
    assert "No module named" in str(caught.value)
    assert twins.active_backend() == "numpy"


# Without kernels, in a process of its own.


def test_without_kernels_it_works_and_says_so_once():
    use = "import pyarsimple; import pyarsimple.orders; print(pyarsimple.FVSBN(3).sample(2).shape)"
    result = python(BLOCKED + use)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "(2, 3)"
    assert result.stderr.count("pyarsimple runs in NumPy, slower") == 1
    assert "python -m pip install" in result.stderr


def test_without_kernels_who_chose_numpy_hears_nothing():
    result = python(BLOCKED + "import pyarsimple", PYARSIMPLE_BACKEND="numpy")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("code", "variables", "kind"),
    [
        ("import pyarsimple", {"PYARSIMPLE_REQUIRE_EXTENSION": "1"}, "ImportError"),
        ("import pyarsimple", {"PYARSIMPLE_BACKEND": "compiled"}, "RuntimeError"),
        (
            "import os; os.environ['PYARSIMPLE_BACKEND'] = 'numpy'; import pyarsimple; "
            "pyarsimple.backend('compiled')", {}, "RuntimeError",
        ),
    ],
)  # fmt: skip
def test_without_kernels_asking_for_them_is_an_error(code, variables, kind):
    last = error(BLOCKED + code, **variables)
    assert last.startswith(kind)
    assert "python -m pip install" in last


def test_require_extension_of_zero_requires_nothing():
    for value in ("0", ""):
        variables = {"PYARSIMPLE_REQUIRE_EXTENSION": value, "PYARSIMPLE_BACKEND": "numpy"}
        assert output(BLOCKED + "import pyarsimple; print(1)", **variables) == "1"


# Environment variables.


def test_backend_by_environment():
    code = "import pyarsimple.twins as t; print(t.active_backend())"
    assert output(code, PYARSIMPLE_BACKEND="numpy") == "numpy"
    last = error(code, PYARSIMPLE_BACKEND="fortran")
    assert last == "ValueError: backend must be 'numpy' or 'compiled', got 'fortran'"


@built
def test_compiled_is_the_default_where_it_is_built():
    code = "import pyarsimple.twins as t; print(t.active_backend())"
    assert output(code) == "compiled"
    assert output(code, PYARSIMPLE_BACKEND="compiled", PYARSIMPLE_REQUIRE_EXTENSION="1")


def test_threads_by_environment():
    code = "import pyarsimple.twins as t; print(t.get_num_threads())"
    numpy = {"PYARSIMPLE_BACKEND": "numpy"}
    assert output(code, **numpy, PYARSIMPLE_NUM_THREADS="3") == "3"
    default = output(code, **numpy)
    assert default == output(code, **numpy, PYARSIMPLE_NUM_THREADS="")
    assert default == str(twins._usable_cpus())
    for wrong in ("0", "-1", "two", "1.5"):
        last = error(code, **numpy, PYARSIMPLE_NUM_THREADS=wrong)
        assert last.startswith("ValueError: PYARSIMPLE_NUM_THREADS must be ")
        assert wrong in last


# Threads.


def test_number_of_threads(monkeypatch):
    told = []
    kernels = types.SimpleNamespace(set_num_threads=told.append)
    monkeypatch.setattr(twins, "kernels", kernels)
    monkeypatch.setattr(twins, "_num_threads", 5)
    pyarsimple.set_num_threads(3)
    assert twins.get_num_threads() == 3
    with pyarsimple.set_num_threads(np.int64(2)) as switch:
        assert isinstance(switch, pyarsimple.set_num_threads)
        assert twins.get_num_threads() == 2
        with pytest.raises(ZeroDivisionError), pyarsimple.set_num_threads(1):
            _ = 1 / 0
        assert twins.get_num_threads() == 2
    assert twins.get_num_threads() == 3
    assert told == [3, 2, 1, 2, 3]  # the kernels hear of each change
    monkeypatch.setattr(twins, "kernels", None)
    with pyarsimple.set_num_threads(7):  # and where there are none, nothing fails
        assert twins.get_num_threads() == 7


@pytest.mark.parametrize("n", [0, -2, 1.5, None, [2]])
def test_number_of_threads_is_checked(n):
    before = twins.get_num_threads()
    with pytest.raises(ValueError, match="n must be "):
        pyarsimple.set_num_threads(n)
    assert twins.get_num_threads() == before


def test_usable_cpus_where_affinity_is_unknown(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert twins._usable_cpus() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert twins._usable_cpus() == 1


# Stale kernels.


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A package folder with kernels' sources, and kernels that were built from them."""
    (tmp_path / "_kernels.pyx").write_text("x = 1\n")
    (tmp_path / "_kernels.h").write_text("int y;\n")
    kernels = types.SimpleNamespace(
        SOURCE_HASH=_source_hash.source_hash(tmp_path),
        COMPILER="gcc 12",
        CFLAGS="-O3",
        simd_level=lambda: "avx2",
        simd_levels=lambda: ["baseline", "avx2"],
        has_threads=lambda: True,
    )
    monkeypatch.setattr(twins, "__file__", str(tmp_path / "twins.py"))
    monkeypatch.setattr(twins, "kernels", kernels)
    return tmp_path


def test_fresh_kernels_are_used_in_silence(fake):
    assert not twins.kernels_are_stale()
    twins._check_kernels_at_import()  # a warning would be an error here


@pytest.mark.parametrize("name", ["_kernels.pyx", "_kernels.h"])
def test_an_edit_that_was_not_built_is_noticed(fake, name):
    with open(fake / name, "a") as file:
        file.write("# edited\n")
    assert twins.kernels_are_stale()
    with pytest.warns(UserWarning, match="not rebuilt.*python setup.py build_ext --inplace"):
        twins._check_kernels_at_import()


def test_a_source_that_comes_or_goes_is_noticed(fake):
    (fake / "_kernels_more.h").write_text("")
    assert twins.kernels_are_stale()
    (fake / "_kernels_more.h").unlink()
    assert not twins.kernels_are_stale()
    (fake / "_kernels.h").unlink()
    assert twins.kernels_are_stale()


def test_line_ends_do_not_matter(fake):
    (fake / "_kernels.pyx").write_bytes(b"x = 1\r\n")
    assert not twins.kernels_are_stale()


def test_an_installed_wheel_has_no_sources_and_is_never_stale(fake):
    (fake / "_kernels.pyx").unlink()
    (fake / "_kernels.h").unlink()
    assert not twins.kernels_are_stale()


def test_missing_kernels_are_never_stale(monkeypatch):
    monkeypatch.setattr(twins, "kernels", None)
    assert not twins.kernels_are_stale()


def test_what_is_said_at_import(monkeypatch):
    monkeypatch.setattr(twins, "kernels", None)
    monkeypatch.setattr(twins, "_why_missing", "because")
    monkeypatch.setenv("PYARSIMPLE_REQUIRE_EXTENSION", "0")
    monkeypatch.setenv("PYARSIMPLE_BACKEND", "numpy")
    twins._check_kernels_at_import()
    monkeypatch.delenv("PYARSIMPLE_BACKEND")
    with pytest.warns(UserWarning, match=r"runs in NumPy, slower: .*because"):
        twins._check_kernels_at_import()
    monkeypatch.setenv("PYARSIMPLE_REQUIRE_EXTENSION", "1")
    with pytest.raises(ImportError, match=r"PYARSIMPLE_REQUIRE_EXTENSION is set, but.*because"):
        twins._check_kernels_at_import()


def test_a_kernel_module_that_does_not_load_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarsimple._kernels", None)
    module, why = twins._load_kernels()
    assert module is None
    assert "pyarsimple._kernels" in why


# show_config.


def test_config_without_kernels(monkeypatch):
    monkeypatch.setattr(twins, "kernels", None)
    assert "python -m pip install" in pyarsimple.show_config("dicts")["kernels"]["built"]


@pytest.mark.usefixtures("fake")
def test_config_with_kernels(monkeypatch):
    shown = pyarsimple.show_config("dicts")["kernels"]
    assert shown["built"] == "yes"
    assert (shown["compiler"], shown["compiler flags"]) == ("gcc 12", "-O3")
    assert shown["SIMD level"] == "avx2"
    assert shown["SIMD levels here"] == "baseline, avx2"
    assert shown["threads"] == twins.get_num_threads()
    monkeypatch.setattr(twins.kernels, "has_threads", lambda: False)
    assert pyarsimple.show_config("dicts")["kernels"]["threads"] == "1 (built without)"


def test_config_tells_of_stale_kernels(fake):
    (fake / "_kernels.pyx").write_text("edited")
    shown = pyarsimple.show_config("dicts")["kernels"]["built"]
    assert "python setup.py build_ext --inplace" in shown


def test_config_as_dictionaries(monkeypatch):
    monkeypatch.setenv("PYARSIMPLE_NUM_THREADS", "2")
    shown = pyarsimple.show_config("dicts")
    assert shown["versions"]["numpy"] == np.__version__
    assert shown["versions"]["python"] == sys.version.split()[0]
    assert shown["backend"]["active"] == twins.active_backend()
    assert shown["environment"]["PYARSIMPLE_NUM_THREADS"] == "2"
    assert any("threads" in pool for pool in shown["BLAS and threads"].values())
    json.dumps(shown)


def test_config_prints_what_the_dictionaries_hold(capsys):
    assert pyarsimple.show_config() is None
    printed = capsys.readouterr().out
    for title, entries in pyarsimple.show_config("dicts").items():
        assert f"{title}\n" in printed
        for value in entries.values():
            assert str(value) in printed


def test_config_without_what_is_optional(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    monkeypatch.setattr(config, "OPTIONAL", ("no-such-package",))
    for name in [name for name in os.environ if name.startswith("PYARSIMPLE_")]:
        monkeypatch.delenv(name)
    shown = pyarsimple.show_config("dicts")
    assert "pyarsimple[demo]" in shown["BLAS and threads"]["0"]
    assert shown["versions"]["no-such-package"] == "not installed"
    assert shown["environment"] == {"PYARSIMPLE_*": "none set"}


def test_config_mode_is_checked():
    with pytest.raises(ValueError, match="mode must be 'stdout' or 'dicts', got 'json'"):
        pyarsimple.show_config("json")


# Imports.


def test_import_loads_nothing_that_is_not_used_yet():
    code = """
import sys, pyarsimple
heavy = {"scipy", "sklearn", "matplotlib", "tqdm", "threadpoolctl", "joblib"}
print(sorted(heavy & set(sys.modules)))
print([m in sys.modules for m in ("pyarsimple.plots", "pyarsimple.datasets", "pyarsimple.cli")])
print(pyarsimple.datasets.__name__, "pyarsimple.datasets" in sys.modules)
"""
    lines = output(code, PYARSIMPLE_BACKEND="numpy").splitlines()
    assert lines == ["[]", "[False, False, False]", "pyarsimple.datasets True"]


def test_public_names():
    promised = {
        "FVSBN", "NADE", "MADE", "fit", "load", "compare", "backend", "set_num_threads",
        "show_config", "conditionals", "optimizers", "orders", "baselines", "datasets", "plots",
    }  # fmt: skip
    assert promised <= set(pyarsimple.__all__)
    assert set(pyarsimple.__all__) | {"__version__"} <= set(dir(pyarsimple))
    for name in pyarsimple.__all__:
        assert getattr(pyarsimple, name) is not None
    # By name, whether they have been imported before or not.
    for name in ("conditionals", "plots"):
        assert pyarsimple.__getattr__(name).__name__ == f"pyarsimple.{name}"
    with pytest.raises(AttributeError, match="module 'pyarsimple' has no attribute 'numpy'"):
        _ = pyarsimple.numpy


def test_version():
    from importlib import metadata

    try:
        version = metadata.version("pyarsimple")
    except metadata.PackageNotFoundError:
        pytest.skip("the package is not installed")
    assert pyarsimple.__version__ == version


def test_the_stubs_are_those_of_the_kernels():
    """Every function of the compiled module has a stub of the same arguments, and no other has."""
    kernels = pytest.importorskip("pyarsimple._kernels")
    stub = ast.parse(Path(kernels.__file__).with_name("_kernels.pyi").read_text(encoding="utf-8"))
    declared = {
        node.name: [argument.arg for argument in node.args.args]
        for node in stub.body
        if isinstance(node, ast.FunctionDef)
    }
    internal = {"made_degrees", "nade_offsets"}
    built = {
        name: list(inspect.signature(function).parameters)
        for name, function in vars(kernels).items()
        if callable(function) and not name.startswith("_") and name not in internal
    }
    assert declared == built
