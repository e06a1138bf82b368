"""One number for the sources of the compiled kernels, to notice an edit that was not built.

``setup.py`` runs this file by itself and writes the number into the kernels; the package compares
it at import. Only the standard library may be imported here.
"""

import hashlib
from pathlib import Path


def source_files(folder: Path) -> list[Path]:
    """The files that ``_kernels`` is made from, by name; none in an installed wheel."""
    suffixes = {".pyx", ".pxd", ".pxi", ".h"}
    return sorted(path for path in folder.glob("_kernels*") if path.suffix in suffixes)


def source_hash(folder: Path) -> str:
    """SHA-256 over the names and contents of the sources in ``folder``, whatever the line ends."""
    digest = hashlib.sha256()
    for path in source_files(folder):
        text = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.name} {len(text)}\n".encode() + text)
    return digest.hexdigest()
