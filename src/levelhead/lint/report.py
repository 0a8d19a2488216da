"""A report for machines: JSON, SARIF 2.1.0 for code scanning, and lines for GitHub's annotations."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from levelhead import __version__
from levelhead.lint.findings import Finding, Report
from levelhead.lint.rules import SURE, Rule, all_rules

__all__ = ["to_github", "to_json", "to_sarif"]

FORMAT = "levelhead-lint/1"
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "note": "notice"}
_TAG = re.compile(r"[\x00-\x1f\x7f]")


def to_json(report: Report) -> dict[str, Any]:
    """The report as plain data.

    Args:
        report: of `lint`.

    Returns:
        Its format, the findings, what could not be read, the files that were left out, and what was
        read of each run.
    """
    return {
        "format": FORMAT,
        "version": __version__,
        "errors": report.count("error"),
        "warnings": report.count("warning"),
        "notes": report.count("note"),
        "findings": [one.to_dict() for one in report.findings],
        "unread": [
            {"file": file, "key": one.key, "line": one.line, "why": one.why}
            for file, blanks in report.unread.items()
            for one in blanks
        ],
        "skipped": [
            {"file": one.path, "line": one.line, "why": one.problem} for one in report.skipped
        ],
        "runs": [
            {
                "file": run.file,
                "line": run.line,
                "tool": run.tool,
                "settings": {name: value.value for name, value in sorted(run.values.items())},
            }
            for run in report.runs
        ],
    }


def to_sarif(report: Report) -> dict[str, Any]:
    """The report as SARIF 2.1.0, which GitHub's code scanning takes.

    Args:
        report: of `lint`.

    Returns:
        A SARIF log with one run; every rule is described, found or not.
    """
    known = {rule.id: place for place, rule in enumerate(all_rules())}
    driver = {
        "name": "levelhead lint",
        "version": __version__,
        "rules": [_rule(rule) for rule in all_rules()],
    }
    results = [_result(one, known[one.rule]) for one in report.findings]
    run: dict[str, Any] = {"tool": {"driver": driver}, "columnKind": "utf16CodeUnits"}
    run |= {"results": results}
    if report.skipped:
        told = [{"level": "error", "message": {"text": str(one)}} for one in report.skipped]
        failed = {"executionSuccessful": False, "toolExecutionNotifications": told}
        run |= {"invocations": [failed]}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, Any]:
    fixes = "\n".join(f"* {tool}: `{fix}`" for tool, fix in rule.fixes.items())
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.id.split("-")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.effect},
        "help": {"text": rule.effect, "markdown": f"{rule.effect}\n\n{fixes}"},
        "defaultConfiguration": {"level": rule.severity},
        "properties": {"precision": "high", "tags": ["calibration", rule.sure]},
    }


def _result(one: Finding, place: int) -> dict[str, Any]:
    path = PurePath(one.file)
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    text = f"{one.message}. {one.effect}" + (f" Fix: {one.fix}." if one.fix else "")
    mark = hashlib.sha256(f"{one.rule}\0{path.name}\0{one.key}\0{one.value}".encode()).hexdigest()
    return {
        "ruleId": one.rule,
        "ruleIndex": place,
        "level": one.severity,
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": uri},
                    "region": {"startLine": one.line},
                }
            }
        ],
        "partialFingerprints": {"levelheadLint/v1": mark[:32]},
        "properties": {"sure": SURE[one.sure], "probe": one.probe, "default": one.default},
    }


def to_github(report: Report) -> str:
    """The report as commands of a GitHub workflow, which mark the lines of a pull request.

    Args:
        report: of `lint`.

    Returns:
        One line for each finding; empty where there is none.
    """
    lines = []
    for one in report.findings:
        text = one.message + (f". Fix: {one.fix}" if one.fix else "")
        place = f"file={_property(one.file)},line={one.line},title={_property(one.rule)}"
        lines.append(f"::{_LEVELS[one.severity]} {place}::{_data(text)}\n")
    for one in report.skipped:
        lines.append(
            f"::error file={_property(one.path or '')},title=skipped::{_data(one.problem)}\n"
        )
    return "".join(lines)


def _data(text: str) -> str:
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return _TAG.sub(" ", escaped)


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
