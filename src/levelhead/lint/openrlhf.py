"""OpenRLHF: the arguments of `train_ppo_ray`, in both spellings; defaults as of OpenRLHF 0.11.2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from levelhead.lint._rewards import calibration_rule, kind_of
from levelhead.lint._shell import Command, hidden
from levelhead.lint.settings import Draft, Settings, Unread, Value, number, slipped

__all__ = ["DEFAULTS", "ESTIMATORS", "SPELLINGS", "from_command", "is_command"]

SPELLINGS: dict[str, str] = {
    "advantage_estimator": "algo.advantage.estimator",
    "no_advantage_std_norm": "algo.advantage.no_std_norm",
    "lambd": "algo.advantage.lambd",
    "init_kl_coef": "algo.kl.init_coef",
    "use_kl_loss": "algo.kl.use_loss",
    "kl_estimator": "algo.kl.estimator",
    "dynamic_filtering": "algo.dynamic_filtering_enable",
    "eps_clip": "actor.eps_clip",
    "eps_clip_low_high": "actor.eps_clip_low_high",
    "entropy_loss_coef": "actor.entropy_coef",
    "policy_loss_type": "actor.policy_loss_type",
    "n_samples_per_prompt": "rollout.n_samples_per_prompt",
    "rollout_batch_size": "rollout.batch_size",
    "temperature": "rollout.temperature",
    "eval_temperature": "eval.temperature",
    "reward_pretrain": "reward.model_name_or_path",
    "remote_rm_url": "reward.remote_url",
    "agent_func_path": "train.agent_func_path",
    "reward_clip_range": "reward.clip_range",
}
"""The old name of an argument -> the new one."""

DEFAULTS: dict[str, Any] = {
    "algo.advantage.estimator": "gae",
    "algo.advantage.no_std_norm": False,
    "algo.advantage.lambd": 1.0,
    "algo.kl.init_coef": 0.01,
    "algo.kl.use_loss": False,
    "algo.kl.estimator": "k1",
    "algo.dynamic_filtering_enable": False,
    "actor.eps_clip": 0.2,
    "rollout.n_samples_per_prompt": 1,
    "rollout.batch_size": 1024,
    "rollout.temperature": 1.0,
}
"""By new names."""

ESTIMATORS: dict[str, str] = {
    "gae": "batch_std",
    "reinforce": "batch_std",
    "reinforce_baseline": "batch_std",
    "rloo": "plain",
    "dr_grpo": "plain",
    "group_norm": "group_std",
    "grpo": "group_std",
}
"""What an estimator does with a reward, at its defaults."""

_MODULE = re.compile(r"(^|[./])openrlhf\.cli\.train_ppo(_ray)?$|openrlhf/cli/train_ppo(_ray)?\.py$")
_PAIRS = ("actor.eps_clip_low_high", "reward.clip_range")
_SWITCHES = ("algo.advantage.no_std_norm", "algo.kl.use_loss", "algo.dynamic_filtering_enable")
_KEY = "algo.advantage.estimator"


def is_command(command: Command) -> bool:
    """Whether a command launches OpenRLHF's reinforcement learning."""
    words = [word.text for word in command.words]
    if any(_MODULE.search(word) for word in words):
        return True
    names = {word.partition("=")[0] for word in words}
    return bool(names & {"--advantage_estimator", f"--{_KEY}"})


def from_command(command: Command, file: str) -> Settings:
    """The settings of one launch.

    Args:
        command: for which `is_command` holds.
        file: the script's path.

    Returns:
        The settings; the last of two equal arguments wins.
    """
    given: dict[str, Value | Unread] = {}
    words = command.words
    unread = hidden(words)
    for i, word in enumerate(words):
        if not word.text.startswith("--") or len(word.text) < 3:
            continue
        name, equals, value = word.text[2:].partition("=")
        key, shown = SPELLINGS.get(name, name), name
        count = 2 if key in _PAIRS else 0 if key in _SWITCHES else 1
        following = [] if equals else _values(words[i + 1 : i + 1 + count])
        unknown = word.unknown or next((w.unknown for w in following if w.unknown), "")
        if unknown:
            given[key] = Unread(f"--{shown}", unknown, word.line)
            continue
        texts = [value] if equals else [w.text for w in following]
        pair = key in _PAIRS and len(texts) >= 2
        text = " ".join(texts[:2]) if pair else texts[0] if texts else "true"
        content: Any = tuple(map(number, texts[:2])) if pair else text if texts else True
        given[key] = Value(content, f"--{shown}", text, word.line)
    module = any(_MODULE.search(word.text) for word in words)
    return _settings(file, command.line, given, DEFAULTS if module else {}, unread)


