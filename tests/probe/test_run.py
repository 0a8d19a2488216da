"""Estimators with planted faults are called out in words that name the fault's effect."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from levelhead.advantages import TABLE
from levelhead.errors import InvalidInputError
from levelhead.probe import Reading, probe, probe_loss

"""Of sampling per estimator: enough for the verdict, not for the second decimal."""


def said(planted: ModuleType, name: str, **given: object) -> Reading:
    return probe(getattr(planted, name), name=name, **given)


def words(reading: Reading) -> str:
    return " ".join([reading.headline, *reading.mechanism, *reading.notes])


def test_spread_over_the_wrong_axis(planted: ModuleType) -> None:
    text = words(said(planted, "wrong_axis_spread"))
    assert "takes a statistic over the wrong axis" in text
    assert "Divides sample i of a prompt by the spread of the i-th samples of all prompts" in text
    assert "Where a sample stands in its group decides how much it counts" in text
    assert "in a batch of 56 prompts the largest factor is 1." in text


def test_mean_and_spread_over_the_wrong_axis(planted: ModuleType) -> None:
    reading = said(planted, "wrong_axis")
    text = words(reading)
    assert "by the mean and the spread of the i-th samples of all prompts" in text
    assert "pushed up together, whatever they say, and those of hard prompts down" in text
    assert "with two of them the policy for a truth of 0.75 ends at 0.9" in text
    assert reading.two_prompts_end > 0.85


def test_a_baseline_that_leaks_across_prompts(planted: ModuleType) -> None:
    reading = said(planted, "leaking_baseline")
    text = words(reading)
    assert reading.headline.endswith("but its baseline leaks from prompt to prompt")
    assert "Subtracts a mean that mixes prompts" in text
    assert "(easy ones) are pushed up together, whatever they say" in text
    assert "Subtracts another prompt's rewards" in words(said(planted, "neighbors_baseline"))


def test_normalizing_twice(planted: ModuleType) -> None:
    reading = said(planted, "twice")
    text = words(reading)
    assert reading.verdict == "overconfident"
    assert "Normalizes twice" in text
    assert "The second division only rescales everything" in text
    assert "depends on the outcome that the whole group shares" in text
    assert reading.pull > 0.9


@pytest.mark.parametrize(
    ("name", "verdict", "words_of_it"),
    [
        ("centered", "calibrated", "is 0.875 times the exact one at every policy measured"),
        ("per_group", "overconfident", "Divides by a spread of the group"),
        ("per_group_ddof1", "overconfident", "where it is 0.25 at 0.01"),
        ("variance", "overconfident", "spread of the group squared"),
        ("wrong_sign", "backwards", "The sign is wrong"),
        ("no_baseline", "calibrated", "Subtracts no baseline"),
        ("by_rank", "overconfident", "Keeps only the order of the rewards"),
        ("best_only", "lottery", "only their mean"),
        ("cut_off", "calibrated", "Cuts advantages off at 1.00"),
        ("nan_for_equal", "overconfident", "returns NaN for a group whose rewards are all equal"),
        ("single_precision", "calibrated", "returns float32"),
        ("raises_for_one_group", "calibrated", "a batch needs two prompts"),
        ("writes", "calibrated", "writes to the arrays that it is given"),
        ("nothing", "not settled", "Every advantage is 0"),
        ("previous_of_all", "calibrated", "Subtracts another prompt's rewards: the baseline leaks"),
        ("root_of_spread", "overconfident", "it partly divides by the spread of the group"),
        ("signs", "overconfident", "though not as one divisor"),
        ("no_bad_samples", "mixed", "Never gives a negative advantage"),
        ("half_of_bad", "calibrated", "Treats good and bad samples differently"),
        ("chatty", "calibrated", "prints when it is called, which is not shown here: 'rewards ["),
        ("leaves", "not measured", "raises SystemExit (3)"),
        ("backwards_leak", "backwards", "The sign is wrong"),
        ("previous_sample", "calibrated", "order of the samples within a prompt matters"),
        ("noisy", "calibrated", "it draws random numbers"),
        ("EarlierSpread", "calibrated", "On a fixed data set a prompt that keeps its outcome"),
        ("EarlierMean", "calibrated", "Subtracts a baseline from earlier batches"),
        ("batch_spread", "calibrated", "Divides by a spread that mixes prompts"),
        ("one_too_few", "not measured", "returns shape (47,) for 48 rewards"),
        ("raises_always", "not measured", "raises Unhappy (not today)"),
    ],
)
def test_verdict_and_words(planted: ModuleType, name: str, verdict: str, words_of_it: str) -> None:
    reading = said(planted, name)
    assert reading.verdict == verdict, reading.headline
    assert words_of_it in words(reading)
    assert bool(reading.failure) == (verdict == "not measured")


def test_no_division_is_claimed_that_is_not_there(planted: ModuleType) -> None:
    assert "ivide" not in words(said(planted, "previous_of_all"))


def test_a_wrong_step_has_no_price_in_samples(planted: ModuleType) -> None:
    text = words(said(planted, "backwards_leak"))
    assert "accuracy" not in text
    assert "two of them" not in text


def test_at_one_half_no_push_is_no_calibration() -> None:
    labels = {
        (name, groups): end.label
        for name in ("grpo", "rloo", "rank_linear")
        for groups in ("shared", "independent")
        if (end := probe(TABLE[name].function, groups=groups).end(0.5))
    }
    assert labels == {
        ("grpo", "shared"): "no push",
        ("grpo", "independent"): "calibrated",
        ("rloo", "shared"): "calibrated",
        ("rloo", "independent"): "calibrated",
        ("rank_linear", "shared"): "no push",
        ("rank_linear", "independent"): "no push",
    }


def test_ours_are_known_by_their_function() -> None:
    reading = probe(TABLE["grpo"].function, group_size=128)
    assert (reading.method, reading.verdict, len(reading.values)) == ("exact", "overconfident", 9)


def test_a_name_is_no_function() -> None:
    with pytest.raises(InvalidInputError, match="pass levelhead.advantages.grpo"):
        probe("grpo")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="got 'mine.py:f'; pass the function itself"):
        probe("mine.py:f")  # type: ignore[arg-type]


def test_ddof_is_only_a_factor(planted: ModuleType) -> None:
    one, other = said(planted, "per_group"), said(planted, "per_group_ddof1")
    assert [e.label for e in one.ends] == [e.label for e in other.ends]
    # All standard deviations differ by the same sqrt(7 / 8).
    for a, b in zip(one.biases, other.biases, strict=True):
        assert b.factor == pytest.approx(a.factor * np.sqrt(7 / 8), rel=1e-4)


@pytest.mark.parametrize(
    "name", [n for n, row in TABLE.items() if row.scope in ("sample", "group")]
)
def test_ours_end_where_they_declare_with_a_shared_outcome(name: str) -> None:
    verdict = {"truth": "calibrated", "extremes": "overconfident", "lottery": "lottery"}
    reading = probe(TABLE[name].function, name=name)
    declared = TABLE[name].fixed_point
    assert reading.method == "exact"
    if declared == "none":
        assert reading.verdict != "calibrated"
    else:
        assert reading.verdict == verdict[declared], reading.headline


def test_large_groups_of_independent_outcomes_soften_standardization() -> None:
    small = probe(TABLE["grpo"].function, groups="independent", group_size=4)
    large = probe(TABLE["grpo"].function, groups="independent", group_size=32)
    assert small.verdict == "overconfident"
    assert "smallest where the outcomes are all alike" in words(small)
    assert large.end(0.75).mean == pytest.approx(0.75, abs=0.05)  # type: ignore[union-attr]


def test_what_is_asked_for_is_checked(planted: ModuleType) -> None:
    with pytest.raises(InvalidInputError, match="groups: expected one of independent, shared"):
        probe(planted.centered, groups="both")
    with pytest.raises(InvalidInputError, match="reward: expected one of brier"):
        probe(planted.centered, reward="logg")
    with pytest.raises(InvalidInputError, match="group_size: expected 2 to 1024 samples, got 1"):
        probe(planted.centered, group_size=1)


def test_lengths() -> None:
    mean = probe_loss(lambda lengths: 1.0 / lengths, name="mean of the own tokens")
    assert mean.ratio == pytest.approx(2.52, abs=0.005)
    assert mean.verdict == "favors long wrong answers"
    assert mean.headline.startswith("lets long wrong answers off: they end 2.5 times as likely")
    total = probe_loss(lambda lengths: np.ones(lengths.size), name="sum")
    assert (total.ratio, total.verdict) == (pytest.approx(1.0, abs=1e-3), "even")
    tokens = probe_loss(lambda lengths: np.full(lengths.size, 1.0 / lengths.sum()))
    assert 1.0 < tokens.ratio_large < tokens.ratio
    assert "times in batches of 32" in tokens.headline
    square = probe_loss(lambda lengths: lengths.astype(float))
    assert square.verdict == "favors short wrong answers"
    assert "punishes long wrong answers more" in square.headline
    wrong = probe_loss(lambda lengths: lengths[:-1])
    assert wrong.failure
    assert wrong.headline.startswith("not measured: weights: expected shape")
