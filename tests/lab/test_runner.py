"""Runs on several processes: the same policies, kept as they finish, and gone on with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from levelhead import __version__
from levelhead.lab import runner
from levelhead.lab.runner import train_all
from levelhead.lab.simulate import Run, simulate
from levelhead.lab.world import World, paper_world

RUNS = [
    Run(estimator=name, seed=seed, group_size=4, updates_per_rollout=updates, n_updates=20, lr=0.05)
    for name in ("rloo", "grpo")
    for seed in (0, 1)
    for updates in (1, 5)
]


@pytest.fixture(scope="module")
def world() -> World:
    return paper_world(n_questions=400, n_categories=3, n_tokens=9)


def test_every_run_gets_its_own_policy(world: World, tmp_path: Path) -> None:
    shares: list[float] = []
    found = train_all(world, [*RUNS, RUNS[0]], tmp_path, on_progress=shares.append)
    assert list(found) == RUNS
    for run, policy in found.items():
        (alone,) = simulate(world, [run])
        np.testing.assert_array_equal(policy, alone.policy)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert any(0.0 < share < 1.0 for share in shares)


def test_processes_do_not_change_the_result(world: World, tmp_path: Path) -> None:
    one = train_all(world, RUNS, tmp_path / "one")
    two = train_all(world, RUNS, tmp_path / "two", jobs=2)
    assert list(one) == list(two)
    for run in one:
        np.testing.assert_array_equal(one[run], two[run])


def test_finished_runs_are_read_not_repeated(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train_all(world, RUNS[:3], tmp_path)
    asked: list[list[Run]] = []

    def spy(world: World, runs: list[Run], **options: object) -> object:
        asked.append(list(runs))
        return simulate(world, runs, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "simulate", spy)
    second = train_all(world, RUNS, tmp_path)
    assert {run for chunk in asked for run in chunk} == set(RUNS[3:])
    for run in first:
        np.testing.assert_array_equal(first[run], second[run])


def test_an_interruption_keeps_what_is_finished(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def interrupted(world: World, runs: list[Run], **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return simulate(world, runs, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "simulate", interrupted)
    done: list[Run] = []
    with pytest.raises(KeyboardInterrupt):
        train_all(world, RUNS, tmp_path, on_done=lambda run, _: done.append(run))
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert len(kept) == len(done) == 2
    assert all(name.endswith(".npz") for name in kept)


def test_a_damaged_or_foreign_file_is_trained_anew(world: World, tmp_path: Path) -> None:
    run = RUNS[0]
    good = train_all(world, [run], tmp_path)[run]
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"x" * 100, whole[:50] + b"\0" + whole[51:]):
        path.write_bytes(damaged)
        np.testing.assert_array_equal(train_all(world, [run], tmp_path)[run], good)
    other = dataclasses.replace(run, lr=0.1)
    foreign = train_all(world, [other], tmp_path / "other")[other]
    (source,) = (tmp_path / "other").iterdir()
    path.write_bytes(source.read_bytes())
    again = train_all(world, [run], tmp_path)[run]
    np.testing.assert_array_equal(again, good)
    assert not np.array_equal(again, foreign)


def test_another_world_is_another_run(world: World, tmp_path: Path) -> None:
    run = RUNS[0]
    train_all(world, [run], tmp_path)
    other = dataclasses.replace(world, outcome=1 - world.outcome)
    found = train_all(other, [run], tmp_path)[run]
    (alone,) = simulate(other, [run])
    np.testing.assert_array_equal(found, alone.policy)
    assert len(list(tmp_path.iterdir())) == 2


def test_random_bytes_in_a_kept_run_never_crash_and_are_never_used(
    world: World, tmp_path: Path
) -> None:
    run = RUNS[0]
    good = train_all(world, [run], tmp_path)[run]
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        at, value = rng.integers(len(whole)), rng.integers(256)
        path.write_bytes(whole[:at] + bytes([value]) + whole[at + 1 :])
        found = runner._load(path, world, run)
        if found is not None:  # a byte that does not matter, as a date in the archive
            np.testing.assert_array_equal(found, good)


@pytest.mark.parametrize("wrong", ["negative", "sum", "complex", "nan", "array"])
def test_a_kept_run_must_be_a_policy(world: World, tmp_path: Path, wrong: str) -> None:
    run = RUNS[0]
    policy = train_all(world, [run], tmp_path)[run]
    (path,) = tmp_path.iterdir()
    bad = {
        "negative": np.hstack([policy[:, :1] - 1.0, policy[:, 1:2] + 1.0, policy[:, 2:]]),
        "sum": policy * 7.0,
        "complex": policy + 0j,
        "nan": np.where(policy == policy.max(), np.nan, policy),
        "array": policy,
    }[wrong]
    with path.open("wb") as file:
        if wrong == "array":
            np.save(file, bad)
        else:
            np.savez(file, policy=bad, settings=np.array(runner._settings(world, run)))
    assert runner._load(path, world, run) is None


def test_every_setting_is_in_the_key(world: World) -> None:
    run = RUNS[0]
    texts = {
        runner._settings(world, run),
        runner._settings(dataclasses.replace(world, outcomes="independent"), run),
        runner._settings(dataclasses.replace(world, rates=world.rates / 2), run),
        runner._settings(dataclasses.replace(world, category=world.category[::-1].copy()), run),
        runner._settings(world, dataclasses.replace(run, clip=0.2)),
    }
    assert len(texts) == 5
    assert __version__ in runner._settings(world, run)
