"""TRL: `GRPOConfig`, `RLOOConfig` in Python, in YAML, on a command line; defaults of TRL 1.16."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from levelhead.lint._python import Call, calls
from levelhead.lint._rewards import calibration_rule, kind_of, kinds
from levelhead.lint._shell import Command
from levelhead.lint._yaml import Leaf, Tree, flat
from levelhead.lint.settings import Draft, Settings, Unread, Value, number

__all__ = [
    "ASYNC",
    "GRPO",
    "RLOO",
    "from_command",
    "from_python",
    "from_yaml",
    "is_command",
    "is_tree",
]

GRPO: dict[str, Any] = {
    "scale_rewards": "group",
    "multi_objective_aggregation": "sum_then_normalize",
    "loss_type": "dapo",
    "epsilon": 0.2,
    "beta": 0.0,
    "num_generations": 8,
    "temperature": 1.0,
    "entropy_coef": 0.0,
}
"""Defaults of `GRPOConfig`."""

RLOO: dict[str, Any] = {
    "normalize_advantages": False,
    "epsilon": 0.2,
    "beta": 0.05,
    "num_generations": 2,
    "temperature": 1.0,
}
"""Defaults of `RLOOConfig`."""

SCALES = {
    "true": "group_std",
    "group": "group_std",
    "batch": "batch_std",
    "false": "plain",
    "none": "plain",
}

AGGREGATIONS = {
    "grpo": "sequence_mean",
    "sapo": "sequence_mean",
    "bnpo": "token_mean",
    "dapo": "token_mean",
    "cispo": "token_mean",
    "vespo": "token_mean",
    "dr_grpo": "sum",
    "luspo": "sum",
}

ASYNC: dict[str, Any] = {"epsilon": 0.2, "num_generations": 8, "temperature": 1.0}
"""Defaults of `AsyncGRPOConfig` (experimental), which always divides by the group's std."""

_PLAIN_CLIP = {"grpo", "bnpo", "dr_grpo", "dapo", "luspo"}
_CONFIGS = {"GRPOConfig": "grpo", "RLOOConfig": "rloo", "AsyncGRPOConfig": "async"}
_TRAINERS = {"GRPOTrainer", "RLOOTrainer", "AsyncGRPOTrainer"}
_DEFAULTS = {"grpo": GRPO, "rloo": RLOO, "async": ASYNC}
_RLOO_KEYS = {"normalize_advantages", "rloo_k", "reward_clip_range"}
_TELLING = {"num_generations", "scale_rewards", "reward_funcs", "normalize_advantages"}


def from_python(text: str, file: str) -> list[Settings]:
    """The settings of every `GRPOConfig` and `RLOOConfig` that a Python file makes.

    Args:
        text: Python.
        file: its path.

    Returns:
        One for each call; for a trainer without `args`, TRL's defaults.

    Raises:
        RecordError: it is no Python.
    """
    found: list[Settings] = []
    every = calls(text, file, {*_CONFIGS, *_TRAINERS}, suffix="Trainer")
    trainers = [call for call in every if call.name not in _CONFIGS]
    configs = [call for call in every if call.name in _CONFIGS]
    for config in configs:
        mine = [
            one for one in trainers if config.variable and one.names.get("args") == config.variable
        ]
        if not mine and len(configs) == 1:
            mine = [one for one in trainers if one.name in _TRAINERS] or trainers
        found.append(_call(config, mine, file))
    if configs:
        return found
    return [_alone(one, file) for one in trainers if one.name in _TRAINERS]


def _alone(trainer: Call, file: str) -> Settings:
    """A trainer whose configuration is not made in this file: without any, TRL's defaults hold."""
    algorithm = _CONFIGS[trainer.name.replace("Trainer", "Config")]
    given = {key: one for key, one in trainer.given.items() if key == "reward_funcs"}
    if "args" not in trainer.given and not trainer.open:
        return _settings(file, trainer.line, given, _DEFAULTS[algorithm], algorithm)
    why = Unread("args", "the configuration is not made in this file", trainer.line)
    return _settings(file, trainer.line, given, {}, algorithm, why)


