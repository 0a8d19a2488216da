"""Every mutant is killed by the tests that it names, and the runner can tell when one is not."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

import mutant as runner
from mutant import Mutant, Outcome

HERE = Path(__file__).parent
PARTS = 4
DISTRIBUTED = "PYTEST_XDIST_WORKER" in os.environ
WORKERS = 1 if DISTRIBUTED else 2
"""As many as a small machine has cores; a worker of pytest-xdist is one of several already."""


def load(path: Path) -> list[Mutant]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.MUTANTS)


def every_mutant() -> list[tuple[str, Mutant]]:
    found: list[tuple[str, Mutant]] = []
    for path in sorted(HERE.glob("mutants_*.py")):
        name = path.stem.removeprefix("mutants_")
        found += [(f"{name}-{i}", one) for i, one in enumerate(load(path), start=1)]
    return found


MUTANTS = every_mutant()

SELF_TEST = "tests/test_errors.py"
EQUIVALENT = Mutant(
    target="levelhead.errors",
    old='"""An argument does not satisfy its contract."""',
    new='"""An argument does not satisfy its contract, in other words."""',
    why="a docstring is no behavior",
    tests=[SELF_TEST],
)
CAUGHT = dataclasses.replace(
    EQUIVALENT, old="n=1)", new="n=1, cutoff=0.99)", why="the nearest name is never close enough"
)
BROKEN = {
    "`old` occurs 0 times": dataclasses.replace(EQUIVALENT, old="this is not in the source"),
    "`old` occurs 4 times": dataclasses.replace(EQUIVALENT, old="(LevelheadError, "),
    "`old` and `new` are the same": dataclasses.replace(EQUIVALENT, new=EQUIVALENT.old),
    "names no tests": dataclasses.replace(EQUIVALENT, tests=[]),
    "no module levelhead.nowhere": dataclasses.replace(EQUIVALENT, target="levelhead.nowhere"),
    "ended with status 4": dataclasses.replace(EQUIVALENT, tests=["tests/no_such_test.py"]),
    "ended with status 2": dataclasses.replace(
        EQUIVALENT, old="class ConfigError(", new="raise OSError\n\n\nclass ConfigError("
    ),
    "never executed": dataclasses.replace(
        EQUIVALENT, target="levelhead.audit.result", old="class MetricRow:", new="class Row:"
    ),
}


@pytest.fixture(scope="session")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(WORKERS) as workers:
        yield workers


@pytest.fixture(scope="session")
def outcomes(
    pool: ThreadPoolExecutor, request: pytest.FixtureRequest
) -> dict[int, Future[Outcome]]:
    """Every selected mutant is started at once; a worker of pytest-xdist starts those it is given."""
    if DISTRIBUTED:
        return {}
    chosen = [
        item.callspec.params["mutant"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and "mutant" in item.fixturenames
    ]
    return {id(one): pool.submit(runner.run, one) for one in chosen}


@pytest.mark.parametrize("mutant", [m for _, m in MUTANTS], ids=[name for name, _ in MUTANTS])
def test_mutant_is_killed(
    mutant: Mutant, outcomes: dict[int, Future[Outcome]], pool: ThreadPoolExecutor
) -> None:
    started = outcomes.get(id(mutant)) or pool.submit(runner.run, mutant)
    outcome = started.result()
    assert outcome.verdict == "killed", f"{mutant.target}: {mutant.why}\n{outcome.detail}"


@pytest.mark.parametrize("part", range(PARTS))
def test_the_tests_are_green_on_an_unchanged_copy(part: int, pool: ThreadPoolExecutor) -> None:
    tests = sorted({SELF_TEST, *(path for _, one in MUTANTS for path in one.tests)})
    outcome = pool.submit(runner.baseline, tests[part::PARTS]).result()
    assert outcome.verdict == "survived", outcome.detail


def test_an_equivalent_mutant_survives() -> None:
    outcome = runner.run(EQUIVALENT)
    assert outcome.verdict == "survived", outcome.detail


def test_a_wrong_version_is_killed() -> None:
    outcome = runner.run(CAUGHT)
    assert outcome.verdict == "killed", outcome.detail


@pytest.mark.parametrize("reason", BROKEN)
def test_a_mutant_that_cannot_run_is_broken_and_not_killed(reason: str) -> None:
    outcome = runner.run(BROKEN[reason])
    assert outcome.verdict == "broken", outcome.detail
    assert reason in outcome.detail


def test_a_mutant_that_never_ends_is_broken() -> None:
    endless = dataclasses.replace(CAUGHT, old="sorted(choices)", new="[n for n in iter(str, 1)]")
    outcome = runner.run(endless, timeout=3.0)
    assert outcome.verdict == "broken", outcome.detail
    assert "still running after 3 s" in outcome.detail


def test_a_red_baseline_is_seen(tmp_path: Path) -> None:
    red = tmp_path / "test_red.py"
    red.write_text("def test_red():\n    assert False\n")
    assert runner.baseline([str(red)]).verdict == "broken"
