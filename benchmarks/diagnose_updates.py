"""Comparing two models of 2 GB: how fast beside reading and subtracting them, and in how much memory.

Two folders of safetensors are written to a temporary place (bfloat16, in shards) and deleted again.
Every contender runs in a process of its own, one thread, in turn, again and again: CPU seconds after
the imports and the loading of compiled code, which are measured apart, those of the system for reading
among them, and the largest resident memory.

    python benchmarks/diagnose_updates.py            # 8 GB of temporary files, some minutes
    python benchmarks/diagnose_updates.py --quick    # 0.2 GB, two repeats; writes nothing
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import RESULTS, machine, worker_environment, write

HIDDEN, INNER, WORDS = 2048, 5632, 32_000
LAYERS, QUICK_LAYERS = 18, 1
STEPS = (3e-6, 1e-5, 1e-4)
"""Sizes of the dense step between the two models; bfloat16 rounds most of it away, 96% to 32%."""
FROM_DISK = 1e-5
"""The one of them that is read from the disk as well."""
SHARD = 1 << 29
REPEATS, QUICK_REPEATS = 5, 2
WANTED, WANTED_BYTES = 0.6, 1.5e9
POOL = 1 << 22
"""Random numbers that are drawn; every tensor takes them from another place."""

CONTENDERS = {
    "levelhead": "levelhead diagnose updates",
    "torch": "safetensors and torch: read both, subtract in bfloat16",
    "numpy": "numpy: read both as they lie, subtract in float32",
}
NOTES = """
Weights are drawn from a Gaussian with standard deviation 0.02, the step from one with the standard
deviation that each table names; all models are rounded to bfloat16 and lie in shards of half a gigabyte.
"From the memory": the system holds the files, as they were just written; CPU seconds of one thread.
"From the disk": it was told to forget them before each run; seconds by the clock, every contender with as
many threads as it takes by itself. "Loading" is what a process spends once, on imports and on ours on the
compiler and what it compiled before; without the extra `fast` there is neither, and numpy takes over.
Published updates of reinforcement learning leave 70% to 95% of the stored weights unchanged
(arXiv:2505.11711). The comparison is the whole of it, as the command runs it: densities at four
tolerances and relative to the weight, the rounding null of each tensor, ranks of 8 matrices.

Those that subtract read a tensor of each model, subtract, and drop the result. That is no diagnosis;
it is what any diagnosis has to do at least. numpy has no bfloat16 and casts by shifting bits.
"""


def names(layers: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The tensors of a model with so many layers."""
    yield "model.embed_tokens.weight", (WORDS, HIDDEN)
    for i in range(layers):
        place = f"model.layers.{i}."
        yield place + "input_layernorm.weight", (HIDDEN,)
        for kind in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield f"{place}self_attn.{kind}.weight", (HIDDEN, HIDDEN)
        for kind, shape in (
            ("gate_proj", (INNER, HIDDEN)),
            ("up_proj", (INNER, HIDDEN)),
            ("down_proj", (HIDDEN, INNER)),
        ):
            yield f"{place}mlp.{kind}.weight", shape
    yield "model.norm.weight", (HIDDEN,)


def bfloat16(values: np.ndarray) -> np.ndarray:
    """The bits of the nearest bfloat16 numbers."""
    wide = values.view(np.uint32)
    return ((wide + 0x7FFF + ((wide >> 16) & 1)) >> 16).astype("<u2")


