"""Training runs that are killed at random moments and resumed; writes train_kill.{json,md}.

One process imports everything and then only forks. Each recipe is run once without interruption; then
runs of it are killed (SIGKILL), each once, at a moment drawn uniformly over the time that the whole run
took, and resumed. Whatever the resumed run leaves is compared byte by byte with what the whole run left:
every tensor of the last checkpoint (weights, optimizer, random generators, memory of the estimator), the
model that is handed over, metrics.jsonl and all predictions.

    python benchmarks/train_kill.py                  # two minutes on an idle machine
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness import RESULTS, machine, one_thread, write

KILLS = 20
STEPS = 24
SMALL = (
    "task.kind=oracle",
    "task.train=200",
    "task.evaluation=30",
    "model.device=cpu",
    "model.from_scratch={layers: 2, hidden: 32, heads: 2, kv_heads: 1, intermediate: 64, "
    "vocabulary: 400, warmup_steps: 60}",
    f"steps={STEPS}",
    "rollout.prompts=4",
    "rollout.group_size=4",
    "rollout.max_new_tokens=8",
    "optimizer.lr=0.003",
    "checkpoint.every=2",
    "evaluation.every=6",
)
GAE = ("algorithm.estimator=gae", "algorithm.aggregation=token-mean")
RECIPES: dict[str, Sequence[str]] = {
    "RLOO": (),
    "exact answers, cosine schedule": (
        "algorithm.estimator=rb_exact",
        "optimizer.schedule=cosine",
    ),
    "PPO, separate critic, KL in the reward": (
        *GAE,
        "algorithm.critic={kind: separate, lr: 0.01}",
        "algorithm.kl={coef: 0.1, estimator: k1, place: reward}",
        "algorithm.updates_per_rollout=2",
    ),
    "EMA of the spread, KL in the loss": ("algorithm.estimator=ema_std", "algorithm.kl.coef=0.1"),
    "GRPO, adapters with dropout, two epochs": (
        "algorithm.estimator=grpo",
        "model.lora={rank: 2, dropout: 0.2}",
        "algorithm.epochs=2",
    ),
}


def attempt(overrides: Sequence[str], out: Path, kill_after: float | None = None) -> bool:
    """Begin a run or go on with it, in a fork; whether it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            from levelhead.train.config import load
            from levelhead.train.run import train

            recipe = load(None, [*SMALL, *overrides])
            train(recipe, out, resume=(out / "run.json").exists())
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise SystemExit("a run failed")
    return os.WIFSIGNALED(status)


def left(out: Path) -> dict[str, bytes]:
    """Everything that a run leaves by name, apart from what tells when it ran."""
    from levelhead.train.checkpoint import Checkpoints

    files = [p for p in out.rglob("*") if p.is_file() and p.name != "run.json"]
    found = {
        p.relative_to(out).as_posix(): p.read_bytes() for p in files if "checkpoints" not in p.parts
    }
    checkpoints = Checkpoints(out / "checkpoints")
    newest = checkpoints.latest()
    if newest is None:
        raise SystemExit(f"{out}: no checkpoint")
    tensors, state = checkpoints.load(newest)
    return found | dict(flat({"weights": tensors, "state": state}))


def flat(value: Any, name: str = "checkpoint") -> Iterator[tuple[str, bytes]]:
    """A nest leaf by leaf."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from flat(inner, f"{name}.{i}")
    elif hasattr(value, "numpy"):
        yield name, value.contiguous().numpy().tobytes()
    else:
        yield name, repr(value).encode()


def where(out: Path) -> dict[str, Any]:
    """What a killed run had done: lines of its log, its last checkpoint, and what it was writing."""
    log = out / "metrics.jsonl"
    done = log.read_bytes().count(b'"kind": "step"') if log.exists() else 0
    saved = sorted((out / "checkpoints").glob("step-*"))
    unfinished = sorted(p.name.strip(".") for p in out.rglob(".*"))
    return {
        "steps_done": done,
        "checkpoint": int(saved[-1].name.removeprefix("step-")) if saved else None,
        "writing": unfinished,
    }


def study(folder: Path, kills: int, seed: int) -> list[dict[str, Any]]:
    """One row for each kill."""
    rng = np.random.default_rng(seed)
    whole: dict[str, tuple[float, dict[str, bytes]]] = {}
    rows: list[dict[str, Any]] = []
    attempt(("steps=1",), folder / "first")  # makes the model
    while len(rows) < kills:
        name = list(RECIPES)[len(rows) % len(RECIPES)]
        if name not in whole:
            start = time.perf_counter()
            attempt(RECIPES[name], folder / "whole")
            whole[name] = (time.perf_counter() - start, left(folder / "whole"))
            shutil.rmtree(folder / "whole")
        seconds, expected = whole[name]
        out = folder / "killed"
        moment = float(rng.uniform(0.0, seconds))
        if not attempt(RECIPES[name], out, moment):
            shutil.rmtree(out)  # it was quicker than the whole run: another moment
            continue
        row = {"recipe": name, "moment": moment, "of": seconds, **where(out)}
        attempt(RECIPES[name], out)
        found = left(out)
        differing = sorted(key for key in expected | found if expected.get(key) != found.get(key))
        rows.append(row | {"compared": len(expected), "differing": differing})
        print(rows[-1], flush=True)
        shutil.rmtree(out)
    return rows


def report(content: dict[str, Any]) -> str:
    """The result as Markdown."""
    info, rows = content["machine"], content["rows"]
    versions = ", ".join(f"{name} {version}" for name, version in info["versions"].items())
    same = sum(not row["differing"] for row in rows)
    lines = [
        "# Killed and resumed",
        "",
        f"{info['date']}, {info['processor']}, one thread; {versions}",
        "",
        f"{same} of {len(rows)} runs that were killed at a random moment and resumed ended bit by bit as",
        f"the run without interruption: {STEPS} steps, a checkpoint every second one. Compared are all",
        "tensors and values of the last checkpoint, the model, metrics.jsonl and every prediction.",
        "",
        "| recipe | killed after | of | steps | checkpoint | was writing | compared | differ |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['recipe']} | {row['moment']:.2f} s | {row['of']:.2f} s | {row['steps_done']} | "
            f"{'none' if row['checkpoint'] is None else row['checkpoint']} | "
            f"{', '.join(row['writing']) or '-'} | {row['compared']} | {len(row['differing'])} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Kill, resume, compare, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    one_thread()
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what has used a GPU cannot be forked
    importlib.import_module("levelhead.train.run")  # paid once; the forks have it

    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
        rows = study(Path(folder), arguments.kills, arguments.seed)
    content = {"machine": machine(("torch", "transformers", "peft")), "rows": rows}
    text = report(content)
    print(text)
    if arguments.kills >= KILLS:
        write("train_kill", content)
        (RESULTS / "train_kill.md").write_text(text)
    if any(row["differing"] for row in rows):
        raise SystemExit("a resumed run differs")


if __name__ == "__main__":
    main()
