"""`levelhead probe`: measure estimators, say where they drive a policy, write JSON and pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from levelhead._write import check_writable, write_text
from levelhead.cli._options import (
    json_option,
    on_stdout,
    path_option,
    quiet_option,
    seed_option,
    target,
)
from levelhead.cli._output import COLORS, clean, console, still_open
from levelhead.cli._progress import Bar
from levelhead.errors import InvalidInputError, unknown_name
from levelhead.probe.explanation import tags
from levelhead.probe.leaderboard import leaderboard, to_markdown
from levelhead.probe.reading import LengthReading, LengthVerdict, Reading, Verdict
from levelhead.probe.run import GROUPS, MOST_GROUP_SIZE
from levelhead.probe.subjects import Subject, measure, resolve
from levelhead.probe.verdict import DECISIVE
from levelhead.rewards import TABLE as REWARDS

__all__ = ["probe"]

EPILOG = """\b
Examples:
  levelhead probe grpo
  levelhead probe my_file.py:my_advantage --picture mine.png
  levelhead probe trl:group --groups independent --group-size 16
  levelhead probe verl:all verl:loss --json verl.json
  levelhead probe my_file.py:my_advantage --fail-on overconfident,lottery
  levelhead probe --leaderboard --out leaderboard.md
"""

DETAILED = 2
"""Subjects that are shown in full; of more there is one row each."""

MOST_FILE_NAME, MOST_BAR = 80, 30
"""Characters of a name in a file name and beside the progress bar."""


@click.command(epilog=EPILOG)
@click.argument("names", nargs=-1, metavar="[ESTIMATOR]...")
@click.option(
    "--reward",
    default="log",
    show_default=True,
    metavar="NAME",
    help=f"Reward of a statement: {', '.join(REWARDS)}.",
)
@click.option(
    "--groups",
    default="shared",
    show_default=True,
    type=click.Choice(GROUPS),
    help="Samples of a prompt share its outcome, or each has its own.",
)
@click.option(
    "--group-size",
    default=8,
    show_default=True,
    type=click.IntRange(2, MOST_GROUP_SIZE),
    help="Samples per prompt.",
)
@seed_option()
@json_option(metavar="FILE")
@path_option("--picture", metavar="FILE", help="Draw one estimator: .png or .svg.")
@path_option(
    "--out",
    metavar="PATH",
    help="Folder for readings.json and a picture each; with --leaderboard the .md file.",
)
@click.option(
    "--leaderboard", "board", is_flag=True, help="All (or those named) in one table, both groups."
)
@click.option(
    "--jobs",
    default=2,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Processes for --leaderboard.",
)
@click.option(
    "--fail-on",
    "fail_on",
    multiple=True,
    metavar="VERDICT[,VERDICT]",
    help="Exit 1 where a verdict is one of these, e.g. overconfident; may be repeated.",
)
@quiet_option()
def probe(
    names: tuple[str, ...],
    reward: str,
    groups: str,
    group_size: int,
    seed: int,
    json_path: Path | None,
    picture: Path | None,
    out: Path | None,
    board: bool,
    jobs: int,
    fail_on: tuple[str, ...],
    quiet: bool,
) -> int:
    """Find out where an estimator drives a policy, and why, by calling it.

    An ESTIMATOR is one of ours (grpo, rloo, ours:all), one of an installed package (trl:group,
    verl:rloo, verl:all), or your function (rewards, groups) -> advantages as file.py:function. A
    loss over tokens is probed for what it does to the lengths of wrong answers (loss:token_mean,
    trl:loss, verl:loss).

    Exit 2 where an estimator cannot be measured, 1 where --fail-on applies.
    """
    unwanted = _verdicts(fail_on)
    if board:
        if picture is not None:
            raise click.UsageError("--leaderboard draws no picture")
        return _leaderboard(names, reward, group_size, seed, jobs, json_path, out, quiet, unwanted)
    if not names:
        raise click.UsageError("expected an estimator, or --leaderboard; see levelhead probe -h")
    subjects = resolve(names)
    _check_targets(subjects, target(json_path), picture, out)
    silent = quiet or on_stdout(json_path)
    readings: list[Reading | LengthReading] = []
    with Bar("starting") as bar:
        for k, subject in enumerate(subjects):
            bar.say(clean(subject.name)[:MOST_BAR])
            one = measure(subject, reward=reward, groups=groups, group_size=group_size, seed=seed)
            readings.append(one)
            bar.set((k + 1) / len(subjects))
    with still_open():
        _write(readings, json_path, picture, out)
        if not silent:
            _show(readings, picture, out)
    # What a package offers beside its estimators (`verl:all`) is no failure unless asked for itself.
    asked = [
        one for one, s in zip(readings, subjects, strict=True) if not s.reason or s.name in names
    ]
    return _status(readings, asked, unwanted, silent=silent)


def _verdicts(written: Sequence[str]) -> set[str]:
    """The verdicts that --fail-on names."""
    known = [word for word in (*get_args(Verdict), *get_args(LengthVerdict)) if word != "none"]
    words = {word.strip() for text in written for word in text.split(",")}
    for word in sorted(words - set(known)):
        raise unknown_name("--fail-on", word, known)
    return words


def _status(
    readings: Sequence[Reading | LengthReading],
    asked: Sequence[Reading | LengthReading],
    unwanted: set[str],
    *,
    silent: bool,
) -> int:
    """The exit status: 2 for what could not be measured, 1 for an unwanted verdict, else 0."""
    failed = [one for one in asked if one.failure]
    for one in failed if silent else ():
        click.echo(f"levelhead: {clean(one.name)}: {clean(one.failure)}", err=True)
    found = [one for one in readings if one.verdict in unwanted]
    for one in found:
        click.echo(f"levelhead: {clean(one.name)} is {one.verdict} (--fail-on)", err=True)
    return 2 if failed else 1 if found else 0


def _leaderboard(
    names: Sequence[str],
    reward: str,
    group_size: int,
    seed: int,
    jobs: int,
    json_path: Path | None,
    out: Path | None,
    quiet: bool,
    unwanted: set[str],
) -> int:
    silent = quiet or on_stdout(json_path)
    if out is not None:
        check_writable(out)
        json_path = json_path or out.with_suffix(".json")
    if (file := target(json_path)) is not None:
        check_writable(file)
    with Bar("starting") as bar:

        def done(name: str, share: float) -> None:
            bar.say(name[:MOST_BAR])
            bar.set(share)

        found = leaderboard(
            names, reward=reward, group_size=group_size, seed=seed, jobs=jobs, on_done=done
        )
    text = to_markdown(found)
    with still_open():
        if out is not None:
            write_text(out, text)
        _emit_json(json_path, found.to_dict())
        if not silent:
            _rows(console(), found.readings)
            for line in found.missing:
                click.echo(f"! {line}")
            if out is not None:
                click.echo(f"\nleaderboard: {out}, numbers: {json_path}")
    asked = [one for one in found.readings if not one.version or one.name in names]
    status = _status(found.readings, asked, unwanted, silent=silent)
    return status if found.complete else 130


def _check_targets(
    subjects: Sequence[Subject], json_path: Path | None, picture: Path | None, out: Path | None
) -> None:
    if picture is not None:
        if len(subjects) != 1 or subjects[0].is_loss:
            raise InvalidInputError(
                f"--picture: expected one estimator to draw, got {len(subjects)} subjects; "
                "use --out FOLDER"
            )
        if picture.suffix.lower() not in (".png", ".svg"):
            raise InvalidInputError(f"--picture: expected .png or .svg, got {picture}")
        check_writable(picture)
    if json_path is not None:
        check_writable(json_path)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)


def _emit_json(path: Path | None, content: Any) -> None:
    if path is None:
        return
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if str(path) == "-":
        click.echo(text, nl=False)
    else:
        write_text(path, text)


def _write(
    readings: Sequence[Reading | LengthReading],
    json_path: Path | None,
    picture: Path | None,
    out: Path | None,
) -> None:
    content = {"readings": [one.to_dict() for one in readings]}
    _emit_json(json_path, content)
    _emit_json(None if out is None else out / "readings.json", content)
    drawn = [one for one in readings if isinstance(one, Reading) and one.ends]
    if not drawn or (picture is None and out is None):
        return
    from levelhead.probe.picture import save

    if picture is not None:
        save(drawn[0], picture)
    if out is not None:
        for one in drawn:
            save(one, out / f"{_file_name(one.name)}.png")


def _file_name(name: str) -> str:
    """A subject's name as a file name, the end of it where it is long."""
    safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)
    return safe[-MOST_FILE_NAME:].strip("._") or "estimator"


