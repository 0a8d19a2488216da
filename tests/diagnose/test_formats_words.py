"""What the section says: the finding, the null, and nothing that is undefined as 0."""

from __future__ import annotations

import json

import numpy as np
import pytest

from levelhead.diagnose._formats_words import build
from levelhead.diagnose.formats import FormatsResult, compare_formats, diagnose_formats
from levelhead.diagnose.report import json_text, render_html
from levelhead.diagnose.section import Section


@pytest.fixture(scope="module")
def result() -> FormatsResult:
    rng = np.random.default_rng(0)
    formats = [n for _ in range(20) for n in rng.choice(["a", "b"], 60, p=[0.5, 0.5])]
    return diagnose_formats(formats, np.repeat(np.arange(20), 60), runs=400)


def measures(section: Section) -> dict[str, float | None]:
    return {m.name: m.value for m in section.measures}


def test_a_run(result: FormatsResult) -> None:
    s = build(result)
    assert (s.name, s.verdict, s.tone) == ("formats", "NO COLLAPSE", "good")
    assert s.headline.startswith("The effective number of formats went from 2.0")
    assert s.headline.endswith(" More than half of the diversity of the start is left.")
    assert s.sentences[0].startswith("Neutral drift turns back as often as it goes on. ")
    assert s.sentences[1].startswith("Drift as rough as these shares would show ")
    assert measures(s)["steadiness of the winner"] is not None
    assert "at most 5% of cases" in s.sentences[0]
    assert "<svg" in s.charts[0].svg
    assert "95% of runs" in s.charts[0].text
    assert [row[0] for row in s.tables[0].rows] == list(result.names)
    assert "drift rate" in s.notes[-1]


def test_two_sets_say_nothing_of_drift() -> None:
    s = build(compare_formats(["a", "b"] * 50, ["a"] * 100))
    assert s.tone == "bad"
    assert s.sentences[0].startswith("Shuffling 200 prompts between the sets")
    assert "cannot tell selection from drift" in s.sentences[1]
    assert "p under drift" not in measures(s)
    assert s.data["drift"] is None


def test_what_is_undefined_is_none() -> None:
    s = build(compare_formats(["a"] * 40, ["a"] * 40))
    assert measures(s)["diversity retained"] is None
    assert s.data["retained"] is None
    few = build(diagnose_formats(["a", "b"] * 40, np.repeat(np.arange(4), 20)))
    assert measures(few)["p under drift"] is None
    assert measures(few)["steadiness of the winner"] is None
    assert "95% of runs" not in few.charts[0].text


def test_the_report_and_the_json_hold_it(result: FormatsResult) -> None:
    s = build(result)
    assert "Formats of the answers" in render_html([s], "a run")
    data = json.loads(json_text([s]))["sections"][0]["data"]
    assert sum(map(sum, data["counts"])) == 1200
    assert data["drift"]["calibrated"] is True
