"""The critic's loss."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from levelhead.errors import InvalidInputError
from levelhead.losses._tensors import per_token, sums
from levelhead.losses.aggregation import weighted_sum

__all__ = ["ValueLoss", "value_loss"]


@dataclasses.dataclass(frozen=True, eq=False)
class ValueLoss:
    """The loss of a critic on a micro-batch, and sums that add over micro-batches and ranks.

    Attributes:
        loss: scalar, with gradient.
        statistics: sums over the tokens that count, whose names differ from those of the policy's, so
            that both fit in one table: "value_tokens", n; "value_squared_error", E (unclipped);
            "value", V; "return", R; "return_squared", Q; and "value_clipped", tokens whose clipped
            branch is strictly larger. The explained variance is
            1 - (E - (R - V)^2 / n) / (Q - R^2 / n).
    """

    loss: Tensor
    statistics: dict[str, float]


def value_loss(
    values: Tensor,
    old_values: Tensor | None,
    returns: Tensor,
    mask: Tensor,
    weights: Tensor,
    *,
    clip: float | None = None,
) -> ValueLoss:
    """The squared error of a critic, without a factor 1/2.

    l = (V - R)^2, or with a clip c: l = max((V - R)^2, (V_c - R)^2),
    V_c = clip(V, V_old - c, V_old + c);  L = sum_b w_b sum_t mask_bt l_bt

    Args:
        values: (B, T) values of the states before each token, in the unit of the rewards.
        old_values: (B, T) values when the rollout was made; None will do without a clip.
        returns: (B, T) finite targets; no gradient passes through them.
        mask: (B, T) booleans, True counts.
        weights: (B,) from `sequence_weights`.
        clip: > 0 in the unit of the rewards, or None for none.

    Returns:
        The loss in squared units of the rewards, and its statistics.

    Raises:
        InvalidInputError: shapes or types that do not fit, a clip <= 0, or one without old values.

    Edge cases: what is masked is not read.
    Properties: a mean squared error where the weights sum to 1 over the tokens, whose minimum is the
        mean return. verl and TRL have half of it: their coefficient 1 is 0.5 here. The clip is an
        upper bound of the error; it stops the gradient where V has moved by more than c from V_old
        towards R, and what c is worth depends on the scale of the rewards.
    Reference: Schulman et al. 2016 (arXiv:1506.02438); the clip is of OpenAI's baselines, Engstrom et
        al. 2020 (arXiv:2005.12729).

    Example:
        >>> mask, one = torch.ones(1, 2, dtype=torch.bool), torch.tensor([0.5])
        >>> value_loss(torch.tensor([[1.0, 2.0]]), None, torch.tensor([[0.0, 2.0]]), mask, one).loss
        tensor(0.5000)
    """
    per_token("values", values, mask, weights, returns=returns)
    zero = torch.zeros_like(values)
    value = torch.where(mask, values, zero)
    target = torch.where(mask, returns.detach().to(values.dtype), zero)
    error = (value - target).square()
    losses, clipped = error, torch.zeros_like(mask)
    if clip is not None:
        if not 0.0 < clip < float("inf"):
            raise InvalidInputError(f"clip: expected a finite number > 0 or None, got {clip}")
        if old_values is None:
            raise InvalidInputError("old_values: expected (B, T) values with a clip, got None")
        per_token("values", values, mask, old_values=old_values)
        old = torch.where(mask, old_values.detach().to(values.dtype), zero)
        near = value.clamp(old - clip, old + clip)  # exactly V inside, so that nothing counts there
        clipped_error = (near - target).square()
        losses = torch.maximum(error, clipped_error)
        clipped = mask & (clipped_error > error)
    statistics = sums(
        {
            "value_tokens": mask,
            "value_squared_error": error,
            "value": value,
            "return": target,
            "return_squared": target.square(),
            "value_clipped": clipped,
        }
    )
    return ValueLoss(weighted_sum(losses, mask, weights), statistics)
