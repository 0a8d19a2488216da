"""`levelhead demo`: policies trained on the spot, audited, with the picture on top."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from levelhead.cli import cli


def test_the_demo_shows_grpo_overconfident_and_the_others_not(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    done = CliRunner().invoke(cli, ["demo", "--tabular", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert str(out / "report.html").replace("\n", "") in done.output.replace("\n", "")
    audit = json.loads((out / "audit.json").read_text())
    models = {model["name"]: model for model in audit["models"]}
    assert models["grpo"]["verdict"]["label"] == "overconfident"
    ece = {
        name: next(row["value"] for row in model["metrics"] if row["name"] == "ece")
        for name, model in models.items()
    }
    # Every question predicted as 0.01 or 0.99 by the side of 1/2 it is on has ECE 0.2386.
    assert abs(ece["grpo"] - 0.2386) < 0.02
    assert max(value for name, value in ece.items() if name != "grpo") < 0.03
    sentences = [c["sentence"] for c in audit["comparisons"]]
    assert any(s.startswith("grpo is worse calibrated than rloo") for s in sentences)
    html = (out / "report.html").read_text()
    assert html.index("dividing by the group") < html.index('class="verdicts ')
    assert (out / "figure1.png").stat().st_size > 20_000
    assert {p.name for p in out.glob("*.parquet")} == {
        "grpo.parquet", "grpo_no_std.parquet", "rloo.parquet", "ppo.parquet",
    }  # fmt: skip
