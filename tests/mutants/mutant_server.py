"""Runs pytest in forks of a process that has imported everything but levelhead.

Most of the time of a short test run goes into importing pytest, numpy and scipy. Here that is paid once;
each run is a fork, so it shares nothing with the runs before it. Jobs come in and exit statuses go out
as lines of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterable

PRELOADED = (
    "_hypothesis_pytestplugin",
    "_pytest.doctest",
    "_pytest.junitxml",
    "click.testing",
    "hypothesis",
    "hypothesis.strategies",
    "jinja2",
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "numpy",
    "pyarrow.compute",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pydantic",
    "pytest",
    "rich.console",
    "rich.progress",
    "rich.table",
    "scipy.integrate",
    "scipy.special",
    "scipy.stats",
    "sklearn.isotonic",
    "sklearn.metrics",
    "yaml",
    "zstandard",
)
POLL_S = 0.01


def run(job: dict[str, object]) -> int:
    """Exit status of pytest, or -1 where it was still running at the end of its time."""
    load(job["packages"])
    child = os.fork()
    if child == 0:
        os.setsid()  # so that whatever the tests start can be ended with them
        os.close(0)
        out = os.open(str(job["out"]), os.O_WRONLY | os.O_CREAT)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ.update(job["environment"])
        sys.path.insert(0, str(job["first"]))
        import pytest

        status = int(pytest.main(list(job["arguments"])))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    end = time.monotonic() + float(job["timeout"])
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(POLL_S)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


def load(packages: Iterable[str]) -> None:
    for name in packages:
        importlib.import_module(name)
    loaded = [name for name in sys.modules if name.partition(".")[0] == "levelhead"]
    if loaded:
        raise RuntimeError(f"levelhead is loaded before the mutants: {loaded}")


def main() -> None:
    load(PRELOADED)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
