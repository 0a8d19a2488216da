"""What the section says: the finding, the null, and nothing that is undefined as 0."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from levelhead.diagnose.formats import FormatsResult, compare_formats, diagnose_formats
from levelhead.diagnose.formats._words import (
    AS_NOISE,
    FEW_SAMPLES,
    FEW_STEPS,
    ONE_FORMAT_ALONE,
    UNCLEAR,
    build,
    next_steps,
)
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


def test_a_short_run_within_drift_does_not_rule_selection_out() -> None:
    told = "This run is too short to rule selection out."
    found = diagnose_formats(["a", "b"] * 320, np.repeat(np.arange(40), 16))
    assert found.drift is not None
    for verdict, changes, short in (
        ("WITHIN DRIFT", 1.0, True),
        ("WITHIN DRIFT", 9.0, False),
        ("COLLAPSE BEYOND DRIFT", 1.0, False),
    ):
        drift = dataclasses.replace(found.drift, calibrated=True, changes=changes)
        one = dataclasses.replace(found, verdict=verdict, drift=drift)
        assert build(one).headline.endswith(told) is short


def test_two_sets_say_nothing_of_drift() -> None:
    s = build(compare_formats(["a", "b"] * 50, ["a"] * 100, models=("old", "new")))
    assert s.tone == "bad"
    assert s.headline.startswith("The effective number of formats is 2.01 in old and 1.00 in new, ")
    assert s.sentences[0].startswith("Shuffling 200 prompts between the sets")
    assert "cannot tell selection from drift" in s.sentences[1]
    assert "p under drift" not in measures(s)
    assert s.data["drift"] is None
    assert s.tables[0].header == ["format", "share, base", "share, tuned"]
    assert list(s.tables[0].rows[0]) == ["a", 0.5, 1.0]
    assert s.charts[0].svg.index(">old<") < s.charts[0].svg.index(">new<")
    assert measures(s)["dominant share, base"] == 0.5
    assert s.notes[0].startswith("100 samples of old and 100 samples of new")


def test_steps_that_are_put_together_are_told() -> None:
    found = diagnose_formats(["a", "b"] * 320, np.repeat(np.arange(40), 16), rate=0.0)
    assert (
        build(found)
        .notes[0]
        .startswith(
            "640 samples of 40 steps; steps are put together to 20 points of at least 32 samples"
        )
    )
    assert "(the test against drift sees 40 points)" in build(found).notes[0]


def test_every_verdict_says_what_to_do(result: FormatsResult) -> None:
    def steps(**changes: Any) -> str:
        return " ".join(next_steps(dataclasses.replace(result, **changes)))

    assert result.drift is not None
    slow = dataclasses.replace(result.drift, changes=3.0, possible=60.0)
    fast = dataclasses.replace(result.drift, changes=3.0, possible=3.0)
    given = dataclasses.replace(slow, calibrated=False)
    within, beyond = "WITHIN DRIFT", "COLLAPSE BEYOND DRIFT"
    assert steps() == ""
    assert "--learning-rate), or more logged steps" in steps(verdict=within, drift=slow)
    assert "More logged steps would not" in steps(verdict=within, drift=fast)
    assert steps(verdict=within, drift=given).startswith("Repeat the run with another seed")
    assert "give samples that say which are right" in steps(verdict=beyond)
    assert "was not the most accurate" in steps(verdict=beyond, winner_accuracy_rank=2)
    assert "algorithm.kl.coef" in steps(verdict=beyond, winner_accuracy_rank=1)
    two = {"verdict": "COLLAPSE BEYOND NOISE", "drift": None, "models": ("old", "new")}
    assert "levelhead diagnose formats COMPLETIONS" in steps(**two)
    assert "accurate in old." in steps(**two, winner_accuracy_rank=1)
    open_ = {"verdict": "INCONCLUSIVE"}
    assert "at least 30 samples at both ends" in steps(**open_, why=FEW_SAMPLES)
    assert "--rule" in steps(**open_, why=ONE_FORMAT_ALONE)
    assert "at least 8 steps" in steps(**open_, why=FEW_STEPS)
    assert "more prompts" in steps(**open_, why=AS_NOISE)
    assert "samples of a step: four times" in steps(**open_, why=UNCLEAR)
    few = {**open_, "why": UNCLEAR, "models": ("old", "new"), "retained_low": math.nan}
    assert "at least 5 prompts" in steps(**few)


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
