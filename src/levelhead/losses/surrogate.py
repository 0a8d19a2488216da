"""The policy's loss: clipped ratios times advantages, and the bonus on entropy."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from levelhead.errors import InvalidInputError
from levelhead.losses._tensors import (
    LARGEST_EXPONENT,
    floats,
    per_sequence,
    per_token,
    sums,
)
from levelhead.losses.aggregation import weighted_sum

__all__ = ["PolicyLoss", "clipped_surrogate", "entropy_loss", "policy_loss"]


@dataclasses.dataclass(frozen=True, eq=False)
class PolicyLoss:
    """The loss of a micro-batch, and sums that add over micro-batches and ranks.

    Attributes:
        loss: scalar, with gradient.
        statistics: sums over the tokens that count: "tokens", their number; "clipped", those whose
            clipped branch is strictly smaller, and of these "clipped_low" and "clipped_high", whose
            ratio is below and above the range; "ratio", rho; "kl_old", rho - 1 - ln rho, whose mean
            estimates KL(old || new) where the old policy drew the tokens. Divide by "tokens".
    """

    loss: Tensor
    statistics: dict[str, float]


def clipped_surrogate(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> Tensor:
    """The clipped loss of every token.

    l = -min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A),  rho = exp(logprob - old_logprob)

    Args:
        logprobs: (B, T) nats, of the sampled tokens under the policy that is trained.
        old_logprobs: (B, T) nats, under the policy that drew them; no gradient passes through it.
        advantages: (B,) or (B, T) finite, any unit; no gradient passes through it.
        mask: (B, T) booleans, True counts.
        clip_low: in [0, 1]; 1 clips nothing from below.
        clip_high: >= 0; infinity clips nothing from above.

    Returns:
        (B, T) in the unit of the advantages, 0 where the mask is False.

    Raises:
        InvalidInputError: shapes or types that do not fit, or a clip outside its range.

    Edge cases: what is masked is not read. A log-ratio above 20 is held at 20, without gradient. At
        an edge of the range the gradient is that of the inside.
    Properties: at ratio 1 its gradient is -A times that of logprob, so the loss has the bias class
        of the advantages (at old_logprobs = logprobs nothing else is added). Away from 1 it is a
        lower bound of rho A, biased by the clip and by tokenwise ratios in place of the sequence's.
        The clip stops only steps that would gain: A < 0 with a large ratio is never clipped.
    Reference: Schulman et al. 2017 (arXiv:1707.06347); two widths: Yu et al. 2025 (arXiv:2503.14476).

    Example:
        >>> old, mask = torch.zeros(2, 1), torch.ones(2, 1, dtype=torch.bool)
        >>> new = torch.log(torch.tensor([[1.5], [0.5]]))
        >>> clipped_surrogate(new, old, torch.tensor([1.0, -1.0]), mask)
        tensor([[-1.2000],
                [ 0.8000]])
    """
    low, high = _range(clip_low, clip_high)
    advantage, log_ratio = _ratios(logprobs, old_logprobs, advantages, mask)
    return _clipped(log_ratio.exp(), advantage, low, high)


def policy_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    weights: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> PolicyLoss:
    """The clipped policy-gradient loss of a micro-batch.

    L = sum_b w_b sum_t mask_bt l_bt,  l of `clipped_surrogate`

    Args:
        logprobs: (B, T) nats, of the sampled tokens under the policy that is trained.
        old_logprobs: (B, T) nats, under the policy that drew them; pass `logprobs.detach()` for the
            first update after a rollout.
        advantages: (B,) or (B, T) finite, any unit; no gradient passes through it.
        mask: (B, T) booleans, True counts.
        weights: (B,) from `sequence_weights`.
        clip_low: in [0, 1]; 1 clips nothing from below.
        clip_high: >= 0; infinity clips nothing from above.

    Returns:
        The loss in the unit of the advantages, and its statistics.

    Raises:
        InvalidInputError: shapes or types that do not fit, or a clip outside its range.

    Edge cases: an empty micro-batch has loss 0, and a gradient of 0.
    Properties: at ratio 1 the gradient is minus the policy gradient with these advantages, times
        whatever the aggregation does: of the class that the estimator declares (exact, a positive
        multiple, or biased) with "seq-sum-constant"; with the 1/|o| length bias with
        "seq-mean-token-mean".
    Reference: Schulman et al. 2017 (arXiv:1707.06347); length bias: Liu et al. 2025
        (arXiv:2503.20783).

    Example:
        >>> old, mask = torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool)
        >>> new = torch.log(torch.tensor([[1.5, 1.0]]))
        >>> one = policy_loss(new, old, torch.tensor([1.0]), mask, torch.tensor([0.5]))
        >>> one.loss, one.statistics["clipped"]
        (tensor(-1.1000), 1.0)
    """
    per_token("logprobs", logprobs, mask, weights)
    low, high = _range(clip_low, clip_high)
    advantage, log_ratio = _ratios(logprobs, old_logprobs, advantages, mask)
    ratio = log_ratio.exp()
    losses = _clipped(ratio, advantage, low, high)
    with torch.no_grad():
        above = mask & (ratio > high) & (advantage > 0.0)
        below = mask & (ratio < low) & (advantage < 0.0)
        statistics = sums(
            {
                "tokens": mask,
                "clipped": above | below,
                "clipped_low": below,
                "clipped_high": above,
                "ratio": torch.where(mask, ratio, torch.zeros_like(ratio)),
                "kl_old": torch.expm1(log_ratio) - log_ratio,
            }
        )
    return PolicyLoss(weighted_sum(losses, mask, weights), statistics)


def entropy_loss(entropy: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """Minus the weighted entropy: adding it to a loss, times a coefficient, keeps a policy spread.

    L = -sum_b w_b sum_t mask_bt H_bt

    Args:
        entropy: (B, T) nats, >= 0, of the distribution that each token was drawn from.
        mask: (B, T) booleans, True counts.
        weights: (B,) from `sequence_weights`.

    Returns:
        A scalar in nats.

    Raises:
        InvalidInputError: shapes or types that do not fit.

    Edge cases: what is masked is not read.
    Properties: the gradient of each state's entropy, without that of how often a state is reached:
        biased for the entropy of whole sequences, and it moves the fixed point of every estimator
        towards the uniform policy.
    Reference: Williams and Peng 1991; Mnih et al. 2016 (arXiv:1602.01783).

    Example:
        >>> mask = torch.tensor([[True, False]])
        >>> entropy_loss(torch.tensor([[0.5, 9.0]]), mask, torch.tensor([1.0]))
        tensor(-0.5000)
    """
    per_token("entropy", entropy, mask, weights)
    return -weighted_sum(entropy, mask, weights)


def _ratios(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Advantages (B, T or 1) without gradient, and log-ratios (B, T), 0 where the mask is False."""
    per_token("logprobs", logprobs, mask, old_logprobs=old_logprobs)
    if advantages.ndim == 1:
        per_sequence("advantages", advantages, logprobs.shape[0])
        advantage = advantages.detach().unsqueeze(1)
    else:
        shape = (logprobs.shape[0], logprobs.shape[1])
        floats("advantages", advantages, shape, "(B, T) as logprobs has, or (B,)")
        advantage = advantages.detach()
    zero = torch.zeros_like(logprobs)
    advantage = torch.where(mask, advantage.to(logprobs.dtype), zero)
    difference = logprobs - old_logprobs.detach().to(logprobs.dtype)
    return advantage, torch.where(mask, difference, zero).clamp(max=LARGEST_EXPONENT)


def _clipped(ratio: Tensor, advantage: Tensor, low: float, high: float) -> Tensor:
    return -torch.minimum(ratio * advantage, ratio.clamp(low, high) * advantage)


def _range(clip_low: float, clip_high: float) -> tuple[float, float]:
    if not 0.0 <= clip_low <= 1.0:
        raise InvalidInputError(f"clip_low: expected a number in [0, 1], got {clip_low}")
    if not clip_high >= 0.0:
        raise InvalidInputError(f"clip_high: expected a number >= 0, got {clip_high}")
    return 1.0 - clip_low, 1.0 + clip_high
