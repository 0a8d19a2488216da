"""Differentiable calibration terms: loops, limits, differences, and where their minimum lies."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from levelhead.errors import InvalidInputError
from levelhead.losses import brier_term, log_term, mmce, soft_ece
from levelhead.metrics import ece
from levelhead.scoring import brier_loss, log_loss

EXACT = 1e-12
CONFIDENCE = np.array([0.03, 0.12, 0.18, 0.55, 0.57, 0.81, 0.94])
OUTCOME = np.array([0.0, 1.0, 0.0, 1.0, 0.5, 1.0, 1.0])
C, Y = torch.tensor(CONFIDENCE), torch.tensor(OUTCOME)


def test_the_scores_are_those_of_the_scoring_rules() -> None:
    assert brier_term(C, Y).item() == pytest.approx(brier_loss(CONFIDENCE, OUTCOME).mean())
    assert log_term(C, Y).item() == pytest.approx(log_loss(CONFIDENCE, OUTCOME, eta=1e-6).mean())
    assert log_term(torch.tensor([0.0]), torch.tensor([1.0]), eta=0.01).item() == pytest.approx(
        math.log(100.0)
    )


@pytest.mark.parametrize("power", [1, 2])
def test_soft_ece_equals_a_loop(power: int) -> None:
    bins, temperature = 4, 0.02
    total = 0.0
    member = np.zeros((7, bins))
    for i, c in enumerate(CONFIDENCE):
        near = [math.exp(-((c - (j + 0.5) / bins) ** 2) / temperature) for j in range(bins)]
        member[i] = np.array(near) / sum(near)
    for j in range(bins):
        size = member[:, j].sum()
        gap = abs(member[:, j] @ OUTCOME / size - member[:, j] @ CONFIDENCE / size)
        total += size / 7.0 * gap**power
    got = soft_ece(C, Y, n_bins=bins, temperature=temperature, power=power)
    assert got.item() == pytest.approx(total ** (1.0 / power), abs=EXACT)


def test_soft_ece_becomes_the_ece_as_the_bins_harden() -> None:
    hard = ece(CONFIDENCE, OUTCOME, n_bins=10)
    assert soft_ece(C, Y, n_bins=10, temperature=1e-5, power=1).item() == pytest.approx(hard)


def test_mmce_equals_a_loop() -> None:
    total = sum(
        (yi - ci) * (yj - cj) * math.exp(-abs(ci - cj) / 0.4)
        for ci, yi in zip(CONFIDENCE, OUTCOME, strict=True)
        for cj, yj in zip(CONFIDENCE, OUTCOME, strict=True)
    )
    assert mmce(C, Y).item() == pytest.approx(math.sqrt(total / 49.0), abs=EXACT)


def test_the_gradients_by_differences() -> None:
    c = C.clone().requires_grad_()
    for term in (
        lambda x: brier_term(x, Y),
        lambda x: log_term(x, Y),
        lambda x: soft_ece(x, Y, n_bins=5),
        lambda x: soft_ece(x, Y, n_bins=5, power=1),
        lambda x: mmce(x, Y),
    ):
        assert torch.autograd.gradcheck(term, (c,))


def test_a_perfect_batch_has_a_gradient_of_zero_and_not_nan() -> None:
    for term in (mmce, soft_ece):
        c = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
        loss = term(c, c.detach().clone())
        loss.backward()
        assert loss.item() < 1e-11
        assert c.grad is not None
        assert c.grad.tolist() == [0.0, 0.0]


def test_proper_terms_have_their_minimum_at_the_truth_and_the_others_at_the_base_rate() -> None:
    """Two kinds of sample, true at .2 and .8: expected outcomes stand for many samples."""
    truth = torch.tensor([0.2, 0.8], dtype=torch.float64)
    base = torch.tensor([0.5, 0.5], dtype=torch.float64)
    for term in (brier_term, log_term):
        assert term(truth, truth) < term(base, truth)
        c = truth.clone().requires_grad_()
        term(c, truth).backward()
        assert c.grad is not None
        assert c.grad.tolist() == pytest.approx([0.0, 0.0], abs=EXACT)
    for term in (soft_ece, mmce):
        assert term(base, truth).item() == pytest.approx(0.0, abs=1e-9)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(InvalidInputError, match=r"confidence: expected shape \(N,\) with N >= 1"):
        brier_term(torch.zeros(0), torch.zeros(0))
    with pytest.raises(InvalidInputError, match=r"outcome: expected shape \(7,\)"):
        brier_term(C, Y[:3])
    with pytest.raises(InvalidInputError, match=r"confidence: expected values in \[0, 1\], got 87"):
        log_term(torch.tensor([0.5, 87.0]), torch.ones(2))
    with pytest.raises(InvalidInputError, match=r"outcome: .* got nan at index 0"):
        mmce(torch.tensor([0.5]), torch.tensor([math.nan]))
    with pytest.raises(InvalidInputError, match=r"eta: expected a number in \(0, 0.5\), got 0"):
        log_term(C, Y, eta=0.0)
    with pytest.raises(InvalidInputError, match="n_bins, temperature, power: .* got 0, 0.01 and 2"):
        soft_ece(C, Y, n_bins=0)
    with pytest.raises(InvalidInputError, match="width: expected a finite number > 0, got 0"):
        mmce(C, Y, width=0.0)
