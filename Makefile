# Every target uses .venv and makes it when it is missing or when its inputs changed.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
BENCH := .venv-bench/bin
BENCH_STAMP := .venv-bench/.stamp
PEERS := .venv-peers/bin
PEERS_STAMP := .venv-peers/.stamp

.PHONY: setup demo test check reproduce bench bench-train leaderboard test-peers clean

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

# verl and TRL bring torch, ray and a hundred others: 2 GB that only the probe of them needs.
$(PEERS_STAMP): pyproject.toml constraints.txt constraints-peers.txt
	test -x $(PEERS)/python || $(PYTHON) -m venv .venv-peers
	$(PEERS)/python -m pip install --quiet --upgrade pip
	$(PEERS)/python -m pip install --quiet torch==2.13.0 --editable '.[verl,trl,ray]' pytest \
		--constraint constraints.txt --constraint constraints-peers.txt
	touch $@

demo: $(STAMP)
	$(BIN)/levelhead demo

# One worker of pytest to a core, each with one thread. What is compiled is kept, also where the
# environment says otherwise: the tests start many processes that would compile the package again.
WORKERS ?= 2
# They measure CPU time, which a busy neighbor stretches.
ALONE := tests/test_imports.py::test_help_is_quick tests/test_imports.py::test_an_audit_to_json_is_quick
test: $(STAMP)
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
		$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(ALONE:%=--deselect=%)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest $(ALONE)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

reproduce: $(STAMP)
	$(BIN)/levelhead lab table2 --out levelhead-lab
	$(BIN)/python benchmarks/interval_coverage.py --full
	$(BIN)/python benchmarks/guard_threshold.py
	$(BIN)/python benchmarks/arms_study.py
	$(BIN)/python benchmarks/repair_study.py
	$(BIN)/python benchmarks/train_rollouts.py
	$(BIN)/python benchmarks/train_kill.py
	$(BIN)/python benchmarks/train_distributed.py
	for name in sharpening formats difficulty updates truth; do \
		$(BIN)/python benchmarks/diagnose_nulls_$$name.py || exit 1; done

# Where every estimator of verl and TRL, at the installed versions, and of ours drives a policy.
leaderboard: $(PEERS_STAMP)
	VERL_USE_EXTERNAL_PLUGINS=none $(PEERS)/levelhead probe --leaderboard --out docs/leaderboard.md

test-peers: $(PEERS_STAMP)
	$(PEERS)/python -m pytest tests/adapters tests/audit/test_on_ray.py \
		tests/cli/test_doctor.py tests/cli/test_engine_verl.py tests/diagnose/difficulty/test_filters.py

# A training step beside TRL's, in the environment that has both.
bench-train: $(PEERS_STAMP)
	$(PEERS)/python benchmarks/train_speed.py
	$(PEERS)/python benchmarks/trl_overhead.py

bench: $(BENCH_STAMP)
	$(BENCH)/python benchmarks/run.py
	$(BENCH)/python benchmarks/calibrators_speed.py

clean:
	rm -rf .venv .venv-bench .venv-peers levelhead-demo levelhead-lab levelhead-figures
