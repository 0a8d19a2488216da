"""What to do about what the diagnosis of difficulty found."""

from __future__ import annotations

import math

import numpy as np

from levelhead._text import percent
from levelhead.diagnose.difficulty._amplify import amplification
from levelhead.diagnose.difficulty._shortcuts import FEWEST
from levelhead.diagnose.difficulty._view import DifficultyResult

__all__ = ["next_steps"]


def next_steps(result: DifficultyResult) -> list[str]:
    """A sentence for each thing to do; none where nothing is to be done.

    Args:
        result: what was found.

    Returns:
        The sentences.
    """
    if result.verdict == "INCONCLUSIVE":
        return _to_be_settled(result)
    if result.verdict == "NO SHORTCUTS":
        return []
    steps = [
        "Read some flagged answers first; --json FILE says where in each the evidence stands.",
        "Before the next training leave out prompts that the base never solves (prompt_filter), or let a "
        "lone success teach only where its text is clean (rare_success_gate), both of "
        "levelhead.diagnose.difficulty.",
    ]
    amplified = amplification(result.by_count)
    if amplified is not None and amplified > 1.05:
        steps.append(
            f"{result.by_count.name} weighs lone successes {amplified:.2f} times too much; rloo and "
            "grpo_no_std do not (algorithm.estimator of levelhead train)."
        )
    return steps


def _to_be_settled(result: DifficultyResult) -> list[str]:
    """What is missing for a verdict."""
    test = result.test
    if not result.has_texts:
        return ["Keep the responses with the samples: a column text, or name theirs with --trace."]
    if result.base is None:
        return [
            "Sample the base on the same prompts and give it: levelhead diagnose difficulty TUNED "
            "--baseline BASE."
        ]
    if test is None:
        return ["Check that both files have responses (--trace) and right answers (--correct)."]
    if test.n_prompts < FEWEST:
        usual = int(np.median(result.bands.counts.samples))
        return [
            f"Sample both models more often, such as {max(16, 2 * usual)} times a prompt in place of "
            f"{usual}, or on more prompts: {FEWEST} that the base rarely solves must be solved by both."
        ]
    difference, high = test.difference or 0.0, test.high or 0.0
    if difference > test.margin / 2.0:
        return [
            "Sample more prompts: four times as many halve the interval. Until then read some of the "
            "flagged answers."
        ]
    # the interval is about as long as 1 / sqrt(prompts)
    needed = test.n_prompts * ((high - difference) / (test.margin - difference)) ** 2
    return [
        f"Sample more prompts: with about {_rounded_up(needed):,} that the base rarely solves and both "
        f"solved, in place of {test.n_prompts:,}, the same shares would rule out an excess of "
        f"{percent(test.margin)}."
    ]


def _rounded_up(number: float) -> int:
    """To two digits."""
    unit = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return math.ceil(number / unit) * unit
