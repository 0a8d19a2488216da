"""What a configuration says about calibration, in words that do not depend on the tool.

A reader turns a file of TRL, verl, OpenRLHF or levelhead into `Settings`: one `Value` for each thing in
`FIELDS` that the file decides, with the line and the key it came from. What a reader cannot know (a
variable of the shell, an argument of a function) is no value but an `Unread`, and the rules that need
it say nothing.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
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
    "meant",
    "misspelled",
    "number",
    "slipped",
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
    "ours": "its name in levelhead.advantages, where a plug-in or a trainer of ours brings it",
    "misspelled": "a name that the tool does not know; the value is the one that was meant, or empty",
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
    "kl_form": "what that penalty leads to: exp; reverse, that of KL(ref||pi); none that is known",
    "kl_other": "weight of a second KL penalty that is in force as well, of the form exp",
    "entropy_coef": "weight of the entropy bonus",
    "entropy_span": "the policy's loss is divided by this number of tokens, and the bonus is not",
    "reward_kind": "correctness, scoring, improper or model",
    "reward_rule": "name of the scoring rule",
    "confidence_weight": "weight of the calibration term, where correctness has weight 1",
    "reward_low": "rewards below are raised to this",
    "format_floor": "reward of malformed output",
    "reward_least": "the worst reward of a well-formed answer",
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
        hidden: an argument that cannot be read and may set anything: no default holds beside it.
    """

    def __init__(
        self,
        tool: Tool,
        file: str,
        line: int,
        given: Mapping[str, Value | Unread],
        defaults: Mapping[str, Any],
        hidden: Unread | None = None,
    ) -> None:
        self.tool: Tool = tool
        self.file, self.line = file, line
        self.given, self.defaults, self.hidden = given, defaults, hidden
        self.values: dict[str, Value] = {}
        self.unread: dict[str, Unread] = {} if hidden is None else {hidden.key: hidden}

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
            if key in self.defaults and self.hidden is None:
                value = self.defaults[key]
                return Value(value, key, shown(value), None, True)
        return None

    def blind(self, key: str) -> bool:
        """Whether a key may be set to something that cannot be read."""
        found = self.given.get(key)
        return isinstance(found, Unread) or (found is None and self.hidden is not None)

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
    """A finite number, also where it is written as text; None for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(value if isinstance(value, int | float) else str(value).replace("_", ""))
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def meant(name: str, choices: Iterable[str]) -> str:
    """The name of a closed list that was probably meant, empty where none is near."""
    return next(iter(difflib.get_close_matches(name, sorted(choices), n=1)), "")


def slipped(name: str, choices: Iterable[str]) -> str:
    """The same for an open list, on which a name of its own may be near: a slip of the keyboard."""
    for one in choices:
        swapped = sorted(one) == sorted(name)
        if one != name and _slip(name, one) and (swapped or min(len(one), len(name)) >= 6):
            return one
    return ""


def misspelled(key: str, known: Iterable[str]) -> str:
    """The known dotted key that differs in one part by a slip of the keyboard, or empty.

    Args:
        key: that is not known.
        known: keys.

    Returns:
        The key, where one part of it has a letter too many, too few, wrong or out of place.
    """
    parts = key.split(".")
    for one in known:
        others = one.split(".")
        if len(others) != len(parts):
            continue
        odd = [(a, b) for a, b in zip(parts, others, strict=True) if a != b]
        if len(odd) == 1 and min(map(len, odd[0])) >= 4 and _slip(*odd[0]):
            return one
    return ""


def _slip(a: str, b: str) -> bool:
    """Whether one insertion, deletion, substitution or swap of neighbors leads from a to b."""
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    x, y = a[start:], b[start:]
    return x[1:] == y[1:] or x[1:] == y or x == y[1:] or (x[:2] == y[1::-1] and x[2:] == y[2:])


def truth(value: Any) -> bool | None:
    """True or false, also where it is written as text; None for anything else."""
    if isinstance(value, bool):
        return value
    words = {"true": True, "1": True, "yes": True, "on": True}
    words |= {"false": False, "0": False, "no": False, "off": False}
    return words.get(str(value).strip().lower())
