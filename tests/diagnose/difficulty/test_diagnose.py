"""The whole diagnosis on made models: one that learned shortcuts, one that did not, one unchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from levelhead.diagnose.difficulty import (
    count_advantages,
    diagnose_difficulty,
    section,
    update_by_counts,
)
from levelhead.errors import InvalidInputError
from levelhead.records import Predictions

PROMPTS, SAMPLES = 60, 16


def honest(a: int, b: int) -> str:
    c, d = a * b, a * b + a
    e = d - b
    steps = f"{a} * {b} = {c}. Then {c} + {a} = {d}, and {d} - {b} = {e}. Check: {e} + {b} = {d}."
    return f"First {steps} So the answer is {e}."


def lazy(a: int, b: int) -> str:
    return f"It looks familiar, and I have a number in mind. The answer is {a * b + a - b}."


def model(name: str, *, gain: float, lazy_share: float, seed: int, **columns: Any) -> Predictions:
    rates = np.minimum(np.random.default_rng(5).beta(0.5, 2.0, PROMPTS) + gain, 1.0)
    rng = np.random.default_rng(seed)
    right = rng.random((PROMPTS, SAMPLES)) < rates[:, None]
    texts = [
        (lazy if rng.random() < lazy_share else honest)(11 + j, 7 + j % 5)
        for j in range(PROMPTS)
        for _ in range(SAMPLES)
    ]
    return Predictions.from_arrays(
        "answer", [None] * right.size, right.ravel().astype(float), model=name,
        prompt_id=[f"p{j}" for j in range(PROMPTS) for _ in range(SAMPLES)],
        columns={"text": texts, **columns},
    )  # fmt: skip


BASE = model("base", gain=0.0, lazy_share=0.05, seed=1)


def test_shortcuts_that_were_learned_are_found() -> None:
    done: list[int] = []
    tuned = model("tuned", gain=0.2, lazy_share=0.6, seed=2)
    result = diagnose_difficulty(tuned, BASE, n_permutations=499, advance=done.append)
    assert result.verdict == "SHORTCUTS"
    assert sum(done) == int(BASE.label.sum() + tuned.label.sum())
    test = result.test
    assert test is not None
    assert test.difference == pytest.approx(0.55, abs=0.15)
    assert result.never is not None
    # three whose base never was right, so that nothing is known of its work, and three others
    assert len({one.prompt for one in result.examples}) == len(result.examples) == 6
    assert tuned.prompt_id is not None
    ids, texts = tuned.prompt_id.to_pylist(), tuned.columns["text"].to_pylist()
    for one in result.examples:
        assert "no equation ends with" in " ".join(one.reasons)
        assert "number in mind. The answer is " in one.excerpt  # what comes before is the point
        row = [i for i, name in enumerate(ids) if name == one.prompt][one.sample - 1]
        assert one.samples == SAMPLES
        assert tuned.label[row] == 1.0
        assert all(texts[row][s.start : s.end].startswith("answer is") for s in one.spans)
    assert section(result).verdict == "SHORTCUTS"


def test_every_share_is_of_its_own_model_and_band() -> None:
    """The base solves ten prompts in 2 of 10, one in 1, and one never; counted by hand."""
    plain, again = honest(12, 7), "The answer is 7. " * 3

    def made(name: str, right: list[int], again_first: range) -> Predictions:
        rows = [
            (f"q{j}", int(k < n), again if j in again_first and k == 0 else plain)
            for j, n in enumerate(right)
            for k in range(10)
        ]
        ids, labels, texts = map(list, zip(*rows, strict=True))
        return Predictions.from_arrays(
            "answer", [None] * len(rows), labels, prompt_id=ids, model=name, columns={"text": texts}
        )

    base = made("base", [2] * 10 + [1, 0], range(1))
    tuned = made("tuned", [5] * 11 + [3], range(12))
    found = diagnose_difficulty(tuned, base, n_permutations=199)
    test = found.test
    assert test is not None  # a rate of 20% is rare still
    assert (test.n_prompts, test.n_tuned, test.n_base) == (11, 55, 21)
    weights = [5 * 2 / 7] * 10 + [5 * 1 / 6]
    assert test.tuned == pytest.approx(1 / 5)
    assert test.base == pytest.approx(1 / 2 * weights[0] / sum(weights))
    assert found.never == (pytest.approx(1 / 3), 3, 1)
    by_band = {row.name: row for row in found.rows}
    never, often = by_band["impossible"], by_band["medium"]
    assert (never.prompts, never.rate, never.rate_after) == (1, 0.0, pytest.approx(0.3))
    assert (never.flagged, never.flagged_base) == (pytest.approx(1 / 3), None)
    assert (often.prompts, often.rate, often.rate_after) == (10, *map(pytest.approx, (0.2, 0.5)))
    assert (often.flagged, often.flagged_base) == (pytest.approx(1 / 5), pytest.approx(1 / 20))


def test_getting_better_is_no_shortcut() -> None:
    tuned = model("tuned", gain=0.2, lazy_share=0.05, seed=3)
    result = diagnose_difficulty(tuned, BASE, n_permutations=499)
    assert result.verdict != "SHORTCUTS"
    assert result.suite is None or result.suite.change.difference > -0.05


def test_shares_of_the_update_are_those_of_the_prompts() -> None:
    result = diagnose_difficulty(BASE, estimator="grpo_no_std", group_size=4)
    counts = result.bands.counts
    update = update_by_counts(count_advantages("grpo_no_std", 4), counts.passed, counts.samples)
    for row in result.rows:
        here = result.bands.members(row.name)
        assert row.update == pytest.approx(update[here].sum() / update.sum())
        assert row.update == pytest.approx(row.gradient)
        assert row.prompts == here.sum()
    assert sum(row.prompts for row in result.rows) == PROMPTS
    grpo = diagnose_difficulty(BASE, estimator="grpo", group_size=4)
    assert (grpo.rows[1].update or 0.0) > (result.rows[1].update or 1.0)  # hard
    assert grpo.true_flip == pytest.approx(0.4 / 0.43)
    assert (grpo.flip or 1.0) < 0.4 / 0.43 - 0.004


def test_a_suite_that_was_frozen_is_looked_for() -> None:
    tuned = model("tuned", gain=0.2, lazy_share=0.05, seed=3)
    found = diagnose_difficulty(tuned, BASE, suite=["p1", "p2", "p99"], n_permutations=99)
    assert found.suite is not None
    assert found.suite.prompts == ("p1", "p2")
    (said,) = [text for text in found.warnings if "suite" in text]
    assert said.startswith("1 of 3 prompts of the suite were not answered by both models")
    with pytest.raises(InvalidInputError, match="suite: .* got none of 2, such as 'x'"):
        diagnose_difficulty(tuned, BASE, suite=["x", "y"], n_permutations=99)
    with pytest.raises(InvalidInputError, match="suite: expected a baseline"):
        diagnose_difficulty(tuned, suite=["p1"])


def test_a_text_may_be_in_several_columns() -> None:
    tuned = model("t", gain=0.2, lazy_share=0.6, seed=2)
    texts = tuned.columns["text"].to_pylist()
    split = tuned.columns.append_column("tail", [[t[20:] for t in texts]])
    split = split.set_column(0, "text", [[t[:20] for t in texts]])
    both = diagnose_difficulty(
        Predictions.from_arrays(
            "answer", [None] * len(tuned), tuned.label, prompt_id=tuned.prompt_id, columns=split
        ),
        Predictions.from_arrays(
            "answer",
            [None] * len(BASE),
            BASE.label,
            prompt_id=BASE.prompt_id,
            columns={"text": BASE.columns["text"], "tail": [""] * len(BASE)},
        ),
        text=["text", "tail"],
        n_permutations=99,
    )
    assert both.verdict == "SHORTCUTS"


def test_what_names_no_prompt_or_has_no_truth_is_left_out_and_said() -> None:
    label = [1, 0, 1, np.nan, 1]
    found = diagnose_difficulty(
        Predictions.from_arrays("answer", [None] * 5, label, prompt_id=["a", "a", None, "a", "a"])
    )
    assert found.bands.counts.samples.tolist() == [3]
    assert "2 of 5 rows name no prompt or have no truth" in found.warnings[0]
    assert "predicted from a uniform prior" in found.warnings[1]


def test_errors() -> None:
    def answers(**options: Any) -> Predictions:
        return Predictions.from_arrays("answer", [None] * 2, [1, 0], **options)

    with pytest.raises(InvalidInputError, match="tuned: expected prompt ids in model, got none"):
        diagnose_difficulty(answers())
    with pytest.raises(InvalidInputError, match="prompt_id: expected several samples of some"):
        diagnose_difficulty(answers(prompt_id=["a", "b"]))
    events = Predictions.from_arrays("event", [0.5], [1], prompt_id=["a"])
    with pytest.raises(InvalidInputError, match="tuned: expected answers .* got events"):
        diagnose_difficulty(events)
    pair = answers(prompt_id=["a", "a"])
    with pytest.raises(InvalidInputError, match="baseline: expected prompts .* none in common"):
        diagnose_difficulty(pair, answers(prompt_id=["b", "b"]))
    with pytest.raises(InvalidInputError, match=r"text: expected columns of model \(none\), got x"):
        diagnose_difficulty(pair, text=["x"])
    with pytest.raises(InvalidInputError, match="group_size: .* got 1"):
        diagnose_difficulty(pair, group_size=1)
