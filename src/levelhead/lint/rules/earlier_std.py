"""A divisor from earlier visits."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings

__all__ = ["RULE"]


def _check(settings: Settings) -> Iterator[Hit]:

    found = settings.get("advantage")
    if found is not None and found.value == "earlier_std":
        yield Hit(f"{said(found)}: divided by the std of earlier visits of the same prompt", found)


RULE = Rule(
    id="earlier-std",
    severity="note",
    sure="measured",
    title="Advantages are divided by the std of earlier visits of their prompt",
    effect="Calibrated where outcomes are drawn anew at each visit. A prompt that keeps its outcome "
    "over several epochs tells it to its own past, and statements drift outwards: an ECE of "
    "0.16 after 50,000 updates in the lab.",
    fixes={"levelhead": "algorithm.estimator: rloo, where prompts come back with the same outcome"},
    probes={"levelhead": "levelhead probe ema_std"},
    references=("docs/theory.md",),
    check=_check,
)
