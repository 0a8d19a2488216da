"""Correctness alone is paid."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings

__all__ = ["RULE"]


def _check(settings: Settings) -> Iterator[Hit]:

    found = settings.get("reward_kind")
    if found is None or found.value != "correctness":
        return
    what = (
        "no reward function is set, and the built-in ones check"
        if found.default
        else f"{said(found)} pays for"
    )
    yield Hit(f"{what} correctness only: every stated confidence earns the same", found)


RULE = Rule(
    id="binary-reward",
    severity="warning",
    sure="proven",
    title="Only correctness is rewarded",
    effect="The reward is flat in the stated confidence, so nothing keeps it honest, and a guess "
    "costs nothing. Such training is reported to end overconfident: an ECE of 0.37 on "
    "HotpotQA, against 0.03 with a Brier term.",
    fixes={
        "trl": "reward_funcs=[rlcr_reward(answer=COLUMN)] from levelhead.adapters.trl_rewards",
        "verl": "reward.custom_reward_function.path=FILE with a proper score of the confidence",
        "openrlhf": "--reward.remote_url FILE with a proper score of the confidence",
        "levelhead": "reward.rule: rlcr",
    },
    references=("arXiv:2507.16806", "arXiv:2503.02623"),
    check=_check,
)
