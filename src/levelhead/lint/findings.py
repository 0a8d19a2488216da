"""From files to findings."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from levelhead.errors import RecordError, unknown_name
from levelhead.lint.reading import files_in, read
from levelhead.lint.rules import SEVERITIES, Hit, Rule, Severity, Sure, all_rules
from levelhead.lint.settings import Settings, Tool, Unread, Value

__all__ = ["REWARDS", "Finding", "Report", "check", "lint"]

REWARDS = ("scoring", "correctness", "model")
"""What a user may say that a reward is, where its name does not tell."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that a configuration does to calibration.

    Attributes:
        rule: the rule's name.
        severity: "error", "warning" or "note".
        sure: "proven", "measured" or "reported".
        message: what this file says.
        effect: what that does to calibration.
        fix: what to write instead, in the tool's own syntax.
        probe: the command that shows the effect; empty where none does.
        tool: whose configuration it is.
        file: its path.
        line: 1-based; that of the run for a default.
        key: the tool's key.
        value: what is said for it.
        default: whether the file is silent and the tool's default acts.
    """

    rule: str
    severity: Severity
    sure: Sure
    message: str
    effect: str
    fix: str
    probe: str
    tool: Tool
    file: str
    line: int
    key: str
    value: str
    default: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Report:
    """What was found in some files.

    Attributes:
        findings: by file and line, each once.
        runs: what was read: one for each training run.
        unread: file -> what could not be read there.
        skipped: why files were left out that cannot be read, or are for no tool that is known.
    """

    findings: tuple[Finding, ...]
    runs: tuple[Settings, ...]
    unread: Mapping[str, tuple[Unread, ...]]
    skipped: tuple[RecordError, ...] = ()

    def count(self, severity: Severity) -> int:
        """How many findings have this severity."""
        return sum(one.severity == severity for one in self.findings)

    def failed(self, *, strict: bool = False) -> bool:
        """Whether a build should fail: there are errors or, in strict mode, warnings."""
        worst: Sequence[Severity] = ("error", "warning") if strict else ("error",)
        return any(one.severity in worst for one in self.findings)


def lint(
    paths: Iterable[str | Path],
    *,
    reward: str | None = None,
    ignore: Iterable[str] = (),
    skip: bool = False,
) -> Report:
    """Read configurations and say what they will do to calibration.

    Args:
        paths: launch scripts, Python files or YAML of TRL, verl, OpenRLHF or levelhead, or folders with
            such files; other files of a folder are passed over.
        reward: what is rewarded ("scoring": a proper score of a stated probability; "correctness";
            "model"), where the files do not say so themselves; None: as far as they tell.
        ignore: names of rules to leave out.
        skip: go on with the other files where one is of no use; the report's `skipped` says why.

    Returns:
        The findings.

    Raises:
        RecordError: a file cannot be read, or is for no tool that is known; with `skip`: every one.
        InvalidInputError: an unknown reward or rule.

    Edge cases: a setting that cannot be read is in `unread`, and rules that need it say nothing.
    """
    if reward is not None and reward not in REWARDS:
        raise unknown_name("reward", reward, REWARDS)
    names = [rule.id for rule in all_rules()]
    left_out = set(ignore)
    for name in sorted(left_out - set(names)):
        raise unknown_name("rule", name, names)
    chosen = [rule for rule in all_rules() if rule.id not in left_out]
    read_ones, skipped = _runs(paths, skip)
    runs = [_with_reward(one, reward) for one in read_ones]
    findings: dict[tuple[Any, ...], Finding] = {}
    unread: dict[str, dict[tuple[str, int | None], Unread]] = {}
    for run in runs:
        for one in check(run, chosen):
            findings.setdefault((one.file, one.line, one.rule, one.message), one)
        for blank in run.unread:
            unread.setdefault(run.file, {}).setdefault((blank.key, blank.line), blank)
    order = {name: place for place, name in enumerate(dict.fromkeys(run.file for run in runs))}
    ranked = sorted(
        findings.values(),
        key=lambda one: (order[one.file], SEVERITIES.index(one.severity), one.line, one.rule),
    )
    blanks = {file: tuple(found.values()) for file, found in unread.items()}
    return Report(tuple(ranked), tuple(runs), blanks, tuple(skipped))


def _runs(paths: Iterable[str | Path], skip: bool) -> tuple[list[Settings], list[RecordError]]:
    """The runs of all files, and what is wrong with those that have none."""
    runs: list[Settings] = []
    skipped: list[RecordError] = []
    for path in paths:
        try:
            runs.extend(_folder(path) if os.path.isdir(path) else read(path))
        except RecordError as error:
            skipped.append(error)
            if not skip:
                raise
    if skipped and not runs:
        raise skipped[0]
    return runs, skipped


def _folder(folder: str | Path) -> list[Settings]:
    """The runs of every file in a folder that is a configuration."""
    runs: list[Settings] = []
    for file in files_in(folder):
        with contextlib.suppress(RecordError):  # of a folder's files most are something else
            runs.extend(read(file))
    if not runs:
        raise RecordError(
            "expected a folder with configurations of TRL, verl, OpenRLHF or levelhead, got none",
            str(folder),
        )
    return runs


def _with_reward(run: Settings, reward: str | None) -> Settings:
    """Settings in which the user's word about the reward stands where the file has none."""
    if reward is None or "reward_kind" in run.values:
        return run
    told = Value(reward, "--reward", reward, run.line)
    return dataclasses.replace(run, values={**run.values, "reward_kind": told})


def check(settings: Settings, chosen: Sequence[Rule] | None = None) -> list[Finding]:
    """What the rules find in the settings of one run.

    Args:
        settings: of one run.
        chosen: rules; None: all.

    Returns:
        The findings, in the order of the rules.
    """
    return [
        _finding(rule, hit, settings)
        for rule in (all_rules() if chosen is None else chosen)
        for hit in rule(settings)
    ]


_OURS: dict[Tool, str] = {
    "verl": "algorithm.adv_estimator=levelhead_rloo",
    "trl": 'advantage="rloo"',
}
"""How another estimator of ours is chosen where a plug-in or a trainer brings it."""


def _advice(rule: Rule, hit: Hit, settings: Settings) -> tuple[str, str]:
    """What to write instead, and the probe that shows why."""
    tool, ours = settings.tool, settings.get("ours")
    if ours is not None and tool in _OURS and hit.at.key == ours.key and "levelhead" in rule.probes:
        return _OURS[tool], f"levelhead probe {ours.value}"
    return rule.fixes.get(tool, ""), rule.probes.get(tool, "")


def _finding(rule: Rule, hit: Hit, settings: Settings) -> Finding:
    fix, probe = _advice(rule, hit, settings)
    return Finding(
        rule=rule.id,
        severity=hit.severity or rule.severity,
        sure=rule.sure,
        message=hit.message,
        effect=rule.effect,
        fix=fix,
        probe=probe,
        tool=settings.tool,
        file=settings.file,
        line=hit.at.line or settings.line,
        key=hit.at.key,
        value=hit.at.text,
        default=hit.at.default,
    )
