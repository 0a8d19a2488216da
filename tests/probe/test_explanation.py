"""Each trait has its words, and a measured effect is only claimed where it was measured."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from levelhead.probe.blackbox import BlackBox
from levelhead.probe.explanation import mechanism, notes, tags
from levelhead.probe.questions import Leak, Traits
from levelhead.probe.reading import Bias, End, Reading

BIAS = Bias("near 0.75", 0.75, 0.1, 1.0, 0.97, -0.06, (), (), (), ())


def reading(traits: Traits, **given: object) -> Reading:
    empty = Reading("mine", "", "", "", "log", "shared", 8, 0, traits=traits, biases=(BIAS,))
    return dataclasses.replace(empty, **given)  # type: ignore[arg-type]


def text(traits: Traits, **given: object) -> str:
    return " ".join(mechanism(reading(traits, **given)))


def test_the_spread_of_a_group_is_explained_by_its_outcomes() -> None:
    traits = Traits(degree=0.0, batch_degree=0.0)
    over = text(traits, verdict="overconfident")
    assert "depends on the outcome that the whole group shares" in over
    assert "it pulls with +0.97 (exact advantage: -0.06)" in over
    own = text(traits, verdict="overconfident", groups="independent")
    assert "is smallest where the outcomes are all alike" in own
    harmless = text(traits, verdict="calibrated")
    assert "the policy ends at the truth all the same" in harmless
    assert "pulls" not in harmless


def test_offsets_and_noise_are_stated_with_what_was_measured() -> None:
    leak = Traits(leak=Leak(any=True, shift=True))
    common = {"offsets": (0.4, -0.1, -0.3), "prompts": 56}
    costly = text(leak, samples_needed=3.0, **common)
    assert "by +0.40 and -0.30 standard deviations" in costly
    assert "needs 3.0 times the samples" in costly
    assert "costs no accuracy that was measurable" in text(leak, samples_needed=1.0, **common)
    assert "easy ones" not in text(leak, offsets=(0.01, -0.01))


def test_few_prompts() -> None:
    leak = Traits(leak=Leak(any=True, scale=True), batch_degree=0.0)
    assert "ends at 0.98" in text(leak, two_prompts_end=0.98, prompts=56)
    assert "two of them" not in text(leak)
    assert "nearly one common factor" in text(leak, verdict="calibrated", prompts=56)
    assert "as in a small batch" in text(leak, verdict="overconfident", prompts=56)


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        (Traits(random=True), "draws random numbers"),
        (Traits(direction=0), "Every advantage is 0"),
        (Traits(winner=True), "Only the best sample of a prompt gets an advantage"),
        (Traits(degree=-1.0), "spread of the group squared"),
        (Traits(degree=-2.0), "to the power 3"),
        (Traits(own_baseline=0.125, all_baseline=0.125), "12% of a constant"),
        (Traits(bound=0.875), "no advantage exceeds 0.88"),
        (Traits(ordered=True), "The order of the samples"),
        (Traits(leak=Leak(any=True)), "The rewards of other prompts change"),
        (Traits(leak=Leak(any=True, scale=True)), "depends on the rewards of other prompts"),
        (Traits(leak=Leak(any=True, by_position=True)), "a statistic over the wrong axis"),
        (Traits(degree=-1.0, affine=False), "get smaller advantages (power -1 of their size)"),
        (Traits(degree=0.0, affine=False), "though not as one divisor for all"),
        (
            Traits(degree=0.5),
            "4 times as far apart get advantages that are 2 times as large: it partly",
        ),
        (Traits(degree=0.5, affine=False), "it is partly scale-free"),
        (Traits(degree=2.0, affine=False), "advantages that are 16 times as large"),
        (Traits(asymmetric=True, no_negative=True), "Never gives a negative advantage"),
        (Traits(asymmetric=True), "Treats good and bad samples differently"),
        (Traits(degree=np.nan, affine=False), "Bends the rewards"),
        (Traits(), "found nothing unusual"),
    ],
)
def test_one_trait_one_sentence(traits: Traits, expected: str) -> None:
    assert expected in text(traits, verdict="mixed")


@pytest.mark.parametrize(
    "leak",
    [
        Leak(any=True, shift=True, scale=True, some_groups=True),
        Leak(any=True, scale=True),
        Leak(any=True, shift=True, scale=True, by_position=True),
        Leak(any=True, constant_only=True),
    ],
)
def test_no_division_that_was_not_seen(leak: Leak) -> None:
    """Four times all rewards gave four times the advantages: nothing divides."""
    assert "ivides" not in text(Traits(leak=leak, batch_degree=1.0), verdict="mixed")
    assert "ormalizes" not in text(Traits(leak=leak, batch_degree=1.0), verdict="mixed")


def test_what_says_nothing_new_is_left_out() -> None:
    leak = Traits(leak=Leak(any=True, shift=True), direction=-1)
    wrong = text(leak, verdict="backwards", samples_needed=1.0, offsets=(0.4, -0.3), prompts=56)
    assert "sign is wrong" in wrong
    assert "accuracy" not in wrong
    ends = (End(0.75, 0.01, 0.0, 1.0, 0.0, 0.0, True, "backwards"),)
    assert "two of them" not in text(leak, verdict="backwards", two_prompts_end=0.01, ends=ends)
    assert "two of them" in text(leak, verdict="mixed", two_prompts_end=0.99, ends=ends)


def test_nothing_is_said_without_questions() -> None:
    assert mechanism(dataclasses.replace(reading(Traits()), traits=None)) == ()
    assert tags(None) == ""


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        (Traits(), "- group mean"),
        (Traits(degree=0), "÷ group spread"),
        (Traits(degree=0, ranks=True), "ranks only"),
        (Traits(degree=0, ranks=True, winner=True), "best of the group only"),
        (Traits(leak=Leak(any=True, scale=True), batch_degree=0.0), "÷ batch spread"),
        (Traits(leak=Leak(any=True, scale=True)), "- group mean"),
        (Traits(degree=0, affine=False), "scale-free"),
        (Traits(degree=0.5), "÷ part of the group spread"),
        (Traits(degree=0.5, affine=False), "partly scale-free"),
        (Traits(asymmetric=True, no_negative=True), "no negative advantage"),
        (Traits(asymmetric=True), "good and bad samples differ"),
        (Traits(leak=Leak(any=True, shift=True)), "- mean over prompts"),
        (
            Traits(degree=0, leak=Leak(any=True, scale=True, constant_only=True)),
            "÷ group spread, ÷ batch spread again",
        ),
        (Traits(own_baseline=1.0, all_baseline=1.0), "no baseline"),
        (Traits(direction=-1), "wrong sign"),
        (Traits(history="scale", stateful=True), "÷ earlier spread"),
        (Traits(random=True), "random"),
        (Traits(direction=0), "all zero"),
    ],
)
def test_tags(traits: Traits, expected: str) -> None:
    assert tags(traits) == expected


def test_notes_for_an_owner_and_for_a_reader() -> None:
    box = BlackBox("mine", lambda: lambda r, g: r, dtype="float32", writes=True)
    odd = Traits(singleton="reward", adjacent=True, nan_reward="the batch", one_group="mine fails")
    own = " ".join(notes(box, odd, 5e6, own=True))
    for phrase in ("keeps its raw reward", "writes to", "neighbors", "mine fails", "float32"):
        assert phrase in own
    assert own.count("one reward that is NaN") == 1
    assert "a single answer that cannot be scored would spoil the update; leave NaN out" in own
    assert "explodes: advantages up to 5,000,000" in own
    peer = " ".join(notes(box, odd, 2.0, own=False))
    assert peer == "a group of one keeps its raw reward"
    assert (
        notes(BlackBox("mine", lambda: np.negative), Traits(nan_reward="nowhere"), 1, own=True)
        == ()
    )
