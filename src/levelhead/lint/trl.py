"""TRL: `GRPOConfig`, `RLOOConfig` in Python, in YAML, on a command line; defaults of TRL 1.16."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from levelhead.lint import own
from levelhead.lint._python import Call, calls
from levelhead.lint._rewards import calibration_rule, kind_of, kinds
from levelhead.lint._shell import Command, hidden
from levelhead.lint._yaml import Leaf, Tree, flat, is_base
from levelhead.lint.settings import Draft, Settings, Unread, Value, meant, number

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
    "max_completion_length": 512,
    "use_bias_correction_kl": True,
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
_OURS = "CalibratedGRPOTrainer"
_TRAINERS = {
    "GRPOTrainer": "grpo",
    "RLOOTrainer": "rloo",
    "AsyncGRPOTrainer": "async",
    _OURS: "ours",
}
_POSITIONS = ("model", "reward_funcs", "args")
_FROM_TRAINER = ("reward_funcs", "advantage")
_DEFAULTS = {"grpo": GRPO, "rloo": RLOO, "async": ASYNC, "ours": {**GRPO, "advantage": "rloo"}}
_FINDS = re.compile(r"_*(get|load|build|make|create|select|resolve)_")
"""Functions that choose rewards: their names do not say which."""

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
    every = calls(text, file, {*_CONFIGS, *_TRAINERS}, suffix="Trainer", positions=_POSITIONS)
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
    algorithm = _TRAINERS[trainer.name]
    given = {**trainer.later.get("args", {}), **_of_trainer(trainer)}
    if "args" not in trainer.given and not trainer.open:
        return _settings(file, trainer.line, given, _DEFAULTS[algorithm], algorithm)
    why = Unread("args", "the configuration is not made in this file", trainer.line)
    return _settings(file, trainer.line, given, _defaults_of(trainer), algorithm, why)


def _defaults_of(trainer: Call) -> dict[str, Any]:
    """What holds for a trainer whatever its configuration says."""
    return {"advantage": "rloo"} if trainer.name == _OURS and not trainer.open else {}


def _of_trainer(trainer: Call) -> dict[str, Value | Unread]:
    """What a trainer's own arguments say; the result of a call is named after its function."""
    found = {key: trainer.given[key] for key in _FROM_TRAINER if key in trainer.given}
    rewards, name = found.get("reward_funcs"), trainer.made_by.get("reward_funcs", "")
    if isinstance(rewards, Unread) and kind_of(name) != "unknown" and not _FINDS.match(name):
        found["reward_funcs"] = Value([name], "reward_funcs", f"{name}(...)", rewards.line)
    return found


def _call(config: Call, trainers: Sequence[Call], file: str) -> Settings:
    given = dict(config.given)
    algorithm = _CONFIGS[config.name]
    defaults = _DEFAULTS[algorithm]
    for trainer in trainers[:1]:
        given |= _of_trainer(trainer)
        if trainer.name == _OURS:
            algorithm, defaults = "ours", {**defaults, **_defaults_of(trainer)}
    foreign = [one for one in trainers if one.name not in _TRAINERS]
    if foreign:
        first = foreign[0]
        why = f"{first.name} is no trainer of TRL and may compute advantages in its own way"
        return _settings(
            file, config.line, given, {}, algorithm, Unread(first.name, why, first.line)
        )
    if config.open:
        why = "further settings come in by ** and cannot be read"
        return _settings(file, config.line, given, {}, algorithm, Unread("**", why, config.line))
    return _settings(file, config.line, given, defaults, algorithm)


def is_tree(tree: Tree) -> bool:
    """Whether a YAML file configures TRL, or axolotl's GRPO, which passes its `trl` section on."""
    return next(_sections(tree), None) is not None


def _sections(tree: Tree) -> Iterator[tuple[Tree, str, bool]]:
    """The mappings with TRL's keys, their prefixes, and whether TRL's defaults hold beside them."""
    if _TELLING & set(tree) or _method(tree):
        inner = tree.get("trl")
        yield (inner, "trl.", True) if isinstance(inner, dict) else (tree, "", True)
        return
    for name, inner in tree.items():
        if not isinstance(inner, dict) or is_base(inner):
            continue
        if {"num_generations", "scale_rewards"} & set(inner):
            yield inner, f"{name}.", False


