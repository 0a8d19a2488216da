"""A batch statistic over few prompts."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings

__all__ = ["RULE"]

ENOUGH = 32
"""Prompts in a batch from which on its std was measured to be harmless."""


def _check(settings: Settings) -> Iterator[Hit]:

    found, prompts = settings.get("advantage"), settings.get("batch_prompts")
    if found is None or found.value != "batch_std" or prompts is None:
        return
    if prompts.value < ENOUGH:
        yield Hit(
            f"{said(found)} divides by the std of a batch, and {prompts.value:g} prompts share one",
            prompts,
        )


RULE = Rule(
    id="small-batch-std",
    severity="warning",
    sure="measured",
    title="A batch's std is used as divisor, and few prompts share a batch",
    effect="A std over many prompts hardly knows the present outcome and only changes the learning "
    "rate. Over few it does: in groups of 8 with a shared outcome a truth of 0.75 ended at 0.99 in "
    "batches of two prompts and mostly at 0.9 in batches of eight, one of 0.9 at 0.99 up to sixteen; "
    "with 32 prompts both stayed where they belong (five seeds each).",
    fixes={
        "trl": 'generation_batch_size of at least 32 * num_generations, or scale_rewards="none"',
        "verl": "data.train_batch_size=32 or more, or algorithm.adv_estimator=rloo",
        "openrlhf": "--rollout.batch_size 32 or more, or --algo.advantage.estimator rloo",
        "levelhead": "rollout.prompts: 32 or more, or algorithm.estimator: rloo",
    },
    probes={
        "trl": "levelhead probe trl:batch",
        "verl": "levelhead probe verl:gae",
        "openrlhf": "levelhead probe batch_std",
        "levelhead": "levelhead probe batch_std",
    },
    references=("docs/leaderboard.md",),
    check=_check,
)
