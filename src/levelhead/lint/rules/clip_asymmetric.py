"""A wider clip upwards."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings

__all__ = ["RULE"]


def _check(settings: Settings) -> Iterator[Hit]:

    low, high = settings.get("clip_low"), settings.get("clip_high")
    if low is None or high is None or low.value == high.value:
        return
    yield Hit(
        f"{said(high)} beside {low.value:g} below: ratios may rise further than they may fall"
        if high.value > low.value
        else f"{said(high)} beside {low.value:g} below: ratios may fall further than they may rise",
        high,
    )


RULE = Rule(
    id="clip-asymmetric",
    severity="note",
    sure="reported",
    title="The ratio is clipped at different distances above and below",
    effect="A wider range upwards is reported to keep the policy's entropy up. What it does to "
    "stated confidences has not been measured, here or elsewhere; with one update per rollout"
    " it does nothing.",
    fixes={
        "trl": "no epsilon_high",
        "verl": "actor_rollout_ref.actor.clip_ratio_low=0.2 actor_rollout_ref.actor.clip_ratio_high=0.2",
        "openrlhf": "--actor.eps_clip 0.2 without --actor.eps_clip_low_high",
        "levelhead": "algorithm.clip_high equal to algorithm.clip_low",
    },
    references=("arXiv:2503.14476",),
    check=_check,
)