def _show(
    readings: Sequence[Reading | LengthReading], picture: Path | None, out: Path | None
) -> None:
    screen = console()
    if len(readings) <= DETAILED:
        for k, one in enumerate(readings):
            if k:
                screen.print()
            _detail(screen, one)
    else:
        _rows(screen, readings)
    for label, path in (("picture", picture), ("written to", out)):
        if path is not None:
            screen.print(Text(f"\n{label}: {path}"))


def _color(verdict: str) -> str:
    extra = {"lottery": "bold magenta", "backwards": "bold red", "even": "bold green"}
    extra["favors long wrong answers"] = "bold red"
    return {**COLORS, **extra}.get(verdict, "bold")


def _detail(screen: Console, one: Reading | LengthReading) -> None:
    about = [one.version, one.how]
    if isinstance(one, Reading):
        about += [f"{one.reward} reward", f"{one.groups} outcomes, groups of {one.group_size}"]
        about += [] if one.method == "none" else [_method(one)]
    screen.print(Text(clean(one.name), style="bold"))
    screen.print(Text(clean("; ".join(filter(None, about))), style="dim"))
    screen.print(Text(clean(one.headline), style=_color(one.verdict)))
    if isinstance(one, Reading):
        for sentence in one.mechanism:
            screen.print(Text(clean(sentence)))
        if one.ends:
            screen.print()
            screen.print(_ends(one))
    remarks = one.notes if isinstance(one, Reading) else ()
    for text in (*remarks, *filter(None, [one.note])):
        screen.print(Text(clean(f"· {text}"), style="dim"))


