"""How many rollouts until the embedded model is calibrated: exact answers beside RLOO; writes
train_rollouts.{json,md}.

Every run is a training run as `levelhead train` makes it, evaluated every few steps on all held-out
prompts with one sample each, from the same random numbers every time. First one seed is trained at
several learning rates, then all seeds at the recipe's rate and at the best one of each contender.

    python benchmarks/train_rollouts.py               # an hour of CPU time; Ctrl-C keeps what is done
    python benchmarks/train_rollouts.py --keep        # go on with what an earlier call has left
    python benchmarks/train_rollouts.py --quick       # one seed, one rate, few steps; writes nothing
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
import math
import multiprocessing
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from harness import RESULTS, machine, one_thread, write
from rich.progress import track

from levelhead.tasks import make_task
from levelhead.train import evaluation, model
from levelhead.train.build import Run, build
from levelhead.train.config import Recipe, load
from levelhead.train.experience import EVALUATION, drawn, text_of

NAME = "train_rollouts"
ECE, LEARNED_ECE, LEARNED_AUROC = 0.03, 0.05, 0.65
GOALS: dict[str, Callable[[dict[str, float]], bool]] = {
    "calibrated": lambda found: found["ece"] <= ECE,
    "learned": lambda found: found["ece"] <= LEARNED_ECE and found["auroc"] >= LEARNED_AUROC,
}
"""What has to hold at two evaluations in a row; the first of them counts."""
KEPT = ("ece", "ece_null", "auroc", "brier", "format_rate", "overconfidence")
DRAWS = 100
SWEEP_SEED = 0
WANTED = 3.0
"""Times fewer rollouts than the best RLOO."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """A contender."""

    name: str
    estimator: str
    group_size: int


EXACT = tuple(Arm(f"rb_exact, G = {g}", "rb_exact", g) for g in (1, 2))
SAMPLED = tuple(Arm(f"rloo, G = {g}", "rloo", g) for g in (2, 4, 8))
ARMS = (*EXACT, *SAMPLED)


@dataclasses.dataclass(frozen=True)
class Job:
    """One training run."""

    arm: Arm
    lr: float
    seed: int
    steps: int
    schedule: int
    every: int
    changes: tuple[str, ...]
    until: tuple[str, ...]
    folder: str

    def recipe(self) -> Recipe:
        """What it does."""
        return load(
            self.arm.estimator,
            [
                f"rollout.group_size={self.arm.group_size}",
                f"optimizer.lr={self.lr}",
                f"seed={self.seed}",
                f"steps={self.schedule}",
                "model.device=cpu",
                *self.changes,
                "model.from_scratch=null",
                f"model.path={self.folder}",
            ],
        )

    @property
    def key(self) -> tuple[Any, ...]:
        """Tells it from the others."""
        return (self.arm.name, self.lr, self.seed, self.steps, self.every, self.changes)


def worker() -> None:
    """Of a process: one thread, and Ctrl-C is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def make_model(changes: Sequence[str]) -> str:
    """Make the embedded model that every run begins with; its folder."""
    recipe = load(EXACT[0].estimator, changes)
    return str(model.load(recipe.model, task=make_task(recipe.task), seed=recipe.seed).folder)


def train(job: Job) -> dict[str, Any]:
    """Train until the goals are reached, or to the last step; the curve."""
    began = time.process_time()
    run = build(job.recipe())
    rollouts = 0.0
    curve = [{"step": 0, "rollouts": 0.0, **evaluate(run)}]
    for step in range(job.steps):
        rollouts += run.trainer.step(step)["rollouts"]
        if (step + 1) % job.every == 0:
            curve.append({"step": step + 1, "rollouts": rollouts, **evaluate(run)})
            if all(reached(curve, goal) is not None for goal in job.until):
                break
    return {
        "arm": job.arm.name,
        "lr": job.lr,
        "seed": job.seed,
        "steps": job.steps,
        "every": job.every,
        "changes": list(job.changes),
        **{goal: reached(curve, goal) for goal in GOALS},
        "cpu_seconds": time.process_time() - began,
        "curve": curve,
    }


