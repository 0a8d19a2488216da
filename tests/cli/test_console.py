"""What the terminal shows: names that fold at their joints, a row for each of many models, a bar."""

from __future__ import annotations

import dataclasses
import io
import re
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from levelhead.audit.result import AuditResult, Comparison, ComparisonRow
from levelhead.cli import _console, cli
from levelhead.cli._console import Progress, folded, show
from levelhead.readers import resolve

NAMES = ("base", "final_grpo_no_std_seed_3", "supervised-fine-tuned-then-grpo", "rlcr", "a" * 30)


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same 200 prompts by five models."""
    folder = tmp_path_factory.mktemp("arms")
    rng = np.random.default_rng(0)
    found = []
    for i, name in enumerate(NAMES):
        confidence = rng.choice([0.6, 0.8, 0.95], 200)
        table = {
            "confidence": confidence,
            "correct": (rng.random(200) < confidence - 0.1 * i).astype(int),
            "prompt_id": [str(k) for k in range(200)],
        }
        found.append(folder / f"{name}.parquet")
        pq.write_table(pa.table(table), found[-1])
    return found


def audited(files: list[Path]) -> list[str]:
    done = CliRunner().invoke(cli, ["audit", *map(str, files), "--n-boot", "100"])
    assert done.exception is None, done.output
    lines = done.output.splitlines()
    assert max(map(len, lines)) <= 80
    return lines


@pytest.mark.parametrize(
    ("name", "width", "lines"),
    [
        ("base", 16, ["base"]),
        ("final_grpo_no_std", 12, ["final_grpo_", "no_std"]),
        ("RLVR-Classifier", 10, ["RLVR-", "Classifier"]),
        ("base + platt", 8, ["base +", "platt"]),
        ("meta-llama/Llama-3.1-8B", 12, ["meta-llama/", "Llama-3.1-8B"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("x\x1b[31m", 9, ["x [31m"]),
        ("", 4, [""]),
    ],
)
def test_names_are_broken_at_their_joints(name: str, width: int, lines: list[str]) -> None:
    assert folded(name, width).split("\n") == lines


def test_more_than_three_models_have_a_row_each(arms: list[Path]) -> None:
    lines = audited(arms)
    at = next(i for i, line in enumerate(lines) if line.split()[:2] == ["ECE", "chance"])
    assert lines[at].split() == [
        "ECE", "chance", "MCE", "conf", "-", "acc", "accuracy", "AUROC", "Trust",
    ]  # fmt: skip
    rows = lines[at + 1 : at + 12]
    firsts = [row.split()[0] for row in rows if row]
    assert firsts[:3] == ["base", "final_grpo_no_std_", "seed_3"]
    assert "supervised-fine-" in firsts
    assert "tuned-then-grpo" in firsts
    assert len(re.findall(r"-?[0-9]\.[0-9]{3}", rows[0])) == 7


def test_three_models_have_a_column_each_and_two_have_intervals(arms: list[Path]) -> None:
    three = audited(arms[:3])
    at = next(i for i, line in enumerate(three) if line.startswith("ECE "))
    heads = " ".join(three[at - 2 : at]).split()
    assert heads == [
        "final_grpo_no_", "supervised-fine-", "base", "std_seed_3", "tuned-then-grpo",
    ]  # fmt: skip
    two = audited(arms[:2])
    assert next(line for line in two if line.startswith("ECE ")).count("[") == 2


def test_many_comparisons_are_a_sentence_and_their_key_changes(arms: list[Path]) -> None:
    lines = audited(arms)
    changes = [i for i, line in enumerate(lines) if line.startswith("changes: ECE ")]
    assert len(changes) == 4
    assert not any("interval decides" in line for line in lines)
    number = r"[+−]\d\.\d{3} \[[+−]\d\.\d{3}, [+−]\d\.\d{3}\]"
    both = " ".join(line.strip() for line in lines[changes[0] : changes[0] + 2])
    assert re.fullmatch(f"changes: ECE {number}, MCE {number}, accuracy {number}", both)
    few = audited(arms[:3])
    assert not any(line.startswith("changes:") for line in few)
    assert sum("interval decides" in line for line in few) == 2


def test_a_p_value_that_contradicts_the_interval_is_not_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = ComparisonRow("auroc", "AUROC", "higher", 0.6, 0.61, -0.011, -0.015, -0.006, 0.493, True)
    agrees = dataclasses.replace(row, name="aurc", p_value=0.004)
    one = Comparison(
        model="a",
        baseline="b",
        n_pairs=100,
        n_prompts=100,
        n_only_model=0,
        n_only_baseline=0,
        paired_by="prompt",
        rows=[row, agrees],
        sentence="a and b do not differ clearly.",
    )
    show(AuditResult([], [one], {}, 0.95, 1000, 0, "2026-01-01", "1.0", []))
    lines = capsys.readouterr().out.splitlines()
    auroc = next(line for line in lines if line.startswith("AUROC") and "[" in line)
    aurc = next(line for line in lines if line.startswith("AURC") and "[" in line)
    assert auroc.split() == ["AUROC", "−0.011", "[−0.015,", "−0.006]", "worse"]
    assert "0.004" in aurc


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error on a terminal; no fixture, as pytest puts its own there between setup and test."""
    found = Terminal()
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(_console, "PATIENCE_S", 0.05)
    return found


def test_a_bar_appears_where_the_work_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    with Progress(enabled=True) as progress:
        progress.step("auditing base [1]")
        time.sleep(0.5)
        progress.step("comparing tuned with base")
        time.sleep(0.3)
    shown = screen.getvalue()
    assert "auditing base [1]" in shown
    assert "comparing tuned with base" in shown
    quiet = len(shown)
    time.sleep(0.2)
    assert len(screen.getvalue()) == quiet  # nothing goes on once the work is done


def test_no_bar_where_it_is_quick_or_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    with Progress(enabled=False) as progress:
        progress.step("auditing base")
        time.sleep(0.2)
    monkeypatch.setattr(_console, "PATIENCE_S", 0.2)
    with Progress(enabled=True) as progress:
        progress.step("auditing base")
    time.sleep(0.4)
    monkeypatch.setattr(screen, "isatty", lambda: False)
    monkeypatch.setattr(_console, "PATIENCE_S", 0.01)
    with Progress(enabled=True) as progress:
        progress.step("auditing base")
        time.sleep(0.2)
    assert screen.getvalue() == ""


def test_large_files_have_a_bar_that_counts_records_at_once(
    arms: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = terminal(monkeypatch)
    monkeypatch.setattr(_console, "SLOW", 1)
    monkeypatch.setattr(_console, "PATIENCE_S", 60.0)
    with Progress(enabled=True) as progress:
        progress.reading(resolve(arms[:1]))
        progress.advance(200)
        time.sleep(0.3)
    assert "200 records" in screen.getvalue()
