"""Differentiable terms on stated confidences, for a head that states them as numbers.

They are for confidences that are a function of the weights: a probe, a probability that is read off
the logits. A confidence that was sampled as text has no gradient; it is trained through its reward.
Applied to the mean of a distribution over answers, sum_k pi_k v_k, each of them trains that mean and
leaves the single samples as spread as they were.
"""

from __future__ import annotations

import torch
from torch import Tensor

from levelhead.errors import InvalidInputError
from levelhead.losses._tensors import floats, per_sequence

__all__ = ["brier_term", "log_term", "mmce", "soft_ece"]


def brier_term(confidence: Tensor, outcome: Tensor) -> Tensor:
    """The mean Brier score of confidences.

    L = mean(y (1 - c)^2 + (1 - y) c^2)

    Args:
        confidence: (N,) in [0, 1], with gradient.
        outcome: (N,) in [0, 1]; a fraction is an expected outcome. No gradient passes through it.

    Returns:
        A scalar in [0, 1].

    Raises:
        InvalidInputError: shapes or types that do not fit, no sample, or a value outside [0, 1].

    Edge cases: linear in the outcome, so a fraction counts as that share of ones.
    Properties: strictly proper: its minimum is the true probability of each sample; unbiased for the
        expected score.
    Reference: Brier 1950.

    Example:
        >>> brier_term(torch.tensor([0.5, 1.0]), torch.tensor([1.0, 1.0]))
        tensor(0.1250)
    """
    c, y = _checked(confidence, outcome)
    return (y * (1.0 - c).square() + (1.0 - y) * c.square()).mean()


def log_term(confidence: Tensor, outcome: Tensor, *, eta: float = 1e-6) -> Tensor:
    """The mean log score (cross-entropy) of confidences.

    L = mean(-y ln c' - (1 - y) ln(1 - c')),  c' = c clipped to [eta, 1 - eta]

    Args:
        confidence: (N,) in [0, 1], with gradient.
        outcome: (N,) in [0, 1]; a fraction is an expected outcome. No gradient passes through it.
        eta: in (0, 0.5); `scoring.log_loss` has 0.01, but what is clipped has no gradient, so here it
            only keeps the logarithm finite.

    Returns:
        A scalar in nats, >= 0.

    Raises:
        InvalidInputError: shapes or types that do not fit, no sample, or a value outside its range.

    Edge cases: a confidence outside [eta, 1 - eta] costs what the edge costs, and gets no gradient.
    Properties: strictly proper on [eta, 1 - eta]; unbiased for the expected score.
    Reference: Good 1952.

    Example:
        >>> log_term(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0]))
        tensor(0.6931)
    """
    c, y = _checked(confidence, outcome)
    if not 0.0 < eta < 0.5:
        raise InvalidInputError(f"eta: expected a number in (0, 0.5), got {eta}")
    kept = c.clamp(eta, 1.0 - eta)
    return -(y * kept.log() + (1.0 - y) * (1.0 - kept).log()).mean()


