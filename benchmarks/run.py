"""Speed against the peers on the same inputs in one run; writes results/speed.{json,md}.

Takes about ten minutes. Peers that are not installed are left out and named.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import harness
import numpy as np

LAUNCHER = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
wall = time.perf_counter() - start
print(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024)
"""
"""Runs a command and prints its CPU seconds, wall seconds and peak memory in MB."""

NOTES = """
Notes. The numba passes are compiled single loops over the same two arrays; numpy has no fused loop, and
its `bincount` alone costs about 12 ms here, so `ece` stays at about twice such a pass. relplot evaluates
the smooth ECE on 200 points with a bandwidth rounded to 1/1024, which is where its value differs by 2e-4.
"""
"""What the rows do not say by themselves."""

PEERS = ("numba", "torch", "torchmetrics", "netcal", "relplot")


def have(name: str) -> bool:
    """Whether a peer can be imported."""
    return importlib.util.find_spec(name) is not None


def predictions(n: int, *, percent: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Overconfident predictions: true accuracy is 0.6 c + 0.2."""
    rng = np.random.default_rng(0)
    c = rng.beta(5.0, 2.0, n)
    if percent:
        c = np.round(c, 2)
    return c, (rng.random(n) < 0.6 * c + 0.2).astype(np.float64)


def ece_race(n: int, repeats: int) -> list[harness.Timing]:
    """ECE with 10 bins of equal width."""
    from levelhead.metrics import ece

    c, y = predictions(n)
    contenders: dict[str, Any] = {"levelhead": lambda: ece(c, y)}

    def bincount() -> float:
        cell = np.clip(np.ceil(c * 10).astype(np.int64) - 1, 0, 9)
        gap = np.bincount(cell, c, 10) - np.bincount(cell, y, 10)
        return float(np.abs(gap).sum() / n)

    contenders["numpy bincount"] = bincount
    reference = "numpy bincount"
    if have("numba"):
        import numba

        @numba.njit
        def gap_only(c: np.ndarray, y: np.ndarray) -> float:
            gap = np.zeros(10)
            for i in range(c.size):
                k = int(np.ceil(c[i] * 10.0)) - 1
                k = 0 if k < 0 else k
                gap[k] += c[i] - y[i]
            return np.abs(gap).sum() / c.size

        @numba.njit
        def three_sums(c: np.ndarray, y: np.ndarray) -> float:
            count, said, right = np.zeros(10), np.zeros(10), np.zeros(10)
            for i in range(c.size):
                k = int(np.ceil(c[i] * 10.0)) - 1
                k = 0 if k < 0 else k
                count[k] += 1.0
                said[k] += c[i]
                right[k] += y[i]
            return np.abs(said - right).sum() / count.sum()

        @numba.njit
        def same_work(c: np.ndarray, y: np.ndarray) -> float:
            gap = np.zeros(11)
            for i in range(c.size):
                if not (c[i] >= 0.0 and c[i] <= 1.0 and y[i] >= 0.0 and y[i] <= 1.0):
                    raise ValueError("out of range")
                gap[int(c[i] * 10.0 + (1.0 - 1e-9))] += c[i] - y[i]
            gap[1] += gap[0]
            return np.abs(gap[1:]).sum() / c.size

        contenders["numba pass, gap per bin, nothing checked"] = lambda: gap_only(c, y)
        contenders["numba pass, three sums per bin, nothing checked"] = lambda: three_sums(c, y)
        contenders["numba pass, range checks and decimal-safe edges"] = lambda: same_work(c, y)
        reference = "numba pass, range checks and decimal-safe edges"
    if have("torchmetrics"):
        import torch
        from torchmetrics.functional.classification import binary_calibration_error

        torch.set_num_threads(1)
        ct, yt = torch.from_numpy(c), torch.from_numpy(y.astype(np.int64))
        contenders["torchmetrics"] = lambda: float(
            binary_calibration_error(ct, yt, n_bins=10, norm="l1", validate_args=False)
        )
    if have("netcal"):
        from netcal.metrics import ECE

        labels = y.astype(np.int64)
        contenders["netcal"] = lambda: float(ECE(bins=10).measure(c, labels))
    return harness.race(contenders, reference=reference, repeats=repeats)


def smooth_race(n: int, repeats: int) -> list[harness.Timing]:
    """Smooth ECE."""
    from levelhead.metrics import smooth_ece

    c, y = predictions(n)
    contenders: dict[str, Any] = {"levelhead": lambda: smooth_ece(c, y)}
    if have("relplot"):
        import relplot

        contenders["relplot"] = lambda: float(relplot.smECE(c, y))
    return harness.race(contenders, reference="levelhead", repeats=repeats)


def bootstrap_race(n: int, repeats: int, *, percent: bool) -> list[harness.Timing]:
    """1,000 bootstrap replicates of the ECE, beside 50 replicates of the naive loop."""
    from levelhead.metrics.intervals import bootstrap

    c, y = predictions(n, percent=percent)

    def naive_50() -> float:
        rng = np.random.default_rng(0)
        cell, d = np.clip(np.ceil(c * 10 - 1e-9).astype(np.int64) - 1, 0, 9), c - y
        for _ in range(50):
            i = rng.integers(0, n, n)
            np.abs(np.bincount(cell[i], d[i], 10)).sum()
        return 0.0

    contenders = {
        "levelhead, 1000 replicates": lambda: (
            bootstrap(c, y, ["ece"], n_boot=1000, seed=0)["ece"].low
        ),
        "naive numpy loop, 50 replicates": naive_50,
    }
    return harness.race(contenders, reference="levelhead, 1000 replicates", repeats=repeats)


def stream_rows(sizes: tuple[int, ...]) -> list[dict[str, float]]:
    """Audit Parquet files of growing size in a process of its own: CPU seconds and peak memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = []
    with tempfile.TemporaryDirectory() as folder:
        for n in sizes:
            path = Path(folder) / f"rows_{n}.parquet"
            schema = pa.schema([("confidence", pa.float64()), ("correct", pa.int8())])
            with pq.ParquetWriter(path, schema) as writer:
                for start in range(0, n, 5_000_000):
                    rng = np.random.default_rng(start)
                    c = rng.beta(5.0, 2.0, min(5_000_000, n - start))
                    y = (rng.random(c.size) < 0.6 * c + 0.2).astype(np.int8)
                    writer.write_table(pa.table([c, y], schema=schema))
            command = [sys.executable, "-m", "levelhead.cli", "audit", str(path), "--quiet"]
            command += ["--json", str(Path(folder) / "out.json")]
            # A child inherits the peak of the process that forks it, so a small one measures.
            measured = subprocess.run(
                [sys.executable, "-c", LAUNCHER, *command],
                capture_output=True,
                text=True,
                check=True,
            )
            cpu, wall, peak = map(float, measured.stdout.split())
            out.append(
                {
                    "rows": n,
                    "cpu_seconds": round(cpu, 2),
                    "wall_seconds": round(wall, 2),
                    "peak_mb": round(peak, 1),
                    "ns_per_row": round(1e9 * cpu / n, 1),
                }
            )
            path.unlink()
    return out


def main() -> None:
    """Run every race and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller inputs, for a first look")
    arguments = parser.parse_args()
    harness.one_thread()
    scale = 10 if arguments.quick else 1
    races = {
        f"ECE, {10_000_000 // scale:,} float64 pairs": ece_race(10_000_000 // scale, 7),
        "Smooth ECE, 100,000 pairs": smooth_race(100_000, 9),
        "1,000 bootstraps of ECE, 100,000 arbitrary confidences": bootstrap_race(
            100_000, 5, percent=False
        ),
        "1,000 bootstraps of ECE, 100,000 percentages": bootstrap_race(100_000, 5, percent=True),
    }
    streams = stream_rows(tuple(n // scale for n in (1_000_000, 10_000_000, 100_000_000)))
    info = harness.machine(PEERS)
    missing = [name for name in PEERS if not have(name)]
    content = {
        "machine": info,
        "left_out": missing,
        "races": {k: [dataclasses.asdict(t) for t in v] for k, v in races.items()},
        "stream": streams,
    }
    harness.write("speed" if scale == 1 else "speed_quick", content)
    text = "\n".join(harness.table(title, timings) for title, timings in races.items())
    text += "\n### Audit of a Parquet file (own process)\n\n"
    text += "| rows | CPU s | ns per row | peak MB |\n|---|---|---|---|\n"
    text += "\n".join(
        f"| {s['rows']:,} | {s['cpu_seconds']} | {s['ns_per_row']} | {s['peak_mb']} |"
        for s in streams
    )
    header = f"# Speed\n\n{info['date']}, {info['processor']}, one thread\n\n"
    header += ", ".join(f"{k} {v}" for k, v in info["versions"].items()) + "\n\n"
    header += "Ratios are medians over repeats, contender over the reference with ratio 1.00.\n\n"
    print(header + text)
    if scale == 1:
        (harness.RESULTS / "speed.md").write_text(header + text + "\n" + NOTES)


if __name__ == "__main__":
    main()
