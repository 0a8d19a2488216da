"""What ends are called, one by one and together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from levelhead.probe.measure import Ends
from levelhead.probe.questions import Leak, Traits
from levelhead.probe.reading import Bias, End
from levelhead.probe.verdict import ends_of, label_end, overall, pushed, qualified

TRUTHS = (0.1, 0.25, 0.5, 0.75, 0.9)


def end(p: float, mean: float, label: str, *, settled: bool = True, **given: float) -> End:
    shares = {"sd": 0.01, "low": 0.0, "high": 0.0, "error": 0.0} | given
    return End(p=p, mean=mean, settled=settled, label=label, **shares)


@pytest.mark.parametrize(
    ("p", "mean", "sd", "low", "high", "moved", "label"),
    [
        (0.75, 0.75, 0.01, 0.0, 0.0, 0.9, "calibrated"),
        (0.75, 0.79, 0.01, 0.0, 0.0, 0.9, "calibrated"),
        (0.75, 0.99, 0.01, 0.0, 1.0, 0.9, "overconfident"),
        (0.25, 0.01, 0.01, 1.0, 0.0, 0.9, "overconfident"),
        (0.75, 0.60, 0.01, 0.0, 0.0, 0.9, "underconfident"),
        (0.25, 0.40, 0.01, 0.0, 0.0, 0.9, "underconfident"),
        (0.75, 0.50, 0.01, 0.0, 0.0, 0.9, "underconfident"),
        (0.75, 0.01, 0.01, 1.0, 0.0, 0.9, "backwards"),
        (0.25, 0.90, 0.01, 0.0, 1.0, 0.9, "backwards"),
        (0.75, 0.75, 0.42, 0.24, 0.76, 0.9, "lottery"),
        (0.75, 0.54, 0.45, 0.40, 0.48, 0.9, "lottery"),
        (0.75, 0.75, 0.20, 0.0, 0.3, 0.9, "spread out"),
        (0.75, 0.60, 0.25, 0.1, 0.2, 0.9, "spread out"),
        (0.5, 0.99, 0.01, 0.0, 1.0, 0.9, "overconfident"),
        (0.5, 0.01, 0.01, 1.0, 0.0, 0.9, "overconfident"),
        (0.75, 0.5, 0.3, 0.2, 0.2, 0.0, "nowhere"),
    ],
)
def test_one_end(
    p: float, mean: float, sd: float, low: float, high: float, moved: float, label: str
) -> None:
    assert label_end(p, mean, sd, low, high, moved) == label


def test_ends_of_policies_by_hand() -> None:
    values = np.array([0.1, 0.5, 0.9])
    policy = np.array([[0.5, 0.0, 0.5], [0.0, 0.25, 0.75], [1 / 3, 1 / 3, 1 / 3]])
    p = np.array([0.5, 0.8, 0.25])
    ends = Ends(policy, np.zeros(3), np.ones(3, bool), 1, 0)
    two, one, still = ends_of(p, values, ends)
    assert (two.mean, two.low, two.high, two.label) == (0.5, 0.5, 0.5, "lottery")
    assert two.sd == pytest.approx(0.4)
    assert one.mean == pytest.approx(0.8)
    assert one.sd == pytest.approx(np.sqrt(0.25 * 0.09 + 0.75 * 0.01))
    assert one.label == "spread out"
    assert still.label == "nowhere"
    elsewhere = np.array([[0.5, 0.0, 0.5], [0.0, 0.25, 0.75], [0.0, 0.5, 0.5]])
    *_, moved = ends_of(p, values, dataclasses.replace(ends, start=elsewhere))
    assert moved.label != "nowhere"
    assert ends_of(p, values, dataclasses.replace(ends, start=policy))[1].label == "nowhere"


def test_half_is_an_end_only_where_policies_are_pulled_back_to_it() -> None:
    ends = every("calibrated", TRUTHS)

    def labels(low: float, high: float) -> list[str]:
        biases = [
            Bias(f"near {at}", 0.5, 1.0, 1.0, pull, 0.0, (), (), (), ())
            for at, pull in ((0.25, low), (0.5, 0.0), (0.75, high))
        ]
        return [one.label for one in pushed(ends, biases)]

    assert labels(0.9, -0.9) == ["calibrated"] * 5
    for pulls in ((0.0, 0.0), (-0.09, 0.09), (0.9, 0.0), (-0.9, 0.9)):
        assert labels(*pulls) == ["calibrated", "calibrated", "no push", "calibrated", "calibrated"]
    assert [one.label for one in pushed(every("lottery", TRUTHS), [])] == ["lottery"] * 5


def every(label: str, means: tuple[float, ...], **given: float) -> list[End]:
    return [end(p, m, label, **given) for p, m in zip(TRUTHS, means, strict=True)]


def test_calibrated() -> None:
    word, text = overall(every("calibrated", TRUTHS))
    assert word == "calibrated"
    assert text == (
        "calibrated: for truths from 0.1 to 0.9 the policy ends within 0.01 of the truth (spread of "
        "single samples 0.01)"
    )


def test_overconfident_where_and_by_how_much() -> None:
    word, text = overall(every("overconfident", (0.01, 0.02, 0.5, 0.98, 0.99)))
    assert (word, text) == (
        "overconfident",
        "overconfident: where the truth is 0.75 the policy ends at 0.98, where it is 0.25 at 0.02",
    )
    some = every("calibrated", TRUTHS)
    some[0], some[-1] = end(0.1, 0.01, "overconfident"), end(0.9, 0.99, "overconfident")
    word, text = overall(some)
    assert word == "overconfident"
    assert text.endswith("(at 0.1 and 0.9 only)")
    moving = [
        end(p, m, "overconfident", settled=False)
        for p, m in zip(TRUTHS, (0.1, 0.1, 0.5, 0.9, 0.95), strict=True)
    ]
    assert overall(moving)[1].endswith("and not settled")


def test_what_is_near_one_half_does_not_decide() -> None:
    some = every("calibrated", TRUTHS)
    some[2] = end(0.5, 0.99, "overconfident")
    assert overall(some)[0] == "calibrated"


def test_lottery_says_that_only_the_mean_looks_right() -> None:
    word, text = overall(every("lottery", TRUTHS, low=0.25, high=0.75))
    assert word == "lottery"
    assert "75% of them state 0.9 or more and 25% 0.1 or less" in text
    assert text.endswith("only their mean, 0.75, looks calibrated")
    word, text = overall(every("lottery", (0.5,) * 5, low=0.45, high=0.5))
    assert text.endswith("their mean is 0.50")


def test_the_other_verdicts() -> None:
    assert overall(every("nowhere", (0.5,) * 5))[0] == "not settled"
    moving = [end(p, 0.5, "underconfident", settled=False) for p in TRUTHS]
    assert overall(moving)[0] == "not settled"
    assert overall(every("underconfident", (0.3, 0.4, 0.5, 0.6, 0.7)))[0] == "underconfident"
    assert overall(every("backwards", (0.9, 0.9, 0.5, 0.1, 0.1)))[0] == "backwards"
    both = every("calibrated", TRUTHS)
    both[0], both[-1] = end(0.1, 0.01, "overconfident"), end(0.9, 0.6, "underconfident")
    word, text = overall(both)
    assert word == "mixed"
    assert "truth 0.1: overconfident, ends at 0.01" in text


def test_a_calibrated_estimator_with_a_fault_says_so_in_its_headline() -> None:
    said = "calibrated: for truths from 0.1"
    assert qualified(said, Traits(), 0) == said
    mixing = Traits(leak=Leak(any=True, shift=True))
    assert qualified(said, mixing, 56) == (
        "calibrated in batches of 56 prompts: for truths from 0.1; but its baseline leaks from prompt "
        "to prompt"
    )
    axis = Traits(leak=Leak(any=True, scale=True, by_position=True), ordered=True)
    assert qualified(said, axis, 56).endswith("; but it takes a statistic over the wrong axis")
    common = Traits(leak=Leak(any=True, scale=True))
    assert qualified(said, common, 56) == "calibrated in batches of 56 prompts: for truths from 0.1"
    assert qualified("overconfident: at", mixing, 56) == "overconfident: at"
    several = qualified(said, Traits(ordered=True, labels=True), 0)
    assert several.endswith("within a prompt matters and the ids of the groups matter")
