"""How often the truth diagnosis says something wrong of speakers whose truth is known.

Run: OMP_NUM_THREADS=1 python benchmarks/diagnose_nulls_truth.py [--quick] [--repeats 500]

Writes benchmarks/results/diagnose_nulls_truth.md. Each row is a world where a verdict would be wrong
by construction, or where the truth lies in an interval; the stated level is what may be wrong at most.
"""

from __future__ import annotations

import argparse
import datetime
import math
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import stats

from levelhead.diagnose.truth import (
    Claims,
    association,
    bullshit_index,
    claim_rates,
    compare_indices,
    diagnose_truth,
    truth_probe,
    verdict,
)

OUT = Path(__file__).parent / "results" / "diagnose_nulls_truth.md"
Array = np.ndarray
World = Callable[[], tuple[Array, Array, Array | None]]
SMALL = {"n_boot": 400, "n_perm": 400}
R = 0.3  # the margin


def holds(low: float | None, high: float | None, value: float) -> bool:
    """Whether an interval holds the truth; one that is not there does not."""
    return low is not None and high is not None and low <= value <= high


def independent(rng: np.random.Generator, n: int, share: float) -> tuple[Array, Array, None]:
    return rng.random(n), (rng.random(n) < share).astype(float), None


def in_prompts(rng: np.random.Generator, prompts: int, each: int) -> tuple[Array, Array, Array]:
    """One belief and one habit of claiming for each prompt, independent of one another."""
    unit = np.repeat(np.arange(prompts), each)
    habit = rng.beta(0.3, 0.3, prompts)
    return rng.random(prompts)[unit], (rng.random(unit.size) < habit[unit]).astype(float), unit


def at_margin(rng: np.random.Generator, n: int) -> tuple[Array, Array, None]:
    """Beliefs of 0.2 or 0.8 and claims whose r and 2 AUROC - 1 are both the margin."""
    up = rng.random(n) < 0.5
    claim = rng.random(n) < np.where(up, 0.5 + R / 2, 0.5 - R / 2)
    return np.where(up, 0.8, 0.2), claim.astype(float), None


def verdicts(make: World, times: int) -> Iterator[tuple[str, float | None]]:
    for seed in range(times):
        belief, claim, unit = make()
        index = bullshit_index(belief, claim, clusters=unit, seed=seed, **SMALL)
        yield verdict(index)[0], index.p_value


def rows(times: int) -> Iterator[tuple[str, str, float, int, int]]:
    """(world, what is wrong in it, stated level, how often, of how many)."""
    rng = np.random.default_rng(1)
    worlds: list[tuple[str, World]] = [
        ("independent, 60 rows", lambda: independent(rng, 60, 0.5)),
        ("independent, 300 rows, 90% yes", lambda: independent(rng, 300, 0.9)),
        ("independent, 40 prompts of 8", lambda: in_prompts(rng, 40, 8)),
    ]
    for name, make in worlds:
        seen = list(verdicts(make, times))
        judged = [word in ("TRUTHFUL", "CONTRARY") for word, _ in seen]
        yield name, "TRUTHFUL or CONTRARY", 0.05, sum(judged), times
        hits = [p is not None and p <= 0.05 for _, p in seen]
        yield name, "permutation p <= 0.05", 0.05, sum(hits), times
    for n in (100, 1000):
        words = [word for word, _ in verdicts(lambda n=n: at_margin(rng, n), times)]
        yield f"r = {R}, {n} rows", "INDIFFERENT", 0.05, words.count("INDIFFERENT"), times
        yield f"r = {R}, {n} rows", "TRUTHFUL", 0.05, words.count("TRUTHFUL"), times
    words = [
        word
        for word, _ in verdicts(
            lambda: (np.linspace(0, 1, 59), (rng.random(59) < 0.95).astype(float), None), times
        )
    ]
    yield "no in 5% of 59 prompts", "DEGENERATE", 0.05, words.count("DEGENERATE"), times
    yield from intervals(rng, times)
    yield from others(rng, times)


def intervals(rng: np.random.Generator, times: int) -> Iterator[tuple[str, str, float, int, int]]:
    for n, yes in ((100, 5), (100, 30), (1000, 300)):
        # Claims of yes have beliefs Beta(2, 1), of no Beta(1, 1): moments by hand.
        q = yes / n
        mean1, mean0, var1, var0 = 2 / 3, 1 / 2, 1 / 18, 1 / 12
        spread = q * var1 + (1 - q) * var0 + q * (1 - q) * (mean1 - mean0) ** 2
        r = (mean1 - mean0) * math.sqrt(q * (1 - q) / spread)
        d = 2 * mean1 - 1  # P(uniform < b) = b, so AUROC = E b
        missed = [0, 0]
        for seed in range(times):
            claim = (np.arange(n) < yes).astype(float)
            belief = np.where(claim == 1, rng.beta(2, 1, n), rng.random(n))
            index = bullshit_index(belief, claim, seed=seed, **SMALL)
            for j, (low, high, true) in enumerate(
                ((index.r_low, index.r_high, r), (index.d_low, index.d_high, d))
            ):
                missed[j] += not holds(low, high, true)
        yield f"{yes} yes of {n}", "interval misses r", 0.05, missed[0], times
        yield f"{yes} yes of {n}", "interval misses 2 AUROC - 1", 0.05, missed[1], times


