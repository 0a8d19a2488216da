"""`levelhead diagnose BASE TUNED`: what can be told is told, and of the rest what it would need."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from levelhead.cli._diagnose_all import everything
from levelhead.errors import LevelheadError

Row = dict[str, Any]


def write(path: Path, rows: list[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def samples(rates: list[float], confidence: float | None, text: str, n: int = 8) -> list[Row]:
    """`n` samples of each prompt, right at its rate."""
    more = {} if confidence is None else {"confidence": confidence}
    return [
        {
            "prompt_id": f"q{i}",
            "answer": "4",
            "correct": j < rate * n,
            "text": f"{text} {i} {j}",
            **more,
        }
        for i, rate in enumerate(rates)
        for j in range(n)
    ]


def weights(folder: Path, values: np.ndarray) -> Path:
    """One float32 matrix as a safetensors file, by the format's definition."""
    folder.mkdir()
    data = values.astype("<f4").tobytes()
    about = {
        "layer.0.weight": {"dtype": "F32", "shape": values.shape, "data_offsets": [0, len(data)]}
    }
    header = json.dumps(about).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
    return folder


def run(*arguments: object) -> dict[str, Row]:
    """The sections by name."""
    done = CliRunner().invoke(everything, [*map(str, arguments), "--json", "-", "--n-boot", "100"])
    if isinstance(done.exception, LevelheadError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return {one["name"]: one for one in json.loads(done.stdout)["sections"]}


EVERY = {"audit", "sharpening", "formats", "difficulty", "updates", "truth"}


def verdicts(found: dict[str, Row]) -> dict[str, str]:
    assert set(found) == EVERY
    return {name: one["verdict"] for name, one in found.items()}


def test_everything_that_the_files_hold(tmp_path: Path) -> None:
    rates = [0.5] * 30 + [0.125] * 30
    base = write(tmp_path / "base.jsonl", samples(rates, 0.5, "It is \\boxed{4}"))
    tuned = samples([1.0] * 30 + [0.0] * 30, 0.97, "x = 4 <answer>4</answer>")
    report = tmp_path / "r.html"
    found = run(base, write(tmp_path / "tuned.jsonl", tuned), "-o", report)
    said = verdicts(found)
    assert said["audit"] == "OVERCONFIDENT"
    assert found["audit"]["tone"] == "bad"  # .5 against .31 before, .97 against .5 now
    assert said["sharpening"] == "SHARPEN"
    assert "NOT DIAGNOSED" not in (said["formats"], said["difficulty"])
    assert said["updates"] == said["truth"] == "NOT DIAGNOSED"
    assert "--weights BASE TUNED" in found["updates"]["headline"]
    assert list(found)[-2:] == ["updates", "truth"]  # what is not diagnosed comes last
    page = report.read_text()
    assert all(f'id="{name}"' in page for name in EVERY)


def test_chances_of_events_are_audited_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, power in (("base", 1.0), ("tuned", 0.3)):
        p = rng.random(400)
        rows = [
            {"confidence": float(c), "outcome": int(rng.random() < c**power), "prompt_id": str(i)}
            for i, c in enumerate(p)
        ]
        write(tmp_path / f"{name}.jsonl", rows)
    found = run(tmp_path / "base.jsonl", tmp_path / "tuned.jsonl")
    assert verdicts(found)["sharpening"] == "NOT DIAGNOSED"
    assert "chances of events" in found["sharpening"]["headline"]
    assert found["audit"]["verdict"] != "NOT DIAGNOSED"
    assert "texts of both models" in found["formats"]["headline"]


def test_samples_without_confidences_and_single_samples(tmp_path: Path) -> None:
    base = write(tmp_path / "base.jsonl", samples([0.5] * 20, None, "a"))
    tuned = write(tmp_path / "tuned.jsonl", samples([0.5] * 20, None, "a"))
    found = run(base, tuned)
    assert "confidences; these samples state none" in found["audit"]["headline"]
    assert found["sharpening"]["verdict"] == "INCONCLUSIVE"
    once = [
        write(tmp_path / f"{name}-once.jsonl", samples([1.0, 0.0] * 20, 0.5, "a", n=1))
        for name in ("base", "tuned")
    ]
    found = run(*once)
    assert "several samples of each prompt" in found["sharpening"]["headline"]
    assert found["audit"]["verdict"] != "NOT DIAGNOSED"


def test_weights_alone_and_beside_predictions(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    old = rng.normal(size=(64, 32))
    base = weights(tmp_path / "base", old)
    tuned = weights(tmp_path / "tuned", old + 1e-3 * rng.normal(size=old.shape))
    found = run(base, tuned)
    assert set(found) == {"updates", "truth"}
    assert found["updates"]["verdict"] == "DENSE"
    rows = write(tmp_path / "x.jsonl", samples([0.5] * 20, 0.5, "a"))
    both = run(
        rows, write(tmp_path / "y.jsonl", samples([0.5] * 20, 0.5, "a")), "--weights", base, tuned
    )
    assert verdicts(both)["updates"] == "DENSE"
    with pytest.raises(LevelheadError, match="TUNED: expected weights like the other"):
        run(base, rows)
    with pytest.raises(
        LevelheadError, match="--weights: expected BASE and TUNED to be predictions"
    ):
        run(base, tuned, "--weights", base, tuned)


def test_bad_input(tmp_path: Path) -> None:
    answers = write(tmp_path / "a.jsonl", samples([0.5] * 5, 0.5, "a"))
    events = write(tmp_path / "e.jsonl", [{"confidence": 0.5, "outcome": 1}] * 5)
    with pytest.raises(
        LevelheadError, match="TUNED: expected answer predictions like those of BASE"
    ):
        run(answers, events)
    with pytest.raises(LevelheadError, match="none.jsonl: expected a file"):
        run(answers, tmp_path / "none.jsonl")
