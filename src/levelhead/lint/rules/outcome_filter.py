"""Groups are dropped by their outcomes."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said, unscored
from levelhead.lint.settings import Settings

__all__ = ["RULE"]


def _scored(settings: Settings) -> bool:
    """Whether a confidence is known to be scored: what OpenRLHF filters by, the function decides."""
    return settings.plain("reward_kind") in ("scoring", "improper")


def _check(settings: Settings) -> Iterator[Hit]:

    found = settings.get("filter_metric")
    if found is None or unscored(settings):
        return
    if found.value != "acc" and not (found.value == "scores" and _scored(settings)):
        return
    yield Hit(f"{said(found)}: groups that are all right or all wrong are dropped", found)


RULE = Rule(
    id="outcome-filter",
    severity="warning",
    sure="proven",
    title="Groups are dropped where all samples are right, or all wrong",
    effect="What is left is selected by its outcome: of prompts that are answered rightly with "
    "probability p, the kept samples are right with (p - p^G) / (1 - p^G - (1 - p)^G), 0.71 "
    "for p = 0.9 in groups of 4 and 0.82 in groups of 8. A proper score then teaches that "
    "number: underconfident where the model is good, overconfident where it is bad. With "
    "plain 0/1 rewards the dropped groups carry nothing.",
    fixes={
        "verl": "algorithm.filter_groups.enable=False",
        "openrlhf": "no --algo.dynamic_filtering_enable (older: --dynamic_filtering)",
    },
    references=("arXiv:2503.14476",),
    check=_check,
)
