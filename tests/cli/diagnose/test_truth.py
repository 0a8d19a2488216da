"""`levelhead diagnose truth`: from files to a verdict, and one sentence for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from levelhead.cli.diagnose._truth import truth
from levelhead.errors import LevelheadError

COLUMNS = ("--belief", "p", "--claim", "said", "--prompt-id", "q")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(truth, [*map(str, arguments), "--n-boot", "100"])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    b = rng.random(150).round(3)
    made = []
    for name, says in (("base", b > 0.5), ("tuned", rng.random(150) < 0.8)):
        rows = [
            {"q": f"q{i}", "p": b[i], "said": "yes" if says[i] else "no",
             "truth": "Positive" if b[i] > 0.7 else "Negative" if b[i] < 0.3 else "Unknown"}
            for i in range(150)
        ]  # fmt: skip
        path = tmp_path / f"{name}.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        made.append(path)
    return made[0], made[1]


def test_a_table_becomes_a_verdict(files: tuple[Path, Path]) -> None:
    done = run(files[0], *COLUMNS)
    assert done.exit_code == 0, done.output
    assert "Truth: do claims follow beliefs?  TRUTHFUL" in done.output
    assert all(len(line) <= 80 for line in done.output.splitlines())


def test_two_models_a_report_and_json(files: tuple[Path, Path], tmp_path: Path) -> None:
    report, out = tmp_path / "r.html", tmp_path / "r.json"
    done = run(files[1], "--baseline", files[0], *COLUMNS, "--condition", "truth", "-o", report,
               "--json", out, "--quiet")  # fmt: skip
    assert (done.exit_code, done.output) == (0, ""), done.output
    assert "<svg" in report.read_text()
    text = out.read_text()
    assert "INDIFFERENT" in text
    assert "base was TRUTHFUL, tuned is INDIFFERENT: Bullshit Index" in text
    assert f"base: claims of {files[0]}" in text
    assert f"tuned: claims of {files[1]}" in text
    for one in (text, report.read_text()):
        assert "base.jsonl" in one
    same = run(files[0], "--baseline", files[0], *COLUMNS)
    assert "FILE and --baseline hold the same claims" in same.output
    json.loads(text)
    again = run(files[1], "--baseline", files[0], *COLUMNS, "--condition", "truth", "--json", "-")
    assert json.loads(again.output) == json.loads(text)


def test_hidden_states_are_probed(files: tuple[Path, Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 150)
    h = label[:, None, None] + rng.normal(size=(150, 2, 3))
    states = tmp_path / "h.npz"
    np.savez(states, hidden=h, label=label, topic=np.arange(150) % 10)
    both = run(files[0], *COLUMNS, "--hidden-states", states)
    assert both.exit_code == 0, both.output
    assert "probe AUROC, unseen topics" in both.output
    assert "TRUTHFUL" in both.output
    alone = run(files[0], "--claim", "said", "--hidden-states", states)
    assert alone.exit_code == 0, alone.output
    assert "INCONCLUSIVE" in alone.output or "INDIFFERENT" in alone.output


def test_an_interrupt_keeps_what_needs_no_probe(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a column of beliefs the index is there; without one nothing is written."""

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("levelhead.diagnose.truth._diagnose.truth_probe", stop)
    states, report = tmp_path / "h.npz", tmp_path / "r.html"
    np.savez(states, hidden=np.zeros((150, 2)), label=np.arange(150) % 2, topic=np.arange(150) % 10)
    kept = run(files[0], *COLUMNS, "--hidden-states", states, "-o", report)
    assert kept.exit_code == 0, kept.output
    assert "TRUTHFUL" in kept.output
    assert "! the probe of the tuned model was interrupted and is not shown" in kept.output
    report.unlink()
    done = run(files[0], "--claim", "said", "--hidden-states", states, "-o", report)
    assert done.exit_code == 1
    assert done.output.strip() == "Aborted!"
    assert not report.exists()


def test_models_that_cannot_be_paired_are_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    """The option to name is in the sentence, before anything is measured."""
    short, other = tmp_path / "short.jsonl", tmp_path / "other.jsonl"
    text = files[0].read_text()
    short.write_text("\n".join(text.splitlines()[:40]))
    other.write_text(text.replace('"q": "q', '"q": "z'))
    for options, words in (
        ((*COLUMNS[:4], "--baseline", short), "a baseline of 40 rows and a model of 150, got none; na"),
        ((*COLUMNS, "--baseline", other), "got none in common; check the column named with --prompt-id"),
    ):  # fmt: skip
        done = run(files[0], *options)
        assert isinstance(done.exception, LevelheadError)
        assert words in str(done.exception)


