"""The policy's loss: the clip by hand, and every estimator against its exact expected gradient."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from levelhead._arrays import FloatArray, IntArray
from levelhead.advantages import TABLE, AdvantageFunction, Estimator
from levelhead.errors import InvalidInputError
from levelhead.lab.exact import AdvantageTable, policy_gradient, true_advantage
from levelhead.losses import clipped_surrogate, entropy_loss, policy_loss
from levelhead.rewards import log_reward

EXACT = 1e-10
DOUBLE = torch.float64
ONE = torch.ones(1, 1, dtype=torch.bool)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.5, 1.0, -1.2, 0.0),
        (0.5, -1.0, 0.8, 0.0),
        (1.5, -1.0, 1.5, 1.5),  # what would lose is never clipped
        (0.5, 1.0, -0.5, -0.5),
        (1.0, 3.0, -3.0, -3.0),
        (1.1, -2.0, 2.2, 2.2),
        (1.5, 0.0, 0.0, 0.0),
    ],
)
def test_the_clip_by_hand(ratio: float, advantage: float, loss: float, slope: float) -> None:
    old = torch.full((1, 1), -1.0, dtype=DOUBLE)
    new = (old + math.log(ratio)).requires_grad_()
    got = clipped_surrogate(new, old, torch.tensor([advantage], dtype=DOUBLE), ONE)
    got.sum().backward()
    assert got.item() == pytest.approx(loss, abs=1e-12)
    assert new.grad is not None
    assert new.grad.item() == pytest.approx(slope, abs=1e-12)


def test_the_two_widths_are_told_apart_and_counted() -> None:
    ratios = torch.tensor([[0.85, 1.25, 1.35, 0.6, 0.6, 9.0]], dtype=DOUBLE)
    advantages = torch.tensor([[-1.0, 1.0, 1.0, -1.0, 1.0, 9.0]], dtype=DOUBLE)
    mask = torch.tensor([[True, True, True, True, True, False]])
    got = policy_loss(
        ratios.log(),
        torch.zeros_like(ratios),
        advantages,
        mask,
        torch.tensor([0.5], dtype=DOUBLE),
        clip_low=0.1,
        clip_high=0.3,
    )
    assert got.loss.item() == pytest.approx(0.5 * (0.9 - 1.25 - 1.3 + 0.9 - 0.6), abs=1e-12)
    kl = sum(r - 1.0 - math.log(r) for r in (0.85, 1.25, 1.35, 0.6, 0.6))
    assert got.statistics == pytest.approx(
        {
            "tokens": 5,
            "clipped": 3,
            "clipped_low": 2,
            "clipped_high": 1,
            "ratio": 0.85 + 1.25 + 1.35 + 1.2,
            "kl_old": kl,
        },
        abs=1e-12,
    )


def test_the_gradient_by_differences() -> None:
    rng = torch.Generator().manual_seed(0)
    old, advantages = (torch.randn(3, 4, generator=rng, dtype=DOUBLE) for _ in range(2))
    new = (old + 0.3 * torch.randn(3, 4, generator=rng, dtype=DOUBLE)).requires_grad_()
    mask = torch.rand(3, 4, generator=rng) < 0.7
    weights = torch.rand(3, generator=rng, dtype=DOUBLE)
    for given in (advantages, advantages[:, 0]):
        assert torch.autograd.gradcheck(
            lambda x, a=given: policy_loss(x, old, a, mask, weights).loss, (new,)
        )
    assert policy_loss(new, old, advantages, mask, weights).statistics["clipped"] > 0.0


def test_infinite_ratios_and_masked_nan_leave_no_nan() -> None:
    new = torch.tensor([[0.0, math.nan, 0.0]], requires_grad=True)
    old = torch.tensor([[-200.0, 0.0, 0.0]])
    mask = torch.tensor([[True, False, True]])
    advantages = torch.tensor([[1.0, math.nan, 1.0]])
    loss = policy_loss(new, old, advantages, mask, torch.ones(1)).loss
    loss.backward()
    assert loss.item() == pytest.approx(-2.2)
    assert new.grad is not None
    assert new.grad.tolist() == [[0.0, 0.0, -1.0]]


P, SIZE = 0.7, 3
REWARDS = np.stack([log_reward([0.2, 0.5, 0.9], np.full(3, a)) for a in (0, 1)])


def alone(estimator: Estimator) -> AdvantageFunction:
    """The estimator with every group as a batch of its own, and without a memory."""

    def advantages(rewards: FloatArray, groups: IntArray) -> FloatArray:
        ids = np.zeros(SIZE, np.int64)
        rows = np.asarray(rewards).reshape(-1, SIZE)
        return np.concatenate([estimator.start()(row, ids) for row in rows])

    return advantages


@pytest.mark.parametrize("name", TABLE)
def test_each_estimator_has_its_exact_expected_gradient(name: str) -> None:
    """A softmax policy over three tokens, every outcome and every group of three."""
    estimator = TABLE[name]
    function = alone(estimator)
    logits = torch.tensor([0.4, -0.5, 0.1], dtype=DOUBLE, requires_grad=True)
    policy = logits.detach().softmax(0)
    tokens = torch.tensor(list(itertools.product(range(3), repeat=SIZE)))
    logprobs = logits.log_softmax(0)[tokens].reshape(-1, 1)
    mask = torch.ones_like(logprobs, dtype=torch.bool)
    total = torch.zeros((), dtype=DOUBLE)
    for outcome, chance in ((0, 1.0 - P), (1, P)):
        groups = np.repeat(np.arange(len(tokens)), SIZE)
        advantages = torch.tensor(function(REWARDS[outcome][tokens.reshape(-1)], groups))
        weights = (chance * policy[tokens].prod(dim=1) / SIZE).repeat_interleave(SIZE)
        total = total + policy_loss(logprobs, logprobs.detach(), advantages, mask, weights).loss
    (gradient,) = torch.autograd.grad(total, logits)
    table = AdvantageTable.build(function, REWARDS, SIZE)
    assert -gradient.numpy() == pytest.approx(table.gradient(policy.numpy(), P)[0], abs=EXACT)
    if estimator.factor is not None and estimator.scope in ("sample", "group"):
        exact = policy_gradient(policy.numpy(), true_advantage(policy.numpy(), P, REWARDS))[0]
        assert -gradient.numpy() == pytest.approx(estimator.factor(SIZE) * exact, abs=EXACT)


def test_entropy_by_hand() -> None:
    entropy = torch.tensor([[1.0, 2.0], [4.0, math.nan]], requires_grad=True)
    mask = torch.tensor([[True, True], [True, False]])
    loss = entropy_loss(entropy, mask, torch.tensor([0.5, 0.25]))
    loss.backward()
    assert loss.item() == -2.5
    assert entropy.grad is not None
    assert entropy.grad.tolist() == [[-0.5, -0.5], [-0.25, 0.0]]


def test_what_does_not_fit_is_said() -> None:
    x, mask, w = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool), torch.ones(2)
    with pytest.raises(InvalidInputError, match=r"old_logprobs: expected shape \(2, 3\) \(B, T\)"):
        policy_loss(x, x[:, :2], w, mask, w)
    with pytest.raises(InvalidInputError, match=r"advantages: expected shape \(2,\) .* got \(3,\)"):
        policy_loss(x, x, torch.ones(3), mask, w)
    with pytest.raises(
        InvalidInputError, match=r"advantages: expected shape \(2, 3\) .* or \(B,\)"
    ):
        policy_loss(x, x, torch.ones(2, 2), mask, w)
    with pytest.raises(
        InvalidInputError, match="logprobs: expected float32 or float64, got float1"
    ):
        policy_loss(x.half(), x, w, mask, w)
    with pytest.raises(
        InvalidInputError, match=r"clip_low: expected a number in \[0, 1\], got 1.2"
    ):
        policy_loss(x, x, w, mask, w, clip_low=1.2)
    with pytest.raises(InvalidInputError, match="clip_high: expected a number >= 0, got nan"):
        policy_loss(x, x, w, mask, w, clip_high=math.nan)
