"""How an estimator works and what that does to a policy, in sentences.

What is said about the effect of a trait comes from the measurement of the estimator at hand; a trait
without a measured effect is stated without one.
"""

from __future__ import annotations

import numpy as np

from levelhead.probe.blackbox import BlackBox
from levelhead.probe.questions import SCALE, Traits
from levelhead.probe.reading import Reading
from levelhead.probe.verdict import NEAR

__all__ = ["mechanism", "notes", "tags"]

HARMLESS = 0.02
"""Offsets and unequal factors below this are not worth a word."""

EXPLODED = 1000.0
"""Advantages beyond this, from rewards within 5 of one another, are an explosion."""


def mechanism(reading: Reading) -> tuple[str, ...]:
    """What the estimator does and what that does to the policy, the decisive sentence first.

    Args:
        reading: the measurement, with traits and a verdict.

    Returns:
        Sentences; empty where nothing was asked.
    """
    t = reading.traits
    if t is None:
        return ()
    if t.random:
        return ("Gives different advantages for the same rewards: it draws random numbers.",)
    if t.direction == 0:
        return ("Every advantage is 0: nothing is learned.",)
    said = [
        *(_WRONG_SIGN if t.direction < 0 else ()),
        *_by_order(reading, t),
        *_by_spread(reading, t),
        *_by_side(reading, t),
        *_by_leak(reading, t),
        *_by_baseline(reading, t),
        *_by_past(t),
        *_by_size(t),
    ]
    if not said or (reading.verdict == "calibrated" and not t.leak.any):
        said += _proportional(reading)
    if not said:
        said.append("The questions found nothing unusual in how it works.")
    return tuple(said)


_WRONG_SIGN = (
    "The sign is wrong: within a prompt, better rewards get lower advantages, so every update makes "
    "the policy worse.",
)


def _pulls(reading: Reading) -> str:
    """The measured pull at a policy that is right on average."""
    bias = reading.bias("near 0.75", 0.75)
    if bias is None:
        return ""
    return (
        f"at a policy near 0.75, where 0.75 is the truth, it pulls with {bias.pull:+.2f} "
        f"(exact advantage: {bias.exact_pull:+.2f})"
    )


def _by_order(reading: Reading, t: Traits) -> list[str]:
    if t.ranks and t.winner:
        text = "Rewards only the best sample of a prompt, by however little it leads"
        if reading.groups == "shared":
            text += (
                "; with a shared outcome that is the most extreme statement on the side that came "
                "true, so that both ends win and the middle never does"
            )
        return [text + "."]
    if t.ranks:
        text = "Keeps only the order of the rewards within a prompt"
        if reading.group_size == 2:
            text += " (all that dividing by the spread leaves of two samples)"
        if reading.groups == "shared":
            text += (
                "; with a shared outcome that is the order of the statements, up or down, whatever "
                "the reward: a proper reward is worth no more than an improper one"
            )
        pulls = _pulls(reading)
        return [f"{text}{f'; {pulls}' if pulls and reading.verdict != 'calibrated' else ''}."]
    if t.winner:
        return [
            "Only the best sample of a prompt gets an advantage, its lead: that raises the best of a "
            "group and not the average sample, so statements spread."
        ]
    return []


def _by_spread(reading: Reading, t: Traits) -> list[str]:
    if t.ranks:
        return []
    if t.degree < 0:
        power = (
            f"to the power {1 - t.degree:.2g}"
            if t.degree != -1
            else ("squared (its variance, or its spread twice)")
        )
        first = (
            f"Divides by the spread of the group {power}"
            if t.affine
            else f"Wider rewards of a group get smaller advantages (power {t.degree:.2g} of their size)"
        )
        return [
            f"{first}: the less the samples of a prompt differ, the more they count{_at(reading)}."
        ]
    if t.degree != 0:
        return _in_between(reading, t)
    if not t.affine:
        first = (
            "Takes the size of a group's rewards out, though not as one divisor for all of its samples: "
            "multiplied rewards get the same advantages. That size"
        )
    elif t.leak.constant_only and t.leak.scale:
        first = (
            "Normalizes twice: it divides by the spread of the group and then once more by that of the "
            "whole batch. The second division only rescales everything, and with it every step's size, "
            "by how many prompts have equal rewards; the first is what counts: the spread of the group"
        )
    else:
        first = "Divides by a spread of the group, which"
    if reading.groups == "shared":
        text = f"{first} depends on the outcome that the whole group shares"
    else:
        text = f"{first} is smallest where the outcomes are all alike: these groups count the most"
    if reading.verdict == "calibrated":
        return [f"{text}; at this size of group the policy ends at the truth all the same."]
    return [f"{text}{_at(reading)}."]


