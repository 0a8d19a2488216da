"""What a configuration says about calibration, in words that do not depend on the tool.

A reader turns a file of TRL, verl, OpenRLHF or levelhead into `Settings`: one `Value` for each thing in
`FIELDS` that the file decides, with the line and the key it came from. What a reader cannot know (a
variable of the shell, an argument of a function) is no value but an `Unread`, and the rules that need
it say nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

__all__ = [
    "ADVANTAGES",
    "FIELDS",
    "TOOLS",
    "Draft",
    "Settings",
    "Tool",
    "Unread",
    "Value",
    "number",
    "truth",
]

Tool = Literal["trl", "verl", "openrlhf", "levelhead"]

TOOLS: dict[Tool, str] = {
    "trl": "TRL",
    "verl": "verl",
    "openrlhf": "OpenRLHF",
    "levelhead": "levelhead",
}
"""The tools whose configurations can be read, and how they write their names."""

ADVANTAGES = (
    "plain",
    "group_std",
    "loo_std",
    "batch_std",
    "double_std",
    "earlier_std",
    "ranks",
    "zscore_softmax",
    "softmax",
    "best_of_group",
)
"""What becomes of a reward on its way to an advantage; "plain": at most a baseline is subtracted."""

FIELDS: dict[str, str] = {
    "estimator": "the tool's own name of the advantage estimator",
    "advantage": "what becomes of a reward, one of ADVANTAGES",
    "std_switch_off": "the std was switched off by a key that this estimator does not read",
    "group_size": "samples of each prompt",
    "batch_prompts": "prompts that share a batch statistic",
    "gae_lambda": "lambda of generalized advantage estimation, where it is used",
    "aggregation": "from token losses to one: sequence_mean, token_mean, sum",
    "clip_low": "the ratio counts down to 1 - this",
    "clip_high": "the ratio counts up to 1 + this",
    "dead_clip": "a clip range that is not read, because two others go before it",
    "kl_coef": "weight of the KL penalty that is in force",
    "entropy_coef": "weight of the entropy bonus",
    "reward_kind": "correctness, scoring, improper or model",
    "reward_rule": "name of the scoring rule",
    "confidence_weight": "weight of the calibration term, where correctness has weight 1",
    "reward_low": "rewards below are raised to this",
    "format_floor": "reward of malformed output",
    "missing_confidence": "what a confidence that is not there counts as",
    "filter_metric": "groups in which this number is unanimous are dropped",
    "train_temperature": "temperature of the samples that are trained on",
    "eval_temperature": "temperature of the samples that are evaluated",
}
"""Everything that rules look at."""


@dataclasses.dataclass(frozen=True)
class Value:
    """One setting, and where it comes from.

    Attributes:
        value: in the words of `FIELDS`.
        key: the tool's own key.
        text: what the file says for it.
        line: 1-based; None where it is a default of the tool.
        default: the file is silent and this is what the tool does then.
    """

    value: Any
    key: str
    text: str
    line: int | None = None
    default: bool = False


@dataclasses.dataclass(frozen=True)
class Unread:
    """A setting that could not be read.

    Attributes:
        key: the tool's own key.
        why: what stands in the way, e.g. "$LR is set outside of this file".
        line: 1-based, or None.
    """

    key: str
    why: str
    line: int | None = None


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that was read about one training run.

    Attributes:
        tool: whose configuration it is.
        file: its path, as it was given.
        line: where the run begins, 1-based.
        values: field -> value, for the fields that are known.
        unread: what could not be read.
    """

    tool: Tool
    file: str
    line: int
    values: Mapping[str, Value]
    unread: tuple[Unread, ...] = ()

    def get(self, field: str) -> Value | None:
        """A field's value with its place, None where it is not known."""
        return self.values.get(field)

    def plain(self, field: str) -> Any:
        """A field's value alone, None where it is not known."""
        found = self.values.get(field)
        return None if found is None else found.value


class Draft:
    """Settings in the making: the tool's own keys are asked for, fields are noted.

    Args:
        tool: whose configuration it is.
        file: its path.
        line: where the run begins.
        given: the tool's key -> value, as the file has it; a value that is an `Unread` is unknown.
        defaults: the tool's key -> default; empty where its defaults are not known to hold.
    """

    def __init__(
        self,
        tool: Tool,
        file: str,
        line: int,
        given: Mapping[str, Value | Unread],
        defaults: Mapping[str, Any],
    ) -> None:
        self.tool: Tool = tool
        self.file, self.line = file, line
        self.given, self.defaults = given, defaults
        self.values: dict[str, Value] = {}
        self.unread: dict[str, Unread] = {}

    def ask(self, *keys: str) -> Value | None:
        """The value of the first of these keys that the file has, or else the first one's default."""
        for key in keys:
            found = self.given.get(key)
            if isinstance(found, Unread):
                self.unread.setdefault(found.key, found)
                return None
            if found is not None:
                return found
        for key in keys:
            if key in self.defaults:
                value = self.defaults[key]
                return Value(value, key, shown(value), None, True)
        return None

    def has(self, *keys: str) -> bool:
        """Whether the file itself sets one of these keys."""
        return any(key in self.given for key in keys)

    def note(self, field: str, source: Value | None, value: Any) -> None:
        """A field is known: `value`, because of `source`; None notes nothing."""
        if source is not None and value is not None:
            self.values[field] = dataclasses.replace(source, value=value)

    def cannot(self, key: str, why: str, line: int | None = None) -> None:
        """A key's value is of no use."""
        self.unread.setdefault(key, Unread(key, why, line))

    def number(self, field: str, *keys: str) -> Value | None:
        """Note a field that is a number under one of these keys."""
        found = self.ask(*keys)
        if found is None:
            return None
        value = number(found.value)
        if value is None:
            if found.value is not None:
                self.cannot(found.key, f"expected a number, got {found.text!r}", found.line)
            return None
        self.note(field, found, value)
        return self.values[field]

    def truth(self, *keys: str) -> Value | None:
        """A switch under one of these keys; None where it is not known."""
        found = self.ask(*keys)
        if found is None:
            return None
        value = truth(found.value)
        if value is None:
            if found.value is not None:
                self.cannot(found.key, f"expected true or false, got {found.text!r}", found.line)
            return None
        return dataclasses.replace(found, value=value)

    def done(self, extra: Iterable[Unread] = ()) -> Settings:
        """The settings."""
        for one in extra:
            self.unread.setdefault(one.key, one)
        return Settings(
            self.tool, self.file, self.line, dict(self.values), tuple(self.unread.values())
        )


def shown(value: Any) -> str:
    """A default as its tool writes it."""
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def number(value: Any) -> float | None:
    """A number, also where it is written as text; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value)
    try:
        return float(str(value).replace("_", ""))
    except ValueError:
        return None


def truth(value: Any) -> bool | None:
    """True or false, also where it is written as text; None for anything else."""
    if isinstance(value, bool):
        return value
    words = {"true": True, "1": True, "yes": True, "on": True}
    words |= {"false": False, "0": False, "no": False, "off": False}
    return words.get(str(value).strip().lower())
