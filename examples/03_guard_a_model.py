"""A model that is 90% sure of everything: which of its answers can be given at 10% errors?

    python examples/03_guard_a_model.py

The model is a simulated one, right on 63% of 2,000 questions, which answers each of them five times.
What it says of itself is worth little; whether its answers agree is worth a lot. The guard learns
that, answers only where errors stay rare, and is judged on questions that it has never seen.

Expected: ECE from 0.281 to 0.023, AUROC from 0.608 to 0.966; 68.0% of the new questions are answered
and 4.6% of these answers are wrong, which keeps the promise. Two seconds on one core.
"""

from __future__ import annotations

import numpy as np

from levelhead.guard.guard import evaluate, fit_guard, set_threshold
from levelhead.records import Predictions

SAMPLES = 5


def simulate(n: int, seed: int) -> Predictions:
    """Five answers to each of n questions; an easy question gets the right one more often."""
    rng = np.random.default_rng(seed)
    ease = np.repeat(rng.beta(1.0, 0.6, n), SAMPLES)
    right = rng.random(ease.size) < ease
    stated = np.clip(0.88 + 0.04 * ease + 0.04 * rng.normal(size=ease.size), 0.0, 1.0)
    wrong = rng.integers(1, 10, ease.size)
    return Predictions.from_arrays(
        "answer",
        stated,
        right,
        model="sure of itself",
        prompt_id=[f"{seed}: question {i // SAMPLES}" for i in range(ease.size)],
        columns={"answer": np.where(right, 0, wrong).astype(str).tolist()},
    )


def main() -> None:
    """Fit, promise, and check the promise."""
    labelled, new = simulate(2000, seed=0), simulate(1000, seed=1)
    guard = fit_guard(labelled)
    for effect in guard.verifier.explain()[:3]:
        print(f"the verifier looks at {effect.name}: {effect.weight:+.2f}")
    guard = set_threshold(guard, labelled, max_error=0.1, delta=0.05)
    print(guard.policy.promise if guard.policy else "no policy")
    found = evaluate(guard, new)
    for quality in (found.stated, found.verified):
        if quality is not None:
            print(f"{quality.name:9s} ECE {quality.ece:.3f}, AUROC {quality.auroc:.3f}")
    print(f"{found.verdict}: {found.sentence}")


if __name__ == "__main__":
    main()
