"""Estimators with a known fault, as users write them, and what must be said about each.

Groups are adjacent and of size `G`. Each is a slip that a reader of the code could overlook.
"""

from __future__ import annotations

import numpy as np

G = 8
EPS = 1e-6

Array = np.ndarray


def rows(rewards: Array) -> Array:
    return rewards.reshape(-1, G)


def centered(rewards: Array, groups: Array) -> Array:
    r = rows(rewards)
    return (r - r.mean(1, keepdims=True)).ravel()


def per_group(rewards: Array, groups: Array) -> Array:
    r = rows(rewards)
    return (centered(rewards, groups).reshape(r.shape) / (r.std(1, keepdims=True) + EPS)).ravel()


def per_group_ddof1(rewards: Array, groups: Array) -> Array:
    r = rows(rewards)
    return (rows(centered(rewards, groups)) / (r.std(1, ddof=1, keepdims=True) + EPS)).ravel()


def wrong_axis_spread(rewards: Array, groups: Array) -> Array:
    r = rows(rewards)
    return ((r - r.mean(1, keepdims=True)) / (r.std(0, keepdims=True) + EPS)).ravel()


def wrong_axis(rewards: Array, groups: Array) -> Array:
    r = rows(rewards)
    return ((r - r.mean(0)) / (r.std(0) + EPS)).ravel()


def leaking_baseline(rewards: Array, groups: Array) -> Array:
    return rewards - rewards.mean()


def neighbors_baseline(rewards: Array, groups: Array) -> Array:
    r = rows(rewards)
    return (r - np.roll(r.mean(1), 1)[:, None]).ravel()


def twice(rewards: Array, groups: Array) -> Array:
    a = per_group(rewards, groups)
    return (a - a.mean()) / (a.std() + EPS)


def batch_spread(rewards: Array, groups: Array) -> Array:
    return centered(rewards, groups) / (rewards.std() + EPS)


def wrong_sign(rewards: Array, groups: Array) -> Array:
    return -centered(rewards, groups)


def no_baseline(rewards: Array, groups: Array) -> Array:
    return rewards


def by_rank(rewards: Array, groups: Array) -> Array:
    r = rows(rewards)
    below = (r[:, :, None] > r[:, None, :]).sum(2) + 0.5 * (r[:, :, None] == r[:, None, :]).sum(2)
    return (below - below.mean(1, keepdims=True)).ravel()


def best_only(rewards: Array, groups: Array) -> Array:
    best = (rows(rewards) == rows(rewards).max(1, keepdims=True)).astype(float)
    return (best / best.sum(1, keepdims=True) - 1 / G).ravel()


def cut_off(rewards: Array, groups: Array) -> Array:
    return np.clip(centered(rewards, groups), -1, 1)


def variance(rewards: Array, groups: Array) -> Array:
    r = rows(rewards)
    return (rows(centered(rewards, groups)) / (r.var(1, ddof=1, keepdims=True) + EPS)).ravel()


def nan_for_equal(rewards: Array, groups: Array) -> Array:
    r = rows(rewards)
    return ((r - r.mean(1, keepdims=True)) / r.std(1, keepdims=True)).ravel()


def single_precision(rewards: Array, groups: Array) -> Array:
    return centered(rewards, groups).astype(np.float32)


def one_too_few(rewards: Array, groups: Array) -> Array:
    return centered(rewards, groups)[:-1]


class Unhappy(Exception):
    pass


def raises_always(rewards: Array, groups: Array) -> Array:
    raise Unhappy("not today")


def raises_for_one_group(rewards: Array, groups: Array) -> Array:
    if np.unique(groups).size == 1:
        raise Unhappy("a batch needs two prompts")
    return centered(rewards, groups)


def writes(rewards: Array, groups: Array) -> Array:
    rewards -= np.repeat(rows(rewards).mean(1), G)
    return rewards.copy()


def nothing(rewards: Array, groups: Array) -> Array:
    return np.zeros_like(rewards)


def previous_sample(rewards: Array, groups: Array) -> Array:
    return (rows(rewards) - np.roll(rows(rewards), 1, axis=1)).ravel()


def previous_of_all(rewards: Array, groups: Array) -> Array:
    return rewards - np.roll(rewards, 1)


def root_of_spread(rewards: Array, groups: Array) -> Array:
    r = rows(rewards)
    return (rows(centered(rewards, groups)) / np.sqrt(r.std(1, keepdims=True) + EPS)).ravel()


def signs(rewards: Array, groups: Array) -> Array:
    return np.sign(centered(rewards, groups))


def no_bad_samples(rewards: Array, groups: Array) -> Array:
    return np.maximum(centered(rewards, groups), 0)


def half_of_bad(rewards: Array, groups: Array) -> Array:
    a = centered(rewards, groups)
    return np.where(a > 0, a, 0.5 * a)


def chatty(rewards: Array, groups: Array) -> Array:
    print("rewards", rewards)
    return centered(rewards, groups)


def leaves(rewards: Array, groups: Array) -> Array:
    raise SystemExit(3)


def backwards_leak(rewards: Array, groups: Array) -> Array:
    return rewards.mean() - rewards


def noisy(rewards: Array, groups: Array) -> Array:
    return centered(rewards, groups) + 0.1 * np.random.default_rng().normal(size=rewards.size)


def by_id(rewards: Array, groups: Array) -> Array:
    return centered(rewards, groups) * (1.0 + (groups > 5))


class EarlierSpread:
    """Divides by the spread that the prompt had before."""

    def __init__(self) -> None:
        self.spread: dict[int, float] = {}

    def __call__(self, rewards: Array, groups: Array) -> Array:
        ids = groups[::G].tolist()
        before = np.array([self.spread.get(i, 1.0) for i in ids])
        self.spread |= dict(zip(ids, rows(rewards).std(1) + 0.1, strict=True))
        return (rows(centered(rewards, groups)) / before[:, None]).ravel()


class EarlierMean:
    """Subtracts the mean that the prompt had before."""

    def __init__(self) -> None:
        self.mean: dict[int, float] = {}

    def __call__(self, rewards: Array, groups: Array) -> Array:
        ids = groups[::G].tolist()
        before = np.array([self.mean.get(i, 0.0) for i in ids])
        self.mean |= dict(zip(ids, rows(rewards).mean(1), strict=True))
        return (rows(rewards) - before[:, None]).ravel()
