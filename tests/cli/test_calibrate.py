"""`levelhead calibrate`, `levelhead apply` and what `levelhead audit` makes of a calibrator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from levelhead.calibrators import choose, load
from levelhead.cli import cli
from levelhead.errors import LevelheadError
from levelhead.readers import load as load_predictions


def run(*args: object, code: int = 0) -> Result:
    done = CliRunner().invoke(cli, [str(a) for a in args])
    if code == 0 and done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def failure(*args: object) -> str:
    """The sentence that a user would see; it is an error of ours, which the command ends with 2."""
    done = CliRunner().invoke(cli, [str(a) for a in args])
    assert isinstance(done.exception, LevelheadError), done.output
    return str(done.exception)


def overconfident(path: Path, n: int = 600, *, seed: int = 0, columns: dict | None = None) -> Path:
    """Says 0.95 where 0.7 is right, and 0.6 where 0.5 is."""
    rng = np.random.default_rng(seed)
    confidence = np.where(rng.random(n) < 0.5, 0.95, 0.6)
    truth = np.where(confidence == 0.95, 0.7, 0.5)
    pq.write_table(
        pa.table(
            {
                "confidence": confidence,
                "correct": (rng.random(n) < truth).astype(int),
                "prompt_id": [f"{seed}-{i}" for i in range(n)],
                "subject": [f"s{i % 7}" for i in range(n)],
                **(columns or {}),
            }
        ),
        path,
    )
    return path


def classes(path: Path, n: int = 800, *, seed: int = 0, k: int = 4, scale: float = 3.0) -> Path:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, k)) * 1.5
    probs = np.exp(truth) / np.exp(truth).sum(axis=1, keepdims=True)
    target = np.array([rng.choice(k, p=p) for p in probs])
    logits = truth * scale + np.array([2.0, *[0.0] * (k - 1)])
    pq.write_table(
        pa.table(
            {
                "logits": logits.tolist(),
                "target": target,
                "prompt_id": [f"{seed}-{i}" for i in range(n)],
            }
        ),
        path,
    )
    return path


def test_the_whole_way(tmp_path: Path) -> None:
    fit, test = (
        overconfident(tmp_path / "fit.parquet"),
        overconfident(tmp_path / "t.parquet", seed=1),
    )
    made = run("calibrate", fit, "-o", tmp_path / "c.json")
    assert "chosen" in made.output
    assert "next: levelhead audit" in made.output
    assert max(map(len, made.output.splitlines())) <= 80 + len(str(tmp_path)) * 2
    calibrator, about = load(tmp_path / "c.json")
    assert about.kind == "answer"
    assert about.n == 600
    says = calibrator.predict(np.array([0.95, 0.6]))
    rng_truth = np.array([0.7, 0.5])
    assert np.abs(says - rng_truth).max() < 0.08  # the standard error of a frequency is 0.027

    run("apply", tmp_path / "c.json", test, "-o", tmp_path / "out.parquet", "--keep", "subject")
    out = load_predictions([tmp_path / "out.parquet"])
    (one,) = out.values()
    before = pq.read_table(test)
    assert one.columns["stated_confidence"].to_pylist() == before["confidence"].to_pylist()
    assert one.columns["subject"].to_pylist() == before["subject"].to_pylist()
    np.testing.assert_array_equal(
        one.confidence, calibrator.predict(before["confidence"].to_numpy())
    )

    audited = run(
        "audit", test, "--calibrator", tmp_path / "c.json", "--json", "-", "--n-boot", 200
    )
    found = json.loads(audited.output)
    raw, repaired = found["models"]
    ece = [
        next(m["value"] for m in model["metrics"] if m["name"] == "ece")
        for model in found["models"]
    ]
    assert ece[1] < ece[0] / 2
    assert repaired["null"]["p_value"] > 0.01 > raw["null"]["p_value"]
    assert found["alarms"] == []
    assert [(c["model"], c["baseline"]) for c in found["comparisons"]] == [
        (repaired["name"], raw["name"])
    ]


def test_a_calibrator_judged_on_its_own_rows_is_flagged_in_red(tmp_path: Path) -> None:
    fit = overconfident(tmp_path / "fit.parquet")
    run("calibrate", fit, "-o", tmp_path / "c.json", "--method", "platt")
    report = tmp_path / "r.html"
    own = run(
        "audit", fit, "--calibrator", tmp_path / "c.json", "--report", report, "--n-boot", 100
    )
    flat = " ".join(own.output.split())
    assert "Not a test: the calibrator was fitted on these records" in flat
    assert 'class="alarm"' in report.read_text()
    other = overconfident(tmp_path / "other.parquet", seed=3)
    fine = run(
        "audit", other, "--calibrator", tmp_path / "c.json", "--report", report, "--n-boot", 100
    )
    assert "Not a test" not in fine.output
    assert 'class="alarm"' not in report.read_text()
    applied = run("apply", tmp_path / "c.json", fit, "-o", tmp_path / "own.parquet")
    assert "Not a test" in applied.output


def test_class_scores_are_repaired_with_their_answers(tmp_path: Path) -> None:
    fit, test = classes(tmp_path / "fit.parquet"), classes(tmp_path / "test.parquet", seed=1)
    run("calibrate", fit, "--method", "matrix", "-o", tmp_path / "m.json")
    run("apply", tmp_path / "m.json", test, "-o", tmp_path / "out.parquet")
    before = next(iter(load_predictions([test]).values()))
    after = next(iter(load_predictions([tmp_path / "out.parquet"]).values()))
    assert after.label.mean() > before.label.mean()  # the planted preference for one letter is gone
    assert abs(after.confidence.mean() - after.label.mean()) < 0.05
    assert before.confidence.mean() - before.label.mean() > 0.15


def test_arms_are_compared_before_and_after(tmp_path: Path) -> None:
    base = classes(tmp_path / "base.parquet", 400)
    table = pq.read_table(base)
    sharper = [[2 * v for v in row] for row in table["logits"].to_pylist()]
    at = table.column_names.index("logits")
    pq.write_table(table.set_column(at, "logits", pa.array(sharper)), tmp_path / "tuned.parquet")
    found = json.loads(
        run(
            "audit", base, tmp_path / "tuned.parquet", "--cross-calibrate", "matrix",
            "--json", "-", "--n-boot", 200,
        ).output
    )  # fmt: skip
    pairs = [(c["model"], c["baseline"]) for c in found["comparisons"]]
    names = [m["name"] for m in found["models"]]
    assert names == ["base", "base + matrix", "tuned", "tuned + matrix"]
    assert pairs == [
        ("tuned", "base"),
        (names[1], "base"),
        (names[3], "tuned"),
        (names[3], names[1]),
    ]

    def row(pair: tuple[str, str], metric: str) -> dict:
        one = found["comparisons"][pairs.index(pair)]
        return next(r for r in one["rows"] if r["name"] == metric)

    assert row(("tuned", "base"), "ece")["worse"] is True
    # doubling the scores is undone exactly by matrix scaling, so that nothing is left to tell apart
    assert row((names[3], names[1]), "ece")["worse"] is None
    assert row((names[3], "tuned"), "ece")["worse"] is False
    assert row((names[3], "tuned"), "mce")["p_value"] is not None


def test_json_says_what_was_compared(tmp_path: Path) -> None:
    fit = overconfident(tmp_path / "fit.parquet")
    done = run("calibrate", fit, "-o", tmp_path / "c.json", "--json", "-", "--split-by", "subject")
    content = json.loads(done.output)
    assert content["n"] == 600
    assert {"identity", "temperature", "platt", "beta", "isotonic"} <= {
        one["method"] for one in content["candidates"]
    }
    assert content["fit"]["converged"] is True


@pytest.mark.parametrize("split_by", [None, "subject"])
@pytest.mark.parametrize("method", ["auto", "platt"])
def test_the_command_compares_as_python_does(
    tmp_path: Path, method: str, split_by: str | None
) -> None:
    rng = np.random.default_rng(0)
    prompt = np.repeat(np.arange(60), 8)  # eight equal samples of each prompt
    c = rng.uniform(0.3, 0.95, 60)[prompt]
    y = (rng.random(60) < 0.6)[prompt].astype(np.int64)
    weight = np.where(y == 1, 1.0, 5.0)  # turns six of ten right ones into a minority
    subject = prompt % 20
    columns = {
        "confidence": c, "correct": y, "weight": weight,
        "prompt_id": [f"p{i:02}" for i in prompt],
        "subject": [f"s{i:02}" for i in subject],
    }  # fmt: skip
    path = tmp_path / "fit.parquet"
    pq.write_table(pa.table(columns), path)
    by = () if split_by is None else ("--split-by", split_by)
    out = tmp_path / "c.json"
    done = run("calibrate", path, "-o", out, "--method", method, "--json", "-", *by, "--seed", 3)
    content = json.loads(done.output)

    right: dict[str, Any] = {
        "sample_weight": weight,
        "groups": prompt if split_by is None else subject,
    }
    methods = None if method == "auto" else [method]
    wanted = choose(c, y, methods=methods, seed=3, **right)
    assert content["method"] == wanted.method
    assert content["reason"] == wanted.reason
    for told, one in zip(content["candidates"], wanted.candidates, strict=True):
        assert told["method"] == one.method
        assert (told["loss"], told["se"]) == pytest.approx((one.loss, one.se), rel=1e-9)
        assert (told["difference"], told["difference_se"]) == pytest.approx(
            (one.difference, one.difference_se), rel=1e-9
        )
    grid = np.linspace(0.3, 0.95, 20)
    np.testing.assert_allclose(load(out)[0].predict(grid), wanted.calibrator.predict(grid))

    # and each of the two matters: without groups the rows seem to be eight times as many
    loose = choose(c, y, methods=methods, seed=3, sample_weight=weight).candidates[0]
    assert loose.se < 0.6 * wanted.candidates[0].se
    even = choose(c, y, methods=methods, seed=3, groups=right["groups"])
    assert (even.calibrator.predict(grid) - wanted.calibrator.predict(grid)).min() > 0.2


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"probs": [[0.5, 0.5], [0.7, 0.7]], "target": [0, 1]},
            "expected class probabilities that sum to 1, got a sum of 1.4",
        ),
        (
            {"logits": [[0.5, 0.5], [0.7, float("nan")]], "target": [0, 1]},
            "logits: expected finite numbers, got nan",
        ),
        (
            {"logits": [[0.5, 0.5], [0.7, 0.1, 0.3]], "target": [0, 1]},
            "logits: expected 2 classes as in the first row, got 3",
        ),
        ({"confidence": [0.9, 0.8] * 9, "correct": [1, 1] * 9}, "18 right and 0 wrong"),
        ({"logits": [[0.5, 0.1], [0.7, 0.3]] * 9, "target": [1, 1] * 9}, "class"),
    ],
    ids=["no probabilities", "NaN", "ragged", "one class", "one class of several"],
)
def test_bad_fit_data(tmp_path: Path, columns: dict, message: str) -> None:
    path, out = tmp_path / "bad.parquet", tmp_path / "c.json"
    pq.write_table(pa.table(columns), path)
    sentence = failure("calibrate", path, "-o", out, "--method", "temperature")
    assert message in sentence
    assert "\n" not in sentence
    assert not out.exists()


def test_bad_calibrators(tmp_path: Path) -> None:
    fit = overconfident(tmp_path / "fit.parquet")
    good = tmp_path / "c.json"
    run("calibrate", fit, "-o", good, "--method", "platt")
    text = json.loads(good.read_text())

    tampered = tmp_path / "tampered.json"
    tampered.write_text(good.read_text().replace('"platt"', '"beta"'))
    assert "changed" in failure("apply", tampered, fit, "-o", tmp_path / "x.parquet")
    newer = tmp_path / "newer.json"
    newer.write_text(json.dumps(text | {"schema_version": "99"}))
    assert "99" in failure("apply", newer, fit, "-o", tmp_path / "x.parquet")
    assert "calibrator" in failure("apply", fit, fit, "-o", tmp_path / "x.parquet")
    four = tmp_path / "four.json"
    run("calibrate", classes(tmp_path / "k4.parquet", 200), "-o", four, "--method", "temperature")
    assert "expected class scores" in failure("apply", four, fit, "-o", tmp_path / "x.parquet")
    three = classes(tmp_path / "k3.parquet", 50, k=3)
    assert "expected 4 classes" in failure("apply", four, three, "-o", tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()


def test_bad_use(tmp_path: Path) -> None:
    fit = overconfident(tmp_path / "fit.parquet")
    out = tmp_path / "c.json"
    assert "plat" in failure("calibrate", fit, "-o", out, "--method", "plat")
    assert "is an input" in failure("calibrate", fit, "-o", fit)
    other = overconfident(tmp_path / "other.parquet", seed=5)
    assert "one model, got 2" in failure("calibrate", fit, other, "-o", out)
    assert "gene" in failure("calibrate", fit, "-o", out, "--split-by", "gene")
    both = run("audit", fit, "--calibrator", out, "--cross-calibrate", "platt", code=2)
    assert both.exit_code == 2
    assert "not both" in both.output
    lonely = run("audit", fit, "--split-by", "subject", code=2)
    assert lonely.exit_code == 2


def gaps(path: Path, n: int = 400, *, seed: int = 0, model: str = "base") -> Path:
    """Says 0.9 and is right 70% of the time; every fifth states nothing and is right 20%."""
    rng = np.random.default_rng(seed)
    silent = np.arange(n) % 5 == 0
    right = rng.random(n) < np.where(silent, 0.2, 0.7)
    rows = [
        {"confidence": None if s else float(c), "correct": int(y), "prompt_id": f"{seed}-{i}",
         "model": model}
        for i, (s, y, c) in enumerate(zip(silent, right, rng.choice([0.8, 0.95], n), strict=True))
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def flat(done: Result) -> str:
    return " ".join(done.output.split())


def test_missing_confidences_get_their_own_accuracy_and_the_commands_say_so(tmp_path: Path) -> None:
    fit, test = gaps(tmp_path / "fit.jsonl"), gaps(tmp_path / "test.jsonl", seed=1)
    made = run("calibrate", fit, "-o", tmp_path / "c.json", "--method", "platt")
    _, about = load(tmp_path / "c.json")
    truth = [json.loads(line) for line in fit.read_text().splitlines()]
    hits = sum(row["correct"] for row in truth if row["confidence"] is None)
    assert about.missing == pytest.approx((hits + 1) / 82)
    says = f"80 records state no usable confidence: each gets {about.missing:.3f}, the share of"
    assert says in flat(made)
    assert says in flat(run("apply", tmp_path / "c.json", test, "-o", tmp_path / "o.parquet"))
    (out,) = load_predictions([tmp_path / "o.parquet"]).values()
    assert (out.confidence[::5] == about.missing).all()
    found = json.loads(
        run(
            "audit", test, "--calibrator", tmp_path / "c.json", "--json", "-", "--n-boot", 100
        ).output
    )
    assert found["models"][1]["status_counts"] == {"ok": 400}
    assert found["models"][1]["null"]["p_value"] > 0.01

    whole = overconfident(tmp_path / "whole.parquet")
    run("calibrate", whole, "-o", tmp_path / "w.json", "--method", "platt")
    kept = run("apply", tmp_path / "w.json", test, "-o", tmp_path / "kept.parquet")
    assert "80 records state no usable confidence and stay so" in flat(kept)


def test_applied_twice_or_to_another_model_is_said(tmp_path: Path) -> None:
    fit, test = gaps(tmp_path / "fit.jsonl"), gaps(tmp_path / "test.jsonl", seed=1)
    other = gaps(tmp_path / "other.jsonl", seed=2, model="tuned")
    c, once = tmp_path / "c.json", tmp_path / "once.parquet"
    run("calibrate", fit, "-o", c, "--method", "platt")
    assert load(c)[1].model == "base"
    fine = run("apply", c, test, "-o", once)
    assert "!" not in fine.output
    twice = run("apply", c, once, "-o", tmp_path / "twice.jsonl")
    assert "! calibrated twice: these confidences were calibrated before" in flat(twice)
    theirs = run("apply", c, other, "-o", tmp_path / "theirs.jsonl")
    assert "! the calibrator was fitted on the confidences of 'base', and these are of 'tuned'" in (
        flat(theirs)
    )
    for file, says in ((once, "calibrated twice"), (other, "these are of 'tuned'")):
        audited = run("audit", file, "--calibrator", c, "--n-boot", 100)
        assert says in flat(audited)
    clear = run("audit", test, "--calibrator", c, "--n-boot", 100)
    assert "twice" not in clear.output
    assert "these are of" not in flat(clear)


def test_the_names_of_files_are_no_models(tmp_path: Path) -> None:
    fit = overconfident(tmp_path / "val.parquet")
    test = overconfident(tmp_path / "test.parquet", seed=1)
    run("calibrate", fit, "-o", tmp_path / "c.json", "--method", "platt")
    assert load(tmp_path / "c.json")[1].model is None
    done = run("apply", tmp_path / "c.json", test, "-o", tmp_path / "o.parquet")
    assert "!" not in done.output


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        (4, 5, "got 9 records, 4 right and 5 wrong"),
        (40, 2, "got 42 records, 40 right and 2 wrong"),
        (2, 40, "got 42 records, 2 right and 40 wrong"),
    ],
)
def test_too_few_rows_are_refused(tmp_path: Path, right: int, wrong: int, says: str) -> None:
    path, out = tmp_path / "few.parquet", tmp_path / "c.json"
    y = [1] * right + [0] * wrong
    pq.write_table(pa.table({"confidence": np.linspace(0.5, 0.9, len(y)), "correct": y}), path)
    sentence = failure("calibrate", path, "-o", out, "--method", "platt")
    assert sentence.startswith("FIT: expected at least 10 records to fit on")
    assert says in sentence
    assert "collect more" in sentence
    assert not out.exists()


@pytest.mark.parametrize(
    ("right", "wrong", "loud"), [(15, 14, True), (60, 9, True), (9, 60, True), (20, 10, False)]
)
def test_few_rows_are_fitted_with_a_loud_note(
    tmp_path: Path, right: int, wrong: int, loud: bool
) -> None:
    path, out = tmp_path / "few.parquet", tmp_path / "c.json"
    y = [1] * right + [0] * wrong
    pq.write_table(pa.table({"confidence": np.linspace(0.5, 0.9, len(y)), "correct": y}), path)
    done = run("calibrate", path, "-o", out, "--method", "platt")
    assert (
        f"! only {right + wrong} records, {right} right and {wrong} wrong" in flat(done)
    ) is loud
    assert out.exists()


def test_the_table_says_infinite_once_and_names_its_columns(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = (rng.random(200) < 0.6).astype(int)
    c = np.where(np.arange(200) < 100, 1.0, 0.7)
    path = tmp_path / "certain.parquet"
    pq.write_table(pa.table({"confidence": c, "correct": y}), path)
    done = run("calibrate", path, "-o", tmp_path / "c.json")
    assert "infinite ± inf" not in done.output
    assert "inf " not in done.output
    head = next(line for line in done.output.splitlines() if line.startswith("method"))
    assert head.split() == ["method", "held-out", "loss", "above", "the", "best", "note"]
    assert "see the notes" not in flat(done)
    assert "+-" not in done.output
    assert "Out of the running: identity" in flat(done)


def test_methods_for_classes_are_called_as_they_are_asked_for(tmp_path: Path) -> None:
    fit, test = classes(tmp_path / "fit.parquet", 300), classes(tmp_path / "t.parquet", 300, seed=1)
    done = run("calibrate", fit, "-o", tmp_path / "c.json", "--method", "temperature")
    assert "temperature" in done.output
    assert "class_" not in done.output
    audited = run("audit", test, "--calibrator", tmp_path / "c.json", "--n-boot", 100)
    assert "t + temperature" in audited.output
    assert "class_" not in audited.output
