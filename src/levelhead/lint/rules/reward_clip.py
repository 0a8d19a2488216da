"""Rewards are floored after they were computed."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said, unscored
from levelhead.lint.settings import Settings

__all__ = ["RULE"]

BOTTOMS = {"log": -4.6052, "brier": -1.0, "spherical": -1.0}
"""The worst score of a prediction clipped to [0.01, 0.99]."""


def _check(settings: Settings) -> Iterator[Hit]:

    low = settings.get("reward_low")
    if low is None or unscored(settings):
        return
    name = settings.plain("reward_rule")
    bottom = BOTTOMS.get(name, BOTTOMS["log"]) if name else BOTTOMS["log"]
    if low.value > bottom:
        sure = "" if name else ", if that is a log score"
        yield Hit(f"{said(low)} floors rewards above the worst score of {bottom:.4g}{sure}", low)


RULE = Rule(
    id="reward-clip",
    severity="warning",
    sure="proven",
    title="The reward is clipped, not the prediction",
    effect="Below the floor a worse statement costs nothing more, so the extreme one is best: with "
    "the log score floored at ln 0.01, stating 0 is optimal for every probability below "
    "0.0268, and a higher floor widens that range. Clip the prediction to [0.01, 0.99] and "
    "leave the reward alone.",
    fixes={
        "trl": "no reward_clip_range; clip the confidence inside of the reward function",
        "openrlhf": "--reward.clip_range -10 10, and clip the confidence inside of the reward",
    },
    references=("docs/theory.md",),
    check=_check,
)
