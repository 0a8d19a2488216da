"""One process against two, over everything that training can do; writes results/train_distributed.*.

Run: python benchmarks/train_distributed.py [--only NAME ...]

Each case is trained for five steps by one process, by two with copies of the model (ddp) and by two
with shards of it (fsdp), on the CPU. Compared are the losses of the steps, the final weights, and what
the model says about held-out prompts. A case that resumes trains two steps in one way and the others
in another. Exits with 1 when a case in float32 differs by more than rounding.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import harness

STEPS = 5
LOSS = 1e-6
WEIGHT = 2e-5
"""AdamW with a rate of 1e-3; one step of one weight in another direction would be 2e-3."""

BASE = (
    "task.kind=oracle",
    "task.train=60",
    "task.evaluation=20",
    f"steps={STEPS}",
    "rollout.prompts=6",
    "rollout.group_size=4",
    "rollout.max_new_tokens=8",
    "evaluation.every=0",
    "evaluation.samples=2",
    "checkpoint.every=0",
    "guard.action=off",
    "compute.micro_tokens=300",
    "optimizer.lr=1e-3",
)
GAE = ("algorithm.estimator=gae", "rollout.group_size=2")
KL = ("algorithm.kl.coef=0.5",)
LORA = ("model.lora={rank: 4}",)

CASES: dict[str, tuple[str, ...]] = {
    "rloo": (),
    "a rank without prompts of a mini-batch": (
        "rollout.prompts=3",
        "algorithm.updates_per_rollout=3",
    ),
    "a rank without prompts at all": ("rollout.prompts=1",),
    "unlike numbers of micro-batches": ("compute.micro_tokens=60", "rollout.prompts=7"),
    "two epochs, token-mean": ("algorithm.epochs=2", "algorithm.aggregation=token-mean"),
    "padded rows": ("compute.layout=padded",),
    "batch_std (looks at the whole batch)": ("algorithm.estimator=batch_std", "rollout.prompts=5"),
    "ema_std (remembers every prompt)": (
        "algorithm.estimator=ema_std",
        "rollout.prompts=5",
        "task.train=10",
    ),
    "rb_exact": ("algorithm.estimator=rb_exact", "rollout.prompts=3"),
    "rb_exact, a rank without prompts": ("algorithm.estimator=rb_exact", "rollout.prompts=1"),
    "gae, value head": (*GAE, "algorithm.critic={kind: head, lr: 1e-3}", "rollout.prompts=5"),
    "gae, separate critic": (*GAE, "algorithm.critic={kind: separate, lr: 1e-3}"),
    "gae, a rank without prompts": (
        *GAE,
        "algorithm.critic={kind: separate, lr: 1e-3}",
        "rollout.prompts=1",
    ),
    "KL in the loss": (*KL, "rollout.prompts=5"),
    "KL in the reward": (*KL, "algorithm.kl.place=reward", "rollout.prompts=5"),
    "entropy bonus, gradient checkpointing": (
        "algorithm.entropy_coef=0.01",
        "model.gradient_checkpointing=true",
    ),
    "LoRA": LORA,
    "LoRA, KL to the model without it": (*LORA, *KL, "algorithm.kl.reference=adapter_off"),
    "LoRA, KL to a copy": (*LORA, *KL),
    "bfloat16, value head": (
        "model.dtype=bfloat16",
        *GAE,
        "algorithm.critic={kind: head, lr: 1e-3}",
    ),
    "bfloat16, LoRA": ("model.dtype=bfloat16", *LORA),
}
ROUGH = ("bfloat16",)
"""Cases whose rounding is that of bfloat16, where texts may part; they are shown, not judged."""
WAYS = {"one": ("none", 1), "ddp": ("ddp", 2), "fsdp": ("fsdp", 2)}
RESUMED = (("fsdp", "one"), ("one", "fsdp"), ("ddp", "fsdp"), ("fsdp", "fsdp"))


def work(plan: str) -> None:
    """Train what a plan says, one after the other, in this process."""
    import torch

    from levelhead.train.config import load
    from levelhead.train.distributed import Ranks
    from levelhead.train.run import train

    torch.set_num_threads(1)
    ranks = Ranks.join(torch.device("cpu"))
    for item in json.loads(Path(plan).read_text()):
        train(load(None, item["overrides"]), Path(item["out"]), resume=item["resume"])
    ranks.leave()


def port() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


def start(plan: list[dict[str, Any]], world: int) -> None:
    """Train a plan in `world` processes, started as `torchrun` starts them."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(plan, file)
        file.flush()
        command = [sys.executable, __file__, "--worker", file.name]
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port(), "WORLD_SIZE": str(world)}
        processes = [
            subprocess.Popen(
                command, env=os.environ | place | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            )
            for rank in range(world)
        ]
        codes = [process.wait() for process in processes]
        if any(codes):
            raise SystemExit("a process failed; see above")


