"""The guard on worlds whose truth is known, and on published predictions."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest

from levelhead import metrics, readers
from levelhead._sketch import Sketch
from levelhead.calibrators.scaling import PlattScaling
from levelhead.errors import InvalidInputError, RecordError
from levelhead.guard import _guard
from levelhead.guard._rows import rows_of
from levelhead.guard.drift import ScoreReference
from levelhead.guard.guard import apply_guard, evaluate, fit_guard, load, save, set_threshold
from levelhead.guard.splits import PARTS, split
from levelhead.guard.verifier import fit_verifier
from levelhead.readers import ReadOptions
from levelhead.records import STATUSES, Predictions, concat


def _loaded(name: str) -> ModuleType:
    """A neighboring file, by its path: the tests' folders are no packages."""
    spec = importlib.util.spec_from_file_location(
        f"guard_{name}", Path(__file__).with_name(f"{name}.py")
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


worlds = _loaded("worlds")
World = worlds.World
EXACT = 1e-12
FEATURES = ("stated", "p_true")


@pytest.fixture(scope="module")
def world() -> World:
    return worlds.answers(2000, samples=2)


@pytest.fixture(scope="module")
def fitted(world: World):
    return fit_guard(world.predictions)


@pytest.fixture(scope="module")
def guard(world: World, fitted):
    return set_threshold(fitted, world.predictions, max_error=0.1, delta=0.1)


def part_of(predictions: Predictions, seed: int = 0) -> np.ndarray:
    return split(predictions.prompt_id.to_pylist(), seed=seed)  # type: ignore[union-attr]


def relabeled(predictions: Predictions, rows: np.ndarray) -> Predictions:
    """With the labels of some rows turned around."""
    return dataclasses.replace(
        predictions, label=np.where(rows, 1.0 - predictions.label, predictions.label)
    )


def test_it_sees_what_the_stated_confidence_does_not(world, guard) -> None:
    e = evaluate(guard, world.predictions)
    assert e.stated is not None
    assert e.verified is not None
    assert 0.4 < e.stated.auroc < 0.6
    assert e.verified.auroc > 0.75
    assert e.stated.ece > 0.15
    assert e.stated.ece_p_value < 0.01
    assert e.verified.ece_p_value > 0.01
    assert e.stated.trust < 0.0 < e.verified.trust
    assert e.verdict in ("kept", "within chance")
    assert e.outcome.coverage > 0.3
    new = worlds.answers(3000, seed=9, start=10_000)
    verified = apply_guard(guard, new.predictions).confidence
    # what can be known of the chance from p_true alone: a mixture of two normals
    p = new.predictions.columns["p_true"].to_numpy()
    odds = 1.5 * np.exp(((p - 0.35) ** 2 - (p - 0.7) ** 2) / (2 * 0.15**2))
    inside = (p > 0.0) & (p < 1.0)
    best = worlds.HARD + (worlds.EASY - worlds.HARD) * odds / (1.0 + odds)
    assert np.abs(verified - best)[inside].mean() < 0.07


def test_each_part_is_used_for_its_purpose_alone(world, fitted, guard) -> None:
    """Turning labels around in one part must change what is fitted on it, and nothing before."""
    p, part = world.predictions, part_of(world.predictions)
    for k, name in enumerate(PARTS):
        other = relabeled(p, (part == k) & (np.arange(len(p)) % 3 == 0))
        again = fit_guard(other)
        verifier = again.verifier == fitted.verifier
        calibrator = again.calibrator.state() == fitted.calibrator.state()
        assert verifier == (name != "train")
        assert calibrator == (name not in ("train", "calibrate"))
        if name in ("threshold", "test"):
            bound = set_threshold(again, other, max_error=0.1, delta=0.1)
            same = bound.policy == guard.policy and bound.reference == guard.reference
            assert same == (name == "test")


def test_the_order_of_the_rows_does_not_matter(world, guard) -> None:
    p = world.predictions
    order = np.random.default_rng(0).permutation(len(p))
    shuffled = p.take(order)
    again = set_threshold(fit_guard(shuffled), shuffled, max_error=0.1, delta=0.1)
    a, b = apply_guard(guard, p).take(order), apply_guard(again, shuffled)
    assert np.abs(a.confidence - b.confidence).max() < 1e-9
    assert a.columns["decision"].equals(b.columns["decision"])
    assert a.columns["rank"].equals(b.columns["rank"])


def test_labels_are_not_looked_at_when_it_is_applied(world, guard) -> None:
    p = world.predictions
    blind = dataclasses.replace(p, label=np.full(len(p), np.nan))
    a, b = apply_guard(guard, p), apply_guard(guard, blind)
    assert a.columns.equals(b.columns)
    assert np.array_equal(a.confidence, b.confidence)


def test_what_it_adds(world, guard) -> None:
    p = world.predictions
    out = apply_guard(guard, p)
    c = {name: out.columns[name].to_numpy() for name in ("verified", "shown", "stated_confidence")}
    assert np.array_equal(c["stated_confidence"], p.confidence)
    assert np.array_equal(out.confidence, c["verified"])
    assert np.array_equal(c["shown"], np.minimum(c["verified"], p.confidence))
    over = out.columns["overconfident"].to_numpy()
    assert np.array_equal(over, p.confidence - c["verified"] > 0.2 + 1e-9)
    rank = out.columns["rank"].to_numpy()
    decision = np.array(out.columns["decision"].to_pylist())
    ids = p.prompt_id.to_pylist()
    value = guard.policy.thresholds[""].value
    for i in range(0, 200, 2):  # two samples a prompt, next to each other
        a, b = c["verified"][i : i + 2]
        assert ids[i] == ids[i + 1]
        best = i if a > b else i + 1
        assert sorted(rank[i : i + 2].tolist()) == [1, 2]
        assert rank[best] == 1
        for j in (i, i + 1):
            answered = j == best and c["verified"][j] >= value
            assert decision[j] == ("answer" if answered else "abstain")


def test_equal_answers_of_a_prompt_get_one_decision(guard) -> None:
    p = Predictions.from_arrays(
        "answer",
        [0.9] * 4,
        [1, 1, 0, 0],
        prompt_id=["q"] * 4,
        columns={"p_true": [0.99] * 4, "answer": ["x", "x", "y", "y"]},
    )
    out = apply_guard(guard, p)
    assert out.columns["decision"].to_pylist().count("answer") == 1


def test_the_promise_holds_over_repeated_draws() -> None:
    """Violations of the true error rate among the answered, against delta and chance."""
    reps, delta, limit, violations, coverage = 60, 0.1, 0.2, 0, []
    for rep in range(reps):
        w = worlds.answers(900, seed=100 + rep)
        p = w.predictions
        g = fit_guard(p, seed=rep, features=FEATURES)
        g = set_threshold(g, p, max_error=limit, delta=delta)
        fresh = worlds.answers(3000, seed=5000 + rep)
        given = np.array(apply_guard(g, fresh.predictions).columns["decision"].to_pylist())
        answered = given == "answer"
        coverage.append(answered.mean())
        if answered.any():
            violations += (1.0 - fresh.chance)[answered].mean() > limit
    assert violations / reps <= delta + 3 * np.sqrt(delta * (1 - delta) / reps)
    assert np.mean(coverage) > 0.1


def test_a_missing_confidence_is_evidence() -> None:
    """Rows that state nothing are wrong more often, and the guard learns it."""
    w = worlds.answers(1500)
    rng = np.random.default_rng(1)
    gone = rng.random(1500) < np.where(w.predictions.label == 1.0, 0.1, 0.5)
    c = np.where(gone, np.nan, w.predictions.confidence)
    p = Predictions.from_arrays(
        "answer",
        c,
        w.predictions.label,
        prompt_id=w.predictions.prompt_id,
        columns=w.predictions.columns,
    )
    g = set_threshold(fit_guard(p), p, max_error=0.2)
    assert any(row.name == "stated_missing" and row.weight < 0 for row in g.verifier.explain())
    out = apply_guard(g, p)
    assert not np.isnan(out.confidence).any()
    assert out.status_counts() == {"ok": 1500}
    assert np.array_equal(out.columns["shown"].to_numpy()[gone], out.confidence[gone])
    assert not out.columns["overconfident"].to_numpy()[gone].any()
    assert out.confidence[gone].mean() < out.confidence[~gone].mean() - 0.1
    assert evaluate(g, p).counts["missing"] == int((gone & (part_of(p) == 3)).sum())


def with_refusals(p: Predictions, rows: np.ndarray) -> Predictions:
    return dataclasses.replace(
        p,
        confidence=np.where(rows, np.nan, p.confidence),
        status=np.where(rows, np.int8(STATUSES.index("refusal")), p.status),
    )


def test_a_refusal_is_never_answered_nor_an_error(world) -> None:
    rows = np.arange(len(world.predictions)) % 4 < 3  # every second prompt refuses altogether
    rows &= np.arange(len(world.predictions)) % 4 != 2
    p = with_refusals(world.predictions, rows)
    g = set_threshold(fit_guard(p), p, max_error=0.2)
    out = apply_guard(g, p)
    decision = np.array(out.columns["decision"].to_pylist())
    assert set(decision[rows]) == {"abstain"}
    assert out.columns["rank"].to_pylist()[0] is None
    assert np.isnan(out.confidence[rows]).all()
    assert out.status_counts()["refusal"] == rows.sum()
    threshold = g.policy.thresholds[""]  # type: ignore[union-attr]
    prompts = len({i for i, k in zip(p.prompt_id.to_pylist(), part_of(p), strict=True) if k == 2})
    assert threshold.n == prompts
    e = evaluate(g, p)
    assert e.outcome.n_prompts == len(set(np.array(p.prompt_id.to_pylist())[part_of(p) == 3]))
    assert e.counts["refusals"] == int((rows & (part_of(p) == 3)).sum())
    assert e.outcome.coverage < 0.75


def test_events_are_claims_turned_around() -> None:
    w = worlds.events(3000)
    p = w.predictions
    g = set_threshold(fit_guard(p), p, max_error=0.35)
    out = apply_guard(g, p)
    verified = out.columns["verified"].to_numpy()
    claims = p.confidence >= 0.5
    assert np.allclose(out.confidence, np.where(claims, verified, 1.0 - verified), atol=EXACT)
    e = evaluate(g, p)
    test = part_of(p) == 3
    assert e.stated is not None
    assert e.verified is not None
    assert e.stated.ece == pytest.approx(metrics.ece(p.confidence[test], p.label[test]), abs=EXACT)
    assert e.verified.ece == pytest.approx(
        metrics.ece(out.confidence[test], p.label[test]), abs=EXACT
    )
    assert e.verified.ece < e.stated.ece
    right = np.where(claims, p.label, 1.0 - p.label)[test]
    assert e.verified.accuracy == pytest.approx(right.mean(), abs=EXACT)
    top = metrics.top_label(out.confidence[test], p.label[test])
    assert e.verified.trust == pytest.approx(metrics.trust(*top), abs=EXACT)


def test_an_event_without_a_probability_claims_nothing() -> None:
    p = worlds.events(800).predictions
    c = np.where(np.arange(800) % 10 == 0, np.nan, p.confidence)
    q = Predictions.from_arrays("event", c, p.label, prompt_id=p.prompt_id)
    g = set_threshold(fit_guard(q), q, max_error=0.4, escalate_above=0.0)
    out = apply_guard(g, q)
    assert np.isnan(out.confidence[::10]).all()
    assert set(np.array(out.columns["decision"].to_pylist())[::10]) == {"abstain"}
    assert g.notes[0].startswith("80 rows that claim nothing left out (refusals, or events without")


def test_files_that_the_fit_has_seen(world, fitted, guard) -> None:
    """The threshold: its part of a known file, all of a fresh one, the rest of an overlap."""
    p = world.predictions
    part = part_of(p)

    def prompts(rows: np.ndarray) -> int:
        return len(set(np.array(p.prompt_id.to_pylist())[rows]))

    assert guard.policy.thresholds[""].n == prompts(part == 2)
    assert guard.threshold_rows.endswith(
        "prompts of the threshold part of the file of the fit; "
        f"{(part != 2).sum():,} rows of other parts were left out"
    )
    assert guard.warnings == ()
    fresh = worlds.answers(500, samples=2, seed=3, start=50_000).predictions
    on_fresh = set_threshold(fitted, fresh, max_error=0.1)
    assert on_fresh.policy.thresholds[""].n == 500
    assert "500 prompts that the fit had not seen" in on_fresh.threshold_rows
    both = concat([p, fresh])
    on_both = set_threshold(fitted, both, max_error=0.1)
    assert on_both.policy.thresholds[""].n == 500 + prompts(part == 2)
    assert "2,000 of 2,500 prompt ids occur in the fit" in on_both.threshold_rows
    assert "file of the fit" not in on_both.threshold_rows
    with pytest.raises(InvalidInputError, match="expected rows that the guard was not fitted on"):
        set_threshold(fitted, p.take(part == 0), max_error=0.1)


def test_no_row_is_judged_that_was_learned_from(world, guard) -> None:
    p = world.predictions
    part = part_of(p)
    e = evaluate(guard, p)
    assert e.n_rows == (part == 3).sum()
    assert not e.on_fit_rows
    # labels of all other rows play no role
    again = evaluate(guard, relabeled(p, part != 3))
    assert (again.outcome, again.verified.ece) == (e.outcome, e.verified.ece)
    fresh = worlds.answers(300, samples=2, seed=4, start=90_000).predictions
    assert evaluate(guard, fresh).n_rows == 600
    assert evaluate(guard, concat([p, fresh])).n_rows == 600 + e.n_rows
    spent = set_threshold(guard, fresh, max_error=0.1)
    with pytest.raises(InvalidInputError, match="expected rows that the guard has not seen"):
        evaluate(spent, fresh)
    assert evaluate(spent, fresh, on_fit_rows=True).on_fit_rows
    insisted = evaluate(guard, p, on_fit_rows=True)
    assert insisted.on_fit_rows
    assert insisted.n_rows == len(p)
    assert "no fair test" in insisted.rows
    assert not evaluate(guard, p.take(part == 3), on_fit_rows=True).on_fit_rows


def test_more_units_than_the_sketch_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample of the units still tells a known file from a fresh one, and is careful in between."""
    monkeypatch.setattr("levelhead.guard.guard.SKETCH_SIZE", 64)
    p = worlds.answers(1000).predictions
    g = set_threshold(fit_guard(p), p, max_error=0.1)
    assert not g.fit_units.complete
    assert g.policy.thresholds[""].n == (part_of(p) == 2).sum()  # type: ignore[union-attr]
    fresh = worlds.answers(400, seed=5, start=70_000).predictions
    assert set_threshold(g, fresh, max_error=0.1).policy.thresholds[""].n == 400  # type: ignore[union-attr]
    e = evaluate(g, concat([p, fresh]))
    part = part_of(concat([p, fresh]))
    assert e.n_rows <= 400 + (part[:1000] == 3).sum()
    assert e.n_rows >= (part == 3).sum() * 0.25  # what a sample cannot tell counts as seen


def test_names_are_kept_one_by_one_far_beyond_a_sample() -> None:
    """20 of 400 prompts are of a large fit: they are known, and nothing else is left out."""
    p = worlds.answers(20_000).predictions
    g = fit_guard(p, features=FEATURES)
    assert g.fit_units.complete
    trained = np.flatnonzero(part_of(p) == 0)[:20]
    mixed = concat([worlds.answers(380, seed=5, start=70_000).predictions, p.take(trained)])
    e = evaluate(g, mixed)
    assert (e.n_rows, e.counts["left_out"]) == (380, 20)
    assert "cannot tell" not in e.rows
    assert set_threshold(g, mixed, max_error=0.1).policy.thresholds[""].n == 380  # type: ignore[union-attr]


def test_the_test_part_is_not_spent_by_a_threshold_whose_names_are_a_sample(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    p = worlds.answers(1000).predictions
    fitted = fit_guard(p)
    monkeypatch.setattr("levelhead.guard.guard.SKETCH_SIZE", 16)
    g = set_threshold(fitted, p, max_error=0.1)
    assert g.threshold_units is not None
    assert not g.threshold_units.complete
    fresh = worlds.answers(400, seed=5, start=70_000).predictions
    n_test = int((part_of(p) == 3).sum())
    e = evaluate(g, p)
    assert e.n_rows == n_test
    assert "cannot tell" not in e.rows  # the fit's own are known one by one, and so is their part
    e = evaluate(g, concat([p, fresh]))
    assert e.n_rows == n_test + 400
    assert "of 1,400 prompts it cannot tell whether it has met them" in e.rows
    assert "0 count as met" in e.rows


def test_what_cannot_be_told_counts_as_met_beside_what_was_met(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    p = worlds.answers(1000).predictions
    monkeypatch.setattr("levelhead.guard.guard.SKETCH_SIZE", 500)
    g = fit_guard(p)
    fresh = worlds.answers(400, seed=5, start=70_000).predictions
    known = Sketch.of(fresh.prompt_id.to_pylist(), 400).hashes <= g.fit_units.hashes[-1]  # type: ignore[union-attr]
    test = part_of(fresh) == 3
    e = evaluate(g, concat([p, fresh]))
    every = {name: i for i, name in enumerate(fresh.prompt_id.to_pylist())}  # type: ignore[union-attr]
    told = [Sketch.of([name]).hashes[0] <= g.fit_units.hashes[-1] for name in every]
    assert sum(told) == known.sum()
    assert e.n_rows == (part_of(p) == 3).sum() + (np.array(told) | test).sum()
    alone = evaluate(g, fresh)
    assert alone.n_rows == 400
    n = 400 - int(known.sum())
    assert f"of {n} of 400 prompts it cannot tell whether it has met them" in alone.rows
    assert "0 count as met" in alone.rows
    # nothing to go by: careful
    name = next(name for name, told in zip(every, told, strict=True) if not told)
    one = fresh.take(np.array([every[name]]))
    assert g.seen(rows_of(one, None), one).fitted.all()


def test_a_unit_above_the_prompt() -> None:
    """Prompts of a unit stay together, and one of each counts for the threshold."""
    w = worlds.answers(2000)
    genes = [f"g{i // 5}" for i in range(2000)]
    p = dataclasses.replace(
        w.predictions, columns=w.predictions.columns.append_column("gene", pa.array(genes))
    )
    g = fit_guard(p, unit="gene")
    part = split(genes, seed=0)
    assert g.counts["train"] == {
        "units": len({a for a, k in zip(genes, part, strict=True) if k == 0}),
        "prompts": (part == 0).sum(),
        "rows": (part == 0).sum(),
    }
    one = set_threshold(g, p, max_error=0.2, n_min=None)
    assert one.per_unit
    units = len({a for a, k in zip(genes, part, strict=True) if k == 2})
    assert one.policy.thresholds[""].n == units  # type: ignore[union-attr]
    assert ", one of each gene," in one.threshold_rows
    every = set_threshold(g, p, max_error=0.2, per_unit=False)
    assert every.policy.thresholds[""].n == (part == 2).sum()  # type: ignore[union-attr]
    assert any("all of them were counted as independent" in n for n in every.warnings)
    assert any("all of them were counted as independent" in n for n in evaluate(every, p).warnings)
    assert one.warnings == evaluate(one, p).warnings == ()
    e = evaluate(one, p)
    assert (
        e.outcome.n_prompts
        == e.n_units
        == len({a for a, k in zip(genes, part, strict=True) if k == 3})
    )
    assert e.n_prompts == (part == 3).sum()
    # applying needs no units
    assert "decision" in apply_guard(one, w.predictions).columns.column_names


def test_counting_dependent_prompts_breaks_the_promise_and_one_per_unit_keeps_it() -> None:
    """Units that are right or wrong as a whole: the reason for `per_unit`."""
    reps, failed = 30, {True: 0, False: 0}
    for rep in range(reps):
        rng = np.random.default_rng(rep)
        n, each = 300, 8
        right = np.repeat(rng.random(n) < 0.75, each).astype(float)
        p = Predictions.from_arrays(
            "answer",
            rng.uniform(0.6, 1.0, n * each).round(2),
            right,
            prompt_id=range(n * each),
            columns={"doc": np.repeat([f"d{i}" for i in range(n)], each).tolist()},
        )
        g = fit_guard(p, unit="doc", seed=rep, features=("stated",), shares=(0.2, 0.2, 0.6, 0.0))
        for per_unit in failed:
            policy = set_threshold(g, p, max_error=0.245, delta=0.1, per_unit=per_unit).policy
            failed[per_unit] += policy.thresholds[""].value is not None  # type: ignore[union-attr]
    assert failed[True] / reps <= 0.1 + 3 * np.sqrt(0.09 / reps)
    assert failed[False] / reps > 0.2


def test_each_row_by_itself(world) -> None:
    p = world.predictions
    g = set_threshold(fit_guard(p, select="each"), p, max_error=0.15)
    out = apply_guard(g, p)
    given = np.array(out.columns["decision"].to_pylist()) == "answer"
    value = g.policy.thresholds[""].value  # type: ignore[union-attr]
    assert value is not None
    assert np.array_equal(given, out.confidence >= value)
    found = _guard.scored(g, p)
    ids = np.array(p.prompt_id.to_pylist())
    assert sorted(ids[found.chosen]) == sorted(set(ids))
    # either sample of a prompt stands for it, about equally often, whether better or worse
    better = found.ranks[found.chosen] == 1
    assert abs(better.mean() - 0.5) < 4 * np.sqrt(0.25 / better.size)


def test_a_threshold_for_each_slice(world, fitted) -> None:
    p = world.predictions
    g = set_threshold(fitted, p, max_error=0.2, delta=0.1, by="domain")
    assert set(g.policy.thresholds) == {"art", "law"}
    assert {t.delta for t in g.policy.thresholds.values()} == {0.05}
    e = evaluate(g, p)
    assert [s.value for s in e.slices] == ["art", "law"]
    assert sum(s.outcome.n_prompts for s in e.slices) == e.n_prompts
    assert e.delta == pytest.approx(0.1)
    strange = p.columns.set_column(
        p.columns.column_names.index("domain"), "domain", pa.array(["sport"] * len(p))
    )
    q = dataclasses.replace(p, columns=strange)
    assert set(apply_guard(g, q).columns["decision"].to_pylist()) == {"abstain"}
    e = evaluate(g, q)
    assert e.counts["unseen_slices"] == e.n_rows
    assert [(s.value, s.seen) for s in e.slices] == [("art", True), ("law", True), ("sport", False)]
    with pytest.raises(
        InvalidInputError, match="by: expected a column of the predictions, got 'x'"
    ):
        set_threshold(fitted, p, max_error=0.2, by="x")
    with pytest.raises(
        InvalidInputError, match="expected a column of the predictions, got 'domain'"
    ):
        apply_guard(g, dataclasses.replace(p, columns=p.columns.drop_columns(["domain"])))


def test_conformal_risk_control_bounds_errors_per_prompt(world, fitted) -> None:
    p = world.predictions
    g = set_threshold(fitted, p, max_error=0.05, method="crc")
    e = evaluate(g, p)
    assert (e.method, e.delta, e.alarm) == ("crc", None, None)
    assert e.outcome.n_errors / e.n_prompts < 0.05 + 3 * np.sqrt(0.05 / e.n_prompts)
    # what is promised is also what is measured: errors per prompt, answered or not
    rate = e.outcome.n_errors / e.n_prompts
    assert e.outcome.errors_per_prompt == pytest.approx(rate, abs=EXACT)
    assert f"there are {rate:.3g} errors per prompt (95% interval " in e.sentence
    assert e.sentence.endswith(" 0.05 errors per prompt") or "chance allows" in e.sentence
    assert e.outcome.coverage > 0.3


def test_escalation(world, fitted) -> None:
    p = world.predictions
    g = set_threshold(fitted, p, max_error=0.2, escalate_above=0.5)
    decision = np.array(apply_guard(g, p).columns["decision"].to_pylist())
    verified = apply_guard(g, p).confidence
    assert (verified[decision == "escalate"] >= 0.5).all()
    assert set(decision) == {"answer", "escalate", "abstain"}
    e = evaluate(g, p)
    assert e.outcome.n_escalated > 0
    assert e.outcome.n_answered + e.outcome.n_escalated + e.outcome.n_abstained == e.n_prompts


def test_calibration_is_isotonic_from_a_thousand_prompts_on() -> None:
    small = fit_guard(worlds.answers(2000).predictions, features=FEATURES)
    assert small.calibrator.method == "platt"
    large = fit_guard(worlds.answers(6000).predictions, features=FEATURES)
    assert large.calibrator.method == "isotonic"
    assert large.counts["calibrate"]["prompts"] >= 1000


@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_a_file_keeps_every_bit(model, world, tmp_path: Path) -> None:
    p = world.predictions
    g = set_threshold(fit_guard(p, model=model), p, max_error=0.1, by="domain", escalate_above=0.4)
    path = tmp_path / "guard.json"
    save(path, g)
    again = load(path)
    assert dataclasses.replace(again, calibrator=g.calibrator) == g
    assert again.state() == g.state()
    a, b = apply_guard(g, p), apply_guard(again, p)
    assert a.columns.equals(b.columns)
    assert np.array_equal(a.confidence, b.confidence)
    assert evaluate(again, p).sentence == evaluate(g, p).sentence


def test_a_file_that_is_not_a_guard(guard, tmp_path: Path) -> None:
    path = tmp_path / "guard.json"
    save(path, guard)
    text = path.read_text()
    path.write_text(text.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(RecordError, match=r"guard.json: expected a guard .* digest differs"):
        load(path)
    path.write_text(text.replace('"levelhead": "guard"', '"levelhead": "calibrator"'))
    with pytest.raises(RecordError, match="expected a guard, got a calibrator"):
        load(path)
    with pytest.raises(RecordError, match="found none of that name"):
        load(tmp_path / "none.json")


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("verifier"),
        lambda s: s.update(kind="song"),
        lambda s: s["calibrator"].update(method="magic"),
        lambda s: s.update(reference={}),
        lambda s: s.update(shares=None),
        lambda s: s.update(fit_units={}),
        lambda s: s.update(counts={}),
        lambda s: s["counts"]["train"].pop("rows"),
        lambda s: s.update(shares=[10**400, 0, 0, 0]),
        lambda s: s["reference"]["edges"].append(10**400),
        lambda s: s["reference"]["counts"].__setitem__(0, 10**400),
        lambda s: s["reference"]["counts"].__setitem__(0, 10**17),
        lambda s: s["histogram"].__setitem__(0, 10**400),
        lambda s: s["verifier"].update(intercept=10**400),
        lambda s: s["policy"]["thresholds"][""].update(n=0, n_answered=0),
        lambda s: s["policy"]["thresholds"][""].update(value=-(10**400)),
        lambda s: s["policy"].update(margin=10**400),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change, guard) -> None:
    state = json.loads(json.dumps(guard.state()))
    change(state)
    with pytest.raises(InvalidInputError) as caught:
        _guard.Guard.from_state(state)
    assert "\n" not in str(caught.value)


def test_a_column_of_slices_is_no_content() -> None:
    """Rows without ids are found again in the file of the fit, read with one column more."""
    w = worlds.answers(800).predictions
    p = dataclasses.replace(w, prompt_id=None)
    wide = dataclasses.replace(
        p, columns=p.columns.append_column("region", pa.array(["north", "south"] * 400))
    )
    g = fit_guard(p)
    by = set_threshold(g, wide, max_error=0.2, by="region")
    assert "of the threshold part of the file of the fit; " in by.threshold_rows
    assert by.policy is not None
    plain = set_threshold(g, p, max_error=0.2).policy
    assert plain is not None
    assert sum(t.n for t in by.policy.thresholds.values()) == plain.thresholds[""].n
    assert evaluate(by, wide).n_rows == evaluate(g, p).n_rows


def test_tied_samples_are_chosen_without_their_truth() -> None:
    """Both samples of a prompt have one score; their answers differ and one of them is right."""
    g = fit_guard(worlds.answers(400).predictions, features=FEATURES)
    n = 100
    right = np.tile([1.0, 0.0], n)
    p = Predictions.from_arrays(
        "answer", [0.9] * (2 * n), right, prompt_id=[f"t{i // 2}" for i in range(2 * n)],
        columns={"p_true": [0.6] * (2 * n), "answer": ["this", "that"] * n},
    )  # fmt: skip
    rank = apply_guard(g, p).columns["rank"].to_pylist()
    assert sorted(set(rank)) == [1, 2]
    for label in (1.0 - right, np.ones(2 * n), np.full(2 * n, np.nan)):
        other = dataclasses.replace(p, label=label)
        assert apply_guard(g, other).columns["rank"].to_pylist() == rank


def test_the_reference_of_drift_is_the_calibration_part(world, fitted) -> None:
    """The verifier is too sure of the rows that it learned on."""
    p = worlds.answers(600).predictions
    g = fit_guard(p)
    score = apply_guard(g, p).columns["verified"].to_numpy()
    assert g.reference == ScoreReference.of(score[part_of(p) == 1])
    assert g.reference != ScoreReference.of(score[part_of(p) == 0])


def test_both_fits_are_weighted() -> None:
    p = worlds.answers(600).predictions
    weight = np.where(p.label == 1.0, 1.0, 4.0)
    g = fit_guard(dataclasses.replace(p, weight=weight), features=FEATURES)
    x = np.column_stack((p.confidence, p.columns["p_true"].to_numpy()))
    part = part_of(p)
    train, calibrate = part == 0, part == 1
    groups = [name for name, one in zip(p.prompt_id.to_pylist(), train, strict=True) if one]  # type: ignore[union-attr]

    def fits(weights: tuple[np.ndarray | None, np.ndarray | None]):
        verifier = fit_verifier(
            x[train], FEATURES, p.label[train], weights=weights[0], groups=groups
        )
        return verifier, PlattScaling().fit(
            g.verifier.predict(x[calibrate]), p.label[calibrate], sample_weight=weights[1]
        ).state()  # fmt: skip

    verifier, calibrator = fits((weight[train], weight[calibrate]))
    assert g.verifier.weights == pytest.approx(verifier.weights, abs=1e-12)
    assert g.verifier.intercept == pytest.approx(verifier.intercept, abs=1e-12)
    assert g.calibrator.state() == calibrator
    bare, flat = fits((None, None))
    assert abs(bare.intercept - verifier.intercept) > 0.1
    assert flat != calibrator


def test_rows_without_prompts_are_known_by_their_content() -> None:
    w = worlds.answers(800).predictions
    p = dataclasses.replace(w, prompt_id=None)
    g = set_threshold(fit_guard(p), p, max_error=0.2)
    order = np.random.default_rng(0).permutation(800)
    e = evaluate(g, p.take(order))
    assert e.outcome == evaluate(g, p).outcome
    assert e.n_rows < 300
    assert any("known by its content" in note for note in g.notes)
    bare = Predictions.from_arrays("answer", [0.9, 0.8] * 200, [1, 0, 0, 1] * 100)
    assert sum(part["rows"] for part in fit_guard(bare).counts.values()) == 400


def test_nothing_to_answer_abstains_always_and_says_why() -> None:
    p = worlds.answers(600, hard=1.0).predictions
    g = set_threshold(fit_guard(p), p, max_error=0.1)
    assert set(apply_guard(g, p).columns["decision"].to_pylist()) == {"abstain"}
    e = evaluate(g, p)
    assert e.verdict == "nothing answered"
    assert g.policy is not None
    assert g.policy.sentence.startswith("Answers nothing: ")
    few = worlds.answers(200).predictions
    g = set_threshold(fit_guard(few), few, max_error=0.1)
    assert "no threshold has 29 prompts above it" in g.policy.sentence  # type: ignore[union-attr]


def test_they_are_shown_in_a_line(world, fitted, guard) -> None:
    assert repr(fitted) == "Guard(answers of 'bold', logistic on 10 features, no threshold)"
    assert repr(guard).startswith("Guard(answers of 'bold', logistic on 10 features, 'At most 10% ")
    e = evaluate(guard, world.predictions)
    assert repr(e) == (
        f"Evaluation(answers of 'bold', {e.outcome.n_answered:,} of {e.outcome.n_prompts:,} prompts "
        f"answered, {e.outcome.n_errors:,} wrong, verdict {e.verdict!r})"
    )


def test_a_column_of_ones_own_is_evidence() -> None:
    w = worlds.answers(1200)
    columns = {"score": 40.0 + 10.0 * w.predictions.columns["p_true"].to_numpy()}
    p = Predictions.from_arrays(
        "answer", w.predictions.confidence, w.predictions.label,
        prompt_id=w.predictions.prompt_id, columns=columns,
    )  # fmt: skip
    g = set_threshold(fit_guard(p, evidence=("score",)), p, max_error=0.2)
    assert g.evidence == ("score",)
    assert g.verifier.explain()[0].name == "column score"
    assert _guard.Guard.from_state(json.loads(json.dumps(g.state()))).evidence == ("score",)
    e = evaluate(g, p)
    assert e.verified is not None
    assert e.verified.auroc > 0.75
    assert fit_guard(p).evidence == ()
    bare = dataclasses.replace(p, columns=pa.table({"other": [1.0] * 1200}))
    with pytest.raises(
        InvalidInputError, match=r"evidence: expected a column score, got other; add"
    ):
        apply_guard(g, bare)


def fit_on(**changed):
    p = worlds.answers(200).predictions
    p = dataclasses.replace(p, **{k: v for k, v in changed.items() if k in ("label", "prompt_id")})
    rest = {k: v for k, v in changed.items() if k not in ("label", "prompt_id")}
    return fit_guard(p, **rest)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (
            {"unit": "gene"},
            "unit: expected a column of the predictions, got 'gene'; they have p_true, domain, answer "
            "(keep it when reading, as in --by)",
        ),
        (
            {"unit": "domain", "prompt_id": pa.array(["q", "q"] * 100)},
            "unit: expected each prompt in one domain, got prompt 'q' in 'art' and 'law'; samples of "
            "one prompt must not be split",
        ),
        ({"select": "all"}, "select: expected one of each, top, got 'all'"),
        ({"model": "forest"}, "model: expected one of boosting, logistic, got 'forest'"),
        ({"features": ["stated", "magic"]}, "feature: expected one of "),
        (
            {"label": np.full(200, np.nan)},
            "predictions: expected at least 20 prompts with a known truth in the part to train, got 0;",
        ),
        (
            {"label": np.ones(200)},
            "predictions: expected right and wrong claims in the part to train, got ",
        ),
        (
            {"shares": (1.0, 0.0, 0.0, 0.0)},
            "predictions: expected at least 20 prompts with a known",
        ),
    ],
)
def test_errors_of_the_fit(changed: dict, text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        fit_on(**changed)
    assert str(caught.value).startswith(text)


def test_errors_of_the_other_steps(world, fitted, guard) -> None:
    p = world.predictions
    events = worlds.events(100).predictions
    with pytest.raises(InvalidInputError, match="expected answers, which the guard was fitted on"):
        apply_guard(guard, events)
    for step in (
        lambda: apply_guard(guard, [0.9]),  # type: ignore[arg-type]
        lambda: fit_guard([0.9]),  # type: ignore[arg-type]
        lambda: set_threshold(guard, [0.9], max_error=0.1),  # type: ignore[arg-type]
        lambda: evaluate(guard, [0.9]),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidInputError, match=r"expected Predictions, got list; make some"):
            step()
    with pytest.raises(InvalidInputError, match="once"):
        apply_guard(guard, apply_guard(guard, p))
    bare = dataclasses.replace(p, columns=p.columns.drop_columns(["p_true"]))
    with pytest.raises(InvalidInputError, match="p_true: expected a column"):
        apply_guard(guard, bare)
    with pytest.raises(InvalidInputError, match="method: expected one of crc, ltt, got 'lttt'"):
        set_threshold(fitted, p, max_error=0.1, method="lttt")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="by: expected no slices with method 'crc'"):
        set_threshold(fitted, p, max_error=0.1, method="crc", by="domain")
    with pytest.raises(InvalidInputError, match="max_error: expected a value"):
        set_threshold(fitted, p, max_error=10.0)
    blind = dataclasses.replace(p, label=np.full(len(p), np.nan))
    with pytest.raises(InvalidInputError, match="expected prompts with a known truth to set"):
        set_threshold(fitted, blind, max_error=0.1)


def test_published_predictions_of_events(shared_data: Path) -> None:
    """Split by perturbed gene: honest where the stated confidence is not, and the promise kept."""
    files = [shared_data / "crispr" / "predictions" / "final_grpo"]
    (p,) = readers.load(files, ReadOptions(by=("pert",))).values()
    names = ("stated", "claims_event", "agreement_others", "others_mean", "text_log_characters")
    broken, gains, eces = 0, [], []
    for seed in range(20):
        g = fit_guard(p, unit="pert", seed=seed, features=names)
        g = set_threshold(g, p, max_error=0.25)
        e = evaluate(g, p)
        assert e.stated is not None
        assert e.verified is not None
        gains.append(e.verified.auroc - e.stated.auroc)
        eces.append((e.stated.ece, e.verified.ece))
        assert e.verified.trust > e.stated.trust + 0.3
        broken += e.verdict == "broken"
    assert broken <= 1
    assert np.mean(gains) > 0.01
    stated, verified = np.mean(eces, axis=0)
    assert stated > 0.25
    assert verified < stated / 2


def test_published_predictions_of_answers(shared_data: Path) -> None:
    p = readers.load([shared_data / "rlcr" / "commonsenseqa"])["RLCR"]
    broken, coverage, eces = 0, [], []
    for seed in range(10):
        g = set_threshold(fit_guard(p, seed=seed, features=("stated",)), p, max_error=0.15)
        e = evaluate(g, p)
        assert e.stated is not None
        assert e.verified is not None
        broken += e.verdict == "broken"
        coverage.append(e.outcome.coverage)
        eces.append((e.stated.ece, e.verified.ece))
        assert e.verified.auroc >= e.stated.auroc - 0.05
    assert broken <= 1
    assert np.mean(coverage) > 0.5
    stated, verified = np.mean(eces, axis=0)
    assert verified < stated / 3
