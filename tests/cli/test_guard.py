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
import pyarrow.csv as csv
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
    assert "At most 25% of the answered are wrong, with 95% certainty" in threshold.stdout
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
    found = json.loads(
        quick(*arguments, "--delta", 0.2, "-o", tmp_path / "g.json", "--json", "-", "--quiet")
    )
    (looser,) = found["thresholds"].values()
    assert (only["delta"], looser["delta"]) == (0.05, 0.2)


def test_a_threshold_for_each_slice(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "g.json"
    arguments = (folder / "bare.json", folder / "new.parquet", "--max-error", 0.3, "-o", out)
    text = quick("threshold", *arguments, "--by", "subject")
    assert "in each of the 2 values of subject" in text
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
    assert "The promise need not hold here" in flat(text)


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


def flat(text: str) -> str:
    """On one line, as the words were before they were broken into lines of 80 columns."""
    return " ".join(text.split())


def test_prompts_of_one_document_count_once_unless_told_otherwise(
    folder: Path, tmp_path: Path
) -> None:
    out, data = tmp_path / "g.json", folder / "labelled.parquet"
    quick("fit", data, "-o", out, "--split-by", "document", "--quiet")
    arguments = ("threshold", out, data, "--max-error", "0.35")
    text = flat(quick(*arguments))
    assert guards.load(out).per_unit
    assert "one of each document," in text
    assert "!" not in text
    text = flat(quick(*arguments, "--all-prompts"))
    assert not guards.load(out).per_unit
    assert "! a document holds 3 prompts on average" in text
    assert "--per-unit, takes one prompt" in text
    applied = ("apply", out, folder / "new.parquet", "-o", tmp_path / "o.parquet")
    text = flat(quick(*applied))
    assert "! when the threshold was set: a document holds 3 prompts on average" in text


def renumbered(source: Path, out: Path, *, start: int = 0, columns: Any = ()) -> Path:
    """With the prompts numbered from `start`, as files of row numbers are."""
    table = pq.read_table(source)
    ids = pa.array([start + i // 2 for i in range(len(table))])
    table = table.set_column(table.column_names.index("prompt_id"), "prompt_id", ids)
    for name, values in columns:
        table = table.append_column(name, values)
    pq.write_table(table, out)
    return out


def test_ids_that_merely_repeat(folder: Path, tmp_path: Path) -> None:
    fit = renumbered(folder / "labelled.parquet", tmp_path / "fit.parquet")
    other = renumbered(folder / "new.parquet", tmp_path / "other.parquet")
    guard, decided = tmp_path / "g.json", tmp_path / "o.parquet"
    quick("fit", fit, "-o", guard, "--quiet")
    text = flat(quick("threshold", guard, other, "--max-error", "0.3"))
    assert "! 500 of 500 prompt ids also occur in the fit or threshold, with other contents" in text
    assert "file of the fit" not in text
    text = flat(quick("threshold", guard, other, "--max-error", "0.3", "--fresh"))
    assert "set on 500 prompts that were declared fresh" in text
    assert "!" not in text
    third = renumbered(folder / "shifted.parquet", tmp_path / "third.parquet")
    assert "500 prompts that were declared fresh" in flat(quick("report", guard, third, "--fresh"))
    text = flat(quick("apply", guard, fit, "-o", decided))
    assert "! the guard was fitted, or its threshold was set, on 900 of 900 prompts" in text
    text = flat(quick("apply", guard, third, "-o", decided))
    assert "500 of 500 prompts have ids that also occur in the fit or threshold, with other" in text
    fresh = renumbered(folder / "new.parquet", tmp_path / "n.parquet", start=10_000)
    assert "! the guard" not in flat(quick("apply", guard, fresh, "-o", decided))


def test_an_empty_answer_is_never_given(tmp_path: Path) -> None:
    source = write(tmp_path / "plain.parquet", samples=2)
    answers = pa.array([None if i % 6 < 2 else f"a{i}" for i in range(1800)], pa.string())
    data = renumbered(source, tmp_path / "a.parquet", columns=[("answer", answers)])
    guard, out = tmp_path / "g.json", tmp_path / "o.parquet"
    text = flat(quick("fit", data, "-o", guard))
    assert "600 rows without an answer left out: the guard never answers these" in text
    quick("threshold", guard, data, "--max-error", "0.3", "--quiet")
    new = renumbered(source, tmp_path / "n.parquet", start=5000, columns=[("answer", answers)])
    text = flat(quick("apply", guard, new, "-o", out))
    assert "rows without an answer, which are never answered: 600" in text
    table = pq.read_table(out)
    empty = np.array([answer is None for answer in answers.to_pylist()])
    assert set(np.array(table["decision"].to_pylist())[empty]) == {"abstain"}


def test_evidence_of_ones_own(folder: Path, tmp_path: Path) -> None:
    score = np.array(pq.read_table(folder / "labelled.parquet")["retrieval_support"]) * 7 - 3
    table = pq.read_table(folder / "labelled.parquet").drop_columns(["retrieval_support"])
    table = table.append_column("judge_score", pa.array(score))
    data, guard = tmp_path / "own.parquet", tmp_path / "g.json"
    pq.write_table(table, data)
    text = flat(quick("fit", data, "-o", guard))
    assert "columns of numbers that were not used: judge_score (did you mean judge_scores?)" in text
    assert "--evidence COLUMN" in text
    text = flat(quick("fit", data, "-o", guard, "--evidence", "judge_score"))
    assert "not used" not in text
    assert "column judge_score" in text
    found = json.loads(quick("threshold", guard, data, "--max-error", "0.3", "--json", "-"))
    assert found["thresholds"][""]["value"] is not None
    assert "0.3" not in flat(quick("apply", guard, data, "-o", tmp_path / "o.parquet"))
    lacking = without(data, "judge_score", tmp_path / "lacking.parquet")
    with pytest.raises(
        LevelheadError, match=r"fitted with --evidence judge_score: expected a column"
    ):
        quick("apply", guard, lacking, "-o", tmp_path / "o.parquet")
    with pytest.raises(LevelheadError, match=r"--evidence nonsense: expected a column named"):
        quick("fit", data, "-o", guard, "--evidence", "nonsense")


def test_evidence_of_ones_own_in_csv(tmp_path: Path) -> None:
    table = pq.read_table(write(tmp_path / "p.parquet", samples=1)).drop_columns(["prompt"])
    score = [
        None if i % 9 == 0 else 2.0 + x
        for i, x in enumerate(table["retrieval_support"].to_pylist())
    ]
    table = table.drop_columns(["retrieval_support"]).append_column("mine", pa.array(score))
    data, guard = tmp_path / "own.csv", tmp_path / "g.json"
    csv.write_csv(table, data)
    text = flat(quick("fit", data, "-o", guard))
    assert "columns of numbers that were not used: mine; what" in text  # the others are words
    quick("fit", data, "-o", guard, "--evidence", "mine", "--quiet")
    assert guards.load(guard).evidence == ("mine",)
    assert guards.load(guard).verifier.explain()[0].name == "column mine"
    with pytest.raises(LevelheadError, match=r"subject: expected a column of numbers as evidence"):
        quick("fit", data, "-o", guard, "--evidence", "subject")


def test_the_counts_of_a_report_are_those_of_its_own_file(folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder / "new.parquet")
    known = [None if i % 10 < 2 else value for i, value in enumerate(table["correct"].to_pylist())]
    at = table.column_names.index("correct")
    pq.write_table(table.set_column(at, "correct", pa.array(known)), tmp_path / "new.parquet")
    guard = tmp_path / "g.json"
    quick(
        "fit", folder / "labelled.parquet", "-o", guard, "--quiet", "--features", "stated,refused"
    )
    quick("threshold", guard, folder / "labelled.parquet", "--max-error", "0.6", "--quiet")
    page = tmp_path / "r.html"
    text = flat(quick("report", guard, tmp_path / "new.parquet", "-o", page))
    assert "· 200 rows without a known truth, which count for coverage only" in text
    assert "answers with a known truth are wrong" in text
    assert "· in the fit: refused was dropped" in text
    method = page.read_text().split('id="made"')[1]
    assert "refused was dropped" in method


def test_no_promise_stands_unqualified_behind_an_alarm(folder: Path) -> None:
    text = flat(quick("report", folder / "guard.json", folder / "shifted.parquet"))
    assert "The promise need not hold here, as the alarm says. It was: at most 25%" in text
    text = flat(quick("report", folder / "guard.json", folder / "new.parquet"))
    assert "need not hold" not in text
    assert "At most 25% of the answered are wrong" in text


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
        (
            ("threshold", guard, new, "--max-error", "0.1", "--by", "subject", "--method", "crc"),
            "--by: expected no slices with --method crc, got 'subject'; use --method ltt",
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
