"""What is seen of a run where nobody looks at a bar."""

from __future__ import annotations

import pytest

from levelhead.cli import _predict_display
from levelhead.cli._predict_display import Display, tokens
from levelhead.predict import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(_predict_display.time, "monotonic", lambda: now[0])
    return now


def test_in_a_log_a_line_each_five_percent_or_half_a_minute(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    lines: list[str] = []
    progress = Progress(200, prompt_tokens=2_000_000, completion_tokens=1000)
    # (seconds since the beginning, samples done, whether a line is due)
    steps = [
        (1.0, 50, False),  # 25%, but too soon
        (5.0, 52, True),  # 26%
        (12.0, 61, False),  # 4.5% more
        (13.0, 63, True),  # 5.5% more
        (42.0, 63, False),
        (43.0, 63, True),  # nothing more, for 30 s
        (80.0, 200, True),
    ]
    with Display((1.0, None), enabled=True) as display:
        for seconds, done, due in steps:
            clock[0] = 1000.0 + seconds
            progress.done = done
            display(progress)
            lines.append(capsys.readouterr().err)
            assert bool(lines[-1]) == due
    assert lines[1] == "52 of 200 samples (26%), 2.0M in, 1.0k out, 2 spent\n"
    with Display((None, None), enabled=False) as display:
        clock[0] += 100.0
        display(progress)
    assert capsys.readouterr().err == ""


def test_tokens_and_what_they_cost() -> None:
    progress = Progress(1, prompt_tokens=999, completion_tokens=1_500_000)
    assert tokens(progress, (None, None)) == "999 in, 1.5M out"
    assert tokens(progress, (None, 2.0)) == "999 in, 1.5M out, 3 spent"
