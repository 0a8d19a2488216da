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
    example = result.examples[0]
    assert "no equation ends with" in " ".join(example.reasons)
    assert example.excerpt.startswith("answer is")
    assert section(result).verdict == "SHORTCUTS"


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