def _values(words: Any) -> list[Any]:
    found = []
    for word in words:
        if word.text.startswith("--"):
            break
        found.append(word)
    return found


def _settings(
    file: str,
    line: int,
    given: Mapping[str, Value | Unread],
    defaults: Mapping[str, Any],
    unread: Unread | None,
) -> Settings:
    draft = Draft("openrlhf", file, line, given, defaults, unread)
    draft.number("group_size", "rollout.n_samples_per_prompt")
    draft.number("batch_prompts", "rollout.batch_size")
    _advantage(draft)
    _clip(draft)
    _penalty(draft)
    draft.number("entropy_coef", "actor.entropy_coef")
    _reward(draft)
    draft.number("train_temperature", "rollout.temperature")
    if draft.has("eval.temperature"):
        draft.number("eval_temperature", "eval.temperature")
    mode = draft.ask("actor.loss_agg_mode")
    modes = {"token-mean": "token_mean", "seq-mean-token-mean": "sequence_mean"}
    draft.note("aggregation", mode, modes.get(str(mode.value)) if mode else None)
    return draft.done()


def _advantage(draft: Draft) -> None:
    found = draft.ask(_KEY)
    if found is None:
        return
    name = str(found.value).lower()
    draft.note("estimator", found, name)
    kind = ESTIMATORS.get(name)
    if kind is None:
        draft.note("misspelled", found, slipped(name, ESTIMATORS) or None)
        draft.cannot(found.key, f"{found.text!r} is no estimator that is known", found.line)
        return
    switch = draft.truth("algo.advantage.no_std_norm")
    if switch is not None and switch.value and not switch.default:
        if kind == "batch_std":
            kind, found = "plain", switch
        elif kind == "group_std":
            draft.note("std_switch_off", switch, True)
    draft.note("advantage", found, kind)
    if name == "gae":
        draft.number("gae_lambda", "algo.advantage.lambd")


def _clip(draft: Draft) -> None:
    pair = draft.ask("actor.eps_clip_low_high")
    if pair is not None and isinstance(pair.value, tuple):
        low, high = pair.value
        draft.note("clip_low", pair, low)
        draft.note("clip_high", pair, high)
    bounds = draft.ask("reward.clip_range")
    if bounds is not None and isinstance(bounds.value, tuple):
        draft.note("reward_low", bounds, bounds.value[0])


def _penalty(draft: Draft) -> None:
    weight = draft.number("kl_coef", "algo.kl.init_coef")
    in_loss, kind = draft.truth("algo.kl.use_loss"), draft.ask("algo.kl.estimator")
    if in_loss is None or kind is None:
        return
    forms = {"k2": "exp", "k3": "reverse"} if in_loss.value else {"k1": "exp"}
    draft.note("kl_form", weight, forms.get(str(kind.value), "none"))


def _reward(draft: Draft) -> None:
    enabled = draft.truth("algo.dynamic_filtering_enable")
    if enabled is not None and enabled.value:
        draft.note("filter_metric", enabled, "scores")
    if draft.has("train.agent_func_path"):
        return
    remote = draft.ask("reward.remote_url")
    if remote is not None:
        _remote(draft, remote)
    elif draft.has("reward.model_name_or_path") and not draft.has("reward.remote_url"):
        draft.note("reward_kind", draft.ask("reward.model_name_or_path"), "model")


def _remote(draft: Draft, remote: Value) -> None:
    """What a file with a reward function is by its name; a server's address tells nothing."""
    text = str(remote.value)
    name = text.rpartition("/")[2]
    kind = kind_of(name.removesuffix(".py")) if name.endswith(".py") else "unknown"
    if kind in ("unknown", "format"):
        why = f"{name or text!r} does not tell what it rewards; --reward does"
        draft.cannot(remote.key, why, remote.line)
        return
    draft.note("reward_kind", remote, kind)
    draft.note("reward_rule", remote, calibration_rule(name))
