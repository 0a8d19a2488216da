"""`levelhead lab` as a user runs it, at small sizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from levelhead.cli import cli
from levelhead.lab.figures import CAPTIONS

SMALL = ["lab", "table2", "--seeds", "2", "--updates", "40", "--jobs", "1"]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab") / "table2"
    done = CliRunner().invoke(cli, [*SMALL, "--tables", "published", "--out", str(folder)])
    assert done.exit_code == 0, done.output
    assert "GRPO, no std" in done.output
    assert max(len(line) for line in done.output.splitlines()) <= 80 + len(str(folder))
    return folder


def test_the_table_is_there_as_markdown_and_json(out: Path) -> None:
    text = (out / "table2.md").read_text()
    assert text.count("\n| GRPO | ") == 3
    found = json.loads((out / "table2.json").read_text())
    assert len(found["rows"]) == 12
    assert set(found["rows"][0]["seeds"]) == {"0", "1"}
    off = {row["name"]: row for row in found["rows"]}
    assert off["grpo-off-0.2"]["seeds"] == off["grpo-off-0.001"]["seeds"]
    assert off["grpo-off-0.2"]["limit"]["mean"]["ece"] == pytest.approx(0.2386, abs=2e-3)
    assert off["rloo_notebook-on"]["limit"]["mean"]["ece"] < 0.006


def test_every_run_has_predictions_that_an_audit_reads(out: Path) -> None:
    files = sorted((out / "predictions").iterdir())
    assert len(files) == 12 * 2 * 2
    done = CliRunner().invoke(cli, ["audit", str(files[0]), "--n-boot", "100"])
    assert done.exit_code == 0, done.output
    assert "(10,000 events)" in done.output


def test_json_for_machines_and_going_on(out: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in (out / "runs").iterdir()}
    done = CliRunner().invoke(cli, [*SMALL, "--tables", "published", "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.output)["rows"]) == 12
    assert {p.name: p.stat().st_mtime_ns for p in (out / "runs").iterdir()} == before


def test_wrong_usage_is_one_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["lab", "table2", "--tables", "publishd", "--out", "x"])
    assert "did you mean 'published'" in str(done.exception)
    file = tmp_path / "file"
    file.write_text("")
    done = CliRunner().invoke(cli, ["lab", "figures", "--out", str(file)])
    assert done.exit_code == 2
    assert "is a file" in done.output


def test_help_ends_with_an_example() -> None:
    for command in (["lab"], ["lab", "table2"], ["lab", "figures"]):
        lines = CliRunner().invoke(cli, [*command, "--help"]).output.strip().splitlines()
        assert "levelhead" in lines[-1]


def test_the_pictures_are_named() -> None:
    assert {"figure1", "figure3", "figure4", "figure5", "figure6"} <= set(CAPTIONS)
