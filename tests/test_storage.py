"""Promises of pyarsimple.storage: models come back bit for bit, and no file does any harm."""

import ast
import copy
import errno
import functools
import importlib.metadata
import inspect
import io
import itertools
import json
import os
import pickle
import re
import stat
import struct
import zipfile

import numpy as np
import pytest
import registry
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pyarsimple
from pyarsimple import storage
from pyarsimple.models import FVSBN, MADE, MODELS, NADE


@st.composite
def models(draw):
    """Any model of the registry, with any parameters: NaN, infinities and -0.0 too."""
    name = draw(st.sampled_from(sorted(MODELS)))
    D, dtype = draw(st.integers(1, 5)), draw(st.sampled_from(["float32", "float64"]))
    order = draw(st.permutations(range(D)))
    options = registry.draw_settings(draw, name, order)
    if "dropout" in inspect.signature(MODELS[name]).parameters:
        options |= {"dropout": draw(st.floats(0, 1, exclude_max=True))}
    model = MODELS[name](D, order=order, dtype=dtype, rng=draw(st.integers(0, 9)), **options)
    bits = 32 if dtype == "float32" else 64
    for p in model.params.values():
        if draw(st.booleans()):
            p[...] = draw(hnp.arrays(p.dtype, p.shape, elements=st.floats(width=bits)))
    return model


def assert_same(a, b):
    """Equal bit for bit in all that makes the model."""
    assert type(a) is type(b)
    assert a.config() == b.config()
    assert list(a.params) == list(b.params)
    for name, p in a.params.items():
        q = b.params[name]
        assert (p.shape, p.dtype, p.tobytes()) == (q.shape, q.dtype, q.tobytes()), name
        assert not np.shares_memory(p, q)
        assert q.flags.writeable


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("storage") / "model"


def cycle_made() -> MADE:
    """A small model with everything that a file holds; its order is not its own inverse."""
    return MADE(
        3, (2, 3), order=[1, 2, 0], degrees="random", direct=True, dropout=0.25, dtype="float32",
        rng=5,
    )  # fmt: skip


# Round trips.


@given(models())
def test_models_come_back_bit_for_bit(path, model):
    model.save(path)
    loaded = pyarsimple.load(str(path))
    assert_same(model, loaded)
    content = path.read_bytes()
    loaded.save(path)
    assert path.read_bytes() == content


@given(models())
def test_models_survive_pickle_and_copy(model):
    assert_same(model, pickle.loads(pickle.dumps(model)))
    assert_same(model, copy.deepcopy(model))


@pytest.mark.parametrize("name", sorted(registry.BITS))
def test_a_loaded_model_scores_and_samples_as_the_saved_one(name, path):
    model = MODELS[name](4, order=[1, 2, 3, 0], rng=0)
    registry.set_biases(model, [0.3, -0.2, 0.1, 0.7])
    model.save(path)
    loaded = pyarsimple.load(path)
    x = model.sample(20, rng=1)
    assert np.array_equal(loaded.sample(20, rng=1), x)
    assert np.array_equal(loaded.log_prob(x), model.log_prob(x))


def test_the_settings_that_a_model_takes_are_those_that_it_saves():
    for cls in MODELS.values():
        model = cls(3)
        assert set(model.config()) == set(inspect.signature(cls).parameters) - {"rng"}
        shapes = {name: p.shape for name, p in model.params.items()}
        assert cls.param_shapes(**model.config()) == shapes


@pytest.mark.parametrize("version", ["9.8.7", None])
def test_a_file_is_an_ordinary_npz(version, path, monkeypatch):
    def installed(package):
        if version is None:
            raise importlib.metadata.PackageNotFoundError(package)
        return f"{package} {version}"

    monkeypatch.setattr(importlib.metadata, "version", installed)
    model = cycle_made()
    model.save(path)
    with np.load(path, allow_pickle=False) as loaded:
        header = json.loads(loaded["header.json"])
        assert header["format"] == "pyarsimple"
        assert header["format_version"] == 1
        assert header["kind"] == "model"
        assert header["library_version"] == (
            f"pyarsimple {version}" if version else "not installed"
        )
        for name, p in model.params.items():
            assert np.array_equal(loaded[name], p)
    with zipfile.ZipFile(path) as archive:  # the clock is not in the file
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_parameters_of_any_layout_are_written(path):
    model = FVSBN(3, rng=0)
    model.params["W"] = np.asfortranarray(np.arange(9.0).reshape(3, 3))
    model.params["b"] = np.arange(3).astype(">f8")
    model.save(path)
    loaded = pyarsimple.load(path).params
    assert np.array_equal(loaded["W"], model.params["W"])
    assert np.array_equal(loaded["b"], [0, 1, 2])
    assert loaded["b"].dtype == np.dtype("=f8")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
