"""How often the verdict on sharpening is a false alarm, where the truth is known.

Run: python benchmarks/diagnose_nulls_sharpening.py [--quick] [--repeats N]

Each row is a world in which one verdict would be wrong, or right. The rule is to say SHARPEN wrongly
in at most 2.5% of the comparisons, and EXPAND likewise. Beside it stand two rules without a null:
`curves cross` calls every crossing sharpening, `any new` calls every newly solved problem expansion.
Worlds in which the data break what the rule takes for granted are listed apart, as limits.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import binom

from levelhead.diagnose.sharpening import Samples, diagnose_sharpening

RESULTS = Path(__file__).parent / "results"
LEVEL = 0.025
N_BOOT = 100
Rates = tuple[np.ndarray, np.ndarray]
Right = tuple[np.ndarray, np.ndarray]
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


def few_noisy(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """The same model twice; one problem in a hundred has a rate of 1/2, the others 0 or 1."""
    q = np.where(rng.random(problems) < 0.01, 0.5, rng.integers(2, size=problems))
    return q, q


def one_in_a_hundred(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """pass@1 stays: one in a hundred falls from 1 to 0, 15% of 3 / n to 0, and the others rise."""
    rare = min(3.0 / n, 0.3)
    rise = (0.01 + 0.15 * rare) / 0.84
    kind = rng.choice(3, problems, p=[0.84, 0.01, 0.15])
    return np.array([0.5, 1.0, rare])[kind], np.array([0.5 + rise, 0.0, 0.0])[kind]


def easy(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """The same model twice, mostly right or wrong."""
    q = rng.beta(0.5, 0.25, problems)
    return q, q


def families(rng: np.random.Generator, problems: int, n: int) -> Rates:
    """As `lower last`, but ten problems of a kind share the coin."""
    q = np.full(problems, 0.2)
    return q, np.repeat(np.where(rng.random(problems // 10) < 0.5, 0.4, 0.0), 10)


def independent(rng: np.random.Generator, rates: Rates, n: int) -> Right:
    """Each sample by itself."""
    base, tuned = (rng.random((q.size, n)) < q[:, None] for q in rates)
    return base, tuned


def in_fours(rng: np.random.Generator, rates: Rates, n: int) -> Right:
    """Each sample four times in a row."""
    base, tuned = (np.repeat(r, 4, axis=1) for r in independent(rng, rates, n // 4))
    return base, tuned


def repeated(rng: np.random.Generator, rates: Rates, n: int) -> Right:
    """Each problem stands there five times with the same samples."""
    some = (rates[0][::5], rates[1][::5])
    base, tuned = (np.repeat(r, 5, axis=0) for r in independent(rng, some, n))
    return base, tuned


def chosen(rng: np.random.Generator, rates: Rates, n: int) -> Right:
    """Only problems that these samples of the base model solve sometimes and not always."""
    base, tuned = independent(rng, rates, n)
    keep = base.any(axis=1) & ~base.all(axis=1)
    return base[keep], tuned[keep]


def chosen_unsolved(rng: np.random.Generator, rates: Rates, n: int) -> Right:
    """Only problems that no sample of the base model solves."""
    base, tuned = independent(rng, rates, n)
    keep = ~base.any(axis=1)
    return base[keep], tuned[keep]


SMALL, MIDDLE = (60, 8), (200, 32)
LIMIT = "limit: "


@dataclasses.dataclass(frozen=True)
class Row:
    """A world, what is right in it, and how it is sampled."""

    world: World
    right: str
    guess_rate: float = 0.0
    sizes: tuple[tuple[int, int], ...] = (SMALL, MIDDLE)
    draw: Callable[[np.random.Generator, Rates, int], Right] = independent

    @property
    def name(self) -> str:
        name = self.world.__name__.replace("_", " ")
        name += f", guess rate {self.guess_rate}" if self.guess_rate else ""
        how = self.draw.__name__.replace("_", " ")
        return name if self.draw is independent else f"{name}, {how}"


ROWS = (
    Row(unchanged, "neither"),
    Row(unchanged_easy, "neither"),
    Row(few_noisy, "neither", sizes=(SMALL, MIDDLE, (1000, 64))),
    Row(unchanged, "neither", sizes=(MIDDLE,), draw=in_fours),
    Row(raised, "neither", sizes=(MIDDLE,), draw=in_fours),
    Row(higher_first, "neither"),
    Row(raised, "neither"),
    Row(on_the_edge, "neither"),
    Row(raised_or_left, "neither"),
    Row(churn, "not SHARPEN"),
    Row(lower_last, "not SHARPEN"),
    Row(one_in_a_hundred, "not SHARPEN", sizes=(SMALL, MIDDLE, (1000, 8), (1000, 64))),
    Row(guessing, "not EXPAND", 0.02),
    Row(raised_or_guessed, "not EXPAND", 0.02),
    Row(guessing, "EXPAND without the guess rate"),
    Row(sharpened, "SHARPEN"),
    Row(expanded, "EXPAND"),
    Row(expanded_and_lost, "EXPAND"),
    Row(unchanged, LIMIT + "neither", sizes=(MIDDLE,), draw=repeated),
    Row(one_in_a_hundred, LIMIT + "not SHARPEN", sizes=((60, 512), (100, 64))),
    Row(families, LIMIT + "not SHARPEN", sizes=(MIDDLE,)),
    Row(easy, LIMIT + "neither", sizes=((500, 8),), draw=chosen),
    Row(unchanged, LIMIT + "neither", sizes=((500, 8),), draw=chosen_unsolved),
)


def one(row: Row, problems: int, n: int, repeats: int) -> dict[str, float]:
    found = {"SHARPEN": 0, "EXPAND": 0, "INCONCLUSIVE": 0, "cross": 0, "new": 0}
    for i in range(repeats):
        rng = np.random.default_rng([i, problems, n])
        base, tuned = row.draw(rng, row.world(rng, problems, n), n)
        result = diagnose_sharpening(
            Samples.from_matrix(base, name="base"),
            Samples.from_matrix(tuned, name="tuned"),
            guess_rate=row.guess_rate,
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
    for row in ROWS:
        for problems, n in row.sizes:
            rates = one(row, problems, n, repeats)
            lines.append(
                f"| {row.name} | {row.right} | {problems} | {n} | {rates['SHARPEN']:.1%} | "
                f"{rates['EXPAND']:.1%} | {rates['cross']:.1%} | {rates['new']:.1%} |"
            )
            print(lines[-1], flush=True)
            if row.right in ("neither", "not SHARPEN"):
                worst = max(worst, rates["SHARPEN"])
            if row.right in ("neither", "not EXPAND"):
                worst = max(worst, rates["EXPAND"])
    kept = "kept" if worst <= most else "NOT KEPT"
    lines += [
        "",
        f"Largest share of wrong verdicts: {worst:.1%}. The level is {kept}, limits apart.",
        "",
    ]
    lines += [
        "- " + f"{world.__name__.replace('_', ' ')}: {(world.__doc__ or '').strip()}"
        for world in dict.fromkeys(one for row in ROWS for one in (row.world, row.draw))
    ]
    RESULTS.mkdir(exist_ok=True)
    if not given.quick:
        (RESULTS / "diagnose_nulls_sharpening.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines[-10:]))
    if not math.isfinite(worst) or worst > most:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
