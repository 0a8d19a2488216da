"""verl: Hydra overrides of a launch script, or a YAML file; defaults as of verl 0.9.1."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from levelhead.lint import own
from levelhead.lint._rewards import calibration_rule, kind_of
from levelhead.lint._shell import Command, Word, hidden
from levelhead.lint._yaml import Tree, flat
from levelhead.lint.settings import Draft, Settings, Unread, Value, misspelled, number, slipped

__all__ = ["DEFAULTS", "ESTIMATORS", "KEYS", "from_command", "from_yaml", "is_command", "is_tree"]

DEFAULTS: dict[str, Any] = {
    "algorithm.adv_estimator": "gae",
    "algorithm.norm_adv_by_std_in_grpo": True,
    "algorithm.lam": 1.0,
    "algorithm.use_kl_in_reward": False,
    "algorithm.kl_ctrl.kl_coef": 0.001,
    "algorithm.kl_penalty": "kl",
    "algorithm.filter_groups.enable": False,
    "algorithm.filter_groups.metric": "reward",
    "actor_rollout_ref.actor.loss_agg_mode": "token-mean",
    "actor_rollout_ref.actor.policy_loss.loss_mode": "vanilla",
    "actor_rollout_ref.actor.clip_ratio_low": 0.2,
    "actor_rollout_ref.actor.clip_ratio_high": 0.2,
    "actor_rollout_ref.actor.entropy_coeff": 0.0,
    "actor_rollout_ref.actor.use_kl_loss": False,
    "actor_rollout_ref.actor.kl_loss_coef": 0.001,
    "actor_rollout_ref.actor.kl_loss_type": "low_var_kl",
    "actor_rollout_ref.rollout.n": 1,
    "actor_rollout_ref.rollout.temperature": 1.0,
    "data.train_batch_size": 1024,
    "reward.reward_manager.source": "register",
    "reward.reward_model.enable": False,
    "reward.custom_reward_function.path": None,
}
"""What `ppo_trainer.yaml` of verl 0.9.1 says."""

ESTIMATORS: dict[str, str] = {
    "gae": "batch_std",
    "grpo": "group_std",
    "grpo_vectorized": "group_std",
    "gdpo": "double_std",
    "grpo_passk": "best_of_group",
    "reinforce_plus_plus": "batch_std",
    "reinforce_plus_plus_baseline": "batch_std",
    "rloo": "plain",
    "rloo_vectorized": "plain",
    "opo": "plain",
    "gpg": "plain",
    "remax": "plain",
    "optimal_token_baseline": "plain",
    "tir_optimal_token_baseline": "plain",
    **{
        f"levelhead_{name}": kind
        for name, kind in own.ESTIMATORS.items()
        if name not in own.NOT_IN_VERL
    },
}
"""What an estimator of verl, or one that our plug-in gives it, does with a reward, at its defaults."""

AGGREGATIONS = {
    "token-mean": "token_mean",
    "seq-mean-token-mean": "sequence_mean",
    "seq-mean-token-sum": "sum",
    "seq-mean-token-sum-norm": "sum",
    "token-sum": "sum",
}

KEYS = {*DEFAULTS, "actor_rollout_ref.actor.clip_ratio"}
"""Keys near which an unknown one is taken for a slip."""

ADVANTAGE_KEY = "algorithm.adv_estimator"
STD_KEY = "algorithm.norm_adv_by_std_in_grpo"
_ACTOR, _ROLLOUT = "actor_rollout_ref.actor.", "actor_rollout_ref.rollout."
_LOSS_MODE = f"{_ACTOR}policy_loss.loss_mode"
_IN_LOSS = {
    **dict.fromkeys(("low_var_kl", "k3"), "reverse"),
    **dict.fromkeys(("mse", "k2", "k1+", "k2+", "k3+", "kl+", "low_var_kl+", "mse+"), "exp"),
}
"""What an estimate of the KL divergence leads to as a part of the loss. The expected gradient of k1 is 0
there, and for abs there is no formula."""

_FUNCTION = ("reward.custom_reward_function.", "custom_reward_function.")
_PLUG_IN = "levelhead_"
_MANAGERS = ("naive", "dapo", "prime", "batch")
_OVERRIDE = re.compile(r"[+~]{0,2}([A-Za-z_][\w@/-]*(?:\.[\w@/-]+)*)(?:=(.*))?$", re.DOTALL)
_OURS = ("actor_rollout_ref.", "algorithm.adv_estimator=")
_MAIN = re.compile(r"(^|[./])verl\.trainer\.main_ppo$")
_STOCK = {"ppo_trainer", "ppo_megatron_trainer", "ppo_trainer.yaml", "ppo_megatron_trainer.yaml"}


def is_command(command: Command) -> bool:
    """Whether a command launches verl: its module, or overrides that only verl has."""
    words = [word.text for word in command.words]
    if any(_MAIN.search(word) for word in words):
        return True
    if "=" in words[0]:
        return False
    return any(word.lstrip("+~").startswith(_OURS) and "=" in word for word in words)


def is_tree(tree: Tree) -> bool:
    """Whether a YAML file configures verl."""
    algorithm, actor = tree.get("algorithm"), tree.get("actor_rollout_ref")
    return isinstance(actor, dict) or (
        isinstance(algorithm, dict)
        and "adv_estimator" in algorithm
        and "estimator" not in algorithm
    )


def from_command(command: Command, file: str) -> Settings:
    """The settings of one launch.

    Args:
        command: for which `is_command` holds.
        file: the script's path.

    Returns:
        The settings; later overrides win, `~key` takes an earlier one away.
    """
    given: dict[str, Value | Unread] = {}
    words = command.words
    for word in words:
        match = _OVERRIDE.match(word.text)
        if match is None or "." not in match.group(1):
            continue
        key, text = match.group(1), match.group(2)
        if text is None:
            if word.text.startswith("~"):
                given.pop(key, None)
            continue
        given[key] = _override(key, text, word)
    standard = any(_MAIN.search(word.text) for word in words) and not _other_config(words)
    defaults = DEFAULTS if standard else {}
    return _settings(file, command.line, given, defaults, hidden(words))


def _other_config(words: Sequence[Word]) -> bool:
    """Whether the command takes its defaults from a configuration of the user's."""
    for i, word in enumerate(words):
        name, _, value = word.text.partition("=")
        if name in ("--config-name", "-cn", "--config"):
            after = value or (words[i + 1].text if i + 1 < len(words) else "")
            if after.strip("'\"") not in _STOCK:
                return True
    return False