def _call(config: Call, trainers: Sequence[Call], file: str) -> Settings:
    given = dict(config.given)
    for trainer in trainers[:1]:
        if "reward_funcs" in trainer.given:
            given["reward_funcs"] = trainer.given["reward_funcs"]
    algorithm = _CONFIGS[config.name]
    own = [one for one in trainers if one.name not in _TRAINERS]
    if own:
        why = f"{own[0].name} is no trainer of TRL and may compute advantages in its own way"
        return _settings(file, config.line, given, {}, algorithm, Unread("args", why, own[0].line))
    if config.open:
        why = "further settings come in by ** and cannot be read"
        return _settings(file, config.line, given, {}, algorithm, Unread("**", why, config.line))
    return _settings(file, config.line, given, _DEFAULTS[algorithm], algorithm)


def is_tree(tree: Tree) -> bool:
    """Whether a YAML file configures TRL, or axolotl's GRPO, which passes its `trl` section on."""
    return _section(tree) is not None


def _section(tree: Tree) -> tuple[Tree, str, bool] | None:
    """The mapping with TRL's keys, its prefix, and whether TRL's defaults hold beside it."""
    if _TELLING & set(tree) or _method(tree):
        inner = tree.get("trl")
        if isinstance(inner, dict):
            return inner, "trl.", True
        return tree, "", True
    for name, inner in tree.items():
        if isinstance(inner, dict) and {"num_generations", "scale_rewards"} & set(inner):
            return inner, f"{name}.", False
    return None


def _method(tree: Tree) -> bool:
    method = tree.get("rl")
    return isinstance(method, Leaf) and str(method.value) in ("grpo", "rloo") and "trl" in tree


def from_yaml(tree: Tree, file: str) -> Settings:
    """The settings of a YAML file.

    Args:
        tree: for which `is_tree` holds.
        file: its path.

    Returns:
        The settings; keys that are not there have TRL's defaults, unless the section is one that only
        the user's program understands.
    """
    section, prefix, standard = _section(tree) or (tree, "", False)
    given = {key.removeprefix(prefix): one for key, one in flat(section, prefix).items()}
    lines = [one.line for one in given.values() if one.line]
    algorithm = "rloo" if _RLOO_KEYS & set(given) else "grpo"
    defaults = _DEFAULTS[algorithm] if standard else {}
    return _settings(file, min(lines, default=1), given, defaults, algorithm)


def is_command(command: Command) -> bool:
    """Whether a command trains with TRL and says something about it."""
    words = [word.text for word in command.words]
    if words[0] == "trl" and len(words) > 1 and words[1] in ("grpo", "rloo"):
        return True
    flags = {word[2:].partition("=")[0] for word in words if word.startswith("--")}
    return bool(flags & {"num_generations", "scale_rewards"}) and any("grpo" in w for w in words)


def from_command(command: Command, file: str) -> Settings:
    """The settings of one launch.

    Args:
        command: for which `is_command` holds.
        file: the script's path.

    Returns:
        The settings; TRL's defaults hold for its own program without a configuration file.
    """
    given: dict[str, Value | Unread] = {}
    words = command.words
    for i, word in enumerate(words):
        if not word.text.startswith("--"):
            continue
        name, equals, value = word.text[2:].partition("=")
        after = words[i + 1 : i + 2]
        text = value if equals or not after or after[0].text.startswith("--") else after[0].text
        unknown = word.unknown or ("" if equals or not after else after[0].unknown)
        if unknown:
            given[name] = Unread(f"--{name}", unknown, word.line)
        else:
            given[name] = Value(text or True, f"--{name}", text or "true", word.line)
    first = [word.text for word in words[:2]]
    kind = "rloo" if "rloo" in first else "grpo"
    standard = "trl" in first[:1] and "config" not in given
    defaults = _DEFAULTS[kind] if standard else {}
    return _settings(file, command.line, given, defaults, kind)


