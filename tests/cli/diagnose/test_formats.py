"""`levelhead diagnose formats` from the logs of a run, or two models, to a verdict."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from levelhead.cli.diagnose._formats import (
    _rate,  # pyright: ignore[reportPrivateUsage]
    compare_texts,
    formats,
)
from levelhead.cli.diagnose._samples import load_samples
from levelhead.errors import InvalidInputError, LevelheadError
from levelhead.readers import ReadLog, ReadOptions

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
            {"input": f"q{i}", "output": TEXTS[k], "score": 0.3, "step": t}
            for i, k in enumerate(rng.choice(3, 40, p=shares(0)))
        ]
        files.append(tmp_path / f"{t}.jsonl")
        files[-1].write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = invoke(*files)
    assert "NO COLLAPSE" in shown
    # a score that is neither right nor wrong is said of the first file alone
    assert " ".join(shown.split()).count("read as texts, without correctness") == 1


def test_a_rate_of_the_users_own(trl: Path) -> None:
    shown = invoke(trl, "--drift-rate", 3)
    assert "WITHIN DRIFT" in shown
    assert "as given" in shown
    # eta sqrt(a (1 - a) (1 - 1 / G) / N)
    assert _rate(None, 64, 8, 2.0, None) == pytest.approx(2 * math.sqrt(0.25 * 7 / 8 / 64))


def test_two_models(tmp_path: Path) -> None:
    base = lines(tmp_path / "base.jsonl", [0.5, 0.3, 0.2])
    tuned = lines(tmp_path / "tuned.jsonl", [0.97, 0.02, 0.01])
    shown = invoke(tuned, "--baseline", base)
    assert "COLLAPSE BEYOND NOISE" in shown
    told = json.loads(invoke(tuned, "--baseline", base, "--quiet", "--json", "-"))
    assert any(f"tuned: tuned ({tuned})" in note for note in told["sections"][0]["notes"])
    own = invoke(tuned, "--baseline", base, "--rule", "any=.", "--quiet", "--json", "-")
    assert json.loads(own)["sections"][0]["data"]["formats"] == ["any"]


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def drawn(t: int, n: int = 64) -> list[str]:
    return [TEXTS[k] for k in np.random.default_rng(t).choice(3, n, p=shares(t))]


def test_texts_and_steps_are_enough(tmp_path: Path) -> None:
    rows = [{"step": 10 * t, "text": text} for t in range(20) for text in drawn(t)]
    assert "COLLAPSE BEYOND DRIFT" in invoke(
        table(tmp_path / "run.jsonl", rows), "--drift-rate", 0.05
    )


def test_prompt_ids_and_texts_are_enough(tmp_path: Path) -> None:
    base, tuned = (
        [{"prompt_id": str(i // 4), "text": text} for i, text in enumerate(drawn(t, 200))]
        for t in (0, 20)
    )
    tuned = table(tmp_path / "tuned.jsonl", tuned)
    shown = invoke(tuned, "--baseline", table(tmp_path / "base.jsonl", base))
    assert "COLLAPSE BEYOND NOISE" in shown
    assert "Shuffling 50 prompts" in shown
    assert "none is needed here" in shown


def test_a_reward_that_is_not_right_or_wrong_is_left_out(tmp_path: Path) -> None:
    for t in range(20):
        columns = {
            "step": [t * 10] * 64,
            "prompt": [f"q{i // 8}" for i in range(64)],
            "completion": [[{"role": "assistant", "content": text}] for text in drawn(t)],
            "reward_a": np.linspace(0.1, 2.0, 64),
            "reward_b": np.linspace(0.1, 2.0, 64),
        }
        pq.write_table(pa.table(columns), tmp_path / f"completions_{t:05d}.parquet")
    shown = invoke(tmp_path, "--drift-rate", 0.05)
    assert "COLLAPSE BEYOND DRIFT" in shown
    assert "read as texts, without correctness" in " ".join(shown.split())
    with pytest.raises(LevelheadError, match="reward_c"):
        invoke(tmp_path, "--scorer", "reward_c")


def test_samples_without_a_text_are_left_out(tmp_path: Path) -> None:
    rows = [
        {"prompt_id": str(i // 4), "text": None if i % 4 == 0 else text}
        for i, text in enumerate(drawn(0, 200))
    ]
    path = table(tmp_path / "x.jsonl", rows)
    shown = " ".join(invoke(path, "--baseline", path).split())
    assert "50 of 200 samples have no text and are left out" in shown
    assert "150 samples of base and 150 samples of tuned" in shown
    assert "in no known format" not in shown
    read = load_samples(str(path), ReadOptions(), ReadLog(), evidence=("text",), labelled=False)[
        "x"
    ]
    assert compare_texts(read, read, "text", level=0.05, seed=0).counts.sum() == 300


def test_an_interrupted_run_says_that_nothing_was_written(
    trl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("levelhead.diagnose.formats.diagnose_formats", stop)
    report = tmp_path / "r.html"
    result = CliRunner().invoke(formats, [str(trl), "-o", str(report)])
    assert result.exit_code != 0
    assert "nothing was written\n" in result.output
    assert "Aborted!" in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--rule", "any"], r"--rule: expected NAME=REGEX"),
        (["--step-column", "prompt"], r"--step-column: expected a whole number in 'prompt'"),
        (["--batch-size", 8], r"--batch-size: expected --learning-rate beside it"),
        (["--learning-rate", 8], r"--learning-rate: expected --batch-size beside it"),
        (["--column", "txt"], r"--column: expected a column 'txt' with values in .*completion"),
        (
            ["--step-column", "epoch"],
            r"--step-column: expected a column 'epoch' .* step, .*one with",
        ),
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
    with pytest.raises(
        InvalidInputError,
        match=r"--step-column: expected a column 'step' with values in .*base.jsonl, the columns are "
        r"prompt_id, confidence, correct, text; .* compare two models: --baseline BASE",
    ):
        invoke(base)
    for two in (("--baseline", base), ("--models", "a", "b")):
        with pytest.raises(InvalidInputError, match=f"{two[0]}: expected no drift rate beside it"):
            invoke(base, *two, "--drift-rate", 1)
        with pytest.raises(
            InvalidInputError, match=f"FILES: expected one path beside {two[0]}, got 2"
        ):
            invoke(base, base, *two)
    with pytest.raises(InvalidInputError, match="of its own: new.jsonl --baseline old.jsonl$"):
        invoke("old.jsonl", "new.jsonl", "--models", "a", "b")
    words = lines(tmp_path / "words.jsonl", [0.5, 0.3, 0.2], step="first")
    with pytest.raises(
        InvalidInputError, match=r"expected a whole number in 'step' .* got 'first'"
    ):
        invoke(words)


def test_two_files_without_steps_are_told_the_form_for_two_models(tmp_path: Path) -> None:
    base = lines(tmp_path / "base.jsonl", [0.5, 0.3, 0.2])
    tuned = lines(tmp_path / "tuned.jsonl", [0.5, 0.3, 0.2])
    with pytest.raises(
        InvalidInputError, match=f"levelhead diagnose formats {tuned} --baseline {base}$"
    ):
        invoke(base, tuned)
    with pytest.raises(
        InvalidInputError,
        match=r"--column: expected a column 'txt' with values in .*base.jsonl, the columns are prompt",
    ):
        invoke(tuned, "--baseline", base, "--column", "txt")


def test_the_columns_of_a_csv_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("prompt_id,words\na,four\n")
    with pytest.raises(InvalidInputError, match=r"in .*x.csv, the columns are prompt_id, words;"):
        invoke(path, "--baseline", path)


def test_a_file_of_both_models(tmp_path: Path) -> None:
    base = lines(tmp_path / "base.jsonl", [0.5, 0.3, 0.2], model="before")
    tuned = lines(tmp_path / "tuned.jsonl", [0.97, 0.02, 0.01], model="after")
    both = tmp_path / "both.jsonl"
    both.write_text(tuned.read_text() + base.read_text())
    out = tmp_path / "r.json"
    shown = " ".join(invoke(both, "--models", "before", "after", "--json", out).split())
    assert "COLLAPSE BEYOND NOISE" in shown
    assert "200 samples of before and 200 samples of after" in shown
    data = json.loads(out.read_text())["sections"][0]["data"]
    assert data["models"] == ["before", "after"]
    assert data["effective_number"][0] > 2 > data["effective_number"][1]
    with pytest.raises(InvalidInputError, match=r"got 2: after, before; .*--models BASE TUNED"):
        invoke(both)


def test_help_ends_with_examples() -> None:
    shown = invoke("--help")
    assert "levelhead diagnose formats completions/" in shown.split("Options:")[1]
