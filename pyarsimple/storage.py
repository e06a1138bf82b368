"""Files of models and checkpoints: an ``.npz`` that any NumPy reads, and that cannot run code.

A file is an uncompressed zip archive of

    header.json    what the file is: {"format": "pyarsimple", "format_version": 1, "kind": "model",
                   "library_version": ..., "arrays": [the names below], "content": {...}}
    NAME.npy       an array of numbers for each name, little-endian, in C order

and the content of a model is its class's name and its settings, order and degrees included; of a
model that is made of others (a mixture) theirs too, under "parts", and part k's arrays are called
parts/k/NAME. The same model gives the same bytes, whenever and wherever it is saved.

A file is not to be trusted: nothing in it is unpickled, and nothing that it declares is believed
before it was held against the size of the file. What is wrong with it, it is refused with a
``ValueError`` that names it; only a file that cannot be read at all is an ``OSError``.
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import io
import json
import math
import os
import re
import secrets
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from reprlib import repr as short
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from pyarsimple.config import version

if TYPE_CHECKING:
    from pyarsimple.density import Density

Array = npt.NDArray[Any]
PathLike = str | os.PathLike[str]

FORMAT = "pyarsimple"
FORMAT_VERSION = 1
HEADER = "header.json"
#: In bytes: enough for the order of two million variables.
MAX_HEADER_SIZE = 16 * 2**20
FOREIGN = "not a file of pyarsimple's"

#: Letters, digits and underscores, in parts that ".", "/" or "-" divide: no path leads anywhere.
_NAME = re.compile(r"[A-Za-z0-9_]+(?:[./-][A-Za-z0-9_]+)*")
#: Of an array of part k of a model.
_OF_PART = re.compile(r"parts/(0|[1-9]\d{0,6})/(.+)")
#: The head of an .npy member as NumPy writes it for numbers. NumPy then reads it, but never text
#: that does not look like this: its reader of foreign text is more generous than is needed here.
_NPY_MAGIC = b"\x93NUMPY\x01\x00"
_SIZE = r"(?:0|[1-9]\d{0,17})"
_NPY_HEAD = re.compile(
    r"\{'descr': '(?:\|b1|\|[iu]1|[<>][iu][248]|[<>]f[248])', 'fortran_order': False, "
    rf"'shape': \((?:|{_SIZE},|{_SIZE}(?:, {_SIZE}){{1,31}})\), \}} *\n"
)

#: What zipfile raises over a damaged archive; and what else bad content may lead to.
_DAMAGED = (zipfile.BadZipFile, EOFError, RuntimeError, struct.error)
_BAD_CONTENT = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, *_DAMAGED)


class Declared(NamedTuple):
    """What the head of an array's member says of it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int  # where the numbers begin


# Writing.


def write_file(
    path: PathLike, kind: str, content: dict[str, Any], arrays: dict[str, Array]
) -> None:
    """Write a file that `read_file` reads; a crash leaves the old one, or the new one, whole.

    Parameters
    ----------
    path : path-like
        Written exactly as given, without a suffix added. A symbolic link is followed.
    kind : str
        What the file is, "model" or "checkpoint".
    content : dict
        Anything that JSON can hold, NaN and infinity excepted: keep those in an array.
    arrays : dict of str to ndarray
        Of booleans, integers or floating-point numbers of up to 8 bytes.
    """
    members = {name: _checked_array(name, array) for name, array in arrays.items()}
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "library_version": version("pyarsimple"),
        "arrays": list(members),
        "content": content,
    }
    head = json.dumps(header, allow_nan=False).encode("ascii")
    if len(head) > MAX_HEADER_SIZE:
        raise ValueError(
            f"content must fit into {MAX_HEADER_SIZE} bytes of JSON, got {len(head)}; keep what is "
            "long in arrays"
        )
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        with archive.open(_member(HEADER, len(head)), "w") as out:
            out.write(head)
        for name, array in members.items():
            with archive.open(_member(f"{name}.npy", array.nbytes), "w") as out:
                np.lib.format.write_array(out, array, version=(1, 0), allow_pickle=False)


