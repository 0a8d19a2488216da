"""An entropy bonus that blurs statements."""

from __future__ import annotations

import math
from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings

__all__ = ["RULE"]

STRONG = 0.02
"""From here on the spread is 0.1 and more."""


def _check(settings: Settings) -> Iterator[Hit]:

    found = settings.get("entropy_coef")
    if (
        found is None
        or found.value < STRONG
        or settings.plain("reward_kind") in ("correctness", "model")
    ):
        return
    spread = math.sqrt(found.value / 2)
    yield Hit(
        f"{said(found)}: under a Brier score of weight 1, statements keep a spread of {spread:.2f}",
        found,
    )


RULE = Rule(
    id="entropy-bonus",
    severity="note",
    sure="proven",
    title="An entropy bonus that is large beside the score",
    effect="The optimum is proportional to exp(reward / coefficient): around the truth a Brier score"
    " leaves single statements with a standard deviation of about sqrt(coefficient / 2). "
    "Their mean stays right, single samples do not.",
    fixes={
        "trl": "entropy_coef=0.0",
        "verl": "actor_rollout_ref.actor.entropy_coeff=0",
        "openrlhf": "no --actor.entropy_coef",
        "levelhead": "algorithm.entropy_coef: 0.0",
    },
    check=_check,
)
