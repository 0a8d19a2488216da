"""What levelhead's trainer adds to a step of TRL's GRPOTrainer; writes trl_overhead.{json,md}.

Three contenders, each in a process of its own: TRL, TRL once more (what differs is noise), and
levelhead's subclass with the estimator that TRL has, so that all three do the same work on the same
rollouts. They take one step each in turn, in an order that is reversed from one repeat to the next;
CPU seconds of each process, one thread, from one `on_step_begin` to the next.

    python benchmarks/trl_overhead.py                 # five minutes on an idle machine; needs TRL
    python benchmarks/trl_overhead.py --quick         # a few small steps; writes nothing
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness import RESULTS, Worker, machine, write

STOCK, AGAIN, OURS = "trl", "trl_again", "levelhead"
NAMES = {
    STOCK: "TRL's GRPOTrainer",
    AGAIN: "the same once more",
    OURS: "CalibratedGRPOTrainer",
}
WANTED = 1.03
"""A step of ours over one of TRL's."""

PROMPTS, GROUP, PROMPT_TOKENS, LONGEST = 8, 8, 64, 64
STEPS = 1000
RESAMPLES = 2000


def trainer(name: str, layers: int, hidden: int) -> Any:
    """A contender; the model, the data, the seeds and the length of every completion are the same."""
    import datasets
    import transformers
    import trl
    from train_speed_step import STOP, Size, make_model, make_prompts, make_tokenizer, score

    from levelhead.adapters.trl_trainer import CalibratedGRPOTrainer

    tokenizer = make_tokenizer()
    texts = [tokenizer.decode(row) for row in make_prompts()]
    options = trl.GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        shuffle_dataset=False,
        max_steps=STEPS,
        per_device_train_batch_size=PROMPTS * GROUP,
        num_generations=GROUP,
        max_completion_length=LONGEST,
        generation_kwargs={"min_new_tokens": LONGEST},
        learning_rate=1e-5,
        loss_type="dapo",
        beta=0.0,
        gradient_checkpointing=False,
    )
    make: Callable[..., Any] = trl.GRPOTrainer
    if name == OURS:
        make = functools.partial(
            CalibratedGRPOTrainer, advantage="grpo", advantage_options={"eps": 1e-4}
        )
    transformers.set_seed(0)
    made = make(
        model=make_model(Size(layers, hidden)),
        reward_funcs=lambda completions, **columns: score(completions),
        args=options,
        train_dataset=datasets.Dataset.from_dict({"prompt": texts * STEPS}),
        processing_class=tokenizer,
    )
    if made.eos_token_ids != [STOP]:
        raise RuntimeError(f"another end of completions: {made.eos_token_ids}")
    return made