def test_beliefs_of_another_file(files: tuple[Path, Path], tmp_path: Path) -> None:
    rows = [json.loads(line) for line in files[0].read_text().splitlines()]
    options = tmp_path / "options.jsonl"
    options.write_text(
        "\n".join(
            json.dumps({"q": row["q"], "shares": [row["p"], 1 - row["p"]], "outside": 0.1})
            for row in rows
        )
    )
    done = run(files[0], "--claim", "said", "--prompt-id", "q", "--beliefs", options, "--belief",
               "shares", "--yes-at", "0")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "yes stands in place 0 in every row" in " ".join(done.output.split())
    assert "beliefs of 150 items from option tokens, 0" in done.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--claim", "said"), "--belief: expected the column of the belief, or --hidden-states"),
        (("--claim", "said", "--belief", "p", "--beliefs", "x"), "--beliefs: expected --belief and --p"),
        (("--claim", "said", "--hidden-states", "x", "--yes-at", "0"), "--yes-at: expected --belief"),
        ((*COLUMNS, "--yes-at", "0"), "--yes-at: expected lists over options in 'p', got single values"),
        ((*COLUMNS, "--baseline-beliefs", "x"), "--baseline: expected a file of claims"),
        ((*COLUMNS, "--baseline", "x", "--beliefs", "x"), "--baseline-beliefs: expected it together"),
        (("--claim", "said", "--baseline", "x", "--hidden-states", "x"), "--baseline-hidden-states: ex"),
        (("--claim", "say", "--belief", "p"), "column: expected one of p, q, said, truth, got 'say'"),
        (("--claim", "p", "--belief", "p"), "base.jsonl:1: p: expected 0, 1, yes, no, a hedge or noth"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(
    files: tuple[Path, Path], arguments: tuple[str, ...], text: str
) -> None:
    done = run(files[0], *arguments)
    assert isinstance(done.exception, LevelheadError)
    assert text in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    done = run(tmp_path / "no.jsonl", *COLUMNS)
    assert isinstance(done.exception, LevelheadError)
    assert "no.jsonl" in str(done.exception)


def test_the_help_ends_with_an_example() -> None:
    assert isinstance(truth, click.Command)
    done = run("--help")
    assert "levelhead diagnose truth claims.jsonl --belief belief --claim claim" in done.output
    assert all(len(line) <= 80 for line in done.output.splitlines())


def test_beliefs_in_percent_need_the_option_and_give_the_same(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in files[0].read_text().splitlines()]
    path = tmp_path / "m.jsonl"
    percents = [round(row["p"] * 100) for row in rows]
    made = [{**row, "p": p / 100} for row, p in zip(rows, percents, strict=True)]
    path.write_text("\n".join(map(json.dumps, made)))
    plain = run(path, *COLUMNS, "--json", "-")
    made = [{**row, "p": p} for row, p in zip(rows, percents, strict=True)]
    path.write_text("\n".join(map(json.dumps, made)))
    refused = run(path, *COLUMNS)
    assert isinstance(refused.exception, LevelheadError)
    assert "percentages must be divided by 100: pass --percent" in str(refused.exception)
    found = run(path, *COLUMNS, "--percent", "--json", "-")
    assert json.loads(found.output) == json.loads(plain.output)
    bare = run(path, "--claim", "said", "--hidden-states", path, "--percent")
    assert "--percent: expected --belief, a column of beliefs, beside it" in str(bare.exception)


def test_a_row_for_each_prompt_gives_the_same_figures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folded = [
        {"q": f"q{i}", "p": (b := round(float(rng.random()), 3)),
         "said": ["yes" if rng.random() < b else "no" for _ in range(1 + i % 4)]}
        for i in range(80)
    ]  # fmt: skip
    found = []
    for name in ("plain", "folded"):
        rows = folded if name == "folded" else [
            {**row, "said": said} for row in folded for said in row["said"]
        ]  # fmt: skip
        path = tmp_path / name / "m.jsonl"
        path.parent.mkdir()
        path.write_text("\n".join(map(json.dumps, rows)))
        section = json.loads(run(path, *COLUMNS, "--json", "-").output)["sections"][0]
        assert any("80 rows hold 1 to 4 samples" in n for n in section["notes"]) is (
            name == "folded"
        )
        del section["notes"]
        found.append(section)
    assert found[0] == found[1]
