"""`levelhead gate`: exit 1 only when the paired interval says that the candidate is worse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def gate(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "levelhead.cli", "gate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def write(path: Path, shift: float, n: int = 1500, seed: int = 0) -> Path:
    """Answers right with probability p that are stated at p + shift, prompt by prompt."""
    rng = np.random.default_rng(7)
    p = rng.uniform(0.4, 0.9, n)
    correct = rng.random(n) < p
    stated = np.clip(p + shift + np.random.default_rng(seed).normal(0, 0.01, n), 0, 1)
    ids = [f"q{i}" for i in range(n)]
    pq.write_table(pa.table({"prompt_id": ids, "confidence": stated, "correct": correct}), path)
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write(tmp_path / "base.parquet", 0.0)


def test_a_worse_candidate_fails(base: Path, tmp_path: Path) -> None:
    tuned = write(tmp_path / "tuned.parquet", 0.1)
    done = gate("--baseline", base, "--candidate", tuned, "--max-ece-increase", "0.01")
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("FAIL")
    assert "limit 0.01" in done.stdout


def test_the_limit_is_what_may_be_lost(base: Path, tmp_path: Path) -> None:
    tuned = write(tmp_path / "tuned.parquet", 0.1)
    done = gate("--baseline", base, "--candidate", tuned, "--max-ece-increase", "0.2")
    assert done.returncode == 0
    assert done.stdout.startswith("pass")


def test_noise_does_not_fail(base: Path, tmp_path: Path) -> None:
    same = write(tmp_path / "same.parquet", 0.0, seed=1)
    done = gate("--baseline", base, "--candidate", same)
    assert done.returncode == 0, done.stdout
    ece, trust, summary = done.stdout.splitlines()
    assert ece.startswith("undecided")
    assert not trust.startswith("FAIL")
    assert summary == "no criterion failed: compared on 1,500 items by prompt"


def test_a_better_candidate_passes(base: Path, tmp_path: Path) -> None:
    worse = write(tmp_path / "worse.parquet", 0.1)
    done = gate("--baseline", worse, "--candidate", base, "--max-ece-increase", "0")
    assert done.returncode == 0
    assert done.stdout.startswith("pass")


def test_drops_are_measured_downwards(base: Path, tmp_path: Path) -> None:
    tuned = write(tmp_path / "tuned.parquet", 0.25)
    done = gate("--baseline", base, "--candidate", tuned, "--max-trust-drop", "0.05")
    assert done.returncode == 1
    assert "drop +" in done.stdout
    done = gate("--baseline", tuned, "--candidate", base, "--max-trust-drop", "0.05")
    assert done.returncode == 0
    assert "drop −" in done.stdout


def test_json(base: Path, tmp_path: Path) -> None:
    tuned = write(tmp_path / "tuned.parquet", 0.1)
    done = gate("--baseline", base, "--candidate", tuned, "--json", "-")
    out = json.loads(done.stdout)
    assert out["failed"] is True
    assert {line["metric"] for line in out["criteria"]} == {"ece", "trust"}


def test_files_that_cannot_be_paired_are_bad_input(base: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.parquet", 0.0, n=40)
    table = pq.read_table(other)
    ids = pa.array([f"x{i}" for i in range(40)])
    pq.write_table(table.set_column(0, "prompt_id", ids), other)
    done = gate("--baseline", base, "--candidate", other)
    assert done.returncode == 2
    assert "got none in common" in done.stderr


def test_missing_file_and_negative_limit(base: Path) -> None:
    assert gate("--baseline", base, "--candidate", "no.parquet").returncode == 2
    done = gate("--baseline", base, "--candidate", base, "--max-ece-increase", "-1")
    assert done.returncode == 2
    assert "expected a limit >= 0" in done.stderr


def test_a_candidate_that_left_out_items_does_not_pass_for_that(base: Path, tmp_path: Path) -> None:
    table = pq.read_table(base)
    right = table.filter(table["correct"])
    pq.write_table(right, tmp_path / "easy.parquet")
    done = gate("--baseline", base, "--candidate", tmp_path / "easy.parquet")
    assert done.returncode == 2
    assert f"{1500 - len(right):,} of them are missing" in done.stderr
    easy = ("--candidate", tmp_path / "easy.parquet", "--max-missing", "1")
    done = gate("--baseline", base, *easy)
    assert f"({1500 - len(right):,} only in the baseline)" in done.stdout


def test_ids_on_one_side_only_are_an_error(base: Path, tmp_path: Path) -> None:
    table = pq.read_table(base).drop_columns(["prompt_id"])
    pq.write_table(table, tmp_path / "plain.parquet")
    done = gate("--baseline", base, "--candidate", tmp_path / "plain.parquet")
    assert done.returncode == 2
    assert "'plain' has none" in done.stderr


def test_too_few_items_decide_nothing(tmp_path: Path) -> None:
    a = write(tmp_path / "a.parquet", 0.0, n=20)
    b = write(tmp_path / "b.parquet", -0.4, n=20)
    done = gate("--baseline", a, "--candidate", b)
    assert done.returncode == 0
    assert "too few to decide anything" in done.stdout


def test_a_closed_pipe_does_not_change_the_verdict(base: Path, tmp_path: Path) -> None:
    """`levelhead gate ... | head -0`: nobody reads, and a pass stays a pass."""
    command = [sys.executable, "-m", "levelhead.cli", "gate"]
    command += ["--baseline", str(base), "--candidate", str(base)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0, error
    assert b"Traceback" not in error


def test_the_gate_never_writes_over_what_it_reads(base: Path) -> None:
    before = base.read_bytes()
    done = gate("--baseline", base, "--candidate", base, "--json", base)
    assert done.returncode == 2
    assert "this one is an input" in done.stderr
    assert base.read_bytes() == before