ARRAYS = hnp.arrays(
    st.sampled_from(["?", "u1", "i1", "<i2", ">i4", "<u8", "<f2", ">f4", "<f8", ">f8"]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3),
)


@given(
    st.dictionaries(st.text(), JSON),
    st.dictionaries(st.from_regex(r"[A-Za-z0-9_]+(/[A-Za-z0-9_]+)?", fullmatch=True), ARRAYS),
    st.booleans(),
)
def test_checkpoints_come_back_bit_for_bit(path, content, arrays, transpose):
    if transpose:
        arrays = {name: array.T for name, array in arrays.items()}
    storage.write_file(path, "checkpoint", content, arrays)
    got, read = storage.read_file(path, "checkpoint")
    assert got == content
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        native = array.astype(array.dtype.newbyteorder("="))
        assert (read[name].dtype, read[name].shape) == (native.dtype, native.shape)
        assert read[name].tobytes() == native.tobytes()


# Writing.


@pytest.mark.parametrize(
    ("content", "arrays", "reason"),
    [
        ({"loss": float("nan")}, {}, "not JSON compliant"),
        ({"loss": float("-inf")}, {}, "not JSON compliant"),
        ({}, {"../W": np.zeros(3)}, "names of arrays"),
        ({}, {"": np.zeros(3)}, "names of arrays"),
        ({}, {"a//b": np.zeros(3)}, "names of arrays"),
        ({}, {"W": np.zeros(3, complex)}, "got dtype complex128"),
        ({}, {"W": np.array([None])}, "got dtype object"),
        ({}, {"W": np.array(["a"])}, "got dtype <U1"),
    ],
)
def test_what_could_not_be_read_is_not_written(content, arrays, reason, tmp_path):
    with pytest.raises(ValueError, match=reason):
        storage.write_file(tmp_path / "x", "checkpoint", content, arrays)
    assert not os.listdir(tmp_path)


def test_a_header_too_large_is_neither_written_nor_read(path, monkeypatch):
    FVSBN(3).save(path)
    size = zipfile.ZipFile(path).getinfo("header.json").file_size
    monkeypatch.setattr(storage, "MAX_HEADER_SIZE", size)
    FVSBN(3).save(path)
    pyarsimple.load(path)
    monkeypatch.setattr(storage, "MAX_HEADER_SIZE", size - 1)
    assert "header is larger than" in refused(path)
    with pytest.raises(ValueError, match=f"got {size}; keep what is long in arrays"):
        FVSBN(3).save(path)


def test_models_that_could_not_be_loaded_are_not_saved(tmp_path):
    class Mine(FVSBN):
        name = "mine"

    class Changed(FVSBN):
        pass

    for cls in (Mine, Changed):
        with pytest.raises(ValueError, match=f"{cls.__name__} cannot be saved: .*register it"):
            cls(3).save(tmp_path / "x")
    for params, reason in [
        ({"W": np.zeros((3, 3))}, "its parameters must be"),
        ({"W": np.zeros((3, 3)), "b": np.zeros(4)}, r"'b' must have shape \(3,\)"),
        ({"W": np.zeros((3, 3)), "b": np.zeros(3, "f4")}, "dtype float64, got .* float32"),
    ]:
        model = FVSBN(3)
        model.params = params
        with pytest.raises(ValueError, match=reason):
            model.save(tmp_path / "x")
    assert not os.listdir(tmp_path)


def test_a_registered_class_of_ones_own_is_saved_and_loaded(path, monkeypatch):
    class Mine(FVSBN):
        name = "mine"

    monkeypatch.setitem(MODELS, "mine", Mine)
    Mine(3, rng=0).save(path)
    assert type(pyarsimple.load(path)) is Mine
    monkeypatch.delitem(MODELS, "mine")
    assert "its model is 'mine', must be one of " in refused(path)


