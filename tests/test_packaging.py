"""What a user gets: the sdist, the wheel, and the package built without a compiler.

Everything is built from a copy of the tree and tried in a fresh environment elsewhere. Nothing is
downloaded: NumPy and SciPy are borrowed from the environment that runs the tests.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from pyarsimple import _source_hash

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXT_SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
NO_COMPILER = {"CC": shutil.which("false")}

# Kernels that compile in a second, for the tests of when they are built.
STAND_IN = """
cdef extern from "_kernels_stand_in.h":
    const char *HASH
    const char *FLAGS
SOURCE_HASH = HASH.decode()
CFLAGS = FLAGS.decode()
def set_num_threads(n): pass
"""
STAND_IN_HEADER = """
static const char *HASH = PYARSIMPLE_SOURCE_HASH;
static const char *FLAGS = PYARSIMPLE_CFLAGS;
"""

BUILD_WARNING = "compiled kernels were NOT built"
IMPORT_WARNING = "pyarsimple runs in NumPy, slower"
STALE_WARNING = "older than their sources"

USE = """
import json, numpy, pyarsimple
x = (numpy.random.default_rng(0).random((60, 7)) < numpy.linspace(0.1, 0.9, 7)).astype(float)
model = pyarsimple.NADE(7, 5, rng=0)
untrained = model.log_prob(x).mean()
pyarsimple.fit(model, x, batch_size=20, max_epochs=5, rng=1)
config = pyarsimple.show_config("dicts")
kernels = pyarsimple.twins.kernels
print(json.dumps({
    "file": pyarsimple.__file__,
    "backend": config["backend"]["active"],
    "flags": config["kernels"].get("compiler flags"),
    "source_hash": kernels and kernels.SOURCE_HASH,
    "version": pyarsimple.__version__,
    "gain": model.log_prob(x).mean() - untrained,
    "log_prob": model.log_prob(x).tolist(),
    "samples": model.sample(9, rng=2).tolist(),
}))
"""


def run(*command, cwd, check=True, **variables):
    """Run with none of the caller's settings but ``variables``."""
    ours = re.compile("PYARSIMPLE_|COV_|COVERAGE_|PYTHON|CC$|CFLAGS$|LDFLAGS$")
    env = {name: value for name, value in os.environ.items() if not ours.match(name)}
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if check:
        assert result.returncode == 0, result.stdout + result.stderr
    return result


def copy_of_the_tree(folder):
    left_out = shutil.ignore_patterns(
        ".*", "build", "dist", "demo-output", "__pycache__", "*.egg-info", "*.so", "*.pyd", "*.c"
    )
    shutil.copytree(ROOT, folder, ignore=left_out)
    return folder


def build(source, out, *kinds, check=True, **variables):
    """Build without a network; what was built, and all that was said."""
    # Not from within the source, where a folder named build would hide the module.
    command = (sys.executable, "-m", "build", "--no-isolation", *kinds, "--outdir", out, source)
    result = run(*command, cwd=source.parent, check=check, **variables)
    return sorted(out.glob("*")), result.stdout + result.stderr


def install(wheel, folder):
    """The Python of a fresh environment that has the wheel, and borrows NumPy and SciPy."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    # A path in a .pth file adds the folder, but not the editable install that may be in it.
    (site_packages / "borrowed.pth").write_text(str(Path(np.__file__).parents[1]))
    return python


def names_in(archive):
    if archive.suffix == ".whl":
        return set(zipfile.ZipFile(archive).namelist())
    with tarfile.open(archive) as tar:
        names = (member.name.partition("/")[2] for member in tar if member.isfile())
        return set(names)


def kernel_sources():
    return {f"pyarsimple/{path.name}" for path in _source_hash.source_files(ROOT / "pyarsimple")}


def kernels_in(names):
    return [name for name in names if name.startswith("pyarsimple/_kernels.") and is_binary(name)]


def is_binary(name):
    return name.endswith((".so", ".pyd"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, the wheel that was built from the sdist, and the build's log."""
    folder = tmp_path_factory.mktemp("built")
    source = copy_of_the_tree(folder / "source")
    for generated in ("_kernels.c", f"_kernels{EXT_SUFFIX}", "_kernels_x.pyc"):
        (source / "pyarsimple" / generated).write_text("left by an earlier build")
    (wheel, sdist), log = build(source, folder / "dist")
    return sdist, wheel, log