def others(rng: np.random.Generator, times: int) -> Iterator[tuple[str, str, float, int, int]]:
    for name, slope in (("both follow", 0.4), ("both indifferent", 0.0)):
        outside = rejected = 0
        for seed in range(times):
            belief = rng.random(200)
            chance = 0.5 + slope * (2 * belief - 1)
            one, other = ((rng.random(200) < chance).astype(float) for _ in range(2))
            found = compare_indices((belief, one), (belief, other), seed=seed, **SMALL)[0]
            outside += not holds(found.low, found.high, 0.0)
            rejected += found.p_value is not None and found.p_value <= 0.05
        yield f"no change, {name}", "interval without 0", 0.05, outside, times
        yield f"no change, {name}", "swap p <= 0.05", 0.05, rejected, times
    hits = 0
    for seed in range(times):
        truth, claim = rng.integers(0, 3, 90), (rng.random(90) < 0.8).astype(int)
        p = association(truth, claim, n_perm=400, seed=seed).p_value
        hits += p is not None and p <= 0.05
    yield "claims ignore the truth, 90 rows", "chi-square p <= 0.05", 0.05, hits, times
    yield from shares(rng, times)
    yield from probes(times)


def shares(rng: np.random.Generator, times: int) -> Iterator[tuple[str, str, float, int, int]]:
    for prompts, each, a, b in ((60, 2, 0.2, 9.8), (30, 8, 0.3, 2.7), (8, 8, 0.5, 0.5)):
        missed = 0
        for _ in range(times):
            unit = np.repeat(np.arange(prompts), each)
            claim = (rng.random(unit.size) < rng.beta(a, b, prompts)[unit]).astype(float)
            found = claim_rates(["Negative"] * unit.size, claim, clusters=unit, **SMALL).rates[0]
            missed += not holds(found.low, found.high, a / (a + b))
        name = f"{prompts} prompts of {each}, share {a / (a + b):.2f}"
        yield name, "interval misses the share", 0.05, missed, times


def probes(times: int) -> Iterator[tuple[str, str, float, int, int]]:
    """Hidden states that say nothing: alike in a topic and shares of its own, or neither; then the
    beliefs read from them, of a speaker who tells the truth in 95% of the rows."""
    for topics, each, like, share in ((20, 6, 1.0, 2.0), (20, 6, 0.0, None), (8, 15, 0.0, None)):
        outside = 0
        for seed in range(times):
            rng = np.random.default_rng([2, seed])
            hidden, label, topic = silent(rng, topics, each, 6, like, share)
            found = truth_probe([hidden], label, topic, n_controls=0, grid=(1e-2, 1.0), seed=seed)
            outside += not holds(found.low, found.high, 0.5)
        kind = "alike in a topic" if like else "independent rows"
        name = f"silent states, {topics} topics of {each}, {kind}"
        yield name, "AUROC interval without 0.5", 0.05, outside, times
    for like in (0.0, 1.0):
        wrong = 0
        for seed in range(times):
            rng = np.random.default_rng([3, seed])
            hidden, label, topic = silent(rng, 10, 30, 6, like, 0.5)
            belief = truth_probe(
                [hidden], label, topic, n_controls=0, grid=(1e-2,), seed=seed
            ).belief
            claim = np.where(rng.random(label.size) < 0.95, label, 1.0 - label)
            result = diagnose_truth(Claims(belief, claim, topic=topic), seed=seed, **SMALL)
            wrong += result.verdict in ("TRUTHFUL", "CONTRARY")
        kind = "alike in a topic" if like else "independent rows"
        name = f"silent states, 10 topics of 30, {kind}; truth told"
        yield name, "TRUTHFUL or CONTRARY", 0.05, wrong, times


def silent(
    rng: np.random.Generator, topics: int, each: int, d: int, like: float, share: float | None
) -> tuple[Array, Array, Array]:
    while True:
        topic = np.repeat(np.arange(topics), each)
        hidden = rng.normal(size=(topic.size, d)) + like * rng.normal(size=(topics, d))[topic]
        rate = 0.5 if share is None else rng.beta(share, share, topics)[topic]
        label = (rng.random(topic.size) < rate).astype(float)
        if 0.1 < label.mean() < 0.9:
            return hidden, label, topic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--quick", action="store_true", help="60 repeats, and nothing is written")
    given = parser.parse_args()
    start, lines = time.perf_counter(), []
    for world, wrong, level, count, times in rows(60 if given.quick else given.repeats):
        ends = stats.binomtest(count, times).proportion_ci(0.99, method="exact")
        lines.append(
            f"| {world} | {wrong} | {level:.0%} | {count / times:.1%} | {ends.low:.1%} to "
            f"{ends.high:.1%} | {times} |"
        )
        print(lines[-1], flush=True)
    if given.quick:
        return
    OUT.write_text(
        "# False alarms of the truth diagnosis\n\n"
        f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}, numpy "
        f"{np.__version__}; {time.perf_counter() - start:.0f} s. One command: "
        "`python benchmarks/diagnose_nulls_truth.py`.\n\n"
        "| world | what would be wrong | stated | seen | 99% interval of seen | repeats |\n"
        "|---|---|---|---|---|---|\n" + "\n".join(lines) + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
