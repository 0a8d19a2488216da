"""The distance from a reference policy, estimated from sampled tokens.

Three estimates of KL(policy || reference) from one token that the policy drew, with
d = ref_logprob - logprob:

    k1 = -d,  k2 = d^2 / 2,  k3 = e^d - d - 1

What matters in training is not which estimates the value well but whose gradient is right, and that
depends on where the estimate stands. In the loss it is differentiated; in the reward it is a number
that multiplies the gradient of the log-probability. On tokens that the policy itself drew:

    estimate  its mean              as a loss: gradient of   in the reward: gradient of
    k1        KL(policy || ref)     nothing (0)              KL(policy || ref)
    k2        biased                KL(policy || ref)        another function
    k3        KL(policy || ref)     KL(ref || policy)        KL(policy || ref) - KL(ref || policy)

So k1 belongs in the reward and k2 in the loss. k3 in the loss, as GRPO has it, pulls towards the
reference as well, but by the other divergence: it agrees near the reference and not far from it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from levelhead.errors import InvalidInputError, unknown_name
from levelhead.losses._tensors import LARGEST_EXPONENT, floats, per_token
from levelhead.losses.aggregation import weighted_sum

__all__ = ["KL_ESTIMATORS", "kl_estimate", "kl_loss"]

KL_ESTIMATORS = ("k1", "k2", "k3")
"""What `kl_estimate` knows."""


def kl_estimate(logprobs: Tensor, ref_logprobs: Tensor, *, estimator: str = "k3") -> Tensor:
    """An estimate of KL(policy || reference) from each sampled token.

    k1 = -d,  k2 = d^2 / 2,  k3 = e^d - d - 1,  d = ref_logprob - logprob

    Args:
        logprobs: (B, T) nats, or any shape, of tokens that this policy drew.
        ref_logprobs: nats, of the same shape; no gradient passes through it.
        estimator: a name in `KL_ESTIMATORS`.

    Returns:
        Nats, in the shape of `logprobs`; k2 and k3 are >= 0.

    Raises:
        InvalidInputError: an unknown name, or shapes or types that do not fit.

    Edge cases: in k3 a d above 20 is held at 20, without gradient. Put 0 into both arguments where a
        mask is False (`kl_loss` does).
    Properties: k1 and k3 are unbiased for KL(policy || reference) given the tokens before; k2 is
        not. k3 has a smaller variance than k1 near the reference. Detached and subtracted from
        the rewards, k1 alone gives the gradient of the KL; see the module for the gradients as a
        loss. On tokens that an older policy drew, all of this lacks an importance ratio.
    Reference: Schulman 2020, "Approximating KL divergence"; arXiv:2506.09477; arXiv:2510.01555.

    Example:
        >>> logprobs = torch.log(torch.tensor([[0.5]]))
        >>> ref_logprobs = torch.log(torch.tensor([[0.25]]))
        >>> [round(kl_estimate(logprobs, ref_logprobs, estimator=k).item(), 4) for k in KL_ESTIMATORS]
        [0.6931, 0.2402, 0.1931]
    """
    if estimator not in KL_ESTIMATORS:
        raise unknown_name("estimator", estimator, KL_ESTIMATORS)
    floats("logprobs", logprobs)
    floats("ref_logprobs", ref_logprobs)
    if ref_logprobs.shape != logprobs.shape:
        raise InvalidInputError(
            f"ref_logprobs: expected shape {tuple(logprobs.shape)} as logprobs has, got "
            f"{tuple(ref_logprobs.shape)}"
        )
    difference = ref_logprobs.detach().to(logprobs.dtype) - logprobs
    if estimator == "k1":
        return -difference
    if estimator == "k2":
        return 0.5 * difference.square()
    held = difference.clamp(max=LARGEST_EXPONENT)
    return torch.expm1(held) - held


def kl_loss(
    logprobs: Tensor,
    ref_logprobs: Tensor,
    mask: Tensor,
    weights: Tensor,
    *,
    estimator: str = "k3",
) -> Tensor:
    """The KL penalty as a term of the loss, before its coefficient.

    L = sum_b w_b sum_t mask_bt k(logprob_bt, ref_logprob_bt)

    Args:
        logprobs: (B, T) nats, of the sampled tokens under the policy that is trained.
        ref_logprobs: (B, T) nats, under the reference; no gradient passes through it.
        mask: (B, T) booleans, True counts.
        weights: (B,) from `sequence_weights`.
        estimator: "k3" or "k2"; "k1" has no gradient but noise and is for the reward.

    Returns:
        A scalar in nats.

    Raises:
        InvalidInputError: an unknown name, shapes or types that do not fit, or "k1".

    Edge cases: what is masked is not read.
    Properties: on tokens of the policy itself, at each state: k2 has the gradient of
        KL(policy || reference), k3 that of KL(reference || policy). Neither has the part of the
        gradient that changes which states are reached: that takes k1 in the reward. The mean of
        `kl_estimate` with k3 is the value to report, whichever is trained on.
    Reference: Shao et al. 2024 (arXiv:2402.03300) use k3; arXiv:2506.09477; arXiv:2510.01555.

    Example:
        >>> policy, mask = torch.log(torch.tensor([[0.5, 0.5]])), torch.tensor([[True, False]])
        >>> reference = torch.log(torch.tensor([[0.25, 0.9]]))
        >>> kl_loss(policy, reference, mask, torch.tensor([2.0]), estimator="k2")
        tensor(0.4805)
    """
    if estimator == "k1":
        raise InvalidInputError(
            'estimator: expected "k2" or "k3" in a loss, got "k1", whose expected gradient is 0; '
            "subtract it from the rewards, or use k2, whose gradient is that of the KL"
        )
    per_token("logprobs", logprobs, mask, weights, ref_logprobs=ref_logprobs)
    zero = torch.zeros_like(logprobs)
    tokens = kl_estimate(
        torch.where(mask, logprobs, zero),
        torch.where(mask, ref_logprobs.to(logprobs.dtype), zero),
        estimator=estimator,
    )
    return weighted_sum(tokens, mask, weights)
