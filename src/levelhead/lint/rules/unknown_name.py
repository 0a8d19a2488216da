"""A name that the tool does not know."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings

__all__ = ["RULE"]


def _check(settings: Settings) -> Iterator[Hit]:
    found = settings.get("misspelled")
    if found is not None:
        hint = f"; did you mean {found.value!r}?" if found.value else ""
        yield Hit(f"{said(found)}: there is no such name{hint}", found)


RULE = Rule(
    id="unknown-name",
    severity="error",
    sure="proven",
    title="A name that the tool does not know",
    effect="The run ends where it begins, or after the model was loaded; what it would do cannot be "
    "judged. A function of yours in a recipe is `module:function`.",
    fixes={
        "trl": 'scale_rewards="none"',
        "verl": "algorithm.adv_estimator=rloo",
        "openrlhf": "--algo.advantage.estimator rloo",
        "levelhead": "algorithm.estimator: rloo",
    },
    check=_check,
)
