"""A calibration term that outweighs correctness."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings
from levelhead.rewards import max_calibration_weight

__all__ = ["RULE"]

BOUNDED = ("brier", "spherical", "log")
"""Rules whose bound is known."""


def _check(settings: Settings) -> Iterator[Hit]:

    weight = settings.get("confidence_weight")
    name = settings.plain("reward_rule")
    if weight is None or name not in BOUNDED or settings.plain("reward_kind") == "improper":
        return
    bound = max_calibration_weight(name)
    if weight.value > bound * (1 + 1e-9):
        yield Hit(
            f"{said(weight)}: the {name} term weighs {weight.value:.4g} where correctness weighs 1, "
            f"and at most {bound:.4g} is safe",
            weight,
        )


RULE = Rule(
    id="confidence-weight",
    severity="error",
    sure="proven",
    title="The calibration term weighs more than correctness allows",
    effect="Past its bound (1 for Brier and spherical, 0.2176 for the log score of predictions "
    "clipped to [0.01, 0.99]) a surely wrong answer with confidence 0 earns more than an "
    "honest attempt at a hard question: the model learns to be right about being wrong.",
    fixes={
        "trl": "reward_weights with at most 1 for Brier, 0.2176 for log, per unit of correctness",
        "verl": "lower the weight in reward.custom_reward_function.reward_kwargs",
        "levelhead": "reward.weight: 1.0",
    },
    references=("arXiv:2507.16806", "docs/theory.md"),
    check=_check,
)
