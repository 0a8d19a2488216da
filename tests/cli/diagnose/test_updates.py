"""`levelhead diagnose updates`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_file

from levelhead.cli.diagnose._updates import updates
from levelhead.errors import LevelheadError

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders base, one and two."""
    folder, dice = tmp_path_factory.mktemp("models"), torch.Generator().manual_seed(0)
    base = (0.02 * torch.randn(100, 80, generator=dice)).bfloat16()
    for name in ("base", "one", "two"):
        (folder / name).mkdir()
        step = 0.0 if name == "base" else 1e-5
        new = base.double() + step * torch.randn(100, 80, generator=dice).double()
        save_file({"model.layers.0.mlp.up_proj.weight": new.bfloat16()},
                  folder / name / "model.safetensors")  # fmt: skip
    return folder


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(updates, [str(word) for word in words])


def test_prints_the_finding_with_its_null(models: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    done = run(models / "base", models / "one", "--other", models / "two", "-o", report)
    assert done.exit_code == 0, done.output
    assert "AS ROUNDING PRODUCES" in done.output
    assert "Noise alone would show" in done.output
    assert "weights changed from base to one;" in " ".join(done.output.split())
    assert f"OTHER: {models / 'two'}" in done.output.replace("\n", "").replace("  ", "")
    assert max(map(len, done.output.splitlines())) <= 80
    assert "<svg" in report.read_text()


def test_json_on_standard_output_is_all_there_is(models: Path) -> None:
    done = run(models / "base", models / "one", "--json", "-", "--tolerance", "1e-3", "--ranks", 0)
    assert done.exit_code == 0, done.output
    text = json.dumps(json.loads(done.output))
    assert "AS ROUNDING PRODUCES" in text
    assert "0.001" in text


def test_bad_input_is_one_sentence(models: Path, tmp_path: Path) -> None:
    for words, said in (
        ((models / "base", tmp_path), "TUNED: expected model.safetensors"),
        ((tmp_path / "no", models / "one"), "BASE: expected a folder or file"),
        ((models / "base", models / "one", "--other", tmp_path), "OTHER: expected"),
        ((models / "base", models / "one", "--tolerance", "-1"), "--tolerance: expected a number"),
    ):
        done = run(*words)
        assert isinstance(done.exception, LevelheadError)
        assert said in str(done.exception)
        assert "\n" not in str(done.exception)


def test_a_report_is_not_written_over_the_weights(models: Path) -> None:
    before = (models / "base" / "model.safetensors").read_bytes()
    for option in ("-o", "--json"):
        done = run(models / "base", models / "one", option, models / "base" / "model.safetensors")
        assert isinstance(done.exception, LevelheadError)
        assert "this one is an input" in str(done.exception)
    assert (models / "base" / "model.safetensors").read_bytes() == before


def test_help_ends_with_an_example() -> None:
    assert "levelhead diagnose updates base/ run1/ --other run2/" in run("--help").output[-400:]
