"""False alarms of the formats' verdicts on runs and pairs where nothing was selected.

One command: `python benchmarks/diagnose_nulls_formats.py [--quick]`. It writes
`benchmarks/results/diagnose_nulls_formats.md`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from levelhead.diagnose.formats import compare_formats, diagnose_formats, drift_rate

RESULT = Path(__file__).parent / "results" / "diagnose_nulls_formats.md"
START = np.array([0.5, 0.3, 0.2])
LEVEL = 0.05


def softmax(logit: np.ndarray) -> np.ndarray:
    """Shares of logits."""
    e = np.exp(logit - logit.max())
    return e / e.sum()


def run(
    rng: np.random.Generator, batch: int, rate: float, pull: float, steps: int, updates: int
) -> np.ndarray:
    """A tabular run with one group a step, as it is logged: (steps, 3) counts."""
    logit, counts = np.log(START), np.zeros((steps, 3), np.int64)
    for t in range(steps):
        for _ in range(updates):
            k = rng.multinomial(batch, softmax(logit))
            right = rng.binomial(k, np.clip(0.5 + pull * np.array([-1.0, 1.0, 0.0]), 0, 1))
            logit = logit + rate / batch * (right - k * right.sum() / batch)
        counts[t] = rng.multinomial(256, softmax(logit))
    return counts


def main() -> None:
    """Simulate, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="60 repeats instead of 500")
    repeats = 60 if parser.parse_args().quick else 500
    rng = np.random.default_rng(0)
    lines = [
        "# Formats: false alarms and power",
        "",
        f"{repeats} repeats each; the stated level is {LEVEL}. "
        "A run has 24 logged steps, 2 updates apart, with 256 samples.",
        "",
        "| what | batch | rate | verdict beyond drift | p of N_eff <= .05 | the same, rate given |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    settings = [(8, 2.0, 0.0), (8, 6.0, 0.0)]
    for batch, rate, pull in [*settings, (256, 2.0, 0.3), (64, 2.0, 0.3)]:
        n = repeats if pull == 0.0 else max(repeats // 10, 20)
        alarms = low = given = 0
        for i in range(n):
            counts = run(rng, batch, rate, pull, 24, 2)
            names = np.repeat(np.tile(["a", "b", "c"], 24), counts.ravel())
            at = np.repeat(np.arange(24) * 2, 256)
            found = diagnose_formats(list(names), at, runs=400, level=LEVEL, seed=i)
            alarms += found.verdict == "COLLAPSE BEYOND DRIFT"
            own = drift_rate(batch_size=batch, group_size=batch, learning_rate=rate)
            exact = diagnose_formats(list(names), at, runs=400, rate=own, seed=i)
            given += exact.drift is not None and exact.drift.p_number <= LEVEL
            low += found.drift is not None and found.drift.p_number <= LEVEL
        what = "drift alone" if pull == 0.0 else f"selection {pull}, {n} repeats"
        lines.append(
            f"| {what} | {batch} | {rate} | {alarms / n:.3f} | {low / n:.3f} | {given / n:.3f} |"
        )
        print(lines[-1], flush=True)
    lines += [
        "",
        "| two sets of one model | p of any difference <= .05 | p of fewer formats <= .05 |",
    ]
    lines += ["|---|---:|---:|"]
    for alike in (1.0, 0.2):
        any_p = number_p = 0
        for i in range(repeats):
            shares = rng.dirichlet(
                START / alike * 1.0 + (100.0 if alike == 1.0 else 0.0) * START, 100
            )
            sets = [[str(k) for p in shares for k in rng.choice(3, 4, p=p)] for _ in (0, 1)]
            prompts = [str(j // 4) for j in range(400)]
            other = prompts if i % 2 else [f"x{p}" for p in prompts]
            if not i % 2:
                fresh = rng.dirichlet(START / alike + (100.0 if alike == 1.0 else 0.0) * START, 100)
                sets[1] = [str(k) for p in fresh for k in rng.choice(3, 4, p=p)]
            test = compare_formats(
                *sets, base_prompts=prompts, tuned_prompts=other, level=LEVEL, seed=i
            ).homogeneity
            any_p += test is not None and test.p_any <= LEVEL
            number_p += test is not None and test.p_number <= LEVEL
        what = "prompts alike" if alike == 1.0 else "prompts that differ, each with its own format"
        lines.append(f"| {what} | {any_p / repeats:.3f} | {number_p / repeats:.3f} |")
        print(lines[-1], flush=True)
    if not RESULT.parent.exists():
        RESULT.parent.mkdir()
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