class Crash(BaseException):
    """Nobody catches it."""


def raising(error, after=0):
    calls = itertools.count()

    def function(*args, **kwargs):
        if next(calls) >= after:
            raise error
        return original(*args, **kwargs)

    original = np.lib.format.write_array
    return function


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "disk full"), KeyboardInterrupt(), Crash()]
)
@pytest.mark.parametrize(
    ("target", "after"),
    [
        ("os.replace", 0),
        ("os.fsync", 0),
        ("numpy.lib.format.write_array", 0),
        ("numpy.lib.format.write_array", 1),
    ],
)
@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_leaves_the_old_file_and_no_other(
    error, target, after, exists, tmp_path, monkeypatch
):
    path = tmp_path / "model.npz"
    if exists:
        FVSBN(3, rng=0).save(path)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    assert len(before) == exists
    with monkeypatch.context() as patch:
        patch.setattr(target, raising(error, after))
        with pytest.raises(type(error)):
            NADE(5, 4, rng=1).save(path)
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before
    NADE(5, 4, rng=1).save(path)
    assert_same(NADE(5, 4, rng=1), pyarsimple.load(path))


def test_the_old_file_is_there_until_the_new_one_is_complete(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    FVSBN(3, rng=0).save(path)
    seen = []

    def replace(source, target):
        seen.append((pyarsimple.load(source), pyarsimple.load(target)))
        original(source, target)

    original = os.replace
    monkeypatch.setattr("os.replace", replace)
    FVSBN(3, rng=1).save(path)
    [(new, old)] = seen
    assert_same(new, FVSBN(3, rng=1))
    assert_same(old, FVSBN(3, rng=0))


def test_the_path_is_taken_as_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("no_suffix", "a.b.c", "ü ñ", "x" * 255):
        FVSBN(3).save(name)
        pyarsimple.load(name)
        assert os.listdir(tmp_path) == [name]
        os.unlink(name)


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_permissions_are_those_of_any_new_file(tmp_path):
    for umask in (0o022, 0o077, 0o002):
        old = os.umask(umask)
        try:
            (tmp_path / "plain").write_bytes(b"")
            FVSBN(3).save(tmp_path / "model")
        finally:
            os.umask(old)
        modes = [stat.S_IMODE(os.stat(tmp_path / n).st_mode) for n in ("plain", "model")]
        assert modes == [0o666 & ~umask] * 2
        os.unlink(tmp_path / "plain")
        os.unlink(tmp_path / "model")


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    os.symlink("folder/model", tmp_path / "link")
    for _ in range(2):  # first it dangles
        FVSBN(3).save(tmp_path / "link")
        assert os.path.islink(tmp_path / "link")
        assert os.listdir(tmp_path / "folder") == ["model"]
    pyarsimple.load(tmp_path / "link")


@pytest.mark.parametrize("name", ["missing/model", "folder", "folder/", "missing/", "file/model"])
def test_where_no_file_can_be_it_is_an_os_error(name, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"\[Errno"):
        FVSBN(3).save(f"{tmp_path}/{name}")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert not os.listdir(tmp_path / "folder")


# Damaged files.


def refused(path, kind="model") -> str:
    """What is said of the file, which must be named in it."""
    match = re.escape(f"cannot read {str(path)!r}: ")
    read = storage.load if kind == "model" else functools.partial(storage.read_file, kind=kind)
    with pytest.raises(ValueError, match=match) as caught:
        read(path)
    return str(caught.value)


@pytest.mark.parametrize("model", [FVSBN(2, rng=0), cycle_made()], ids=["fvsbn", "made"])
def test_truncation_at_every_byte_is_refused(model, path):
    model.save(path)
    content = path.read_bytes()
    for n in range(len(content)):
        path.write_bytes(content[:n])
        refused(path)


def test_a_change_of_any_byte_is_refused_or_harmless(path):
    model = FVSBN(2, rng=0)
    model.save(path)
    content = path.read_bytes()
    n_refused = 0
    for n, change in itertools.product(range(len(content)), (0x01, 0x80, 0xFF)):
        path.write_bytes(content[:n] + bytes([content[n] ^ change]) + content[n + 1 :])
        try:
            loaded = storage.load(path)
        except ValueError:
            n_refused += 1
        else:
            assert_same(model, loaded)
    assert n_refused > len(content)


@settings(max_examples=300)
@given(st.data())
def test_any_damage_is_refused_or_harmless(path, data):
    """Several bytes at once, anywhere, cut out, doubled or replaced."""
    model = FVSBN(2, rng=0)
    model.save(path)
    content = path.read_bytes()
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        stop = start + data.draw(st.integers(0, 60))
        content = content[:start] + data.draw(st.binary(max_size=60)) + content[stop:]
    path.write_bytes(content)
    try:
        loaded = storage.load(path)
    except ValueError:
        refused(path)
    else:
        assert_same(model, loaded)


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"PK\x03\x04", b"hello\n", b"PK\x05\x06" + bytes(18), b"\x80\x04.", bytes(1000)],
)
def test_foreign_bytes_are_refused(content, path):
    path.write_bytes(content)
    refused(path)


