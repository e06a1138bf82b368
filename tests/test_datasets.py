"""Promises of pyarsimple.datasets: every format is read, every bad file is named."""

import errno
import gzip
import io
import math
import pickle
import re
import struct
import sys
import types
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyarsimple import datasets

BITS = np.array([[0, 1, 1], [1, 0, 1], [0, 0, 1], [1, 1, 0]], np.uint8)
REALS = np.array([[0.1, -2.5, 1e300], [3, 4, 5e-324]])
IMAGES = np.array([[[0, 127, 128], [255, 1, 200]], [[9, 8, 7], [254, 129, 126]]], np.uint8)
PIXELS = IMAGES.reshape(2, 6)
PIXELS_ON = np.array([[0, 0, 1, 1, 0, 1], [0, 0, 0, 1, 1, 0]], np.uint8)


def idx(array: np.ndarray, *, kind: int = 8) -> bytes:
    """The IDX format, by its specification."""
    sizes = b"".join(struct.pack(">I", size) for size in array.shape)
    return bytes([0, 0, kind, array.ndim]) + sizes + array.tobytes()


def refused(path, **options) -> str:
    """What is said of the file, which must be named in it."""
    with pytest.raises(ValueError, match=re.escape(f"cannot load {str(path)!r}: ")) as caught:
        datasets.load_file(path, **options)
    return str(caught.value)


# Digits and MNIST.


def test_digits_are_the_documented_rows():
    from sklearn.datasets import load_digits

    on = load_digits().data >= 8
    rows = on[np.random.default_rng(0).permutation(len(on))]
    data = datasets.digits()
    assert np.array_equal(data.train, rows[:1197])
    assert np.array_equal(data.valid, rows[1197:1497])
    assert np.array_equal(data.test, rows[1497:])
    assert [x.dtype for _, x in data.items()] == [np.uint8] * 3
    assert (data.name, data.n_dims, data.image_shape) == ("digits", 64, (8, 8))


def test_digits_by_name_are_the_digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(datasets.load_file("digits").test, datasets.digits().test)


@pytest.mark.parametrize("load", [datasets.digits, datasets.mnist])
def test_without_scikit_learn_it_says_what_to_install(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r'pip install "pyarsimple\[demo\]"'):
        load()


@pytest.fixture
def openml(monkeypatch):
    """A stand-in for the download: row r starts with r's bytes; one pixel of 128, one of 127."""
    import sklearn.datasets

    rows = np.arange(70000)
    data = np.zeros((70000, 784), np.uint8)
    data[:, 0], data[:, 1], data[:, 2] = rows >> 16, (rows >> 8) & 255, rows & 255
    data[:, 3:6] = [127, 128, 255]
    asked = []

    def fetch_openml(name, **options):
        asked.append((name, options))
        return types.SimpleNamespace(data=data, target=(rows % 10).astype(str))

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    return types.SimpleNamespace(data=data, asked=asked)


def test_mnist_has_the_usual_splits_in_order(openml, tmp_path):
    data = datasets.mnist(binarize="none", data_home=tmp_path)
    [(name, options)] = openml.asked
    assert (name, options["version"], options["data_home"]) == ("mnist_784", 1, tmp_path)
    assert not options["as_frame"]
    assert [len(x) for _, x in data.items()] == [50000, 10000, 10000]
    assert np.array_equal(np.concatenate([x for _, x in data.items()]), openml.data)
    assert data.image_shape == (28, 28)


def test_mnist_is_binarized_at_half_unless_told(openml):
    for data in (datasets.mnist(), datasets.load_file("mnist")):
        assert np.array_equal(data.train, openml.data[:50000] >= 128)
        assert np.array_equal(data.test, openml.data[60000:] >= 128)
        assert data.test.dtype == np.uint8


def test_mnist_sampled_has_each_pixel_with_its_probability(openml):
    data = datasets.mnist(binarize="sample", rng=1)
    assert data.train[:, 5].all()  # 255 of 255
    assert not data.train[:, 6:].any()  # 0 of 255
    n = sum(len(x) for _, x in data.items())
    on = sum(x[:, 3].sum(dtype=int) for _, x in data.items())
    p = 127 / 255
    assert abs(on - n * p) < 5 * math.sqrt(n * p * (1 - p))
    assert not np.array_equal(data.valid[:, 3], data.test[:, 3])  # one stream, not one seed each
    again = datasets.load_file("mnist", binarize="sample", rng=1)
    assert np.array_equal(data.test, again.test)