def evaluate(run: Run) -> dict[str, float]:
    """One sample of every held-out prompt, from the same random numbers every time."""
    parts, data = run.parts, run.evaluation
    n, longest = len(data.prompts), parts.sampling.max_new_tokens
    rollouts = parts.sampler.sample(
        data.tokens,
        group_size=1,
        sampling=parts.sampling,
        uniforms=drawn(data.seed, EVALUATION, np.arange(n), 1, longest),
    )
    decode = text_of(run.loaded.tokenizer)
    texts = [decode(completion) for completion in rollouts.completions]
    found = evaluation.evaluate(
        run.task, data.prompts, texts, model_name="policy", n_draws=DRAWS
    ).metrics
    return {name: found[name] for name in KEPT}


def reached(curve: Sequence[dict[str, Any]], goal: str) -> float | None:
    """Rollouts at the first of two evaluations in a row at which the goal holds."""
    holds = GOALS[goal]
    for now, then in itertools.pairwise(curve):
        if holds(now) and holds(then):
            return now["rollouts"]
    return None


class Study:
    """Runs jobs in parallel and keeps what they came to."""

    def __init__(self, workers: int, rows: list[dict[str, Any]]) -> None:
        self.workers, self.rows, self.interrupted = workers, rows, False

    def run(self, jobs: Sequence[Job], text: str) -> None:
        """Those that are not done yet; Ctrl-C ends it, and what is done stays."""
        done = {
            (r["arm"], r["lr"], r["seed"], r["steps"], r["every"], tuple(r["changes"]))
            for r in self.rows
        }
        open_jobs = [job for job in dict.fromkeys(jobs) if job.key not in done]
        for row in self._results(open_jobs, text):
            self.rows.append(row)

    def _results(self, jobs: Sequence[Job], text: str) -> Iterator[dict[str, Any]]:
        if self.interrupted or not jobs:
            return
        context = multiprocessing.get_context("spawn")
        with context.Pool(self.workers, initializer=worker) as pool:
            found = pool.imap_unordered(train, jobs)
            quiet = not sys.stderr.isatty()
            try:
                yield from track(found, description=text, total=len(jobs), disable=quiet)
            except KeyboardInterrupt:
                self.interrupted = True
                print("interrupted; this is what was done", file=sys.stderr)


def typical(rows: Sequence[dict[str, Any]], arm: str, lr: float, goal: str) -> dict[str, Any]:
    """Median and range over seeds of the rollouts until a goal; a run that missed it counts as inf."""
    mine = [row for row in rows if row["arm"] == arm and row["lr"] == lr]
    found = [math.inf if row[goal] is None else row[goal] for row in mine]
    if not found:
        return {"n": 0, "median": math.nan, "least": math.nan, "most": math.nan, "missed": 0}
    return {
        "n": len(found),
        "median": statistics.median(found),
        "least": min(found),
        "most": max(found),
        "missed": sum(math.isinf(f) for f in found),
    }


def best_rates(rows: Sequence[dict[str, Any]], rates: Sequence[float]) -> dict[str, float]:
    """By contender the rate with the fewest rollouts at the seed of the sweep, by the stricter goal."""
    mine = [row for row in rows if row["seed"] == SWEEP_SEED]

    def cost(arm: str, lr: float) -> tuple[float, ...]:
        found = [typical(mine, arm, lr, goal)["median"] for goal in ("learned", "calibrated")]
        return tuple(math.inf if math.isnan(f) else f for f in (sum(found), *found))

    return {arm.name: min(rates, key=lambda lr: cost(arm.name, lr)) for arm in ARMS}


