"""20 million predictions audited in one process and on Ray, also while its workers are killed.

    python benchmarks/audit_ray.py

writes results/audit_ray.md: whether every number of the two audits is the same, and the seconds
that reading took. Each engine is measured in a process of its own, from its start, in turn.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from harness import RESULTS, machine

ROWS, FILES, WORKERS, KILLS = 20_000_000, 20, 2, 3
TOLERANCE = 1e-12


def write_files(folder: Path, rows: int, texts: bool) -> None:
    """Shards of one model: confidences as floats or as percentages in a text, gaps, and a subject."""
    rng = np.random.default_rng(0)
    subjects = np.array(["law", "art", "math", "code", "bio"])
    for i in range(FILES):
        n = rows // FILES
        confidence = rng.beta(4, 2, n)
        table: dict[str, Any] = {
            "correct": (rng.random(n) < confidence**2).astype(np.int8),
            "subject": subjects[rng.integers(0, 5, n)],
        }
        if texts:
            said = np.rint(confidence * 100).astype(int)
            table["text"] = [
                f"<answer>{s}</answer><confidence>0.{s:02d}</confidence>" for s in said
            ]
        else:
            table["confidence"] = pa.array(confidence, mask=rng.random(n) < 0.01)
        pq.write_table(pa.table(table), folder / f"part-{i:02d}-of-{FILES}.parquet")


def audit(folder: Path, engine: str, kills: int = 0) -> tuple[dict[str, Any], float, int]:
    """The audit as JSON, its seconds, and how many workers were killed meanwhile."""
    # A cluster of as many workers as are to be compared, whatever this machine has.
    start = (
        "import sys, ray\n"
        f"if {engine == 'ray'}:\n"
        f"    ray.init(num_cpus={WORKERS}, include_dashboard=False, log_to_driver=False)\n"
        "from levelhead.cli import main\n"
        "main()"
    )
    out = folder.with_suffix(".json")
    command = [sys.executable, "-c", start, "audit", str(folder), "--by", "subject"]
    command += ["--engine", engine, "--n-boot", "100", "--quiet", "--json", str(out)]
    begin = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    killed: list[int] = []
    done = threading.Event()
    if kills:
        killer = threading.Thread(target=kill_workers, args=(process.pid, kills, killed, done))
        killer.start()
    _, said = process.communicate()
    done.set()
    if process.returncode:
        raise SystemExit(f"the audit on {engine} failed: {said}")
    seconds = time.perf_counter() - begin
    found = json.loads(out.read_text())
    out.unlink()
    return found, seconds, len(killed)


def kill_workers(parent: int, kills: int, killed: list[int], done: threading.Event) -> None:
    """Kill workers in the midst of a file, one after another."""
    while len(killed) < kills and not done.wait(0.5):
        busy = [p for p in children(parent) if "ray::" in name(p) and "_read_row" in name(p)]
        if busy:
            time.sleep(0.3)
            os.kill(busy[0].pid, signal.SIGKILL)
            killed.append(busy[0].pid)
            done.wait(2)


def children(parent: int) -> Iterator[psutil.Process]:
    try:
        yield from psutil.Process(parent).children(recursive=True)
    except psutil.NoSuchProcess:
        return


def name(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def farthest(a: Any, b: Any) -> float:
    """The largest difference between two audits; infinite where anything but a float differs."""
    if isinstance(a, float) and isinstance(b, float):
        return 0.0 if a == b or (math.isnan(a) and math.isnan(b)) else abs(a - b)
    if isinstance(a, dict) and isinstance(b, dict) and list(a) == list(b):
        return max((farthest(a[k], b[k]) for k in a if k != "created"), default=0.0)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max((farthest(x, y) for x, y in zip(a, b, strict=True)), default=0.0)
    return 0.0 if a == b else math.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="200,000 rows, nothing is written")
    rows = 200_000 if parser.parse_args().quick else ROWS
    lines = [
        f"# {rows:,} predictions on Ray",
        "",
        f"`python benchmarks/audit_ray.py`: {FILES} Parquet files of one model, sliced by a subject,",
        f"read by one process and by {WORKERS} Ray workers. Seconds are from the start of the process to",
        "its end, Ray's own start included. Killed: workers sent SIGKILL in the midst of a file.",
        "",
        "; ".join(
            f"{name}: {value}" for name, value in machine(("ray", "pyarrow", "numpy")).items()
        ),
        "",
        "| confidence | engine | killed | seconds | largest difference |",
        "|---|---|---:|---:|---:|",
    ]
    worst = 0.0
    for texts in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            n = rows // 10 if texts else rows
            write_files(Path(folder), n, texts)
            kind = f"in a text, {n:,} rows" if texts else f"a column, 1% gaps, {n:,} rows"
            local, seconds, _ = audit(Path(folder), "local")
            lines.append(f"| {kind} | local | | {seconds:.1f} | |")
            for kills in (0, KILLS):
                there, seconds, killed = audit(Path(folder), "ray", kills)
                apart = farthest(local, there)
                worst = max(worst, apart)
                lines.append(f"| {kind} | ray | {killed} | {seconds:.1f} | {apart:.1e} |")
                print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    print(text)
    if rows == ROWS:
        (RESULTS / "audit_ray.md").write_text(text)
    if worst > TOLERANCE:
        raise SystemExit(f"the audits differ by {worst:g}")


if __name__ == "__main__":
    main()
