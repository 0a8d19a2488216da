"""`levelhead audit` from files to terminal, JSON and exit status, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from levelhead.cli import cli

RUN = [sys.executable, "-m", "levelhead.cli"]


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*RUN, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def audited(tmp_path: Path, *arguments: object) -> dict:
    out = tmp_path / "out.json"
    result = CliRunner().invoke(
        cli, ["audit", *map(str, arguments), "--json", str(out), "--quiet", "--n-boot", "100"]
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return json.loads(out.read_text())


def value(model: dict, name: str, field: str = "value") -> float:
    return next(row for row in model["metrics"] if row["name"] == name)[field]


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """2,000 answers, stated at 0.9, of which 60% are right, in two subjects."""
    rng = np.random.default_rng(0)
    path = tmp_path / "answers.parquet"
    correct = rng.random(2000) < np.where(np.arange(2000) % 2, 0.9, 0.3)
    table = {
        "confidence": np.full(2000, 0.9),
        "correct": correct,
        "subject": ["law" if i % 2 else "art" for i in range(2000)],
    }
    pq.write_table(pa.table(table), path)
    return path


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        # Recomputed by the paper's own notebook from these files: ECE, AUROC, accuracy, n.
        ("final_grpo", (0.292213, 0.688252, 0.669966, 5607)),
        ("final_grpo_no_std", (0.035806, 0.720972, 0.675731, 5608)),
    ],
)
def test_published_predictions(
    shared_data: Path, tmp_path: Path, folder: str, expected: tuple
) -> None:
    files = shared_data / "crispr" / "predictions" / folder
    out = audited(tmp_path, files, "--convention", "paper_compat")
    (model,) = out["models"]
    found = [value(model, name) for name in ("ece", "auroc", "accuracy")]
    assert np.round(found, 6).tolist() == list(expected[:3])
    assert model["n_scored"] == expected[3]
    assert model["n_records"] == 5608
    assert model["kind"] == "event"
    readings = {row["name"]: row["reading"] for row in model["metrics"]}
    assert readings["ece"] == readings["auroc"] == readings["brier"] == readings["nll"] == "event"
    assert readings["overconfidence"] == readings["trust"] == readings["aurc"] == "top-label"


def test_the_published_comparison_says_which_is_worse(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "crispr" / "predictions"
    out = audited(
        tmp_path,
        folder / "final_grpo",
        "--baseline",
        folder / "final_grpo_no_std",
        "--convention",
        "paper_compat",
    )
    (comparison,) = out["comparisons"]
    ece = next(row for row in comparison["rows"] if row["name"] == "ece")
    assert ece["worse"] is True
    assert ece["low"] > 0.2
    assert ece["p_value"] < 0.02  # the smallest that 100 permutations allow is 1/101
    assert comparison["model"] == "final_grpo"
    assert comparison["sentence"].startswith(
        "final_grpo is worse calibrated than final_grpo_no_std"
    )
    assert comparison["n_prompts"] == 1402


ARMS = ("Base", "RLVR", "RLVR-Classifier", "Answer-Prob", "RLCR")


def test_rlcr_conventions_reproduce_the_published_metrics(
    shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "rlcr" / "commonsenseqa"
    published = json.loads((folder / "metrics.json").read_text())
    out = audited(tmp_path, folder, "--convention", "rlcr")
    models = {model["name"]: model for model in out["models"]}
    assert set(models) == set(ARMS) == set(published)
    for arm in ARMS:
        pairs = {"ece": "ece", "brier_score": "brier", "auroc": "auroc", "accuracy": "accuracy"}
        for theirs, ours in pairs.items():
            assert value(models[arm], ours) == pytest.approx(published[arm][theirs], abs=1e-12)
        said = value(models[arm], "mean_confidence")
        assert said == pytest.approx(published[arm]["confidence level"], abs=1e-12)
    assert out["convention"]["name"] == "rlcr"
    assert out["convention"]["closed"] == "left"


def test_the_report_says_where_the_convention_matters(shared_data: Path, tmp_path: Path) -> None:
    out = audited(tmp_path, shared_data / "rlcr" / "commonsenseqa")
    base = next(model for model in out["models"] if model["name"] == "Base")
    assert round(value(base, "ece"), 4) == 0.0252
    (sentence,) = [w for w in base["warnings"] if "convention matters" in w]
    assert "0.0252" in sentence
    assert "0.0037" in sentence
    assert "59%" in sentence
    rows = {(r["n_bins"], r["bins"], r["closed"]): r["ece"] for r in base["sensitivity"]}
    assert round(rows[10, "width", "left"], 4) == 0.0037
    assert round(rows[10, "width", "right"], 4) == 0.0252
    assert {(n, b) for n, b, _ in rows} == {(n, b) for n in (10, 15, 20) for b in ("width", "mass")}


def test_by_hand(tmp_path: Path) -> None:
    """Four answers: ECE = |0.9*2 - 1|/4 + |0.6 - 1|/4 + |0.2 - 0|/4, all from the definition."""
    path = tmp_path / "four.jsonl"
    rows = [(0.9, 1), (0.9, 0), (0.6, 1), (0.2, 0)]
    path.write_text("".join(json.dumps({"confidence": c, "correct": y}) + "\n" for c, y in rows))
    (model,) = audited(tmp_path, path)["models"]
    assert value(model, "ece") == pytest.approx((0.8 + 0.4 + 0.2) / 4)
    assert value(model, "accuracy") == 0.5
    assert value(model, "auroc") == pytest.approx(
        2.5 / 4
    )  # (0.9,0.9) ties, (0.9,0.2), 0.6 beats 0.2
    assert model["verdict"]["label"] == "inconclusive"


def test_missing_confidences_count_as_certainty_and_are_shown_apart(tmp_path: Path) -> None:
    path = tmp_path / "gaps.jsonl"
    rows = [{"confidence": 0.7, "correct": 1}] * 60 + [{"confidence": None, "correct": 0}] * 40
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (model,) = audited(tmp_path, path)["models"]
    assert model["status_counts"] == {"ok": 60, "missing": 40}
    # By hand: 60 rows of gap -0.3 and 40 rows of gap +0.99.
    assert value(model, "ece") == pytest.approx((60 * 0.3 + 40 * 0.99) / 100)
    assert value(model, "ece", "parsed") == pytest.approx(0.3)
    assert value(model, "mean_confidence") == pytest.approx((60 * 0.7 + 40 * 0.99) / 100)
    assert any("40 missing of 100 confidences (40.0%)" in w for w in model["warnings"])


def test_slices_are_ranked_by_damage(answers: Path, tmp_path: Path) -> None:
    (model,) = audited(tmp_path, answers, "--by", "subject")["models"]
    first, second = model["slices"]
    assert (first["value"], second["value"]) == ("art", "law")
    assert first["gap"] == pytest.approx(0.6, abs=0.06)
    assert first["gap_low"] < first["gap"] < first["gap_high"]
    assert first["damage"] + second["damage"] == pytest.approx(1.0)


def test_terminal_output_fits_80_columns_and_opens_with_the_verdict(answers: Path) -> None:
    done = run("audit", answers, "--by", "subject", "--n-boot", "100")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("answers")
    assert lines[1].startswith("Overconfident: says 90% on average, is right ")
    assert max(map(len, lines)) <= 80
    assert done.stderr == ""


def test_json_to_standard_output_is_json_and_nothing_else(answers: Path) -> None:
    done = run("audit", answers, "--json", "-", "--n-boot", "100")
    assert json.loads(done.stdout)["schema_version"] == "1"


def test_the_same_seed_gives_the_same_numbers(answers: Path, tmp_path: Path) -> None:
    a, b = (audited(tmp_path, answers, "--seed", "3") for _ in range(2))
    a.pop("created"), b.pop("created")
    assert a == b
    c = audited(tmp_path, answers, "--seed", "4")
    assert value(a["models"][0], "brier", "low") != value(c["models"][0], "brier", "low")


def test_report_is_written_whole_or_not_at_all(answers: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    run("audit", answers, "--report", report, "--quiet", "--n-boot", "100")
    assert report.read_text().lower().startswith("<!doctype html>")
    before = {p.name for p in tmp_path.iterdir()}
    missing = tmp_path / "nowhere" / "report.html"
    done = run("audit", answers, "--report", missing, "--n-boot", "100", code=2)
    assert "nowhere" in done.stderr
    assert {p.name for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.parquet"], "nowhere.parquet"),
        (["{answers}", "--convention", "rlcrr"], "did you mean 'rlcr'"),
        (["{answers}", "--by", "subjct"], "subject"),
        (["{answers}", "--n-boot", "5"], "100<=x"),
        (["{answers}", "--level", "95"], "0.5<=x<=0.9999"),
        (["{answers}", "--seed", "-1"], "0<=x"),
        (["{answers}", "--json", "{answers}"], "this one is an input"),
        (["{answers}", "--confidence", "conf"], "confidence"),
        (["{answers}", "--report", "{folder}"], "folder"),
        ([], "Missing argument"),
        (["{answers}", "--nonsense"], "No such option"),
    ],
)
def test_bad_usage_is_one_clear_sentence(
    arguments: list[str], says: str, answers: Path, tmp_path: Path
) -> None:
    filled = [a.format(answers=answers, folder=tmp_path) for a in arguments]
    done = run("audit", *filled, code=2)
    assert says in done.stderr
    assert done.stdout == ""


def test_streamed_audit_equals_the_audit_in_memory(
    answers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = audited(tmp_path, answers, "--by", "subject")["models"][0]
    monkeypatch.setattr("levelhead.audit.collect.MAX_ROWS", 100)
    streamed = audited(tmp_path, answers, "--by", "subject")["models"][0]
    assert streamed["streamed"]
    assert not kept["streamed"]
    for a, b in zip(kept["metrics"], streamed["metrics"], strict=True):
        assert a["value"] == pytest.approx(b["value"], abs=1e-12), a["name"]
    for name in ("accuracy", "overconfidence", "brier", "trust"):
        for side in ("low", "high"):
            assert value(kept, name, side) == pytest.approx(value(streamed, name, side), abs=0.02)
    assert [(s["value"], s["n"]) for s in kept["slices"]] == [
        (s["value"], s["n"]) for s in streamed["slices"]
    ]


def test_nothing_is_written_where_one_output_cannot_be(answers: Path, tmp_path: Path) -> None:
    before = sorted(p.name for p in tmp_path.iterdir())
    bad = tmp_path / "nowhere" / "report.html"
    run("audit", answers, "--json", tmp_path / "out.json", "--report", bad, code=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_control_characters_never_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "esc.jsonl"
    row = {"confidence": 0.9, "correct": 1, "model": "m\u001b[31m", "part": "x\u001b[2J\n"}
    path.write_text("".join(json.dumps(row) + "\n" for _ in range(40)))
    done = run("audit", path, "--model-column", "model", "--by", "part", "--n-boot", "100")
    assert "\x1b" not in done.stdout + done.stderr


def test_models_of_one_name_are_told_apart(answers: Path, tmp_path: Path) -> None:
    for folder in ("base", "tuned"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "preds.parquet").write_bytes(answers.read_bytes())
    files = [tmp_path / folder / "preds.parquet" for folder in ("tuned", "base")]
    out = audited(tmp_path, files[0], "--baseline", files[1])
    assert [model["name"] for model in out["models"]] == ["base/preds", "tuned/preds"]


def test_a_row_for_each_prompt_gives_the_same_figures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    plain, folded = [], []
    for i in range(60):
        n = int(rng.integers(1, 7))
        row = {
            "prompt_id": f"q{i}",
            "confidence": rng.random(n).round(3).tolist(),
            "correct": rng.integers(0, 2, n).tolist(),
            "subject": "odd" if i % 2 else "even",
        }
        folded.append(row)
        plain += [
            {**row, "confidence": c, "correct": y}
            for c, y in zip(row["confidence"], row["correct"], strict=True)
        ]
    found = []
    for name, rows in (("plain", plain), ("folded", folded)):
        path = tmp_path / name / "m.jsonl"
        path.parent.mkdir()
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        found.append(audited(tmp_path, path, "--by", "subject", "--seed", "0")["models"][0])
    for key in ("metrics", "slices", "n", "n_prompts"):
        assert found[0].get(key) == found[1].get(key), key
    assert found[0]["metrics"]
    said = run("audit", tmp_path / "folded" / "m.jsonl", "--n-boot", "100")
    assert "60 rows hold 1 to 6 samples each" in " ".join((said.stdout + said.stderr).split())
