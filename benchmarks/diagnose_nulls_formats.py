"""False alarms of the formats' verdicts on runs and pairs where nothing was selected.

One command: `python benchmarks/diagnose_nulls_formats.py [--quick]`. It writes
`benchmarks/results/diagnose_nulls_formats.md`.
"""

from __future__ import annotations

import argparse
import dataclasses
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


@dataclasses.dataclass(frozen=True)
class Layout:
    """A tabular run with one group of 8 an update, as it is logged.

    Attributes:
        name: what it is.
        points: logged steps.
        gap: updates between them.
        samples: of a logged step.
        eta: learning rate of the logits.
        momentum: of the updates.
        assumed: by the diagnosis.
        pull: by how much an update raises the second logit besides; 0 is drift alone.
    """

    name: str
    points: int
    gap: int
    samples: int
    eta: float
    momentum: float = 0.0
    assumed: float = 0.9
    pull: float = 0.0


LAYOUTS = [
    Layout("drift alone", 24, 4, 256, 4.0, 0.0, 0.0),
    Layout("drift alone", 24, 4, 256, 4.0, 0.9, 0.9),
    Layout("drift alone", 60, 1, 64, 4.0, 0.9, 0.9),
    Layout("drift alone", 40, 2, 8, 4.0, 0.0, 0.0),
    Layout("drift alone", 12, 8, 64, 4.0, 0.0, 0.9),
    Layout("selection", 24, 2, 256, 1.0, 0.0, 0.0, 0.13),
    Layout("selection", 24, 10, 256, 0.5, 0.9, 0.9, 0.026),
    Layout("selection", 24, 2, 256, 1.0, 0.9, 0.9, 0.13),
    Layout("selection", 120, 1, 64, 0.5, 0.9, 0.9, 0.05),
]


def run(rng: np.random.Generator, layout: Layout) -> np.ndarray:
    """(points, 3) counts."""
    logit, counts = np.log(START), np.zeros((layout.points, 3), np.int64)
    moving = np.zeros(3)
    for t in range(layout.points):
        counts[t] = rng.multinomial(layout.samples, softmax(logit))
        for _ in range(layout.gap):
            k = rng.multinomial(8, softmax(logit))
            right = rng.binomial(k, 0.5)
            step = layout.eta / 8 * (right - k * right.sum() / 8)
            moving = layout.momentum * moving + (1.0 - layout.momentum) * step
            logit = logit + moving + layout.pull * np.array([0.0, 1.0, 0.0])
    return counts


def runs(rng: np.random.Generator, repeats: int) -> list[str]:
    """A row of the table for each layout."""
    lines: list[str] = []
    for layout in LAYOUTS:
        n = repeats if layout.pull == 0.0 else max(repeats // 20, 20)
        alarms = low = given = 0
        rate = drift_rate(batch_size=8, group_size=8, learning_rate=layout.eta)
        at = np.repeat(np.arange(layout.points) * layout.gap, layout.samples)
        for i in range(n):
            counts = run(rng, layout)
            names = list(np.repeat(np.tile(["a", "b", "c"], layout.points), counts.ravel()))
            found = diagnose_formats(
                names, at, momentum=layout.assumed, runs=400, level=LEVEL, seed=i
            )
            alarms += found.verdict == "COLLAPSE BEYOND DRIFT"
            low += found.drift is not None and found.drift.p <= LEVEL
            exact = diagnose_formats(
                names, at, momentum=layout.assumed, runs=400, rate=rate, seed=i
            )
            given += exact.verdict == "COLLAPSE BEYOND DRIFT"
        lines.append(
            f"| {layout.name} | {layout.points} | {layout.gap} | {layout.samples} | "
            f"{layout.momentum}, {layout.assumed} | {n} | {alarms / n:.3f} | {low / n:.3f} | "
            f"{given / n:.3f} |"
        )
        print(lines[-1], flush=True)
    return lines


PAIRS = [
    ("4 samples of 100 prompts, prompts alike", 4, 4, 100.0),
    ("4 samples of 100 prompts, each prompt its own format", 4, 4, 0.3),
    ("4 samples before, 64 after, prompts alike", 4, 64, 100.0),
    ("64 samples before, 4 after, prompts alike", 64, 4, 100.0),
    ("64 samples before, 4 after, prompts differ", 64, 4, 1.0),
]


def pairs(rng: np.random.Generator, repeats: int) -> list[str]:
    """A row for each layout of two sets of one model, every other time of other prompts."""
    lines: list[str] = []
    for name, n, m, alike in PAIRS:
        any_p = number_p = alarms = 0
        for i in range(repeats):
            shares = rng.dirichlet(START * alike, 100)
            other = shares if i % 2 else rng.dirichlet(START * alike, 100)
            sets = [
                [str(k) for p in own for k in rng.choice(3, size, p=p)]
                for own, size in ((shares, n), (other, m))
            ]
            ids = [str(j // n) for j in range(100 * n)]
            others = [f"{'' if i % 2 else 'x'}{j // m}" for j in range(100 * m)]
            found = compare_formats(
                *sets, base_prompts=ids, tuned_prompts=others, level=LEVEL, seed=i
            )
            test = found.homogeneity
            any_p += test is not None and test.p_any <= LEVEL
            number_p += test is not None and test.p_number <= LEVEL
            alarms += found.verdict == "COLLAPSE BEYOND NOISE"
        row = (any_p / repeats, number_p / repeats, alarms / repeats)
        lines.append(f"| {name} | {row[0]:.3f} | {row[1]:.3f} | {row[2]:.3f} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Simulate, print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="60 repeats instead of 500")
    repeats = 60 if parser.parse_args().quick else 500
    rng = np.random.default_rng(0)
    lines = [
        "# Formats: false alarms and power",
        "",
        f"{repeats} repeats of every null; the stated level is {LEVEL}. Runs are tabular, in groups "
        "of 8. Momentum is that of the run, and what the diagnosis assumes, with a given rate too.",
        "",
        "| what | points | updates apart | samples | momentum | repeats | beyond drift | p <= .05 | "
        "beyond drift, rate given |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        *runs(rng, repeats),
        "",
        "| two sets of one model | p of any difference <= .05 | p of fewer formats <= .05 | collapse |",
        "|---|---:|---:|---:|",
        *pairs(rng, repeats),
    ]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
