"""The answer summed out: unbiased by enumeration, of less variance, and the trees of strings."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from levelhead.advantages import rloo
from levelhead.errors import InvalidInputError
from levelhead.lab.rao_blackwell import prefix_gradient
from levelhead.losses import answer_loss, policy_loss, string_logprobs

EXACT = 1e-10
DOUBLE = torch.float64
P, FLOOR, SIZE = 0.7, -4.6, 2
VALUES = np.array([0.1, 0.4, 0.9])
REWARDS = np.stack([np.log(1.0 - VALUES), np.log(VALUES)])


def world() -> tuple[Tensor, Tensor]:
    """Logits of three prefixes, and of three answers and an invalid one after each."""
    rng = np.random.default_rng(0)
    z = torch.tensor(rng.normal(size=3), requires_grad=True)
    k = torch.tensor(rng.normal(size=(3, 4)) - [0, 0, 0, 1], requires_grad=True)
    return z, k


def summed_out(z: Tensor, k: Tensor, zs: list[int], outcome: int) -> Tensor:
    logprobs = z.log_softmax(0)[zs].unsqueeze(1)
    return answer_loss(
        k.log_softmax(1)[zs][:, :-1],
        torch.tensor(REWARDS[[outcome] * SIZE]),
        logprobs,
        torch.ones(SIZE, 1, dtype=torch.bool),
        torch.zeros(SIZE, dtype=torch.int64),
        torch.full((SIZE,), 1.0 / SIZE, dtype=DOUBLE),
        floor=FLOOR,
        has_answer=torch.ones(SIZE, dtype=torch.bool),
    ).loss


def sampled(z: Tensor, k: Tensor, zs: list[int], ks: list[int], outcome: int) -> Tensor:
    rewards = np.append(REWARDS[outcome], FLOOR)[ks]
    head = k.log_softmax(1)[zs, ks]
    logprobs = torch.stack([z.log_softmax(0)[zs], head], dim=1)
    return policy_loss(
        logprobs,
        logprobs.detach(),
        torch.tensor(rloo(rewards, np.zeros(SIZE, np.int64))),
        torch.ones(SIZE, 2, dtype=torch.bool),
        torch.full((SIZE,), 1.0 / SIZE, dtype=DOUBLE),
    ).loss


def test_unbiased_and_of_less_variance_by_enumeration() -> None:
    """Every outcome, pair of prefixes and (for the sampled one) pair of answers."""
    z, k = world()
    pz, pk = z.detach().softmax(0).numpy(), k.detach().softmax(1).numpy()
    exact = prefix_gradient(pz, pk[:, :-1], P, REWARDS, floor=FLOOR)
    first: dict[str, list[Any]] = {"summed": [0.0, 0.0], "sampled": [0.0, 0.0]}
    second: dict[str, list[Any]] = {"summed": [0.0, 0.0], "sampled": [0.0, 0.0]}

    def add(kind: str, chance: float, loss: Tensor) -> None:
        for i, part in enumerate(torch.autograd.grad(loss, (z, k))):
            first[kind][i] += -chance * part.numpy()
            second[kind][i] += chance * part.numpy() ** 2

    for outcome, zs in itertools.product((0, 1), itertools.product(range(3), repeat=SIZE)):
        chance = (P if outcome else 1.0 - P) * math.prod(pz[i] for i in zs)
        add("summed", chance, summed_out(z, k, list(zs), outcome))
        for ks in itertools.product(range(4), repeat=SIZE):
            both = chance * math.prod(pk[i, j] for i, j in zip(zs, ks, strict=True))
            add("sampled", both, sampled(z, k, list(zs), list(ks), outcome))
    for i in (0, 1):
        for kind in ("summed", "sampled"):
            assert first[kind][i] == pytest.approx(exact[i], abs=EXACT)
        spread = {kind: np.sum(second[kind][i] - first[kind][i] ** 2) for kind in first}
        assert spread["sampled"] > 2.0 * spread["summed"]


def four_rows(**changes: Any) -> dict[str, Any]:
    """A group of two, a group of one, and a group of two of which one has no answer."""
    rows: dict[str, Any] = {
        "answer_logprobs": torch.tensor(
            [[0.5, 0.25], [0.2, 0.8], [0.1, 0.1], [0.25, 0.5], [0.9, 0.1]], dtype=DOUBLE
        ).log(),
        "rewards": torch.tensor([[1.0, 3.0]] * 5, dtype=DOUBLE),
        "prefix_logprobs": torch.full((5, 2), -1.0, dtype=DOUBLE),
        "prefix_mask": torch.tensor([[True, True]] * 4 + [[True, False]]),
        "groups": torch.tensor([4, 4, 9, 2, 2]),
        "weights": torch.tensor([0.1, 0.1, 0.2, 0.3, 0.4], dtype=DOUBLE),
        "floor": -1.0,
        "has_answer": torch.tensor([True, True, True, True, False]),
    }
    return rows | changes


def test_a_baseline_from_elsewhere() -> None:
    """Rbar = 1, 2.6, -0.4, 1.5, -1, compared with a number for each; one cannot be scored."""
    rows = four_rows(baseline=torch.tensor([0.5, 0.5, -1.0, float("nan"), 0.0], dtype=DOUBLE))
    rows["rewards"][3] = float("nan")
    rows["prefix_logprobs"].requires_grad_()
    answer_loss(**rows).loss.backward()
    w, advantage = rows["weights"], torch.tensor([0.5, 2.1, 0.6, 0.0, -1.0], dtype=DOUBLE)
    expected = -(w * advantage)[:, None] * rows["prefix_mask"]
    torch.testing.assert_close(rows["prefix_logprobs"].grad, expected, atol=1e-12, rtol=0)
    with pytest.raises(
        InvalidInputError, match="baseline: expected finite numbers, got inf in row 2"
    ):
        answer_loss(**four_rows(baseline=torch.tensor([0, 0, math.inf, 0, 0], dtype=DOUBLE)))
    with pytest.raises(InvalidInputError, match=r"^baseline: expected .* one per sequence"):
        answer_loss(**four_rows(baseline=torch.zeros(4, dtype=DOUBLE)))


def test_the_parts_by_hand() -> None:
    """Rbar = 0.5 + 0.75 - 0.25, 0.2 + 2.4, 0.1 + 0.3 - 0.8, 0.25 + 1.5 - 0.25, and the floor."""
    rows = four_rows()
    rows["answer_logprobs"].requires_grad_()
    rows["prefix_logprobs"].requires_grad_()
    got = answer_loss(**rows)
    expected = [1.0, 2.6, -0.4, 1.5, -1.0]
    assert got.expected_reward.tolist() == pytest.approx(expected, abs=1e-12)
    assert not got.expected_reward.requires_grad
    got.loss.backward()
    advantage = [-1.6, 1.6, 0.0, 2.5, -2.5]  # leave-one-out; a group of one has none
    w = [0.1, 0.1, 0.2, 0.3, 0.4]
    prefix = [[-w[b] * advantage[b]] * 2 for b in range(5)]
    prefix[4][1] = 0.0
    assert rows["prefix_logprobs"].grad.numpy() == pytest.approx(np.array(prefix), abs=1e-12)
    head = -np.array(w)[:, None] * rows["answer_logprobs"].detach().exp().numpy() * [2.0, 4.0]
    head[4] = 0.0  # pi_k (r_k - floor), and nothing without an answer
    assert rows["answer_logprobs"].grad.numpy() == pytest.approx(head, abs=1e-12)
    assert got.statistics["sequences"] == 5
    assert got.statistics["answered"] == 4
    assert got.statistics["expected_reward"] == pytest.approx(sum(expected), abs=1e-12)
    assert got.statistics["invalid_mass"] == pytest.approx(0.25 + 0.0 + 0.8 + 0.25, abs=1e-12)
    assert got.statistics["tokens"] == 9


def test_the_gradient_by_differences_away_from_ratio_one() -> None:
    """The advantages are constants of the loss, so the prefixes alone are moved here, then the head."""
    old = torch.full((5, 2), -1.1, dtype=DOUBLE)
    prefix = torch.tensor(
        [[-1.0, -1.3], [-0.95, -1.2], [-1.0, -1.0], [-0.6, -1.6], [-1.15, -1]],
        dtype=DOUBLE,
        requires_grad=True,
    )

    def loss(x: Tensor) -> Tensor:
        return answer_loss(**four_rows(prefix_logprobs=x, old_prefix_logprobs=old)).loss

    assert torch.autograd.gradcheck(loss, (prefix,))
    one = answer_loss(**four_rows(prefix_logprobs=prefix, old_prefix_logprobs=old))
    assert one.statistics["clipped"] == 1  # A = 2.5 at a ratio of e^0.5
    head = four_rows()["answer_logprobs"].requires_grad_()
    none = torch.zeros(5, 2, dtype=torch.bool)
    assert torch.autograd.gradcheck(
        lambda x: answer_loss(**four_rows(answer_logprobs=x, prefix_mask=none)).loss, (head,)
    )


def test_impossible_and_unscorable_rows_leave_no_nan() -> None:
    rows = four_rows()
    rows["answer_logprobs"][0, 1] = -math.inf
    rows["answer_logprobs"][4] = math.nan  # it has no answer and is not read
    rows["rewards"][3, 0] = math.nan
    rows["answer_logprobs"].requires_grad_()
    rows["prefix_logprobs"].requires_grad_()
    got = answer_loss(**rows)
    got.loss.backward()
    assert got.expected_reward.tolist() == pytest.approx(
        [0.0, 2.6, -0.4, math.nan, -1], nan_ok=True
    )
    assert got.statistics["sequences"] == 4
    assert got.statistics["answered"] == 3
    prefix, head = rows["prefix_logprobs"].grad, rows["answer_logprobs"].grad
    assert head.isfinite().all()
    assert head[3:].abs().sum() == 0.0
    assert prefix[:2].abs().min() > 0.0
    assert prefix[2:].abs().sum() == 0.0  # the other of group 2 has nobody to compare with


def test_ten_positions_give_all_two_digit_answers() -> None:
    """Root and nine digits with a vocabulary of ten digits and an end, against a loop."""
    rng = torch.Generator().manual_seed(3)
    tables = torch.randn(2, 10, 11, generator=rng, dtype=DOUBLE).log_softmax(-1)
    names: dict[tuple[int, int], int] = {}
    paths = []
    for number in range(1, 100):
        tens, ones = divmod(number, 10)
        steps = [(0, ones), (ones, 10)] if tens == 0 else [(0, tens), (tens, ones)]
        paths.append([names.setdefault(step, len(names)) for step in steps])
    edges = torch.stack([tables[:, node, token] for node, token in names], dim=1)
    got = string_logprobs(edges, torch.tensor(paths)).exp()
    for b, number in itertools.product(range(2), range(1, 100)):
        text = str(number)
        chance = tables[b, 0, int(text[0])].exp()
        chance = chance * tables[b, int(text[0]), int(text[1]) if len(text) > 1 else 10].exp()
        assert got[b, number - 1].item() == pytest.approx(chance.item(), abs=1e-12)
    invalid = tables[:, 0, [0, 10]].exp().sum(dim=1)  # all else is one of the 99
    assert got.sum(dim=1).tolist() == pytest.approx((1.0 - invalid).tolist(), abs=1e-12)


def test_paths_of_many_lengths_and_their_gradient() -> None:
    edges = torch.tensor([[0.5, 0.3, 0.2]], dtype=DOUBLE).log().requires_grad_()
    paths = np.array([[0, 1, 2], [2, -1, -1], [0, 0, -1]])
    assert string_logprobs(edges, paths).exp().tolist()[0] == pytest.approx([0.03, 0.2, 0.25])
    assert torch.autograd.gradcheck(lambda x: string_logprobs(x, paths), (edges,))


def test_what_does_not_fit_is_said() -> None:
    def refused(match: str, **changes: Any) -> None:
        with pytest.raises(InvalidInputError, match=match):
            answer_loss(**four_rows(**changes))

    rewards = four_rows()["rewards"]
    rewards[1, 0] = -math.inf
    refused("rewards: expected finite numbers, .* got -inf in row 1 for answer 0", rewards=rewards)
    refused(
        "answer_logprobs: expected probabilities that sum to at most 1, got 1.2 in row 0; two answ",
        answer_logprobs=torch.full((5, 2), 0.6, dtype=DOUBLE).log(),
    )
    refused("floor: expected a finite number, got -inf", floor=-math.inf)
    refused(r"groups: expected integers of shape \(5,\)", groups=torch.zeros(5))
    refused(r"has_answer: expected shape \(5,\)", has_answer=torch.ones(4, dtype=torch.bool))
    refused(r"rewards: expected shape \(5, 2\) \(B, K\)", rewards=torch.zeros(5, 3))
    refused(r"answer_logprobs: expected shape \(5, K\)", answer_logprobs=torch.zeros(4, 2))
    edges = torch.zeros(1, 3)
    with pytest.raises(
        InvalidInputError, match="paths: expected edges from 0 to 2, .* from 0 to 3"
    ):
        string_logprobs(edges, torch.tensor([[0, 3]]))
    with pytest.raises(InvalidInputError, match="at least one edge per string, got none in row 1"):
        string_logprobs(edges, torch.tensor([[0, 1], [-1, -1]]))
    with pytest.raises(InvalidInputError, match=r"edge_logprobs, paths: expected shape \(B, E\)"):
        string_logprobs(edges, torch.tensor([0, 1]))