def ratios(
    rows: Sequence[dict[str, Any]], rates: dict[str, float], goal: str
) -> dict[str, Any] | None:
    """Rollouts of the best RLOO over those of the best rb_exact, each the one of the least median."""
    medians = {arm.name: typical(rows, arm.name, rates[arm.name], goal)["median"] for arm in ARMS}
    known = {name: median for name, median in medians.items() if math.isfinite(median)}
    ours, theirs = (
        min(
            (arm.name for arm in arms if arm.name in known),
            key=lambda name: known[name],
            default=None,
        )
        for arms in (EXACT, SAMPLED)
    )
    if ours is None or theirs is None:
        return None
    by_seed: dict[int, dict[str, float]] = {}
    for row in rows:
        if row["arm"] in (ours, theirs) and row["lr"] == rates[row["arm"]]:
            value = math.inf if row[goal] is None else row[goal]
            by_seed.setdefault(row["seed"], {})[row["arm"]] = value
    paired = [
        pair[theirs] / pair[ours]
        for pair in by_seed.values()
        if len(pair) == 2 and math.isfinite(pair[ours])
    ]
    return {
        "ours": ours,
        "theirs": theirs,
        "medians": known[theirs] / known[ours],
        "least": min(paired, default=math.nan),
        "paired": statistics.median(paired) if paired else math.nan,
        "most": max(paired, default=math.nan),
    }


def number(value: float | None) -> str:
    """Rollouts, or that they were not enough."""
    if value is None or math.isinf(value):
        return "not reached"
    return "-" if math.isnan(value) else f"{value:,.0f}"


def sweep_table(rows: Sequence[dict[str, Any]], rates: Sequence[float]) -> list[str]:
    """One line per contender and goal, one column per rate."""
    lines = [
        "| contender | until | " + " | ".join(f"{lr:g}" for lr in rates) + " |",
        "|---" * (2 + len(rates)) + "|",
    ]
    mine = [row for row in rows if row["seed"] == SWEEP_SEED]
    for arm in ARMS:
        for goal in GOALS:
            cells = [number(typical(mine, arm.name, lr, goal)["median"]) for lr in rates]
            lines.append(f"| {arm.name} | {goal} | {' | '.join(cells)} |")
    return [*lines, ""]


def main_table(rows: Sequence[dict[str, Any]], rates: dict[str, float]) -> list[str]:
    """One line per contender, both goals, and the ratios."""
    lines = [
        "| contender | rate | runs | calibrated: median | range | learned: median | range | "
        "ECE, AUROC at the end, medians |",
        "|---" * 8 + "|",
    ]
    for arm in ARMS:
        lr = rates[arm.name]
        a, b = (typical(rows, arm.name, lr, goal) for goal in GOALS)
        if not a["n"]:
            continue
        last = [r["curve"][-1] for r in rows if r["arm"] == arm.name and r["lr"] == lr]
        ece, auroc = (statistics.median(found[name] for found in last) for name in ("ece", "auroc"))
        lines.append(
            f"| {arm.name} | {lr:g} | {a['n']} | **{number(a['median'])}** | {number(a['least'])} to "
            f"{number(a['most'])} | **{number(b['median'])}** | {number(b['least'])} to "
            f"{number(b['most'])} | {ece:.3f}, {auroc:.3f} |"
        )
    lines.append("")
    for goal in GOALS:
        found = ratios(rows, rates, goal)
        if found is None:
            lines.append(f"* {goal}: no ratio, a median was not reached.")
            continue
        verdict = "met" if found["medians"] >= WANTED else "**missed**"
        lines.append(
            f"* {goal}: *{found['theirs']}* needs {found['medians']:.1f} times the rollouts of "
            f"*{found['ours']}* (medians, each the best of its kind); seed by seed "
            f"{found['least']:.1f} to {found['most']:.1f}, median {found['paired']:.1f}. "
            f"{WANTED:g} times wanted: {verdict}."
        )
    return [*lines, ""]


