"""A clip range that nothing reads."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings

__all__ = ["RULE"]


def _check(settings: Settings) -> Iterator[Hit]:

    found = settings.get("dead_clip")
    if found is not None:
        yield Hit(
            f"{said(found)} is not read: clip_ratio_low and clip_ratio_high, 0.2 each, go before it",
            found,
        )


RULE = Rule(
    id="dead-clip",
    severity="note",
    sure="measured",
    title="verl does not read this clip range",
    effect="In verl 0.9.1 the two-sided values have defaults of their own and go before clip_ratio, "
    "so that the run clips at 0.2 whatever it says. Calibration does not change; the "
    "configuration is not what runs.",
    fixes={
        "verl": "actor_rollout_ref.actor.clip_ratio_low=X actor_rollout_ref.actor.clip_ratio_high=X"
    },
    references=("verl 0.9.1, verl/trainer/ppo/core_algos.py",),
    check=_check,
)
