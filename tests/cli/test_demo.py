"""`levelhead demo`: real predictions of real classifiers, audited."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from levelhead.cli import cli
from levelhead.cli.demo import train_and_predict

pytest.importorskip("sklearn")


def test_the_demo_finds_naive_bayes_overconfident(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    done = CliRunner().invoke(cli, ["demo", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert str(out / "report.html").replace("\n", "") in done.output.replace("\n", "")
    audit = json.loads((out / "audit.json").read_text())
    bayes = next(m for m in audit["models"] if m["name"] == "naive_bayes")
    assert bayes["verdict"]["label"] == "overconfident"
    assert audit["comparisons"][0]["sentence"].startswith("naive_bayes is worse calibrated")
    assert bayes["confident_errors"][0]["text"].count("\n") == 7
    assert (out / "report.html").stat().st_size > 20_000


def test_both_models_see_the_same_held_out_images() -> None:
    predictions = train_and_predict(0)
    a, b = predictions["naive_bayes"], predictions["logistic"]
    assert a.prompt_id.to_pylist() == b.prompt_id.to_pylist()
    assert len(a) == 899
    assert a.label.mean() < b.label.mean()