def _at(reading: Reading) -> str:
    """The measured pull at the end of a sentence; nothing where the policy ends at the truth."""
    pulls = "" if reading.verdict == "calibrated" else _pulls(reading)
    return f"; {pulls}" if pulls else ""


def _in_between(reading: Reading, t: Traits) -> list[str]:
    """Advantages that grow with a group's rewards, but not in proportion."""
    if t.leak.any and not t.leak.constant_only:
        return []
    if np.isfinite(t.degree) and abs(t.degree - 1.0) > HARMLESS:
        grown = SCALE**t.degree
        first = (
            f"Rewards of a group that are {SCALE:g} times as far apart get advantages that are "
            f"{grown:.2g} times as large"
        )
        if t.degree > 1.0:
            return [
                f"{first}: the more the samples of a prompt differ, the more they count, twice."
            ]
        what = "partly divides by the spread of the group" if t.affine else "partly scale-free"
        which = (
            ", which depends on the outcome that the whole group shares"
            if t.affine and reading.groups == "shared"
            else ""
        )
        return [f"{first}: it {'' if t.affine else 'is '}{what}{which}{_at(reading)}."]
    return []


def _by_side(reading: Reading, t: Traits) -> list[str]:
    """Good and bad samples treated differently, or rewards bent."""
    if t.winner:
        return []
    if t.no_negative:
        return [
            "Never gives a negative advantage: what is worse than the baseline is not pushed down, so "
            "that statements whose rewards vary gain by their good days and pay for no bad ones"
            f"{_at(reading)}."
        ]
    if t.asymmetric:
        return [
            "Treats good and bad samples differently: rewards with the sign turned do not get "
            f"advantages with the sign turned{_at(reading)}."
        ]
    bent = np.isnan(t.degree) and not t.affine
    if bent and not (t.leak.any or t.ordered or t.labels or np.isfinite(t.bound)):
        return [
            "Bends the rewards: within a group advantages do not grow in proportion to them, so that "
            f"what is best on average need not be what is pushed up{_at(reading)}."
        ]
    return []


def _by_leak(reading: Reading, t: Traits) -> list[str]:
    leak = t.leak
    if not leak.any or leak.constant_only:
        return []
    said: list[str] = []
    divides = _divides(t)
    batch = f"in a batch of {reading.prompts} prompts" if reading.prompts else "in this batch"
    if leak.by_position:
        of_all = "of the i-th samples of all prompts: a statistic over the wrong axis"
        if leak.shift and divides:
            text = f"Normalizes sample i of a prompt by the mean and the spread {of_all}"
        elif leak.shift:
            text = f"Subtracts from sample i of a prompt the mean {of_all}"
        elif divides:
            text = f"Divides sample i of a prompt by the spread {of_all}"
        else:
            text = f"The advantage of sample i of a prompt depends on the rewards {of_all}"
        if leak.scale and reading.unequal_positions > 1 + HARMLESS:
            text += (
                f". Where a sample stands in its group decides how much it counts: {batch} the largest "
                f"factor is {reading.unequal_positions:.1f} times the smallest"
            )
        said.append(text + ".")
    elif leak.scale and not leak.shift and not divides:
        said.append("The size of a prompt's advantages depends on the rewards of other prompts.")
    elif leak.scale and not leak.shift:
        said.append(
            "Divides by a spread that mixes prompts: a prompt's step depends on how its batch is made "
            + (
                f"up; {batch} that is nearly one common factor."
                if reading.verdict == "calibrated"
                else "up. As policies settle, fewer and fewer prompts make up that spread, as in a small "
                "batch."
            )
        )
    elif leak.shift:
        whose = "another prompt's rewards" if leak.some_groups else "a mean that mixes prompts"
        text = f"Subtracts {whose}" + (", and divides by a spread of the batch" if divides else "")
        said.append(f"{text}: the baseline leaks from prompt to prompt.")
    else:
        said.append("The rewards of other prompts change the advantages of a prompt.")
    said += _offsets(reading) if leak.shift else []
    said += _few_prompts(reading)
    return said


