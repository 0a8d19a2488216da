"""Ranks in place of scores."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings

__all__ = ["RULE"]


def _check(settings: Settings) -> Iterator[Hit]:

    found = settings.get("advantage")
    if found is not None and found.value in ("ranks", "zscore_softmax"):
        what = "ranks" if found.value == "ranks" else "standardized scores"
        yield Hit(f"{said(found)}: only {what} within a group count", found)


RULE = Rule(
    id="ranks",
    severity="error",
    sure="proven",
    title="Rewards are replaced by their ranks, or standardized, within a group",
    effect="With a shared outcome the ranks of any score are the ranks of the statements or their "
    "reverse: nothing of the scoring rule is left, and statements end at the extremes for "
    "every group size. Rewarding the best one only gives a lottery between both ends: its "
    "mean looks calibrated, no single sample is.",
    fixes={"levelhead": "algorithm.estimator: rloo"},
    probes={"levelhead": "levelhead probe rank_linear top1 pl_zscore"},
    references=("arXiv:2602.03876", "docs/theory.md"),
    check=_check,
)
