"""History of the library's own speed, by asv: ``asv run``, ``asv publish``, ``asv preview``.

These import nothing of the rest of the benchmark: asv runs them with older versions of the library.
"""