def _method(one: Reading) -> str:
    if one.method == "exact":
        return "exact"
    error = max(end.error for end in one.ends if abs(end.p - 0.5) >= DECISIVE - 1e-9)
    return (
        f"sampled, {one.steps} steps, {one.prompts} prompts a batch, error {max(error, 0.001):.3f}"
    )


def _ends(one: Reading) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("truth", "ends at", "sd of samples", "say <= 0.1", "say >= 0.9"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for end in one.ends:
        label = end.label if end.settled else f"{end.label}, not settled"
        cells = (f"{end.p:g}", f"{end.mean:.2f}", f"{end.sd:.2f}", f"{end.low:.0%}")
        table.add_row(*cells, f"{end.high:.0%}", label)
    return table


def _rows(screen: Console, readings: Sequence[Reading | LengthReading]) -> None:
    """One row per subject; estimators first, then losses."""
    estimators = [one for one in readings if isinstance(one, Reading)]
    several = len({one.groups for one in estimators}) > 1
    if estimators:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("estimator", overflow="fold")
        if several:
            table.add_column("outcomes", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        table.add_column("at .25", justify="right", no_wrap=True)
        table.add_column("at .75", justify="right", no_wrap=True)
        table.add_column("how it works", overflow="fold")
        for one in estimators:
            ends = [one.end(p) for p in (0.25, 0.75)]
            table.add_row(
                escape(clean(one.name)),
                *([one.groups] if several else []),
                Text(one.verdict, style=_color(one.verdict)),
                *["" if end is None else f"{end.mean:.2f}" for end in ends],
                escape(clean(one.failure or tags(one.traits))),
            )
        screen.print(table)
    losses = [one for one in readings if isinstance(one, LengthReading)]
    if losses:
        if estimators:
            screen.print()
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("loss", "long / short", "verdict"):
            table.add_column(column, justify="right" if "/" in column else "left", overflow="fold")
        for one in losses:
            ratio = "" if one.failure else f"{one.ratio:.2f}"
            verdict = Text(one.verdict, style=_color(one.verdict))
            table.add_row(escape(clean(one.name)), ratio, verdict)
        screen.print(table)
