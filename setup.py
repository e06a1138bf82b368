"""Builds the one compiled module, ``pyarsimple._kernels``; all else stands in pyproject.toml.

Without a compiler the package is installed all the same, with a warning, and works in NumPy.

``PYARSIMPLE_REQUIRE_EXTENSION=1`` makes a failed build an error instead of a warning.
``PYARSIMPLE_SKIP_EXTENSION=1`` builds the package without the compiled module.
``CFLAGS`` is added after the flags below, so it has the last word: ``CFLAGS="-O0 -g"``.
"""

import json
import os
import runpy
import shlex
import sys
import textwrap
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Never -march=native (the module must run on other CPUs; it chooses its SIMD level when it is
# imported) and never -ffast-math (NaN, infinity and denormals keep their meaning). Many a Python
# asks for -g, which makes the module five times as large: -g0 takes that back.
FLAGS = {
    "unix": ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-pthread"],
    "mingw32": ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math"],
    "msvc": ["/O2"],
}
if sys.platform in {"emscripten", "wasi"}:
    FLAGS["unix"].remove("-pthread")

FOLDER = Path("pyarsimple")
sources = runpy.run_path(str(FOLDER / "_source_hash.py"))


def is_set(name: str) -> bool:
    """Whether the environment variable is there, and neither empty nor 0."""
    return os.environ.get(name, "") not in {"", "0"}


class build_kernels(build_ext):
    """Builds the kernels anew when anything that they are made from has changed."""

    def run(self) -> None:
        """Build; a failure is a warning, unless the environment says that it is an error."""
        try:
            super().run()
        except Exception as error:
            if is_set("PYARSIMPLE_REQUIRE_EXTENSION"):
                raise
            for extension in self.extensions:  # an older build is not to be shipped in its place
                built = Path(self.build_lib, self.get_ext_filename(extension.name))
                built.unlink(missing_ok=True)
            self.extensions = []
            reason = textwrap.shorten(f"{type(error).__name__}: {error}", 160)
            print(
                f"\nWARNING: pyarsimple's compiled kernels were NOT built ({reason}).\n"
                "The package is installed without them and works in NumPy, slower. To build them,\n"
                "provide a C compiler and Python's headers and repeat this command;\n"
                "with PYARSIMPLE_REQUIRE_EXTENSION=1 it then stops where it fails.\n",
                file=sys.stderr,
            )

    def build_extension(self, extension: Extension) -> None:
        """Compile for the compiler at hand, unless what is there was built from the same."""
        import Cython  # noqa: F401  (without it setuptools would look for a .c that is not there)

        kind = self.compiler.compiler_type
        flags = list(FLAGS.get(kind, []))
        if kind != "msvc":
            flags += shlex.split(os.environ.get("CFLAGS", ""))
        macros = {
            "PYARSIMPLE_SOURCE_HASH": sources["source_hash"](FOLDER),
            "PYARSIMPLE_CFLAGS": " ".join(flags),
        }
        extension.extra_compile_args = flags
        extension.extra_link_args = [flag for flag in flags if flag == "-pthread"]
        extension.define_macros = [(name, json.dumps(text)) for name, text in macros.items()]

        # Ask the built module itself: the times of files can mislead, and CFLAGS has none.
        built = Path(self.get_ext_fullpath(extension.name))
        content = built.read_bytes() if built.exists() else b""
        if not all(text.encode() + b"\0" in content for text in macros.values()):
            self.force = True
        super().build_extension(extension)


kernels = Extension(
    "pyarsimple._kernels",
    [str(FOLDER / "_kernels.pyx")],
    include_dirs=[str(FOLDER)],
    depends=["setup.py"],  # build_extension() knows of the sources
)

setup(
    ext_modules=[] if is_set("PYARSIMPLE_SKIP_EXTENSION") else [kernels],
    cmdclass={"build_ext": build_kernels},
)
