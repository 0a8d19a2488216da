"""A KL penalty that blurs statements."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import STRONG, Hit, Rule, said, spread, unscored
from levelhead.lint.settings import Settings

__all__ = ["RULE"]


def _check(settings: Settings) -> Iterator[Hit]:
    if unscored(settings):
        return
    for field, form in (("kl_coef", settings.plain("kl_form")), ("kl_other", "exp")):
        found = settings.get(field)
        if found is None or form == "none" or found.value <= 0:
            continue
        forms = ("exp", "reverse") if form is None else (form,)
        wide = [spread(found.value, one) for one in forms]
        if wide[0] >= STRONG:
            told = " or ".join(f"{one:.2f}" for one in wide)
            told += ", by the estimator" if form is None else ""
            how = " (k3 in the loss)" if form == "reverse" else ""
            yield Hit(
                f"{said(found)}{how}: under a Brier score of weight 1, statements keep a spread of "
                f"{told}",
                found,
            )


RULE = Rule(
    id="strong-kl",
    severity="note",
    sure="proven",
    title="A KL penalty that is large beside the score",
    effect="The optimum under beta KL(pi||ref) is ref exp(reward / beta): Brier statements spread by "
    "sqrt(beta / 2) around the truth (0.02 at 0.001, 0.14 at 0.04). k3 in the loss without the ratio has "
    "the gradient of KL(ref||pi) and the optimum beta ref / (c - reward), with long tails: 0.03 and 0.17 "
    "(uniform reference; there a truth of 0.9 is stated as 0.82 on average). Small penalties do no harm.",
    fixes={
        "trl": "beta=0.001",
        "verl": "actor_rollout_ref.actor.kl_loss_coef=0.001",
        "openrlhf": "--algo.kl.init_coef 0.001",
        "levelhead": "algorithm.kl.coef: 0.001",
    },
    check=_check,
)