def _divides(t: Traits) -> bool:
    """Whether it was seen that a spread over prompts divides: all rewards larger, advantages not."""
    return t.leak.scale and not t.leak.constant_only and t.batch_degree < 1.0 - HARMLESS


def _offsets(reading: Reading) -> list[str]:
    if not reading.offsets or max(map(abs, reading.offsets)) < 5 * HARMLESS:
        return []
    low, high = min(reading.offsets), max(reading.offsets)
    text = (
        "All samples of a prompt whose rewards are above the batch's mean (easy ones) are pushed up "
        f"together, whatever they say, and those of hard prompts down: by {high:+.2f} and {low:+.2f} "
        "standard deviations"
    )
    return [text + _noise(reading) + "."]


def _noise(reading: Reading) -> str:
    if not np.isfinite(reading.samples_needed):
        return ""
    if reading.samples_needed > 1.2:
        return (
            "; on average that cancels, but a step of the same accuracy needs "
            f"{reading.samples_needed:.1f} times the samples of (reward - group mean)"
        )
    if reading.verdict == "backwards":
        return ""  # what a wrong step costs is beside the point
    return "; that cancels on average, and costs no accuracy that was measurable here"


def _few_prompts(reading: Reading) -> list[str]:
    end = reading.two_prompts_end
    if not np.isfinite(end):
        return []
    many = reading.end(0.75)
    if many is not None and abs(end - many.mean) <= NEAR and reading.verdict != "calibrated":
        return []  # no other end than with many prompts
    beside = f" (at {many.mean:.2f} with {reading.prompts})" if many is not None else ""
    if abs(end - 0.75) <= NEAR:
        if many is None or abs(many.mean - 0.75) > NEAR:
            return []
        return [
            f"With as few as two prompts in a batch the policy for 0.75 still ends at {end:.2f}."
        ]
    return [
        f"The fewer prompts are in a batch, the more the statistic knows of the present outcome: with "
        f"two of them the policy for a truth of 0.75 ends at {end:.2f}{beside}."
    ]


def _by_baseline(reading: Reading, t: Traits) -> list[str]:
    own, every = t.own_baseline, t.all_baseline
    if not (own > 0 and every > 0) or t.leak.any:
        return []
    if t.history == "shift":
        return []
    if np.isclose(own, 1.0, atol=HARMLESS):
        text = "Subtracts no baseline: all samples of a prompt are pushed up or down together"
        return [text + _noise(reading).replace("; on average that cancels, but", ";") + "."]
    return [
        f"Its baseline is incomplete: {own:.0%} of a constant added to a prompt's rewards stays in "
        "its advantages, an offset that is the same for all of its samples and changes no expected "
        "step."
    ]


def _by_past(t: Traits) -> list[str]:
    return {
        "scale": [
            "Divides by a spread of earlier batches, which knows nothing of the present outcome: "
            "outcomes are drawn anew here. On a fixed data set a prompt that keeps its outcome tells "
            "it to its own past, and predictions drift to the extremes."
        ],
        "shift": ["Subtracts a baseline from earlier batches."],
        "other": ["Remembers earlier batches."],
        "none": [],
    }[t.history] + (
        ["The order of the samples within a prompt changes their advantages."]
        if t.ordered and not t.same_position and not t.leak.any
        else []
    )


def _by_size(t: Traits) -> list[str]:
    if not np.isfinite(t.bound):
        return []
    if t.clipped:
        return [
            f"Cuts advantages off at {t.bound:.2f}: beyond that, how much better does not count."
        ]
    return [f"Is bounded: no advantage exceeds {t.bound:.2f}, however far the rewards are apart."]


def _proportional(reading: Reading) -> list[str]:
    """Whether the expected advantage is one multiple of the exact one at every measured policy."""
    known = [b for b in reading.biases if np.isfinite(b.cosine)]
    if not known or reading.method != "exact":
        return []
    factors = [b.factor for b in known]
    if min(b.cosine for b in known) > 1 - 1e-6 and np.ptp(factors) <= 1e-3 * max(factors):
        times = "" if np.isclose(factors[0], 1.0, atol=1e-3) else f"{factors[0]:.3f} times "
        return [f"Its expected advantage is {times}the exact one at every policy measured."]
    return []


