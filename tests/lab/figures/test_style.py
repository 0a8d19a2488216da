from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest

from levelhead.errors import RecordError
from levelhead.lab.figures._style import canvas, frame, heading, style, write


def drawn() -> matplotlib.figure.Figure:
    with style():
        figure = canvas(2.0)
        heading(figure, "A title", "and what is below it")
        ax = figure.add_axes((0.1, 0.2, 0.8, 0.5))
        frame(ax, "x (s)", "y (m)", "panel")
        ax.plot([0, 1], [0, 1])
    return figure


def test_both_formats_are_written_and_nothing_else(tmp_path: Path) -> None:
    paths = write(drawn(), tmp_path / "a.b")
    assert paths == [tmp_path / "a.b.png", tmp_path / "a.b.svg"]
    assert sorted(tmp_path.iterdir()) == paths
    assert paths[0].read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "<svg" in paths[1].read_text()[:600]


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in write(drawn(), tmp_path / "a")]
    second = [path.read_bytes() for path in write(drawn(), tmp_path / "a")]
    assert first == second


def test_the_users_settings_do_not_matter_and_are_let_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = [path.read_bytes() for path in write(drawn(), tmp_path / "a")]
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "black")
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 30.0)
    monkeypatch.setitem(matplotlib.rcParams, "savefig.facecolor", "red")
    assert [path.read_bytes() for path in write(drawn(), tmp_path / "a")] == plain
    assert matplotlib.rcParams["font.size"] == 30.0


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"missing/a\.png: cannot write here: there is no such"):
        write(drawn(), tmp_path / "missing" / "a")