def make(folder: Path, layers: int, seed: int = 0) -> int:
    """Write `base`, and a tuned model for each step under its number; returns the bytes of one."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal(POOL, dtype=np.float32) * np.float32(0.02)
    noise = rng.standard_normal(POOL + 1, dtype=np.float32)
    stored = (bfloat16(weights).astype(np.uint32) << 16).view(np.float32)
    shards: list[list[tuple[str, tuple[int, ...]]]] = [[]]
    size = 0
    for name, shape in names(layers):
        if size > SHARD:
            shards.append([])
            size = 0
        shards[-1].append((name, shape))
        size += 2 * int(np.prod(shape))
    for model, step in (("base", None), *((f"{step:g}", step) for step in STEPS)):
        (folder / model).mkdir()
        moved = None if step is None else noise * np.float32(step)
        places: dict[str, str] = {}
        for i, shard in enumerate(shards):
            file = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
            places.update({name: file for name, _ in shard})
            write_shard(folder / model / file, shard, stored, moved)
        index = folder / model / "model.safetensors.index.json"
        index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    some = [("w.weight", (1024, 1024))]
    for model, moved in (("small", None), ("small-moved", noise * np.float32(1e-3))):
        (folder / model).mkdir()
        write_shard(folder / model / "model.safetensors", some, stored, moved)
    return sum(file.stat().st_size for file in (folder / "base").iterdir())


def write_shard(
    path: Path,
    shard: list[tuple[str, tuple[int, ...]]],
    stored: np.ndarray,
    steps: np.ndarray | None,
) -> None:
    """One file; the same names get the same weights in both models."""
    header: dict[str, object] = {}
    start = 0
    for name, shape in shard:
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, start + size]}
        start += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # as the library does, so that numbers lie at even places
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shard:
            at = np.random.default_rng(list(name.encode()))
            left = int(np.prod(shape))
            while left:
                count, skip = min(left, POOL), int(at.integers(POOL))
                values = np.roll(stored, skip)[:count]
                if steps is not None:
                    values = values + np.roll(steps, int(at.integers(POOL)))[:count]
                else:
                    at.integers(POOL)
                file.write(bfloat16(np.ascontiguousarray(values)).data)
                left -= count


def pairs(base: Path, tuned: Path) -> Iterator[tuple[Path, Path]]:
    """The shards of both models."""
    for one in sorted(base.glob("*.safetensors")):
        yield one, tuned / one.name


def contender(name: str, base: Path, tuned: Path, disk: bool) -> None:
    """Run one in this process; prints seconds, peak memory and a figure to check.

    From memory CPU seconds of one thread count, from the disk the clock with as many as each takes.
    """
    clock = time.perf_counter if disk else time.process_time
    began = clock()
    if name == "levelhead":
        from levelhead.diagnose.updates import _run, diagnose_updates

        least, _run.MANY = _run.MANY, 0
        diagnose_updates(base.parent / "small", base.parent / "small-moved")
        _run.MANY = least
        start = clock()
        value = diagnose_updates(base, tuned, threads=None if disk else 1).densities[0]
    elif name == "numpy":
        start = clock()
        value = subtract_numpy(base, tuned)
    else:
        import torch
        from safetensors import safe_open

        if not disk:
            torch.set_num_threads(1)
        start, value = clock(), 0.0
        for a, b in pairs(base, tuned):
            with safe_open(a, framework="pt") as old, safe_open(b, framework="pt") as new:
                for tensor in old.keys():  # noqa: SIM118 - it is no mapping
                    before, after = old.get_tensor(tensor), new.get_tensor(tensor)
                    value += float((after - before).flatten()[0])
    seconds = clock() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "loading": start - began, "peak": peak, "value": value}))


def subtract_numpy(base: Path, tuned: Path) -> float:
    """Read whole tensors as they lie, cast and subtract."""
    value = 0.0
    for a, b in pairs(base, tuned):
        with a.open("rb") as old, b.open("rb") as new:
            header = json.loads(old.read(int.from_bytes(old.read(8), "little")))
            new.read(int.from_bytes(new.read(8), "little"))
            for entry in header.values():
                count = int(np.prod(entry["shape"]))
                before, after = (np.fromfile(f, "<u2", count).astype(np.uint32) for f in (old, new))
                before <<= 16
                after <<= 16
                value += float((after.view(np.float32) - before.view(np.float32))[0])
    return value


def measured(name: str, base: Path, tuned: Path, *, disk: bool) -> dict[str, float]:
    """One run in a process of its own."""
    if disk:
        for file in (*base.iterdir(), *tuned.iterdir()):
            forget(file)
    where = "disk" if disk else "memory"
    done = subprocess.run(
        [sys.executable, __file__, "--contender", name, str(base), str(tuned), where],
        capture_output=True, text=True, env=None if disk else worker_environment(), check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def forget(file: Path) -> None:
    """Have the system keep nothing of a file in memory."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--contender", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contender:
        name, base, tuned, where = given.contender
        return contender(name, Path(base), Path(tuned), where == "disk")
    layers, repeats = (QUICK_LAYERS, QUICK_REPEATS) if given.quick else (LAYERS, REPEATS)
    runs: dict[str, dict[str, list[dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory(prefix="diagnose-updates-") as place:
        size = make(Path(place), layers)
        cases = [(f"{step:g}", False) for step in STEPS] + [(f"{FROM_DISK:g}", True)]
        for step, disk in cases:
            case = f"A step of {step}, from the {'disk' if disk else 'memory'}"
            runs[case] = {name: [] for name in CONTENDERS}
            for i in range(repeats):
                for name in list(CONTENDERS)[:: 1 if i % 2 else -1]:
                    found = measured(name, Path(place) / "base", Path(place) / step, disk=disk)
                    runs[case][name].append(found)
    report(runs, size, repeats, keep=not given.quick)


def report(
    runs: dict[str, dict[str, list[dict[str, float]]]], size: int, repeats: int, *, keep: bool
) -> None:
    """Print the tables, and write them unless the run was a quick one."""
    found = {step: summary(one) for step, one in runs.items()}
    words = [f"Two folders of {size / 1e9:.2f} GB each; {repeats} repeats."]
    memory = max(one["levelhead"]["peak_bytes"] for one in found.values())
    least = {}
    for case, one in found.items():
        least[case] = min(one[name]["ratio"] for name in CONTENDERS if name != "levelhead")
        words.append(
            f"{case}, which changes {runs[case]['levelhead'][0]['value']:.0%} of the weights: "
            f"{least[case]:.2f} of the speed of the fastest subtraction."
        )
    words.append(
        f"Wanted: {WANTED} or more. Memory: {memory / 1e9:.2f} GB "
        f"(wanted: below {WANTED_BYTES / 1e9} GB)."
    )
    text = " ".join(words) + "\n"
    for case, one in found.items():
        unit = "s" if case.endswith("disk") else "CPU s"
        text += (
            f"\n## {case}\n\n"
            f"| | median {unit} | least | our speed / its speed | peak GB | loading |\n"
            "|---|---|---|---|---|---|\n"
        )
        for name, row in one.items():
            text += (
                f"| {CONTENDERS[name]} | {statistics.median(row['seconds']):.2f} | "
                f"{min(row['seconds']):.2f} | {row['ratio']:.2f} ({row['ratio_low']:.2f} to "
                f"{row['ratio_high']:.2f}) | {row['peak_bytes'] / 1e9:.2f} | "
                f"{statistics.median(row['loading']):.2f} |\n"
            )
    print(text)
    if not keep:
        return
    result = {"machine": machine(), "bytes": size, "repeats": repeats, "runs": found,
              "speed_ratio": least, "peak_bytes": memory}  # fmt: skip
    write("diagnose_updates", result)
    (RESULTS / "diagnose_updates.md").write_text(
        f"# Comparing the weights of two models\n\n{text}{NOTES}"
    )
    if min(least.values()) < WANTED or memory > WANTED_BYTES:
        raise SystemExit("missed what is wanted")


def summary(runs: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, Any]]:
    """Of each contender: its seconds, memory, and our speed in its terms, repeat by repeat."""
    ours = [one["seconds"] for one in runs["levelhead"]]
    found = {}
    for name, each in runs.items():
        seconds = [one["seconds"] for one in each]
        ratios = [a / b for a, b in zip(seconds, ours, strict=True)]
        found[name] = {
            "seconds": seconds, "loading": [one["loading"] for one in each],
            "peak_bytes": max(one["peak"] for one in each),
            "ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios),
        }  # fmt: skip
    return found


if __name__ == "__main__":
    main()