@pytest.fixture(scope="module")
def used(built, tmp_path_factory):
    """The environment with the built wheel, and what the package did there."""
    folder = tmp_path_factory.mktemp("used")
    python = install(built[1], folder / "venv")
    result = run(python, "-W", "error", "-c", USE, cwd=folder)
    return python, json.loads(result.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def without_compiler(built, tmp_path_factory):
    """A wheel built from the sdist where there is no compiler, the log, and where it is used."""
    folder = tmp_path_factory.mktemp("without")
    with tarfile.open(built[0]) as tar:
        tar.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    (wheel,), log = build(source, folder / "dist", "--wheel", **NO_COMPILER)
    return wheel, log, install(wheel, folder / "venv")


def test_sdist_has_the_sources_and_nothing_generated(built):
    names = names_in(built[0])
    sources = kernel_sources()
    assert {Path(name).suffix for name in sources} >= {".pyx", ".h"}
    modules = {
        path.relative_to(ROOT).as_posix()
        for folder in ("pyarsimple", "tests")
        for path in (ROOT / folder).rglob("*.py")
    }
    others = {"setup.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile"}
    assert sources | modules | others | {"pyarsimple/py.typed"} <= names
    assert not [name for name in names if name.endswith((".c", ".pyc")) or is_binary(name)]


def test_wheel_has_the_package_and_no_c(built):
    names = names_in(built[1])
    package = ROOT / "pyarsimple"
    modules = {path.relative_to(ROOT).as_posix() for path in package.rglob("*.py")}
    assert modules | {"pyarsimple/py.typed", "pyarsimple/_kernels.pyi"} <= names
    assert len(kernels_in(names)) == 1
    suffixes = {Path(name).suffix for name in names if name.startswith("pyarsimple/")}
    assert suffixes == {".py", ".pyi", ".typed", Path(kernels_in(names)[0]).suffix}
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"pyarsimple"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_wheel_works_outside_of_the_tree(used):
    python, did = used
    assert Path(did["file"]).is_relative_to(python.parents[1])
    assert did["backend"] == "compiled"
    assert did["source_hash"] == _source_hash.source_hash(ROOT / "pyarsimple")
    assert did["version"] == PROJECT["project"]["version"]
    assert did["gain"] > 0.1
    assert np.shape(did["samples"]) == (9, 7)
    assert set(np.ravel(did["samples"])) == {0, 1}


def test_wheel_brings_the_command(used):
    command = used[0].with_name("pyarsimple")
    assert "demo" in run(command, "--help", cwd=command.parent).stdout


def test_built_for_every_cpu_and_with_honest_arithmetic(built, used):
    log, flags = built[2], used[1]["flags"]
    assert f" {flags}" in log  # what show_config() says is what the compiler was told
    assert "-O3" in flags
    assert not re.search("(^| )-m|-Ofast|-ffast-math|-ffinite|-funsafe", flags)
    # Python's own flags come before ours and may name a CPU, but never this very one.
    assert not re.search("-march=native|-Ofast|-ffast-math", log)


def test_without_a_compiler_the_build_warns_once_and_has_no_kernels(without_compiler):
    wheel, log, _ = without_compiler
    assert log.count(BUILD_WARNING) == 1
    assert not kernels_in(names_in(wheel))


def test_without_kernels_it_works_in_numpy_and_says_so_once(without_compiler, used):
    python = without_compiler[2]
    result = run(python, "-c", USE, cwd=python.parent)
    did = json.loads(result.stdout.splitlines()[-1])
    assert Path(did["file"]).is_relative_to(python.parents[1])
    assert did["backend"] == "numpy"
    assert result.stderr.count(IMPORT_WARNING) == 1
    assert did["samples"] == used[1]["samples"]
    np.testing.assert_allclose(did["log_prob"], used[1]["log_prob"], rtol=1e-9)


def test_without_kernels_who_chose_numpy_hears_nothing(without_compiler):
    python = without_compiler[2]
    code = "import pyarsimple"
    result = run(python, "-c", code, cwd=python.parent, PYARSIMPLE_BACKEND="numpy")
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("code", "variables", "error"),
    [
        ("import pyarsimple", {"PYARSIMPLE_REQUIRE_EXTENSION": "1"}, "ImportError"),
        ("import pyarsimple", {"PYARSIMPLE_BACKEND": "compiled"}, "RuntimeError"),
        ("import pyarsimple; pyarsimple.backend('compiled')", {}, "RuntimeError"),
    ],
)
def test_without_kernels_asking_for_them_is_an_error(without_compiler, code, variables, error):
    python = without_compiler[2]
    result = run(python, "-c", code, cwd=python.parent, check=False, **variables)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith(error)
    assert "pip install" in last  # the command that builds them


