# `make demo` and `make test` need only Python and a package registry: the first target to run makes the environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo

.PHONY: setup demo test test-fast bench lint wheel clean

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Litmus needs Python 3.11 or later: make PYTHON=python3.11")'
	@$(PYTHON) -m benchmarks.demo.setup $(VENV)
	@touch $@

demo: setup
	@rm -rf $(DEMO)
	@$(BIN)/python -m benchmarks.demo $(DEMO)

test: setup
	$(BIN)/python -m pytest

# The tests that finish within a minute on two cores.
test-fast: setup
	$(BIN)/python -m pytest -m 'not slow and not fuzz and not registry'

bench: setup
	$(BIN)/python -m pytest benchmarks

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel: setup
	$(BIN)/python -m build --wheel

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .benchmarks .hypothesis