def _override(key: str, text: str, word: Word) -> Value | Unread:
    if word.unknown:
        return Unread(key, word.unknown, word.line)
    if "${" in text:
        return Unread(key, f"{text!r} is decided elsewhere", word.line)
    return Value(_hydra(text), key, text, word.line)


def _hydra(text: str) -> Any:
    """A value as Hydra reads it: quotes off, lists and dictionaries, null, numbers, switches."""
    stripped = text.strip()
    if len(stripped) >= 2 and stripped[0] == stripped[-1] and stripped[0] in "'\"":
        return stripped[1:-1]
    if stripped.lower() in ("null", "none", ""):
        return None
    if stripped.lower() in ("true", "false"):
        return stripped.lower() == "true"
    if stripped[0] in "[{":
        try:
            return yaml.safe_load(stripped)
        except yaml.YAMLError:
            return stripped
    found = number(stripped)
    return stripped if found is None else found


def from_yaml(tree: Tree, file: str) -> Settings:
    """The settings of a YAML file.

    Args:
        tree: for which `is_tree` holds.
        file: its path.

    Returns:
        The settings; verl's defaults hold where the file says that it begins from them.
    """
    given = flat(tree)
    inherits = given.get("defaults")
    listed = inherits.value if isinstance(inherits, Value) else None
    names = {str(one) for one in listed} if isinstance(listed, list) else set[str]()
    lines = [one.line for one in given.values() if one.line]
    return _settings(file, min(lines, default=1), given, DEFAULTS if names & _STOCK else {})


def _settings(
    file: str,
    line: int,
    given: Mapping[str, Value | Unread],
    defaults: Mapping[str, Any],
    hidden: Unread | None = None,
) -> Settings:
    draft = Draft("verl", file, line, given, defaults, hidden)
    for key, one in given.items():
        if key not in KEYS and (near := misspelled(key, KEYS)):
            draft.cannot(key, f"verl 0.9.1 has no such key; did you mean {near}?", one.line)
    draft.number("group_size", f"{_ROLLOUT}n")
    _advantage(draft)
    prompts = draft.ask("data.train_batch_size")
    draft.note("batch_prompts", prompts, None if prompts is None else number(prompts.value))
    mode = draft.ask(f"{_ACTOR}loss_agg_mode")
    loss = draft.ask(_LOSS_MODE)
    if loss is not None and loss.value == "sapo":  # whatever is asked for
        draft.note("aggregation", loss, "sequence_mean")
    elif not draft.blind(_LOSS_MODE):
        draft.note("aggregation", mode, AGGREGATIONS.get(str(mode.value)) if mode else None)
    if mode and str(mode.value) not in AGGREGATIONS:
        draft.cannot(mode.key, f"{mode.text!r} is no aggregation of verl 0.9.1", mode.line)
    _clip(draft)
    _penalties(draft)
    _reward(draft)
    _filter(draft)
    draft.number("train_temperature", f"{_ROLLOUT}temperature")
    if draft.has(f"{_ROLLOUT}val_kwargs.temperature"):
        sampled = draft.ask(f"{_ROLLOUT}val_kwargs.do_sample")
        if sampled is None or sampled.value is not False:
            draft.number("eval_temperature", f"{_ROLLOUT}val_kwargs.temperature")
    return draft.done()


