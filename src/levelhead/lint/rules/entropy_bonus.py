"""An entropy bonus that blurs statements."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, blurs, said, unscored
from levelhead.lint.settings import Settings

__all__ = ["RULE"]

STRONG = 0.02
"""A coefficient from which on the spread is 0.1 and more."""

SHORT = 0.1
"""Completions of this share of their largest length, on average, are not unusual."""

_plain = blurs("entropy_coef")


def _check(settings: Settings) -> Iterator[Hit]:
    found, span = settings.get("entropy_coef"), settings.get("entropy_span")
    if found is None or span is None:
        yield from _plain(settings)
        return
    if unscored(settings) or found.value < STRONG * SHORT:
        return
    longest = span.value * min(1.0, found.value / STRONG)
    yield Hit(
        f"{said(found)}: dr_grpo divides the policy's loss by max_completion_length={span.value:g}, not "
        f"the bonus, which weighs {found.value * span.value:g} / mean length: {STRONG:g} and more for "
        f"completions of up to {longest:.0f} tokens",
        found,
    )


RULE = Rule(
    id="entropy-bonus",
    severity="note",
    sure="proven",
    title="An entropy bonus that is large beside the score",
    effect="The optimum is proportional to exp(reward / coefficient): around the truth a Brier score"
    " leaves single statements with a standard deviation of about sqrt(coefficient / 2). "
    "Their mean stays right, single samples do not. Under TRL's dr_grpo the policy's loss is divided by "
    "max_completion_length and the bonus is not: the coefficient counts times that / mean length.",
    fixes={
        "trl": "entropy_coef=0.0",
        "verl": "actor_rollout_ref.actor.entropy_coeff=0",
        "openrlhf": "no --actor.entropy_coef",
        "levelhead": "algorithm.entropy_coef: 0.0",
    },
    check=_check,
)
