"""The options that every command shares."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from levelhead.cli._options import (
    json_option,
    on_stdout,
    out_option,
    path_option,
    quiet_option,
    seed_option,
    target,
)


@click.command()
@out_option("HTML", "Write it here.", required=True)
@path_option("--picture", metavar="FILE", help="Draw it.")
@json_option("the outcome", metavar="FILE")
@seed_option("Of the split.")
@quiet_option("Print nothing.")
def command(
    out: Path, picture: Path | None, json_path: Path | None, seed: int, quiet: bool
) -> None:
    click.echo(repr((str(out), picture, json_path and str(json_path), seed, quiet)))


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (["-o", "a.html"], ("a.html", None, None, 0, False)),
        (
            ["--out", "a", "--json", "-", "--seed", "7", "--quiet"],
            ("a", None, "-", 7, True),
        ),
    ],
)
def test_what_a_command_gets(given: list[str], seen: tuple[object, ...]) -> None:
    assert CliRunner().invoke(command, given).output.strip() == repr(seen)


def test_what_a_command_says_of_them() -> None:
    said = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    for words in (
        "-o, --out HTML Write it here. [required]",
        "--json FILE Write the outcome to this file (- for standard output).",
        "--picture FILE Draw it.",
        "--seed INTEGER RANGE Of the split. [default: 0; 0<=x<=9223372036854775807]",
        "--quiet Print nothing.",
    ):
        assert words in said
    assert "Missing option '-o'" in CliRunner().invoke(command, []).output
    assert "is not in the range" in CliRunner().invoke(command, ["-o", "a", "--seed", "-1"]).output


def test_a_dash_is_no_file() -> None:
    assert [on_stdout(p) for p in (None, Path("-"), Path("a"))] == [False, True, False]
    assert [target(p) for p in (None, Path("-"), Path("a"))] == [None, None, Path("a")]
