"""A learned reward model."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings

__all__ = ["RULE"]


def _check(settings: Settings) -> Iterator[Hit]:

    found = settings.get("reward_kind")
    if found is not None and found.value == "model":
        yield Hit(
            f"{said(found)}: a learned model judges, and it may prefer confident words", found
        )


RULE = Rule(
    id="reward-model",
    severity="note",
    sure="reported",
    title="A learned reward model judges the answers",
    effect="Reward models are reported to prefer high stated confidence whatever the answer's "
    "quality, and training on them to make verbal confidence worse. Nothing here measures "
    "yours: audit before and after.",
    fixes={
        "trl": "add brier_reward(...) of levelhead.adapters.trl_rewards to reward_funcs",
        "verl": "reward.custom_reward_function.path=FILE with a proper score of the confidence",
        "openrlhf": "--reward.remote_url FILE with a proper score of the confidence",
    },
    references=("arXiv:2410.09724",),
    check=_check,
)