def tags(t: Traits | None) -> str:
    """How an estimator works in a few words, for a table.

    Args:
        t: what the questions found; None where it was not asked.

    Returns:
        Words, separated by commas; empty where there are none.
    """
    if t is None:
        return ""
    if t.random or t.direction == 0:
        return "random" if t.random else "all zero"
    leak = t.leak
    alone = not leak.any or leak.constant_only
    partly = alone and HARMLESS < t.degree < 1.0 - HARMLESS
    words = [
        (t.direction < 0, "wrong sign"),
        (t.ranks and t.winner, "best of the group only"),
        (t.ranks and not t.winner, "ranks only"),
        (t.winner and not t.ranks, "lead of the best only"),
        (t.degree == 0 and not t.ranks and t.affine, "÷ group spread"),
        (t.degree == 0 and not t.ranks and not t.affine, "scale-free"),
        (partly and t.affine, "÷ part of the group spread"),
        (partly and not t.affine, "partly scale-free"),
        (t.no_negative and not t.winner, "no negative advantage"),
        (
            t.asymmetric and not t.no_negative and not t.winner,
            "good and bad samples differ",
        ),
        (t.degree < 0, "÷ group spread, more than once"),
        (leak.constant_only and leak.scale, "÷ batch spread again"),
        (leak.by_position, "statistic over the wrong axis"),
        (_divides(t) and not leak.by_position, "÷ batch spread"),
        (leak.shift and not leak.by_position, "- mean over prompts"),
        (t.history == "scale", "÷ earlier spread"),
        (t.history == "shift", "- earlier mean"),
        (np.isclose(t.own_baseline, 1.0) and t.all_baseline > 0, "no baseline"),
        (np.isfinite(t.bound), "bounded"),
        (t.ordered and not t.same_position, "order matters"),
    ]
    found = [word for holds, word in words if holds]
    return ", ".join(found or ["- group mean"])


def notes(box: BlackBox, t: Traits, largest: float, *, own: bool) -> tuple[str, ...]:
    """What else was noticed about a function, apart from where it drives a policy.

    Args:
        box: the estimator after the measurement.
        t: what the questions found.
        largest: the largest advantage in size that the measurement saw.
        own: whether the reader wrote it, and so wants to hear of odd inputs too.

    Returns:
        Sentences.
    """
    said: list[str] = []
    if t.constant_group == "nan":
        said.append(
            "returns NaN for a group whose rewards are all equal (0 / 0), which ends a training run; "
            "measured with 0 in its place"
        )
    elif box.not_finite:
        said.append(f"returns NaN or infinity given {box.not_finite}; measured with 0 in its place")
    if largest > EXPLODED:
        said.append(
            f"explodes: advantages up to {largest:,.0f}, where a spread it divides by is nearly 0; "
            "one such group drowns all others"
        )
    if t.constant_group == "unequal":
        said.append("equal rewards get different advantages: ties are broken by position")
    if t.singleton == "reward":
        said.append("a group of one keeps its raw reward")
    if not own:
        return tuple(said)
    if box.writes:
        said.append("writes to the arrays that it is given")
    if t.labels:
        said.append("the ids of the groups change the advantages")
    if t.adjacent:
        said.append(
            "takes neighbors for a group: an interleaved batch gets other advantages, or none"
        )
    said += [text for text in (t.one_group, t.unequal) if text]
    if t.nan_reward in ("the batch", "its group"):
        reach = "advantages of other prompts" if t.nan_reward == "the batch" else "its whole group"
        said.append(
            f"one reward that is NaN makes {reach} NaN: a single answer that cannot be scored would "
            "spoil the update; leave NaN out of the statistics and give it the advantage 0"
        )
    if box.printed:
        shown = " ".join(box.printed.split())[:60]
        said.append(f"prints when it is called, which is not shown here: {shown!r}")
    if box.dtype and not box.dtype.startswith("float64"):
        said.append(f"returns {box.dtype}")
    return tuple(said)
