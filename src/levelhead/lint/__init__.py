"""What a training configuration will do to calibration, before it is run.

    from levelhead.lint import lint

    for finding in lint(["run_grpo.sh"]).findings:
        print(finding.severity, finding.rule, finding.message)

Reads TRL, verl, OpenRLHF and the recipes of `levelhead train`; nothing is executed and none of these
packages is needed.
"""

from __future__ import annotations

from levelhead.lint.findings import Finding, Report, check, lint
from levelhead.lint.reading import read, read_text
from levelhead.lint.report import to_github, to_json, to_sarif
from levelhead.lint.rules import Rule, all_rules
from levelhead.lint.settings import Settings, Unread, Value

__all__ = [
    "Finding",
    "Report",
    "Rule",
    "Settings",
    "Unread",
    "Value",
    "check",
    "lint",
    "read",
    "read_text",
    "all_rules",
    "to_github",
    "to_json",
    "to_sarif",
]