def soft_ece(
    confidence: Tensor,
    outcome: Tensor,
    *,
    n_bins: int = 15,
    temperature: float = 0.01,
    power: int = 2,
) -> Tensor:
    """The expected calibration error with soft bins.

    u_ij = softmax_j(-(c_i - x_j)^2 / temperature),  x_j = (j - 1/2) / M,  S_j = sum_i u_ij
    L = (sum_j S_j / N |sum_i u_ij (y_i - c_i) / S_j|^power)^(1 / power)

    Args:
        confidence: (N,) in [0, 1], with gradient.
        outcome: (N,) in [0, 1]. No gradient passes through it.
        n_bins: M >= 1.
        temperature: > 0, squared units of the confidence; towards 0 the bins become those of `ece`.
        power: 1 or 2.

    Returns:
        A scalar in [0, 1].

    Raises:
        InvalidInputError: shapes or types that do not fit, no sample, or a value outside its range.

    Edge cases: at L = 0 the gradient is 0. An error below 1e-12 per sample is 1e-12 with power 2.
    Properties: not proper: a constant at the base rate minimizes it, so it goes beside a proper term
        and never alone; biased upward on finite samples, as every binned error is.
    Reference: Karandikar et al. 2021 (arXiv:2108.00106).

    Example:
        >>> confidence, outcome = torch.tensor([0.25, 0.25, 0.75, 0.75]), torch.tensor([0.0, 0, 1, 1])
        >>> soft_ece(confidence, outcome, n_bins=2, temperature=1e-3, power=1)
        tensor(0.2500)
    """
    c, y = _checked(confidence, outcome)
    if n_bins < 1 or not 0.0 < temperature < float("inf") or power not in (1, 2):
        raise InvalidInputError(
            "n_bins, temperature, power: expected at least 1, a number > 0, and 1 or 2, got "
            f"{n_bins}, {temperature} and {power}"
        )
    centers = (torch.arange(n_bins, dtype=c.dtype, device=c.device) + 0.5) / n_bins
    member = torch.softmax(-(c.unsqueeze(1) - centers).square() / temperature, dim=1)
    gap = member.T @ (y - c)
    if power == 1:
        return gap.abs().sum() / c.shape[0]
    size = member.sum(dim=0).clamp(min=torch.finfo(c.dtype).tiny)
    return _root((gap.square() / size).sum() / c.shape[0])


def mmce(confidence: Tensor, outcome: Tensor, *, width: float = 0.4) -> Tensor:
    """The maximum mean calibration error: a kernel's distance from calibration.

    L = sqrt(sum_ij (y_i - c_i) (y_j - c_j) exp(-|c_i - c_j| / width)) / N

    Args:
        confidence: (N,) in [0, 1], with gradient.
        outcome: (N,) in [0, 1]. No gradient passes through it.
        width: > 0, of the Laplacian kernel, in units of the confidence.

    Returns:
        A scalar in [0, 1].

    Raises:
        InvalidInputError: shapes or types that do not fit, no sample, or a width <= 0.

    Edge cases: at L = 0 the gradient is 0, and L is 1e-12 there. Takes memory for N x N numbers.
    Properties: not proper: it goes beside a proper term; 0 in expectation over the whole population
        only if calibrated, and above 0 on finite samples, as the diagonal is counted.
    Reference: Kumar, Sarawagi and Jain 2018, "Trainable Calibration Measures For Neural Networks From
        Kernel Mean Embeddings".

    Example:
        >>> mmce(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 1.0]))
        tensor(0.5000)
    """
    c, y = _checked(confidence, outcome)
    if not 0.0 < width < float("inf"):
        raise InvalidInputError(f"width: expected a finite number > 0, got {width}")
    kernel = torch.exp(-(c.unsqueeze(1) - c).abs() / width)
    gap = y - c
    return _root(gap @ kernel @ gap) / c.shape[0]


SMALLEST = 1e-24


def _root(square: Tensor) -> Tensor:
    """The square root, with gradient 0 in place of infinity where the square vanishes."""
    return square.clamp(min=SMALLEST).sqrt()


def _checked(confidence: Tensor, outcome: Tensor) -> tuple[Tensor, Tensor]:
    floats("confidence", confidence)
    if confidence.ndim != 1 or confidence.shape[0] == 0:
        raise InvalidInputError(
            f"confidence: expected shape (N,) with N >= 1, got {tuple(confidence.shape)}"
        )
    per_sequence("outcome", outcome, confidence.shape[0])
    for name, tensor in (("confidence", confidence), ("outcome", outcome)):
        bad = ~((tensor >= 0.0) & (tensor <= 1.0))
        if bad.any():
            i = int(bad.int().argmax())
            raise InvalidInputError(
                f"{name}: expected values in [0, 1], got {tensor[i].item()} at index {i}"
            )
    return confidence, outcome.detach().to(confidence.dtype)
