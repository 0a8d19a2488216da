"""Readings give back what was measured, and become plain JSON."""

from __future__ import annotations

import json
import math

from levelhead.probe.questions import Traits
from levelhead.probe.reading import Bias, End, LengthReading, Reading

END = End(0.75, 0.99, 0.01, 0.0, 1.0, 0.0, True, "overconfident")
BIAS = Bias("near 0.75", 0.75, math.nan, 1.0, 0.97, -0.06, (0.1,), (0.2,), (math.inf,), (1.0,))


def test_lookups_by_truth_and_policy() -> None:
    reading = Reading("a", "", "", "", "log", "shared", 8, 0, ends=(END,), biases=(BIAS,))
    assert reading.end(0.7500000001) is END
    assert reading.end(0.5) is None
    assert reading.bias("near 0.75", 0.75) is BIAS
    assert reading.bias("uniform", 0.75) is None
    assert reading.pull == 0.97
    assert math.isnan(Reading("a", "", "", "", "log", "shared", 8, 0).pull)


def test_text_is_for_reading() -> None:
    said = Reading(
        "a",
        "",
        "",
        "",
        "log",
        "shared",
        8,
        0,
        headline="calibrated: yes",
        mechanism=("One.", "Two."),
    )
    assert str(said) == "a: calibrated: yes\nOne.\nTwo."
    assert f"{LengthReading('b', '', '', '', headline='even: so')}" == "b: even: so"


def test_json_holds_everything_and_no_nan() -> None:
    reading = Reading(
        "a", "", "", "", "log", "shared", 8, 0, ends=(END,), biases=(BIAS,), traits=Traits()
    )
    plain = json.loads(json.dumps(reading.to_dict(), allow_nan=False))
    assert plain["kind"] == "advantage"
    assert plain["ends"][0]["mean"] == 0.99
    assert plain["biases"][0]["cosine"] is None
    assert plain["biases"][0]["error"] == [None]
    assert plain["traits"]["bound"] is None
    assert plain["pull"] == 0.97
    loss = json.loads(json.dumps(LengthReading("b", "", "", "").to_dict(), allow_nan=False))
    assert (loss["kind"], loss["ratio"], loss["verdict"]) == ("loss", None, "none")
