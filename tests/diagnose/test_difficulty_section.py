"""What a reader is told: the finding, its null, and what is undefined stays so."""

from __future__ import annotations

import dataclasses
import json

from levelhead.diagnose._difficulty_section import section_of
from levelhead.diagnose._difficulty_shortcuts import ShortcutTest
from levelhead.diagnose.difficulty import diagnose_difficulty
from levelhead.records import Predictions

TEST = ShortcutTest(0.5, 0.1, 0.4, 0.3, 0.5, 0.01, 0.12, 12, 20, 15, 0.05, 0.1)


def predictions(right: list[int], name: str) -> Predictions:
    ids = [f"q{i // 8}" for i in range(len(right))]
    return Predictions.from_arrays("answer", [None] * len(right), right, prompt_id=ids, model=name)


BASE = predictions([1, 0] * 4 + [0] * 8 + [1] * 8, "before")
RESULT = diagnose_difficulty(predictions([1] * 24, "after"), BASE)


def test_without_texts_it_says_so_and_still_shows_difficulty() -> None:
    found = section_of(RESULT)
    assert (found.verdict, found.tone) == ("INCONCLUSIVE", "open")
    assert found.headline == "Nothing can be said of shortcuts: the files hold no texts."
    (bands,) = found.tables
    assert [row[:4] for row in bands.rows] == [
        ["impossible", 1, 0.0, 1.0],
        ["medium", 1, 0.5, 1.0],
        ["trivial", 1, 1.0, 1.0],
    ]
    assert len(found.charts) == 2
    assert all(chart.svg.startswith("<svg") for chart in found.charts)


def test_a_finding_stands_beside_its_null() -> None:
    found = section_of(dataclasses.replace(RESULT, has_texts=True, test=TEST))
    assert (found.verdict, found.tone) == ("SHORTCUTS", "bad")
    assert "50% of after's right answers" in found.headline
    words = " ".join(found.sentences)
    assert "+12.0 points in 5% of cases; it is +40.0 (one-sided p = 0.01)" in words
    assert "false alarm in at most 5% of runs" in words
    excess = next(m for m in found.measures if m.name == "excess of flagged")
    assert (excess.value, excess.low, excess.high, excess.null) == (0.4, 0.3, 0.5, "below +0.120")


def test_few_prompts_settle_nothing() -> None:
    found = section_of(dataclasses.replace(RESULT, test=dataclasses.replace(TEST, n_prompts=3)))
    assert found.headline.endswith("that settles nothing.")
    assert "A verdict needs 10 such prompts; sample the base more often." in found.sentences


def test_where_no_group_is_mixed_shares_are_undefined() -> None:
    one_sided = diagnose_difficulty(predictions([0] * 8 + [1] * 8, "m"))
    found = section_of(one_sided)
    update = next(m for m in found.measures if m.name == "update of hard prompts")
    assert update.value is None
    assert all(row[3] is None for row in found.tables[0].rows)
    assert len(found.charts) == 1


def test_the_data_are_json() -> None:
    found = section_of(dataclasses.replace(RESULT, test=TEST))
    data = json.loads(json.dumps(found.data, allow_nan=False))
    assert data["test"]["verdict"] == "SHORTCUTS"
    assert data["prompts"][1] == {"prompt": "q1", "passed": 0, "samples": 8, "band": "impossible"}
