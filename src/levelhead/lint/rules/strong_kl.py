"""A KL penalty that blurs statements."""

from __future__ import annotations

import math
from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings

__all__ = ["RULE"]

STRONG = 0.02
"""From here on the spread is 0.1 and more."""


def _check(settings: Settings) -> Iterator[Hit]:

    found = settings.get("kl_coef")
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
    id="strong-kl",
    severity="note",
    sure="proven",
    title="A KL penalty that is large beside the score",
    effect="The optimum under a penalty beta is the reference times exp(reward / beta): around the "
    "truth p a Brier score leaves single statements with a standard deviation of about "
    "sqrt(beta / 2) (0.02 at 0.001, 0.14 at 0.04), pulled towards what the reference says. "
    "Small penalties do no harm.",
    fixes={
        "trl": "beta=0.001",
        "verl": "actor_rollout_ref.actor.kl_loss_coef=0.001",
        "openrlhf": "--algo.kl.init_coef 0.001",
        "levelhead": "algorithm.kl.coef: 0.001",
    },
    check=_check,
)
