"""Many runs on several processes: shares work, keeps what is finished, goes on where it stopped."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import json
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from levelhead import __version__
from levelhead._arrays import FloatArray
from levelhead._processes import single_threaded
from levelhead._write import replacing
from levelhead.lab.simulate import Run, simulate
from levelhead.lab.world import World

__all__ = ["train_all"]

SUM_TOLERANCE = 1e-5
"""How far the sum of a policy that was read may be from 1."""

_DAMAGED = (
    OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile, RuntimeError, AttributeError,
)  # fmt: skip
"""What numpy and zipfile raise on a file of other bytes (NotImplementedError is a RuntimeError)."""

POLL_S = 0.2
"""How often the progress of the other processes is looked at."""

_counter: list[Synchronized[float]] = []
"""In a worker: updates done by all workers; put there when the worker starts."""


def train_all(
    world: World,
    runs: Iterable[Run],
    folder: Path,
    *,
    jobs: int = 1,
    on_progress: Callable[[float], None] | None = None,
    on_done: Callable[[Run, FloatArray], None] | None = None,
) -> dict[Run, FloatArray]:
    """Train every run once and keep its policy in a file, so that a second call goes on from there.

    Args:
        world: the questions.
        runs: in any order, repeats allowed.
        folder: for the policies; made if missing. A file that is damaged, or that belongs to other
            settings, is trained anew.
        jobs: processes to share the work; each works on the runs of one seed and schedule together.
        on_progress: told the share of the updates that is done, in [0, 1].
        on_done: told each run and its policy, (C, K), as soon as it is there.

    Returns:
        The policy of each run.
    """
    wanted = list(dict.fromkeys(runs))
    folder.mkdir(parents=True, exist_ok=True)
    out: dict[Run, FloatArray] = {}
    todo: list[Run] = []
    for run in wanted:
        policy = _load(_path(folder, world, run), world, run)
        if policy is None:
            todo.append(run)
        else:
            out[run] = policy
            if on_done is not None:
                on_done(run, policy)

    def finish(found: Sequence[tuple[Run, FloatArray]]) -> None:
        for run, policy in found:
            _save(_path(folder, world, run), world, run, policy)
            out[run] = policy
            if on_done is not None:
                on_done(run, policy)

    total = float(sum(run.n_updates for run in todo))
    report = _Report(on_progress, total)
    if jobs == 1 or len(todo) < 2:
        for chunk in _chunks(todo):
            finish(_train(world, chunk, report.add))
    else:
        _in_processes(world, _chunks(todo), jobs, report, finish)
    report.set(total)
    return {run: out[run] for run in wanted}


class _Report:
    """Adds up updates and reports their share."""

    def __init__(self, tell: Callable[[float], None] | None, total: float) -> None:
        self._tell, self._total, self._done = tell, total, 0.0

    def add(self, updates: float) -> None:
        self.set(self._done + updates)

    def set(self, done: float) -> None:
        self._done = done
        if self._tell is not None:
            self._tell(1.0 if self._total == 0.0 else min(done / self._total, 1.0))


def _chunks(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs of one seed and one schedule advance together; the slow schedules first."""
    found: dict[tuple[int, int, int], list[Run]] = {}
    for run in runs:
        found.setdefault((run.updates_per_rollout, run.n_updates, run.seed), []).append(run)
    return [found[key] for key in sorted(found)]


def _train(
    world: World, runs: Sequence[Run], add: Callable[[float], None]
) -> list[tuple[Run, FloatArray]]:
    done = 0.0
    size = float(sum(run.n_updates for run in runs))

    def tell(share: float) -> None:
        nonlocal done
        add((share - done) * size)
        done = share

    return [(t.run, t.policy) for t in simulate(world, runs, progress=tell)]


def _in_processes(
    world: World,
    chunks: Sequence[Sequence[Run]],
    jobs: int,
    report: _Report,
    finish: Callable[[Sequence[tuple[Run, FloatArray]]], None],
) -> None:
    context = multiprocessing.get_context("spawn")
    counter = context.Value("d", 0.0)
    pool = concurrent.futures.ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_start, initargs=(counter,)
    )
    try:
        with single_threaded():
            waiting = {pool.submit(_work, world, chunk) for chunk in chunks}
        while waiting:
            done, waiting = concurrent.futures.wait(
                waiting, timeout=POLL_S, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in done:
                finish(future.result())
            report.set(counter.value)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    pool.shutdown()


def _start(counter: Synchronized[float]) -> None:
    _counter[:] = [counter]
    # Ctrl-C reaches the whole process group; the parent decides and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _work(world: World, runs: Sequence[Run]) -> list[tuple[Run, FloatArray]]:
    def add(updates: float) -> None:
        with _counter[0].get_lock():
            _counter[0].value += updates

    return _train(world, runs, add)


def _settings(world: World, run: Run) -> str:
    """Everything that the policy depends on, as text."""
    data = hashlib.sha256(
        b"".join(
            np.ascontiguousarray(a).tobytes()
            for a in (world.values, world.rates, world.category, world.outcome)
        )
        + world.outcomes.encode()
    ).hexdigest()
    return json.dumps([__version__, data, dataclasses.asdict(run)], sort_keys=True)


def _path(folder: Path, world: World, run: Run) -> Path:
    key = hashlib.sha256(_settings(world, run).encode()).hexdigest()[:16]
    return folder / f"{run.estimator}-seed{run.seed}-{key}.npz"


def _save(path: Path, world: World, run: Run, policy: FloatArray) -> None:
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, policy=policy, settings=np.array(_settings(world, run)))


def _load(path: Path, world: World, run: Run) -> FloatArray | None:
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["settings"]) != _settings(world, run):
                return None
            policy = np.asarray(file["policy"])
    except _DAMAGED:
        return None
    shape = (world.n_categories, world.n_tokens)
    if policy.dtype != np.float64 or policy.shape != shape:
        return None
    off = np.abs(policy.sum(axis=1) - 1.0)  # NaN where a value is
    return policy if bool((off < SUM_TOLERANCE).all() and (policy >= 0.0).all()) else None
