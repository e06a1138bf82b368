"""Data: handwritten digits that come with scikit-learn, MNIST, and files of one's own.

    data = datasets.digits()
    model.log_prob(data.test)
    classifier.score(data.test, data.y_test)

Bits come as uint8. Classes and real numbers are loaded as they are: whether they suit a model, the
model says.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import importlib.util
import io
import math
import os
import re
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
PathLike = str | os.PathLike[str]

SPLITS = ("train", "valid", "test")
Y_NAMES = tuple(f"y_{name}" for name in SPLITS)
BINARIZE = ("threshold", "sample", "none")
FORMATS = ".npz, .npy, .csv, .csv.gz, .amat, .amat.gz, *-idx3-ubyte, *-idx3-ubyte.gz"


@dataclass(frozen=True, eq=False)
class Splits:
    """Rows to train on, to choose settings by, and to report; N may differ, D may not.

    Attributes
    ----------
    name : str
    train, valid, test : ndarray, shape (N, D)
        ``valid`` and ``test`` are None where there are none.
    image_shape : tuple of int, optional
        (height, width) if a row is an image, row by row.
    names : tuple of str, optional
        Of the variables, if the file has a first line of them.
    y_train, y_valid, y_test : ndarray, shape (N,), optional
        A label for each row, if there are any; `labelled` checks them.
    """

    name: str
    train: Array
    valid: Array | None = None
    test: Array | None = None
    image_shape: tuple[int, int] | None = None
    names: tuple[str, ...] | None = None
    y_train: Array | None = None
    y_valid: Array | None = None
    y_test: Array | None = None

    def __post_init__(self) -> None:
        for split, x in self.items():
            if x.ndim != 2 or x.shape[1:] != self.train.shape[1:]:
                raise ValueError(
                    f"{split} must have shape (N, D), with the D of train, got {x.shape} and train "
                    f"{self.train.shape}"
                )

    def __repr__(self) -> str:
        shapes = ", ".join(f"{split} {x.shape}" for split, x in self.items())
        labels = ", labels" if self.y_train is not None else ""
        return f"<Splits {self.name!r}: {shapes}, {self.train.dtype}{labels}>"

    @property
    def n_dims(self) -> int:
        """D, the number of variables."""
        return int(self.train.shape[-1])

    def items(self) -> list[tuple[str, Array]]:
        """("train", rows) and so on, of those splits that there are."""
        splits = (("train", self.train), ("valid", self.valid), ("test", self.test))
        return [(name, x) for name, x in splits if x is not None]

    def labelled(self) -> list[tuple[str, Array, Array]]:
        """("train", rows, labels) and so on, of those splits that have labels.

        Raises
        ------
        ValueError
            If labels are not whole numbers or text, one for each row.
        """
        found = []
        for split, x in self.items():
            y = getattr(self, f"y_{split}")
            if y is not None:
                y = as_labels(y, f"y_{split}")
                if len(y) != len(x):
                    raise ValueError(f"y_{split} has {len(y)} labels for the {len(x)} rows of x")
                found.append((split, x, y))
        return found


def split(
    x: npt.ArrayLike, parts: Sequence[float], *, shuffle: bool = True, rng: Any = None
) -> list[Array]:
    """Cut the rows of an array into parts.

    Parameters
    ----------
    x : array_like, shape (N, ...)
    parts : sequence of int or of float
        How many rows each part has, N in all; or its fraction of them, 1 in all.
    shuffle : bool
        Permute the rows first, by ``rng.permutation``. Without it the parts are views of x, which
        leaves a memory map unread.
    rng : None, int, SeedSequence, BitGenerator or Generator
        As in SPEC 7.

    Examples
    --------
    >>> train, valid = split(np.eye(10), (0.9, 0.1), rng=0)
    >>> train.shape, valid.shape
    ((9, 10), (1, 10))
    """
    x = np.asanyarray(x)
    n = len(x)
    total = n if all(isinstance(part, (int, np.integer)) for part in parts) else 1
    fits = math.isclose(sum(parts), total) and min(parts, default=0) > 0
    ends = np.rint(np.cumsum(parts) * (n / total)).astype(int) if fits else np.zeros(1, int)
    if min(np.diff(ends, prepend=0)) < 1:
        raise ValueError(
            f"parts must be sizes that sum to the {n} rows of x or fractions that sum to 1, and "
            f"leave a row for each, got {tuple(parts)}"
        )
    if shuffle:
        rows = np.random.default_rng(rng).permutation(n)
        return [x[chosen] for chosen in np.split(rows, ends[:-1])]
    return np.split(x, ends[:-1])


def digits() -> Splits:
    """Scikit-learn's 8x8 handwritten digits as bits: 1197 / 300 / 300 images, no download.

    A pixel is on where it is at least 8 of 16; the rows are permuted with the seed 0.
    """
    with _needs_sklearn():
        from sklearn.datasets import load_digits
    pixels, labels = load_digits(return_X_y=True)  # (1797, 64), 0..16
    train, valid, test = split((pixels >= 8).astype(np.uint8), (1197, 300, 300), rng=0)
    y = dict(zip(Y_NAMES, split(labels, (1197, 300, 300), rng=0), strict=True))
    return Splits("digits", train, valid, test, (8, 8), **cast(Any, y))


def mnist(
    *, binarize: str = "threshold", data_home: PathLike | None = None, rng: Any = None
) -> Splits:
    """MNIST by scikit-learn's OpenML loader: 50000 / 10000 / 10000 images of 28x28.

    Parameters
    ----------
    binarize : {"threshold", "sample", "none"}
        A pixel is on where it is at least 128 of 255; or drawn, once, with probability pixel / 255;
        or left as it is, 0 to 255.
    data_home : path-like, optional
        Where scikit-learn keeps its downloads.
    rng : None, int, SeedSequence, BitGenerator or Generator
        For "sample", as in SPEC 7.
    """
    _check_binarize(binarize, BINARIZE)
    with _needs_sklearn():
        from sklearn.datasets import fetch_openml
    found = fetch_openml(
        "mnist_784",
        version=1,
        as_frame=False,
        data_home=data_home,
        # The faster of the two parsers wants pandas, which nothing else here does.
        parser="pandas" if importlib.util.find_spec("pandas") else "liac-arff",
    )
    x = found.data
    if x.shape != (70000, 784):
        raise ValueError(f"OpenML's mnist_784 must have shape (70000, 784), got {x.shape}")
    sizes = 50000, 10000, 10000
    train, valid, test = split(x, sizes, shuffle=False)
    labels = np.asarray(found.target).astype(np.int64)  # they come as text
    y = dict(zip(Y_NAMES, split(labels, sizes, shuffle=False), strict=True))
    data = Splits("mnist", train, valid, test, (28, 28), **cast(Any, y))
    return _binarized(data, binarize, rng)


@contextlib.contextmanager
def _needs_sklearn() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ImportError(
            'this data set comes by scikit-learn, which is missing: pip install "pyarsimple[demo]"'
        ) from error


# Labels.


def as_labels(y: npt.ArrayLike, name: str = "y") -> Array:
    """Labels, whole numbers or text, as an array (N,); numbers that came as floats become int64.

    Raises
    ------
    ValueError
        If they are anything else.
    """
    y = np.asarray(y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.ndim != 1 or y.dtype.kind not in "biufUSO":
        raise ValueError(f"{name} must hold labels of shape (N,), got {y.dtype} {y.shape}")
    if y.dtype.kind != "f":
        return y
    whole = np.isfinite(y) & (y == np.rint(y)) & (np.abs(y) < 2**53)
    if not whole.all():
        raise ValueError(f"{name} must hold labels, whole numbers or text, got {y[~whole][0]}")
    return y.astype(np.int64)


# Pixels to bits.


def _check_binarize(binarize: str, allowed: tuple[str, ...]) -> None:
    if binarize not in allowed:
        raise ValueError(f"binarize must be one of {', '.join(allowed)}, got {binarize!r}")


def _binarized(data: Splits, binarize: str, rng: Any) -> Splits:
    """Make bits of pixels, one split after the other from one generator; "none" only of type."""
    rng = np.random.default_rng(rng)
    splits = {split: _to_bits(x, binarize, rng, split) for split, x in data.items()}
    return replace(data, **cast(Any, splits))


def _to_bits(
    x: Array, binarize: str, rng: np.random.Generator, split: str
) -> npt.NDArray[np.uint8]:
    pixels = x.astype(np.uint8) if _are_pixels(x) else None
    if pixels is None:
        raise ValueError(f"{split} must hold pixels, whole numbers from 0 to 255, to be binarized")
    if binarize == "none":
        return pixels
    if pixels.max(initial=0) <= 1:  # the threshold would make zeros of them all
        raise ValueError(f"{split} has no pixel above 1: these are bits already: binarize='none'")
    if binarize == "threshold":
        return (pixels >= 128).astype(np.uint8)
    bits = np.empty_like(pixels)
    for n, row in enumerate(pixels):  # row by row: the uniform numbers take eight times its memory
        bits[n] = rng.random(len(row)) * 255 < row
    return bits


def _are_pixels(x: Array) -> bool:
    if x.dtype == np.uint8:
        return True
    with np.errstate(invalid="ignore"):
        return bool(np.array_equal(x, x.astype(np.uint8)))


# Files.


def load_file(
    path: PathLike, *, binarize: str = "auto", label: int | str | None = None, rng: Any = None
) -> Splits:
    """Load data from a file, by its suffix.

    ======================  ==========================================================
    .npz                    arrays named train, valid, test (or x_train, ...), or a single one, x;
                            with labels y_train, y_valid, y_test, or y
    .npy                    one array, mapped into memory and read when it is used
    .csv, .csv.gz           numbers with commas between them; a first line of names is skipped
    .amat, .amat.gz         numbers with white space between them
    *-idx3-ubyte, same.gz   MNIST's images
    "digits", "mnist"       `digits`, `mnist`
    ======================  ==========================================================

    One array is all ``train``: `split` cuts it. Images (N, height, width) become rows.

    Parameters
    ----------
    path : path-like
    binarize : {"auto", "threshold", "sample", "none"}
        What becomes of pixels 0..255, as in `mnist`. "auto" is "threshold" for MNIST's own files
        and "none" for the others, which are left as they are.
    label : int or str, optional
        The column that holds labels, which is taken out of the rows: its number from 0 (-1 is the
        last), or its name if the file has a first line of names.
    rng : None, int, SeedSequence, BitGenerator or Generator
        For "sample", as in SPEC 7.

    Raises
    ------
    ValueError
        If the file is damaged, empty, of no known format, or holds no numbers.
    OSError
        If it is missing or cannot be read.
    """
    _check_binarize(binarize, ("auto", *BINARIZE))
    if path == "digits":
        return digits()
    if path == "mnist":
        return mnist(binarize="threshold" if binarize == "auto" else binarize, rng=rng)
    path = Path(path)
    is_idx = re.search(r"idx\d-ubyte(\.gz)?$", path.name) is not None
    if binarize == "auto":
        binarize = "threshold" if is_idx else "none"
    with _naming(path):
        names = None
        if is_idx:
            arrays = _read_idx(path)
        elif (between := _delimiter(path)) is not None:
            names, x = _read_text(path, between)
            arrays = {"train": x}
        else:
            arrays = _read_numpy(path)
        data = replace(_as_splits(path.name, arrays), names=names)
        data = data if label is None else _take_labels(data, label)
        return data if binarize == "none" else _binarized(data, binarize, rng)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Make a ValueError that names the file of whatever its bad content leads to."""
    try:
        yield
    except OSError as error:
        # The system's own errors pass; what is left says that compressed data are bad, or is about
        # a place in the file that the file itself led to.
        if error.errno not in {None, errno.EINVAL} or error.filename is not None:
            raise
        _refuse(path, error)
    except (
        ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, EOFError, SyntaxError,
        tokenize.TokenError, struct.error, zlib.error, zipfile.BadZipFile, MemoryError,
    ) as error:  # fmt: skip
        _refuse(path, error)