def markdown(content: dict[str, Any]) -> str:
    """The report."""
    where, rows = content["machine"], content["rows"]
    versions = ", ".join(f"{k} {v}" for k, v in where["versions"].items())
    common = {arm.name: float(content["lr"]) for arm in ARMS}
    best = best_rates(rows, content["rates"])
    seconds = sum(row["cpu_seconds"] for row in rows)
    lines = [
        "# Rollouts until the embedded model is calibrated",
        "",
        f"{where['date']}, {where['processor']}, one thread a run; {versions}",
        "",
        f"The survey task and the embedded model of the recipes `rb_exact` and `rloo`, which differ in "
        f"the estimator alone: {content['prompts']} prompts a step, log reward, a learning rate that "
        f"falls linearly to 0 over {content['schedule']} steps, of which at most {content['steps']} are "
        f"taken. A rollout is one completion. Evaluated every {content['every']} steps with one "
        f"sample of each of {content['held_out']} held-out prompts. All runs begin with the same model; "
        f"equal seeds have the same prompts in every step and the same random numbers in every "
        f"evaluation. {len(rows)} runs, "
        f"{seconds:,.0f} CPU seconds." + ("" if content["complete"] else " **Interrupted.**"),
        "",
        f"* *calibrated*: ECE at most {ECE} at two evaluations in a row; the first of them counts. A "
        f"model that states the base rate whatever it is asked is calibrated as well, hence also",
        f"* *learned*: ECE at most {LEARNED_ECE} and AUROC of single samples at least "
        f"{LEARNED_AUROC}, both at two evaluations in a row.",
        "",
        f"G is the number of completions a prompt. What a calibrated model shows by chance on so "
        f"many prompts is an ECE of {content['chance']:.3f} (mean over the last evaluations).",
        "",
        "## At the recipe's learning rate",
        "",
        *main_table(rows, common),
    ]
    if best != common:
        lines += [
            "## Each at its own best learning rate",
            "",
            *main_table(rows, best),
        ]
    lines += [f"## Learning rates, seed {SWEEP_SEED}", "", *sweep_table(rows, content["rates"])]
    return "\n".join(lines)


def command_line() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--keep", action="store_true", help="go on with the rows in the results")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="of a run, at most; else the recipe's")
    parser.add_argument("--every", type=int, default=4, help="steps between evaluations")
    parser.add_argument("--lr", type=float, nargs="*", default=(1e-3, 4e-3), help="of the sweep")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--until", choices=GOALS, help="end a run at this goal; else at both")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    return parser.parse_args()


def kept() -> list[dict[str, Any]]:
    """The rows that an earlier call has left."""
    path = RESULTS / f"{NAME}.json"
    return json.loads(path.read_text())["rows"] if path.exists() else []


def run_all(
    study: Study,
    make: Callable[[Arm, float, int], Job],
    rates: Sequence[float],
    common: float,
    seeds: int,
) -> None:
    """One seed at every rate; then all seeds at the recipe's rate and at each one's best."""
    sweep = [make(arm, lr, SWEEP_SEED) for arm in reversed(ARMS) for lr in rates]
    study.run(sweep, "rates")
    best = best_rates(study.rows, rates)
    study.run(
        [
            make(arm, lr, seed)
            for seed in range(seeds)
            for arm in reversed(ARMS)
            for lr in (common, best[arm.name])
        ],
        "seeds",
    )


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the report says."""
    recipe = load(EXACT[0].estimator, arguments.changes)
    steps, seeds = (8, 1) if arguments.quick else (arguments.steps or recipe.steps, arguments.seeds)
    common = recipe.optimizer.lr
    rates = [common] if arguments.quick else sorted({common, *arguments.lr})
    make = functools.partial(
        Job,
        steps=steps,
        schedule=recipe.steps,
        every=arguments.every,
        changes=tuple(arguments.changes),
        until=(arguments.until,) if arguments.until else tuple(GOALS),
        folder=make_model(arguments.changes),
    )
    study = Study(arguments.workers, kept() if arguments.keep else [])
    run_all(study, make, rates, common, seeds)
    ends = [row["curve"][-1]["ece_null"] for row in study.rows]
    return {
        "machine": machine(("torch", "transformers", "tokenizers")),
        "complete": not study.interrupted,
        "lr": common,
        "rates": rates,
        "prompts": recipe.rollout.prompts,
        "steps": steps,
        "schedule": recipe.steps,
        "every": arguments.every,
        "held_out": len(make_task(recipe.task).evaluation),
        "chance": statistics.mean(ends) if ends else math.nan,
        "rows": study.rows,
    }


def main() -> None:
    """Measure, print and write."""
    arguments = command_line()
    one_thread()
    content = measure(arguments)
    text = markdown(content)
    print(text)
    if content["rows"] and not arguments.quick:
        write(NAME, content)
        (RESULTS / f"{NAME}.md").write_text(text)


if __name__ == "__main__":
    main()