def item(out: Path, model: Path, overrides: tuple[str, ...], way: str, resume: bool = False) -> Any:
    changes = [*BASE, f"model.path={model}", *overrides, f"compute.sharding={WAYS[way][0]}"]
    return {"out": str(out), "overrides": changes, "resume": resume}


def losses(out: Path) -> list[float]:
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["kind"] == "step"]


def compare(one: Path, two: Path) -> dict[str, float]:
    """The largest differences between two runs."""
    import pyarrow.parquet as pq
    import torch
    from safetensors.torch import load_file

    (mine,) = (one / "model").glob("*.safetensors")
    ours, theirs = load_file(mine), load_file(two / "model" / mine.name)
    if ours.keys() != theirs.keys():
        raise SystemExit(f"{two}: other weights than in {one}")
    own, other = losses(one), losses(two)
    if len(own) != STEPS or len(other) != STEPS:
        raise SystemExit(f"{two}: expected {STEPS} steps")
    said = [pq.read_table(out / "predictions.parquet").to_pylist() for out in (one, two)]
    return {
        "loss": max(abs(a - b) for a, b in zip(own, other, strict=True)),
        "size": max(map(abs, own)),
        "weight": max(float(torch.max(torch.abs(ours[k] - theirs[k]))) for k in ours),
        "said": sum(a == b for a, b in zip(*said, strict=True)) / len(said[0]),
    }


def resumed(folder: Path, model: Path) -> list[dict[str, Any]]:
    """Two steps in one way, the rest in another, against one process that never stopped."""
    extra = CASES["gae, value head"]
    pairs = [(folder / f"resumed-{a}-{b}", a, b) for a, b in RESUMED]
    for way in WAYS:
        begun = [item(out, model, (*extra, "steps=2"), way) for out, a, _ in pairs if a == way]
        if begun:
            start(begun, WAYS[way][1])
    for way in WAYS:
        rest = [item(out, model, extra, way, True) for out, _, b in pairs if b == way]
        if rest:
            start(rest, WAYS[way][1])
    whole = folder / "one" / str(list(CASES).index("gae, value head"))
    return [
        {"case": f"gae, value head: 2 steps {a}, 3 steps {b}", "way": b, **compare(whole, out)}
        for out, a, b in pairs
    ]


def table(report: dict[str, Any]) -> str:
    lines = [
        "# Two processes against one",
        "",
        f"A Qwen3 of 2 layers x 32, {STEPS} steps of AdamW at 1e-3, gloo on the CPU. Largest "
        "differences from one process: of the loss of a step, of a weight at the end; and the share "
        "of held-out completions that are the same in every character.",
        "",
        "| case | two processes | largest loss | loss differs by | weights differ by | same texts |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['case']} | {row['way']} | {row['size']:.2g} | {row['loss']:.1e} | "
        f"{row['weight']:.1e} | {row['said']:.0%} |"
        for row in report["rows"]
    ]
    machine = report["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    lines += [
        "",
        "In bfloat16 (a mantissa of 8 bits) sums in another order differ in the third digit, and a "
        "text may part from there.",
        "",
        f"{machine['date']}, {machine['processor']}, {machine['cores']} cores; {versions}; "
        f"{report['seconds']:.0f} s.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    harness.one_thread()
    parser = argparse.ArgumentParser(description="One process against two.")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="*", help="words that a case has in its name")
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker)
        return 0
    from levelhead.tasks import OracleOptions, make_task
    from levelhead.train import embedded

    began = time.perf_counter()
    words = arguments.only or [""]
    names = [name for name in CASES if any(word in name for word in words)]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        sizes = {"layers": 2, "hidden": 32, "heads": 2, "kv_heads": 1, "intermediate": 64}
        task = make_task(OracleOptions(train=60, evaluation=20))
        model = embedded.build(task, **sizes, vocabulary=400, warmup_steps=60)
        for way, (_, world) in WAYS.items():
            outs = [(folder / way / str(list(CASES).index(name)), CASES[name]) for name in names]
            start([item(out, model, extra, way) for out, extra in outs], world)
        for name in names:
            place_of = str(list(CASES).index(name))
            for way in ("ddp", "fsdp"):
                found = compare(folder / "one" / place_of, folder / way / place_of)
                rows.append({"case": name, "way": way, **found})
        if not arguments.only:
            rows += resumed(folder, model)
    seconds = time.perf_counter() - began
    report = {"machine": harness.machine(("torch",)), "rows": rows, "seconds": seconds}
    page = table(report)
    print(page)
    if not arguments.only:
        harness.write("train_distributed", report)
        (harness.RESULTS / "train_distributed.md").write_text(page)
    exact = [row for row in rows if not row["case"].startswith(ROUGH)]
    return int(any(r["loss"] > LOSS or r["weight"] > WEIGHT or r["said"] < 1 for r in exact))


if __name__ == "__main__":
    sys.exit(main())
