"""Everything that can be probed, in one table."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import numpy as np

from levelhead._processes import single_threaded
from levelhead.probe.explanation import tags
from levelhead.probe.reading import LengthReading, Reading
from levelhead.probe.run import GROUPS
from levelhead.probe.sampling import PROMPTS
from levelhead.probe.subjects import Subject, everything, measure, resolve
from levelhead.probe.verdict import DECISIVE

__all__ = ["Leaderboard", "leaderboard", "to_markdown"]


@dataclasses.dataclass(frozen=True)
class Leaderboard:
    """The readings of everything that is installed.

    Attributes:
        readings: of estimators, one per kind of groups, and of losses; in the order of the subjects.
        missing: a sentence for every package that is not installed.
        complete: False where the measurement was interrupted.
        reward: name of the reward.
        group_size: samples per group.
        seed: of everything random.
    """

    readings: tuple[Reading | LengthReading, ...]
    missing: tuple[str, ...]
    complete: bool
    reward: str
    group_size: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain types for JSON, but for the advantages of single tokens."""
        fields = ("missing", "complete", "reward", "group_size", "seed")
        readings = [one.to_dict() for one in self.readings]
        for one in readings:
            one.pop("biases", None)
        return {**{name: getattr(self, name) for name in fields}, "readings": readings}


Task = tuple[str, str]  # name of the subject, kind of groups ("" for a loss)


def leaderboard(
    names: Sequence[str] = (),
    *,
    reward: str = "log",
    group_size: int = 8,
    seed: int = 0,
    jobs: int = 2,
    on_done: Callable[[str, float], None] | None = None,
) -> Leaderboard:
    """Probe every estimator and every loss of ours, of TRL and of verl, as far as installed.

    Args:
        names: what `subjects.resolve` takes; everything by default.
        reward: a name in `levelhead.rewards.TABLE`.
        group_size: samples per group.
        seed: of everything random.
        jobs: processes; with 1 everything runs in this one.
        on_done: called with the name of each subject that is done and the share that is.

    Returns:
        The readings; those that were done, where Ctrl-C ended it.

    Raises:
        InvalidInputError: a name that stands for nothing, an unknown reward, a group size out of range.
        MissingDependencyError: the package of a name is not installed.

    Edge cases: without names, packages that are not installed are named in `missing`, and no error.
    """
    wanted = tuple(names)
    run = functools.partial(_measure, wanted, reward=reward, group_size=group_size, seed=seed)
    done: dict[Task, Reading | LengthReading] = {}
    tasks: list[Task] = []
    missing: tuple[str, ...] = ()
    complete = False
    others = set(multiprocessing.active_children())
    with _workers(jobs, wanted) as pool:
        try:
            tasks, missing = (
                _tasks(wanted) if pool is None else pool.submit(_tasks, wanted).result()
            )
            for task, reading in _finished(pool, run, tasks):
                done[task] = reading
                if on_done is not None:
                    on_done(task[0], len(done) / len(tasks))
            complete = True
        except KeyboardInterrupt:
            if pool is not None:
                pool.shutdown(wait=False, cancel_futures=True)
                for worker in set(multiprocessing.active_children()) - others:
                    worker.terminate()
    found = tuple(done[task] for task in tasks if task in done)
    return Leaderboard(found, missing, complete, reward, group_size, seed)


def _finished(
    pool: concurrent.futures.Executor | None,
    run: Callable[[Task], Reading | LengthReading],
    tasks: Sequence[Task],
) -> Iterator[tuple[Task, Reading | LengthReading]]:
    """Each task with its reading, as they end."""
    if pool is None:
        for task in tasks:
            yield task, run(task)
        return
    futures = {pool.submit(run, task): task for task in tasks}
    for future in concurrent.futures.as_completed(futures):
        yield futures[future], future.result()


@contextlib.contextmanager
def _workers(jobs: int, names: tuple[str, ...]) -> Generator[concurrent.futures.Executor | None]:
    """Fresh processes of one thread each; a fork would inherit the locks of libraries in use."""
    if jobs == 1:
        yield None
        return
    with (
        single_threaded(),
        concurrent.futures.ProcessPoolExecutor(
            jobs, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(names,)
        ) as pool,
    ):
        yield pool