def _refuse(path: Path, error: Exception) -> NoReturn:
    reason = str(error) or type(error).__name__
    raise ValueError(f"cannot load {str(path)!r}: {reason}") from error


def _delimiter(path: Path) -> str | None:
    """What is between the numbers of a text file, by its name; None of NumPy's formats."""
    path.stat()  # a missing file is an OSError, whatever its name
    name = path.name.removesuffix(".gz")
    if name.endswith(".csv"):
        return ","
    if name.endswith(".amat"):
        return " "
    if path.suffix in {".npz", ".npy"}:
        return None
    raise ValueError(f"its name must end in one of {FORMATS}")


def _read_numpy(path: Path) -> dict[str, Array]:
    """The arrays of a file, by the names of the splits."""
    with path.open("rb") as file:
        start = file.read(6)
        file.seek(0)
        if start == b"\x93NUMPY":
            return {"train": np.lib.format.open_memmap(path, mode="r")}
        if not start.startswith(b"PK"):
            raise ValueError(f"it is not of NumPy's format: it begins with {start!r}")
        with np.load(file, allow_pickle=False) as loaded:
            names = {name: name for name in (*SPLITS, *Y_NAMES)}
            if "x_train" in loaded.files:
                names |= {name: f"x_{name}" for name in SPLITS}
            elif "train" not in loaded.files and "x" in loaded.files:
                names = {"train": "x", "y_train": "y"}
            found = {new: loaded[name] for new, name in names.items() if name in loaded.files}
            if "train" not in found:
                raise ValueError(f"it must hold an array 'train' or 'x', got {loaded.files}")
            return found


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else path.open("rb"))


