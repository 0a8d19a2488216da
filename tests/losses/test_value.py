"""The critic's loss by hand and by differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from levelhead.errors import InvalidInputError
from levelhead.losses import policy_loss, value_loss

ONE = torch.ones(1, 1, dtype=torch.bool)
DOUBLE = torch.float64


@pytest.mark.parametrize(
    ("value", "old", "target", "clip", "loss", "slope", "clipped"),
    [
        (3.0, 0.0, 1.0, None, 4.0, 4.0, 0),  # no 1/2: (3 - 1)^2 and 2 (3 - 1)
        (0.5, 0.0, 1.0, 0.2, 0.64, 0.0, 1),  # has moved far enough towards 1: (0.2 - 1)^2
        (-0.5, 0.0, 1.0, 0.2, 2.25, -3.0, 0),  # has moved away: the true error is larger
        (0.1, 0.0, 1.0, 0.2, 0.81, -1.8, 0),  # inside of the clip
        (3.0, 0.0, 1.0, 0.5, 4.0, 4.0, 0),  # beyond: (3 - 1)^2 > (0.5 - 1)^2
    ],
)
def test_the_loss_by_hand(
    value: float,
    old: float,
    target: float,
    clip: float | None,
    loss: float,
    slope: float,
    clipped: int,
) -> None:
    v, o, r = (torch.tensor([[x]], dtype=DOUBLE) for x in (value, old, target))
    v.requires_grad_()
    got = value_loss(v, o, r, ONE, torch.ones(1, dtype=DOUBLE), clip=clip)
    got.loss.backward()
    assert got.loss.item() == pytest.approx(loss, abs=1e-12)
    assert v.grad is not None
    assert v.grad.item() == pytest.approx(slope, abs=1e-12)
    assert got.statistics["value_clipped"] == clipped


def test_the_sums_give_the_explained_variance() -> None:
    rng = np.random.default_rng(0)
    values, returns = rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
    mask = rng.random((3, 5)) < 0.6
    got = value_loss(
        torch.tensor(np.where(mask, values, np.nan)),
        None,
        torch.tensor(np.where(mask, returns, np.nan)),
        torch.tensor(mask),
        torch.full((3,), 1.0 / mask.sum(), dtype=DOUBLE),
    )
    s = got.statistics
    n = s["value_tokens"]
    assert n == mask.sum()
    assert got.loss.item() == pytest.approx(np.mean((values - returns)[mask] ** 2), abs=1e-12)
    left = s["value_squared_error"] - (s["return"] - s["value"]) ** 2 / n
    explained = 1.0 - left / (s["return_squared"] - s["return"] ** 2 / n)
    assert explained == pytest.approx(
        1.0 - np.var((returns - values)[mask]) / np.var(returns[mask])
    )


def test_nothing_inside_of_the_clip_counts_as_clipped() -> None:
    """By rounding, V_old + (V - V_old) is not always V."""
    rng = torch.Generator().manual_seed(0)
    values, old, returns = (torch.randn(2, 50, generator=rng) for _ in range(3))
    mask = torch.ones(2, 50, dtype=torch.bool)
    got = value_loss(values, old, returns, mask, torch.full((2,), 0.01), clip=10.0)
    assert got.statistics["value_clipped"] == 0.0


def test_the_gradient_by_differences() -> None:
    rng = torch.Generator().manual_seed(1)
    values, old, returns = (torch.randn(3, 4, generator=rng, dtype=DOUBLE) for _ in range(3))
    mask = torch.rand(3, 4, generator=rng) < 0.7
    weights = torch.rand(3, generator=rng, dtype=DOUBLE)
    values.requires_grad_()
    for clip in (None, 0.5):
        assert torch.autograd.gradcheck(
            lambda v, c=clip: value_loss(v, old, returns, mask, weights, clip=c).loss, (values,)
        )


def test_what_does_not_fit_is_said() -> None:
    x, w = torch.zeros(1, 1), torch.ones(1)
    with pytest.raises(
        InvalidInputError, match="clip: expected a finite number > 0 or None, got 0"
    ):
        value_loss(x, x, x, ONE, w, clip=0.0)
    with pytest.raises(
        InvalidInputError, match="clip: expected a finite number > 0 or None, got na"
    ):
        value_loss(x, x, x, ONE, w, clip=math.nan)
    with pytest.raises(
        InvalidInputError, match=r"old_values: expected \(B, T\) values with a clip"
    ):
        value_loss(x, None, x, ONE, w, clip=0.2)
    with pytest.raises(
        InvalidInputError, match=r"returns: expected shape \(1, 1\) \(B, T\) as val"
    ):
        value_loss(x, None, x[0], ONE, w)


def test_the_statistics_do_not_collide_with_the_policys() -> None:
    """Both are added into one table of sums."""
    x, w = torch.zeros(1, 1), torch.ones(1)
    names = policy_loss(x, x, w, ONE, w).statistics.keys()
    assert not names & value_loss(x, None, x, ONE, w).statistics.keys()
