"""The loss with the answer summed out: the expected reward of a prefix in place of a sampled one.

A completion is a prefix z (the reasoning, up to where the answer starts) and an answer: one of K
strings, or anything else, which is invalid and earns the floor. The prefix is sampled. What follows
it has K + 1 known probabilities, so its contribution is a sum and need not be sampled.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from levelhead._arrays import IntArray
from levelhead.advantages import rloo
from levelhead.errors import InvalidInputError
from levelhead.losses._tensors import flags, floats, per_token, sums
from levelhead.losses.aggregation import weighted_sum
from levelhead.losses.surrogate import policy_loss

__all__ = ["AnswerLoss", "answer_loss", "string_logprobs"]

MASS_TOLERANCE = 1e-3
"""By how much the probabilities of the answers may exceed 1 in sum: float32 sums of a bfloat16 model
stay far below it, and answers that share a token path do not."""


@dataclasses.dataclass(frozen=True, eq=False)
class AnswerLoss:
    """The loss of a micro-batch of whole groups, and sums that add over micro-batches and ranks.

    Attributes:
        loss: scalar, with gradient.
        expected_reward: (B,) without gradient, Rbar of each sequence; NaN where it is unscorable.
        statistics: sums over scorable sequences: "sequences", their number; "expected_reward";
            "answered", those with an answer; "invalid_mass", the probability of an invalid answer
            where there is one to give; and over the tokens of their prefixes what `PolicyLoss` has.
    """

    loss: Tensor
    expected_reward: Tensor
    statistics: dict[str, float]


def answer_loss(
    answer_logprobs: Tensor,
    rewards: Tensor,
    prefix_logprobs: Tensor,
    prefix_mask: Tensor,
    groups: Tensor,
    weights: Tensor,
    *,
    floor: float,
    has_answer: Tensor,
    baseline: Tensor | None = None,
    old_prefix_logprobs: Tensor | None = None,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
) -> AnswerLoss:
    """The Rao-Blackwellised leave-one-out loss of a micro-batch of whole groups.

    Rbar_b = sum_k pi_bk r_bk + (1 - sum_k pi_bk) floor, or the floor without an answer
    A_b = sg(Rbar_b - mean of the others' Rbar in its group)
    L = -sum_b w_b (Rbar_b + sum_t mask_bt min(rho_bt A_b, clip(rho_bt, 1 - clip_low, 1 + clip_high) A_b))

    rho = exp(logprob - old_logprob). At ratio 1 the gradient of the prefix' term is that of
    A_b sum_t mask_bt logprob_bt.

    Args:
        answer_logprobs: (B, K) nats, log-probability of each answer given the sequence's own prefix,
            -inf for what cannot be said; never renormalized over the K. Not read without an answer.
        rewards: (B, K) finite rewards of each answer; a row that holds NaN is unscorable.
        prefix_logprobs: (B, T) nats, of the sampled tokens up to where the answer starts, and of the
            whole completion where there is no answer.
        prefix_mask: (B, T) booleans, True where a token belongs to the prefix.
        groups: (B,) integers, prompt of each sequence; a group must be whole in one call.
        weights: (B,) >= 0, of the head's and the prefix' term alike; unbiased if all are equal, as
            1 / (n_sequences constant) of "seq-sum-constant" is.
        floor: finite, reward of an invalid answer and of a completion without one.
        has_answer: (B,) booleans, whether the completion reached the start of an answer.
        baseline: (B,) in the unit of the rewards, what A_b subtracts in place of the others' mean; it
            must not depend on the sequence itself.
        old_prefix_logprobs: (B, T) nats, under the policy that drew the prefixes, or None at the
            first update after a rollout.
        clip_low: in [0, 1], of the prefix' ratios.
        clip_high: >= 0, of the prefix' ratios.

    Returns:
        The loss in the unit of the rewards, each sequence's expected reward, and statistics.

    Raises:
        InvalidInputError: shapes or types that do not fit, a reward or floor that is infinite, or
            answers whose probabilities sum to more than 1.

    Edge cases: without `baseline` a group of one has the advantage 0: its head is trained, its prefix is
        not. An unscorable sequence counts nowhere, in its group's mean neither.
    Properties: unbiased for the policy gradient of the expected reward with equal weights, and with a
        variance at most that of sampled answers; head and prefix must share their normalizer, and
        weights that depend on the length ("seq-mean-token-mean") bring back the length bias in both.
        The head's term needs no ratio: given a prefix it is exact at every update, and no clip bounds
        it. Where E r is proper, the optimum is a point mass at the answer nearest to the truth.
    Reference: Casella and Robert 1996; arXiv:2505.21493 sums an answer out likewise.

    Example:
        >>> logprobs = torch.log(torch.tensor([[0.5, 0.25], [0.1, 0.1]]))
        >>> one = answer_loss(
        ...     logprobs,
        ...     torch.tensor([[1.0, 3.0], [1.0, 3.0]]),
        ...     torch.zeros(2, 1),
        ...     torch.ones(2, 1, dtype=torch.bool),
        ...     torch.tensor([7, 7]),
        ...     torch.tensor([0.5, 0.5]),
        ...     floor=-1.0,
        ...     has_answer=torch.tensor([True, False]),
        ... )
        >>> one.expected_reward
        tensor([ 1., -1.])
    """
    per_token("prefix_logprobs", prefix_logprobs, prefix_mask, weights)
    if not np.isfinite(floor):
        raise InvalidInputError(f"floor: expected a finite number, got {floor}")
    _check_answers(answer_logprobs, rewards, groups, has_answer, prefix_logprobs.shape[0])
    scorable = ~rewards.isnan().any(dim=1)
    answered = has_answer & scorable
    mass, gain = _expectation(answer_logprobs, rewards, answered, floor)
    if bool(rewards.isinf().any() | (mass.detach() > 1.0 + MASS_TOLERANCE).any()):
        raise _value_error(rewards, mass.detach())
    expected = gain + floor
    undefined = torch.full_like(gain, float("nan"))
    shown = torch.where(scorable, expected.detach(), undefined)
    advantage = _advantage(shown, groups, baseline)
    old = prefix_logprobs.detach() if old_prefix_logprobs is None else old_prefix_logprobs
    prefix = policy_loss(
        prefix_logprobs,
        old,
        advantage.to(prefix_logprobs),
        prefix_mask & scorable.unsqueeze(1),
        weights,
        clip_low=clip_low,
        clip_high=clip_high,
    )
    head = weighted_sum(expected.unsqueeze(1), scorable.unsqueeze(1), weights)
    statistics = sums(
        {
            "sequences": scorable,
            "expected_reward": torch.where(scorable, expected, torch.zeros_like(expected)),
            "answered": answered,
            "invalid_mass": torch.where(answered, 1.0 - mass, torch.zeros_like(mass)),
        }
    )
    return AnswerLoss(prefix.loss - head, shown, {**statistics, **prefix.statistics})


def _advantage(expected: Tensor, groups: Tensor, baseline: Tensor | None) -> Tensor:
    """(B,) how much better a sequence is than the others, 0 where it is unscorable."""
    if baseline is None:
        return torch.as_tensor(rloo(expected.double().cpu().numpy(), groups.cpu().numpy()))
    floats("baseline", baseline, tuple(expected.shape), "(B,), one per sequence")
    wrong = ~(baseline.isfinite() | expected.isnan())
    if wrong.any():
        row = int(wrong.int().argmax())
        raise InvalidInputError(
            f"baseline: expected finite numbers, got {baseline[row].item()} in row {row}"
        )
    return torch.where(expected.isnan(), torch.zeros_like(expected), expected - baseline.detach())


def _expectation(
    answer_logprobs: Tensor, rewards: Tensor, answered: Tensor, floor: float
) -> tuple[Tensor, Tensor]:
    """(B,) probability of a valid answer, and what the answers earn above the floor; 0 without one.

    sum_k pi_k r_k + (1 - sum_k pi_k) floor = floor + sum_k pi_k (r_k - floor): no difference of
    nearly equal numbers where hardly any mass is invalid.
    """
    use = answered.unsqueeze(1)
    never = torch.full_like(answer_logprobs, float("-inf"))
    chance = torch.where(use, answer_logprobs, never).exp()
    above = torch.where(use, rewards.detach().to(chance.dtype) - floor, torch.zeros_like(chance))
    return chance.sum(dim=1), (chance * above).sum(dim=1)


def _check_answers(
    answer_logprobs: Tensor, rewards: Tensor, groups: Tensor, has_answer: Tensor, size: int
) -> None:
    floats("answer_logprobs", answer_logprobs)
    if answer_logprobs.ndim != 2 or answer_logprobs.shape[0] != size:
        raise InvalidInputError(
            f"answer_logprobs: expected shape ({size}, K), one row per sequence, got "
            f"{tuple(answer_logprobs.shape)}"
        )
    shape = (size, answer_logprobs.shape[1])
    floats("rewards", rewards, shape, "(B, K) as answer_logprobs has")
    flags("has_answer", has_answer, (size,), "(B,), one per sequence")
    if groups.shape != (size,) or groups.is_floating_point() or groups.dtype == torch.bool:
        raise InvalidInputError(
            f"groups: expected integers of shape ({size},), the prompt of each sequence, got "
            f"{str(groups.dtype)[6:]} of shape {tuple(groups.shape)}"
        )


def _value_error(rewards: Tensor, mass: Tensor) -> InvalidInputError:
    infinite = rewards.isinf()
    if infinite.any():
        row, k = infinite.nonzero()[0].tolist()
        return InvalidInputError(
            f"rewards: expected finite numbers, or NaN for what cannot be scored, got "
            f"{rewards[row, k].item()} in row {row} for answer {k}"
        )
    row = int(mass.argmax())
    return InvalidInputError(
        f"answer_logprobs: expected probabilities that sum to at most 1, got {mass[row].item():.6g} "
        f"in row {row}; two answers may share their tokens"
    )


def string_logprobs(edge_logprobs: Tensor, paths: Tensor | IntArray) -> Tensor:
    """The log-probability of each of K strings, as the sum of its edges in a tree of tokens.

    log P(string k) = sum_d edge_logprobs[:, paths[k, d]]

    The 99 answers "1" to "99" in single digits are paths in a tree of ten inner nodes, the root and
    one per first digit, so ten positions of a model give them all: P(75) = P(7) P(5 | 7), and
    P(7) = P(7 | root) P(end | 7) for the answer "7", which is a prefix of others.

    Args:
        edge_logprobs: (B, E) nats, of the token of each edge at the node where it starts.
        paths: (K, depth) integers in [0, E), the edges of each string, padded by -1.

    Returns:
        (B, K) nats.

    Raises:
        InvalidInputError: shapes or types that do not fit, an edge that does not exist, or a string
            without an edge.

    Edge cases: an edge of probability 0 (-inf) makes its strings impossible, without a gradient of
        their probability.
    Properties: exact; the strings' probabilities sum to at most 1 where no string is a prefix of
        another one, the rest being the invalid mass.
    Reference: the chain rule of probability.

    Example:
        >>> edges = torch.log(torch.tensor([[0.5, 0.25, 0.1]]))
        >>> string_logprobs(edges, torch.tensor([[0, 1], [2, -1]])).exp()
        tensor([[0.1250, 0.1000]])
    """
    floats("edge_logprobs", edge_logprobs)
    path = torch.as_tensor(paths, device=edge_logprobs.device)
    if edge_logprobs.ndim != 2 or path.ndim != 2 or path.is_floating_point():
        raise InvalidInputError(
            "edge_logprobs, paths: expected shape (B, E) and integers of shape (K, depth), got "
            f"{tuple(edge_logprobs.shape)} and {str(path.dtype)[6:]} of shape {tuple(path.shape)}"
        )
    many = edge_logprobs.shape[1]
    if path.numel() and not -1 <= int(path.min()) <= int(path.max()) < many:
        raise InvalidInputError(
            f"paths: expected edges from 0 to {many - 1}, or -1 for padding, got values from "
            f"{int(path.min())} to {int(path.max())}"
        )
    empty = (path < 0).all(dim=1)
    if empty.any():
        i = int(empty.int().argmax())
        raise InvalidInputError(
            f"paths: expected at least one edge per string, got none in row {i}"
        )
    padded = torch.cat([edge_logprobs, edge_logprobs.new_zeros(edge_logprobs.shape[0], 1)], dim=1)
    return padded[:, path.long() % (many + 1)].sum(dim=-1)
