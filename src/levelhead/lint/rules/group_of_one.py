"""Groups of one sample."""

from __future__ import annotations

from collections.abc import Iterator

from levelhead.lint.rules._rule import Hit, Rule, said
from levelhead.lint.settings import Settings

__all__ = ["RULE"]

COMPARING = {
    *("grpo", "grpo_vectorized", "rloo", "rloo_vectorized", "gdpo", "grpo_passk", "opo", "gpg"),
    *("reinforce_plus_plus_baseline", "reinforce_baseline", "group_norm", "dr_grpo"),
}


def _check(settings: Settings) -> Iterator[Hit]:

    size, name = settings.get("group_size"), settings.plain("estimator")
    if size is None or size.value != 1 or name not in COMPARING:
        return
    message = f"{said(size)}: {name} compares the samples of a prompt, and there is one"
    if settings.tool == "verl":
        message += "; verl then trains on the raw reward"
    yield Hit(message, size)


RULE = Rule(
    id="group-of-one",
    severity="warning",
    sure="proven",
    title="An estimator that compares samples has one per prompt",
    effect="There is no baseline and no spread: verl leaves the raw reward (unbiased, but very "
    "noisy), OpenRLHF refuses, and newer versions may do something else. What the "
    "configuration names is not what runs.",
    fixes={
        "verl": "actor_rollout_ref.rollout.n=8",
        "openrlhf": "--rollout.n_samples_per_prompt 8",
        "trl": "num_generations=8",
    },
    references=("docs/leaderboard.md",),
    check=_check,
)