def test_required_kernels_without_a_compiler_fail_the_build(tmp_path):
    source = copy_of_the_tree(tmp_path / "source")
    out = tmp_path / "dist"
    required = NO_COMPILER | {"PYARSIMPLE_REQUIRE_EXTENSION": "1"}
    wheels, log = build(source, out, "--wheel", check=False, **required)
    assert not wheels
    assert NO_COMPILER["CC"] in log


def test_skipped_kernels_make_a_wheel_for_every_machine(tmp_path):
    source = copy_of_the_tree(tmp_path / "source")
    skip = NO_COMPILER | {"PYARSIMPLE_SKIP_EXTENSION": "1"}
    (wheel, sdist), log = build(source, tmp_path / "dist", **skip)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert kernel_sources() <= names_in(sdist)
    assert not kernels_in(names_in(wheel))
    assert BUILD_WARNING not in log


def test_edited_kernels_are_noticed_and_rebuilt(tmp_path):
    source = copy_of_the_tree(tmp_path / "source")
    folder = source / "pyarsimple"
    for path in _source_hash.source_files(folder):
        path.unlink()
    (folder / "_kernels.pyx").write_text(STAND_IN)
    header = folder / "_kernels_stand_in.h"
    header.write_text(STAND_IN_HEADER)
    kernels = folder / f"_kernels{EXT_SUFFIX}"

    def warnings_at_import():
        return run(sys.executable, "-c", "import pyarsimple", cwd=source).stderr

    def build_in_place(**variables):
        run(sys.executable, "setup.py", "build_ext", "--inplace", cwd=source, **variables)
        return kernels.stat().st_mtime_ns

    first = build_in_place(CFLAGS="-O0 -DX")
    assert warnings_at_import() == ""
    assert build_in_place(CFLAGS="-O0 -DX") == first  # nothing to do
    second = build_in_place(CFLAGS="-O0")
    assert second > first
    (source / "setup.py").touch()
    third = build_in_place(CFLAGS="-O0")
    assert third > second

    old = header.stat()
    header.write_text(header.read_text() + "\n/* edited */\n")
    os.utime(header, ns=(old.st_atime_ns, old.st_mtime_ns))  # as some tools leave it
    assert warnings_at_import().count(STALE_WARNING) == 1

    assert build_in_place(CFLAGS="-O0") > third
    assert warnings_at_import() == ""

    # Kernels that no longer compile: the wheel must not carry those of the build before.
    header.write_text(header.read_text() + "\n#error broken\n")
    (wheel,), log = build(source, tmp_path / "dist", "--wheel", CFLAGS="-O0")
    assert log.count(BUILD_WARNING) == 1
    assert not kernels_in(names_in(wheel))


def test_source_hash_sees_every_source_and_no_line_ends(tmp_path):
    files = {"_kernels.pyx": b"a\nb\n", "_kernels_x.h": b"c\n", "_kernels.pyi": b"", "other.h": b""}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    original = _source_hash.source_hash(tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content.replace(b"\n", b"\r\n"))
    assert _source_hash.source_hash(tmp_path) == original
    for name, content in files.items():
        (tmp_path / name).write_bytes(content + b"d\n")
        is_source = name.startswith("_kernels") and not name.endswith(".pyi")
        assert (_source_hash.source_hash(tmp_path) != original) == is_source
        (tmp_path / name).write_bytes(content)


def test_version_stands_in_one_place():
    version = PROJECT["project"]["version"]
    assert metadata.version("pyarsimple") == version
    code = [ROOT / name for name in ("setup.py", "Makefile", "CITATION.cff", "MANIFEST.in")]
    code += [path for path in (ROOT / "pyarsimple").rglob("*.py*") if path.suffix != ".pyc"]
    assert [path.name for path in code if version in path.read_text()] == []
    assert (ROOT / "pyproject.toml").read_text().count(f'"{version}"') == 1
    assert re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_tests_have_what_the_build_needs():
    extra = PROJECT["project"]["optional-dependencies"]["test"]
    assert set(PROJECT["build-system"]["requires"]) <= set(extra)