def _checked_array(name: str, array: Array) -> Array:
    """The array in C order and little-endian, if it can be written and read again."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"names of arrays must match {_NAME.pattern}, got {name!r}")
    array = np.asarray(array, order="C")
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise ValueError(
            f"array {name!r} must hold booleans, integers or floating-point numbers of up to 8 "
            f"bytes, got dtype {array.dtype}"
        )
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _member(name: str, size: int) -> zipfile.ZipInfo:
    """A member whose description is the same at any time and on any system."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3
    info.external_attr = 0o600 << 16
    info.file_size = size  # tells zipfile whether the sizes will need 64 bits
    return info


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[BinaryIO]:
    """A new file beside ``path``, which takes its place when it is complete and on the disk."""
    target = os.fspath(path)
    if os.path.islink(target):
        target = os.path.realpath(target)
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(errno.EINVAL, "is there and is no regular file", target)
    folder = os.path.dirname(target) or os.curdir
    temporary = os.path.join(folder, f".{FORMAT}-{secrets.token_hex(8)}.tmp")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with _naming_target(path):
        descriptor = os.open(temporary, flags, 0o666)  # less the umask, as any new file
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with _naming_target(path):
            os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


@contextlib.contextmanager
def _naming_target(path: PathLike) -> Iterator[None]:
    """Have errors name the file that was asked for, not the temporary one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def _sync_folder(folder: str) -> None:
    """Have the new name on the disk too, on systems that can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# Reading.


def read_file(
    path: PathLike,
    kind: str,
    check: Callable[[dict[str, Any], dict[str, Declared]], None] | None = None,
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read what `write_file` wrote: the content and the arrays, new and in native byte order.

    Parameters
    ----------
    path : path-like
    kind : str
        What the file must be.
    check : callable, optional
        ``check(content, declared)`` is called before any array is read, with shape and dtype of
        each, and raises a ValueError if they are not as they should be.

    Raises
    ------
    ValueError
        If the file is truncated, damaged, foreign, newer, hostile, or of another kind.
    OSError
        If it is missing or cannot be read.
    """
    with _refusing(path), _open_archive(path) as archive:
        members = _members(archive)
        content, names = _read_header(archive, members.pop(HEADER, None), kind)
        if sorted(f"{name}.npy" for name in names) != sorted(members):
            raise ValueError(
                f"its header lists the arrays {short(names)}, but its members are "
                f"{short(list(members))}"
            )
        infos = {name: members[f"{name}.npy"] for name in names}
        declared = {name: _read_head(archive, info) for name, info in infos.items()}
        if check is not None:
            check(content, declared)
        arrays = {name: _read_array(archive, infos[name], declared[name]) for name in names}
    return content, arrays


@contextlib.contextmanager
def _refusing(path: PathLike) -> Iterator[None]:
    """Make a ValueError that names the file of whatever bad content leads to."""
    try:
        yield
    except _BAD_CONTENT as error:
        _refuse(path, error)
    except OSError as error:
        if error.errno != errno.EINVAL or error.filename is not None:
            raise
        _refuse(path, error)  # a place in the file that the file itself led to


def _refuse(path: PathLike, error: Exception) -> NoReturn:
    reason = str(error) or type(error).__name__
    reason = reason if len(reason) <= 500 else f"{reason[:500]}..."
    if isinstance(error, (*_DAMAGED, OSError)):
        reason = f"it is truncated or damaged ({reason})"
    raise ValueError(f"cannot read {os.fspath(path)!r}: {reason}") from error


@contextlib.contextmanager
def _open_archive(path: PathLike) -> Iterator[zipfile.ZipFile]:
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would block, a device may never end
        raise ValueError("it is no regular file")
    with open(path, "rb") as file:
        start = file.read(4)
        if start != b"PK\x03\x04":
            raise ValueError(f"it is {FOREIGN}: it begins with {start!r}, not as a zip archive")
        file.seek(-22, os.SEEK_END)  # the end of an archive, if no comment follows
        if file.read(4) != b"PK\x05\x06":
            raise ValueError("it is truncated or damaged: it does not end as a zip archive")
        with zipfile.ZipFile(file) as archive:
            yield archive


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members by name, if they are of the kind that `write_file` writes and fit the file."""
    infos = archive.infolist()
    assert archive.fp is not None
    size = archive.fp.seek(0, os.SEEK_END)
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ValueError(f"its member {short(info.filename)} is compressed, which is refused")
        name = info.orig_filename
        if name != HEADER and not (name.endswith(".npy") and _NAME.fullmatch(name[:-4])):
            raise ValueError(f"it is {FOREIGN}: its member {short(name)} is foreign")
    members = {info.orig_filename: info for info in infos}
    if len(members) != len(infos):
        raise ValueError("it has two members of one name")
    if sum(info.file_size for info in infos) > size:
        raise ValueError("its members do not fit its size")
    return members


def _read_header(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo | None, kind: str
) -> tuple[dict[str, Any], list[str]]:
    """The content, and the names of the arrays."""
    if info is None:
        raise ValueError(f"it is {FOREIGN}: it has no member {HEADER!r}")
    if info.file_size > MAX_HEADER_SIZE:
        raise ValueError(f"its header is larger than {MAX_HEADER_SIZE} bytes")
    try:
        header = json.loads(
            archive.read(info).decode("ascii"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
        )
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"its header is no proper JSON ({error})") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ValueError(f"it is {FOREIGN}: its header says otherwise")
    _check_version(header.get("format_version"))
    if header.get("kind") != kind:
        raise ValueError(f"it holds a {short(header.get('kind'))}, not a {kind!r}")
    content, names = header.get("content"), header.get("arrays")
    if not isinstance(content, dict):
        raise ValueError("its header has no 'content'")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("its header has no 'arrays', the list of their names")
    return content, names


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("one key twice")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"the number {name}")


