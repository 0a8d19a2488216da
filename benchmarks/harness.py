"""Timing side by side: every contender in turn, again and again, so that drift hits all alike.

CPU seconds of this process, one thread. The figure is a contender's minimum and median over the
repeats; the ratio is the median of the ratios repeat by repeat.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclasses.dataclass(frozen=True)
class Timing:
    """CPU seconds of one contender."""

    name: str
    minimum: float
    median: float
    ratio: float  # median over repeats of this contender / the reference
    repeats: int
    value: float | None


class Worker:
    """A contender in a process of its own, which takes a step when it is asked to.

    Its script writes a line of JSON when it is ready, and another one for each line that it reads.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name, self.command = name, command
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=worker_environment(),
        )
        self.ready = self.answer()

    def step(self) -> dict[str, float]:
        """Ask for a step and wait for it."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, float]:
        """Wait for the next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            command = shlex.join(["python", *self.command])
            raise SystemExit(f"{self.name} ended; `{command}` by hand says why")
        return json.loads(line)

    def end(self) -> None:
        """Let it go, and wait until it is gone."""
        self.process.communicate()


def worker_environment() -> dict[str, str]:
    """One thread, and no look-ups of models or updates."""
    offline = {"HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "CUDA_VISIBLE_DEVICES": ""}
    return {**os.environ, **dict.fromkeys(THREADS, "1"), **offline}


def one_thread() -> None:
    """Start this script again with one thread in every numerical library."""
    if any(os.environ.get(name) != "1" for name in THREADS):
        import sys

        os.execve(
            sys.executable,
            [sys.executable, *sys.argv],
            {**os.environ, **dict.fromkeys(THREADS, "1")},
        )


def race(
    contenders: Mapping[str, Callable[[], Any]], *, reference: str, repeats: int
) -> list[Timing]:
    """Run every contender `repeats` times in turn after one warm-up each."""
    values = {name: run() for name, run in contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    out = []
    for name, spent in seconds.items():
        ratios = [a / b for a, b in zip(spent, seconds[reference], strict=True)]
        value = values[name]
        out.append(
            Timing(
                name,
                min(spent),
                statistics.median(spent),
                statistics.median(ratios),
                repeats,
                float(value) if isinstance(value, float | int) else None,
            )
        )
    return out


def machine(packages: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a reader needs to judge a row: date, processor, versions."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    versions = {"python": platform.python_version()}
    for name in ("levelhead", "numpy", "pyarrow", *packages):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = getattr(sys.modules.get(name), "__version__", "absent")
    return {
        "date": datetime.date.today().isoformat(),
        "processor": model,
        "cores": os.cpu_count(),
        "threads": 1,
        "versions": versions,
    }


def write(name: str, content: Mapping[str, Any]) -> Path:
    """Write `results/NAME.json`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path


def table(title: str, timings: list[Timing]) -> str:
    """The timings as lines of Markdown."""
    rows = [
        f"### {title}",
        "",
        "| contender | CPU ms, min | median | ratio | value |",
        "|---|---|---|---|---|",
    ]
    for t in timings:
        value = "" if t.value is None else f"{t.value:.6f}"
        rows.append(
            f"| {t.name} | {1e3 * t.minimum:.2f} | {1e3 * t.median:.2f} | {t.ratio:.2f} | {value} |"
        )
    return "\n".join([*rows, ""])
