"""Weights of tokens: by hand, cut into parts, and the length bias that they have or have not."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from levelhead.advantages import rloo
from levelhead.errors import InvalidInputError
from levelhead.lab.lengths import (
    THREE_ANSWERS,
    Aggregation,
    expected_update,
    seq_mean_token_mean,
    seq_mean_token_sum_norm,
    token_mean,
)
from levelhead.losses import AGGREGATIONS, policy_loss, sequence_weights, weighted_sum

EXACT = 1e-12
DOUBLE = torch.float64


def test_the_weights_by_hand() -> None:
    """Four sequences in the batch, of which three are here; one of them is empty."""
    lengths = torch.tensor([1, 4, 0])

    def weights(mode: str, constant: float | None = None) -> list[float]:
        return sequence_weights(
            lengths, mode=mode, constant=constant, n_sequences=4, n_tokens=8, dtype=DOUBLE
        ).tolist()

    assert weights("seq-mean-token-mean") == [1 / 4, 1 / 16, 0.0]
    assert weights("token-mean") == [1 / 8, 1 / 8, 0.0]
    assert weights("seq-sum-constant", 16) == [1 / 64, 1 / 64, 0.0]
    nothing = torch.tensor([0])
    assert sequence_weights(nothing, mode="token-mean", n_sequences=1, n_tokens=0).tolist() == [0.0]


@pytest.mark.parametrize("mode", AGGREGATIONS)
def test_the_parts_of_a_batch_add_up_to_it(mode: str) -> None:
    rng = torch.Generator().manual_seed(0)
    tokens = torch.randn(5, 7, generator=rng, dtype=DOUBLE)
    mask = torch.rand(5, 7, generator=rng) < 0.6
    mask[3] = False

    def loss(rows: slice) -> float:
        weights = sequence_weights(
            mask[rows].sum(dim=1),
            mode=mode,
            constant=7.0 if mode == "seq-sum-constant" else None,
            n_sequences=5,
            n_tokens=int(mask.sum()),
            dtype=DOUBLE,
        )
        return weighted_sum(tokens[rows], mask[rows], weights).item()

    means = [row[kept].mean().item() for row, kept in zip(tokens, mask, strict=True) if kept.any()]
    by_hand = {
        "seq-mean-token-mean": sum(means) / 5,
        "token-mean": tokens[mask].mean().item(),
        "seq-sum-constant": tokens[mask].sum().item() / 35,
    }
    assert loss(slice(None)) == pytest.approx(by_hand[mode], abs=EXACT)
    parts = [loss(slice(0, 1)), loss(slice(1, 4)), loss(slice(4, 5)), loss(slice(5, 5))]
    assert sum(parts) == pytest.approx(by_hand[mode], abs=EXACT)


@pytest.mark.parametrize(
    ("mode", "oracle"),
    [
        ("seq-mean-token-mean", seq_mean_token_mean),
        ("token-mean", token_mean),
        ("seq-sum-constant", lambda n: seq_mean_token_sum_norm(n, max_length=100)),
    ],
)
def test_the_update_of_answers_of_many_lengths_by_enumeration(
    mode: str, oracle: Aggregation
) -> None:
    """Every group of three; a right answer of 10 tokens, wrong ones of 100 and of 10."""
    lengths, rewards = THREE_ANSWERS.lengths, np.array(THREE_ANSWERS.rewards)
    logits = torch.tensor([0.3, -0.2, 0.1], dtype=DOUBLE, requires_grad=True)
    policy = logits.detach().softmax(0)
    total = torch.zeros((), dtype=DOUBLE)
    for group in itertools.product(range(3), repeat=3):
        k = list(group)
        size = torch.tensor([lengths[i] for i in k])
        mask = torch.arange(100) < size[:, None]
        logprobs = torch.nn.functional.pad(  # the first token decides; the others have to follow
            logits.log_softmax(0)[k][:, None], (0, 99)
        )
        advantages = torch.tensor(rloo(rewards[k], np.zeros(3, np.int64)))
        weights = sequence_weights(
            size,
            mode=mode,
            constant=100 if mode == "seq-sum-constant" else None,
            n_sequences=3,
            n_tokens=int(size.sum()),
            dtype=DOUBLE,
        )
        loss = policy_loss(logprobs, logprobs.detach(), advantages, mask, weights).loss
        total = total + policy[k].prod() * loss
    (gradient,) = torch.autograd.grad(total, logits)
    update = expected_update(policy.numpy(), oracle, group_size=3, advantage=rloo)
    assert -gradient.numpy() == pytest.approx(update, abs=EXACT)
    exact = policy.numpy() * (rewards - policy.numpy() @ rewards)
    cosine = -gradient.numpy() @ exact / math.hypot(*gradient) / math.hypot(*exact)
    assert (cosine > 1.0 - 1e-9) == (mode == "seq-sum-constant")


def test_what_is_masked_is_not_read() -> None:
    tokens = torch.tensor([[1.0, math.nan], [math.inf, 2.0]], requires_grad=True)
    mask = torch.tensor([[True, False], [False, True]])
    loss = weighted_sum(tokens, mask, torch.tensor([1.0, 3.0]))
    loss.backward()
    assert loss.item() == 7.0
    assert tokens.grad is not None
    assert tokens.grad.tolist() == [[1.0, 0.0], [0.0, 3.0]]


def test_what_does_not_fit_is_said() -> None:
    lengths = torch.tensor([2, 3])
    good = {"n_sequences": 2, "n_tokens": 5}
    with pytest.raises(InvalidInputError, match=r"mode: expected one of .* did you mean 'token-m"):
        sequence_weights(lengths, mode="token_mean", **good)
    with pytest.raises(InvalidInputError, match="constant: expected a number of tokens, got None"):
        sequence_weights(lengths, mode="seq-sum-constant", **good)
    with pytest.raises(InvalidInputError, match="constant: expected None with mode token-mean"):
        sequence_weights(lengths, mode="token-mean", constant=3, **good)
    with pytest.raises(InvalidInputError, match="constant: expected a finite number of tokens > 0"):
        sequence_weights(lengths, mode="seq-sum-constant", constant=0, **good)
    with pytest.raises(InvalidInputError, match="lengths: expected integers .* got float32"):
        sequence_weights(lengths.float(), mode="token-mean", **good)
    with pytest.raises(InvalidInputError, match="of which these 2 sequences are a part, got 1 and"):
        sequence_weights(lengths, mode="token-mean", n_sequences=1, n_tokens=5)
    tokens, mask = torch.zeros(2, 3), torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(InvalidInputError, match=r"weights: expected shape \(2,\) \(B,\), one per"):
        weighted_sum(tokens, mask, torch.ones(3))
    with pytest.raises(InvalidInputError, match="mask: expected booleans, .* got int64"):
        weighted_sum(tokens, mask.long(), torch.ones(2))
    with pytest.raises(InvalidInputError, match=r"tokens: expected shape \(B, T\), got \(3,\)"):
        weighted_sum(tokens[0], mask[0], torch.ones(2))
