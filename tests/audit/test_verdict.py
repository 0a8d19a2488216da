"""The verdict's words follow from the numbers."""

from __future__ import annotations

import pytest

from levelhead.audit.result import MetricRow, NullRow
from levelhead.audit.verdict import verdict


def row(
    name: str, value: float | None, low: float | None = None, high: float | None = None
) -> MetricRow:
    return MetricRow(name, name, "calibration", "answer", value, low, high)


def rows(**given: tuple) -> dict[str, MetricRow]:
    numbers = {
        "ece": (0.292, 0.25, 0.33),
        "overconfidence": (0.29, 0.25, 0.33),
        "mean_confidence": (0.96,),
        "accuracy": (0.67,),
    } | given
    return {name: row(name, *value) for name, value in numbers.items()}


CHANCE = NullRow(expected=0.02, quantile_95=0.03, excess=0.27, p_value=0.001)
NO_EXCESS = NullRow(expected=0.02, quantile_95=0.03, excess=0.0, p_value=0.4)


def test_the_headline_reads_as_promised() -> None:
    found = verdict(rows(), CHANCE, 5607, kind="answer")
    assert found.label == "overconfident"
    assert found.headline == (
        "Overconfident: says 96% on average, is right 67% of the time; "
        "ECE 0.292 [0.250, 0.330], 0.020 would be expected by chance"
    )


@pytest.mark.parametrize(
    ("gap", "ece", "null", "n", "label"),
    [
        ((0.1, 0.05, 0.15), (0.1, 0.05, 0.15), CHANCE, 1000, "overconfident"),
        ((-0.1, -0.15, -0.05), (0.1, 0.05, 0.15), CHANCE, 1000, "underconfident"),
        ((0.0, -0.02, 0.02), (0.2, 0.15, 0.25), CHANCE, 1000, "miscalibrated"),
        ((0.0, -0.02, 0.02), (0.02, 0.0, 0.03), NO_EXCESS, 1000, "calibrated"),
        ((0.0, -0.2, 0.2), (0.08, 0.0, 0.2), NO_EXCESS, 1000, "inconclusive"),
        ((0.0, -0.2, 0.2), (0.04, 0.0, 0.2), NO_EXCESS, 1000, "inconclusive"),
        ((0.5, 0.4, 0.6), (0.5, 0.4, 0.6), CHANCE, 10, "inconclusive"),
    ],
)
def test_labels(gap: tuple, ece: tuple, null: NullRow, n: int, label: str) -> None:
    assert verdict(rows(overconfidence=gap, ece=ece), null, n, kind="answer").label == label


def test_a_small_but_sure_gap_is_slight() -> None:
    found = verdict(rows(overconfidence=(0.01, 0.005, 0.015)), CHANCE, 100_000, kind="answer")
    assert found.headline.startswith("Slightly overconfident")


def test_a_sure_gap_beside_an_ece_within_chance_says_which_is_which() -> None:
    found = verdict(rows(overconfidence=(0.019, 0.004, 0.03)), NO_EXCESS, 1000, kind="answer")
    assert found.sentences[-1].endswith(
        "(p = 0.400); what is beyond chance is the mean gap between confidence and accuracy."
    )
    assert "mean gap" not in verdict(rows(), CHANCE, 1000, kind="answer").sentences[-1]


def test_undefined_is_said_and_never_zero() -> None:
    found = verdict(rows(ece=(None,), mean_confidence=(None,)), None, 50, kind="answer")
    assert "says undefined" in found.headline
    assert "ECE undefined" in found.headline


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((-0.5, -0.6, -0.4), "worse than not asking"),
        ((0.5, 0.4, 0.6), "better than not asking"),
        ((0.05, -0.1, 0.2), "not clear"),
        ((-0.05, -0.2, 0.1), "not clear"),
    ],
)
def test_trust_sentence(interval: tuple, words: str) -> None:
    found = verdict(rows(trust=interval), CHANCE, 1000, kind="answer")
    assert any(words in sentence for sentence in found.sentences)


def test_events_say_which_reading_each_number_uses() -> None:
    assert any(
        "likelier outcome" in s for s in verdict(rows(), CHANCE, 100, kind="event").sentences
    )
    assert not any("likelier" in s for s in verdict(rows(), CHANCE, 100, kind="answer").sentences)
