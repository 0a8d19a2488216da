"""The progress bar is silent when piped."""

from __future__ import annotations

import pytest

from levelhead.cli._progress import Bar


def test_nothing_is_printed_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar("training") as bar:
        bar.set(0.5)
        bar.say("still training")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
