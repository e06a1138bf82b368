# Every target does its own set-up, in .venv. Another Python: make demo PYTHON=python3.13

PYTHON = python3
VENV = .venv
BIN = $(VENV)/bin

.PHONY: help demo test lint format build bench clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo "make demo    train three models on real digits; pictures and tables go to demo-output/"
	@echo "make test    linters, types, and every test on both sides, NumPy and compiled"
	@echo "make lint    linters and types alone"
	@echo "make format  let the linter mend what it can"
	@echo "make build   sdist and wheel, in dist/"
	@echo "make bench   speed beside PyTorch, JAX and the machine's limits; bench-output/"
	@echo "             PROFILE=full for all sizes; DATA=folder, with binarized_mnist.npz"
	@echo "make clean   remove all that these commands made"

demo: $(VENV)/.has-demo
	$(BIN)/python setup.py --quiet build_ext --inplace
	$(BIN)/pyarsimple demo --out demo-output

PARALLEL = -n auto --dist worksteal

# The suite runs in NumPy first, for that side is the definition; then in full, with coverage.
test: lint
	PYARSIMPLE_REQUIRE_EXTENSION=1 $(BIN)/python setup.py --quiet build_ext --inplace
	PYARSIMPLE_BACKEND=numpy $(BIN)/python -m pytest -q $(PARALLEL) -m "not packaging and not once"
	PYARSIMPLE_REQUIRE_EXTENSION=1 $(BIN)/python -m pytest -q $(PARALLEL) --cov --cov-report=term --cov-fail-under=95

lint: $(VENV)/.has-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.has-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

build: $(VENV)/.has-dev
	$(BIN)/python -m build --no-isolation

PROFILE = quick
DATA =

bench: $(VENV)/.has-bench
	$(BIN)/python setup.py --quiet build_ext --inplace
	$(BIN)/python -m benchmarks --profile $(PROFILE) $(if $(DATA),--data '$(DATA)') --out bench-output

clean:
	rm -rf $(VENV) .venv.unfinished build dist *.egg-info demo-output bench-output .asv .coverage .hypothesis \
	    .mypy_cache .pytest_cache .ruff_cache pyarsimple/_kernels.c pyarsimple/_kernels*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One of the extras of pyproject.toml, and the package itself, editable, without its kernels: setup.py
# builds those in place, and knows when to build them anew. What stopped half-way is made from nothing.
$(VENV)/.has-%: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pyarsimple needs Python 3.11 or newer; $(PYTHON) is %d.%d: make PYTHON=..." % sys.version_info[:2] or 0)'
	@if [ -e .venv.unfinished ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    touch .venv.unfinished; $(PYTHON) -m venv --clear $(VENV); fi
	@touch .venv.unfinished
	@echo "Installing what 'make $(MAKECMDGOALS)' needs into $(VENV)"
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' > $(VENV)/build-requirements.txt
	$(BIN)/python -m pip install --quiet -r $(VENV)/build-requirements.txt
	PYARSIMPLE_SKIP_EXTENSION=1 $(BIN)/python -m pip install --quiet --no-build-isolation --editable '.[$*]'
	@rm .venv.unfinished
	@touch $@
