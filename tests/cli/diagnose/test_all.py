"""`levelhead diagnose BASE TUNED`: what can be told is told, and of the rest what it would need."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from levelhead.cli.diagnose._all import everything
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
    assert said["audit"] == "WORSE CALIBRATED"
    assert found["audit"]["tone"] == "bad"  # .5 against .31 before, .97 against .5 now
    assert found["audit"]["headline"].startswith("tuned is worse calibrated than base")
    (changes,) = found["audit"]["tables"]
    labels = [row[0] for row in changes["rows"]]
    assert "Overconfidence" in labels  # what it is stands in the note: a terminal cuts long cells
    assert changes["note"] == "Overconfidence is the mean confidence minus the accuracy."
    assert "levelhead calibrate" in " ".join(found["audit"]["next_steps"])
    assert said["sharpening"] == "SHARPEN"
    assert "NOT DIAGNOSED" not in (said["formats"], said["difficulty"])
    assert said["updates"] == said["truth"] == "NOT DIAGNOSED"
    assert "--weights BASE TUNED" in found["updates"]["headline"]
    assert list(found)[-2:] == ["updates", "truth"]  # what is not diagnosed comes last
    page = report.read_text()
    assert all(f'id="{name}"' in page for name in EVERY)


def test_a_repair_is_told_of_the_tuned_model(tmp_path: Path) -> None:
    sure = write(tmp_path / "sure.jsonl", samples([0.5] * 60, 0.97, "a", n=2))
    even = write(tmp_path / "even.jsonl", samples([0.5] * 60, 0.5, "b", n=2))
    found = run(sure, even)["audit"]
    assert (found["verdict"], found["tone"], found["next_steps"]) == (
        "BETTER CALIBRATED",
        "good",
        [],
    )
    assert found["headline"].startswith(
        "even is better calibrated than sure: ECE 0.470 to 0.000, a change of −0.470"
    )


def test_a_model_beside_itself(tmp_path: Path) -> None:
    rows = write(tmp_path / "x.jsonl", samples([0.5] * 60, 0.97, "a"))
    found = run(rows, rows)
    assert found["audit"]["verdict"] == "NO CLEAR CHANGE"
    assert "hold the same rows" in found["audit"]["warnings"][0]
    assert "hold the same rows" not in " ".join(found["sharpening"]["warnings"])


def test_one_file_that_holds_both_models(tmp_path: Path) -> None:
    rows = [
        {**row, "model": name}
        for name, sure in (("old", 0.5), ("new", 0.97))
        for row in samples([0.5] * 60, sure, "a")
    ]
    both = write(tmp_path / "both.jsonl", rows)
    found = run(both, "--models", "old", "new")["audit"]
    assert found["headline"].startswith("new is worse calibrated than old")
    with pytest.raises(LevelheadError, match=r"TUNED: expected a second path.*--models BASE TUNED"):
        run(both)
    with pytest.raises(LevelheadError, match=r"got 2: old, new.*--models BASE TUNED"):
        run(both, both)
    with pytest.raises(LevelheadError, match="^--models: expected one of.*'older'"):
        run(both, "--models", "old", "older")


def test_weights_have_no_names(tmp_path: Path) -> None:
    folder = weights(tmp_path / "model", np.ones((2, 2)))
    with pytest.raises(
        LevelheadError, match="^--models: expected predictions of two models, got wei"
    ):
        run(folder, "--models", "old", "new")


def test_both_models_are_judged_on_the_prompts_that_both_have(tmp_path: Path) -> None:
    base = samples([0.5] * 60, 0.5, "a", n=4)
    more = [{**row, "prompt_id": f"{row['prompt_id']}-more", "correct": False} for row in base]
    found = run(
        write(tmp_path / "base.jsonl", base + more),
        write(tmp_path / "tuned.jsonl", samples([0.5] * 60, 0.97, "a", n=4)),
    )["audit"]
    assert [one["value"] for one in found["measures"]] == pytest.approx([0.0, 0.47])
    assert found["tables"][0]["rows"][0][1:3] == pytest.approx([0.0, 0.47])
    assert any("240 records of base and 0 of tuned are left out" in w for w in found["warnings"])


def test_texts_alone(tmp_path: Path) -> None:
    rows = samples([0.5] * 60, None, "It is \\boxed{4}", n=2)
    bare = [{key: row[key] for key in ("prompt_id", "text")} for row in rows]
    others = [{**row, "text": "plain words " + row["text"][-4:]} for row in bare]
    found = run(write(tmp_path / "base.jsonl", bare), write(tmp_path / "tuned.jsonl", others))
    assert found["formats"]["verdict"] != "NOT DIAGNOSED"
    for name in ("audit", "sharpening", "difficulty"):
        assert found[name]["verdict"] == "NOT DIAGNOSED"
        assert "does not say (--correct)" in found[name]["headline"]


def test_one_question_that_fails_leaves_the_others(tmp_path: Path) -> None:
    base = samples([0.5] * 30, 0.5, "a")
    other = [{**row, "prompt_id": f"{row['prompt_id']}-b"} for row in samples([0.5] * 30, 0.5, "a")]
    found = run(write(tmp_path / "base.jsonl", base), write(tmp_path / "tuned.jsonl", other))
    assert found["audit"]["verdict"] == "NOT DIAGNOSED"
    assert "none in common" in found["audit"]["headline"]
    assert found["formats"]["verdict"] != "NOT DIAGNOSED"
    with pytest.raises(LevelheadError, match="estimator"):
        run(tmp_path / "base.jsonl", tmp_path / "tuned.jsonl", "--estimator", "gpro")


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
    assert "confidences of both models; base and tuned state none" in found["audit"]["headline"]
    assert found["sharpening"]["verdict"] == "INCONCLUSIVE"
    sure = write(tmp_path / "sure.jsonl", samples([0.5] * 20, 0.97, "b"))
    for pair in ((base, sure), (sure, base)):  # no claim of certainty is made up for the other
        found = run(*pair)
        assert found["audit"]["verdict"] == "NOT DIAGNOSED"
        assert "base states none" in found["audit"]["headline"]
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
    alone = run(rows, tmp_path / "y.jsonl")
    assert {name: one["title"] for name, one in alone.items()} == {
        name: one["title"] for name, one in both.items()
    }  # a section is called the same whether it is diagnosed or not
    with pytest.raises(LevelheadError, match="an input"):
        run(base, tuned, "-o", base / "model.safetensors")
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
