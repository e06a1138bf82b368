"""``python -m pyarsimple`` is the ``pyarsimple`` command."""

import sys

from pyarsimple.cli import main

if __name__ == "__main__":
    sys.exit(main())
