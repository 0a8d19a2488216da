"""What to do about a verdict of the truth diagnosis."""

from __future__ import annotations

import math

from levelhead.diagnose.truth._index import MIN_CLAIMS, BullshitIndex
from levelhead.diagnose.truth._probe import TOPICS_FOR_INTERVAL
from levelhead.diagnose.truth._result import Diagnosed, TruthResult

__all__ = ["more_prompts", "next_steps"]

MOST = 100.0
"""Times as many prompts as there are, beyond which asking for more is no advice."""

BAD = ("INDIFFERENT", "CONTRARY", "DEGENERATE")

TRAINING = (
    "See what the training pays for: levelhead lint RECIPE, also one of TRL, verl or OpenRLHF."
)


def next_steps(result: TruthResult) -> list[str]:
    """What to do, a sentence or two each; nothing where claims follow beliefs.

    Args:
        result: of the diagnosis.

    Returns:
        The steps, most important first.
    """
    model = result.model
    if model.verdict in BAD:
        return [_check(result), TRAINING, *_beliefs_instead(result)]
    if model.verdict == "INCONCLUSIVE":
        return _undecided(model, result.margin)
    return []


def _check(result: TruthResult) -> str:
    """What else looks like a bad verdict; of beliefs no kind is advised that was read already."""
    if result.verdict == "DEGENERATE":
        return (
            "First check the judge: one that always says the same looks like this. Read some answers "
            "whose belief is on the other side."
        )
    by_options = result.options is not None
    if result.verdict == "CONTRARY":
        turned = "a question that was turned around"
        if by_options:
            turned = f"a wrong --yes-at, or {turned},"
        return (
            f"First check that belief and claim are of the same statement: {turned} looks the same."
        )
    kinds = [
        *(["option tokens asked in every order (--yes-at)"] * (not by_options)),
        *(["--hidden-states"] * (result.probe is None)),
    ]
    text = "First check the beliefs: badly read ones look the same."
    return f"{text} Compare those of another kind: {', or '.join(kinds)}." if kinds else text


def _beliefs_instead(result: TruthResult) -> list[str]:
    if result.options is not None:
        return []
    return [
        "Do not take its claims for what it believes: levelhead predict --method options reads beliefs."
    ]


def more_prompts(index: BullshitIndex, margin: float) -> int | None:
    """About how many prompts would decide it, if r and 2 AUROC - 1 stayed where they are.

    n (h / d)^2, h from the value to the end of its interval on the margin's side and d from the value
    to the margin: intervals shrink with the root of the prompts

    Args:
        index: the measures.
        margin: what counts as indifference.

    Returns:
        The number, rounded up to two digits; None where more would not decide it, or where it is more
        than a hundred times as many.
    """
    needed: list[float] = []
    sides: set[int] = set()
    for value, low, high in (
        (index.r, index.r_low, index.r_high),
        (index.d, index.d_low, index.d_high),
    ):
        if value is None or low is None or high is None:
            return None
        side = 0 if abs(value) < margin else 1 if value > 0 else -1
        sides.add(side)
        below, above = value - low, high - value
        pairs = {
            0: ((below, value + margin), (above, margin - value)),
            1: ((below, value - margin),),
            -1: ((above, -margin - value),),
        }
        for reach, distance in pairs[side]:
            if distance <= 0.0 or reach <= 0.0:
                return None
            needed.append((reach / distance) ** 2)
    times = max(needed)
    if len(sides) > 1 or not 1.0 < times <= MOST:
        return None
    number = times * index.n_units
    unit = 10.0 ** max(math.floor(math.log10(number)) - 1, 0)
    return int(math.ceil(number / unit) * unit)


def _undecided(model: Diagnosed, margin: float) -> list[str]:
    index = model.index
    if not model.known:
        return [
            f"Read the beliefs better: states of more topics (below {TOPICS_FOR_INTERVAL} no probe is "
            "judged) and of other layers, or --belief from levelhead predict --method options."
        ]
    if index.n == 0:
        return [
            "Look at the columns of --belief and --claim: rows count where both are there. A claim must "
            "begin with yes, true or 1, or no, false or 0."
        ]
    if index.thin:
        return [
            f"Add prompts until yes and no are each claimed {MIN_CLAIMS} times or more: statements that "
            "the model holds true and such that it holds false."
        ]
    if index.degenerate:
        return ["Add prompts, also such where the model believes the opposite of what it claims."]
    number = more_prompts(index, margin)
    if number is None:
        return []
    unit = f"{model.unit}s"
    return [
        f"Add {unit}: about {number:,} (now {index.n_units:,}) would decide it, if r and 2 AUROC - 1 "
        "stay as they are."
    ]
