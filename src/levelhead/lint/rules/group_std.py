"""Advantages divided by the standard deviation of their own group."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said, unscored
from levelhead.lint.settings import Settings

__all__ = ["RULE"]


def _check(settings: Settings) -> Iterator[Hit]:

    found = settings.get("advantage")
    if found is None or found.value != "group_std":
        return
    size = settings.plain("group_size")
    message = f"{said(found)}: every advantage is divided by the std of its own group"
    if size == 2:
        message += ", and in groups of two only the sign is left"
    if (
        settings.tool == "trl"
        and "loss_type" not in found.key
        and settings.plain("aggregation") == "sum"
    ):
        message += "; loss_type alone does not switch that off"
    if unscored(settings):
        message += "; no confidence is scored here, so that only rare successes are amplified"
        yield Hit(message, found, "warning")
    else:
        yield Hit(message, found)


RULE = Rule(
    id="group-std",
    severity="error",
    sure="proven",
    title="Advantages are divided by the std of their own group",
    effect="The divisor depends on the outcome that the group shares and cancels the scoring rule: "
    "whatever proper score is paid, statements above 1/2 are driven to the largest that can "
    "be made, those below to the smallest. Where each sample has an outcome of its own, it "
    "happens on prompts whose samples are all right or all wrong, and fades as groups grow. "
    "With plain 0/1 rewards it amplifies rare successes, by (G - 1) / sqrt(G) for one in G, "
    "and says nothing about confidence.",
    fixes={
        "trl": 'scale_rewards="none" (in YAML: scale_rewards: none)',
        "verl": "algorithm.norm_adv_by_std_in_grpo=False with algorithm.adv_estimator=grpo, or "
        "algorithm.adv_estimator=rloo",
        "openrlhf": "--algo.advantage.estimator rloo (older: --advantage_estimator rloo)",
        "levelhead": "algorithm.estimator: rloo",
    },
    probes={
        "trl": "levelhead probe trl:group",
        "verl": "levelhead probe verl:grpo",
        "openrlhf": "levelhead probe grpo",
        "levelhead": "levelhead probe grpo",
    },
    references=("arXiv:2508.11800", "arXiv:2402.03300", "arXiv:2503.20783"),
    check=_check,
)
