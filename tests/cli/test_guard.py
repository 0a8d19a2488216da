"""`levelhead guard` from files to a promise, decisions and a report, as a user runs it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from levelhead.cli import cli
from levelhead.errors import LevelheadError
from levelhead.guard import guard as guards

RUN = [sys.executable, "-m", "levelhead.cli", "guard"]
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"


def write(path: Path, n: int = 900, *, samples: int = 2, seed: int = 0, shift: float = 0.0) -> Path:
    """Prompts of known difficulty: stated at 0.9 whatever they are, with a retrieval score that knows."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.beta(2.0, 1.0, n), samples)
    p = np.clip(truth - shift, 0.01, 0.99)
    table = {
        "prompt_id": [f"{seed}-{i // samples}" for i in range(n * samples)],
        "confidence": np.round(np.clip(0.9 + 0.03 * rng.normal(size=p.size), 0, 1), 2),
        "correct": rng.random(p.size) < p,
        "retrieval_support": truth,
        "subject": [("law", "art")[i // samples % 2] for i in range(n * samples)],
        "document": [f"d{i // samples // 3}" for i in range(n * samples)],
        "prompt": [HOSTILE] * (n * samples),
    }
    pq.write_table(pa.table(table), path)
    return path


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*RUN, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def quick(*arguments: object) -> str:
    """In this process: the output, or the error."""
    result = CliRunner().invoke(cli, ["guard", *map(str, arguments)])
    if isinstance(result.exception, LevelheadError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled, new and shifted predictions, and a guard with and without a threshold."""
    folder = tmp_path_factory.mktemp("guard")
    write(folder / "labelled.parquet")
    write(folder / "new.parquet", 500, seed=1)
    write(folder / "shifted.parquet", 500, seed=2, shift=0.5)
    quick("fit", folder / "labelled.parquet", "-o", folder / "bare.json", "--quiet")
    quick(
        "threshold", folder / "bare.json", folder / "labelled.parquet", "--max-error", "0.25",
        "--escalate-above", "0.5", "-o", folder / "guard.json", "--quiet",
    )  # fmt: skip
    return folder


def test_the_way_from_predictions_to_a_report(tmp_path: Path) -> None:
    data, new = write(tmp_path / "labelled.parquet"), write(tmp_path / "new.parquet", 500, seed=1)
    guard = tmp_path / "guard.json"
    fit = run("fit", data, "-o", guard)
    assert "how far retrieved evidence supports the answer" in fit.stdout
    assert "prompts kept for the report" in fit.stdout
    assert f"next: levelhead guard threshold {guard}".split()[0] in fit.stdout
    before = guard.read_text()
    threshold = run("threshold", guard, data, "--max-error", "0.25")
    assert "P(more than 25% of the answered are wrong) <= 5%" in threshold.stdout
    assert guard.read_text() != before  # in place
    apply = run("apply", guard, new, "-o", tmp_path / "out.parquet")
    assert "of 500 prompts" in apply.stdout
    report = run("report", guard, new, "-o", tmp_path / "report.html")
    assert "500 prompts" in report.stdout
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "<script>alert" not in page
    for done in (fit, threshold, apply, report):
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert "\x1b" not in done.stdout
        assert done.stderr == ""
    assert not list(tmp_path.glob(".unfinished*"))


def test_the_commands_are_listed_in_the_order_of_their_use() -> None:
    listed = quick("--help").split("Commands:")[1].split("Example")[0]
    assert [line.split()[0] for line in listed.split("\n") if line.strip()] == [
        "fit", "threshold", "report", "apply",
    ]  # fmt: skip
    assert "..." not in listed
    result = CliRunner().invoke(cli, ["guard", "treshold"])
    assert result.exit_code == 2
    assert "did you mean 'threshold'?" in result.output


@pytest.mark.parametrize("command", ["fit", "threshold", "apply", "report"])
def test_help_ends_with_a_worked_example(command: str) -> None:
    text = quick(command, "--help")
    assert f"levelhead guard {command}" in text.split("Example", 1)[1]
    assert max(map(len, text.splitlines())) <= 80


def test_the_json_of_a_fit(folder: Path, tmp_path: Path) -> None:
    found = json.loads(
        quick("fit", folder / "labelled.parquet", "-o", tmp_path / "g.json", "--json", "-")
    )
    assert sum(part["prompts"] for part in found["parts"].values()) == 900
    strongest = found["verifier"]["weights"][0]["name"]
    assert "retrieval_support" in strongest
    assert found["held_out"]["verified"]["auroc"] > found["held_out"]["stated"]["auroc"] + 0.1


def test_only_the_features_that_are_asked_for(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "g.json"
    quick(
        "fit",
        folder / "labelled.parquet",
        "-o",
        out,
        "--features",
        "stated, retrieval_support",
        "--quiet",
    )
    assert guards.load(out).verifier.names == ("stated", "retrieval_support")


def test_the_json_of_a_threshold(folder: Path, tmp_path: Path) -> None:
    arguments = (
        "threshold",
        folder / "bare.json",
        folder / "labelled.parquet",
        "--max-error",
        0.25,
    )
    found = json.loads(quick(*arguments, "-o", tmp_path / "g.json", "--json", "-"))
    (only,) = found["thresholds"].values()
    kept = guards.load(tmp_path / "g.json").policy
    assert kept is not None
    assert only["value"] == kept.thresholds[""].value
    assert only["n_answered"] > 60
    assert only["n_errors"] / only["n_answered"] <= 0.25
    assert only["advice"] == ""


def test_a_threshold_for_each_slice(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "g.json"
    arguments = (folder / "bare.json", folder / "new.parquet", "--max-error", 0.3, "-o", out)
    text = quick("threshold", *arguments, "--by", "subject")
    assert "any of the 2 values of subject" in text
    assert "art" in text
    report = quick("report", out, folder / "labelled.parquet")
    assert "promise" in report
    assert "law" in report


def test_abstaining_always_says_what_to_do(folder: Path, tmp_path: Path) -> None:
    arguments = (folder / "bare.json", folder / "labelled.parquet", "-o", tmp_path / "g.json")
    text = quick("threshold", *arguments, "--max-error", 0.001)
    assert "Answers nothing" in text
    assert "It takes at least" in text
    decided = quick(
        "apply", tmp_path / "g.json", folder / "new.parquet", "-o", tmp_path / "o.jsonl"
    )
    assert "answered          0 of 500 prompts" in decided


def test_applying_keeps_the_rows_and_adds_columns(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    text = quick(
        "apply", folder / "guard.json", folder / "new.parquet", "-o", out, "--keep", "subject",
        "--json", "-",
    )  # fmt: skip
    counts: dict[str, Any] = json.loads(text)
    table = pq.read_table(out)
    source = pq.read_table(folder / "new.parquet")
    assert table["prompt_id"].to_pylist() == source["prompt_id"].to_pylist()
    assert table["stated_confidence"].to_pylist() == source["confidence"].to_pylist()
    assert table["subject"].to_pylist() == source["subject"].to_pylist()
    decisions = table["decision"].to_pylist()
    assert counts["answer"] == decisions.count("answer") > 0
    assert counts["escalate"] == decisions.count("escalate") > 0
    assert counts["total"] == 500 == counts["answer"] + counts["escalate"] + counts["abstain"]
    assert counts["overconfident_rows"] == sum(table["overconfident"].to_pylist())
    assert counts["drift"]["alarm"] is False


def test_drift_is_said_without_labels(folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder / "shifted.parquet")
    worse = np.clip(np.array(table["retrieval_support"]) - 0.5, 0.01, 0.99)
    at = table.column_names.index("retrieval_support")
    table = table.set_column(at, "retrieval_support", pa.array(worse))
    out = tmp_path / "o.parquet"
    data = table.set_column(
        table.column_names.index("correct"), "correct", pa.nulls(len(table), pa.bool_())
    )
    pq.write_table(data, tmp_path / "unknown.parquet")
    text = quick("apply", folder / "guard.json", tmp_path / "unknown.parquet", "-o", out)
    assert "! The scores have changed" in text


def test_a_report_in_json_has_the_numbers_of_the_evaluation(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    quick("report", folder / "guard.json", folder / "new.parquet", "--json", out, "--quiet")
    found = json.loads(out.read_text())
    outcome = found["outcome"]
    assert outcome["n_prompts"] == 500
    assert outcome["error_rate"] == outcome["n_errors"] / outcome["n_judged"]
    assert found["verdict"] in ("kept", "within chance")
    assert found["on_fit_rows"] is False
    assert "statistic" not in found["alarm"]


def test_a_broken_promise_is_said(folder: Path) -> None:
    text = quick("report", folder / "guard.json", folder / "shifted.parquet")
    assert "more than the promised 25" in text
    assert "! Alarm at answer" in text


def test_rows_of_the_fit_are_no_test(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    data = folder / "labelled.parquet"
    fair = quick("report", folder / "guard.json", data)
    assert "Not a test" not in fair
    text = quick("report", folder / "guard.json", data, "--on-fit-rows", "-o", page)
    assert "Not a test" in text
    assert 'class="alarm"' in page.read_text()
    assert "<b>Not a test.</b>" in page.read_text()


def test_quiet_prints_nothing(folder: Path, tmp_path: Path) -> None:
    assert quick("fit", folder / "new.parquet", "-o", tmp_path / "g.json", "--quiet") == ""
    assert quick("report", folder / "guard.json", folder / "new.parquet", "--quiet") == ""


def test_splitting_by_a_column(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "g.json"
    text = quick("fit", folder / "labelled.parquet", "-o", out, "--split-by", "document")
    assert "document" in text
    guard = guards.load(out)
    assert guard.unit == "document"
    assert sum(part["units"] for part in guard.counts.values()) == 300
    again = quick("threshold", out, folder / "labelled.parquet", "--max-error", "0.3", "--per-unit")
    assert "document" in again


def without(path: Path, column: str, out: Path) -> Path:
    pq.write_table(pq.read_table(path).drop_columns([column]), out)
    return out


def test_one_sentence_and_exit_2_for_what_cannot_be(folder: Path, tmp_path: Path) -> None:
    guard, bare, new = folder / "guard.json", folder / "bare.json", folder / "new.parquet"
    out, copy = tmp_path / "o.parquet", tmp_path / "copy.json"
    by = tmp_path / "by.json"
    quick("threshold", bare, new, "--max-error", "0.3", "--by", "subject", "-o", by, "--quiet")
    unsliced = without(new, "subject", tmp_path / "unsliced.parquet")
    lacking = without(new, "retrieval_support", tmp_path / "lacking.parquet")
    text = guard.read_text()
    copy.write_text(text.replace('"schema_version": "1"', '"schema_version": "99"'))
    changed = tmp_path / "changed.json"
    changed.write_text(text.replace('"seed": 0', '"seed": 1'))
    other = tmp_path / "calibrator.json"
    other.write_text(text.replace('"levelhead": "guard"', '"levelhead": "calibrator"'))
    cases: list[tuple[tuple[object, ...], str]] = [
        (("apply", guard, lacking, "-o", out), "retrieval_support"),
        (("apply", copy, new, "-o", out), "version"),
        (("apply", changed, new, "-o", out), "changed"),
        (("apply", other, new, "-o", out), "expected a guard, got a calibrator"),
        (("apply", bare, new, "-o", out), "levelhead guard threshold"),
        (("apply", guard, new, "-o", new), "this one is an input"),
        (("apply", guard, new, "-o", tmp_path / "o.csv"), "--out: expected a file that ends with"),
        (("report", tmp_path / "none.json", new), "none.json"),
        (("fit", new, folder / "labelled.parquet", "-o", copy), "the predictions of one model"),
        (("fit", new, "-o", copy, "--features", "stated,nonsense"), "nonsense"),
        (("fit", new, "-o", copy, "--features", "stated,"), "separated by commas"),
        (("fit", new, "-o", copy, "--split-by", "nonsense"), "--split-by: expected a column named"),
        (
            ("threshold", guard, new, "--max-error", "0.1", "--by", "nonsense"),
            "--by: expected a column named",
        ),
        (("apply", by, unsliced, "-o", out), "the guard has a threshold for each value of its --by"),
    ]  # fmt: skip
    for arguments, expected in cases:
        with pytest.raises(LevelheadError) as caught:
            quick(*arguments)
        assert expected in str(caught.value), arguments
    assert not out.exists()
    assert guard.read_text() == text  # what fails changes nothing
    done = run("apply", bare, new, "-o", out, code=2)
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("levelhead: ")
    assert "--max-error" in run("threshold", guard, new, "--max-error", "5", code=2).stderr


def test_an_interrupt_leaves_nothing_half_written(tmp_path: Path) -> None:
    data = write(tmp_path / "labelled.parquet", 40_000)
    out = tmp_path / "guard.json"
    process = subprocess.Popen(
        [*RUN, "fit", str(data), "-o", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        process.communicate(timeout=0.8)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"labelled.parquet", "guard.json"}
    assert (process.returncode == 0) == out.exists()