def _method(tree: Tree) -> bool:
    method = tree.get("rl")
    return isinstance(method, Leaf) and str(method.value) in ("grpo", "rloo") and "trl" in tree


def from_yaml(tree: Tree, file: str) -> list[Settings]:
    """The settings of a YAML file.

    Args:
        tree: for which `is_tree` holds.
        file: its path.

    Returns:
        One for each section with TRL's keys that no other one is built on; keys that are not there
        have TRL's defaults, unless the section is one that only the user's program understands.
    """
    found = []
    for section, prefix, standard in _sections(tree):
        given = {key.removeprefix(prefix): one for key, one in flat(section, prefix).items()}
        lines = [one.line for one in given.values() if one.line]
        algorithm = "rloo" if _RLOO_KEYS & set(given) else "grpo"
        defaults = _DEFAULTS[algorithm] if standard else {}
        found.append(_settings(file, min(lines, default=1), given, defaults, algorithm))
    return found


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
    return _settings(file, command.line, given, defaults, kind, hidden=hidden(words))


def _settings(
    file: str,
    line: int,
    given: Mapping[str, Value | Unread],
    defaults: Mapping[str, Any],
    algorithm: str,
    why: Unread | None = None,
    hidden: Unread | None = None,
) -> Settings:
    draft = Draft("trl", file, line, given, defaults, hidden)
    draft.number("group_size", "num_generations", "rloo_k")
    foreign = why is not None and why.key.endswith("Trainer")
    if algorithm == "rloo":
        _rloo(draft, foreign)
    elif algorithm == "async":
        always = Value("group_std", "AsyncGRPOTrainer", "no other way to scale", line)
        draft.note("advantage", None if foreign else always, "group_std")
        tokens = Value("token_mean", "AsyncGRPOTrainer", "no other mean", line)
        draft.note("aggregation", None if foreign else tokens, "token_mean")
    elif algorithm == "ours":
        _calibrated(draft)
        _loss(draft)
    else:
        _grpo(draft, foreign)
    _penalties(draft, algorithm)
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
            draft.note("misspelled", scale, meant(str(scale.value), SCALES))
            draft.cannot(scale.key, f"{scale.text!r} is no scale of TRL 1.16", scale.line)
    _loss(draft)


def _calibrated(draft: Draft) -> None:
    """What our own trainer does: `advantage` decides, whatever `scale_rewards` says."""
    found = draft.ask("advantage")
    if found is None:
        return
    if not found.default and found.text == str(found.value):
        draft.cannot(found.key, f"{found.text} is a function of yours; probe it", found.line)
    else:
        own.note_estimator(draft, found)


def _penalties(draft: Draft, algorithm: str) -> None:
    """The KL penalty and the entropy bonus.

    RLOO has the penalty in its reward. GRPO has k3 in its loss: times the ratio its gradient is that of
    KL(pi||ref), without it that of KL(ref||pi); times the ratio of a whole sequence it is neither.
    """
    beta = draft.number("kl_coef", "beta")
    ratio = draft.truth("use_bias_correction_kl")
    level = draft.ask("importance_sampling_level")
    if algorithm == "rloo":
        draft.note("kl_form", beta, "exp")
    elif ratio is not None and ratio.value and level is not None and level.value != "token":
        draft.note("kl_form", beta, "none")
    elif ratio is not None:
        draft.note("kl_form", beta, "exp" if ratio.value else "reverse")
    loss = draft.ask("loss_type")
    name = None if loss is None else loss.value
    if name == "luspo":
        return  # its policy loss is a sum over tokens beside which the bonus, a mean, hardly weighs
    draft.number("entropy_coef", "entropy_coef")
    if name == "dr_grpo":
        draft.number("entropy_span", "max_completion_length")


def _loss(draft: Draft) -> None:
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
