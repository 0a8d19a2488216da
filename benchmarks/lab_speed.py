"""The lab against a plain torch loop of the published algorithm: CPU time per run, and results.

Both train on the paper's world with the same rollouts, updates and learning rate, in one process with
one thread. The schedule is shortened: ten times the learning rate passes through the same phases (a
broad policy, one that has nearly decided, one that says one thing) in a tenth of the updates. The torch
loop does the same work in every rollout, whatever the policy, so its time per rollout is all there is
to know about it; the lab is slowest while policies are broad, which a row of its own shows.

    python benchmarks/lab_speed.py            # about ten minutes, nearly all of it torch
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from harness import RESULTS, machine, one_thread, write

PAPER_LR = 3e-3
SHORT_LR = 3e-2
SEEDS = 10
FULL = 50_000
ROWS = (
    ("grpo", 1, 10),
    ("grpo", 10, 10),
    ("grpo_no_std", 1, 10),
    ("ppo", 1, 1),
    ("ppo", 10, 1),
)


def ours(name: str, updates: int, size: int, n_updates: int, lr: float, seeds: int) -> Any:
    """CPU seconds per run and the policies."""
    from levelhead.lab.simulate import Run, simulate
    from levelhead.lab.world import paper_world

    options = {"eps": 1e-5} if name == "grpo" else {}
    runs = [
        Run(name, seed, size, updates, n_updates=n_updates, lr=lr, **options)
        for seed in range(seeds)
    ]
    start = time.process_time()
    found = simulate(paper_world(), runs)
    return (time.process_time() - start) / seeds, [trained.policy for trained in found]


def compared(row: tuple[str, int, int], n_updates: int) -> dict[str, Any]:
    """One row: both contenders on the shortened schedule, and the broad phase alone."""
    import published_loop

    from levelhead.lab.evaluate import mean_prediction, scores
    from levelhead.lab.world import paper_world

    name, updates, size = row
    world = paper_world()
    seconds, policies = ours(name, updates, size, n_updates, SHORT_LR, SEEDS)
    settings = {"updates_per_rollout": updates, "group_size": size, "lr": SHORT_LR, "seed": 0}
    loop = published_loop.train(world, name, n_rollouts=n_updates // updates, **settings)
    quick = published_loop.train(world, name, n_rollouts=10, gather=True, **settings)
    broad, _ = ours(name, updates, size, 500, PAPER_LR, 3)
    full, last = ours(name, updates, size, FULL, PAPER_LR, 1)
    means = np.array([mean_prediction(policy, world.values) for policy in policies])
    theirs = mean_prediction(loop.policy, world.values)
    eces = [scores(world, mean[world.category]).ece for mean in means]
    quarter = max(1, loop.seconds.size // 4)
    return {
        "estimator": name,
        "updates_per_rollout": updates,
        "group_size": size,
        "n_updates": n_updates,
        "lab_s": seconds,
        "torch_s": float(loop.seconds.sum()),
        "ratio": float(loop.seconds.sum() / seconds),
        "torch_ms_per_rollout_first_and_last_quarter": [
            1e3 * float(part.mean()) for part in (loop.seconds[:quarter], loop.seconds[-quarter:])
        ],
        "torch_gather_ms_per_rollout": 1e3 * float(np.median(quick.seconds)),
        "ratio_to_gather": float(np.median(quick.seconds) * loop.seconds.size / seconds),
        "broad_ratio": float(np.median(loop.seconds) * 500 / updates / broad),
        "full_lab_s": full,
        "full_torch_s_extrapolated": float(loop.seconds.mean() * FULL / updates),
        "full_ratio": float(loop.seconds.mean() * FULL / updates / full),
        "full_lab_ece": scores(world, mean_prediction(last[0], world.values)[world.category]).ece,
        "lab_ece_mean": float(np.mean(eces)),
        "lab_ece_sd": float(np.std(eces, ddof=1)),
        "torch_ece": scores(world, theirs[world.category]).ece,
        "largest_category_difference": float(np.abs(means.mean(axis=0) - theirs).max()),
        "categories_within_range_of_seeds": int(
            ((theirs >= means.min(axis=0) - 5e-3) & (theirs <= means.max(axis=0) + 5e-3)).sum()
        ),
    }


def markdown(rows: list[dict[str, Any]], where: dict[str, Any]) -> str:
    """The report."""
    versions = ", ".join(f"{k} {v}" for k, v in where["versions"].items())
    n = rows[0]["n_updates"]
    lines = [
        "# Speed of the lab",
        "",
        f"{where['date']}, {where['processor']}, one thread; {versions}",
        "",
        f"CPU seconds per run, {n:,} updates at lr {SHORT_LR} on the paper's world; ours is the mean of",
        f"{SEEDS} runs advanced together, torch's one run of `published_loop.py`.",
        "",
        "| estimator | updates per rollout | G | lab s | torch s | ratio | ratio to `gather` | "
        "broad phase alone |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['estimator']} | {r['updates_per_rollout']} | {r['group_size']} | {r['lab_s']:.2f} | "
        f"{r['torch_s']:.0f} | **{r['ratio']:.0f}** | {r['ratio_to_gather']:.0f} | "
        f"{r['broad_ratio']:.0f} |"
        for r in rows
    ]
    lines += [
        "",
        f"At full size ({FULL:,} updates at lr {PAPER_LR}): ours measured, one run by itself; torch's",
        "extrapolated from its time per rollout, which does not depend on the policy.",
        "",
        "| estimator | updates per rollout | lab s | torch s | ratio | torch ms per rollout, first and "
        "last quarter |",
        "|---|---|---|---|---|---|",
    ]
    for r in rows:
        first, last = r["torch_ms_per_rollout_first_and_last_quarter"]
        lines.append(
            f"| {r['estimator']} | {r['updates_per_rollout']} | {r['full_lab_s']:.1f} | "
            f"{r['full_torch_s_extrapolated']:.0f} | **{r['full_ratio']:.0f}** | "
            f"{first:.1f}, {last:.1f} |"
        )
    lines += [
        "",
        "Results after the shortened schedule: ECE of the mean prediction, and in how many of the 20",
        f"categories torch's mean prediction lies within the range of our {SEEDS} seeds (0.005 wider);",
        f"of {SEEDS + 1} equal runs, one is an extreme in {2 / (SEEDS + 1):.0%} of the categories.",
        "",
        "| estimator | updates per rollout | lab ECE, mean and sd over seeds | torch ECE | categories |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['estimator']} | {r['updates_per_rollout']} | {r['lab_ece_mean']:.4f} +- "
        f"{r['lab_ece_sd']:.4f} | {r['torch_ece']:.4f} | "
        f"{r['categories_within_range_of_seeds']} of 20 |"
        for r in rows
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--rows", type=int, nargs="*", default=range(len(ROWS)))
    arguments = parser.parse_args()
    one_thread()
    rows = []
    for i in arguments.rows:
        rows.append(compared(ROWS[i], arguments.updates))
        print(rows[-1], flush=True)
    where = machine(("torch",))
    write("lab_speed", {"machine": where, "rows": rows})
    text = markdown(rows, where)
    (RESULTS / "lab_speed.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
