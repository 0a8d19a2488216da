"""Losses: pure functions on tensors, from what a policy said of its tokens to a scalar and statistics.

    >>> import torch
    >>> from levelhead.losses import policy_loss, sequence_weights
    >>> mask = torch.tensor([[True, True], [True, False]])
    >>> weights = sequence_weights(
    ...     mask.sum(dim=1), mode="seq-sum-constant", constant=2, n_sequences=2, n_tokens=3
    ... )
    >>> logprobs = torch.full((2, 2), -0.7, requires_grad=True)
    >>> one = policy_loss(logprobs, logprobs.detach(), torch.tensor([1.0, -1.0]), mask, weights)
    >>> one.loss.backward()
    >>> logprobs.grad
    tensor([[-0.2500, -0.2500],
            [ 0.2500,  0.0000]])

`sequence_weights` decides how tokens become a scalar; every loss takes its weights. Statistics are sums,
so that those of micro-batches and ranks are added.
"""

from __future__ import annotations

from levelhead.losses.aggregation import AGGREGATIONS, sequence_weights, weighted_sum
from levelhead.losses.answer import AnswerLoss, answer_loss, string_logprobs
from levelhead.losses.calibration import brier_term, log_term, mmce, soft_ece
from levelhead.losses.kl import KL_ESTIMATORS, kl_estimate, kl_loss
from levelhead.losses.surrogate import PolicyLoss, clipped_surrogate, entropy_loss, policy_loss
from levelhead.losses.value import ValueLoss, value_loss

__all__ = [
    "AGGREGATIONS",
    "KL_ESTIMATORS",
    "AnswerLoss",
    "PolicyLoss",
    "ValueLoss",
    "answer_loss",
    "brier_term",
    "clipped_surrogate",
    "entropy_loss",
    "kl_estimate",
    "kl_loss",
    "log_term",
    "mmce",
    "policy_loss",
    "sequence_weights",
    "soft_ece",
    "string_logprobs",
    "value_loss",
    "weighted_sum",
]