def test_mnist_of_another_shape_is_refused(openml, monkeypatch):
    import sklearn.datasets

    monkeypatch.setattr(
        sklearn.datasets, "fetch_openml", lambda *a, **k: types.SimpleNamespace(data=BITS)
    )
    with pytest.raises(ValueError, match=r"\(70000, 784\), got \(4, 3\)"):
        datasets.mnist()


def test_binarize_is_checked():
    with pytest.raises(ValueError, match="binarize must be one of threshold, sample, none"):
        datasets.mnist(binarize="auto")
    with pytest.raises(ValueError, match="binarize must be one of auto, "):
        datasets.load_file("digits", binarize="yes")


# Splitting.


@given(st.integers(1, 40), st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(0, 9))
def test_split_gives_each_row_once(width, sizes, seed):
    x = np.arange(sum(sizes) * width).reshape(-1, width)
    parts = datasets.split(x, sizes, rng=seed)
    assert [len(part) for part in parts] == sizes
    assert np.array_equal(np.sort(np.concatenate(parts), axis=0), x)
    again = datasets.split(x, sizes, rng=seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


@pytest.mark.parametrize(
    ("n", "fractions", "sizes"),
    [
        (10, (0.9, 0.1), [9, 1]),
        (1797, (0.7, 0.15, 0.15), [1258, 269, 270]),
        (5, (1.0,), [5]),
        (7, (0.5, 0.5), [4, 3]),
    ],
)
def test_fractions(n, fractions, sizes):
    parts = datasets.split(np.zeros((n, 2)), fractions)
    assert [len(part) for part in parts] == sizes


def test_split_shuffles_by_the_generator():
    x = np.arange(100)
    assert not np.array_equal(np.concatenate(datasets.split(x, (60, 40), rng=0)), x)
    a, b = (datasets.split(x, (60, 40), rng=seed)[0] for seed in (0, 1))
    assert not np.array_equal(a, b)


def test_split_unshuffled_leaves_a_memory_map_unread(tmp_path):
    np.save(tmp_path / "x.npy", BITS)
    x = datasets.load_file(tmp_path / "x.npy").train
    parts = datasets.split(x, (0.75, 0.25), shuffle=False)
    assert all(np.shares_memory(part, x) for part in parts)
    assert np.array_equal(np.concatenate(parts), BITS)


@pytest.mark.parametrize(
    "parts",
    [(), (3,), (3, 2), (0.5, 0.4), (5, -1), (1.5, -0.5), (math.nan, 1.0), (4, 0), (0.9, 0.1)],
)
def test_parts_that_do_not_fit_are_refused(parts):
    with pytest.raises(ValueError, match="parts must be sizes that sum to the 4 rows"):
        datasets.split(BITS, parts)


@pytest.mark.parametrize("parts", [(), (0,), (1.0,)])
def test_no_rows_cannot_be_split(parts):
    with pytest.raises(ValueError, match="parts must be sizes that sum to the 0 rows"):
        datasets.split(BITS[:0], parts)


def test_splits_must_agree_in_their_columns():
    with pytest.raises(ValueError, match=r"test must have shape \(N, D\)"):
        datasets.Splits("mine", BITS, test=BITS[:, :2])
    with pytest.raises(ValueError, match=r"train must have shape \(N, D\)"):
        datasets.Splits("mine", np.zeros(3))
    assert repr(datasets.Splits("mine", BITS, BITS[:1])) == (
        "<Splits 'mine': train (4, 3), valid (1, 3), uint8>"
    )


# Files.


@pytest.mark.parametrize(
    "array", [BITS, REALS, BITS.astype(bool), REALS[:, :2].astype("f4"), BITS - 1.0]
)
def test_npy_is_mapped_read_only(array, tmp_path):
    path = tmp_path / "mine.npy"
    np.save(path, array)
    data = datasets.load_file(path)
    assert np.array_equal(data.train, array)
    assert data.train.dtype == array.dtype
    assert isinstance(data.train, np.memmap)
    assert not data.train.flags.writeable
    assert (data.valid, data.test, data.name) == (None, None, "mine.npy")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(save, tmp_path):
    path = tmp_path / "mine.npz"
    save(path, train=BITS, valid=BITS[:2], test=BITS[1:], train_labels=np.arange(4))
    data = datasets.load_file(str(path))
    assert [name for name, _ in data.items()] == ["train", "valid", "test"]
    for (_, x), wanted in zip(data.items(), (BITS, BITS[:2], BITS[1:]), strict=True):
        assert np.array_equal(x, wanted)
    save(path, train=BITS, test=REALS)
    assert datasets.load_file(path).valid is None
    save(path, x=REALS)
    assert np.array_equal(datasets.load_file(path).train, REALS)


def write_text(path, text):
    content = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("zipped", ["", ".gz"])
@pytest.mark.parametrize("array", [BITS, REALS, REALS[:1], REALS[:, :1]])
@pytest.mark.parametrize(("suffix", "between"), [("csv", ","), ("amat", " "), ("amat", "\t  ")])
@pytest.mark.parametrize("header", [False, True])
def test_text(zipped, array, suffix, between, header, tmp_path):
    lines = [between.join(map(repr, row)) for row in array.tolist()]
    if header:
        lines.insert(0, between.join(["age", '"height"', "größe"][: array.shape[1]]))
    path = write_text(tmp_path / f"mine.{suffix}{zipped}", "\n".join([*lines, ""]))
    data = datasets.load_file(path)
    assert np.array_equal(data.train, array)
    assert data.train.dtype == (np.uint8 if array is BITS else np.float64)


def test_text_of_other_systems(tmp_path):
    text = "\ufeff" + "0,1\r\n1,1\r\n"
    assert datasets.load_file(write_text(tmp_path / "x.csv", text)).train.tolist() == [
        [0, 1],
        [1, 1],
    ]
    text = "\ufeffa,b\r\n0,1\r\n"
    assert datasets.load_file(write_text(tmp_path / "x.csv", text)).train.tolist() == [[0, 1]]
    text = "# made by hand\n0,nan\n"
    x = datasets.load_file(write_text(tmp_path / "x.csv", text)).train
    assert np.array_equal(x, [[0, math.nan]], equal_nan=True)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-images.idx3-ubyte"])
@pytest.mark.parametrize("zipped", ["", ".gz"])
def test_idx(name, zipped, tmp_path):
    path = write_text(tmp_path / (name + zipped), idx(IMAGES))
    data = datasets.load_file(path)
    assert np.array_equal(data.train, PIXELS_ON)
    assert data.train.dtype == np.uint8
    assert data.image_shape == (2, 3)
    assert np.array_equal(datasets.load_file(path, binarize="none").train, PIXELS)
    sampled = datasets.load_file(path, binarize="sample", rng=0).train
    assert set(sampled.ravel()) == {0, 1}
    assert sampled[0, 0] == 0
    assert sampled[0, 3] == 1


@pytest.mark.parametrize("dtype", ["u1", "i4", "f8"])
def test_images_become_rows_and_are_binarized_on_request(dtype, tmp_path):
    np.savez(tmp_path / "x.npz", train=IMAGES.astype(dtype), test=IMAGES[1:])
    data = datasets.load_file(tmp_path / "x.npz")
    assert np.array_equal(data.train, PIXELS)
    assert data.train.dtype == dtype
    assert data.image_shape == (2, 3)
    on = datasets.load_file(tmp_path / "x.npz", binarize="threshold")
    assert np.array_equal(on.train, PIXELS_ON)
    assert np.array_equal(on.test, PIXELS_ON[1:])
    assert on.image_shape == (2, 3)
    np.save(tmp_path / "x.npy", IMAGES)
    mapped = datasets.load_file(tmp_path / "x.npy").train
    assert isinstance(mapped, np.memmap)
    assert np.array_equal(mapped, PIXELS)


# Labels.


def test_digits_know_what_they_show():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    known = {(x >= 8).tobytes(): y for x, y in zip(pixels, labels, strict=True)}
    for (_, x, y), n in zip(datasets.digits().labelled(), (1197, 300, 300), strict=True):
        assert len(y) == n
        assert [known[row.astype(bool).tobytes()] for row in x] == y.tolist()


def test_mnist_has_its_labels(openml):
    for (_, x, y), start in zip(datasets.mnist().labelled(), (0, 50000, 60000), strict=True):
        assert np.array_equal(y, (start + np.arange(len(x))) % 10)


@pytest.mark.parametrize("prefix", ["", "x_"])
def test_npz_with_labels(prefix, tmp_path):
    y = np.array(["a", "b", "a", "c"])
    splits = {f"{prefix}train": BITS, f"{prefix}test": BITS[1:], "y_train": y, "y_test": y[1:]}
    np.savez(tmp_path / "x.npz", **splits)
    [(train, x, labels), (test, x_test, labels_test)] = datasets.load_file(
        tmp_path / "x.npz"
    ).labelled()
    assert (train, test) == ("train", "test")
    assert np.array_equal(x, BITS)
    assert np.array_equal(x_test, BITS[1:])
    assert labels.tolist() == y.tolist()
    assert labels_test.tolist() == y[1:].tolist()


def test_npz_of_one_array_with_labels(tmp_path):
    np.savez(tmp_path / "x.npz", x=BITS, y=np.array([[3.0], [1], [2], [1]]))
    [(_, _, labels)] = datasets.load_file(tmp_path / "x.npz").labelled()
    assert labels.tolist() == [3, 1, 2, 1]
    assert labels.dtype == np.int64


@pytest.mark.parametrize(
    ("y", "reason"),
    [
        (np.arange(3), "y_train has 3 labels for the 4 rows"),
        (np.eye(4), r"y_train must hold labels of shape \(N,\), got float64 \(4, 4\)"),
        (np.array([0, 1, 0.5, 1]), "whole numbers or text, got 0.5"),
        (np.array([0, 1, math.nan, 1]), "whole numbers or text, got nan"),
    ],
)
def test_bad_labels_are_an_error_for_those_who_want_labels(y, reason, tmp_path):
    np.savez(tmp_path / "x.npz", train=BITS, y_train=y)
    data = datasets.load_file(tmp_path / "x.npz")
    assert np.array_equal(data.train, BITS)
    with pytest.raises(ValueError, match=reason):
        data.labelled()


@pytest.mark.parametrize("label", ["kind", 1, -2])
def test_a_column_of_labels(label, tmp_path):
    path = write_text(tmp_path / "x.csv", "a,kind,b\n0,7,1\n1,5,1\n1,7,0\n")
    data = datasets.load_file(path, label=label)
    assert data.train.tolist() == [[0, 1], [1, 1], [1, 0]]
    assert data.names == ("a", "b")
    assert data.labelled()[0][2].tolist() == [7, 5, 7]


def test_labels_are_not_binarized(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[3, 200, 10], [9, 0, 255]]))
    data = datasets.load_file(tmp_path / "x.npy", label=0, binarize="threshold")
    assert data.train.tolist() == [[1, 0], [0, 1]]
    assert data.y_train.tolist() == [3, 9]