def _read_text(path: Path, between: str) -> tuple[tuple[str, ...] | None, Array]:
    """Names, if the first line has them, and one row a line. Bits become uint8, others float64."""
    delimiter = between.strip() or None  # None is any white space
    with _open(path) as binary, io.TextIOWrapper(binary, encoding="utf-8-sig") as file:
        names = _names(file.readline(), delimiter)
        file.seek(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that there are no rows is said later
                x = np.loadtxt(file, delimiter=delimiter, ndmin=2, skiprows=int(names is not None))
        except UnicodeDecodeError:
            raise
        except ValueError:
            file.seek(0)
            _explain(file, delimiter, n_skipped=int(names is not None))
            raise  # what NumPy takes for no number and Python does
    return names, x.astype(np.uint8) if ((x == 0) | (x == 1)).all() else x


def _fields(line: str, delimiter: str | None) -> list[str]:
    """The fields of a line as np.loadtxt sees it: what follows a # is a comment."""
    line = line.partition("#")[0].strip("\r\n" if delimiter else None)
    return [field.strip() for field in line.split(delimiter)] if line else []


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _names(line: str, delimiter: str | None) -> tuple[str, ...] | None:
    """The fields of the first line, if there are any and none of them is a number."""
    fields = _fields(line, delimiter)
    return tuple(fields) if fields and not any(map(_is_number, fields)) else None


def _explain(file: Iterable[str], delimiter: str | None, n_skipped: int) -> None:
    """Raise an error that says in which line of the file the first mistake is."""
    first = None
    for k, line in enumerate(file, 1):
        fields = _fields(line, delimiter)
        if k <= n_skipped or not fields:
            continue
        first = first or (k, len(fields))
        if len(fields) != first[1]:
            raise ValueError(
                f"line {k} has {len(fields)} columns, and line {first[0]} has {first[1]}"
            )
        for column, field in enumerate(fields, 1):
            if not _is_number(field):
                raise ValueError(f"line {k}, column {column}: {field!r} is no number")


def _read_idx(path: Path) -> dict[str, Array]:
    """MNIST's format: 0, 0, 8 for bytes, how many axes, their lengths (big-endian), the bytes."""
    with _open(path) as file:
        magic = file.read(4)
        if magic[:3] != b"\0\0\x08" or len(magic) < 4:
            raise ValueError(f"it must begin with 00 00 08 as an IDX file of bytes, got {magic!r}")
        if magic[3] != 3:
            raise ValueError(f"it must hold images, an array of 3 axes, got {magic[3]} (labels?)")
        shape = struct.unpack(">3I", file.read(12))
        content = file.read()
    if len(content) != math.prod(shape):
        raise ValueError(f"it declares shape {shape}, and has {len(content)} bytes for it")
    return {"train": np.frombuffer(content, np.uint8).reshape(shape)}


def _as_splits(name: str, arrays: dict[str, Array]) -> Splits:
    """Check the arrays, make rows of images, and put them together."""
    image_shape = arrays["train"].shape[1:] if arrays["train"].ndim == 3 else None
    rows = {name: y for name, y in arrays.items() if name in Y_NAMES}
    for split, x in arrays.items():
        if split in Y_NAMES:
            continue
        if x.dtype.kind not in "biuf":
            raise ValueError(f"{split} must hold numbers, got dtype {x.dtype}")
        if x.ndim not in {2, 3}:
            raise ValueError(
                f"{split} must have shape (N, D), or (N, height, width) for images, got {x.shape}"
            )
        if x.ndim == 3 and x.shape[1:] != image_shape:
            raise ValueError(f"{split} must hold images of shape {image_shape}, got {x.shape[1:]}")
        if x.size == 0:
            raise ValueError(f"{split} must have rows and columns, got shape {x.shape}")
        rows[split] = x.reshape(len(x), -1)
    return Splits(name, **cast(Any, rows), image_shape=cast(Any, image_shape))


def _take_labels(data: Splits, label: int | str) -> Splits:
    """The data with one column made labels."""
    column = label
    if isinstance(label, str):
        if data.names is None or label not in data.names:
            listed = "no names" if data.names is None else f"the names {', '.join(data.names)}"
            raise ValueError(f"label must name a column, got {label!r}, but the file has {listed}")
        column = data.names.index(label)
    assert isinstance(column, int)
    if not -data.n_dims <= column < data.n_dims or data.n_dims == 1:
        raise ValueError(
            f"label must be one of the {data.n_dims} columns, and leave others, got {label!r}"
        )
    column %= data.n_dims
    names = data.names and tuple(n for k, n in enumerate(data.names) if k != column)
    parts: dict[str, Any] = {}
    for split, x in data.items():
        parts[split] = np.delete(x, column, axis=1)
        parts[f"y_{split}"] = as_labels(x[:, column], f"the column of labels in {split}")
    return replace(data, names=names, image_shape=None, **parts)
