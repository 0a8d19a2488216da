"""A whole training step beside TRL's GRPOTrainer, on the same work; writes train_speed.{json,md}.

Sampling, scoring, loss, backward pass and AdamW, float32 on the CPU with one thread. Every contender
lives in a process of its own (`train_speed_step.py`) and takes one step when it is asked to, in turn,
in an order that is reversed from one repeat to the next.

    python benchmarks/train_speed.py                  # a quarter of an hour on an idle machine
    python benchmarks/train_speed.py --quick          # a smaller model, one round; writes nothing
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness import RESULTS, Worker, machine, worker_environment, write
from train_speed_step import GROUP, LONGEST, PROMPT_TOKENS, PROMPTS, VOCABULARY, Size, lengths_of

STEP = Path(__file__).parent / "train_speed_step.py"
OURS = "levelhead"
NAMES = {
    OURS: "levelhead",
    "trl": "TRL, activations kept",
    "trl_compact": "TRL, activations kept, head compacted",
    "trl_default": "TRL as it comes",
    "levelhead_small": "levelhead, a group at a time",
    "trl_small": "TRL, activations kept, 8 sequences at a time",
}
BATCH = (OURS, "trl", "trl_compact", "trl_default")
PIECES = (OURS, "levelhead_small", "trl_small")
REPEATS, ROUNDS = 5, 2
"""Steps that are measured in each of so many fresh processes of a contender."""
WANTED = {"trl": 2.5, "trl_compact": 1.8}
"""Times as much work per CPU second as this contender."""
WANTED_MEMORY = 0.6
"""Peak memory as a share of TRL's."""
TOLERANCE = 1e-5

NOTES = f"""
What is the same: the weights of an untrained Qwen3, {PROMPTS} prompts of {PROMPT_TOKENS} tokens with
{GROUP} completions each, how many tokens each completion has (drawn anew for every step, {LONGEST} at
most), the reward, the advantages (GRPO with the standard deviation), the loss (`loss_type="grpo"`,
no KL), gradient clipping and AdamW. One rollout, one update; all 64 completions in one batch.

* Completions are drawn from the model at temperature 1 by each library's own sampler, so the tokens
  differ from one to the other, and only where a completion ends is decided beforehand: for ours by the
  random number at that place, for TRL by a logits processor that writes one column of the scores. Equal
  tokens at the same place of two completions of a group, of which ours computes one, are one in 2,048
  here; a trained model has more of them.
* *TRL as it comes* checkpoints activations, which costs a second forward pass and saves memory. Ours
  keeps them, so the first comparison is with TRL when it keeps them as well, which is the faster of the
  two. *Head compacted*: on a GPU with Triton, TRL runs its LM head on completion tokens only; on a CPU it
  runs it on the prompts as well. The contender does on the CPU what TRL does on the GPU.
* Steps of TRL are timed from one `on_step_begin` to the next, so its data loader is in it; logging,
  saving and the progress bar are off. Each process takes one step that is not counted.
* Memory is the highest resident size of the process, whose libraries are in it; *above the start* is
  what was added after model and trainer were made.
"""


