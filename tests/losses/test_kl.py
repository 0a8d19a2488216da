"""Estimates of the KL: their means and their gradients, by enumeration of the tokens."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from levelhead.errors import InvalidInputError
from levelhead.losses import KL_ESTIMATORS, kl_estimate, kl_loss

EXACT = 1e-12
REFERENCE = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64).log()


def policy() -> tuple[Tensor, Tensor]:
    """Logits of a softmax over four tokens, far from the reference, and its log-probabilities."""
    logits = torch.tensor([-1.0, 0.2, 0.9, 0.4], dtype=torch.float64, requires_grad=True)
    return logits, logits.log_softmax(0)


def gradient(of: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(of, logits, retain_graph=True)[0]


def test_the_three_by_hand() -> None:
    """ratio ref / policy = 1/2: d = -ln 2."""
    new, ref = torch.tensor([[0.8]]).log(), torch.tensor([[0.4]]).log()
    got = [kl_estimate(new, ref, estimator=name).item() for name in KL_ESTIMATORS]
    log2 = math.log(2.0)
    assert got == pytest.approx([log2, log2**2 / 2.0, 0.5 + log2 - 1.0], abs=1e-6)


def test_k1_and_k3_are_unbiased_and_k2_is_not() -> None:
    _, logprobs = policy()
    chance = logprobs.detach().exp()
    exact = float(chance @ (logprobs.detach() - REFERENCE))
    means = {
        name: float(chance @ kl_estimate(logprobs, REFERENCE, estimator=name).detach())
        for name in KL_ESTIMATORS
    }
    assert means["k1"] == pytest.approx(exact, abs=EXACT)
    assert means["k3"] == pytest.approx(exact, abs=EXACT)
    assert abs(means["k2"] - exact) > 0.01


def test_the_expected_gradients_as_a_loss_and_in_the_reward() -> None:
    logits, logprobs = policy()
    forward = gradient(logprobs.exp() @ (logprobs - REFERENCE), logits)  # KL(policy || reference)
    backward = gradient(REFERENCE.exp() @ (REFERENCE - logprobs), logits)  # KL(reference || policy)
    chance = logprobs.detach().exp()
    rows, mask = logprobs.unsqueeze(1), torch.ones(4, 1, dtype=torch.bool)

    def as_loss(name: str) -> Tensor:
        return gradient(kl_loss(rows, REFERENCE.unsqueeze(1), mask, chance, estimator=name), logits)

    def in_reward(name: str) -> Tensor:
        value = kl_estimate(logprobs, REFERENCE, estimator=name).detach()
        return gradient((chance * value) @ logprobs, logits)

    none = gradient(chance @ kl_estimate(logprobs, REFERENCE, estimator="k1"), logits)
    assert none.tolist() == pytest.approx([0.0] * 4, abs=EXACT)
    assert as_loss("k2").tolist() == pytest.approx(forward.tolist(), abs=EXACT)
    assert as_loss("k3").tolist() == pytest.approx(backward.tolist(), abs=EXACT)
    assert in_reward("k1").tolist() == pytest.approx(forward.tolist(), abs=EXACT)
    assert in_reward("k3").tolist() == pytest.approx((forward - backward).tolist(), abs=EXACT)
    assert (forward - backward).abs().max() > 0.1  # the two are not the same


def test_the_gradient_by_differences() -> None:
    rng = torch.Generator().manual_seed(0)
    ref, new = (torch.randn(3, 4, generator=rng, dtype=torch.float64) for _ in range(2))
    mask = torch.rand(3, 4, generator=rng) < 0.7
    weights = torch.rand(3, generator=rng, dtype=torch.float64)
    new.requires_grad_()
    for name in ("k2", "k3"):
        assert torch.autograd.gradcheck(
            lambda x, n=name: kl_loss(x, ref, mask, weights, estimator=n), (new,)
        )


def test_masked_nan_and_far_references_leave_no_nan() -> None:
    new = torch.tensor([[math.nan, -500.0, -1.0]], requires_grad=True)
    ref = torch.tensor([[math.nan, -1.0, -1.0]], requires_grad=True)
    loss = kl_loss(new, ref, torch.tensor([[False, True, True]]), torch.ones(1))
    loss.backward()
    assert math.isfinite(loss.item())
    assert new.grad is not None
    assert new.grad.tolist() == [[0.0, 0.0, 0.0]]
    assert ref.grad is None


def test_what_does_not_fit_is_said() -> None:
    x = torch.zeros(1, 2)
    mask, w = torch.ones(1, 2, dtype=torch.bool), torch.ones(1)
    with pytest.raises(
        InvalidInputError, match=r'expected "k2" or "k3" in a loss, got "k1", whose'
    ):
        kl_loss(x, x, mask, w, estimator="k1")
    with pytest.raises(InvalidInputError, match="estimator: expected one of k1, k2, k3, got 'k4'"):
        kl_loss(x, x, mask, w, estimator="k4")
    with pytest.raises(InvalidInputError, match=r"ref_logprobs: expected shape \(1, 2\) as logp"):
        kl_estimate(x, x[:, :1])
