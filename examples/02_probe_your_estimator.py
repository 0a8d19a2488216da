"""Does your advantage estimator keep a policy honest? Three candidates, answered exactly.

    python examples/02_probe_your_estimator.py

Expected: `centered` is calibrated, `per_group_scale` is overconfident, and the policy of `winner_only`
is a lottery, whose samples are extreme although their mean is right. About a second on one core.
"""

from __future__ import annotations

import numpy as np

from levelhead.probe import probe

Array = np.ndarray


def centered(rewards: Array, groups: Array) -> Array:
    """A reward minus the mean of its group."""
    index = np.unique(groups, return_inverse=True)[1]
    return rewards - (np.bincount(index, rewards) / np.bincount(index))[index]


def per_group_scale(rewards: Array, groups: Array) -> Array:
    """The same, divided by the largest of its group."""
    advantages = centered(rewards, groups)
    index = np.unique(groups, return_inverse=True)[1]
    largest = np.zeros(index.max() + 1)
    np.maximum.at(largest, index, np.abs(advantages))
    return advantages / (largest[index] + 1e-8)


def winner_only(rewards: Array, groups: Array) -> Array:
    """Plus for the best of a group, minus for the others."""
    index = np.unique(groups, return_inverse=True)[1]
    best = np.full(index.max() + 1, -np.inf)
    np.maximum.at(best, index, rewards)
    won = (rewards == best[index]).astype(float)
    shared = won / np.bincount(index, won)[index]
    return shared - 1.0 / np.bincount(index)[index]


def main() -> None:
    """Probe each and say what was found."""
    for estimator in (centered, per_group_scale, winner_only):
        print(f"{estimator.__name__}: {probe(estimator).headline}")


if __name__ == "__main__":
    main()
