"""What a reader is told: the finding, its null, and what is undefined stays so."""

from __future__ import annotations

import dataclasses
import json

import pytest

from levelhead.diagnose.difficulty import diagnose_difficulty
from levelhead.diagnose.difficulty._amplify import count_advantages
from levelhead.diagnose.difficulty._section import CELL, evidence_cell, section_of
from levelhead.diagnose.difficulty._shortcuts import ShortcutTest
from levelhead.diagnose.difficulty._suite import RegressionSuite
from levelhead.diagnose.difficulty._view import Example
from levelhead.metrics.paired import PairedDifference
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
    assert found.headline == (
        "10% of before's right answers to prompts that it rarely solves show a shortcut, 50% of "
        "after's: more than chance would."
    )
    words = " ".join(found.sentences)
    assert "+12.0 points in 5% of cases; it is +40.0 (one-sided p = 0.010)" in words
    assert "false alarm in at most 5% of runs" in words
    excess = next(m for m in found.measures if m.name == "excess of flagged")
    assert (excess.value, excess.low, excess.high, excess.null) == (0.4, 0.3, 0.5, "below +12.0")


def test_an_alternative_gradient_is_no_null() -> None:
    values = {m.name: m for m in section_of(dataclasses.replace(RESULT, test=TEST)).measures}
    names = ("update of hard prompts", "amplification at 5%", "hard share at the flip")
    assert [values[name].null for name in names] == [None] * 3
    assert values["hard share at the flip, true gradient"].value == pytest.approx(0.4 / 0.43)
    assert list(values)[:2] == ["flagged, base", "flagged, tuned"]
    assert [list(values.values())[i].value for i in (0, 1)] == [0.1, 0.5]


def test_the_base_comes_first_and_columns_are_explained() -> None:
    rows = [dataclasses.replace(row, flagged=0.5, flagged_base=0.25) for row in RESULT.rows]
    one = Example("q0", 3, 16, "hard", ("the same answer 6 times",), "…in mind", ())
    found = section_of(dataclasses.replace(RESULT, rows=tuple(rows), examples=(one,)))
    bands, examples = found.tables
    assert examples.title == "Flagged right answers of after"
    assert examples.rows == [["q0", "3 of 16", "hard", "answer 6 times", "…in mind"]]
    assert list(bands.header[2:4]) == ["rate, base", "rate, tuned"]
    assert list(bands.header[4:]) == ["update", "flags, base", "flags, tuned"]
    assert list(bands.rows[0][-2:]) == [0.25, 0.5]
    assert found.charts[0].title == "Where shortcuts show"
    svg = found.charts[0].svg
    assert svg.index("before") < svg.index("after")
    words = " ".join(found.notes)
    for said in (
        "TUNED: after; difficulty is that for before: up to 20% hard",
        "update, the share of the whole",
        "flags, the share of right",
        "from 1 within their",
    ):
        assert said in words


def test_flagged_answers_fit_into_the_cells_of_a_terminal() -> None:
    reasons = (
        "the same answer 6 times",
        "the same four words 12 times",
        "compresses to 0.11 of its length",
        "0 operations where 5 are usual",
        "answered after 3% of the text",
        "no equation ends with 391",
    )

    def cell(*which: int) -> str:
        evidence = evidence_cell([reasons[i] for i in which])
        assert len(evidence) <= CELL
        return evidence

    assert cell(0, 1) == "answer 6 times; four words 12 times"
    assert cell(0, 1, 2, 3, 4, 5) == "answer 6 times; four words 12 times; +4"
    assert cell(3, 4) == "0 of 5 operations; answered after 3%"
    assert cell(2) == "compresses to 0.11"
    assert evidence_cell(["answered after 0% of the text"]) == "answered at once"
    assert cell(5, 3) == "no equation ends with 391; +1"


def test_numbers_stand_where_they_belong() -> None:
    change = PairedDifference(0.9, 0.4, 0.5, 0.3, 0.7, 0.01, 3, 0.95, "")
    found = section_of(
        dataclasses.replace(
            RESULT,
            suite=RegressionSuite(("q0", "q1", "q2"), change),
            by_count=count_advantages("grpo_no_std", 8),
        )
    )
    words = " ".join(found.sentences)
    assert "On 3 prompts that the base had solved before, pass@1 goes from 40% to 90%" in words
    values = {m.name: m for m in found.measures}
    assert values["amplification at 5%"].value == pytest.approx(1.0)  # as its own null
    solved = values["pass@1 on solved"]
    assert (solved.value, solved.low, solved.high) == (0.5, 0.3, 0.7)


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


def test_where_no_prompt_can_be_called_hard_nothing_is_said_of_its_update() -> None:
    found = section_of(diagnose_difficulty(predictions([1] + [0] * 7 + [1, 0] * 4, "m")))
    update = next(m for m in found.measures if m.name == "update of hard prompts")
    assert (update.value, update.null) == (None, None)
    words = " ".join(found.sentences)
    assert "No prompt is told to be hard" in words
    assert "of the update; the gradient" not in words
    ids = ["a"] * 16 + ["b"] * 16
    right = [1] + [0] * 15 + [1, 0] * 8
    hard = Predictions.from_arrays("answer", [None] * 32, right, prompt_id=ids)
    assert "hard and impossible prompts get" in section_of(diagnose_difficulty(hard)).sentences[0]


def test_the_data_are_json() -> None:
    found = section_of(dataclasses.replace(RESULT, test=TEST))
    data = json.loads(json.dumps(found.data, allow_nan=False))
    assert data["test"]["verdict"] == "SHORTCUTS"
    assert data["prompts"][1] == {"prompt": "q1", "passed": 0, "samples": 8, "band": "impossible"}
