"""The recipes of `levelhead train`, read without the trainer: YAML, with its defaults."""

from __future__ import annotations

from typing import Any

from levelhead.errors import InvalidInputError
from levelhead.lint._rewards import calibration_rule, kind_of
from levelhead.lint._yaml import Tree, flat
from levelhead.lint.settings import Draft, Settings, Value, meant, misspelled, number
from levelhead.rewards import TABLE

__all__ = ["DEFAULTS", "ESTIMATORS", "KEYS", "NOT_IN_VERL", "SECTIONS", "from_yaml", "is_tree"]

DEFAULTS: dict[str, Any] = {
    "rollout.prompts": 32,
    "rollout.group_size": 8,
    "rollout.temperature": 1.0,
    "algorithm.estimator": "rloo",
    "algorithm.clip_low": 0.2,
    "algorithm.clip_high": 0.2,
    "algorithm.aggregation": "seq-sum-constant",
    "algorithm.kl.coef": 0.0,
    "algorithm.kl.estimator": "k3",
    "algorithm.kl.place": "loss",
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

SECTIONS = {
    *("name", "seed", "steps", "task", "model", "rollout", "algorithm", "reward", "optimizer"),
    *("evaluation", "checkpoint", "guard", "compute", "trackers"),
}
KEYS: dict[str, tuple[str, ...]] = {
    "rollout": (
        *("prompts", "group_size", "max_prompt_tokens", "max_new_tokens", "temperature", "top_p"),
        *("top_k", "backend", "max_rows", "long_prompts"),
    ),
    "algorithm": (
        *("estimator", "estimator_options", "clip_low", "clip_high", "updates_per_rollout"),
        *("epochs", "aggregation", "constant", "kl", "entropy_coef", "critic"),
    ),
    "reward": ("rule", "weight", "eta", "floor"),
}
"""The keys of the sections that matter here; those of the others are not checked."""

_TELLING = ("algorithm.estimator", "rollout.group_size", "rollout.max_new_tokens", "task.kind")


def is_tree(tree: Tree) -> bool:
    """Whether a YAML file is a recipe: mostly our sections, and a key that only we have."""
    known = len(set(tree) & SECTIONS)
    return known > len(set(tree) - SECTIONS) and any(key in flat(tree) for key in _TELLING)


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
    for key, one in given.items():
        top, _, rest = key.partition(".")
        if top not in SECTIONS or (top in KEYS and rest.partition(".")[0] not in KEYS[top]):
            near = misspelled(key, _every_key()) or misspelled(top, SECTIONS)
            hint = f"; did you mean {near}?" if near else ""
            draft.cannot(key, f"a recipe has no such key, and is refused{hint}", one.line)
    draft.number("group_size", "rollout.group_size")
    draft.number("batch_prompts", "rollout.prompts")
    _advantage(draft)
    mode = draft.ask("algorithm.aggregation")
    draft.note("aggregation", mode, AGGREGATIONS.get(str(mode.value)) if mode else None)
    for field in ("clip_low", "clip_high", "entropy_coef"):
        draft.number(field, f"algorithm.{field}")
    _penalty(draft)
    _reward(draft)
    draft.number("train_temperature", "rollout.temperature")
    if draft.has("evaluation.temperature"):
        draft.number("eval_temperature", "evaluation.temperature")
    return draft.done()


def _advantage(draft: Draft) -> None:
    found = draft.ask("algorithm.estimator")
    if found is None:
        return
    note_estimator(draft, found)
    if found.value == "gae":
        draft.number("gae_lambda", "algorithm.critic.lam")


def note_estimator(draft: Draft, found: Value | None) -> None:
    """What an estimator of ours does, wherever it is named.

    Args:
        draft: takes the fields `estimator`, `advantage`, `ours` and `misspelled`.
        found: the setting that names it; None where it is not known.
    """
    if found is None:
        return
    name = str(found.value)
    if name in ESTIMATORS:
        draft.note("estimator", found, name)
        draft.note("advantage", found, ESTIMATORS[name])
        draft.note("ours", found, name)
    elif ":" in name:
        draft.cannot(found.key, f"{found.text!r} is a function of yours; probe it", found.line)
    else:
        draft.note("misspelled", found, meant(name, ESTIMATORS))


def _penalty(draft: Draft) -> None:
    weight = draft.number("kl_coef", "algorithm.kl.coef")
    place, kind = draft.ask("algorithm.kl.place"), draft.ask("algorithm.kl.estimator")
    if place is None or kind is None:
        return
    forms = {"k2": "exp", "k3": "reverse"} if place.value == "loss" else {"k1": "exp"}
    draft.note("kl_form", weight, forms.get(str(kind.value), "none"))


def _every_key() -> list[str]:
    return [f"{section}.{key}" for section, keys in KEYS.items() for key in keys]


def _reward(draft: Draft) -> None:
    rule = draft.ask("reward.rule")
    floor = draft.ask("reward.floor")
    if floor is not None:
        draft.note("format_floor", floor, number(floor.value))
    if rule is None or rule.value is None:
        return
    name = str(rule.value)
    draft.note("reward_least", rule, _least(draft, name))
    if name == "correctness":
        draft.note("reward_kind", rule, "correctness")
    elif name == "rlcr":
        draft.note("reward_kind", rule, "scoring")
        draft.note("reward_rule", rule, "brier")
        draft.number("confidence_weight", "reward.weight")
    elif name in TABLE:
        draft.note("reward_kind", rule, "scoring")
        draft.note("reward_rule", rule, name)
    elif ":" not in name:
        draft.note("misspelled", rule, meant(name, (*TABLE, "correctness")))
    else:
        kind = kind_of(name.rpartition(":")[2])
        draft.note("reward_kind", rule, kind if kind in ("scoring", "improper") else None)
        draft.note("reward_rule", rule, calibration_rule(name.rpartition(":")[2]))


_OPTIONS = {"rlcr": ("weight", "weight"), "log": ("eta", "eta"), "trust": ("eta", "eps")}
"""Rule -> the key of a recipe on which its worst reward depends, and its name in levelhead.rewards."""


def _least(draft: Draft, name: str) -> float | None:
    """The worst reward of a well-formed answer, which depends on the clip, or on the weight."""
    if name == "correctness":
        return 0.0
    if name not in TABLE:
        return None
    if name not in _OPTIONS:
        return TABLE[name].low
    key, option = _OPTIONS[name]
    told = draft.ask(f"reward.{key}")
    value = None if told is None else number(told.value)
    if value is None or (key == "eta" and value <= 0):
        return None
    try:
        worst = TABLE[name].function([1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0], **{option: value})
    except InvalidInputError:
        return None  # the trainer refuses it
    return float(worst.min())