def _check_version(version: Any) -> None:
    if type(version) is not int or version < 1:
        raise ValueError(f"its format_version must be a whole number from 1, got {short(version)}")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"it is of format {short(version)}, newer than this version of pyarsimple reads "
            f"({FORMAT_VERSION}); upgrade pyarsimple"
        )


def _read_head(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Declared:
    """Shape and dtype of an array, if they agree with the size of its member."""
    with archive.open(info) as file:
        start = file.read(len(_NPY_MAGIC) + 2)
        head = file.read(int.from_bytes(start[-2:], "little"))
    text = head.decode("latin-1")
    if not start.startswith(_NPY_MAGIC) or not _NPY_HEAD.fullmatch(text):
        raise ValueError(
            f"its member {short(info.filename)} is no plain array of numbers: {short(text)}"
        )
    shape, _, dtype = np.lib.format.read_array_header_1_0(io.BytesIO(start[-2:] + head))
    offset = len(start) + len(head)
    if math.prod(shape) * dtype.itemsize != info.file_size - offset:
        raise ValueError(
            f"its member {short(info.filename)} declares shape {shape} of {dtype}, and has "
            f"{info.file_size - offset} bytes for it"
        )
    return Declared(shape, dtype, offset)


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, declared: Declared) -> Array:
    """The array: a copy out of the member's bytes, of which zipfile has checked the CRC."""
    array: Array = np.ndarray(
        declared.shape, declared.dtype, buffer=archive.read(info), offset=declared.offset
    )
    if array.dtype == np.bool_:
        array = array.view(np.uint8) != 0  # a byte of 2 would be neither True nor False
    return array.astype(array.dtype.newbyteorder("="))


# Models.


def _by_part(arrays: dict[str, Any], n: int) -> list[dict[str, Any]]:
    """Those of each of n parts, by the names that the part gives them."""
    parts: list[dict[str, Any]] = [{} for _ in range(n)]
    for name, array in arrays.items():
        match = _OF_PART.fullmatch(name)
        if match is None or int(match[1]) >= n:
            raise ValueError(f"its array {short(name)} belongs to none of its {n} parts")
        parts[int(match[1])][match[2]] = array
    return parts


def save_model(model: Density, path: PathLike) -> None:
    """Write a model: its class's name, its settings and its parameters, whatever their values.

    Raises
    ------
    ValueError
        If the file could not be read again: for a class that is not in
        ``pyarsimple.models.MODELS`` or ``MIXTURES``, or parameters that were given another shape or
        dtype.
    OSError
        If it cannot be written; a file that was there is as it was.
    """
    content, arrays = _describe(model)
    write_file(path, "model", content, arrays)


def _describe(model: Density) -> tuple[dict[str, Any], dict[str, Array]]:
    """What a file says of a model, and its arrays; of what it is made of, too."""
    from pyarsimple.models import MIXTURES, MODELS

    if (MODELS | MIXTURES).get(model.name) is not type(model):
        raise ValueError(
            f"{type(model).__name__} cannot be saved: pyarsimple.models.MODELS[{model.name!r}] is "
            "another class or missing, so load would not find it; register it there"
        )
    config = model.config()
    content: dict[str, Any] = {"class": model.name, "config": config}
    if model.name not in MIXTURES:
        declared = {name: Declared(p.shape, p.dtype, 0) for name, p in model.params.items()}
        _check_params(declared, MODELS[model.name].param_shapes(**config), config["dtype"])
        return content, model.params
    arrays: dict[str, Array] = {}
    described = [_describe(part) for part in model.parts()]
    for k, (_, of_part) in enumerate(described):
        arrays |= {f"parts/{k}/{name}": p for name, p in of_part.items()}
    return content | {"parts": [of_part for of_part, _ in described]}, arrays


