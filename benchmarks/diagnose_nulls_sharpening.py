"""How often the verdict on sharpening is a false alarm, where the truth is known.

Run: python benchmarks/diagnose_nulls_sharpening.py [--quick] [--repeats N]

Each row is a world in which one verdict would be wrong, or right. The rule is to say SHARPEN wrongly
in at most 2.5% of the comparisons, and EXPAND likewise. Beside it stand two rules without a null:
`curves cross` calls every crossing sharpening, `any new` calls every newly solved problem expansion.
"""

from __future__ import annotations

import argparse
import datetime
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import binom

from levelhead.diagnose.sharpening import Samples, diagnose_sharpening

RESULTS = Path(__file__).parent / "results"
LEVEL = 0.025
N_BOOT = 400
Rates = tuple[np.ndarray, np.ndarray]
World = Callable[[np.random.Generator, int, int], Rates]


def unchanged(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """The same model twice."""
    q = rng.beta(0.35, 1.4, problems)
    return q, q


def unchanged_easy(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """The same model twice, on problems that are solved or not."""
    q = rng.choice([0.0, 0.02, 0.9], problems)
    return q, q


def higher_first(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """pass@1 rises on what is solved anyway and pass@n hardly: both verdicts are wrong."""
    q = rng.choice([0.0, 0.5, 0.7], problems)
    return q, np.where(q > 0.0, 0.95, 0.0)


def raised(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """Rates of 0.2 become 0.9: the base model is unlucky where a problem looks new."""
    q = rng.choice([0.0, 0.2], problems)
    return q, np.where(q > 0.0, 0.9, 0.0)


def on_the_edge(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """The base model is right once in n + 1 tries, the tuned one mostly: EXPAND is just wrong."""
    return np.full(problems, 1.0 / (n + 1)), np.full(problems, 0.9)


def raised_or_left(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """A fifth of the problems goes from 1.5 / n to 0.9, the rarer ones stay: nothing is new."""
    common = np.arange(problems) >= 0.8 * problems
    return np.where(common, 1.5, 0.5) / n, np.where(common, 0.9, 0.5 / n)


def churn(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """pass@1 rises and as many problems are lost as are new: SHARPEN is just wrong."""
    base, tuned = (rng.random(problems) < 0.7 for _ in range(2))
    return 0.5 * base, 0.9 * tuned


def lower_last(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """pass@n falls and pass@1 stays: rates 0.2 become 0.4 or 0 by a coin. SHARPEN is wrong."""
    q = np.full(problems, 0.2)
    return q, np.where(rng.random(problems) < 0.5, 0.4, 0.0)


def guessing(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """The base model says nothing on half of the problems, the tuned one guesses at 2%."""
    q = rng.choice([0.0, 0.6], problems)
    return q, np.where(q == 0.0, 0.02, q)


def raised_or_guessed(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """A third goes from 1 / (n + 1) to 0.9, the rest is guessed at 2%."""
    common = np.arange(problems) < problems / 3
    return np.where(common, 1.0 / (n + 1), 0.0), np.where(common, 0.9, 0.02)


def sharpened(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """Rates below 0.05 are lost, others raised: SHARPEN is right, and EXPAND wrong from n = 19 on."""
    q = rng.beta(0.35, 1.4, problems)
    return q, np.where(q > 0.05, q**0.35, 0.0)


def expanded(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """A tenth of the problems out of reach is solved half of the time: EXPAND is right."""
    q = rng.choice([0.0, 0.4], problems)
    return q, np.where((q == 0.0) & (rng.random(problems) < 0.1), 0.5, q)


def expanded_and_lost(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """Rates below 0.05 become 0.5 or 0, three in ten the former; others are raised."""
    q = rng.beta(0.35, 1.4, problems)
    rare = np.where(rng.random(problems) < 0.3, 0.5, 0.0)
    return q, np.where(q > 0.05, q**0.35, rare)


WORLDS: tuple[tuple[World, float, str], ...] = (
    (unchanged, 0.0, "neither"),
    (unchanged_easy, 0.0, "neither"),
    (higher_first, 0.0, "neither"),
    (raised, 0.0, "neither"),
    (on_the_edge, 0.0, "neither"),
    (raised_or_left, 0.0, "neither"),
    (churn, 0.0, "not SHARPEN"),
    (lower_last, 0.0, "not SHARPEN"),
    (guessing, 0.02, "not EXPAND"),
    (raised_or_guessed, 0.02, "not EXPAND"),
    (guessing, 0.0, "EXPAND without the guess rate"),
    (sharpened, 0.0, "SHARPEN"),
    (expanded, 0.0, "EXPAND"),
    (expanded_and_lost, 0.0, "EXPAND"),
)
SIZES = ((60, 8), (200, 32))


def one(world: World, guess_rate: float, problems: int, n: int, repeats: int) -> dict[str, float]:
    found = {"SHARPEN": 0, "EXPAND": 0, "INCONCLUSIVE": 0, "cross": 0, "new": 0}
    for i in range(repeats):
        rng = np.random.default_rng([i, problems, n])
        base, tuned = (rng.binomial(n, q) for q in world(rng, problems, n))
        place = np.arange(n)
        result = diagnose_sharpening(
            Samples.from_matrix(place < base[:, None], name="base"),
            Samples.from_matrix(place < tuned[:, None], name="tuned"),
            guess_rate=guess_rate,
            n_boot=N_BOOT,
            seed=i,
        )
        found[result.verdict] += 1
        found["cross"] += result.crossing is not None and result.first.value > 0
        found["new"] += int(result.table[0, 1] > 0)
    return {name: count / repeats for name, count in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--quick", action="store_true", help="60 repeats")
    given = parser.parse_args()
    repeats = 60 if given.quick else given.repeats
    most = int(binom.ppf(0.999, repeats, LEVEL)) / repeats
    lines = [
        "# False alarms of `levelhead diagnose sharpening`",
        "",
        f"{repeats} repeats, {datetime.date.today().isoformat()}, {N_BOOT} resamples each. "
        "`python benchmarks/diagnose_nulls_sharpening.py`",
        "",
        f"A wrong verdict may come in at most {LEVEL:.1%} of the comparisons; by chance a rule at that "
        f"level shows up to {most:.1%} in {repeats} repeats (99.9% quantile).",
        "",
        "| world | right | problems | n | SHARPEN | EXPAND | curves cross | any new |",
        "|---|---|---|---|---|---|---|---|",
    ]
    worst = 0.0
    for world, guess_rate, right in WORLDS:
        for problems, n in SIZES:
            rates = one(world, guess_rate, problems, n, repeats)
            name = world.__name__.replace("_", " ") + (
                f", guess rate {guess_rate}" if guess_rate else ""
            )
            lines.append(
                f"| {name} | {right} | {problems} | {n} | {rates['SHARPEN']:.1%} | "
                f"{rates['EXPAND']:.1%} | {rates['cross']:.1%} | {rates['new']:.1%} |"
            )
            print(lines[-1], flush=True)
            if right in ("neither", "not SHARPEN"):
                worst = max(worst, rates["SHARPEN"])
            if right in ("neither", "not EXPAND"):
                worst = max(worst, rates["EXPAND"])
    kept = "kept" if worst <= most else "NOT KEPT"
    lines += ["", f"Largest share of wrong verdicts: {worst:.1%}. The level is {kept}.", ""]
    lines += [
        "- " + f"{world.__name__.replace('_', ' ')}: {(world.__doc__ or '').strip()}"
        for world in dict.fromkeys(world for world, _, _ in WORLDS)
    ]
    RESULTS.mkdir(exist_ok=True)
    if not given.quick:
        (RESULTS / "diagnose_nulls_sharpening.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines[-10:]))
    if not math.isfinite(worst) or worst > most:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
