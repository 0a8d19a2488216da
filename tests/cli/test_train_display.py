"""What is shown while a model trains, and what Ctrl-C does."""

from __future__ import annotations

import io
import math
import warnings

from rich.console import Console

from levelhead.cli._train_display import Display, evaluation_line, metrics_table, step_line
from levelhead.errors import DataWarning

STEP = {
    "step": 3,
    "reward": -0.6123,
    "format_rate": 0.997,
    "frac_zero_std": 0.0312,
    "clip_fraction": 0.0,
    "entropy": 2.313,
    "lr": 0.001,
}
EVALUATION = {
    "step": 100,
    "ece": 0.0214,
    "ece_null": 0.0139,
    "trust": 0.312,
    "overconfidence": 0.0123,
    "auroc": 0.741,
}


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=80, highlight=False)


def written(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_a_step_and_an_evaluation_are_a_line_each() -> None:
    assert step_line(STEP) == (
        "reward -0.612 · format 99.7% · no spread 3% · clipped 0% · entropy 2.31"
    )
    assert evaluation_line(EVALUATION) == (
        "step 100: ECE 0.021 (chance 0.014) · Trust +0.312 · over +0.012 · AUROC 0.741"
    )
    longest = {**EVALUATION, "step": 99999, "trust": -0.312}
    assert max(len(step_line(STEP)), len(evaluation_line(longest))) <= 80


def test_what_is_not_there_or_undefined_is_not_made_up() -> None:
    assert step_line({}) == ""
    assert step_line({"reward": math.nan, "entropy": None}) == "reward n/a · entropy n/a"
    assert evaluation_line({"ece": 0.1, "ece_null": math.nan}) == "ECE 0.100"


def test_a_terminal_gets_a_bar_the_numbers_and_the_alarms() -> None:
    screen = terminal()
    with Display("grpo\x1b[31m", 10, screen=screen) as display:
        display.event("build", {"doing": "warming up"})
        display.event("start", {"done": 2, "steps": 10, "dropped": 4})
        display.event("evaluation", {**EVALUATION, "step": 2})
        display.event("step", STEP)
        display.event("checkpoint", {"step": 3})
        display.event("alarm", {"sentence": "ECE rose\nfrom 0.02 to 0.30"})
        display.event("end", {})
    text = written(screen)
    assert "warming up" in text
    assert "! 4 prompts longer than the limit left out" in text
    assert "3/10" in text
    assert "reward -0.612" in text
    assert "ECE 0.021 (chance 0.014)" in text
    assert "! ECE rose from 0.02 to 0.30" in text
    assert "grpo\x1b[31m" not in text
    assert display.checkpoint == 3
    assert display.begun == 2


def test_a_pipe_gets_a_line_for_what_begins_for_evaluations_and_for_alarms() -> None:
    screen = Console(file=io.StringIO(), force_terminal=False, width=80)
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with Display("grpo", 10, screen=screen) as display:
            display.event("build", {"doing": "loading the model"})
            for share in (1, 50, 100):
                display.event("build", {"doing": f"making the embedded model, {share}%"})
            display.event("start", {})
            display.event("evaluation", EVALUATION)
            display.event("step", STEP)
            warnings.warn("no valid answer in this batch", DataWarning, stacklevel=1)
            display.event("alarm", {"sentence": "ECE rose"})
    assert written(screen).splitlines() == [
        "loading the model",
        "making the embedded model",
        evaluation_line(EVALUATION),
        "! no valid answer in this batch",
        "! ECE rose",
    ]
    assert display.sentences == ["no valid answer in this batch", "ECE rose"]
    assert warnings.showwarning is before


def test_other_ranks_say_nothing() -> None:
    screen = terminal()
    with Display("grpo", 10, enabled=False, screen=screen) as display:
        display.event("start", {})
        display.event("step", STEP)
        display.event("alarm", {"sentence": "ECE rose"})
    assert written(screen) == ""


def test_the_table_at_the_end_has_both_ends_of_the_run() -> None:
    screen = Console(file=io.StringIO(), width=80)
    screen.print(
        metrics_table(
            {"step": 0, "ece": 0.2, "auroc": None},
            {"step": 1200, "ece": 0.02, "auroc": 0.7, "x": 1.0},
        )
    )
    assert [line.split() for line in written(screen).splitlines()] == [
        ["step", "0", "step", "1,200"],
        ["ECE", "0.200", "0.020"],
        ["AUROC", "undefined", "0.700"],
    ]
    screen = Console(file=io.StringIO(), width=80)
    screen.print(metrics_table({"ece": 0.2}, {"ece": 0.2}))
    assert written(screen).split() == ["evaluation", "ECE", "0.200"]
