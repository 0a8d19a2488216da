"""`levelhead lint`: what a training configuration will do to calibration, before it is run."""

from __future__ import annotations

import difflib
import json
from importlib.util import find_spec
from pathlib import Path
from textwrap import wrap

import click
from rich.console import Console
from rich.text import Text

from levelhead._text import plural
from levelhead.cli._options import json_option, on_stdout, path_option, quiet_option, target
from levelhead.cli._output import check_targets, clean, console, emit, still_open
from levelhead.errors import InvalidInputError
from levelhead.lint import Finding, Report, all_rules, lint, to_github, to_json, to_sarif
from levelhead.lint.findings import REWARDS
from levelhead.lint.rules import SURE
from levelhead.lint.settings import TOOLS

__all__ = ["lint_command"]

EPILOG = """\b
Examples:
  levelhead lint run_grpo.sh
  levelhead lint train.py recipes/*.yaml --strict
  levelhead lint run.sh --reward correctness --ignore token-mean
  levelhead lint configs --sarif lint.sarif

Exit status: 0 no errors, 1 an error (with --strict a warning as well; notes never
fail), 2 a file cannot be read or is for no tool that is known; the others are
reported first.
"""

STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold blue"}


@click.command("lint", epilog=EPILOG)
@click.argument("configs", nargs=-1, required=True, metavar="CONFIG...")
@click.option("--strict", is_flag=True, help="Exit 1 for warnings too, not for errors only.")
@click.option(
    "--reward",
    type=click.Choice(REWARDS),
    help="What is rewarded, where the files do not tell: a proper score of a confidence, "
    "correctness only, or a reward model's opinion.",
)
@click.option("--ignore", multiple=True, metavar="RULE", help="Leave a rule out; may be repeated.")
@json_option("the findings")
@path_option(
    "--sarif", metavar="FILE", help="Write SARIF 2.1.0 for code scanning (- for standard output)."
)
@click.option("--github", is_flag=True, help="Print annotations for GitHub Actions, nothing else.")
@quiet_option()
def lint_command(
    configs: tuple[str, ...],
    strict: bool,
    reward: str | None,
    ignore: tuple[str, ...],
    json_path: Path | None,
    sarif: Path | None,
    github: bool,
    quiet: bool,
) -> int:
    """Say what a training configuration will do to calibration, before it is run.

    A CONFIG is a launch script of verl or OpenRLHF (.sh), a Python or YAML file with TRL's
    GRPOConfig or RLOOConfig, a YAML file of verl, a recipe of levelhead train, or a folder with
    such files. Nothing is executed; what depends on the environment is named and not judged.
    """
    if [on_stdout(json_path), on_stdout(sarif), github].count(True) > 1:
        raise click.UsageError("expected one of --json -, --sarif - and --github, got several")
    check_targets((target(json_path), target(sarif)), configs)
    _check_ignored(ignore)
    report = lint(configs, reward=reward, ignore=ignore, skip=True)
    silent = quiet or github or on_stdout(json_path) or on_stdout(sarif)
    with still_open():
        for path, content in ((json_path, to_json), (sarif, to_sarif)):
            if path is not None:
                emit(path, json.dumps(content(report), indent=2, ensure_ascii=False) + "\n")
        if github:
            click.echo(to_github(report), nl=False)
        if not silent:
            show(report)
    if silent and not github:
        for one in report.skipped:
            click.echo(f"levelhead: skipped {clean(str(one))}", err=True)
    if report.skipped:
        return 2
    return 1 if report.failed(strict=strict) else 0


def _check_ignored(names: tuple[str, ...]) -> None:
    known = [rule.id for rule in all_rules()]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InvalidInputError(
                f"--ignore: expected the name of a rule, got {name!r}; {hint}"
                f"the rules are {', '.join(sorted(known))}"
            )


def show(report: Report) -> None:
    """Print the findings, what could not be read, and a summary, at 80 columns.

    Args:
        report: of `lint`.
    """
    screen = console()
    told: set[str] = set()
    for one in report.findings:
        _finding(screen, one, told)
    for file, blanks in report.unread.items():
        for blank in blanks:
            place = file if blank.line is None else f"{file}:{blank.line}"
            _dim(screen, f"· {place}: {blank.key} could not be read: {blank.why}")
    for problem in report.skipped:
        _dim(screen, f"· skipped {problem}")
    for tool in ("trl", "verl"):
        asked = any(f"probe {tool}:" in one.probe.replace("'", "") for one in report.findings)
        if asked and find_spec(tool) is None:
            _dim(screen, f"· the probes {tool}:... need {TOOLS[tool]}, which is not installed here")
    if report.unread or report.skipped:
        screen.print()
    screen.print(Text(_summary(report)))


def _dim(screen: Console, text: str) -> None:
    for line in wrap(clean(text), screen.width, break_on_hyphens=False, break_long_words=False):
        screen.print(Text(line, style="dim"), soft_wrap=True)


def _finding(screen: Console, one: Finding, told: set[str]) -> None:
    head = Text(clean(f"{one.file}:{one.line}: "))
    head.append(one.severity, style=STYLES[one.severity])
    head.append(f" {one.rule}", style="bold")
    screen.print(head, soft_wrap=True)
    lines = [one.message]
    if one.rule not in told:
        lines.append(f"{one.effect} ({SURE[one.sure]})")
        told.add(one.rule)
    if one.fix:
        lines.append(f"fix: {one.fix}")
    if one.probe:
        lines.append(f"see: {one.probe}")
    for line in lines:
        for piece in wrap(
            clean(line), screen.width - 2, break_on_hyphens=False, break_long_words=False
        ):
            screen.print(Text(f"  {piece}"), soft_wrap=True)
    screen.print()


def _summary(report: Report) -> str:
    runs = plural(len(report.runs), "training run")
    if not report.findings:
        return f"nothing found in {runs}"
    parts = [plural(report.count(kind), kind) for kind in ("error", "warning", "note")]
    return f"{', '.join(parts)} in {runs}"
