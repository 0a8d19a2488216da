"""pass@k over all k at once, beside the published loop over problems.

Run: python benchmarks/pass_at_k.py [--problems 10000] [--samples 1024] [--repeats 5]

`ours, from samples` starts from the table of right and wrong samples, `ours, from counts` from the
number of right ones; both give the mean curve over every k from 1 to n. `published loop` is the
formula of arXiv:2107.03374 as it is printed there, problem by problem and k by k. It is timed on the
powers of two for all problems, beside ours on the same k; over every k it is timed for 50 problems
and multiplied up. The values are the means over the curve, and agree.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
from harness import RESULTS, machine, one_thread, race, table, write

from levelhead.diagnose.sharpening import pass_at_k, pass_at_k_curve

FEW = 50


def published(n: int, c: int, k: int) -> float:
    """1 - C(n - c, k) / C(n, k) as a product."""
    if n - c < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


def loop(n: int, counts: np.ndarray, ks: np.ndarray) -> np.ndarray:
    return np.array([np.mean([published(n, int(c), int(k)) for c in counts]) for k in ks])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problems", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    one_thread()
    problems, n = given.problems, given.samples
    rng = np.random.default_rng(0)
    rate = rng.beta(0.35, 1.4, problems)
    correct = np.stack([rng.random(n) < p for p in rate])
    counts = correct.sum(axis=1)
    total = np.full(problems, n)
    powers = 2 ** np.arange(int(np.log2(n)) + 1)
    every = np.arange(1, n + 1)

    def from_samples() -> float:
        return float(np.mean(pass_at_k_curve(total, correct.sum(axis=1))))

    def from_counts() -> float:
        return float(np.mean(pass_at_k_curve(total, counts)))

    def by_problem() -> float:
        return float(pass_at_k(total, counts).mean())

    all_k = race(
        {
            "ours, from samples": from_samples,
            "ours, from counts": from_counts,
            "ours, a curve for each problem": by_problem,
        },
        reference="ours, from samples",
        repeats=given.repeats,
    )
    some_k = race(
        {
            "ours, from counts": lambda: float(np.mean(pass_at_k_curve(total, counts, powers))),
            "published loop": lambda: float(np.mean(loop(n, counts, powers))),
        },
        reference="ours, from counts",
        repeats=min(given.repeats, 3),
    )
    start = time.process_time()
    theirs = loop(n, counts[:FEW], every)
    spent = (time.process_time() - start) * problems / FEW
    apart = float(np.abs(theirs - pass_at_k_curve(total[:FEW], counts[:FEW])).max())
    text = "\n".join(
        [
            "# pass@k",
            "",
            f"{problems:,} problems, {n:,} samples each. `python benchmarks/pass_at_k.py`",
            "",
            table(f"every k from 1 to {n:,}", all_k),
            table(f"{powers.size} powers of two", some_k),
            f"The published loop over every k, from {FEW} problems: {spent:,.0f} s of CPU time. "
            f"Largest difference of the two curves on these: {apart:.1e}.",
            "",
            "```json",
            json.dumps(machine(), indent=2),
            "```",
            "",
        ]
    )
    (RESULTS / "pass_at_k.md").write_text(text)
    rows = {"all_k": [vars(t) for t in all_k], "some_k": [vars(t) for t in some_k]}
    write("pass_at_k", {**machine(), **rows, "loop_every_k_s": spent, "largest_difference": apart})
    print(text)


if __name__ == "__main__":
    main()