@pytest.mark.parametrize("label", ["kind", 3, -4])
def test_a_column_that_is_not_there(label, tmp_path):
    path = write_text(tmp_path / "x.csv", "a,b,c\n0,7,1\n1,5,1\n")
    assert "label must" in refused(path, label=label)
    assert "label must" in refused(write_text(tmp_path / "y.csv", "0,7,1\n1,5,1\n"), label="a")
    assert "leave others" in refused(write_text(tmp_path / "z.csv", "0\n1\n"), label=0)


# Bad files.


@pytest.mark.parametrize("array", [REALS, BITS - 1.0, np.array([[256]]), np.array([[math.nan]])])
def test_what_are_no_pixels_is_not_binarized(array, tmp_path):
    np.save(tmp_path / "x.npy", array)
    assert "whole numbers from 0 to 255" in refused(tmp_path / "x.npy", binarize="threshold")


@pytest.mark.parametrize("binarize", ["threshold", "sample"])
@pytest.mark.parametrize("dtype", ["u1", "?", "f8"])
def test_bits_are_not_binarized_to_zeros(binarize, dtype, tmp_path):
    np.savez(tmp_path / "x.npz", train=PIXELS, test=np.eye(6, dtype=dtype))
    said = refused(tmp_path / "x.npz", binarize=binarize)
    assert "test has no pixel above 1: these are bits already: binarize='none'" in said
    assert np.array_equal(datasets.load_file(tmp_path / "x.npz", binarize="none").test, np.eye(6))


