"""The lazy group: nothing is imported before it is invoked."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from levelhead.cli._lazy import LazyGroup


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LazyGroup:
    (tmp_path / "lazy_one.py").write_text(
        "import click\n@click.command()\ndef one():\n    'Says one.'\n    click.echo('one')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lazy_one", raising=False)
    return LazyGroup(
        "group", entries={"one": ("lazy_one:one", "Says one."), "two": ("none:x", "No.")}
    )


def test_help_lists_every_command_and_imports_none(group: LazyGroup) -> None:
    said = CliRunner().invoke(group, ["--help"]).output
    assert said.index("Says one.") < said.index("No.")
    assert "lazy_one" not in sys.modules


def test_a_command_is_imported_when_it_is_invoked(group: LazyGroup) -> None:
    assert CliRunner().invoke(group, ["one"]).output == "one\n"


def test_a_misspelled_command_names_the_nearest(group: LazyGroup) -> None:
    done = CliRunner().invoke(group, ["onee"])
    assert done.exit_code == 2
    assert "did you mean 'one'" in done.output
    assert group.get_command(click.Context(group), "three") is None
