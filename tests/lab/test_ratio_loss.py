"""The clipped loss against every sample one by one, and against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from levelhead._arrays import FloatArray
from levelhead.errors import InvalidInputError
from levelhead.lab.policy import softmax
from levelhead.lab.ratio_loss import RatioLoss
from levelhead.lab.sampler import Sums

EXACT = 1e-12
C, K, M = 3, 5, 400


def single(ratio: float, advantage: float, clip: float | None) -> tuple[RatioLoss, FloatArray]:
    """One category, two tokens, one sample of token 0, whose probability went from 0.5 to 0.5 rho."""
    loss = RatioLoss((1, 1, 2), clip)
    at = np.array([[1.0, 0.0]])
    sums = Sums(
        advantage * at, max(advantage, 0.0) * at, (advantage > 0) * at, (advantage < 0) * at
    )
    loss.take(0, np.array([[0.5, 0.5]]), sums, 1)
    return loss, np.array([[[0.5 * ratio, 1.0 - 0.5 * ratio]]])


def gradient_of(loss: RatioLoss, policy: FloatArray) -> FloatArray:
    out = np.empty_like(policy)
    loss.gradient(policy, out)
    return out


@pytest.mark.parametrize(("ratio", "advantage", "value"), [(1.5, 1.0, -1.2), (0.5, -1.0, 0.8)])
def test_beyond_the_clip_the_loss_is_flat(ratio: float, advantage: float, value: float) -> None:
    loss, policy = single(ratio, advantage, 0.2)
    assert loss.value(policy) == pytest.approx([value])
    assert (gradient_of(loss, policy) == 0.0).all()
    assert loss.clipped(policy).tolist() == [1.0]


@pytest.mark.parametrize(("ratio", "advantage"), [(0.5, 1.0), (1.5, -1.0), (1.1, 1.0), (0.9, -1.0)])
def test_on_the_other_side_and_within_nothing_is_clipped(ratio: float, advantage: float) -> None:
    loss, policy = single(ratio, advantage, 0.2)
    assert loss.value(policy) == pytest.approx([-ratio * advantage])
    p = policy[0, 0, 0]
    # d/dz of -rho A with rho = p / 0.5 and dp/dz_0 = p (1 - p)
    slope = -2.0 * advantage * p * (1.0 - p)
    assert gradient_of(loss, policy)[0, 0] == pytest.approx([slope, -slope])
    assert loss.clipped(policy).tolist() == [0.0]


@pytest.mark.parametrize(("ratio", "advantage"), [(1.5, 1.0), (0.5, -1.0)])
def test_exactly_at_the_clip_neither_term_is_smaller(ratio: float, advantage: float) -> None:
    loss, policy = single(ratio, advantage, 0.5)
    assert loss.clipped(policy).tolist() == [0.0]
    assert (gradient_of(loss, policy) != 0.0).all()


def test_without_a_clip_a_large_ratio_counts_in_full() -> None:
    loss, policy = single(1.5, 1.0, None)
    assert loss.value(policy) == pytest.approx([-1.5])
    assert loss.clipped(policy).tolist() == [0.0]


def samples(seed: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Policies of the rollout and of now, and samples: category, token, advantage."""
    rng = np.random.default_rng(seed)
    old = rng.normal(size=(C, K))
    new = softmax(old + 0.4 * rng.normal(size=(C, K)))
    category, token = rng.integers(0, C, M), rng.integers(0, K, M)
    return softmax(old), new, category, token, rng.normal(size=M) * (rng.random(M) < 0.8)


def summed(category: FloatArray, token: FloatArray, advantage: FloatArray) -> Sums:
    out = np.zeros((4, C, K))
    for row, values in enumerate(
        (advantage, np.maximum(advantage, 0.0), advantage > 0.0, advantage < 0.0)
    ):
        np.add.at(out[row], (category, token), values)
    return Sums(*out)


def one_by_one(
    old: FloatArray,
    new: FloatArray,
    category: FloatArray,
    token: FloatArray,
    advantage: FloatArray,
    clip: float | None,
) -> tuple[float, FloatArray, float]:
    """Loss, gradient on the logits and share of clipped samples, by a loop over samples."""
    loss, gradient, clipped = 0.0, np.zeros((C, K)), 0
    for c, k, a in zip(category, token, advantage, strict=True):
        ratio = new[c, k] / old[c, k]
        limited = ratio if clip is None else min(max(ratio, 1.0 - clip), 1.0 + clip)
        loss -= min(ratio * a, limited * a) / M
        if limited * a < ratio * a:
            clipped += 1
            continue
        indicator = np.zeros(K)
        indicator[k] = 1.0
        gradient[c] -= ratio * a * (indicator - new[c]) / M
    return loss, gradient, clipped / M


@pytest.mark.parametrize("clip", [None, 0.2, 0.001])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sums_give_what_the_samples_give(clip: float | None, seed: int) -> None:
    old, new, category, token, advantage = samples(seed)
    loss = RatioLoss((2, C, K), clip)
    loss.take(1, old, summed(category, token, advantage), M)
    policies = np.stack([old, new])
    value, gradient, clipped = one_by_one(old, new, category, token, advantage, clip)
    assert loss.value(policies)[1] == pytest.approx(value, abs=EXACT)
    assert gradient_of(loss, policies)[1] == pytest.approx(gradient, abs=EXACT)
    assert loss.clipped(policies)[1] == pytest.approx(clipped, abs=EXACT)
    if clip is not None:
        assert 0.05 < clipped < 0.6
    assert (gradient_of(loss, policies)[0] == 0.0).all()  # the other run has made no rollout


@pytest.mark.parametrize("clip", [None, 0.2])
def test_the_gradient_is_the_slope_of_the_loss(clip: float | None) -> None:
    old, new, category, token, advantage = samples(3)
    loss = RatioLoss((1, C, K), clip)
    loss.take(0, old, summed(category, token, advantage), M)
    logits, step = np.log(new), 1e-6
    slope = np.zeros((C, K))
    for c in range(C):
        for k in range(K):
            up, down = logits.copy(), logits.copy()
            up[c, k] += step
            down[c, k] -= step
            ends = [loss.value(softmax(z)[None])[0] for z in (up, down)]
            slope[c, k] = (ends[0] - ends[1]) / (2 * step)
    assert gradient_of(loss, new[None])[0] == pytest.approx(slope, abs=1e-8)


def test_a_token_that_cannot_occur_does_no_harm() -> None:
    loss = RatioLoss((1, 1, 2), None)
    loss.take(0, np.array([[1.0, 0.0]]), Sums(np.array([[3.0, 0.0]])), 2)
    assert (gradient_of(loss, np.array([[[1.0, 0.0]]])) == 0.0).all()


def test_a_clip_needs_signs() -> None:
    loss = RatioLoss((1, 1, 2), 0.2)
    with pytest.raises(InvalidInputError, match="sums: expected their signs, which a clip needs"):
        loss.take(0, np.full((1, 2), 0.5), Sums(np.ones((1, 2))), 2)
