# Every target uses .venv and makes it when it is missing or when its inputs changed.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
BENCH := .venv-bench/bin
BENCH_STAMP := .venv-bench/.stamp

.PHONY: setup demo test check reproduce bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	touch $@

# The peers bring torch and much else, so they get an environment of their own.
$(BENCH_STAMP): pyproject.toml constraints.txt
	test -x $(BENCH)/python || $(PYTHON) -m venv .venv-bench
	$(BENCH)/python -m pip install --quiet --upgrade pip
	$(BENCH)/python -m pip install --quiet torch==2.13.0 --constraint constraints.txt
	$(BENCH)/python -m pip install --quiet --editable '.[bench]' --constraint constraints.txt
	touch $@

demo: $(STAMP)
	$(BIN)/levelhead demo

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

reproduce: $(STAMP)
	$(BIN)/python benchmarks/interval_coverage.py --full

bench: $(BENCH_STAMP)
	$(BENCH)/python benchmarks/run.py

clean:
	rm -rf .venv .venv-bench levelhead-demo
