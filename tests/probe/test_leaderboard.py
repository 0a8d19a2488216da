"""The leaderboard: every task once, in order, whatever order they end in; a page and plain JSON."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

from levelhead._processes import THREADS
from levelhead.errors import InvalidInputError
from levelhead.probe.leaderboard import Leaderboard, leaderboard, to_markdown

NAMES = ("grpo", "rloo", "loss:token_mean")


@pytest.fixture(scope="module")
def board() -> Leaderboard:
    return leaderboard(NAMES, jobs=1, group_size=4)


def test_both_kinds_of_groups_of_every_estimator_and_every_loss_once(board: Leaderboard) -> None:
    tasks = [(one.name, getattr(one, "groups", "")) for one in board.readings]
    assert tasks == [
        ("grpo", "shared"),
        ("grpo", "independent"),
        ("rloo", "shared"),
        ("rloo", "independent"),
        ("loss:token_mean", ""),
    ]
    assert board.complete
    assert [one.verdict for one in board.readings[:4]] == ["overconfident"] * 2 + ["calibrated"] * 2


def test_processes_give_the_same(board: Leaderboard) -> None:
    before = {name: os.environ.get(name) for name in THREADS}
    told: list[float] = []
    both = leaderboard(NAMES, jobs=2, group_size=4, on_done=lambda name, share: told.append(share))
    assert {name: os.environ.get(name) for name in THREADS} == before
    assert [(o.name, o.verdict) for o in both.readings] == [
        (o.name, o.verdict) for o in board.readings
    ]
    assert told == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_an_interrupt_keeps_what_is_done() -> None:
    def stop(name: str, share: float) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    found = leaderboard(("rloo", "grpo"), jobs=1, group_size=2, on_done=stop)
    assert not found.complete
    assert [one.name for one in found.readings] == ["rloo", "rloo"]
    assert "interrupted" in to_markdown(found)


def test_the_page(board: Leaderboard) -> None:
    text = to_markdown(board)
    assert "reward `log`, groups of 4, seed 0" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| `grpo`")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == cells[3] == "overconfident"
    assert cells[2] == "0.01 / 0.99"
    assert cells[5].startswith("+0.9")
    assert cells[7] == "÷ group spread"
    (row,) = [line for line in text.splitlines() if line.startswith("| `rloo`")]
    assert "| calibrated | 0.25 / 0.75 | calibrated | 0.25 / 0.75 |" in row
    assert "| `loss:token_mean` |" in text
    for header, rule in zip(text.splitlines(), text.splitlines()[1:], strict=False):
        if rule.startswith("|---"):
            assert header.count("|") == rule.count("|")


def test_a_verdict_that_rests_on_some_truths_names_them(board: Leaderboard) -> None:
    grpo = board.readings[0]
    fine = {0.25: "calibrated", 0.75: "calibrated"}
    ends = tuple(dataclasses.replace(e, label=fine.get(e.p, e.label)) for e in grpo.ends)
    some = dataclasses.replace(board, readings=(dataclasses.replace(grpo, ends=ends),))
    assert "| overconfident at 0.1, 0.9 |" in to_markdown(some)
    assert "| overconfident | 0.01 / 0.99 |" in to_markdown(board)


def test_missing_packages_and_failures_are_named(board: Leaderboard) -> None:
    failed = dataclasses.replace(board.readings[0], name="bad", failure="it raises")
    some = dataclasses.replace(
        board, readings=(*board.readings, failed), missing=("verl is not installed: do this",)
    )
    text = to_markdown(some)
    assert "* `bad` could not be measured: it raises" in text
    assert "* verl is not installed: do this" in text


def test_plain_json(board: Leaderboard) -> None:
    plain = json.loads(json.dumps(board.to_dict(), allow_nan=False))
    assert plain["group_size"] == 4
    assert [one["name"] for one in plain["readings"]] == [one.name for one in board.readings]


def test_an_unknown_reward_is_an_error() -> None:
    with pytest.raises(InvalidInputError, match="reward: expected one of"):
        leaderboard(("rloo",), reward="logg", jobs=1)
