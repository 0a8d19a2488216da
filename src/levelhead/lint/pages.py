"""The documentation of the rules, made from the rules."""

from __future__ import annotations

from levelhead.lint.rules import SURE, Rule, all_rules
from levelhead.lint.settings import TOOLS

__all__ = ["page", "table"]


def page(rule: Rule) -> str:
    """A rule's page of documentation.

    Args:
        rule: which.

    Returns:
        Markdown.
    """
    lines = [f"# {rule.id}", "", f"**{rule.title}.** {rule.severity}; {SURE[rule.sure]}.", ""]
    lines += [rule.effect, "", "| tool | write instead |", "|---|---|"]
    lines += [f"| {TOOLS[tool]} | `{fix}` |" for tool, fix in rule.fixes.items()]
    if rule.probes:
        commands = dict.fromkeys(rule.probes.values())
        lines += ["", "See it:", "", *(f"    {command}" for command in commands)]
    if rule.references:
        lines += ["", f"References: {', '.join(rule.references)}."]
    return "\n".join(lines) + "\n"


def table() -> str:
    """All rules in one table, each with a link to its page.

    Returns:
        Markdown.
    """
    lines = ["| rule | severity | how sure | what |", "|---|---|---|---|"]
    lines += [
        f"| [{rule.id}]({rule.id}.md) | {rule.severity} | {rule.sure} | {rule.title} |"
        for rule in all_rules()
    ]
    return "\n".join(lines) + "\n"
