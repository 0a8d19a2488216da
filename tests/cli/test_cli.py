"""The command line as a whole: help, unknown commands, exit statuses, pipes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from levelhead.cli import COMMANDS

RUN = [sys.executable, "-m", "levelhead.cli"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *arguments], capture_output=True, text=True, check=False)


def test_help_lists_every_command_and_ends_with_an_example() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
    assert done.stdout.rstrip().splitlines()[-1].strip().startswith("Example: levelhead audit")


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_a_worked_example_and_fits_80_columns(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"levelhead {command}" in done.stdout.split("Example", 1)[1]
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_unknown_command_names_the_nearest() -> None:
    done = run("audti")
    assert done.returncode == 2
    assert "did you mean 'audit'" in done.stderr


def test_version() -> None:
    assert run("--version").stdout.startswith("levelhead, version 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ("s3://AKIA:s3c/ret@bucket/x",),
        ("audit", "s3://AKIA:s3c/ret@bucket/x"),
        ("audit", "s3:/AKIA:s3c/ret@bucket/x"),
        ("train", "s3://AKIA:s3c/ret@bucket/x.yaml"),
        ("lint", "s3://AKIA:s3c/ret@bucket/x.yaml"),
    ],
)
def test_no_message_shows_a_secret(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.strip()
    assert "AKIA" not in done.stderr
    assert "s3c" not in done.stderr