def one_round(
    names: Sequence[str], options: Sequence[str], repeats: int, full: bool
) -> list[dict[str, Any]]:
    """Fresh processes that take their steps in turn; one row per contender and step."""
    workers = [Worker(name, [str(STEP), name, *options]) for name in names]
    rows: list[dict[str, Any]] = []
    for worker in workers:
        worker.step()
    for repeat in range(repeats):
        tokens = int(lengths_of(repeat + 1, full).sum())
        for worker in workers[:: 1 if repeat % 2 == 0 else -1]:
            found = worker.step()
            rows.append({"name": worker.name, "repeat": repeat, "tokens": tokens, **found})
            print(f"  {worker.name}: {found['step']:.2f} s", flush=True)
    for worker in workers:
        # The last answer has the highest memory of all steps.
        mine = [row for row in rows if row["name"] == worker.name]
        for row in mine:
            row["start_mb"], row["peak_mb"] = worker.ready["peak_mb"], mine[-1]["peak_mb"]
        worker.end()
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Medians by contender, and ratios to ours of the same repeat of the same round."""
    ours = {(r["round"], r["repeat"]): r for r in rows if r["name"] == OURS}
    out: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(row["name"] for row in rows):
        mine = [row for row in rows if row["name"] == name]
        ratios = [row["step"] / ours[row["round"], row["repeat"]]["step"] for row in mine]
        peak = statistics.median(row["peak_mb"] for row in mine)
        added = statistics.median(row["peak_mb"] - row["start_mb"] for row in mine)
        out[name] = {
            "step_s": statistics.median(row["step"] for row in mine),
            "least_s": min(row["step"] for row in mine),
            "generate_s": statistics.median(row["generate"] for row in mine),
            "forward_s": statistics.median(row["forward"] for row in mine),
            "rest_s": statistics.median(
                row["step"] - row["generate"] - row["forward"] for row in mine
            ),
            "tokens_per_s": sum(r["tokens"] for r in mine) / sum(r["step"] for r in mine),
            "ratio": statistics.median(ratios),
            "ratio_least": min(ratios),
            "ratio_most": max(ratios),
            "peak_mb": peak,
            "added_mb": added,
            "steps": len(mine),
        }
    for found in out.values():
        found["memory_ratio"] = out[OURS]["peak_mb"] / found["peak_mb"]
        found["added_ratio"] = out[OURS]["added_mb"] / found["added_mb"]
    return out


def race(
    names: Sequence[str], options: Sequence[str], *, rounds: int, repeats: int, full: bool = False
) -> dict[str, Any]:
    """All rounds of one setting."""
    rows: list[dict[str, Any]] = []
    for number in range(rounds):
        found = one_round(names, options, repeats, full)
        rows += [{**row, "round": number} for row in found]
    return {"summary": summary(rows), "rows": rows}


def gradients(options: Sequence[str]) -> dict[str, float]:
    """How far the gradients of one batch are apart."""
    done = subprocess.run(
        [sys.executable, str(STEP), "gradients", *options],
        capture_output=True,
        text=True,
        check=True,
        env=worker_environment(),
    )
    return json.loads(done.stdout)


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """One line per contender."""
    lines = [
        "| contender | CPU s per step: median | least | generation | forward and loss | backward and "
        "the rest | completion tokens per CPU s | work per CPU s, ours over theirs | range | peak MB | "
        "ours over theirs | above the start, MB | ours over theirs |",
        "|---" * 13 + "|",
    ]
    for name, f in found.items():
        share = [
            f"{100 * f[key] / f['step_s']:.0f}%" for key in ("generate_s", "forward_s", "rest_s")
        ]
        lines.append(
            f"| {NAMES[name]} | {f['step_s']:.2f} | {f['least_s']:.2f} | {f['generate_s']:.2f} "
            f"({share[0]}) | {f['forward_s']:.2f} ({share[1]}) | {f['rest_s']:.2f} ({share[2]}) | "
            f"{f['tokens_per_s']:.0f} | **{f['ratio']:.2f}** | {f['ratio_least']:.2f} to "
            f"{f['ratio_most']:.2f} | {f['peak_mb']:.0f} | **{f['memory_ratio']:.2f}** | "
            f"{f['added_mb']:.0f} | {f['added_ratio']:.2f} |"
        )
    return [*lines, ""]


def verdicts(found: dict[str, dict[str, Any]], apart: dict[str, float]) -> list[str]:
    """What was wanted, and what came out."""

    def line(text: str, met: bool) -> str:
        return f"* {text}: {'met' if met else '**missed**'}."

    lines = [
        line(
            f"{wanted} times the work per CPU second of *{NAMES[name]}*, got "
            f"{found[name]['ratio']:.2f}",
            found[name]["ratio"] >= wanted,
        )
        for name, wanted in WANTED.items()
    ]
    lines += [
        line(
            f"peak memory at most {WANTED_MEMORY} of *{NAMES[name]}*, got "
            f"{found[name]['memory_ratio']:.2f}",
            found[name]["memory_ratio"] <= WANTED_MEMORY,
        )
        for name in ("trl", "trl_default")
        if name in found
    ]
    text = (
        f"gradients of one batch that TRL sampled and judged, {apart['tokens']:.0f} tokens: largest "
        f"difference {apart['difference']:.1e}, largest entry {apart['largest']:.1e}, so "
        f"{apart['relative']:.1e} of it; {TOLERANCE:.0e} wanted. Advantages differ by "
        f"{apart['advantages']:.1e} at most"
    )
    return [*lines, line(text, apart["relative"] <= TOLERANCE), ""]


def markdown(content: dict[str, Any]) -> str:
    """The report."""
    where, size = content["machine"], content["size"]
    versions = ", ".join(f"{k} {v}" for k, v in where["versions"].items())
    lengths = np.concatenate([lengths_of(step, False) for step in range(1, content["repeats"] + 1)])
    lines = [
        "# A training step beside TRL",
        "",
        f"{where['date']}, {where['processor']}, one thread; {versions}",
        "",
        f"Qwen3 of {size['layers']} layers x {size['hidden']}, vocabulary {VOCABULARY}; CPU seconds of "
        f"the process. Fresh processes of each contender: {content['rounds']}, steps of each process: "
        f"{content['repeats']} in the first table; ratios are medians over pairs of steps. Load of the "
        f"machine with {where['cores']} cores, mean over a minute: {content['load'][0]:.1f} before, "
        f"{content['load'][1]:.1f} after.",
        NOTES,
        f"## Lengths that vary ({lengths.min()} to {lengths.max()} tokens, mean {lengths.mean():.1f})",
        "",
        *table(content["vary"]["summary"]),
        *verdicts(content["vary"]["summary"], content["gradients"]),
    ]
    if "pieces" in content:
        lines += [
            "## Smaller pieces",
            "",
            "The same update by gradient accumulation (`compute.micro_tokens=300`, and "
            f"`per_device_train_batch_size={GROUP}`, `gradient_accumulation_steps={PROMPTS}`): less "
            "memory, and for ours a little less time, as no row is filled up to the longest.",
            "",
            *table(content["pieces"]["summary"]),
        ]
    if "full" in content:
        lines += [f"## All completions of {LONGEST} tokens", "", *table(content["full"]["summary"])]
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="fresh processes of each")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="steps of each process")
    arguments = parser.parse_args()
    quick = arguments.quick
    often = {"rounds": 1 if quick else arguments.rounds, "repeats": arguments.repeats}
    size = Size(layers=2, hidden=128) if quick else Size()
    options = ["--layers", str(size.layers), "--hidden", str(size.hidden)]
    before = os.getloadavg()[0]
    content: dict[str, Any] = {
        "machine": machine(("torch", "transformers", "trl")),
        "size": dataclasses.asdict(size),
        **often,
        "gradients": gradients(options),
        "vary": race(BATCH, options, **often),
    }
    if not quick:
        content["pieces"] = race(PIECES, options, rounds=1, repeats=3)
        content["full"] = race([OURS, "trl"], [*options, "--full"], rounds=1, repeats=2, full=True)
    content["load"] = [before, os.getloadavg()[0]]
    text = markdown(content)
    print(text)
    if not quick:
        write("train_speed", content)
        (RESULTS / "train_speed.md").write_text(text)


if __name__ == "__main__":
    main()
