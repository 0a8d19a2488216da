"""`levelhead diagnose sharpening` on files as a user has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from levelhead.cli.diagnose._sharpening import sharpening
from levelhead.errors import LevelheadError

Row = dict[str, Any]


def rows(counts: list[int], n: int = 8, **more: Any) -> list[Row]:
    return [
        {"prompt_id": f"q{i}", "answer": "42" if j < c else "7", "correct": j < c, **more}
        for i, c in enumerate(counts)
        for j in range(n)
    ]


def write(path: Path, records: list[Row]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    else:
        path.write_text("\n".join(json.dumps(one) for one in records) + "\n")
    return path


def run(*arguments: object) -> str:
    done = CliRunner().invoke(sharpening, [str(one) for one in arguments])
    if isinstance(done.exception, LevelheadError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def read(*arguments: object) -> dict[str, Any]:
    """The section of the JSON."""
    content = json.loads(run(*arguments, "--json", "-"))
    return content["sections"][0]


SHARP = [8] * 30 + [0] * 30
FLAT = [4] * 30 + [1] * 30


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_files_become_a_verdict_a_report_and_json(tmp_path: Path, ending: str) -> None:
    base = write(tmp_path / f"base.{ending}", rows(FLAT))
    tuned = write(tmp_path / f"tuned.{ending}", rows(SHARP))
    report, out = tmp_path / "r.html", tmp_path / "r.json"
    text = run(base, tuned, "-o", report, "--json", out)
    assert "SHARPEN" in text
    assert "pass@1 rose from 31% to 50%" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "<svg" in report.read_text()
    data = json.loads(out.read_text())["sections"][0]["data"]
    assert data["table"] == [[0, 0], [30, 30]]
    assert data["names"] == ["base", "tuned"]
    assert data["entropy"] is not None
    assert run(base, tuned, "--quiet") == ""


def test_answers_are_graded_where_only_the_right_one_is_known(tmp_path: Path) -> None:
    def bare(counts: list[int]) -> list[Row]:
        return [
            {"prompt_id": one["prompt_id"], "answer": one["answer"], "gold": "42.0"}
            for one in rows(counts)
        ]

    found = read(write(tmp_path / "a.jsonl", bare(FLAT)), write(tmp_path / "b.jsonl", bare(SHARP)))
    assert found["data"]["table"] == [[0, 0], [30, 30]]


def test_confidences_and_texts_do_no_harm(tmp_path: Path) -> None:
    base = write(tmp_path / "a.jsonl", rows(FLAT, confidence=0.5))
    tuned = write(tmp_path / "b.jsonl", rows(SHARP, text="Thinking about it."))
    assert read(base, tuned)["verdict"] == "SHARPEN"


def test_what_is_odd_is_said_aloud(tmp_path: Path) -> None:
    records = rows(SHARP)
    records[0]["correct"] = None
    records += [{"prompt_id": "extra", "answer": "1", "correct": True}]
    base = write(tmp_path / "x.jsonl", rows(FLAT))
    other = tmp_path / "other"
    other.mkdir()
    tuned = write(other / "x.jsonl", records)
    found = read(base, tuned)
    assert found["data"]["names"] == ["base", "tuned"]
    text = "\n".join(found["warnings"])
    assert "1 prompt only in tuned (tuned) left out: extra" in text
    assert "tuned (tuned): 1 sample (0.2%) without a label" in text


def test_samples_and_guesses_are_options(tmp_path: Path) -> None:
    base = write(tmp_path / "a.parquet", rows([0] * 20 + [4] * 20))
    tuned = write(tmp_path / "b.parquet", rows([4] * 10 + [0] * 10 + [4] * 20))
    assert read(base, tuned)["verdict"] == "EXPAND"
    assert read(base, tuned, "--guess-rate", "0.2")["verdict"] == "INCONCLUSIVE"
    found = read(base, tuned, "--samples", "4", "--seed", "3", "--level", "0.9")
    assert (found["data"]["n"], found["data"]["level"], found["data"]["seed"]) == (4, 0.9, 3)


def test_the_same_file_twice_is_said_aloud(tmp_path: Path) -> None:
    base = write(tmp_path / "a.jsonl", rows(FLAT))
    found = read(base, base)
    (warning,) = found["warnings"]
    assert "BASE and TUNED hold the same rows, so nothing can differ" in warning
    assert found["next_steps"] == []


def test_an_interrupt_writes_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("levelhead.diagnose.sharpening.diagnose_sharpening", stop)
    base = write(tmp_path / "a.jsonl", rows(FLAT))
    tuned = write(tmp_path / "b.jsonl", rows(SHARP))
    report = tmp_path / "r.html"
    done = CliRunner().invoke(sharpening, [str(base), str(tuned), "-o", str(report)])
    assert "nothing was written" in done.stderr
    assert not report.exists()
    assert (
        "nothing was written" not in CliRunner().invoke(sharpening, [str(base), str(tuned)]).output
    )


def errors(tmp_path: Path) -> list[tuple[list[object], str]]:
    good = write(tmp_path / "good.jsonl", rows(FLAT))
    events = write(
        tmp_path / "events.jsonl", [{"prompt_id": "q0", "confidence": 0.5, "outcome": 1}]
    )
    bare = write(tmp_path / "bare.jsonl", [{"prompt_id": "q0", "answer": "x"}])
    other = write(tmp_path / "other.jsonl", [{**one, "prompt_id": "z"} for one in rows([1])])
    unnamed = write(tmp_path / "unnamed.jsonl", [{"answer": "x", "correct": 1}])
    models = write(
        tmp_path / "models.jsonl", [{**one, "model": name} for one in rows([1]) for name in "xy"]
    )
    return [
        ([good, tmp_path / "none.jsonl"], "none.jsonl"),
        ([good, events], "TUNED: expected answer predictions like those of BASE, got event"),
        ([events, events], "expected answers that are right or wrong, got chances of events"),
        ([good], "TUNED: expected a second path beside"),
        (
            [good, "--baseline", "b.jsonl"],
            "--baseline: expected the base model as the first argument, got an option; write: "
            "levelhead diagnose sharpening b.jsonl TUNED",
        ),
        ([good, "--baseline"], "write: levelhead diagnose sharpening BASE TUNED"),
        ([models, "--models", "x", "z"], "expected one of x, y, got 'z'"),
        ([good, bare], "bare.jsonl"),
        ([good, other], "expected prompts that both have, got none"),
        ([unnamed, good], "base: expected a prompt id for each sample"),
        ([models, good], "BASE: expected the samples of one model, got 2: x, y"),
        ([good, good, "--samples", "9"], "samples: expected at most 8"),
        ([good, good, "-o", good], "expected another file to write to, this one is an input"),
    ]


@pytest.mark.parametrize("case", range(13))
def test_errors_are_one_sentence(tmp_path: Path, case: int) -> None:
    arguments, text = errors(tmp_path)[case]
    with pytest.raises(LevelheadError) as caught:
        run(*arguments)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_help_ends_with_an_example() -> None:
    text = run("--help")
    assert "levelhead diagnose sharpening base.jsonl tuned.jsonl" in text.split("Examples:")[1]
    assert "--models BASE TUNED" in text
    assert "--baseline" not in text


def test_one_file_that_holds_both_models(tmp_path: Path) -> None:
    both = [{**one, "model": "old"} for one in rows(FLAT)]
    both += [{**one, "model": "new"} for one in rows(SHARP)]
    path = write(tmp_path / "both.jsonl", both)
    found = read(path, "--models", "old", "new")
    assert (found["verdict"], found["data"]["names"]) == ("SHARPEN", ["old", "new"])
    assert not any("left out" in one for one in found["warnings"])
    turned = read(path, path, "--models", "new", "old")
    assert turned["headline"].startswith("old became worse")
    assert any("levelhead diagnose sharpening" in text for text in found["next_steps"])


def test_only_chooses_a_model(tmp_path: Path) -> None:
    both = [{**one, "model": "x"} for one in rows(SHARP)]
    both += [{**one, "model": "y"} for one in rows(FLAT)]
    base = write(tmp_path / "good.jsonl", rows(FLAT))
    tuned = write(tmp_path / "models.jsonl", both)
    found = read(base, tuned, "--only", "x")
    assert found["verdict"] == "SHARPEN"
    assert np.isclose(found["data"]["first"]["tuned"], 0.5)


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_a_row_for_each_prompt_gives_the_same_figures(tmp_path: Path, ending: str) -> None:
    found = []
    for folded in (False, True):
        paths = []
        for name, counts in (("base", FLAT), ("tuned", SHARP)):
            made = [
                one for one in rows(counts) if (one["prompt_id"], one["correct"]) != ("q3", False)
            ]
            if folded:
                ids = dict.fromkeys(one["prompt_id"] for one in made)
                groups = [[one for one in made if one["prompt_id"] == i] for i in ids]
                made = [
                    {"prompt_id": some[0]["prompt_id"], "gold": "42", "answer": "42",
                     "pred": [one["answer"] for one in some],
                     "correct": [one["correct"] for one in some]}
                    for some in groups
                ]  # fmt: skip
            folder = tmp_path / f"{ending}{folded}"
            folder.mkdir(exist_ok=True)
            paths.append(write(folder / f"{name}.{ending}", made))
        section = read(*paths)
        notes = section.pop("notes", [])
        assert any("samples each in lists ('correct', 'pred')" in str(n) for n in notes) is folded
        found.append(section)
    assert found[0] == found[1]