def load(path: PathLike) -> Density:
    """Read a model that ``model.save(path)`` wrote.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    model
        Equal to the saved one bit for bit. Parameters may be NaN or infinite, if they were.

    Raises
    ------
    ValueError
        If the file is not such a model, or not an intact one. Nothing in a file is ever executed.
    OSError
        If it is missing or cannot be read.
    """
    content, arrays = read_file(path, "model", _check_model)
    with _refusing(path):
        return _make(content, arrays)


def _make(content: dict[str, Any], arrays: dict[str, Array]) -> Density:
    """The model that `_describe` described; `_check_model` has passed it."""
    from pyarsimple.models import MIXTURES, MODELS

    name, config = content["class"], _settings(content)
    model: Density
    if name in MIXTURES:
        of_parts = _by_part(arrays, len(content["parts"]))
        parts = [_make(*part) for part in zip(content["parts"], of_parts, strict=True)]
        model = MIXTURES[name].from_parts(parts, **config)
    else:
        model = MODELS[name](**config, rng=0)
    if json.dumps(model.config(), sort_keys=True) != json.dumps(config, sort_keys=True):
        raise ValueError(
            f"the settings of its model are {short(config)}, which save would have written as "
            f"{short(model.config())}"
        )
    model.params = {name: arrays[name] for name in model.params}
    return model


#: Settings that the first files did not have, and what they meant by that.
_ADDED_SETTINGS: dict[str, Any] = {"conditional": {"name": "bernoulli"}, "context": 0}


def _settings(content: dict[str, Any]) -> dict[str, Any]:
    """The settings of a model, if its name and theirs are right."""
    from pyarsimple.models import MIXTURES, MODELS

    name, config = content.get("class"), content.get("config")
    if not isinstance(name, str) or name not in MODELS | MIXTURES:
        raise ValueError(
            f"its model is {short(name)}, must be one of {', '.join(MODELS | MIXTURES)}"
        )
    make: Any = MIXTURES[name].from_parts if name in MIXTURES else MODELS[name]
    wanted = set(inspect.signature(make).parameters) - {"rng", "parts"}
    if isinstance(config, dict):  # older files know bits without a context only
        config = {k: v for k, v in _ADDED_SETTINGS.items() if k in wanted} | config
    if not isinstance(config, dict) or set(config) != wanted:
        raise ValueError(f"its 'config' must have the keys {sorted(wanted)}, got {short(config)}")
    return config


def _check_model(content: dict[str, Any], declared: dict[str, Declared]) -> None:
    """Hold the settings against the arrays that are there, before anything is made from them."""
    from pyarsimple.models import MIXTURES, MODELS

    config = _settings(content)
    if content["class"] in MIXTURES:
        _check_parts(content, declared)
        return
    if config["dtype"] not in ("float64", "float32"):
        raise ValueError(f"its dtype must be float64 or float32, got {short(config['dtype'])}")
    n_dims, order = config["n_dims"], config["order"]
    if type(n_dims) is not int or not isinstance(order, list) or len(order) != n_dims:
        raise ValueError(
            f"its 'order' must list all of its n_dims = {short(n_dims)} variables, got "
            f"{short(order)}"
        )
    _check_params(declared, MODELS[content["class"]].param_shapes(**config), config["dtype"])


def _check_parts(content: dict[str, Any], declared: dict[str, Declared]) -> None:
    """Hold each part against its arrays; there must be no others."""
    parts = content.get("parts")
    if not isinstance(parts, list) or not parts or not all(isinstance(p, dict) for p in parts):
        raise ValueError(f"its 'parts' must list at least one model, got {short(parts)}")
    for part, of_part in zip(parts, _by_part(declared, len(parts)), strict=True):
        _check_model(part, of_part)


def _check_params(
    declared: dict[str, Declared], shapes: dict[str, tuple[int, ...]], dtype: str
) -> None:
    """Check that the parameters are those of the settings."""
    if set(declared) != set(shapes):
        raise ValueError(
            f"its parameters must be {short(list(shapes))}, got {short(list(declared))}"
        )
    for name, (shape, got, _) in declared.items():
        if shape != shapes[name] or got.newbyteorder("=") != dtype:
            raise ValueError(
                f"its parameter {name!r} must have shape {shapes[name]} and dtype {dtype}, got "
                f"{shape} and {got}"
            )