def test_other_npz_and_npy_are_refused(path):
    with path.open("wb") as file:
        np.savez(file, train=np.zeros((3, 3)))
    assert "no member 'header.json'" in refused(path)
    with path.open("wb") as file:
        np.savez_compressed(file, W=np.zeros((3, 3)))
    assert "compressed" in refused(path)
    with path.open("wb") as file:
        np.save(file, np.zeros((3, 3)))
    assert "not a file of pyarsimple's" in refused(path)
    with zipfile.ZipFile(path, "w"):
        pass
    assert "not a file of pyarsimple's" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<hello/>")
    assert "its member 'word/document.xml' is foreign" in refused(path)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        pyarsimple.load(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        storage.read_file(tmp_path / "missing", "checkpoint")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        pyarsimple.load(tmp_path / "file" / "model")


def test_an_error_of_the_disk_is_an_os_error(path, monkeypatch):
    FVSBN(3).save(path)

    def fail(*args):
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(zipfile.ZipFile, "infolist", fail)
    with pytest.raises(OSError, match="the disk is broken"):
        pyarsimple.load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_regular_file_is_refused(tmp_path):
    assert "no regular file" in refused(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refused(tmp_path / "pipe")  # and it does not wait for a writer
    with pytest.raises(OSError, match="no regular file"):
        FVSBN(3).save(tmp_path / "pipe")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_checkpoint_is_no_model_and_a_model_no_checkpoint(path):
    FVSBN(3).save(path)
    assert "holds a 'model', not a 'checkpoint'" in refused(path, "checkpoint")
    storage.write_file(path, "checkpoint", {}, {})
    assert "holds a 'checkpoint', not a 'model'" in refused(path)


# Hostile files: made by hand, each wrong in one thing.


def npy(array) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asarray(array), version=(1, 0))
    return out.getvalue()


def npy_with_head(head: str, data=b"") -> bytes:
    head = f"{head}\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode("latin-1") + data


def forge(path, model=None, *, config=None, header=None, text=None, members=None, zip_type=0):
    """Write ``model`` with some of its config, header, or members changed; None removes one."""
    model = NADE(3, 2, order=[1, 2, 0], rng=0) if model is None else model
    head = {
        "format": "pyarsimple",
        "format_version": 1,
        "kind": "model",
        "library_version": "0",
        "arrays": list(model.params),
        "content": {"class": model.name, "config": model.config() | (config or {})},
    } | (header or {})
    head = json.dumps(head) if text is None else text(json.dumps(head))
    contents = {f"{name}.npy": npy(p) for name, p in model.params.items()} | (members or {})
    with zipfile.ZipFile(path, "w", zip_type) as archive:
        archive.writestr("header.json", head)
        for name, content in contents.items():
            if content is not None:
                archive.writestr(name, content)


def test_a_forged_file_that_is_right_is_read(path):
    forge(path)
    assert_same(NADE(3, 2, order=[1, 2, 0], rng=0), storage.load(path))


class Hostile:
    """When it is unpickled, makes a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_pickles_are_refused_and_not_run(path, tmp_path):
    marker = tmp_path / "marker"
    content = pickle.dumps(Hostile(marker))
    path.write_bytes(content)
    assert "not a file of pyarsimple's" in refused(path)
    hostile = npy(np.array([Hostile(marker)] * 3, object))
    forge(path, members={"b.npy": hostile})
    assert "its member 'b.npy' is no plain array of numbers" in refused(path)
    forge(path, members={"b.npy": content})
    assert "its member 'b.npy' is no plain array of numbers" in refused(path)
    forge(path, members={"header.json": None, "header.pkl": content})
    assert "foreign" in refused(path)
    assert not marker.exists()
    np.load(io.BytesIO(pickle.dumps(Hostile(marker))), allow_pickle=True)
    assert marker.exists()  # it would have worked


@pytest.mark.parametrize(
    "head",
    [
        "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<f8', 'fortran_order': True, 'shape': (3,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3L,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (03,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-3,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'x': 0, }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': " + "(" * 900 + "}",
        "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<c16', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<U2', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '|V8', 'fortran_order': False, 'shape': (3,), }",
        "{'descr': '<M8[s]', 'fortran_order': False, 'shape': (3,), }",
        "__import__('os').abort()",
        "",
    ],
)
def test_heads_that_we_do_not_write_are_refused(head, path):
    forge(path, members={"b.npy": npy_with_head(head, bytes(24))})
    assert "its member 'b.npy' is no plain array of numbers" in refused(path)


def test_other_versions_of_npy_are_refused(path):
    out = io.BytesIO()
    np.lib.format.write_array(out, np.zeros(3), version=(2, 0))
    forge(path, members={"b.npy": out.getvalue()})
    assert "no plain array" in refused(path)


@pytest.mark.parametrize("shape", ["(4,)", "(2,)", "()", "(100000000000000000,)", "(3, 0)"])
def test_shapes_that_do_not_fit_their_bytes_are_refused(shape, path):
    head = "{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + ", }"
    forge(path, members={"b.npy": npy_with_head(head, bytes(24))})
    assert "has 24 bytes for it" in refused(path)


def test_a_shape_of_more_axes_than_numpy_has_is_refused(path):
    shape = ", ".join(["1"] * 33)
    head = "{'descr': '<f8', 'fortran_order': False, 'shape': (" + shape + "), }"
    forge(path, members={"b.npy": npy_with_head(head, bytes(8))})
    assert "no plain array" in refused(path)


def test_big_endian_parameters_are_read(path):
    model = NADE(3, 2, order=[1, 2, 0], rng=0)
    forge(path, model, members={"W.npy": npy(model.params["W"].astype(">f8"))})
    assert_same(model, storage.load(path))


def test_truth_values_are_0_or_1(path):
    head = "{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }"
    forge(
        path,
        header={"kind": "checkpoint", "arrays": ["b"], "content": {}},
        members={
            "W.npy": None,
            "V.npy": None,
            "c.npy": None,
            "b.npy": npy_with_head(head, b"\2\0\1"),
        },
    )
    _, arrays = storage.read_file(path, "checkpoint")
    assert arrays["b"].view(np.uint8).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"W": np.zeros((3, 3))}, "'W' must have shape (3, 2) and dtype float64, got (3, 3)"),
        ({"W": np.zeros((2, 3))}, "'W' must have shape (3, 2)"),
        ({"c": np.zeros(())}, "'c' must have shape (2,)"),
        ({"b": np.zeros(3, "f4")}, "dtype float64, got (3,) and float32"),
        ({"b": np.zeros(3, "i8")}, "dtype float64, got (3,) and int64"),
        ({"b": None}, "its parameters must be"),
        ({"A": np.zeros((3, 3))}, "its parameters must be"),
    ],
)
def test_parameters_that_the_settings_do_not_ask_for_are_refused(arrays, reason, path):
    model = NADE(3, 2, order=[1, 2, 0], rng=0)
    names = [name for name in {**model.params, **arrays} if arrays.get(name, 0) is not None]
    members = {f"{name}.npy": None if a is None else npy(a) for name, a in arrays.items()}
    forge(path, model, header={"arrays": names}, members=members)
    assert reason in refused(path)


@pytest.mark.parametrize(
    "names",
    [["W", "c", "V"], ["W", "c", "V", "b", "A"], ["W", "c", "V", "b", "b"], [], "WcVb", None, [1]],
)
def test_a_list_of_arrays_that_is_not_that_of_the_members_is_refused(names, path):
    forge(path, header={"arrays": names})
    assert "its header" in refused(path)


@pytest.mark.parametrize(
    "name",
    ["../b.npy", "/b.npy", "a/../b.npy", "a//b.npy", "C:\\b.npy", ".npy", "b", "ü.npy", "b.npy "],
)
def test_names_that_lead_elsewhere_are_refused(name, path):
    forge(path, members={name: npy(np.zeros(3))})
    assert "is foreign" in refused(path)


def test_a_name_with_a_nul_is_refused(path):
    forge(path, members={"bXnpy.npy": npy(np.zeros(3))})
    path.write_bytes(path.read_bytes().replace(b"bXnpy.npy", b"b.npy\0npy"))
    assert "is foreign" in refused(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(path):
    forge(path)
    for name in ("b.npy", "header.json"):
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(name, npy(np.zeros(3)))
        assert "two members of one name" in refused(path)
        forge(path)


@pytest.mark.parametrize("zip_type", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members_are_refused(zip_type, path):
    forge(path, zip_type=zip_type)
    assert "compressed" in refused(path)


def central(content: bytes, offset: int, value: bytes) -> bytes:
    """Change every entry of the central directory at an offset."""
    changed = bytearray(content)
    for match in re.finditer(b"PK\x01\x02", content):
        changed[match.start() + offset : match.start() + offset + len(value)] = value
    return bytes(changed)


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (20, struct.pack("<II", 2**31, 2**31)),  # the sizes, both: larger than the file
        (24, struct.pack("<I", 2**31)),  # the size that it claims to unpack to
        (42, struct.pack("<I", 2**31)),  # the offset
        (42, struct.pack("<I", 2**32 - 2)),
        (42, struct.pack("<I", 0)),  # every member in one place
        (6, struct.pack("<H", 99)),  # needs a version of zip that there is not
        (8, struct.pack("<H", 1)),  # encrypted
        (8, struct.pack("<H", 32)),  # patched data
        (10, struct.pack("<H", 8)),  # compressed
        (10, struct.pack("<H", 77)),  # by a method that there is not
        (16, b"\0\0\0\0"),  # CRC
        (28, struct.pack("<H", 65535)),  # length of the name
        (30, struct.pack("<H", 10)),  # length of extra fields
    ],
)
def test_archives_that_lie_are_refused(offset, value, path):
    forge(path)
    content = path.read_bytes()
    changed = central(content, offset, value)
    assert changed != content
    path.write_bytes(changed)
    refused(path)


def test_overlapping_members_are_refused(path):
    """Many names for the same bytes: small on the disk, large in memory."""
    storage.write_file(path, "checkpoint", {}, {"a": np.zeros(1000), "b": np.zeros(1000)})
    content = path.read_bytes()
    first, second = (content.index(name) - 30 for name in (b"a.npy", b"b.npy"))
    end = content.index(b"PK\x01\x02")
    changed = bytearray(content[:second] + content[end:])
    entry = changed.rindex(b"b.npy") - 46
    changed[entry + 42 : entry + 46] = struct.pack("<I", first)
    changed[-6:-2] = struct.pack("<I", second)
    path.write_bytes(changed)
    assert "do not fit its size" in refused(path, "checkpoint")


def test_bytes_before_and_after_the_archive_are_refused(path):
    forge(path)
    content = path.read_bytes()
    path.write_bytes(b"#!/bin/sh\n" + content)
    refused(path)
    path.write_bytes(content[:-2] + b"\x05\0extra")
    assert "does not end as a zip archive" in refused(path)
    path.write_bytes(content + b"extra")
    assert "does not end as a zip archive" in refused(path)


# Hostile headers.


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"format": "other"}, "not a file of pyarsimple's"),
        ({"format": None}, "not a file of pyarsimple's"),
        ({"format_version": 2}, "it is of format 2, newer than .*; upgrade pyarsimple"),
        ({"format_version": 10**400}, "newer than .*; upgrade pyarsimple"),
        ({"format_version": 0}, "format_version"),
        ({"format_version": True}, "format_version"),
        ({"format_version": 1.0}, "format_version"),
        ({"format_version": "1"}, "format_version"),
        ({"kind": None}, "holds a None, not a 'model'"),
        ({"content": []}, "no 'content'"),
        ({"content": {}}, "its model is None"),
        ({"content": {"class": ["nade"], "config": {}}}, "must be one of independent, fvsbn"),
        ({"content": {"class": "os.system", "config": {}}}, "its model is 'os.system'"),
        ({"content": {"class": "fvsbn"}}, "'config' must have the keys"),
        ({"content": {"class": "fvsbn", "config": [3]}}, "'config' must have the keys"),
    ],
)
def test_headers_that_are_wrong_are_refused(header, reason, path):
    forge(path, header=header)
    assert re.search(reason, refused(path))


def test_a_newer_version_is_told_before_anything_else(path):
    forge(path, header={"format_version": 2, "kind": "ensemble", "content": 3, "arrays": {}})
    assert "upgrade pyarsimple" in refused(path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (lambda s: "", "no proper JSON"),
        (lambda s: s[:-1], "no proper JSON"),
        (lambda s: "[" * 100_000 + "]" * 100_000, "nested too deeply"),
        (lambda s: '{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        (lambda s: "[]", "says otherwise"),
        (lambda s: '"pyarsimple"', "says otherwise"),
        (lambda s: s.replace('"dropout": 0.0', '"dropout": NaN'), "the number NaN"),
        (lambda s: s.replace('"dropout": 0.0', '"dropout": -Infinity'), "the number -Infinity"),
        (lambda s: s.replace('"dropout": 0.0', '"dropout": 1e999'), "dropout must be"),
        (lambda s: s.replace('"n_dims": 3', '"n_dims": ' + "9" * 5000), "no proper JSON"),
        (lambda s: s.replace('"n_dims": 3', '"n_dims": 3, "n_dims": 3'), "one key twice"),
        (lambda s: s.replace('"nade"', '"n\xe4de"'), "no proper JSON"),
        (lambda s: s.replace('"nade"', r'"\ud800"'), "its model is"),
        (lambda s: s.encode("utf-16"), "no proper JSON"),
        (lambda s: b"\xef\xbb\xbf" + s.encode(), "no proper JSON"),
    ],
)
def test_header_text_that_is_wrong_is_refused(text, reason, path):
    forge(path, text=text)
    assert reason in refused(path)


BIG = 10**30
CYCLE_NADE = NADE(3, 2, order=[1, 2, 0], rng=0)
BAD_SETTINGS = [
    (CYCLE_NADE, "n_dims", [True, "3", 3.0, -1, 0, 4, BIG, None, [3], {}]),
    (CYCLE_NADE, "order", [None, "natural", 3, {"0": 1}, [[0, 1, 2]], ["0", "1", "2"], [None] * 3]),
    (CYCLE_NADE, "order", [[0, 1], [0, 1, 1], [1, 2, 3], [-1, 0, 1], [0.0, 1.0, 2.0], [0, 1, BIG]]),
    (CYCLE_NADE, "order", [[True, 2, 0], [[0], [1], [2]], [0, [1], 2], [0, 1, 2, 3]]),
    (CYCLE_NADE, "n_hidden", [2.0, "2", True, 0, -2, BIG, None, [2], 3]),
    (NADE(3, 1), "n_hidden", [True, 1.0]),
    (CYCLE_NADE, "hidden", ["tanh", None, ["relu"], {"relu": 1}, "__class__", 0]),
    (CYCLE_NADE, "dropout", [1, 1.5, -0.1, "0", None, [0.0], BIG, False, 0]),
    (CYCLE_NADE, "dtype", ["float16", "O", "f8", "<f8", ["f8"], None, {}, "float32", 8]),
    (cycle_made(), "hidden_sizes", [2, "", "23", None, [], [2], [[2, 3]], [2.0, 3.0]]),
    (cycle_made(), "hidden_sizes", [[BIG, 3], [0, 3], {"2": 3}]),
    (MADE(1, (1,)), "hidden_sizes", [[True], [1.0], {"1": 1}]),
    (MADE(2, ()), "hidden_sizes", ["", {}, None, 0]),
    (cycle_made(), "degrees", ["spread", "random", None, 1, [], [[1, 1]], [{}, {}], {"a": 1}]),
    (cycle_made(), "degrees", [[[1, 1], [1, 1, 3]], [[1, 1], [-1, 1, 1]], [[1, 1], [1, 1, BIG]]]),
    (cycle_made(), "degrees", [[[1.0, 1.0], [1, 1, 1]], [[1, True], [1, 1, 1]]]),
    (cycle_made(), "degrees", [[[[1, 1]], [1, 1, 1]], [[1, [1]], [1, 1, 1]]]),
    (cycle_made(), "direct", [False, 1, "yes", None, [0]]),
]


@pytest.mark.parametrize(
    ("model", "key", "value"),
    [(model, key, value) for model, key, values in BAD_SETTINGS for value in values],
)
def test_settings_that_are_wrong_are_refused(model, key, value, path):
    forge(path, model)
    assert_same(model, storage.load(path))
    forge(path, model, config={key: value})
    refused(path)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"dtype": "f8"}, "its dtype must be float64 or float32, got 'f8'"),
        ({"order": [0, 1]}, "its 'order' must list all of its n_dims = 3 variables, got [0, 1]"),
        ({"order": [0, 1, 1]}, "order must hold each of 0..2 once"),
        ({"dropout": 0}, "which save would have written as"),
    ],
)
def test_what_is_wrong_with_the_settings_is_said(config, reason, path):
    forge(path, config=config)
    assert reason in refused(path)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_settings_too_many_or_too_few_are_refused(name, path):
    model = MODELS[name](2)
    for extra in ({"rng": 3}, {"self": 1}, {"__class__": "x"}, {"conditionals": None}):
        forge(path, model, config=extra)
        assert "'config' must have the keys" in refused(path)
    for key in model.config().keys() - {"conditional", "context"}:
        config = {k: v for k, v in model.config().items() if k != key}
        forge(path, model, header={"content": {"class": name, "config": config}})
        assert "'config' must have the keys" in refused(path)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_file_without_conditional_and_context_holds_bits(name, path):
    """As the first files were, which knew nothing else."""
    model = MODELS[name](2, rng=1)
    config = {k: v for k, v in model.config().items() if k not in ("conditional", "context")}
    forge(path, model, header={"content": {"class": name, "config": config}})
    again = storage.load(path)
    assert again.config() == model.config()
    x = [[0, 1], [1, 1]]
    np.testing.assert_array_equal(again.log_prob(x), model.log_prob(x))


@pytest.mark.parametrize("key", ["n_dims", "n_hidden"])
def test_nothing_is_made_before_the_shapes_were_checked(key, path, monkeypatch):
    """Settings that ask for a terabyte, in a file of a kilobyte."""
    forge(path, config={key: 10**6 if key == "n_dims" else 10**11})

    def fail(*args, **kwargs):
        raise AssertionError("too early")

    with monkeypatch.context() as patch:
        patch.setattr(NADE, "_initial_params", fail)
        patch.setattr(storage, "_read_array", fail)
        assert "must" in refused(path)
    for owner, function in ((NADE, "_initial_params"), (storage, "_read_array")):
        forge(path)
        with monkeypatch.context() as patch:  # a good file comes to both
            patch.setattr(owner, function, fail)
            with pytest.raises(AssertionError, match="too early"):
                storage.load(path)


def test_messages_stay_short(path):
    forge(path, header={"content": {"class": "x" * 10**6, "config": {}}})
    assert len(refused(path)) < 1000
    forge(path, config={"hidden": "x" * 10**6})
    assert len(refused(path)) < 1000


def test_importing_storage_alone_imports_no_model():
    """Arrows point one way: a model hands itself to storage, which knows none of them."""
    allowed = {"pyarsimple.config"}  # which knows only versions and twins
    with open(storage.__file__, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    imported = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    imported |= {a.name for node in tree.body if isinstance(node, ast.Import) for a in node.names}
    assert "numpy" in imported
    assert "pickle" not in imported
    assert {name for name in imported if name.startswith("pyarsimple")} <= allowed
