"""A threshold in words and as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from levelhead.errors import InvalidInputError
from levelhead.guard._promise import certainty
from levelhead.guard.threshold import Threshold, conformal_threshold, risk_threshold


def kept() -> Threshold:
    """200 rows at 0.9 with 20 wrong, 10 rows at 0.1 that are all wrong."""
    score = np.repeat([0.9, 0.1], [200, 10])
    error = np.repeat([1, 0, 1], [20, 180, 10])
    return risk_threshold(score, error, max_error=0.25, delta=0.05, grid=[0.5])


def test_the_promise_names_rate_chance_and_condition() -> None:
    assert kept().promise == (
        "At most 25% of the answered are wrong, with 95% certainty, as long as new prompts are like "
        "these 210"
    )


def test_the_sentence_says_what_was_found() -> None:
    found = kept()
    assert found.sentence == (
        "Answers at a score of at least 0.5: 200 of 210 prompts (95.2%), 10% of them wrong (20)"
    )
    assert found.coverage == 200 / 210


def test_nothing_answered_says_why() -> None:
    few = risk_threshold([0.9] * 50, [0] * 50, max_error=0.25)
    assert few.value is None
    assert few.sentence == (
        "Answers nothing: no threshold has 60 prompts above it, and fewer prove nothing; use more "
        "prompts"
    )
    assert few.promise == (
        "Nothing is answered, so no answer is wrong: no threshold passed on 50 prompts"
    )
    wrong = risk_threshold([0.9] * 80, [1] * 40 + [0] * 40, max_error=0.25)
    assert wrong.sentence.startswith(
        "Answers nothing: 40 of the 80 prompts with a score of at least 0.9 are wrong, which does not "
        "show an error rate of at most 25% (p = 1.000)"
    ) or wrong.sentence.startswith(
        "Answers nothing: 40 of the 80 prompts with a score of at least 0.88"
    )


def test_a_conformal_threshold_does_not_promise_a_rate_among_the_answered() -> None:
    found = conformal_threshold([0.9] * 99, [0] * 90 + [1] * 9, max_loss=0.1)
    assert found.value == 0.0  # (9 + 1) / 100 is the limit itself
    assert found.promise == (
        "The mean loss per prompt, 0 where nothing is answered, is at most 0.1 on average over "
        "samples like this one, as long as new prompts are like these 99; this says nothing about "
        "the share of errors among the answered"
    )
    assert found.sentence == (
        "Answers at a score of at least 0: 99 of 99 prompts (100%), with a total loss of 9"
    )
    nothing = conformal_threshold([0.9] * 5, [0] * 5, max_loss=0.1)
    assert nothing.sentence == (
        "Answers nothing: even the strictest threshold may lose more than 0.1 per prompt on average "
        "(a bound of 1 / (n + 1) alone is 0.167)"
    )


def test_large_numbers_are_read_in_thousands() -> None:
    found = risk_threshold([0.9] * 1500, [0] * 1500, max_error=0.25)
    assert found.promise.endswith("like these 1,500")
    assert "1,500 of 1,500 prompts" in found.sentence


@pytest.mark.parametrize(
    ("delta", "text"),
    [(0.05, "95%"), (0.1, "90%"), (0.5, "50%"), (0.0001, "99.99%"), (0.05 / 3, "98.3%")],
)
def test_certainty_is_never_rounded_to_all(delta: float, text: str) -> None:
    assert certainty(delta) == text


def test_answers_reaches_the_threshold_inclusively() -> None:
    found = kept()
    assert found.answers([0.5, np.nextafter(0.5, 0), float("nan"), 1.0]).tolist() == [
        True,
        False,
        False,
        True,
    ]
    nothing = risk_threshold([0.9], [0], max_error=0.25)
    assert not nothing.answers([0.0, 1.0, np.inf]).any()


@pytest.mark.parametrize(
    "threshold",
    [
        kept(),
        risk_threshold([0.9] * 50, [0] * 50, max_error=1 / 3, delta=0.1),
        conformal_threshold([0.9, 0.7, 0.5, 0.3], [0, 0, 1 / 3, 1], max_loss=0.4),
    ],
)
def test_the_state_survives_json_exactly(threshold: Threshold) -> None:
    text = json.dumps(threshold.state(), allow_nan=False)
    assert Threshold.from_state(json.loads(text)) == threshold


def test_a_state_that_lacks_an_entry_is_refused() -> None:
    state = kept().state()
    del state["n"]
    with pytest.raises(InvalidInputError, match=r"^threshold: expected the entries bound, delta, "):
        Threshold.from_state(state)
    with pytest.raises(InvalidInputError, match=r"got none; set the threshold again$"):
        Threshold.from_state({})


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("value", "0.5"),
        ("value", True),
        ("method", "magic"),
        ("n", 1.5),
        ("n_answered", 211),
        ("max_error", None),
        ("delta", float("nan")),
        ("path", [[0.5, 200, 20]]),
        ("path", "none"),
        ("n_min", -1),
        ("n", 0),
        ("n", 10**400),
        ("n_min", 10**400),
        ("max_error", 10**400),
        ("value", -(10**400)),
        ("path", [[0.5, 200, 20, 10**400]]),
    ],
)
def test_a_state_of_another_shape_is_refused(entry: str, value: Any) -> None:
    with pytest.raises(
        InvalidInputError, match=r"^threshold: expected the entries as they were sav"
    ):
        Threshold.from_state({**kept().state(), entry: value})


def test_a_threshold_on_no_rows_is_none() -> None:
    state = {**kept().state(), "n": 0, "n_answered": 0, "value": None}
    with pytest.raises(InvalidInputError, match=r"^threshold: expected the entries"):
        Threshold.from_state(state)
