# Every target uses .venv and makes it when it is missing or when its inputs changed.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
BENCH_STAMP := .venv/.stamp-bench

.PHONY: setup demo test check reproduce bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	touch $@

$(BENCH_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[dev,bench]' --constraint constraints.txt
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
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf .venv levelhead-demo