def test_bits_in_files_of_images_and_of_text(tmp_path):
    path = write_text(tmp_path / "x-idx3-ubyte", idx((IMAGES > 100).astype(np.uint8)))
    assert "these are bits already" in refused(path)
    assert datasets.load_file(path, binarize="none").train.any()
    path = write_text(tmp_path / "x.csv", "0,1\n1,1\n")
    assert "these are bits already" in refused(path, binarize="threshold")
    path = write_text(tmp_path / "x.csv", "0,200\n1,1\n")
    assert datasets.load_file(path, binarize="threshold").train.tolist() == [[0, 1], [0, 0]]


NAMES = (
    "x.npz",
    "x.npy",
    "x.csv",
    "x.csv.gz",
    "x.amat",
    "x-idx3-ubyte",
    "x-idx3-ubyte.gz",
    "x.odd",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_an_os_error(name, tmp_path):
    with pytest.raises(FileNotFoundError):
        datasets.load_file(tmp_path / name)
    if name != "x.odd":
        (tmp_path / name).mkdir()
        with pytest.raises(IsADirectoryError):
            datasets.load_file(tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"\x80\x04\x95\xff\xfe\n", b"PK\x03\x04", b"hello\n", b"\x93NUMPY\x01\0"],
)
def test_nonsense_is_refused(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    refused(path)


def test_an_error_of_the_disk_is_an_os_error(tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", x=BITS)

    def fail(*args, **kwargs):
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(OSError, match="the disk is broken"):
        datasets.load_file(tmp_path / "x.npz")


def test_an_unknown_suffix_is_told_the_known_ones(tmp_path):
    (tmp_path / "x.mat").write_bytes(b"MATLAB")
    assert ".csv.gz" in refused(tmp_path / "x.mat")


def whole_files():
    """Good content of each binary format, by a name for it."""
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, BITS)
    np.savez_compressed(npz, x=BITS)
    return {
        "x.npy": npy.getvalue(),
        "x.npz": npz.getvalue(),
        "x-idx3-ubyte": idx(IMAGES),
        "x-idx3-ubyte.gz": gzip.compress(idx(IMAGES)),
        "x.csv.gz": gzip.compress(b"0,1\n1,1\n"),
    }


@pytest.mark.parametrize(("name", "content"), whole_files().items(), ids=whole_files())
def test_truncation_at_every_byte_is_refused(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    datasets.load_file(path)
    for n in range(len(content)):
        path.write_bytes(content[:n])
        refused(path)


@pytest.mark.parametrize(("name", "content"), whole_files().items(), ids=whole_files())
def test_a_change_of_any_byte_gives_data_or_is_refused(name, content, tmp_path):
    path = tmp_path / name
    n_refused = 0
    for n in range(len(content)):
        path.write_bytes(content[:n] + bytes([content[n] ^ 0xFF]) + content[n + 1 :])
        try:
            datasets.load_file(path)
        except ValueError:
            n_refused += 1
    assert n_refused > 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (idx(IMAGES) + b"\0", r"declares shape (2, 2, 3), and has 13 bytes"),
        (idx(IMAGES, kind=9), "00 00 08"),
        (b"\1" + idx(IMAGES)[1:], "00 00 08"),
        (idx(np.arange(5, dtype=np.uint8)), "3 axes, got 1 (labels?)"),
        (idx(IMAGES[:0]), "rows and columns"),
        (b"\0\0\x08\3" + b"\xff" * 12, "declares shape (4294967295, 4294967295, 4294967295)"),
    ],
)
def test_bad_idx(content, reason, tmp_path):
    (tmp_path / "x-idx3-ubyte").write_bytes(content)
    assert reason in refused(tmp_path / "x-idx3-ubyte")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0,1\n1\n", "line 2 has 1 columns, and line 1 has 2"),
        ("a,b\n\n# more\n0,1\n1,0,1\n", "line 5 has 3 columns, and line 4 has 2"),
        ("0,1\n1,no\n", "line 2, column 2: 'no' is no number"),
        ("0,no\n", "line 1, column 2: 'no' is no number"),
        ("a,b\n0,1\n\n?,?\n", "line 4, column 1: '?' is no number"),
        ("0,1\n1,\n", "line 2, column 2: '' is no number"),
        ("0,1\n1_0,1\n", "could not convert string '1_0'"),  # it is a number for Python
        ("a,b\n", "rows and columns"),
        ("\n\n", "rows and columns"),
    ],
)
def test_bad_text(text, reason, tmp_path):
    said = refused(write_text(tmp_path / "x.csv", text))
    assert reason in said
    assert "usecols" not in said