def _advantage(draft: Draft) -> None:
    found = draft.ask(ADVANTAGE_KEY)
    if found is None:
        if ADVANTAGE_KEY not in draft.given and draft.hidden is None:
            draft.cannot(
                ADVANTAGE_KEY, "the file does not set it, and what it begins from is not known"
            )
        return
    name = str(found.value).lower()
    draft.note("estimator", found, name)
    kind = ESTIMATORS.get(name)
    if name.startswith(_PLUG_IN):
        draft.note("ours", found, name.removeprefix(_PLUG_IN))
    if kind is None:
        draft.note("misspelled", found, slipped(name, ESTIMATORS) or None)
        draft.cannot(found.key, f"{found.text!r} is no estimator of verl 0.9.1", found.line)
        return
    size = draft.values.get("group_size")
    switch = draft.truth(STD_KEY)
    if switch is not None and switch.value is False and not switch.default:
        if name == "grpo":
            kind, found = "plain", switch
        elif name in ("grpo_vectorized", "gdpo"):
            draft.note("std_switch_off", switch, True)
    if name == "grpo" and switch is None and draft.blind(STD_KEY):
        return
    if kind == "group_std" and size is not None and size.value == 1:
        kind = "plain"  # verl takes mean 0 and std 1 for a group of one
    draft.note("advantage", found, kind)
    if name == "gae":
        draft.number("gae_lambda", "algorithm.lam")


def _clip(draft: Draft) -> None:
    mode = draft.ask(_LOSS_MODE)
    if mode is None or mode.value == "vanilla":
        draft.number("clip_low", f"{_ACTOR}clip_ratio_low")
        draft.number("clip_high", f"{_ACTOR}clip_ratio_high")
    one = draft.ask(f"{_ACTOR}clip_ratio")
    two = draft.has(f"{_ACTOR}clip_ratio_low", f"{_ACTOR}clip_ratio_high")
    width = None if one is None else number(one.value)
    if one is not None and width is not None and not two and draft.defaults and width != 0.2:
        draft.note("dead_clip", one, width)


def _penalties(draft: Draft) -> None:
    in_loss = draft.truth(f"{_ACTOR}use_kl_loss")
    in_reward = draft.truth("algorithm.use_kl_in_reward")
    beside = False
    if in_loss is not None and in_loss.value:
        kind = draft.ask(f"{_ACTOR}kl_loss_type")
        weight = draft.number("kl_coef", f"{_ACTOR}kl_loss_coef")
        draft.note("kl_form", weight, _IN_LOSS.get(str(kind.value), "none") if kind else None)
        beside = True
    if in_reward is not None and in_reward.value:
        kind = draft.ask("algorithm.kl_penalty")
        field = "kl_other" if beside else "kl_coef"
        weight = draft.number(field, "algorithm.kl_ctrl.kl_coef")
        known = kind is None or kind.value in ("kl", "k1")
        if beside and not known:
            draft.values.pop("kl_other", None)
        elif not beside:
            draft.note("kl_form", weight, "exp" if known else "none")
    draft.number("entropy_coef", f"{_ACTOR}entropy_coeff")


def _reward(draft: Draft) -> None:
    model = draft.truth("reward.reward_model.enable", "reward_model.enable")
    if model is not None and model.value:
        draft.note("reward_kind", model, "model")
        return
    path = draft.ask(*(f"{prefix}path" for prefix in _FUNCTION))
    _function_options(draft)
    if path is None or path.value is None:
        manager = draft.ask("reward.reward_manager.name", "reward_model.reward_manager")
        source = path or manager
        known = path is not None or not any(draft.blind(f"{prefix}path") for prefix in _FUNCTION)
        own_class = draft.ask("reward.reward_manager.source")
        if draft.blind("reward.reward_manager.source") or (
            own_class is not None and own_class.value == "importlib"
        ):
            return
        if known and (manager is None or manager.value in _MANAGERS):
            draft.note("reward_kind", source, "correctness")
        return
    name = draft.ask(*(f"{prefix}name" for prefix in _FUNCTION))
    file = str(path.value).rpartition("/")[2].removesuffix(".py")
    said = [file, *([str(name.value)] if name and name.value != "compute_score" else [])]
    kinds = {kind_of(one) for one in said} & {"scoring", "improper"}
    if kinds:
        draft.note("reward_kind", path, "improper" if "improper" in kinds else "scoring")
        rule = next(filter(None, map(calibration_rule, said)), None)
        draft.note("reward_rule", path, rule)


def _function_options(draft: Draft) -> None:
    """What the arguments of a reward function say by their names."""
    for prefix in _FUNCTION:
        base = f"{prefix}reward_kwargs."
        for key in ("missing_confidence", "default_confidence"):
            draft.number("missing_confidence", f"{base}{key}")
        if draft.has(f"{base}weight", f"{base}confidence_weight", f"{base}calibration_weight"):
            keys = ("weight", "confidence_weight", "calibration_weight")
            draft.number("confidence_weight", *(f"{base}{key}" for key in keys))
        if draft.has(f"{base}rule"):
            rule = draft.ask(f"{base}rule")
            draft.note("reward_rule", rule, None if rule is None else str(rule.value))


def _filter(draft: Draft) -> None:
    enabled = draft.truth("algorithm.filter_groups.enable")
    if enabled is not None and enabled.value:
        metric = draft.ask("algorithm.filter_groups.metric")
        draft.note("filter_metric", metric, None if metric is None else str(metric.value))
