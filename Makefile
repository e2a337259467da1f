# `make demo` and `make test` need only Python and a package registry: the first target to run makes the environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
PARALLEL := -n auto --maxprocesses 4 --dist worksteal

.PHONY: setup demo serve report test test-fast bench lint wheel clean

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Litmus needs Python 3.11 or later: make PYTHON=python3.11")'
	@$(PYTHON) -m benchmarks.demo.setup $(VENV)
	@touch $@

demo: setup
	@rm -rf $(DEMO)
	@$(BIN)/python -m benchmarks.demo $(DEMO)

serve: setup
	@test -e $(DEMO)/artifact/litmus.json || $(MAKE) demo
	$(BIN)/python -m runtime.serve --model $(DEMO)/artifact --name demo

report: setup
	@test -e $(DEMO)/artifact/litmus.json || $(MAKE) demo
	$(BIN)/python -m benchmarks report --model $(DEMO)/artifact --checkpoint $(DEMO)/checkpoint --output_dir build/report

test: setup
	$(BIN)/python -m pytest $(PARALLEL)

# Without the tests that train, export or measure, install packages or damage files at random.
test-fast: setup
	$(BIN)/python -m pytest $(PARALLEL) -m 'not slow and not fuzz and not registry'

bench: setup
	$(BIN)/python -m pytest benchmarks --benchmark-autosave $(if $(wildcard .benchmarks/*/*.json),--benchmark-compare)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

wheel: setup
	$(BIN)/python -m build --wheel

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .benchmarks .hypothesis