def serve(name: str, layers: int, hidden: int) -> None:
    """A step at each line of standard input; the answer is a line of JSON with its CPU seconds."""
    import torch
    import transformers

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes elsewhere
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    made = trainer(name, layers, hidden)
    inner = timed_methods(made)
    batches: list[float] = []
    original = made._compute_loss

    def compute(model: Any, inputs: dict[str, Any]) -> Any:
        batches.append(float(inputs["advantages"].double().square().sum()))
        return original(model, inputs)

    made._compute_loss = compute
    last: float | None = None

    class Waits(transformers.TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            nonlocal last
            now = time.process_time()
            answer: dict[str, Any] = {"ready": True}
            if last is not None:
                answer = {"step": now - last, "added": inner(), "squares": batches[-1]}
            print(json.dumps(answer), file=answers)
            if not sys.stdin.readline():
                os._exit(0)
            last = time.process_time()

    made.add_callback(Waits())
    made.train()


def timed_methods(made: Any) -> Callable[[], float]:
    """CPU seconds of our lines in the last step: our methods without those of TRL that they call."""
    import trl

    spent = {"outer": 0.0, "inner": 0.0}

    def timed(key: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent[key] += time.process_time() - start

        return run

    method = "_generate_and_score_completions"
    made._generate_and_score_completions = timed("outer", getattr(made, method))
    setattr(trl.GRPOTrainer, method, timed("inner", getattr(trl.GRPOTrainer, method)))

    def taken() -> float:
        added = spent["outer"] - spent["inner"]
        spent.update(outer=0.0, inner=0.0)
        return added

    return taken


def race(options: Sequence[str], *, rounds: int, repeats: int) -> list[dict[str, Any]]:
    """One row per contender and step, from fresh processes in each round."""
    rows: list[dict[str, Any]] = []
    for number in range(rounds):
        workers = [Worker(name, [__file__, "--serve", name, *options]) for name in NAMES]
        for worker in workers:
            worker.step()  # the first one sets things up
        for repeat in range(repeats):
            for worker in workers[:: 1 if (repeat + number) % 2 == 0 else -1]:
                found = worker.step()
                rows.append({"name": worker.name, "round": number, "repeat": repeat, **found})
        for worker in workers:
            worker.end()
        print(f"  round {number + 1} of {rounds}: {ratio(rows, OURS)[0]:.4f}", flush=True)
    return rows


def pairs(rows: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    """CPU seconds of a contender over TRL's in the same repeat of the same round."""
    stock = {(r["round"], r["repeat"]): r["step"] for r in rows if r["name"] == STOCK}
    return np.array([r["step"] / stock[r["round"], r["repeat"]] for r in rows if r["name"] == name])


def ratio(rows: Sequence[dict[str, Any]], name: str) -> tuple[float, float, float]:
    """The median of the paired ratios, and the ends of its 95% bootstrap interval."""
    found = pairs(rows, name)
    rng = np.random.default_rng(0)
    medians = np.median(found[rng.integers(0, found.size, (RESAMPLES, found.size))], axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(np.median(found)), float(low), float(high)


def same_work(rows: Sequence[dict[str, Any]]) -> float:
    """How far the sums of squared advantages of equal steps are apart, as a share."""
    stock = {(r["round"], r["repeat"]): r["squares"] for r in rows if r["name"] == STOCK}
    ours = [r for r in rows if r["name"] == OURS]
    return max(
        abs(r["squares"] / stock[r["round"], r["repeat"]] - 1.0)
        for r in ours
        if stock[r["round"], r["repeat"]]
    )


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the report says."""
    out: dict[str, Any] = {}
    for name in NAMES:
        mine = [row for row in rows if row["name"] == name]
        middle, low, high = ratio(rows, name)
        out[name] = {
            "step_s": statistics.median(row["step"] for row in mine),
            "least_s": min(row["step"] for row in mine),
            "ratio": middle,
            "low": low,
            "high": high,
            "added_ms": 1e3 * statistics.median(row["added"] for row in mine),
            "steps": len(mine),
        }
    return out


def markdown(content: dict[str, Any]) -> str:
    """The report."""
    where, found = content["machine"], content["summary"]
    versions = ", ".join(f"{k} {v}" for k, v in where["versions"].items())
    met = "met" if found[OURS]["ratio"] <= WANTED else "**missed**"
    lines = [
        "# What levelhead's trainer adds to a step of TRL",
        "",
        f"{where['date']}, {where['processor']}, one thread; {versions}. Load of the machine with "
        f"{where['cores']} cores: {content['load'][0]:.1f} before, {content['load'][1]:.1f} after.",
        "",
        f"A Qwen3 of {content['layers']} layers x {content['hidden']}, {PROMPTS} prompts of "
        f"{PROMPT_TOKENS} tokens with {GROUP} completions of {LONGEST} tokens each, one rollout and one "
        "update per step, activations kept. Ours takes the estimator that TRL has (`grpo` with "
        "`eps=1e-4`), so that rollouts and updates are the same; sums of squared advantages differ by "
        f"{content['apart']:.0e} of their size at most.",
        "",
        "| contender | CPU s per step: median | least | over TRL, paired median | 95% interval | our own "
        "lines, ms | steps |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, f in found.items():
        own = f"{f['added_ms']:.2f}" if name == OURS else ""
        lines.append(
            f"| {NAMES[name]} | {f['step_s']:.3f} | {f['least_s']:.3f} | **{f['ratio']:.4f}** | "
            f"{f['low']:.4f} to {f['high']:.4f} | {own} | {f['steps']} |"
        )
    lines += [
        "",
        "*The same once more* is TRL against itself: how far from 1 that is, is noise. *Our own lines* "
        "are timed within the step, without the methods of TRL that they call.",
        "",
        f"* A step at most {WANTED} times as long as TRL's, got {found[OURS]['ratio']:.4f}: {met}.",
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--serve", metavar="CONTENDER", choices=list(NAMES))
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes of each")
    parser.add_argument("--repeats", type=int, default=15, help="steps of each process")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=128)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        serve(arguments.serve, arguments.layers, arguments.hidden)
        return
    if arguments.quick:
        arguments.rounds, arguments.repeats = 1, 4
    options = ["--layers", str(arguments.layers), "--hidden", str(arguments.hidden)]
    before = os.getloadavg()[0]
    rows = race(options, rounds=arguments.rounds, repeats=arguments.repeats)
    content: dict[str, Any] = {
        "machine": machine(("torch", "transformers", "trl", "accelerate")),
        "layers": arguments.layers,
        "hidden": arguments.hidden,
        "load": [before, os.getloadavg()[0]],
        "apart": same_work(rows),
        "summary": summary(rows),
        "rows": rows,
    }
    report = markdown(content)
    print(report)
    if not arguments.quick:
        write("trl_overhead", content)
        (RESULTS / "trl_overhead.md").write_text(report)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