def _settings(
    file: str,
    line: int,
    given: Mapping[str, Value | Unread],
    defaults: Mapping[str, Any],
    algorithm: str,
    why: Unread | None = None,
) -> Settings:
    draft = Draft("trl", file, line, given, defaults)
    draft.number("group_size", "num_generations", "rloo_k")
    foreign = why is not None and why.key == "args"
    if algorithm == "rloo":
        _rloo(draft, foreign)
    elif algorithm == "async":
        always = Value("group_std", "AsyncGRPOTrainer", "no other way to scale", line)
        draft.note("advantage", None if foreign else always, "group_std")
        tokens = Value("token_mean", "AsyncGRPOTrainer", "no other mean", line)
        draft.note("aggregation", None if foreign else tokens, "token_mean")
    else:
        _grpo(draft, foreign)
    draft.number("kl_coef", "beta")
    draft.number("entropy_coef", "entropy_coef")
    draft.number("train_temperature", "temperature")
    whole, size = draft.ask("generation_batch_size"), draft.values.get("group_size")
    samples = None if whole is None else number(whole.value)
    if whole is not None and samples and size is not None and size.value:
        draft.note("batch_prompts", whole, samples / size.value)
    _reward(draft)
    return draft.done(() if why is None else (why,))


def _rloo(draft: Draft, foreign: bool) -> None:
    switch = draft.truth("normalize_advantages", "normalize_advantage")
    if switch is not None and not foreign:
        draft.note("advantage", switch, "batch_std" if switch.value else "plain")
        draft.note("estimator", switch, "rloo")
    draft.number("clip_low", "epsilon")
    bounds = draft.ask("reward_clip_range")
    if bounds is not None and isinstance(bounds.value, list):
        for low in bounds.value[:1]:
            draft.note("reward_low", bounds, number(low))


def _grpo(draft: Draft, foreign: bool) -> None:
    scale, order = draft.ask("scale_rewards"), draft.ask("multi_objective_aggregation")
    if order is not None and order.value == "normalize_then_sum" and not foreign:
        draft.note("advantage", order, "double_std")
        draft.note("estimator", order, "normalize_then_sum")
    elif scale is not None and not foreign:
        kind = SCALES.get(str(scale.value).lower())
        draft.note("advantage", scale, kind)
        draft.note("estimator", scale, "grpo")
        if kind is None:
            draft.cannot(scale.key, f"{scale.text!r} is no scale of TRL 1.16", scale.line)
    loss = draft.ask("loss_type")
    draft.note("aggregation", loss, AGGREGATIONS.get(str(loss.value)) if loss else None)
    if loss is not None and str(loss.value) in _PLAIN_CLIP:
        low = draft.number("clip_low", "epsilon")
        high = draft.ask("epsilon_high")
        width = None if high is None else number(high.value)
        if width is not None:
            draft.note("clip_high", high, width)
        elif low is not None and "epsilon_high" not in draft.given:
            draft.note("clip_high", low, low.value)


def _reward(draft: Draft) -> None:
    found = draft.ask("reward_funcs")
    if found is None:
        return
    names = [
        str(name) for name in (found.value if isinstance(found.value, list) else [found.value])
    ]
    weights = _weights(draft, len(names))
    if weights is None:
        return
    if all("/" in name for name in names):
        draft.note("reward_kind", found, "model")
        return
    draft.note("reward_kind", found, kinds(names, weights))
    pairs = list(zip(names, weights, strict=True))
    right = sum(weight for name, weight in pairs if kind_of(name) == "correctness")
    scored = [(name, weight) for name, weight in pairs if kind_of(name) == "scoring"]
    if len(scored) == 1:
        draft.note("reward_rule", found, calibration_rule(scored[0][0]))
        if right > 0:
            source = draft.ask("reward_weights") or found
            draft.note("confidence_weight", source, scored[0][1] / right)


def _weights(draft: Draft, count: int) -> list[float] | None:
    """The weight of each reward; None where they cannot be read."""
    found = draft.ask("reward_weights")
    if found is None:
        return None if "reward_weights" in draft.given else [1.0] * count
    listed = found.value if isinstance(found.value, list) else [found.value]
    weights = [number(one) for one in listed]
    if len(weights) != count or any(one is None for one in weights):
        return None if found.value is not None else [1.0] * count
    return [one for one in weights if one is not None]
