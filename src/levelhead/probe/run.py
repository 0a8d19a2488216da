"""From an estimator to its reading: questions, measurement, verdict."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from levelhead._arrays import FloatArray, IntArray
from levelhead.advantages import TABLE
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.lab.lengths import drift
from levelhead.probe.blackbox import BlackBox, EstimatorError, instances
from levelhead.probe.explanation import mechanism, notes
from levelhead.probe.measure import exact
from levelhead.probe.questions import ask
from levelhead.probe.reading import LengthReading, LengthVerdict, Reading
from levelhead.probe.sampling import (
    PROMPTS,
    sampled,
    samples_needed,
    two_prompts_end,
    unequal_positions,
)
from levelhead.probe.verdict import ends_of, overall, pushed, qualified
from levelhead.rewards import TABLE as REWARDS

__all__ = ["GROUPS", "probe", "probe_loss", "read"]

GROUPS = ("shared", "independent")
"""What the samples of a prompt share: one outcome, or none."""

MOST_GROUP_SIZE = 1024

BATCH, LARGE_BATCH = 8, 32
"""Sequences in a batch when the effect of length is measured; some effects fade as batches grow."""

EVEN = 0.05
"""A ratio of long to short wrong answers within this of 1 is even."""


def probe(
    estimator: Callable[..., Any],
    *,
    name: str = "",
    version: str = "",
    how: str = "",
    note: str = "",
    reward: str = "log",
    groups: str = "shared",
    group_size: int = 8,
    seed: int = 0,
) -> Reading:
    """Find out where an estimator drives policies, and why, by calling it.

    Args:
        estimator: (rewards (N,), groups (N,)) -> advantages (N,); a class of such objects is made
            anew for every measurement, an object is copied. The samples of a group stand together.
        name: how to call it; the function's own name by default.
        version: of the package that it comes from.
        how: whether installed code runs, or a published formula.
        note: what must be known about how it is driven.
        reward: a name in `levelhead.rewards.TABLE`; proper rewards make truth the best statement.
        groups: `shared`, one outcome for the whole group (forecasts), or `independent` ones
            (confidence in one's own answer).
        group_size: samples per group, 2 to 1024.
        seed: of everything random, >= 0.

    Returns:
        The reading; where the function fails on ordinary input its `failure` says how, and nothing
        is raised.

    Raises:
        InvalidInputError: no function, an unknown reward or kind of groups, or a group size out of
            range.

    Edge cases: an estimator that looks at one group at a time is measured exactly, without any
        sampling, as far as groups can be enumerated, and ours at any size; others on batches of 56
        prompts. What the estimator prints is not shown.
    Properties: the same samples for every estimator that is sampled.
    Reference: the fixed points of arXiv:2508.11800.

    Example:
        >>> from levelhead.advantages import rloo
        >>> probe(rloo).headline.split(":")[0]
        'calibrated'
    """
    if not callable(estimator):
        raise _no_function(estimator)
    label = name or getattr(estimator, "__name__", type(estimator).__name__)
    known = next((row.name for row in TABLE.values() if row.function is estimator), "")
    return read(
        BlackBox(label, instances(estimator), known),
        Reading(label, version, how, note, reward, groups, group_size, seed),
    )


def _no_function(got: object) -> InvalidInputError:
    given = f"{got!r}"[:60]
    known = isinstance(got, str) and got in TABLE
    hint = f"pass levelhead.advantages.{got}" if known else "pass the function itself"
    return InvalidInputError(
        f"estimator: expected a function (rewards, groups) -> advantages, got {given}; {hint}"
    )


def read(box: BlackBox, empty: Reading) -> Reading:
    """Measure a black box in the world that an empty reading names.

    Args:
        box: the estimator.
        empty: a reading with names, reward, groups, group size and seed.

    Returns:
        The reading; with a `failure` where the box cannot be measured.

    Raises:
        InvalidInputError: an unknown reward or kind of groups, or a group size out of range.
    """
    if empty.groups not in GROUPS:
        raise unknown_name("groups", empty.groups, GROUPS)
    if empty.reward not in REWARDS:
        raise unknown_name("reward", empty.reward, REWARDS)
    if not 2 <= empty.group_size <= MOST_GROUP_SIZE:
        raise InvalidInputError(
            f"group_size: expected 2 to {MOST_GROUP_SIZE} samples, got {empty.group_size}"
        )
    start = time.perf_counter()
    try:
        reading = _measured(box, empty)
    except EstimatorError as error:
        reading = dataclasses.replace(empty, failure=str(error), headline=f"not measured: {error}")
    return dataclasses.replace(reading, seconds=time.perf_counter() - start)


def _measured(box: BlackBox, empty: Reading) -> Reading:
    world = (empty.reward, empty.groups, empty.group_size)
    traits = ask(box, empty.group_size, seed=empty.seed)
    box.largest = 0.0
    found = exact(box, *world, seed=empty.seed) if traits.tabulable else None
    method = "sampled" if found is None else "exact"
    if found is None:
        by_prompt = traits.labels or traits.leak.some_groups
        found = sampled(box, *world, seed=empty.seed, mirrored=not by_prompt)
    setting, ends, biases = found
    labeled = pushed(ends_of(setting.truths, setting.values, ends), biases)
    verdict, headline = overall(labeled)
    largest = box.largest
    noise, offsets = samples_needed(box, *world, seed=empty.seed)
    mixes = traits.leak.any and not traits.leak.constant_only
    reading = dataclasses.replace(
        empty,
        values=tuple(setting.values.tolist()),
        method=method,
        ends=labeled,
        biases=tuple(biases),
        traits=traits,
        samples_needed=noise,
        offsets=offsets,
        two_prompts_end=two_prompts_end(box, *world, seed=empty.seed) if mixes else float("nan"),
        unequal_positions=unequal_positions(box, setting, seed=empty.seed)
        if traits.leak.by_position
        else 1.0,
        prompts=PROMPTS if method == "sampled" else 0,
        steps=ends.steps,
        verdict=verdict,
        headline=qualified(headline, traits, PROMPTS if method == "sampled" else 0),
    )
    return dataclasses.replace(
        reading,
        mechanism=mechanism(reading),
        notes=notes(box, traits, largest, own=not empty.version),
    )


def probe_loss(
    weights: Callable[[IntArray], FloatArray],
    *,
    name: str = "",
    version: str = "",
    how: str = "",
    note: str = "",
) -> LengthReading:
    """Find out whether a way to add up the losses of tokens lets long wrong answers off.

    Three answers, one right of 10 tokens and two wrong ones of 100 and of 10, follow the expected
    update from an even start until the right one has probability 0.9.

    Args:
        weights: lengths (B,) -> factors (B,) by which each sequence's summed token losses count.
        name: how to call it; the function's own name by default.
        version: of the package that it comes from.
        how: whether installed code runs, or a published formula.
        note: what must be known about how it is driven.

    Returns:
        The reading; where the function fails its `failure` says how, and nothing is raised.

    Properties: a factor that is the same for all sequences of a batch changes no direction.
    Reference: arXiv:2503.20783.

    Example:
        >>> probe_loss(lambda lengths: 1.0 / lengths, name="mine").headline
        'lets long wrong answers off: they end 2.5 times as likely as short ones'
    """
    label = name or getattr(weights, "__name__", type(weights).__name__)
    start = time.perf_counter()
    empty = LengthReading(label, version, how, note)
    try:
        found, large = drift(weights, group_size=BATCH), drift(weights, group_size=LARGE_BATCH)
    except InvalidInputError as error:
        return dataclasses.replace(empty, failure=str(error), headline=f"not measured: {error}")
    verdict, headline = _length_verdict(found.ratio, large.ratio)
    if not (found.reached and large.reached):
        verdict, headline = "none", "not settled: the right answer never becomes likely"
    return dataclasses.replace(
        empty,
        ratio=found.ratio,
        ratio_large=large.ratio,
        verdict=verdict,
        headline=headline,
        seconds=time.perf_counter() - start,
    )


def _length_verdict(ratio: float, large: float) -> tuple[LengthVerdict, str]:
    """The word and the sentence for the ratios in batches of 8 and of 32 sequences."""
    if abs(ratio - 1.0) <= EVEN:
        return "even", f"even: long and short wrong answers end alike (ratio {ratio:.2f})"
    fades = ""
    if abs(large - 1.0) < 0.5 * abs(ratio - 1.0):
        fades = f" in batches of {BATCH} sequences, {large:.2f} times in batches of {LARGE_BATCH}"
    if ratio > 1.0:
        text = f"lets long wrong answers off: they end {ratio:.1f} times as likely as short ones"
        return "favors long wrong answers", text + fades
    text = f"punishes long wrong answers more: they end {ratio:.2f} times as likely as short ones"
    return "favors short wrong answers", text + fades
