"""The reading options of the commands: one model of several files, columns by who asks for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from levelhead.cli import cli
from levelhead.cli._reading import check_ending, load_one, read_options
from levelhead.errors import InvalidInputError, LevelheadError
from levelhead.readers import ReadOptions, load


def run(*args: object) -> str:
    done = CliRunner().invoke(cli, [str(a) for a in args])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def failure(*args: object) -> str:
    """The sentence that a user would see; it is an error of ours."""
    done = CliRunner().invoke(cli, [str(a) for a in args])
    assert isinstance(done.exception, LevelheadError), (done.output, done.exception)
    return str(done.exception)


def arms(path: Path, *models: str | None, n: int = 60, ids: str = "") -> Path:
    """n records of each model, 0.9 and 0.6 by turns, of which two in three are right."""
    with path.open("w") as file:
        for model in models:
            for i in range(n):
                record = {
                    "confidence": (0.9, 0.6)[i % 2],
                    "correct": int(i % 3 > 0),
                    "topic": i % 5,
                }
                record["prompt_id"] = f"{ids or path.stem}-{i}"  # type: ignore[assignment]
                named = record if model is None else record | {"model": model}
                file.write(json.dumps(named) + "\n")
    return path


def options(**given: object) -> object:
    return read_options(model_column=None, format_name=None, **given)  # type: ignore[arg-type]


def test_who_asks_for_a_column() -> None:
    assert options(by=("a",), keep=("b", "all")) == options(by=("a",), keep=("b",), evidence=("*",))
    assert options(by=("a",), asked="--split-by").asked == (("a", "--split-by"),)  # type: ignore[attr-defined]
    kept = options(keep=("b", "b"), evidence=("c",))
    assert (kept.by, kept.asked[0], kept.evidence) == (("b",), ("b", "--keep"), ("c",))  # type: ignore[attr-defined]


def test_endings() -> None:
    check_ending(Path("a.PARQUET"))
    check_ending(Path("a.jsonl"))
    with pytest.raises(
        InvalidInputError, match=r"--out: expected .* \.jsonl or \.ndjson, got 'x.csv'"
    ):
        check_ending(Path("x.csv"))


def test_one_model_of_several(tmp_path: Path) -> None:
    file, out = arms(tmp_path / "all.jsonl", "base", "tuned one"), tmp_path / "c.json"
    said = failure("calibrate", file, "-o", out)
    assert said.endswith("got 2: base, tuned one; choose one with --only base")
    assert not out.exists()
    assert "tuned one: 60 records" in run("calibrate", file, "-o", out, "--only", "tuned one")
    assert "did you mean 'base'" in failure("calibrate", file, "-o", out, "--only", "bose")
    applied = tmp_path / "applied.parquet"
    run("apply", out, file, "-o", applied, "--only", "tuned one")
    assert list(load([applied])) == ["tuned one"]
    audited = run("audit", file, "--only", "base", "--json", "-", "--n-boot", 100)
    assert [model["name"] for model in json.loads(audited)["models"]] == ["base"]
    assert "--only" in failure("audit", file, "--only", "bose")
    said = failure("audit", file, "--baseline", file)
    assert "--baseline: expected the predictions of one model, got 2" in said
    assert "choose one with --only NAME" in said
    alone = arms(tmp_path / "before.jsonl", None, ids="all")
    audited = run(
        "audit", file, "--only", "base", "--baseline", alone, "--json", "-", "--n-boot", 100
    )
    assert [c["baseline"] for c in json.loads(audited)["comparisons"]] == ["before"]


def test_files_put_together(tmp_path: Path) -> None:
    val, test = arms(tmp_path / "val.jsonl", None), arms(tmp_path / "test.jsonl", None)
    out = tmp_path / "c.json"
    said = failure("calibrate", val, test, "-o", out)
    assert said.endswith("choose one with --only val, or read them as one model with --pool")
    assert "val+test: 120 records" in run("calibrate", val, test, "-o", out, "--pool")
    audited = run("audit", val, test, "--pool", "--json", "-", "--n-boot", 100)
    assert [(m["name"], m["n_records"]) for m in json.loads(audited)["models"]] == [
        ("val+test", 120)
    ]
    same = [arms(tmp_path / f"{name}.jsonl", "m") for name in ("one", "two")]
    found, notes = load_one(tuple(map(str, same)), options())  # type: ignore[arg-type]
    assert (found.model, len(found)) == ("m", 120)
    assert "one, two are read as one model: m" in notes


def test_a_missing_column_is_missed_by_the_option_that_asks(tmp_path: Path) -> None:
    file, out = arms(tmp_path / "a.jsonl", None), tmp_path / "c.json"
    words = "expected a column named 'topics', the file has"
    assert f"--split-by: {words}" in failure("calibrate", file, "-o", out, "--split-by", "topics")
    across = ("--cross-calibrate", "platt", "--split-by", "topics")
    assert f"--split-by: {words}" in failure("audit", file, *across)
    assert f"--by: {words}" in failure("audit", file, "--by", "topics")
    run("calibrate", file, "-o", out, "--method", "platt")
    applied = tmp_path / "x.parquet"
    assert f"--keep: {words}" in failure("apply", out, file, "-o", applied, "--keep", "topics")


def test_what_apply_writes(tmp_path: Path) -> None:
    file, out = arms(tmp_path / "a.jsonl", None), tmp_path / "c.json"
    run("calibrate", file, "-o", out, "--method", "platt")
    # before any work: neither the calibrator nor the file is there
    assert "--out: expected" in failure("apply", "no.json", "no.jsonl", "-o", tmp_path / "x.csv")
    run("apply", out, file, "-o", tmp_path / "x.jsonl", "--keep", "all")
    (found,) = load([tmp_path / "x.jsonl"]).values()
    assert found.columns["topic"].to_pylist() == [i % 5 for i in range(60)]
    assert found.columns["stated_confidence"].to_pylist() == [0.9, 0.6] * 30
    assert abs(found.confidence.mean() - 2 / 3) < 0.01  # what was right of what it was fitted on
    for command in (("apply",), ("guard", "apply")):
        said = " ".join(run(*command, "--help").split())
        assert "the stated one is in the column stated_confidence" in said
        assert "all keeps every one" in said


def test_a_guard_reads_and_keeps_the_columns_of_csv(tmp_path: Path) -> None:
    file, guard, out = tmp_path / "a.csv", tmp_path / "g.json", tmp_path / "x.jsonl"
    rows = [
        f'q{i},0.9,{int(i % 3 > 0)},{0.2 + 0.3 * (i % 3)},"[-{i % 3}, -1]",t' for i in range(600)
    ]
    file.write_text("prompt_id,confidence,correct,p_true,token_logprobs,topic\n" + "\n".join(rows))
    said = run("guard", "fit", file, "-o", guard)
    assert "P(True)" in said
    assert "mean log-probability" in said
    run("guard", "threshold", guard, file, "--max-error", 0.2)
    run("guard", "apply", guard, file, "-o", out, "--keep", "all")
    (found,) = load([out]).values()
    assert found.columns["topic"].to_pylist() == ["t"] * 600
    said = failure("guard", "apply", guard, file, "-o", out, "--keep", "tropic")
    assert "--keep: expected a column named 'tropic'" in said
    assert "did you mean 'topic'" in said


def test_the_help_names_what_is_read() -> None:
    said = " ".join(run("audit", "--help").split())
    assert "Parquet, JSON Lines, CSV, Arrow" in said
    assert "--only NAME" in said
    assert "--pool" in said


def test_a_row_for_each_prompt_is_read_as_its_samples(tmp_path: Path) -> None:
    rows = [{"prompt_id": "a", "confidence": [0.9, 0.1], "correct": [1, 0]},
            {"prompt_id": "b", "confidence": [0.5], "correct": [1]}]  # fmt: skip
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found, notes = load_one((str(path),), ReadOptions())
    assert found.confidence.tolist() == [0.9, 0.1, 0.5]
    assert found.label.tolist() == [1.0, 0.0, 1.0]
    assert any("2 rows hold 1 to 2 samples each" in note for note in notes)
