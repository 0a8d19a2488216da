"""Rows that a guard has met, and others whose ids merely repeat."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pytest

from levelhead.errors import InvalidInputError
from levelhead.guard._rows import rows_of
from levelhead.guard._seen import row_keys
from levelhead.guard.features import features
from levelhead.guard.guard import Guard, evaluate, fit_guard, set_threshold
from levelhead.records import Predictions


def world(n: int = 800, seed: int = 0, start: int = 0) -> Predictions:
    """Ids count from `start`, as row numbers do; `p_true` knows how hard a question is."""
    rng = np.random.default_rng(seed)
    truth = rng.beta(2.0, 1.0, n)
    return Predictions.from_arrays(
        "answer", np.round(0.9 + 0.05 * rng.random(n), 2), rng.random(n) < truth,
        prompt_id=range(start, start + n), columns={"p_true": truth},
    )  # fmt: skip


@pytest.fixture(scope="module")
def fitted() -> Guard:
    return fit_guard(world())


def test_the_same_rows_are_known_without_a_word(fitted: Guard) -> None:
    guard = set_threshold(fitted, world(), max_error=0.35)
    assert guard.warnings == ()
    assert "of the threshold part of the file of the fit; " in guard.threshold_rows
    found = evaluate(guard, world())
    assert found.warnings == ()
    left = found.counts["left_out"]
    assert left > 500
    assert f"the test part of the file of the fit; {left:,} rows were left out" in found.rows
    part = world().take(np.arange(300))  # some of them, in another file
    assert set_threshold(fitted, part, max_error=0.35).warnings == ()


def test_other_rows_with_the_same_ids_are_left_out_loudly(fitted: Guard) -> None:
    other = world(seed=1)
    guard = set_threshold(fitted, other, max_error=0.35)
    (warning,) = guard.warnings
    n = guard.policy.thresholds[""].n  # type: ignore[union-attr]
    assert warning.startswith(
        "800 of 800 prompt ids also occur in the fit or threshold, with other contents (0% of their "
        f"rows are known); {800 - n} rows were left out."
    )
    assert "prefix the ids" in warning
    assert "--fresh" in warning
    assert "file of the fit" not in guard.threshold_rows
    found = evaluate(fitted, other)
    assert "with other contents" in found.warnings[0]
    assert f"{found.counts['left_out']} rows were left out" in found.warnings[0]
    assert "file of the fit" not in found.rows


def test_what_is_declared_fresh_counts_whole(fitted: Guard) -> None:
    guard = set_threshold(fitted, world(seed=1), max_error=0.35, fresh=True)
    assert guard.policy.thresholds[""].n == 800  # type: ignore[union-attr]
    assert guard.warnings == ()
    assert "800 prompts that were declared fresh" in guard.threshold_rows
    found = evaluate(guard, world(seed=2), fresh=True)
    assert found.n_prompts == 800
    assert found.rows == "Judged on 800 prompts that were declared fresh"
    assert found.warnings == ()
    with pytest.raises(InvalidInputError, match=r"got none; 800 of 800 prompt ids also occur"):
        evaluate(guard, world(seed=2))


@pytest.mark.parametrize("seed", [0, 1])
def test_known_rows_cannot_be_declared_fresh(fitted: Guard, seed: int) -> None:
    """Neither those of the fit nor those that the threshold was set on."""
    guard = set_threshold(fitted, world(seed=1), max_error=0.35, fresh=True)
    with pytest.raises(
        InvalidInputError, match=r"^fresh: .* 100% are rows of its fit or threshold"
    ):
        evaluate(guard, world(seed=seed), fresh=True)
    with pytest.raises(
        InvalidInputError, match=r"^fresh: expected rows that the guard has not met"
    ):
        set_threshold(fitted, world(), max_error=0.35, fresh=True)
    # setting the threshold anew on the same fresh file is no second look at the fit
    assert set_threshold(guard, world(seed=1), max_error=0.35, fresh=True).warnings == ()


def test_applying_to_rows_of_the_fit_is_said(fitted: Guard) -> None:
    blind = dataclasses.replace(world(), label=np.full(800, math.nan))
    said = fitted.met(blind)
    assert said.startswith("the guard was fitted, or its threshold was set, on 800 of 800 prompts")
    assert fitted.met(world(start=10_000)) == ""
    assert "with other contents (0% of their rows are known)" in fitted.met(world(seed=1))


def test_a_key_forgets_labels_and_the_last_bits(fitted: Guard) -> None:
    p, names = world(20), fitted.verifier.names
    turned = dataclasses.replace(p, label=1.0 - p.label)
    assert row_keys(p, names) == row_keys(turned, names)
    column = pa.chunked_array([p.columns["p_true"].to_numpy() + 1e-13])
    near = dataclasses.replace(p, columns=p.columns.set_column(0, "p_true", column))
    assert row_keys(p, names) == row_keys(near, names)
    assert len(set(row_keys(p, names))) == 20
    values = features(p, names).values
    assert row_keys(p, names, values) == row_keys(p, names)


def test_a_sample_that_comes_without_the_others_is_the_same_row() -> None:
    p = world()
    answers = pa.array([f"a{i % 3}" for i in range(800)])
    p = dataclasses.replace(
        p,
        prompt_id=pa.array([str(i // 2) for i in range(800)]),
        columns=p.columns.append_column("answer", answers),
    )
    fitted = fit_guard(p)
    assert "agreement" in fitted.verifier.names
    assert "looks better on these" in fitted.met(p.take(np.arange(0, 800, 2)))


def test_in_a_large_file_some_rows_are_compared(
    fitted: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levelhead.guard._seen.LOOKED_AT", 50)
    assert set_threshold(fitted, world(), max_error=0.35).warnings == ()
    assert "(0% of" in set_threshold(fitted, world(seed=1), max_error=0.35).warnings[0]


def test_ids_of_units_are_called_by_their_column() -> None:
    p = world()
    genes = pa.array([f"g{i // 4}" for i in range(800)])
    p = dataclasses.replace(p, columns=p.columns.append_column("gene", genes))
    fitted = fit_guard(p, unit="gene")
    q = world(seed=1, start=10_000)
    q = dataclasses.replace(q, columns=q.columns.append_column("gene", genes))
    (warning,) = set_threshold(fitted, q, max_error=0.35).warnings
    assert warning.startswith("200 of 200 gene ids also occur")
    assert "If they are other genes," in warning
    assert rows_of(q, "gene").coarse


def test_a_fresh_threshold_spends_what_a_sample_cannot_tell(
    fitted: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes of all parts; that some of the test part were taken is seen from those it can tell."""
    monkeypatch.setattr("levelhead.guard.guard.SKETCH_SIZE", 200)
    guard = set_threshold(fitted, world(seed=1), max_error=0.35, fresh=True)
    with pytest.raises(InvalidInputError, match="expected rows that the guard has not seen"):
        evaluate(guard, world(seed=1))
