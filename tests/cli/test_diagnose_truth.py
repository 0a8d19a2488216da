"""`levelhead diagnose truth`: from files to a verdict, and one sentence for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from levelhead.cli._diagnose_truth import truth
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
    assert "base was TRUTHFUL" in text
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
               "shares")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "beliefs of 150 items from option tokens, 0" in done.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--claim", "said"), "--belief: expected the column of the belief, or --hidden-states"),
        (("--claim", "said", "--belief", "p", "--beliefs", "x"), "--beliefs: expected --belief and --p"),
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
