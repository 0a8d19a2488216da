"""`levelhead diagnose formats` from the logs of a run, or two models, to a verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from levelhead.cli._diagnose_formats import formats
from levelhead.errors import InvalidInputError, LevelheadError

TEXTS = ["```python\nprint(4)\n```", "Two and two make four, so \\boxed{4}.", "\\boxed{4}"]


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(formats, [str(a) for a in arguments])
    if isinstance(result.exception, LevelheadError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def shares(t: int) -> np.ndarray:
    p = np.array([0.5, 0.3 * np.exp(0.25 * t), 0.2])
    return p / p.sum()


@pytest.fixture(scope="module")
def trl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completions")
    rng = np.random.default_rng(0)
    for t in range(30):
        table = {
            "step": [t * 10] * 64,
            "prompt": [f"q{t}-{i // 8}" for i in range(64)],
            "completion": [TEXTS[k] for k in rng.choice(3, 64, p=shares(t))],
            "accuracy_reward": rng.random(64) < 0.5,
            "advantage": [0.0] * 64,
        }
        pq.write_table(pa.table(table), folder / f"completions_{t:05d}.parquet")
    return folder


def lines(path: Path, p: list[float], n: int = 200, **more: Any) -> Path:
    rng = np.random.default_rng(1)
    rows = [
        {"prompt_id": str(i // 4), "confidence": 0.5, "correct": 1, "text": TEXTS[k], **more}
        for i, k in enumerate(rng.choice(3, n, p=p))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_run_of_trl(trl: Path, tmp_path: Path) -> None:
    report, out = tmp_path / "r.html", tmp_path / "r.json"
    shown = invoke(trl, "-o", report, "--json", out)
    assert "COLLAPSE BEYOND DRIFT" in shown
    assert "states a confidence" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "<svg" in report.read_text()
    data = json.loads(out.read_text())["sections"][0]["data"]
    assert data["formats"][0] == "code"
    assert data["winner"] == "latex/NL"
    assert sum(map(sum, data["counts"])) == 30 * 64


def test_files_of_verl_are_one_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files: list[Path] = []
    for t in range(10):
        rows = [
            {"input": f"q{i}", "output": TEXTS[k], "score": 1.0, "step": t}
            for i, k in enumerate(rng.choice(3, 40, p=shares(0)))
        ]
        files.append(tmp_path / f"{t}.jsonl")
        files[-1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "NO COLLAPSE" in invoke(*files)


def test_a_rate_of_the_users_own(trl: Path) -> None:
    shown = invoke(trl, "--drift-rate", 3)
    assert "WITHIN DRIFT" in shown
    assert "as given" in shown
    assert "as given" in invoke(trl, "--batch-size", 64, "--learning-rate", 1)


def test_two_models(tmp_path: Path) -> None:
    base = lines(tmp_path / "base.jsonl", [0.5, 0.3, 0.2])
    tuned = lines(tmp_path / "tuned.jsonl", [0.97, 0.02, 0.01])
    shown = invoke(tuned, "--baseline", base)
    assert "COLLAPSE BEYOND NOISE" in shown
    own = invoke(tuned, "--baseline", base, "--rule", "any=.", "--quiet", "--json", "-")
    assert json.loads(own)["sections"][0]["data"]["formats"] == ["any"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--rule", "any"], r"--rule: expected NAME=REGEX"),
        (["--batch-size", 8], r"--batch-size: expected --learning-rate beside it"),
        (["--learning-rate", 8], r"--learning-rate: expected --batch-size beside it"),
        (["--column", "txt"], r"--column: expected a column 'txt' in "),
        (["--step-column", "epoch"], r"--step-column: expected a column 'epoch' in "),
        (
            ["--drift-rate", 1, "--batch-size", 8, "--learning-rate", 1],
            r"--drift-rate: expected no --batch-size beside it",
        ),
    ],
)
def test_wrong_options_are_named(trl: Path, options: list[object], text: str) -> None:
    with pytest.raises(InvalidInputError, match=text):
        invoke(trl, *options)


def test_files_without_steps_and_rates_without_steps(tmp_path: Path) -> None:
    base = lines(tmp_path / "base.jsonl", [0.5, 0.3, 0.2])
    with pytest.raises(InvalidInputError, match=r"--step-column: expected a column 'step' in base"):
        invoke(base)
    with pytest.raises(InvalidInputError, match=r"--baseline: expected no drift rate beside it"):
        invoke(base, "--baseline", base, "--drift-rate", 1)
    words = lines(tmp_path / "words.jsonl", [0.5, 0.3, 0.2], step="first")
    with pytest.raises(InvalidInputError, match=r"expected a number in 'step' .* got 'first'"):
        invoke(words)


def test_help_ends_with_examples() -> None:
    shown = invoke("--help")
    assert "levelhead diagnose formats completions/" in shown.split("Options:")[1]
