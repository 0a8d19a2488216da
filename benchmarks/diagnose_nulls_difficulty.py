"""How often the diagnosis of difficulty gives a false alarm, and how often it finds what is there.

    python benchmarks/diagnose_nulls_difficulty.py [--quick]

Made models answer 200 prompts 16 times each. Right answers are flagged with a chance that differs from
prompt to prompt, and in some worlds grows with difficulty. Beside the verdict stands Fisher's exact test
on the same right answers, which takes them as independent and the prompts as alike.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path

import numpy as np
from scipy import stats

from levelhead._write import write_text
from levelhead.diagnose.difficulty import Traces, regression_suite, shortcut_test

PROMPTS, SAMPLES, RARE = 200, 16, 0.2
RESULT = Path(__file__).parent / "results" / "diagnose_nulls_difficulty.md"


@dataclasses.dataclass(frozen=True)
class World:
    """What differs between the made models."""

    name: str
    gain: float = 0.0  # added to every pass rate
    harder: float = 0.0  # how much more often a prompt that is never solved is flagged
    excess: float = 0.0  # added to the flags of the tuned model
    spread: float = 3.0  # standard deviation of the logit of a prompt's flags
    work: bool = False  # whether the usual work decides, not repetition
    copies: bool = False  # whether a model repeats one answer to a prompt


WORLDS = (
    World("unchanged"),
    World("unchanged, prompts flagged alike", spread=0.0),
    World("solves more", gain=0.15),
    World("solves more, hard prompts flagged more", gain=0.15, harder=0.4),
    World("unchanged, much work or little by chance", work=True),
    World("as many flags, one answer repeated to each prompt", gain=0.15, copies=True),
    World("learned: 15 points more", gain=0.15, excess=0.15),
    World("learned: 30 points more", gain=0.15, excess=0.3),
)


def one_run(world: World, rng: np.random.Generator, seed: int) -> tuple[bool, bool, bool]:
    """(SHORTCUTS, NO SHORTCUTS, Fisher below 5%)."""
    rates = rng.beta(0.4, 1.2, PROMPTS)
    logit = -2.0 + world.spread * rng.normal(size=PROMPTS) * 0.5
    flagged = np.clip(1 / (1 + np.exp(-logit)) + world.harder * (1 - rates) ** 4, 0, 1)
    passed = [rng.binomial(SAMPLES, p) for p in (rates, np.minimum(rates + world.gain, 1.0))]
    rare = passed[0] <= RARE * SAMPLES
    prompt = np.concatenate([np.repeat(np.arange(PROMPTS)[rare], c[rare]) for c in passed])
    tuned = np.repeat([False, True], [c[rare].sum() for c in passed])
    chance = np.clip(flagged[prompt] + world.excess * tuned, 0, 1)
    repeats = rng.random(prompt.size) < chance
    if world.copies:
        said = rng.random((2, PROMPTS)) < flagged
        repeats = said[tuned.astype(int), prompt]
    operations = np.full(prompt.size, 9.0)
    if world.work:
        repeats[:] = False
        operations = np.where(rng.random(prompt.size) < 0.3, 2.0, 12.0)
    yes = np.ones(prompt.size, np.bool_)
    traces = Traces(repeats, operations, yes, ~yes)
    found = shortcut_test(traces, prompt, tuned, n_permutations=499, seed=seed)
    usual = np.full(PROMPTS, np.nan)
    for j in np.unique(prompt[~tuned]):
        usual[j] = np.median(operations[~tuned & (prompt == j)])
    shown = traces.flagged(usual[prompt])
    table = [[(shown & who).sum(), (~shown & who).sum()] for who in (tuned, ~tuned)]
    fisher = float(np.asarray(stats.fisher_exact(table, alternative="greater"))[1])
    return found.verdict == "SHORTCUTS", found.verdict == "NO SHORTCUTS", bool(fisher <= 0.05)


def at_margin(rng: np.random.Generator, seed: int) -> bool:
    """NO SHORTCUTS although the excess is the margin."""
    prompt, tuned = np.repeat(np.arange(150), 4), np.tile([False, False, True, True], 150)
    repeats = rng.random(prompt.size) < np.where(tuned, 0.11, 0.01)
    yes = np.ones(prompt.size, np.bool_)
    traces = Traces(repeats, np.full(prompt.size, 9.0), yes, ~yes)
    return (
        shortcut_test(traces, prompt, tuned, n_permutations=99, seed=seed).verdict == "NO SHORTCUTS"
    )


def suite_misses(
    rng: np.random.Generator, seed: int, size: int
) -> tuple[bool, bool, float, int] | None:
    """Whether interval and p-value miss no change, the change and the prompts, for an unchanged model."""
    rates = rng.beta(1.0, 1.0, size)
    names = [f"p{i}" for i in range(size) for _ in range(8)]
    draws = [(rng.random((size, 8)) < rates[:, None]).astype(float).ravel() for _ in range(2)]
    found = regression_suite(draws[0], names, draws[1], names, n_permutations=499, seed=seed)
    if found is None or len(found.prompts) < 2:
        return None
    change = found.change
    missed = not change.low <= 0.0 <= change.high
    return missed, change.p_value <= 0.05, change.difference, len(found.prompts)


def main() -> None:
    parser = argparse.ArgumentParser(description="False alarms of the diagnosis of difficulty.")
    parser.add_argument("--quick", action="store_true", help="50 repeats instead of 500, no file")
    repeats = 50 if parser.parse_args().quick else 500
    start, rng = time.process_time(), np.random.default_rng(7)
    lines = [
        f"Shares of {repeats} runs; levels: SHORTCUTS 5%, NO SHORTCUTS 2.5% at the margin.",
        "",
        "| made models | SHORTCUTS | NO SHORTCUTS | Fisher's test, pooled |",
        "|---|---|---|---|",
    ]
    for world in WORLDS:
        shares = np.mean([one_run(world, rng, i) for i in range(repeats)], axis=0)
        lines.append(f"| {world.name} | " + " | ".join(f"{100 * s:.1f}%" for s in shares) + " |")
        print(lines[-1], flush=True)
    wrong = np.mean([at_margin(rng, i) for i in range(repeats)])
    lines += [
        "",
        f"An excess of 10 points, the margin, is called NO SHORTCUTS in {100 * wrong:.1f}%.",
        "",
        "What was solved before, by an unchanged model; the level is 5%:",
        "",
        "| prompts in the suite, on average | interval misses 0 | p at most 5% | mean change |",
        "|---|---|---|---|",
    ]
    for size in (1000, 200, 40):
        runs = [suite_misses(rng, i, size) for i in range(repeats)]
        found = np.array([run for run in runs if run is not None], dtype=float).mean(axis=0)
        row = (
            f"| {found[3]:.0f} | {100 * found[0]:.1f}% | {100 * found[1]:.1f}% | {found[2]:+.4f} |"
        )
        lines.append(row)
    lines += [
        "",
        f"`python benchmarks/diagnose_nulls_difficulty.py`, {time.process_time() - start:.0f} s of CPU.",
    ]
    text = "# False alarms of `levelhead diagnose difficulty`\n\n" + "\n".join(lines) + "\n"
    print(text)
    if repeats == 500:
        write_text(RESULT, text)


if __name__ == "__main__":
    main()
