"""From tokens to a scalar: how much each token of a sequence weighs.

Every loss of this package is  sum_b w_b sum_t mask_bt l_bt.  The weights come from the counts of the
whole optimizer batch, not of the micro-batch that is at hand: so the losses of micro-batches and of
ranks are added, never averaged, and add up to that of the batch however it was cut.
"""

from __future__ import annotations

import torch
from torch import Tensor

from levelhead.errors import InvalidInputError, unknown_name
from levelhead.losses._tensors import per_token

__all__ = ["AGGREGATIONS", "sequence_weights", "weighted_sum"]

AGGREGATIONS = ("seq-mean-token-mean", "token-mean", "seq-sum-constant")
"""Modes of `sequence_weights`: the last one alone keeps the direction of the policy gradient."""


def sequence_weights(
    lengths: Tensor,
    *,
    mode: str,
    constant: float | None = None,
    n_sequences: int,
    n_tokens: int,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """The weight of each token of a sequence, by which losses of tokens are summed.

    seq-mean-token-mean  w_b = 1 / (n_sequences length_b)
    token-mean           w_b = 1 / n_tokens
    seq-sum-constant     w_b = 1 / (n_sequences constant)

    Args:
        lengths: (B,) integers >= 0, tokens of each sequence that count (the row sums of the mask).
        mode: a name in `AGGREGATIONS`.
        constant: > 0, in tokens; for "seq-sum-constant", which needs it, and nothing else.
            The longest completion that is allowed is customary.
        n_sequences: >= 1, sequences of the whole optimizer batch: all micro-batches, all ranks.
        n_tokens: >= 0, tokens that count in the whole optimizer batch.
        dtype: of the weights.

    Returns:
        (B,) weights >= 0 in 1 / tokens, on the device of `lengths`.

    Raises:
        InvalidInputError: an unknown mode, a constant that lacks or is not needed, or counts that
            are not possible.

    Edge cases: an empty completion has weight 0. "seq-sum-constant" counts it in n_sequences, as
        the two others do where the caller's counts hold it.
    Properties: "seq-sum-constant" is the policy gradient times 1 / constant, unbiased in direction.
        "seq-mean-token-mean" (GRPO) has the 1/|o| length bias: a long wrong answer is punished
        less per token than a short one, so wrong answers grow long. "token-mean" (DAPO) weighs the
        tokens of a batch alike, but its scale depends on what was sampled: biased of order one over
        the number of sequences, and most where one prompt's lengths decide the total.
    Reference: Liu et al. 2025 (arXiv:2503.20783); Yu et al. 2025 (arXiv:2503.14476).

    Example:
        >>> lengths = torch.tensor([2, 4, 0])
        >>> sequence_weights(lengths, mode="seq-mean-token-mean", n_sequences=4, n_tokens=10)
        tensor([0.1250, 0.0625, 0.0000])
        >>> sequence_weights(
        ...     lengths, mode="seq-sum-constant", constant=5, n_sequences=4, n_tokens=10
        ... )
        tensor([0.0500, 0.0500, 0.0000])
    """
    if mode not in AGGREGATIONS:
        raise unknown_name("mode", mode, AGGREGATIONS)
    if lengths.ndim != 1 or lengths.is_floating_point() or lengths.dtype == torch.bool:
        raise InvalidInputError(
            f"lengths: expected integers of shape (B,), got {str(lengths.dtype)[6:]} of shape "
            f"{tuple(lengths.shape)}; take the row sums of the mask"
        )
    if n_sequences < max(1, lengths.shape[0]) or n_tokens < 0:
        raise InvalidInputError(
            f"n_sequences, n_tokens: expected the counts of the whole batch, of which these "
            f"{lengths.shape[0]} sequences are a part, got {n_sequences} and {n_tokens}"
        )
    if (mode == "seq-sum-constant") != (constant is not None):
        need = "a number of tokens" if mode == "seq-sum-constant" else f"None with mode {mode}"
        raise InvalidInputError(f"constant: expected {need}, got {constant}")
    if constant is not None and not 0.0 < constant < float("inf"):
        raise InvalidInputError(f"constant: expected a finite number of tokens > 0, got {constant}")
    counted = lengths > 0
    if mode == "seq-mean-token-mean":
        weights = 1.0 / (n_sequences * lengths.clamp(min=1).to(dtype))
    else:
        per_batch = n_sequences * constant if constant is not None else max(n_tokens, 1)
        weights = torch.full_like(lengths, 1.0 / per_batch, dtype=dtype)
    return torch.where(counted, weights, torch.zeros_like(weights))


def weighted_sum(tokens: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """What every loss ends in: the sum over counted tokens, each times its sequence's weight.

    sum_b w_b sum_t mask_bt x_bt

    Args:
        tokens: (B, T) float32 or float64, any unit.
        mask: (B, T) booleans, True counts.
        weights: (B,) of the sequences, as `sequence_weights` gives them.

    Returns:
        A scalar in the type of `tokens`.

    Raises:
        InvalidInputError: shapes or types that do not fit.

    Edge cases: what is masked is not read: NaN there stays out of the sum and of the gradient. An
        empty batch gives 0.
    Properties: linear; sums of parts of a batch add up to that of the batch.
    Reference: none; it is a definition.

    Example:
        >>> tokens = torch.tensor([[1.0, 2.0], [3.0, float("nan")]])
        >>> mask = torch.tensor([[True, True], [True, False]])
        >>> weighted_sum(tokens, mask, torch.tensor([0.5, 1.0]))
        tensor(4.5000)
    """
    per_token("tokens", tokens, mask, weights)
    kept = torch.where(mask, tokens, torch.zeros_like(tokens))
    return (kept.sum(dim=1) * weights.to(tokens.dtype)).sum()