def test_bad_text_between_white_space(tmp_path):
    path = write_text(tmp_path / "x.amat.gz", "\n0 1\n\t1  1 \n0 x\n")
    assert "line 4, column 2: 'x' is no number" in refused(path)
    assert "line 2 has 1 columns" in refused(write_text(path, "0 1\n1 \n"))


def test_names_of_columns_are_told(tmp_path):
    for text, names in {
        "?,?,?\n0,1,1\n": ("?", "?", "?"),
        "age, height,\n0,1,1\n": ("age", "height", ""),
        "0,1,1\n": None,
        "a,1,b\n": "refused",
        "# by hand\n0,1,1\n": None,
        "\n0,1,1\n": None,
        "nan,nan,nan\n": None,
    }.items():
        path = write_text(tmp_path / "x.csv", text)
        if names == "refused":
            refused(path)
        else:
            assert datasets.load_file(path).names == names
    assert datasets.digits().names is None


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"test": BITS, "labels": BITS}, "'train' or 'x', got ['test', 'labels']"),
        ({"train": BITS, "valid": BITS[:, :2]}, "valid must have shape (N, D)"),
        ({"train": IMAGES, "test": IMAGES.reshape(2, 3, 2)}, "images of shape (2, 3), got (3, 2)"),
        ({"train": np.arange(3)}, "(N, D), or (N, height, width)"),
        ({"train": np.zeros((2, 2, 2, 2))}, "(N, D), or (N, height, width)"),
        ({"train": np.float64(3)}, "(N, D), or (N, height, width)"),
        ({"train": BITS[:0]}, "train must have rows and columns, got shape (0, 3)"),
        ({"train": BITS, "test": BITS[:0]}, "test must have rows"),
        ({"train": BITS[:, :0]}, "rows and columns"),
        ({"x": BITS * 1j}, "numbers, got dtype complex128"),
        ({"x": np.array([["a"]])}, "numbers, got dtype <U1"),
        ({"x": np.array([["2020-01-01"]], "M8[D]")}, "numbers, got dtype datetime64[D]"),
    ],
)
def test_bad_arrays(arrays, reason, tmp_path):
    np.savez(tmp_path / "x.npz", **arrays)
    assert reason in refused(tmp_path / "x.npz")