def _begin(names: tuple[str, ...]) -> None:
    """Ctrl-C is for the process that collects; it lets the workers end what they are at."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _subjects(names)


@functools.cache
def _subjects(names: tuple[str, ...]) -> tuple[dict[str, Subject], tuple[str, ...]]:
    found, missing = (resolve(names), list[str]()) if names else everything()
    return {subject.name: subject for subject in found}, tuple(missing)


def _tasks(names: tuple[str, ...]) -> tuple[list[Task], tuple[str, ...]]:
    subjects, missing = _subjects(names)
    tasks: list[Task] = []
    for name, subject in subjects.items():
        tasks += [(name, "")] if subject.is_loss else [(name, groups) for groups in GROUPS]
    return tasks, missing


def _measure(
    names: tuple[str, ...], task: Task, *, reward: str, group_size: int, seed: int
) -> Reading | LengthReading:
    name, groups = task
    return measure(
        _subjects(names)[0][name],
        reward=reward,
        groups=groups or GROUPS[0],
        group_size=group_size,
        seed=seed,
    )


def to_markdown(board: Leaderboard) -> str:
    """The leaderboard as a page: a table per package, then one of losses.

    Args:
        board: the readings.

    Returns:
        Markdown, ending in a newline.
    """
    lines = [
        "# Where estimators drive a policy",
        "",
        *_introduction(board),
        "",
    ]
    advantages = [one for one in board.readings if isinstance(one, Reading)]
    for version in dict.fromkeys(one.version for one in advantages):
        lines += [f"## {version}", "", *_estimators(advantages, version), ""]
    losses = [one for one in board.readings if isinstance(one, LengthReading)]
    if losses:
        lines += ["## Losses over tokens", "", *_losses(losses), ""]
    failed = [one for one in board.readings if one.failure]
    said = [*(f"* `{one.name}` could not be measured: {one.failure}" for one in failed)]
    said += [f"* {text}" for text in board.missing]
    if not board.complete:
        said.append("* The measurement was interrupted; the rest is missing.")
    if said:
        lines += ["## Missing", "", *dict.fromkeys(said), ""]
    return "\n".join(lines[:-1]) + "\n"


def _introduction(board: Leaderboard) -> list[str]:
    return [
        f"Made by `levelhead probe --leaderboard` (reward `{board.reward}`, groups of "
        f"{board.group_size}, seed {board.seed}).",
        "The estimators of TRL and verl are their own installed code, in the versions named.",
        "",
        "A policy over stated probabilities follows each of them from a uniform start.",
        "",
        "* *Shared*: all samples of a prompt have one outcome, as in a forecast. *Independent*: each",
        "  has its own, as in confidence in one's own answer.",
        "* *Ends at*: the mean statement where the true probability is 0.25, and where it is 0.75.",
        "* *Pull*: correlation of statement and expected advantage at a policy near 0.75 where 0.75 is",
        f"  the truth and outcomes are shared; the exact advantage has {_exact_pull(board):+.2f}.",
        f"* *Two prompts*: where the policy for 0.75 ends if other prompts matter and only two share a "
        f"batch; the rest is in batches of {PROMPTS}, or does not depend on the batch.",
    ]


def _exact_pull(board: Leaderboard) -> float:
    for one in board.readings:
        bias = one.bias("near 0.75", 0.75) if isinstance(one, Reading) else None
        if bias is not None:
            return bias.exact_pull
    return float("nan")


def _estimators(readings: Sequence[Reading], version: str) -> list[str]:
    rows = {one.name: one for one in readings if one.version == version}
    kinds = {
        kind: {one.name: one for one in readings if one.groups == kind and one.version == version}
        for kind in GROUPS
    }
    lines = [
        "| estimator | shared outcome | ends at | independent | ends at | pull | two prompts "
        "| how it works |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in rows:
        both = [kinds[kind].get(name) for kind in GROUPS]
        cells = [f"`{name}`"]
        for one in both:
            cells += ["", ""] if one is None else [_verdict(one), _ends(one)]
        first = both[0] or both[1]
        two = "" if first is None or np.isnan(first.two_prompts_end) else first.two_prompts_end
        cells += [
            "" if both[0] is None or np.isnan(both[0].pull) else f"{both[0].pull:+.2f}",
            f"{two:.2f}" if two != "" else "",
            tags(first.traits if first else None),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _verdict(reading: Reading) -> str:
    """The verdict, and the truths that it rests on where the others end well."""
    decisive = [end for end in reading.ends if abs(end.p - 0.5) >= DECISIVE]
    where = [f"{end.p:g}" for end in decisive if end.label == reading.verdict]
    if not where or len(where) == len(decisive) or reading.verdict == "lottery":
        return reading.verdict
    return f"{reading.verdict} at {', '.join(where)}"


def _ends(reading: Reading) -> str:
    ends = [reading.end(p) for p in (0.25, 0.75)]
    return " / ".join(f"{end.mean:.2f}" for end in ends if end is not None)


def _losses(losses: Sequence[LengthReading]) -> list[str]:
    lines = [
        "One right answer of 10 tokens, two wrong ones of 100 and of 10; the ratio of the wrong ones "
        "when the right one has reached probability 0.9, in batches of 8 sequences and of 32.",
        "",
        "| loss | version | long / short, 8 | 32 | verdict |",
        "|---|---|---|---|---|",
    ]
    for one in losses:
        cells = ["" if np.isnan(x) else f"{x:.2f}" for x in (one.ratio, one.ratio_large)]
        lines.append(f"| `{one.name}` | {one.version} | {' | '.join(cells)} | {one.verdict} |")
    return lines
