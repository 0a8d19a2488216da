"""A switch that the chosen estimator does not read."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings

__all__ = ["RULE"]


def _check(settings: Settings) -> Iterator[Hit]:

    found = settings.get("std_switch_off")
    if found is not None:
        name = settings.plain("estimator")
        yield Hit(f"{said(found)} has no effect: {name} divides by the std all the same", found)


RULE = Rule(
    id="std-switch-ignored",
    severity="error",
    sure="measured",
    title="The std was switched off by a key that this estimator does not read",
    effect="The run looks as if it were calibrated by design and is not: the estimator still divides"
    " by the std of each group (see group-std). verl's grpo_vectorized and gdpo were measured"
    " at 0.9.1 with the switch off and end at the extremes; OpenRLHF reads its switch for "
    "gae, reinforce and reinforce_baseline only.",
    fixes={
        "verl": "algorithm.adv_estimator=grpo beside algorithm.norm_adv_by_std_in_grpo=False",
        "openrlhf": "--algo.advantage.estimator dr_grpo (or rloo), which have no std",
    },
    probes={
        "verl": "levelhead probe 'verl:grpo_vectorized(no std)'",
        "openrlhf": "levelhead probe grpo",
    },
    references=("docs/leaderboard.md",),
    check=_check,
)