class Hostile:
    """When it is unpickled, makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickles_are_refused_and_not_run(tmp_path):
    marker = tmp_path / "marker"
    hostile = np.array([[Hostile(marker)]], dtype=object)
    np.save(tmp_path / "x.npy", hostile)
    np.savez(tmp_path / "x.npz", x=hostile)
    assert "Python objects in dtype" in refused(tmp_path / "x.npy")
    assert "allow_pickle=False" in refused(tmp_path / "x.npz")
    (tmp_path / "y.npy").write_bytes(pickle.dumps(Hostile(marker)))
    assert "not of NumPy's format" in refused(tmp_path / "y.npy")
    assert not marker.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        pickle.loads((tmp_path / "y.npy").read_bytes())
    assert marker.exists()  # it would have worked


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_a_size_beyond_all_memory_is_refused(name, tmp_path):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 2**20)}
    )
    if name == "x.npy":
        (tmp_path / name).write_bytes(head.getvalue() + b"\0" * 100)
    else:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("x.npy", head.getvalue() + b"\0" * 100)
    refused(tmp_path / name)


@settings(max_examples=200)
@given(st.binary(max_size=40), st.sampled_from(NAMES))
def test_any_bytes_are_data_or_refused(tmp_path_factory, content, name):
    path = tmp_path_factory.getbasetemp() / f"fuzz-{name}"
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    try:
        size = datasets.load_file(path).train.size
    except ValueError:
        refused(path)
    else:
        assert size > 0
