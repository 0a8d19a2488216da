"""The verdict: what the end of a policy is called, and all ends together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from levelhead._arrays import FloatArray
from levelhead.probe.measure import Ends
from levelhead.probe.questions import Traits
from levelhead.probe.reading import Bias, End, Verdict

__all__ = ["NEAR", "ends_of", "label_end", "listed", "overall", "pushed", "qualified"]

NEAR = 0.05
"""A policy whose mean is this close to the truth has found it."""

SPREAD = 0.15
"""Above this standard deviation single samples do not say what the policy says on average."""

DECISIVE = 0.2
"""Truths this far from 1/2 decide: nearer, biased estimators may stall before they reach an end."""

ENDS = (0.1, 0.9)
"""A statement at or beyond one of these is near an end of the scale."""

BOTH_ENDS, AT_ENDS = 0.1, 0.8
"""A lottery has at least the first share at each end and the second at the two together."""

AROUND, PUSH = (0.25, 0.75), 0.1
"""Policies beside 1/2, and the least pull back to it."""

MOVED = 0.02
"""Total variation distance from the start below which a policy went nowhere."""


def label_end(p: float, mean: float, sd: float, low: float, high: float, moved: float) -> str:
    """What the end of one policy is called.

    Args:
        p: true probability, in [0, 1].
        mean: mean statement in the end.
        sd: standard deviation of single statements.
        low: share of statements <= 0.1.
        high: share of statements >= 0.9.
        moved: total variation distance between start and end.

    Returns:
        `nowhere`, `lottery`, `calibrated`, `backwards`, `overconfident`, `underconfident`, or
        `spread out` where single statements differ widely without being extreme.

    Edge cases: for p within 0.05 of 1/2 there is no side, and what is off is `overconfident`.

    Example:
        >>> label_end(0.75, 0.99, 0.01, 0.0, 1.0, 0.9)
        'overconfident'
    """
    if moved < MOVED:
        return "nowhere"
    if min(low, high) >= BOTH_ENDS and low + high >= AT_ENDS:
        return "lottery"
    if abs(mean - p) <= NEAR:
        return "calibrated" if sd <= SPREAD else "spread out"
    side = np.sign(p - 0.5) if abs(p - 0.5) > NEAR else np.sign(mean - 0.5)
    if side * (mean - 0.5) < -NEAR:
        return "backwards"
    if side * (mean - p) > 0:
        return "overconfident"
    return "underconfident" if sd <= SPREAD else "spread out"


def ends_of(p: FloatArray, values: FloatArray, found: Ends) -> tuple[End, ...]:
    """The ends of all policies, labeled.

    Args:
        p: (P,) true probabilities.
        values: (K,) what the tokens state.
        found: the last policies, with their errors and starts.

    Returns:
        One end per true probability.
    """
    rows: list[End] = []
    start = np.full(found.policy.shape, 1.0 / values.size) if found.start is None else found.start
    for truth, first, pi, se, still in zip(
        p, start, found.policy, found.error, found.settled, strict=True
    ):
        mean = float(pi @ values)
        sd = float(np.sqrt(max(0.0, pi @ (values - mean) ** 2)))
        low, high = (
            float(pi[values <= ENDS[0] + 1e-9].sum()),
            float(pi[values >= ENDS[1] - 1e-9].sum()),
        )
        moved = 0.5 * float(np.abs(pi - first).sum())
        label = label_end(float(truth), mean, sd, low, high, moved)
        rows.append(End(float(truth), mean, sd, low, high, float(se), bool(still), label))
    return tuple(rows)


def pushed(ends: Sequence[End], biases: Sequence[Bias]) -> tuple[End, ...]:
    """The same ends, where one at the symmetric start is called `calibrated` for a reason only.

    A uniform policy states 1/2 on average. Where the truth is 1/2 too, it counts as an end that was
    found only if policies above and below it are pulled back.

    Args:
        ends: one per true probability.
        biases: the pulls at concentrated policies.

    Returns:
        The ends; `no push` instead of `calibrated` or `nowhere` at a truth of 1/2 with no pull.
    """
    rows: list[End] = []
    for end in ends:
        back = [
            np.sign(0.5 - mean) * bias.pull
            for bias in biases
            for mean in AROUND
            if bias.policy == f"near {mean:g}" and np.isclose(bias.p, end.p)
        ]
        middle = np.isclose(end.p, 0.5) and end.label in ("calibrated", "nowhere")
        idle = middle and bool(back) and min(back) < PUSH
        rows.append(dataclasses.replace(end, label="no push") if idle else end)
    return tuple(rows)


def overall(ends: Sequence[End]) -> tuple[Verdict, str]:
    """One word for all ends, and a sentence with the numbers.

    Args:
        ends: one per true probability.

    Returns:
        The verdict and its headline.
    """
    decisive = [end for end in ends if abs(end.p - 0.5) >= DECISIVE - 1e-9]
    labels = [end.label for end in decisive]
    if all(label == "nowhere" for label in labels):
        return "not settled", "not settled: the policy stays where it starts, nothing moves it"
    lotteries = [end for end in ends if end.label == "lottery"]
    if len(lotteries) >= 2:
        return "lottery", _lottery(lotteries)
    moving = [end for end in decisive if not end.settled and end.label != "overconfident"]
    if 3 * len(moving) > len(decisive):
        where = "; ".join(f"{_at(end)} (truth {end.p:g})" for end in moving[:2])
        text = (
            "not settled: policies still move when the steps are over, or other samples end elsewhere: "
            f"{where}"
        )
        return "not settled", text
    if all(label == "calibrated" for label in labels):
        off = max(abs(end.mean - end.p) for end in decisive)
        sd = max(end.sd for end in decisive)
        text = (
            f"calibrated: for truths from {decisive[0].p:g} to {decisive[-1].p:g} the policy ends "
            f"within {max(off, 0.01):.2f} of the truth (spread of single samples {sd:.2f})"
        )
        return "calibrated", text
    for word in ("backwards", "overconfident", "underconfident"):
        found = [end for end in decisive if end.label == word]
        others = {end.label for end in decisive} - {word, "calibrated", "nowhere", "lottery"}
        if found and not others:
            return word, _sided(word, found, decisive)  # pyright: ignore[reportReturnType]
    text = "; ".join(f"truth {end.p:g}: {end.label}, {_at(end)}" for end in decisive)
    return "mixed", f"mixed: {text}"


def qualified(headline: str, t: Traits, prompts: int) -> str:
    """A headline that says `calibrated` with the conditions and the faults that it leaves out.

    Args:
        headline: what `overall` said.
        t: what the questions found.
        prompts: prompts in a batch of the measurement; 0 where no batch was needed.

    Returns:
        The headline; unchanged where there is nothing to add.
    """
    if not headline.startswith("calibrated"):
        return headline
    if t.leak.any and prompts:
        headline = headline.replace("calibrated", f"calibrated in batches of {prompts} prompts", 1)
    faults = (
        (t.random, "it draws random numbers"),
        (t.leak.by_position, "it takes a statistic over the wrong axis"),
        (t.leak.shift and not t.leak.by_position, "its baseline leaks from prompt to prompt"),
        (t.ordered and not t.leak.any, "the order of the samples within a prompt matters"),
        (t.labels, "the ids of the groups matter"),
    )
    found = [fault for holds, fault in faults if holds]
    return f"{headline}; but {listed(found)}" if found else headline


def _at(end: End) -> str:
    return f"ends at {end.mean:.2f}"


def _example(ends: Sequence[End]) -> End:
    """The one whose truth is nearest to 3/4."""
    return min(ends, key=lambda end: abs(end.p - 0.75))


def _sided(word: str, found: Sequence[End], decisive: Sequence[End]) -> str:
    first = _example(found)
    opposite = [end for end in found if np.isclose(end.p, 1.0 - first.p)]
    text = f"{word}: where the truth is {first.p:g} the policy ends at {first.mean:.2f}"
    if opposite:
        text += f", where it is {opposite[0].p:g} at {opposite[0].mean:.2f}"
    if not all(end.settled for end in found):
        text += ", and not settled"
    if len(found) < len(decisive):
        text += f" (at {listed([f'{end.p:g}' for end in found])} only)"
    return text


def _lottery(lotteries: Sequence[End]) -> str:
    end = _example(lotteries)
    text = (
        f"lottery: single samples are extreme, at both ends: where the truth is {end.p:g}, "
        f"{end.high:.0%} of them state 0.9 or more and {end.low:.0%} 0.1 or less"
    )
    if abs(end.mean - end.p) <= NEAR:
        return f"{text}; only their mean, {end.mean:.2f}, looks calibrated"
    return f"{text}; their mean is {end.mean:.2f}"


def listed(words: Sequence[str]) -> str:
    """Words with commas and an `and`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
