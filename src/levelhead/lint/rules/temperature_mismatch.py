"""Evaluated at another temperature than trained."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings

__all__ = ["RULE"]


def _check(settings: Settings) -> Iterator[Hit]:

    train, test = settings.get("train_temperature"), settings.get("eval_temperature")
    if train is None or test is None or train.value == test.value:
        return
    yield Hit(f"{said(test)}, and training samples at {train.value:g}", test)


RULE = Rule(
    id="temperature-mismatch",
    severity="note",
    sure="proven",
    title="Evaluation samples at another temperature than training",
    effect="A score is paid for statements as they are sampled in training. At another temperature "
    "the same model states other confidences: at 0 its likeliest one, which can hide a policy"
    " that is split between both ends. Evaluate what users will run, and train at that.",
    fixes={
        "verl": "the same value for rollout.temperature and rollout.val_kwargs.temperature",
        "openrlhf": "the same value for --rollout.temperature and --eval.temperature",
        "levelhead": "the same value for rollout.temperature and evaluation.temperature",
    },
    references=("docs/train.md",),
    check=_check,
)
