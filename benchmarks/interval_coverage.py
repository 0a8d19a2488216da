"""Coverage and width of the intervals, by simulation from models whose calibration error is known.

Run: python benchmarks/interval_coverage.py [--full] [--jobs 2] [--replications N]

Per case and n: how often the 95% interval of `ece_interval` covers the population's binned ECE, how
often it misses below and above, its mean width, and that width over two yardsticks:
  range   97.5% - 2.5% quantile of the plug-in ECE over samples from the truth; for a calibrated
          model the 97.5% quantile alone. It says how much the plug-in itself varies.
  oracle  mean width of the test inversion that knows the shape of the miscalibration (the gaps of
          the truth times an unknown factor; for a calibrated model a common shift) and the noise,
          and lacks the size only: less than this no honest interval from the plug-in can have.
The percentile bootstrap is shown beside it. Paired: the same for the difference of two models.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import datetime
import json
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np

from levelhead.metrics.binned import bin_index
from levelhead.metrics.intervals import bootstrap, ece_interval, paired_differences

LEVEL, BINS = 0.95, 10
SIZES = (200, 1_000, 10_000)
Array = np.ndarray
Draw = Callable[[np.random.Generator, int], tuple[Array, Array]]


def skewed(rng: np.random.Generator, n: int) -> Array:
    return rng.beta(5.0, 1.3, n)


def evenly(rng: np.random.Generator, n: int) -> Array:
    return rng.random(n)


def percent(rng: np.random.Generator, n: int) -> Array:
    values = np.array([0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99])
    return rng.choice(values, n, p=[0.02, 0.05, 0.08, 0.1, 0.15, 0.2, 0.2, 0.15, 0.05])


def s_shape(c: Array) -> Array:
    odds = np.log(np.clip(c, 1e-9, 1 - 1e-9) / (1 - np.clip(c, 1e-9, 1 - 1e-9)))
    return 1 / (1 + np.exp(-0.6 * odds))


CASES: dict[
    str, tuple[Draw | Callable[[np.random.Generator, int], Array], Callable[[Array], Array]]
] = {
    "calibrated, skewed": (skewed, lambda c: c),
    "calibrated, even": (evenly, lambda c: c),
    "calibrated, percentages": (percent, lambda c: c),
    "overconfident": (skewed, lambda c: 0.45 + 0.3 * c),
    "overconfident, percentages": (percent, lambda c: c - 0.2),
    "underconfident": (skewed, lambda c: c + 0.5 * (1 - c)),
    "slightly overconfident": (skewed, lambda c: np.maximum(c - 0.03, 0.0)),
    "one bin off": (evenly, lambda c: np.where((c > 0.8) & (c <= 0.9), c - 0.3, c)),
    "upper half off": (evenly, lambda c: np.where(c > 0.5, c - 0.06, c)),
    "S-shaped": (evenly, s_shape),
    "S-shaped, skewed": (skewed, s_shape),
}
CHECKED = 200
"""Replications in which the percentile bootstrap is run too."""
SHARED = 0.6
PER_PROMPT = 4


def draw(case: str, n: int, clustered: bool, rng: np.random.Generator) -> tuple[Array, ...]:
    """Confidence, correctness and prompt of n samples."""
    confidence, truth = CASES[case]
    if not clustered:
        c = confidence(rng, n)
        return c, (rng.random(n) < truth(c)).astype(float), np.arange(n)
    prompts = n // PER_PROMPT
    # Samples of a prompt share their confidence, or draw anew; and share their luck, or do not.
    prompt = np.repeat(np.arange(prompts), PER_PROMPT)
    size = prompt.size
    c = np.where(rng.random(size) < SHARED, confidence(rng, prompts)[prompt], confidence(rng, size))
    luck = np.where(rng.random(size) < SHARED, rng.random(prompts)[prompt], rng.random(size))
    return c, (luck < truth(c)).astype(float), prompt


def population(case: str) -> tuple[Array, Array]:
    """Gaps D_b and shares of the bins of the population."""
    confidence, truth = CASES[case]
    gap, share = np.zeros(BINS), np.zeros(BINS)
    rng = np.random.default_rng(1)
    for _ in range(10):
        c = confidence(rng, 500_000)
        index = bin_index(c, BINS)
        gap += np.bincount(index, c - truth(c), BINS)
        share += np.bincount(index, minlength=BINS)
    gap = np.where(np.abs(gap) < 1e-9 * share.sum(), 0.0, gap)
    return gap / share.sum(), share / share.sum()


def plug_in(c: Array, y: Array) -> float:
    return float(np.abs(np.bincount(bin_index(c, BINS), c - y, BINS)).sum() / c.size)


def oracle_width(gap: Array, share: Array, samples: list[tuple[Array, ...]]) -> float:
    """Mean width where the direction of the gaps and the noise are known and the size is not."""
    sums = np.array([np.bincount(bin_index(c, BINS), c - y, BINS) / c.size for c, y, _ in samples])
    noise = sums - sums.mean(axis=0)
    direction = gap / np.abs(gap).sum() if gap.any() else share
    observed = np.abs(sums).sum(axis=1)
    spread = np.quantile(observed, 0.975)
    grid = np.linspace(0.0, np.abs(gap).sum() + 2.5 * spread, 400)
    ends = np.array(
        [np.quantile(np.abs(t * direction + noise).sum(axis=1), (0.025, 0.975)) for t in grid]
    )
    low = np.interp(observed, np.maximum.accumulate(ends[:, 1]), grid, left=0.0)
    high = np.interp(observed, np.maximum.accumulate(ends[:, 0]), grid)
    return float(np.mean(high - np.minimum(low, high)))


def one(case: str, n: int, clustered: bool, replications: int, n_draws: int) -> dict[str, object]:
    gap, share = population(case)
    theta = float(np.abs(gap).sum())
    rng = np.random.default_rng([n, list(CASES).index(case), int(clustered)])
    samples = [draw(case, n, clustered, rng) for _ in range(max(2000, replications))]
    observed = np.array([plug_in(c, y) for c, y, _ in samples])
    low, high, boot = np.empty(replications), np.empty(replications), np.empty((2, replications))
    for i in range(replications):
        c, y, prompt = samples[i]
        groups = prompt if clustered else None
        interval = ece_interval(c, y, clusters=groups, n_draws=n_draws, seed=i)
        low[i], high[i] = interval.low, interval.high
        if i < CHECKED:
            plain = bootstrap(c, y, ["ece"], clusters=groups, n_boot=400, seed=i)["ece"]
            boot[:, i] = plain.low, plain.high
    k = min(CHECKED, replications)
    q_low, q_high = np.quantile(observed, (0.025, 0.975))
    width = float((high - low).mean())
    return {
        "case": case,
        "clustered": clustered,
        "n": n,
        "replications": replications,
        "ece": theta,
        "plug_in_mean": float(observed.mean()),
        "coverage": float(np.mean((low <= theta) & (theta <= high))),
        "misses_below": float(np.mean(high < theta)),
        "misses_above": float(np.mean(low > theta)),
        "width": width,
        "over_range": width / float(q_high - (q_low if theta > 0 else 0.0)),
        "over_oracle": width / oracle_width(gap, share, samples[:2000]),
        "percentile_coverage": float(np.mean((boot[0, :k] <= theta) & (theta <= boot[1, :k]))),
        "percentile_width": float((boot[1, :k] - boot[0, :k]).mean()),
    }


PAIRS = (
    ("calibrated, skewed", "calibrated, skewed"),
    ("overconfident", "calibrated, skewed"),
    ("overconfident", "overconfident"),
    ("slightly overconfident", "calibrated, skewed"),
    ("overconfident", "slightly overconfident"),
)


def pair(first: str, second: str, n: int, replications: int) -> dict[str, object]:
    """Two models on the same prompts, with the same luck on each: their answers are correlated."""
    thetas = [float(np.abs(population(name)[0]).sum()) for name in (first, second)]
    truth = thetas[0] - thetas[1]
    rng = np.random.default_rng([n, 7])
    covered, below, widths, differences = 0, 0, [], []
    prompts = n // PER_PROMPT
    prompt = np.repeat(np.arange(prompts), PER_PROMPT)
    for i in range(replications):
        luck = rng.random(prompts)[prompt]
        models = []
        for name in (first, second):
            confidence, chance = CASES[name]
            c = confidence(rng, prompt.size)
            own = np.where(rng.random(prompt.size) < SHARED, luck, rng.random(prompt.size))
            models += [c, (own < chance(c)).astype(float)]
        d = paired_differences(
            *models,
            ["ece"],
            clusters_a=prompt,
            clusters_b=prompt,
            n_boot=400,
            n_permutations=2,
            seed=i,
        )["ece"]
        covered += d.low <= truth <= d.high
        below += d.high < truth
        widths.append(d.high - d.low)
        differences.append(d.difference)
    q = np.quantile(differences, (0.025, 0.975))
    return {
        "pair": f"{first} - {second}",
        "n": n,
        "replications": replications,
        "difference": truth,
        "coverage": covered / replications,
        "misses_below": below / replications,
        "width": float(np.mean(widths)),
        "over_range": float(np.mean(widths) / (q[1] - q[0])),
    }


def show(row: dict[str, object]) -> str:
    name = str(row.get("case", row.get("pair"))) + (" (clustered)" if row.get("clustered") else "")
    numbers = [
        f"{key} {row[key]:.3f}"
        for key in (
            "coverage",
            "misses_below",
            "misses_above",
            "width",
            "over_range",
            "over_oracle",
            "percentile_coverage",
        )
        if key in row
    ]
    return f"{name:50s} n={row['n']:6d}  " + "  ".join(numbers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="4,000 replications instead of 300")
    parser.add_argument("--replications", type=int)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", help="cases whose name contains this")
    parser.add_argument("--n", type=int)
    parser.add_argument("--part", choices=("all", "single", "pairs"), default="all")
    parser.add_argument("--dry", action="store_true", help="writes no file")
    arguments = parser.parse_args()
    replications = arguments.replications or (4_000 if arguments.full else 300)
    n_draws = 1_000
    sizes = (arguments.n,) if arguments.n else SIZES
    jobs: list[tuple[object, ...]] = []
    for clustered in (False, True):
        for case in CASES:
            if (not arguments.only or arguments.only in case) and arguments.part != "pairs":
                jobs += [(one, case, n, clustered, replications, n_draws) for n in sizes]
    if arguments.part != "single" and not arguments.only:
        jobs += [(pair, a, b, n, max(replications // 2, 100)) for a, b in PAIRS for n in sizes]
    rows: list[dict[str, object]] = []
    with concurrent.futures.ProcessPoolExecutor(arguments.jobs) as pool:
        for future in [pool.submit(*job) for job in jobs]:
            rows.append(future.result())
            print(show(rows[-1]), flush=True)
    if arguments.dry:
        return
    out = Path(__file__).parent / "results" / "interval_coverage.json"
    out.parent.mkdir(exist_ok=True)
    if arguments.part != "all" and out.exists():  # the other part stays as it was measured
        other = "case" if arguments.part == "pairs" else "pair"
        rows += [row for row in json.loads(out.read_text())["rows"] if other in row]
        rows.sort(key=lambda row: "pair" in row)
    report = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "level": LEVEL,
        "n_bins": BINS,
        "n_draws": n_draws,
        "full": arguments.full,
        "rows": rows,
    }
    out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {out}")


if __name__ == "__main__":
    main()
