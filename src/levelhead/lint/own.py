"""The recipes of `levelhead train`, read without the trainer: YAML, with its defaults."""

from __future__ import annotations

from typing import Any

from levelhead.lint._rewards import calibration_rule, kind_of
from levelhead.lint._yaml import Tree, flat
from levelhead.lint.settings import Draft, Settings, number

__all__ = ["DEFAULTS", "ESTIMATORS", "NOT_IN_VERL", "from_yaml", "is_tree"]

DEFAULTS: dict[str, Any] = {
    "rollout.prompts": 32,
    "rollout.group_size": 8,
    "rollout.temperature": 1.0,
    "algorithm.estimator": "rloo",
    "algorithm.clip_low": 0.2,
    "algorithm.clip_high": 0.2,
    "algorithm.aggregation": "seq-sum-constant",
    "algorithm.kl.coef": 0.0,
    "algorithm.entropy_coef": 0.0,
    "algorithm.critic.lam": 1.0,
    "reward.weight": 1.0,
    "reward.eta": 0.01,
}
"""Of `levelhead.train.config`."""

ESTIMATORS: dict[str, str] = {
    **dict.fromkeys(
        ("reinforce", "rloo", "grpo_no_std", "rloo_notebook", "rb_exact", "gae"), "plain"
    ),
    **dict.fromkeys(("batch_std", "reinforce_pp"), "batch_std"),
    **dict.fromkeys(("rank_linear", "top1"), "ranks"),
    "ema_std": "earlier_std",
    "grpo": "group_std",
    "loo_std": "loo_std",
    "pl_softmax": "softmax",
    "pl_zscore": "zscore_softmax",
    "max_at_k": "best_of_group",
}
"""What each estimator does with a reward."""

NOT_IN_VERL = ("rb_exact", "gae", "ema_std")
"""They need more than verl tells an estimator."""

AGGREGATIONS = {
    "seq-sum-constant": "sum",
    "token-mean": "token_mean",
    "seq-mean-token-mean": "sequence_mean",
}

_SECTIONS = {
    *("name", "seed", "steps", "task", "model", "rollout", "algorithm", "reward", "optimizer"),
    *("evaluation", "checkpoint", "guard", "compute", "trackers"),
}
_TELLING = ("algorithm.estimator", "rollout.group_size", "rollout.max_new_tokens", "task.kind")


def is_tree(tree: Tree) -> bool:
    """Whether a YAML file is a recipe: no other sections than ours, and a key that only we have."""
    return set(tree) <= _SECTIONS and any(key in flat(tree) for key in _TELLING)


def from_yaml(tree: Tree, file: str) -> Settings:
    """The settings of a recipe.

    Args:
        tree: for which `is_tree` holds.
        file: its path.

    Returns:
        The settings.
    """
    given = flat(tree)
    lines = [one.line for one in given.values() if one.line]
    draft = Draft("levelhead", file, min(lines, default=1), given, DEFAULTS)
    draft.number("group_size", "rollout.group_size")
    draft.number("batch_prompts", "rollout.prompts")
    _advantage(draft)
    mode = draft.ask("algorithm.aggregation")
    draft.note("aggregation", mode, AGGREGATIONS.get(str(mode.value)) if mode else None)
    for field in ("clip_low", "clip_high", "entropy_coef"):
        draft.number(field, f"algorithm.{field}")
    draft.number("kl_coef", "algorithm.kl.coef")
    _reward(draft)
    draft.number("train_temperature", "rollout.temperature")
    if draft.has("evaluation.temperature"):
        draft.number("eval_temperature", "evaluation.temperature")
    return draft.done()


def _advantage(draft: Draft) -> None:
    found = draft.ask("algorithm.estimator")
    if found is None:
        return
    name = str(found.value)
    draft.note("estimator", found, name)
    draft.note("advantage", found, ESTIMATORS.get(name))
    if name not in ESTIMATORS:
        draft.cannot(found.key, f"{found.text!r} is a function of yours; probe it", found.line)
    if name == "gae":
        draft.number("gae_lambda", "algorithm.critic.lam")


def _reward(draft: Draft) -> None:
    rule = draft.ask("reward.rule")
    floor = draft.ask("reward.floor")
    if floor is not None:
        draft.note("format_floor", floor, number(floor.value))
    if rule is None or rule.value is None:
        return
    name = str(rule.value)
    if name == "correctness":
        draft.note("reward_kind", rule, "correctness")
    elif name == "rlcr":
        draft.note("reward_kind", rule, "scoring")
        draft.note("reward_rule", rule, "brier")
        draft.number("confidence_weight", "reward.weight")
    elif ":" not in name:
        draft.note("reward_kind", rule, "scoring")
        draft.note("reward_rule", rule, name)
    else:
        kind = kind_of(name.rpartition(":")[2])
        draft.note("reward_kind", rule, kind if kind in ("scoring", "improper") else None)
        draft.note("reward_rule", rule, calibration_rule(name.rpartition(":")[2]))
